"""Product images: DATA, DQ and STAT of one IFU, single or merged files.

The format is that of the reference pipeline (facts of MUSE manual section 5.3.1): primary HDU with all keywords and
``EXTNAME = CHANnn``, extensions ``DATA`` (float32), ``DQ`` (int32, Euro3D flags), ``STAT`` (float32 variance); merged
files carry ``CHANnn.DATA``, ``CHANnn.DQ``, ``CHANnn.STAT`` and the channel's own keywords in each extension.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError, MissingInputError
from core.fitsfile.byteorder import pixels_from_disk
from core.fitsfile.header import Header
from core.fitsfile.keywords import dot_name, get_key, merged_header, set_key
from core.fitsfile.scan import FitsScan, HduScan, scan_fits
from core.fitsfile.transfer import read_at
from core.fitsfile.unpack import Descriptor, unpack
from core.fitsfile.writer import FitsWriter
from core.instruments.muse.facts import Dq, chip_name, ifu_of_extname

__all__ = [
    "PARTS",
    "ImageRows",
    "MuseImage",
    "image_extension_header",
    "open_image",
    "read_image",
    "write_image",
]

# name -> (dtype, HDUCLAS2, HDUCLAS3, pointers to the other parts)
PARTS: Final[dict[str, tuple[str, str, str | None, tuple[tuple[str, str], ...]]]] = {
    "DATA": ("f4", "DATA", None, (("ERRDATA", "STAT"), ("QUALDATA", "DQ"))),
    "DQ": ("i4", "QUALITY", "FLAG32BIT", (("SCIDATA", "DATA"), ("ERRDATA", "STAT"))),
    "STAT": ("f4", "ERROR", "MSE", (("SCIDATA", "DATA"), ("QUALDATA", "DQ"))),
}


@dataclass
class MuseImage:
    """An image with flags and variance.

    Attributes
    ----------
    data : ndarray of float32, shape (ny, nx)
    dq : ndarray of int32, shape (ny, nx)
        Euro3D flags (`core.instruments.muse.facts.Dq`).
    stat : ndarray of float32, shape (ny, nx)
        Variance, in the square of `unit`.
    header : Header
        Keywords of the primary HDU (of the channel in merged files).
    unit : str
        ``adu`` or ``count``.
    """

    data: npt.NDArray[np.float32]
    dq: npt.NDArray[np.int32]
    stat: npt.NDArray[np.float32]
    header: Header
    unit: str

    @property
    def n_saturated(self) -> int:
        """Number of pixels that are saturated and nothing else, counted without a copy of the image."""
        rows = range(0, self.dq.shape[0], 64)
        return sum(int(np.count_nonzero(self.dq[y0 : y0 + 64] == Dq.SATURATED)) for y0 in rows)


@dataclass(frozen=True)
class ImageRows:
    """A product image on disk, read by rows, so that a master costs no memory beyond a slab.

    Attributes
    ----------
    path : pathlib.Path
    ifu : int
    header : Header
        Keywords of the product as they apply to this IFU.
    unit : str
    shape : tuple of int
        ``(ny, nx)``.
    """

    path: Path
    ifu: int
    header: Header
    unit: str
    shape: tuple[int, int]
    _parts: dict[str, HduScan]
    _unpacked: dict[str, Descriptor] = field(default_factory=dict, repr=False)
    _unpacking: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def rows(self, y0: int, y1: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """DATA, DQ and STAT of rows ``y0`` (0-based) up to but not including ``y1``, in native byte order.

        Without an extension DQ, NaN in DATA is flagged as missing; without STAT, it is 0.

        Raises
        ------
        BadFitsError
            If the file ends before.
        """
        data, dq, stat = (self._read(part, y0, y1) for part in PARTS)
        return data, dq, stat

    def read(self) -> MuseImage:
        """The whole image."""
        return MuseImage(*self.rows(0, self.shape[0]), header=self.header, unit=self.unit)

    def read_part(self, part: str, y0: int = 0, y1: int | None = None) -> npt.NDArray[Any]:
        """One of ``DATA``, ``DQ``, ``STAT``: wholly, or its rows ``y0`` (0-based) up to but not including ``y1``."""
        return self._read(part, y0, self.shape[0] if y1 is None else y1)

    def _read(self, part: str, y0: int, y1: int) -> npt.NDArray[Any]:
        if part not in self._parts:
            return self._made_up(part, y0, y1)
        hdu = self._parts[part]
        dtype = np.dtype(PARTS[part][0])
        out = np.empty((y1 - y0, self.shape[1]), dtype)
        view = out.reshape(-1).view(np.uint8).data
        start = y0 * self.shape[1] * dtype.itemsize
        if hdu.kind == "compressed":
            complete = read_at(self._plain(part).number, view, start)
        else:
            with self.path.open("rb", buffering=0) as stream:
                complete = read_at(stream.fileno(), view, hdu.data_offset + start)
            pixels_from_disk(out)
        if not complete:
            raise BadFitsError(f"the file is cut inside extension {hdu.extname}", file=self.path)
        return out

    def _made_up(self, part: str, y0: int, y1: int) -> npt.NDArray[Any]:
        """Rows of an extension that the file does not have: without DQ, NaN is bad; without STAT, no error is known."""
        if part == "DQ":
            return np.where(np.isnan(self._read("DATA", y0, y1)), np.int32(Dq.MISSING), np.int32(0))
        return np.zeros((y1 - y0, self.shape[1]), PARTS[part][0])

    def _plain(self, part: str) -> Descriptor:
        """The pixels of a tile-compressed part in native byte order."""
        with self._unpacking:
            if part not in self._unpacked:
                dtype = np.dtype(PARTS[part][0])
                self._unpacked[part] = unpack(self.path, self._parts[part], lambda rows: rows.astype(dtype))
            return self._unpacked[part]


def open_image(path: str | os.PathLike[str], ifu: int) -> ImageRows:
    """Open the image of an IFU in a single or merged product.

    Raises
    ------
    MissingInputError
        If the file does not hold that IFU.
    BadFitsError
        If DATA is missing, or DQ and STAT have other sizes; both may be missing (MUSE manual, A.3.1).
    """
    path = Path(path)
    scan = scan_fits(path)
    single = scan.extension("DATA")
    if single is not None:
        found = ifu_of_extname(str(scan.primary.get("EXTNAME", "")))
        if found is not None and found != ifu:
            raise MissingInputError(f"the file is of IFU {found}, not {ifu}", file=path, ifu=ifu)
        header, prefix = merged_header(scan.primary, Header()), ""
    else:
        prefix = f"{chip_name(ifu)}."
        merged = scan.extension(f"{prefix}DATA")
        if merged is None:
            raise MissingInputError(f"the file has neither DATA nor {prefix}DATA", file=path, ifu=ifu)
        header = _channel_header(scan, merged, ifu)
    parts = {}
    for part in PARTS:
        hdu = scan.extension(prefix + part)
        if hdu is None and part != "DATA":
            continue
        if hdu is None or len(hdu.shape) != 2:
            raise BadFitsError(f"extension {prefix}{part} is missing or no image", file=path, ifu=ifu)
        if hdu.bitpix != (32 if part == "DQ" else -32):
            raise BadFitsError(f"extension {prefix}{part} has BITPIX {hdu.bitpix}", file=path, ifu=ifu)
        parts[part] = hdu
    shapes = {hdu.shape for hdu in parts.values()}
    if len(shapes) != 1:
        raise BadFitsError("DATA, DQ and STAT have different sizes", file=path, ifu=ifu)
    if scan.truncated:
        raise BadFitsError("the file is cut", file=path, ifu=ifu)
    ny, nx = shapes.pop()
    unit = get_key(parts["DATA"].header, "BUNIT", str, default="")
    return ImageRows(path, ifu, header, unit, (ny, nx), parts)


def _channel_header(scan: FitsScan, extension: HduScan, ifu: int) -> Header:
    header = merged_header(scan.primary, Header())
    own = Header()
    for card in extension.header.cards:
        if card.keyword.startswith("ESO "):
            own.append(card)
    header = merged_header(header, own)
    header["EXTNAME"] = chip_name(ifu)
    return header


def ifus_of_image(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """IFUs whose images a product file holds, ascending.

    Raises
    ------
    BadFitsError
        If the file cannot be read.
    """
    scan = scan_fits(path)
    names = [str(scan.primary.get("EXTNAME", "")), *(hdu.extname for hdu in scan.hdus[1:])]
    return tuple(sorted({ifu for name in names if (ifu := ifu_of_extname(name)) is not None}))


def read_image(path: str | os.PathLike[str], ifu: int) -> MuseImage:
    """Read the image of an IFU wholly; see `open_image` for what is raised."""
    return open_image(path, ifu).read()


def image_extension_header(part: str, unit: str, prefix: str = "", parts: Container[str] = tuple(PARTS)) -> Header:
    """Cards of a ``DATA``, ``DQ`` or ``STAT`` extension after the structural ones; only ``parts`` are pointed to."""
    _, class2, class3, pointers = PARTS[part]
    header = Header()
    header["INHERIT"] = (True, "primary header keywords are inherited")
    header["EXTNAME"] = (prefix + part, "This extension contains " + _WHAT[part])
    header["HDUCLASS"] = ("ESO", "class name (ESO format)")
    header["HDUDOC"] = ("DICD", "document with class description")
    header["HDUVERS"] = ("DICD version 6", "version number (according to spec v2.5.1)")
    header["HDUCLAS1"] = ("IMAGE", "Image data format")
    header["HDUCLAS2"] = (class2, f"the {_WHAT[part]}")
    if class3:
        header["HDUCLAS3"] = (class3, f"extension type: {class3}")
    if part == "DQ":
        header["QUALMASK"] = (4294967295, "Condition which good pixels fulfill")
    for key, target in (pointer for pointer in pointers if pointer[1] in parts):
        header[key] = (prefix + target, f"pointer to the {_WHAT[target]}")
    if part == "DATA":
        header["BUNIT"] = unit
    elif part == "STAT":
        header["BUNIT"] = f"({unit})**2"
    return header


_WHAT = {"DATA": "data values", "DQ": "bad pixel status", "STAT": "data variance"}


def write_image(path: str | os.PathLike[str], image: MuseImage, ifu: int | None = None) -> Path:
    """Write a single-IFU product image, atomically, with checksums and ``DATAMD5``.

    Parameters
    ----------
    path : path-like
    image : MuseImage
        ``header`` goes to the primary HDU.
    ifu : int, optional
        Sets ``EXTNAME`` of the primary HDU.
    """
    path = Path(path)
    header = image.header.copy()
    if ifu is not None:
        set_key(header, "EXTNAME", chip_name(ifu), "extension name")
    set_key(header, "PIPEFILE", path.name, "Filename of data product")
    with FitsWriter(path, datamd5=True) as writer:
        writer.primary(header)
        for part, array in (("DATA", image.data), ("DQ", image.dq), ("STAT", image.stat)):
            expected = np.dtype(PARTS[part][0])
            if array.dtype != expected:
                raise TypeError(f"{part} is {array.dtype}, not {expected}")
            writer.image(image_extension_header(part, image.unit), array)
    return path


def channel_keys(header: Header) -> Header:
    """The keywords of a single-IFU product that belong to its channel: DET.CHIP, DET.OUTn, QC, DRS."""
    pattern = re.compile(CHANNEL_KEYS)
    return Header(card for card in header.cards if pattern.match(dot_name(card.keyword)))


CHANNEL_KEYS: Final = r"(DET\.CHIP\.|DET\.OUT\d|QC\.|DRS\.)"
