"""``/products/<id>``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Annotated, Final

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from core.archive.models import Product, Qc1Parameter
from core.archive.pages import products as queries
from core.archive.pages.blocks import block_products
from core.archive.pages.frames import quarantine_history
from core.archive.pages.qc1_texts import product_texts
from core.instruments.catalogue import intermediates, passing
from core.previews.cubeview import open_cube_view
from core.previews.preview import Cuts
from core.settings import Settings
from service.dependencies import ProductId
from service.files import cube_views, is_made_again
from service.fitsview import ExtensionInfo, extension_cards, extensions, table_rows
from service.places import place
from service.web.page import PageDep

router = APIRouter()
TABLE_ROWS = 25
CARDS: Final = 300  # more of a header, and more values one by one, would make the page heavy
VALUES: Final = 120


@dataclass(frozen=True)
class Summed:
    """All values of one parameter on a product in one line."""

    parameter: Qc1Parameter
    values: tuple[float, ...]
    scored: int
    outliers: int

    @property
    def number(self) -> int:
        """How many values."""
        return len(self.values)

    @property
    def low(self) -> float:
        """The smallest one."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest one."""
        return max(self.values)

    @property
    def median(self) -> float:
        """Their median."""
        return median(self.values)

    @property
    def score(self) -> int | None:
        """1 outlier, 0 good, None not scored."""
        return int(self.outliers > 0) if self.scored else None


def _summed(values: Sequence[queries.ProductValue]) -> list[Summed]:
    groups: dict[int, list[queries.ProductValue]] = {}
    for item in values:
        groups.setdefault(item.parameter.id, []).append(item)
    return [
        Summed(
            items[0].parameter,
            tuple(item.row.value for item in items),
            sum(item.score is not None for item in items),
            sum(item.score == 1 for item in items),
        )
        for items in groups.values()
    ]


def _first_shown(infos: Sequence[ExtensionInfo]) -> int:
    """Number of the extension that a page opens with: the first that can be shown."""
    found = [item.index for item in infos if item.is_shown] or [item.index for item in infos if item.index]
    return found[0] if found else 0


@dataclass(frozen=True)
class ShownView:
    """The cube whose spectra a page shows, and whether its white-light image is shown in place of an extension."""

    cube: Product
    is_whole: bool


def _view(session: Session, product: Product, info: ExtensionInfo | None) -> ShownView | None:
    """Of a cube its view; of an image that lies on a cube of the same block the view of that one."""
    if product.block is None or not (views := cube_views(product.block)):
        return None
    if Path(product.path).name in views:
        if info is None or info.n_axes == 3:
            return ShownView(product, True)
        cubes = [product]
    else:
        cubes = [item for item in block_products(session, product.block.id) if Path(item.path).name in views]
    for cube in cubes if info is not None and info.is_image else ():
        view = open_cube_view(views[Path(cube.path).name])
        if info is not None and info.size == f"{view.width} × {view.height}":
            return ShownView(cube, False)
    return None


def _kept_until(product: Product, settings: Settings) -> datetime | None:
    """When the file of an intermediate product is removed; None if it is no such, or has expired."""
    recipe = product.block.recipe if product.block is not None else ""
    if product.expired_at is not None or product.tag not in intermediates().get(recipe, ()):
        return None
    days = settings.intermediate_days
    if product.tag in passing().get(recipe, ()):
        days = min(days, settings.passing_days)
    return product.created_at + timedelta(days=days)


@router.get("/products/{product_id}")
def product_page(
    page: PageDep,
    product_id: ProductId,
    ext: Annotated[int | None, Query(ge=0, description="Number of the HDU shown")] = None,
    cuts: Cuts = "zscale",
) -> HTMLResponse:
    """Preview, extensions and headers, QC1, what used it, history, download."""
    product = queries.find_product(page.session, product_id)
    path = Path(product.path)
    on_disk = product.expired_at is None and path.is_file()
    infos = extensions(path) if on_disk else ()
    shown = ext if ext is not None and ext < len(infos) else _first_shown(infos)
    info = infos[shown] if infos else None
    values = queries.product_qc1(page.session, product_id)
    return page.render(
        "product.html",
        product=product,
        on_disk=on_disk,
        made_again=is_made_again(product),
        kept_until=_kept_until(product, page.settings),
        extensions=infos,
        shown=info,
        view=_view(page.session, product, info),
        curves=info is not None and info.has_curves,
        cuts=cuts,
        before=queries.previous_product(page.session, product) if info is not None and info.is_image else None,
        cards=extension_cards(path, shown) if info is not None else [],
        table=table_rows(path, shown, TABLE_ROWS) if info is not None and info.kind == "table" else None,
        cards_shown=CARDS,
        qc1=values if len(values) <= VALUES else [],
        summed=_summed(values) if len(values) > VALUES else [],
        texts=product_texts(page.session, product_id),
        place=place,
        used_by=queries.used_by(page.session, product),
        events=quarantine_history(page.session, str(product.id), "product"),
    )
