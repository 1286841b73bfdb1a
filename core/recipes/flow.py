"""What a recipe is given and what it returns: the context of one part, and products, which the engine writes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy.typing as npt

from core.errors import DeclarationError
from core.fitsfile.header import Header
from core.formats.image import MuseImage
from core.formats.tables import MuseTable, TableFormat
from core.recipes.frames import Frame
from core.spread import in_turn

__all__ = [
    "ArrayProduct",
    "FileProduct",
    "FilledFile",
    "HeaderProduct",
    "ImageProduct",
    "PartOutput",
    "PixtableProduct",
    "Product",
    "RecipeContext",
    "TableProduct",
]


@dataclass
class ImageProduct:
    """An image; QC and DRS keywords are already in ``image.header``.

    ``raws`` and ``calibs`` are the frames really used, for the provenance. A product of a unit is saved as
    ``TAG-nn.fits``, one of the whole as ``TAG.fits``; ``number`` makes it ``TAG_iiii-nn.fits`` or ``TAG_iiii.fits``.
    """

    tag: str
    image: MuseImage
    raws: Sequence[Frame]
    calibs: Sequence[Frame]
    number: int | None = None

    @property
    def header(self) -> Header:
        """Primary header, without provenance."""
        return self.image.header


@dataclass
class TableProduct:
    """A table in one extension."""

    tag: str
    fmt: TableFormat
    table: MuseTable
    raws: Sequence[Frame]
    calibs: Sequence[Frame]
    number: int | None = None
    extension: str | None = None

    @property
    def header(self) -> Header:
        """Primary header, without provenance."""
        return self.table.header


@dataclass
class ArrayProduct:
    """An array of any dimension in one named extension (LSF_PROFILE, WAVE_MAP, ...) with its WCS cards.

    Without a name it is in the primary HDU.

    ``more`` are extensions that follow: headers with ``EXTNAME``, and arrays.
    """

    tag: str
    extension: str
    data: Any
    header: Header
    extension_header: Header
    raws: Sequence[Frame]
    calibs: Sequence[Frame]
    number: int | None = None
    more: Sequence[tuple[Header, npt.NDArray[Any]]] = ()


@dataclass
class HeaderProduct:
    """Numbers without data: a file of one HDU that has a header only (NONLINEARITY_GAIN)."""

    tag: str
    header: Header
    raws: Sequence[Frame]
    calibs: Sequence[Frame]
    number: int | None = None


@dataclass
class PixtableProduct:
    """A pixel table in memory: columns (float32 or int32) by name, in the order of the file."""

    tag: str
    columns: Mapping[str, npt.NDArray[Any]]
    header: Header
    raws: Sequence[Frame]
    calibs: Sequence[Frame]
    number: int | None = None


class FilledFile(Protocol):
    """A file that was reserved at full size and filled by the processes of the parts: `core.formats.cube.CubeFile`."""

    def finish(self, header: Header) -> Path:
        """Write these cards into the primary header, and the sums, and give the file its final name."""

    def discard(self) -> None:
        """Remove what is reserved."""


@dataclass
class FileProduct:
    """A product that the recipe itself reserved (`Recipe.prepare`) and filled on disk: a cube, a pixel table.

    It is reserved in ``ctx.output_dir`` under the name that `core.recipes.names.product_name` gives; the engine
    completes the header with the provenance and has the file finished.
    """

    tag: str
    file: FilledFile
    header: Header
    raws: Sequence[Frame]
    calibs: Sequence[Frame]
    number: int | None = None


Item = TypeVar("Item")
Result = TypeVar("Result")
Product = ImageProduct | TableProduct | ArrayProduct | HeaderProduct | PixtableProduct | FileProduct


@dataclass
class PartOutput:
    """What `Recipe.process` makes of a part.

    Attributes
    ----------
    products : sequence of Product
        Written by the process of the part; arrays never cross a process boundary.
    measured : object
        Small and picklable: goes to `Recipe.finish`.
    """

    products: Sequence[Product] = ()
    measured: Any = None


def _refuse(product: Product) -> None:
    raise DeclarationError(f"{product.tag} is saved outside of a part")


@dataclass
class RecipeContext:
    """What the engine gives to a recipe: a logger that knows recipe and part, a progress report, threads, and a place.

    Attributes
    ----------
    log : logging.LoggerAdapter
    progress : callable
        ``progress(fraction, text)``; fraction of this part done, 0..1. May be called by several threads.
    threads : int
        Threads that this part may use.
    output_dir : pathlib.Path
        Where files may be reserved; the same for all parts, and on all hosts.
    prepared : object
        What `Recipe.prepare` returned; None in `prepare` itself.
    kept : list
        Set by a flow that has products to keep although it will raise (e.g. a master flat without tracing).
    save : callable
        ``save(product)`` writes a product of a part at once, so that its memory is free for the next; of a part that
        fails later it stays.
    """

    log: logging.LoggerAdapter[Any]
    progress: Callable[[float, str], None]
    threads: int = 1
    output_dir: Path = field(default_factory=Path)
    prepared: Any = None
    kept: list[Product] = field(default_factory=list)
    save: Callable[[Product], None] = _refuse

    def spread(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Apply a function to items on the threads of this part; the results come in the order of the items."""
        todo = list(items)
        if self.threads < 2 or len(todo) < 2:
            return in_turn(function, todo)
        with ThreadPoolExecutor(min(self.threads, len(todo))) as pool:
            return list(pool.map(function, todo))
