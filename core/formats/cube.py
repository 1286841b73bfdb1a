"""Data cubes on disk: DATA, STAT and, if wanted, DQ of shape (nz, ny, nx), filled by slabs of planes.

The format is that of the reference pipeline (MUSE manual, A.3.3): without an extension DQ a bad voxel is NaN in DATA
and STAT. A cube of a field is of 4 GB and more and never in memory: it is reserved at full size, filled in any order by
any process (`core.fitsfile.reserved`), and read by planes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError, DataError
from core.fitsfile.byteorder import pixels_from_disk
from core.fitsfile.checksum import add_sums
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, merged_header, set_key
from core.fitsfile.reserved import ROOM, ReservedFile, ReservedHdu
from core.fitsfile.scan import HduScan, scan_fits
from core.fitsfile.structure import image_cards
from core.fitsfile.transfer import read_at
from core.formats.image import PARTS, image_extension_header
from core.instruments.muse.facts import Dq

__all__ = ["CubeFile", "CubePlanes", "open_cube"]

_EXTENSIONS: Final = {True: ("DATA", "DQ", "STAT"), False: ("DATA", "STAT")}

Planes = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int32] | None]


class CubeFile:
    """A cube that is being written; use as a context manager, which closes it and no more.

    `create` it once, `open` it in any process on any host, `put` slabs in any order, and `finish` it once.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "DATACUBE_FINAL.fits"
    >>> with CubeFile.create(path, (2, 3, 4), Header(), Header(), unit="count") as cube:
    ...     plane = np.ones((1, 3, 4), np.float32)
    ...     cube.put(1, plane, plane)
    ...     cube.put(0, plane, plane)
    ...     cube.finish().name
    'DATACUBE_FINAL.fits'
    """

    def __init__(self, reserved: ReservedFile) -> None:
        self._file = reserved

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        shape: tuple[int, int, int],
        header: Header,
        wcs: Header,
        *,
        unit: str,
        variance_unit: str | None = None,
        dq: bool = False,
        room: int = ROOM,
    ) -> CubeFile:
        """Reserve a cube.

        Parameters
        ----------
        path : path-like
            Final name.
        shape : tuple of int
            ``(nz, ny, nx)``.
        header : Header
            Cards of the primary HDU.
        wcs : Header
            World coordinates: cards of every extension.
        unit : str
            ``BUNIT`` of DATA.
        variance_unit : str, optional
            That of STAT, if it is not written as ``(unit)**2``.
        dq : bool
            Whether there is an extension DQ; if not, flagged voxels are NaN.
        room : int
            Cards that the primary header may grow by until `finish`.

        Raises
        ------
        ProductStoreError
            If the disk has no space for it.
        """
        primary = header.copy()
        set_key(primary, "PIPEFILE", Path(path).name, "Filename of data product")
        hdus = []
        for part in _EXTENSIONS[dq]:
            dtype = np.dtype(PARTS[part][0])
            own = image_cards(dtype, shape)
            own["OBJECT"] = f"{get_key(primary, 'OBJECT', str, default='')} ({part})"
            own.extend(image_extension_header(part, unit, parts=_EXTENSIONS[dq]).cards)
            if part == "STAT" and variance_unit is not None:
                own["BUNIT"] = variance_unit
            own.extend(wcs.cards)
            hdus.append(ReservedHdu(own, shape[1] * shape[2] * dtype.itemsize))
        return cls(ReservedFile.create(path, primary, hdus, np.arange(shape[0] + 1), room))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> CubeFile:
        """Open a cube that was reserved, to write to it.

        Raises
        ------
        ProductStoreError
            If none is reserved under that name.
        """
        return cls(ReservedFile(path))

    def __enter__(self) -> CubeFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(nz, ny, nx)``."""
        nz, ny, nx = self._file.hdus[1].shape
        return nz, ny, nx

    @property
    def header(self) -> Header:
        """Cards of the primary HDU, to be changed and given to `finish`."""
        return self._file.primary

    def put(
        self,
        z0: int,
        data: npt.NDArray[np.float32],
        stat: npt.NDArray[np.float32],
        dq: npt.NDArray[np.int32] | None = None,
    ) -> None:
        """Write a slab; the same slab again gives the same bytes.

        Parameters
        ----------
        z0 : int
            Its first plane, from 0.
        data, stat : ndarray of float32, shape (n, ny, nx)
        dq : ndarray of int32, same shape, optional
            Flags. Without them NaN in ``data`` is bad; a cube without DQ gets NaN where they are not 0.

        Raises
        ------
        DataError
            If an array has another type or size, or the slab does not lie in the cube.
        ProductStoreError
            If it cannot be written.
        """
        nz, ny, nx = self.shape
        with_dq = len(self._file.hdus) == 4
        for part, array in (("DATA", data), ("STAT", stat), ("DQ", dq)):
            if array is not None and (array.dtype != PARTS[part][0] or array.ndim != 3):
                raise DataError(f"{part} is {array.dtype} of {array.ndim} dimensions, not {PARTS[part][0]} of 3")
        given = {array.shape for array in (data, stat, dq) if array is not None}
        if given != {(len(data), ny, nx)} or not 0 <= z0 <= nz - len(data):
            raise DataError(f"a slab of {data.shape} at plane {z0} does not fit a cube of {self.shape}")
        for k in range(len(data)):
            flags = None if dq is None else dq[k]
            if with_dq:
                flags = np.where(np.isnan(data[k]), Dq.MISSING, 0).astype(np.int32) if flags is None else flags
                planes: list[npt.NDArray[Any]] = [data[k], flags, stat[k]]
            else:
                planes = [_blanked(data[k], flags), _blanked(stat[k], flags)]
            total = 0
            for number, plane in enumerate(planes, 1):
                total = add_sums(total, self._file.write(number, z0 + k, plane))
            self._file.mark(z0 + k, total)

    def missing(self) -> list[int]:
        """Planes that were not put so far, from 0."""
        return self._file.missing()

    def planes(self) -> CubePlanes:
        """What was put so far, to be read; other planes are 0."""
        return open_cube(self._file.reserved)

    def finish(self, header: Header | None = None, images: Sequence[tuple[Header, npt.NDArray[Any]]] = ()) -> Path:
        """Complete headers and sums, sync the file, and give it its final name.

        Parameters
        ----------
        header : Header, optional
            Cards of the primary HDU in place of those the cube was reserved with.
        images : sequence of (Header, ndarray)
            Images of filters, to follow the cube; headers with ``EXTNAME``.

        Raises
        ------
        ProductStoreError
            If a plane was never put (it is named), or the header has outgrown its room.
        """
        more = []
        for own, image in images:
            full = image_cards(image.dtype, image.shape)
            full.extend(own.cards)
            more.append((full, image))
        return self._file.finish(header, more, "plane")

    def close(self) -> None:
        """Close the file; what was put stays."""
        self._file.close()

    def discard(self) -> None:
        """Remove what is reserved."""
        self._file.discard()


