"""Products go to disk: provenance, one writer for each kind, and merging of the files of several units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from core.errors import ProductStoreError
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.fitsfile.writer import FitsWriter
from core.formats.dicd import Provenance, product_header
from core.formats.image import write_image
from core.formats.merge import merge_products
from core.formats.pixtable import default_form, write_pixtable
from core.formats.tables import MuseTable, write_table
from core.instruments.registry import instrument
from core.recipes.declaration import Recipe, RecipeParameters
from core.recipes.flow import (
    ArrayProduct,
    FileProduct,
    HeaderProduct,
    ImageProduct,
    PixtableProduct,
    Product,
    TableProduct,
)
from core.recipes.logs import recipe_logger
from core.recipes.names import product_name
from core.recipes.results import WrittenProduct

__all__ = ["in_order", "merge_units", "provenance_of", "write_product"]


def write_product(
    product: Product, recipe: Recipe, params: RecipeParameters, output_dir: Path, unit: int | None
) -> WrittenProduct:
    """Write a product, atomically, with its provenance.

    Raises
    ------
    ProductStoreError
        If disk or permissions fail.
    DataError
        If the product is not what its kind asks for.
    """
    path = output_dir / product_name(product.tag, number=product.number, unit=unit)
    header = product_header(product.header, provenance_of(product, recipe, params))
    _WRITERS[type(product)](product, header, path, unit)
    return WrittenProduct(product.tag, path, unit, product.number)


def _write_image(product: ImageProduct, header: Header, path: Path, unit: int | None) -> None:
    write_image(path, replace(product.image, header=header), unit)


def _write_table(product: TableProduct, header: Header, path: Path, unit: int | None) -> None:
    write_table(path, product.fmt, MuseTable(product.table.columns, header), unit, extension=product.extension)


def _write_pixtable(product: PixtableProduct, header: Header, path: Path, unit: int | None) -> None:
    write_pixtable(path, header, product.columns, unit, form=default_form())


def _name_unit(header: Header, unit: int | None) -> None:
    """Say whose data a file of one unit holds, by the name that the extension of the unit has in raw frames."""
    if unit is not None:
        name = instrument(str(header.get("INSTRUME", ""))).units.extension_name(unit)
        set_key(header, "EXTNAME", name, "extension name")


def _write_array(product: ArrayProduct, header: Header, path: Path, unit: int | None) -> None:
    _name_unit(header, unit)
    set_key(header, "PIPEFILE", path.name, "Filename of data product")
    own = Header()
    if product.extension:
        own["EXTNAME"] = product.extension
    own.extend(product.extension_header.cards)
    with FitsWriter(path, datamd5=True) as writer:
        if product.extension:
            writer.primary(header)
            writer.image(own, product.data)
        else:
            header.extend(own.cards)
            writer.primary(header, product.data)
        for cards, array in product.more:
            writer.image(cards, array)


def _write_header(product: HeaderProduct, header: Header, path: Path, unit: int | None) -> None:
    _name_unit(header, unit)
    set_key(header, "PIPEFILE", path.name, "Filename of data product")
    with FitsWriter(path, datamd5=True) as writer:
        writer.primary(header)


def _finish_file(product: FileProduct, header: Header, path: Path, unit: int | None) -> None:
    _name_unit(header, unit)
    set_key(header, "PIPEFILE", path.name, "Filename of data product")
    finished = product.file.finish(header)
    if finished != path:
        raise ProductStoreError(f"the recipe reserved {finished.name}, not {path.name}", file=finished)


_WRITERS: Final[dict[type, Callable[[Any, Header, Path, int | None], None]]] = {
    ImageProduct: _write_image,
    TableProduct: _write_table,
    PixtableProduct: _write_pixtable,
    ArrayProduct: _write_array,
    HeaderProduct: _write_header,
    FileProduct: _finish_file,
}


def provenance_of(product: Product, recipe: Recipe, params: RecipeParameters) -> Provenance:
    """Provenance of a product from the frames it used and the parameters."""
    return Provenance(
        tag=product.tag,
        recipe=recipe.name,
        science=recipe.product_spec(product.tag).science,
        raws=[(frame.path, frame.tag) for frame in product.raws],
        calibs=[(frame.path, frame.tag) for frame in product.calibs],
        parameters=[(info.name, getattr(params, info.name), info.default, info.help) for info in params.listing()],
    )


def in_order(recipe: Recipe, products: Sequence[WrittenProduct]) -> list[WrittenProduct]:
    """Products in the order of the declaration, then by exposure and unit."""
    place = {spec.tag: number for number, spec in enumerate(recipe.products)}
    return sorted(products, key=lambda product: (place[product.tag], product.number or 0, product.unit or 0))


def merge_units(recipe: Recipe, products: Sequence[WrittenProduct], output_dir: Path) -> list[WrittenProduct]:
    """Replace the files of several units by one; pixel tables stay as they are (manual, section 5.3.4)."""
    merged: list[WrittenProduct] = []
    groups: dict[tuple[str, int | None], list[WrittenProduct]] = {}
    for product in products:
        groups.setdefault((product.tag, product.number), []).append(product)
    for (tag, number), members in groups.items():
        if len(members) < 2 or recipe.product_spec(tag).kind == "pixtable":
            merged += members
            continue
        target = output_dir / product_name(tag, number=number)
        merge_products([member.path for member in members], target)
        for member in members:
            member.path.unlink()
        recipe_logger(recipe.name).info("merged %d files into %s", len(members), target.name)
        merged.append(WrittenProduct(tag, target, None, number))
    return merged
