"""Tile-compressed images are unpacked once, into a file without a name, and read from there by rows."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError
from core.fitsfile.scan import HduScan

__all__ = ["Descriptor", "unpack"]

_TILE_ROWS: Final = 256


class Descriptor:
    """An open file with the pixels of an image from ``offset`` on; it closes with its owner.

    Attributes
    ----------
    number : int
        File descriptor.
    offset : int
        Where the first pixel is [byte].
    """

    open_now: ClassVar[int] = 0  # in this process, about: threads may lose a count

    def __init__(self, number: int, offset: int) -> None:
        self.number, self.offset = number, offset
        Descriptor.open_now += 1

    def __del__(self) -> None:
        Descriptor.open_now -= 1
        os.close(self.number)

    @staticmethod
    def to_spare() -> bool:
        """Whether fewer than half of the descriptors that the process may have are in use this way."""
        return Descriptor.open_now <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2


def unpack(path: Path, hdu: HduScan, encode: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Descriptor:
    """Unpack a tile-compressed image, a few rows at a time.

    Parameters
    ----------
    path : pathlib.Path
    hdu : HduScan
        The HDU of the image.
    encode : callable
        What becomes of the rows before they are written.

    Raises
    ------
    BadFitsError
        If the tiles are damaged.
    """
    from astropy.io import fits  # here only: it takes long to load

    with tempfile.TemporaryFile() as target, fits.open(path, memmap=False, lazy_load_hdus=True) as hdus:
        section = hdus[hdu.index].section
        for y0 in range(0, hdu.shape[0], _TILE_ROWS):
            try:
                rows = np.asarray(section[y0 : y0 + _TILE_ROWS, :])
            except (MemoryError, OSError):  # of the machine, not of the file
                raise
            except Exception as error:  # of a type of its own for each kind of damage
                raise BadFitsError(
                    f"the tiles of extension {hdu.extname} cannot be unpacked: {error}", file=path
                ) from error
            target.write(encode(rows).tobytes())
        target.flush()
        return Descriptor(os.dup(target.fileno()), 0)