def _blanked(plane: npt.NDArray[np.float32], flags: npt.NDArray[np.int32] | None) -> npt.NDArray[np.float32]:
    if flags is None:
        return plane
    return np.where(flags == 0, plane, np.float32(np.nan))


@dataclass(frozen=True)
class CubePlanes:
    """A finished cube, read by planes.

    Attributes
    ----------
    path : pathlib.Path
    header : Header
        Keywords of the primary HDU and of DATA.
    unit : str
    shape : tuple of int
        ``(nz, ny, nx)``.
    """

    path: Path
    header: Header
    unit: str
    shape: tuple[int, int, int]
    _parts: dict[str, HduScan]

    @property
    def has_flags(self) -> bool:
        """Whether there is an extension DQ."""
        return "DQ" in self._parts

    @property
    def axes_header(self) -> Header:
        """Keywords of DATA that the format does not set itself: the world coordinates, and what a user added."""
        own = merged_header(Header(), self._parts["DATA"].header)
        own.remove("OBJECT", *image_extension_header("DATA", ""))
        return own

    def read(self, z0: int, z1: int) -> Planes:
        """DATA, STAT and DQ (None if there is none) of planes ``z0`` up to but not including ``z1``.

        Raises
        ------
        BadFitsError
            If the file is cut.
        DataError
            If the planes do not lie in the cube.
        """
        flags = self.read_part("DQ", z0, z1) if self.has_flags else None
        return self.read_part("DATA", z0, z1), self.read_part("STAT", z0, z1), flags

    def read_part(self, part: str, z0: int, z1: int) -> npt.NDArray[Any]:
        """Planes of one of the extensions; see `read`."""
        if not 0 <= z0 <= z1 <= self.shape[0]:
            raise DataError(f"planes {z0} to {z1} do not lie in a cube of {self.shape[0]}", file=self.path)
        planes = np.empty((z1 - z0, *self.shape[1:]), PARTS[part][0])
        start = z0 * planes[:1].nbytes if z1 > z0 else 0
        with self.path.open("rb", buffering=0) as stream:
            view = planes.reshape(-1).view(np.uint8).data
            if not read_at(stream.fileno(), view, self._parts[part].data_offset + start):
                raise BadFitsError(f"the file is cut inside extension {part}", file=self.path)
        pixels_from_disk(planes)
        return planes


def open_cube(path: str | os.PathLike[str], needed: Sequence[str] = _EXTENSIONS[False]) -> CubePlanes:
    """Open a cube for reading.

    Parameters
    ----------
    path : path-like
    needed : sequence of str
        Extensions that it must have; a flat field of the sky has ``DATA`` only.

    Raises
    ------
    BadFitsError
        If these are not there as cubes of equal sizes.
    """
    path = Path(path)
    scan = scan_fits(path)
    parts = {part: hdu for part in PARTS if (hdu := scan.extension(part)) is not None}
    for part in needed:
        if part not in parts:
            raise BadFitsError(f"extension {part} is missing", file=path)
    for part, hdu in parts.items():
        if hdu.kind != "image" or len(hdu.shape) != 3 or hdu.bitpix != (32 if part == "DQ" else -32):
            raise BadFitsError(f"extension {part} is no plain cube of BITPIX {32 if part == 'DQ' else -32}", file=path)
    if len({hdu.shape for hdu in parts.values()}) != 1:
        raise BadFitsError("DATA, STAT and DQ have different sizes", file=path)
    data = parts["DATA"]
    nz, ny, nx = data.shape
    header = merged_header(scan.primary, data.header)
    return CubePlanes(path, header, get_key(data.header, "BUNIT", str, default=""), (nz, ny, nx), parts)
