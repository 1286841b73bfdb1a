"""What is compressed is unpacked once, into a file without a name, and read from there by rows.

Tile-compressed images are unpacked one by one, by the process that needs them. A file that is compressed as a whole has
to be read from its start for any of its images, so all of it is unpacked, once for a process and those that it forks.
"""

from __future__ import annotations

import contextlib
import os
import resource
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError, RetriableError
from core.fitsfile.scan import FitsScan, HduScan, scan_fits, scan_packed

__all__ = ["Descriptor", "unpack", "unpack_whole"]

_TILE_ROWS: Final = 256
_unpacked: dict[tuple[str, int, int], tuple[FitsScan, Descriptor]] = {}  # by path, size and time of change
_lock = threading.Lock()
# CFITSIO, which astropy has inside, keeps the state of decoding HCOMPRESS in global variables.
_global_state: Final = {"HCOMPRESS_1": threading.Lock()}


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
        kind = scan_fits(path).hdus[hdu.index].header.get("ZCMPTYPE")  # raw channels go without their headers
        alone = _global_state.get(str(kind), contextlib.nullcontext())
        for y0 in range(0, hdu.shape[0], _TILE_ROWS):
            try:
                with alone:
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


def unpack_whole(path: Path) -> tuple[FitsScan, Descriptor]:
    """Unpack a file that is compressed as a whole; it stays unpacked as long as the process lives.

    Returns
    -------
    scan : FitsScan
    content : Descriptor

    Raises
    ------
    BadFitsError
        See `core.fitsfile.scan.scan_packed`.
    RetriableError
        If there is no room for it.
    OSError
        If the file cannot be read.
    """
    info = path.stat()
    key = (os.path.abspath(path), info.st_size, info.st_mtime_ns)
    with _lock:
        if key not in _unpacked:
            try:
                with tempfile.TemporaryFile() as target:
                    scan = scan_packed(path, target)
                    target.flush()
                    _unpacked[key] = scan, Descriptor(os.dup(target.fileno()), 0)
            except OSError as error:
                folder = tempfile.gettempdir()
                raise RetriableError(f"it cannot be unpacked into {folder}: {error.strerror}", file=path) from error
        return _unpacked[key]
