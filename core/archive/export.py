"""Masters leave the archive under the observatory's names, as copies to the byte.

A name is ``<PREFIX>_<CODE>_<YYMMDD><LETTER>_<set-up>[_<unit>].fits``: the product code of the tag, the night, the
set-up without what follows from other keys, and the extension name of the unit. The letter tells the works of one
night, tag and set-up apart: the first one is taken under which there are no other files, and none with other content.
So a second export changes nothing, and no file is ever overwritten.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from string import ascii_uppercase
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.archive.models import Block, Product
from core.archive.states import BlockState, ProductState
from core.archive.store import fsync_directory
from core.errors import ProductStoreError
from core.fitsfile.digest import file_sha256
from core.instruments.declaration import Instrument
from core.instruments.registry import instrument

__all__ = ["ExportFile", "ExportSet", "Exported", "export_sets", "exportable"]

_USABLE = (ProductState.PROVISIONAL, ProductState.CERTIFIED)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK)


@dataclass(frozen=True)
class ExportFile:
    """One product file."""

    path: Path
    sha256: str
    unit: int | None


@dataclass(frozen=True)
class ExportSet:
    """The files of one tag of one block.

    Attributes
    ----------
    setup : str
        The set-up for names.
    """

    block: str
    tag: str
    night: date
    setup: str
    instrument: Instrument
    files: tuple[ExportFile, ...]

    @property
    def code(self) -> str:
        """Product code of the observatory; empty if it has none for such a product of a night."""
        found = self.instrument.statics.code_of(self.tag)
        return "" if found is None or found.static else found.code


@dataclass(frozen=True)
class Exported:
    """What became of one file: where it lies now, or why it was left out.

    Attributes
    ----------
    target : pathlib.Path or None
    new : bool
        False if it was there already.
    reason : str
        Why there is no target.
    """

    source: Path
    target: Path | None = None
    new: bool = False
    reason: str = ""


def exportable(session: Session, nights: Iterable[date]) -> list[ExportSet]:
    """The products of the blocks of some nights that are done, by time, without those rejected, replaced or expired."""
    query = (
        select(Product, Block)
        .join(Block, Product.block_id == Block.id)
        .where(Block.night.in_(sorted(nights)), Block.state == BlockState.DONE, Product.state.in_(_USABLE))
        .where(Product.expired_at.is_(None))
        .order_by(Block.mjd_mid, Block.id, Product.tag, Product.unit, Product.id)
    )
    rows: dict[tuple[int, str], list[Product]] = {}
    blocks: dict[int, Block] = {}
    for product, block in session.execute(query):
        rows.setdefault((block.id, product.tag), []).append(product)
        blocks[block.id] = block
    return [_export_set(blocks[number], tag, products) for (number, tag), products in rows.items()]


def _export_set(block: Block, tag: str, products: Sequence[Product]) -> ExportSet:
    files = tuple(ExportFile(Path(row.path), row.sha256, row.unit) for row in products)
    return ExportSet(block.name, tag, block.night, products[0].setup.slug, instrument(block.instrument), files)


def export_sets(sets: Iterable[ExportSet], directory: Path) -> list[Exported]:
    """Copy products into a directory under the observatory's names.

    Parameters
    ----------
    sets : iterable of ExportSet
    directory : pathlib.Path
        Made if it does not exist.

    Returns
    -------
    list of Exported
        One for each file. Those without a product code of a master, and those that are damaged or gone, are left out.

    Raises
    ------
    ProductStoreError
        If the directory cannot be written, or all letters of a night are used.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        done = [entry for item in sets for entry in _export(item, directory)]
        fsync_directory(directory)
    except OSError as error:
        raise ProductStoreError(f"{directory} cannot be written: {error.strerror or error}", file=directory) from error
    return done


def _export(item: ExportSet, directory: Path) -> list[Exported]:
    if not item.code:
        return [Exported(file.path, reason=f"{item.tag} has no product code of a master") for file in item.files]
    for letter in ascii_uppercase:
        stem = item.instrument.statics.observatory_name(item.code, item.night, letter, item.setup)
        targets = {file: directory / f"{stem}{_unit_ending(item, file)}.fits" for file in item.files}
        if _is_free(directory, stem, targets):
            return [_copy(file, target) for file, target in targets.items()]
    raise ProductStoreError(
        f"all letters from A to Z are used for {item.code} of {item.night} in {directory}", file=directory
    )


def _unit_ending(item: ExportSet, file: ExportFile) -> str:
    return "" if file.unit is None else f"_{item.instrument.units.extension_name(file.unit)}"


def _is_free(directory: Path, stem: str, targets: dict[ExportFile, Path]) -> bool:
    """Whether all files of a version are ours, with our content; none need be there."""
    contents = {target.name: file.sha256 for file, target in targets.items()}
    present = [path for path in directory.iterdir() if path.name.startswith((f"{stem}.", f"{stem}_"))]
    return all(path.name in contents and file_sha256(path) == contents[path.name] for path in present)


def _copy(file: ExportFile, target: Path) -> Exported:
    if target.exists():
        return Exported(file.path, target)
    draft = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        try:
            shutil.copyfile(file.path, draft)
        except FileNotFoundError:
            return Exported(file.path, reason="the file is gone")
        if file_sha256(draft) != file.sha256:
            return Exported(file.path, reason="its content is not what the archive knows: it is damaged")
        descriptor = os.open(draft, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _give_name(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return Exported(file.path, target, new=True)


def _give_name(draft: Path, target: Path) -> None:
    """Unlike a renamed file, a linked one never takes the place of another."""
    try:
        os.link(draft, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with target.open("xb"):  # a file system without links: the name is taken first
            draft.replace(target)
