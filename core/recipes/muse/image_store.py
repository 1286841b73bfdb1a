"""Images put aside in a temporary file, for what needs all of them and then one after the other.

So the memory that a recipe needs depends neither on the number of frames nor, of arcs, on that of lamps.
"""

from __future__ import annotations

import tempfile
from types import TracebackType
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.combine import CombineOptions, combine_images
from core.errors import DataError, ProductStoreError
from core.fitsfile.header import Header
from core.fitsfile.transfer import read_at, write_at
from core.formats.image import MuseImage
from core.spread import Spread, in_turn

__all__ = ["ImageStore"]

_SLAB_ROWS: Final = 128


class ImageStore:
    """Images of one shape, put aside in a temporary file; use as a context manager.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    spread : Spread
        Copies slabs of rows side by side.
    flags : bool
        Keep the flags, which `combine` needs; else only the mask of flagged pixels.
    """

    def __init__(self, shape: tuple[int, int], spread: Spread = in_turn, *, flags: bool = False) -> None:
        self._shape = shape
        self._spread = spread
        self._types = ("f4", "f4", "i4" if flags else "?")
        self._file: IO[bytes] | None = None
        self._count = 0

    def __enter__(self) -> ImageStore:
        self._file = tempfile.TemporaryFile(prefix="cascade-images-", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __len__(self) -> int:
        return self._count

    def add(
        self, data: NDArray[np.float32], stat: NDArray[np.float32], flags: NDArray[np.int32] | NDArray[np.bool_]
    ) -> int:
        """Put an image aside; returns its index.

        Parameters
        ----------
        data, stat : ndarray of float32
        flags : ndarray of int32 or bool
            Flags, or the mask of the flagged pixels.

        Raises
        ------
        ProductStoreError
            If the temporary file cannot be written.
        """
        number, index = self._descriptor(), self._count

        def write(rows: tuple[int, int]) -> None:
            for part, plane in enumerate((data, stat, flags)):
                slab = np.ascontiguousarray(plane[slice(*rows)], dtype=self._types[part])
                write_at(number, slab.reshape(-1).view(np.uint8).data, self._offset(index, part, rows[0]))

        try:
            self._spread(write, self._slabs())
        except OSError as error:
            raise ProductStoreError(f"an image cannot be put aside: {error}") from error
        self._count += 1
        return index

    def read(self, index: int, data: NDArray[np.float32], stat: NDArray[np.float32], bad: NDArray[np.bool_]) -> None:
        """Fill arrays with DATA and STAT of an image, and with the mask of its flagged pixels."""

        def fill(rows: tuple[int, int]) -> None:
            window = slice(*rows)
            self._rows(index, 0, rows, data[window])
            self._rows(index, 1, rows, stat[window])
            np.not_equal(self._rows(index, 2, rows), 0, out=bad[window])

        self._spread(fill, self._slabs())

    def combine(self, options: CombineOptions, header: Header) -> MuseImage:
        """All images combined into one, slab by slab; ``header`` becomes that of the result.

        Raises
        ------
        DataError
            If the flags have not been kept.
        """
        if self._types[2] != "i4":
            raise DataError("the flags of the images have not been kept")
        data, stat = np.empty(self._shape, np.float32), np.empty(self._shape, np.float32)
        dq = np.empty(self._shape, np.int32)

        def combine(rows: tuple[int, int]) -> None:
            planes = [np.stack([self._rows(i, part, rows) for i in range(self._count)]) for part in range(3)]
            window = slice(*rows)
            data[window], dq[window], stat[window] = combine_images(planes[0], planes[2], planes[1], options)

        self._spread(combine, self._slabs())
        return MuseImage(data, dq, stat, header, "count")

    def _offset(self, index: int, part: int, row: int) -> int:
        sizes = [np.dtype(dtype).itemsize for dtype in self._types]
        return ((index * sum(sizes) + sum(sizes[:part])) * self._shape[0] + sizes[part] * row) * self._shape[1]

    def _descriptor(self) -> int:
        if self._file is None:
            raise DataError("the image store is closed")
        return self._file.fileno()

    def _slabs(self) -> list[tuple[int, int]]:
        return [(y0, min(y0 + _SLAB_ROWS, self._shape[0])) for y0 in range(0, self._shape[0], _SLAB_ROWS)]

    def _rows(self, index: int, part: int, rows: tuple[int, int], out: NDArray[Any] | None = None) -> NDArray[Any]:
        if out is None:
            out = np.empty((rows[1] - rows[0], self._shape[1]), self._types[part])
        view = out.reshape(-1).view(np.uint8).data
        if not read_at(self._descriptor(), view, self._offset(index, part, rows[0])):
            raise ProductStoreError("the temporary file of images is cut")
        return out
