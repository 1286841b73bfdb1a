"""What a flow is given and what it returns: the context of one IFU, and products in memory, which the engine writes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy.typing as npt

from core.fitsfile.header import Header
from core.formats.image import MuseImage
from core.formats.tables import MuseTable, TableFormat
from core.spread import in_turn

if TYPE_CHECKING:
    from core.recipes.declaration import Frame

__all__ = [
    "CubeProduct",
    "ImageProduct",
    "PixtableProduct",
    "Product",
    "RecipeContext",
    "TableProduct",
]


@dataclass
class ImageProduct:
    """An image to be saved as ``TAG-nn.fits``; QC and DRS keywords are already in ``image.header``.

    ``raws`` and ``calibs`` are the frames really used, for the provenance; ``number`` makes it ``TAG_iiii-nn.fits``.
    """

    tag: str
    image: MuseImage
    raws: Sequence[Frame]
    calibs: Sequence[Frame]
    number: int | None = None


@dataclass
class TableProduct:
    """A table to be saved as ``TAG-nn.fits``."""

    tag: str
    fmt: TableFormat
    table: MuseTable
    raws: Sequence[Frame]
    calibs: Sequence[Frame]
    number: int | None = None
    extension: str | None = None


@dataclass
class CubeProduct:
    """An array of any dimension in one named extension (LSF_PROFILE, WAVE_MAP, ...) with its WCS cards."""

    tag: str
    extension: str
    data: Any
    header: Header
    extension_header: Header
    raws: Sequence[Frame]
    calibs: Sequence[Frame]
    number: int | None = None


@dataclass
class PixtableProduct:
    """A pixel table: columns (float32 or int32) by name, in the order of the file."""

    tag: str
    columns: Mapping[str, npt.NDArray[Any]]
    header: Header
    raws: Sequence[Frame]
    calibs: Sequence[Frame]
    number: int | None = None


Item = TypeVar("Item")
Result = TypeVar("Result")
Product = ImageProduct | TableProduct | CubeProduct | PixtableProduct


@dataclass
class RecipeContext:
    """What the engine gives to a flow: a logger that knows recipe and IFU, and a progress report.

    Attributes
    ----------
    log : logging.LoggerAdapter
    progress : callable
        ``progress(fraction, text)``; fraction of this IFU done, 0..1. May be called by several threads.
    threads : int
        Threads that this IFU may use.
    kept : list
        Set by a flow that has products to keep although it will raise (e.g. a master flat without tracing).
    """

    log: logging.LoggerAdapter[Any]
    progress: Callable[[float, str], None]
    threads: int = 1
    kept: list[Product] = field(default_factory=list)

    def spread(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Apply a function to items on the threads of this IFU; the results come in the order of the items."""
        todo = list(items)
        if self.threads < 2 or len(todo) < 2:
            return in_turn(function, todo)
        with ThreadPoolExecutor(min(self.threads, len(todo))) as pool:
            return list(pool.map(function, todo))
