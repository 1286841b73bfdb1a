"""Raw MUSE frames: 24 extensions ``CHANnn`` of unsigned 16-bit pixels, plain, tile-compressed or compressed as a whole.

The product of muse_illum, which has 32 bits, is read as the raw frame that it is a copy of.

Pixels are read by rows (`RawChannel.read_rows`), so that recipes never hold more of a raw frame than they need.
See the MUSE manual, section 5.1, for the layout.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.ccd.geometry import Detector
from core.errors import BadFitsError, ChipNotLiveError, DataError, MissingInputError, error_context
from core.fitsfile.byteorder import pixels_from_disk, unsigned_from_disk
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, merged_header
from core.fitsfile.packed import packing_of
from core.fitsfile.scan import FitsScan, HduScan, scan_fits
from core.fitsfile.transfer import read_at
from core.fitsfile.unpack import Descriptor, unpack, unpack_whole
from core.fitsfile.writer import FitsWriter
from core.formats.merge import copy_data
from core.instruments.muse.facts import N_PORTS, PORT_X, PORT_Y, SCAN_WIDTH, chip_name, ifu_of_extname

__all__ = ["RawChannel", "RawFile", "detector_of_header", "open_raw", "write_raw"]

_ROWS: Final = 256  # of pixels of 32 bits at a time


@dataclass(frozen=True)
class RawFile:
    """An opened raw frame; ``content`` is the unpacked one of a file that is compressed as a whole."""

    path: Path
    scan: FitsScan
    content: Descriptor | None = field(default=None, repr=False)

    @property
    def primary(self) -> Header:
        """Primary header."""
        return self.scan.primary

    @property
    def ifus(self) -> tuple[int, ...]:
        """IFUs whose channels (``CHANnn``) are in the file, ascending."""
        found = {ifu_of_extname(hdu.extname) for hdu in self.scan.hdus}
        return tuple(sorted(ifu for ifu in found if ifu is not None))

    def channel(self, ifu: int) -> RawChannel:
        """The channel of an IFU.

        Raises
        ------
        MissingInputError
            If the file has no extension ``CHANnn`` for that IFU.
        ChipNotLiveError
            If the detector was off.
        BadFitsError
            If the extension is not an image of 16-bit integers, or the file is cut.
        """
        hdu = next((hdu for hdu in self.scan.hdus if ifu_of_extname(hdu.extname) == ifu), None)
        if hdu is None:
            raise MissingInputError(f"the file has no extension {chip_name(ifu)}", file=self.path, ifu=ifu)
        if len(hdu.shape) != 2:
            if not get_key(hdu.header, "DET.CHIP.LIVE", bool, default=False):
                raise ChipNotLiveError(f"the detector of {chip_name(ifu)} is not live", file=self.path, ifu=ifu)
            raise BadFitsError(f"extension {hdu.extname} holds no image", file=self.path, ifu=ifu)
        return RawChannel.of(self.scan, hdu, ifu, self.content)


@dataclass(frozen=True)
class RawChannel:
    """One channel of a raw frame.

    Attributes
    ----------
    path : pathlib.Path
    ifu : int
    header : Header
        Primary header merged with the channel's header (channel values win).
    hdu : HduScan
        Where the pixels are; without the text of the header.
    offset : bool
        Whether the pixels are stored as signed integers, 32768 less than they are.
    content : Descriptor or None
        The unpacked file, if ``path`` is compressed as a whole.
    """

    path: Path
    ifu: int
    header: Header = field(repr=False)
    hdu: HduScan = field(repr=False)
    offset: bool = field(repr=False)
    content: Descriptor | None = field(default=None, repr=False)

    @classmethod
    def of(cls, scan: FitsScan, hdu: HduScan, ifu: int, content: Descriptor | None = None) -> RawChannel:
        """The channel in an extension with an image.

        Raises
        ------
        BadFitsError
            If it is not an image of integers of 16 bits (or of 32, as muse_illum writes it), the file is cut, or
            compressed twice.
        """
        path = scan.path
        if hdu.kind == "compressed" and scan.packing is not None:
            raise BadFitsError(f"tiles in a file that is compressed as a whole ({scan.packing}): unpack it", file=path)
        if hdu.bitpix not in (16, 32):
            raise BadFitsError(
                f"extension {hdu.extname} has BITPIX {hdu.bitpix}, raw frames have 16", file=path, ifu=ifu
            )
        if scan.truncated and hdu.data_offset + hdu.data_bytes > scan.size:
            raise BadFitsError(f"the file is cut inside extension {hdu.extname}", file=path, ifu=ifu)
        with error_context(file=path, ifu=ifu):
            bzero = get_key(hdu.header, "BZERO", float, default=0.0)
        if bzero not in ((0.0, 32768.0) if hdu.bitpix == 16 else (0.0,)):
            raise BadFitsError(f"BZERO is {bzero:g}, raw frames have 32768", file=path, ifu=ifu, keyword="BZERO")
        # Of a frame that waits to be read only one header is kept: the text of all 25 would be 0.3 MB.
        header = merged_header(scan.primary, hdu.header)
        return cls(path, ifu, header, replace(hdu, header_bytes=b""), bzero == 32768.0, content)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the raw image."""
        return (self.hdu.shape[0], self.hdu.shape[1])

    @cached_property
    def detector(self) -> Detector:
        """Geometry and gains of this channel, checked against the image size.

        Raises
        ------
        DataError
            If the ports do not add up to the image.
        """
        with error_context(file=self.path, ifu=self.ifu):
            detector = detector_of_header(self.header, self.path)
        if detector.raw_shape != self.shape:
            raise DataError(
                f"the ports add up to {detector.raw_shape[1]} x {detector.raw_shape[0]} pix but the image has "
                f"{self.shape[1]} x {self.shape[0]}",
                file=self.path,
                ifu=self.ifu,
                keyword="DET.OUTn.NX",
            )
        return detector

    def read_rows(self, y0: int, y1: int, out: npt.NDArray[np.uint16] | None = None) -> npt.NDArray[np.uint16]:
        """Raw pixels of rows ``y0`` (0-based) up to but not including ``y1``.

        Parameters
        ----------
        y0, y1 : int
        out : ndarray of uint16, shape (y1 - y0, nx), optional
            Buffer to fill; a new one is made otherwise.

        Returns
        -------
        ndarray of uint16, shape (y1 - y0, nx), native byte order [adu]

        Raises
        ------
        BadFitsError
            If the rows cannot be read.
        """
        ny, nx = self.shape
        if not 0 <= y0 <= y1 <= ny:
            raise DataError(f"rows {y0}..{y1} are outside the image of {ny} rows", file=self.path)
        if out is None:
            out = np.empty((y1 - y0, nx), np.uint16)
        view = out.reshape(-1).view(np.uint8).data
        pixels = self._pixels()
        if not read_at(pixels.number, view, pixels.offset + y0 * nx * 2):
            raise BadFitsError(f"the file is cut inside extension {self.hdu.extname}", file=self.path)
        unsigned_from_disk(out, self.offset)
        return out

    def read(self) -> npt.NDArray[np.uint16]:
        """The whole raw image, uint16 ``(ny, nx)`` [adu]."""
        return self.read_rows(0, self.shape[0])

    def _pixels(self) -> Descriptor:
        """The open file; kept open while there are descriptors to spare, else opened for each read."""
        kept: Descriptor | None = self.__dict__.get("_kept")
        if kept is None:
            make = self._opened if self.hdu.bitpix == 16 else self._narrowed
            make = self._unpacked if self.hdu.kind == "compressed" else make
            kept = make()
            if make != self._opened or Descriptor.to_spare():
                self.__dict__["_kept"] = kept
        return kept

    def _opened(self) -> Descriptor:
        if self.content is not None:
            return Descriptor(os.dup(self.content.number), self.hdu.data_offset)
        return Descriptor(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC), self.hdu.data_offset)

    def _unpacked(self) -> Descriptor:
        return unpack(self.path, self.hdu, self._as_on_disk)

    def _narrowed(self) -> Descriptor:
        """Pixels of 32 bits as those of a raw frame, in a file without a name."""
        source, (ny, nx) = self._opened(), self.shape
        with tempfile.TemporaryFile() as target:
            for y0 in range(0, ny, _ROWS):
                rows = np.empty((min(_ROWS, ny - y0), nx), np.int32)
                if not read_at(source.number, rows.reshape(-1).view(np.uint8).data, source.offset + y0 * nx * 4):
                    raise BadFitsError(f"the file is cut inside extension {self.hdu.extname}", file=self.path)
                pixels_from_disk(rows)
                target.write(self._as_on_disk(rows).tobytes())
            target.flush()
            return Descriptor(os.dup(target.fileno()), 0)

    def _as_on_disk(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
        """Pixels as a plain raw frame has them on disk."""
        if self.hdu.bitpix != 16 and (rows.min() < 0 or rows.max() > np.iinfo(np.uint16).max):
            raise BadFitsError(f"extension {self.hdu.extname} has pixels that are none of a raw frame", file=self.path)
        sign_bit = np.uint16(0x8000 if self.offset else 0)
        return (rows.astype(np.uint16) ^ sign_bit).byteswap()


def open_raw(path: str | os.PathLike[str]) -> RawFile:
    """Open a raw frame by its headers; one that is compressed as a whole is unpacked, once for this process.

    Raises
    ------
    BadFitsError
        If it is not FITS.
    RetriableError
        If there is no room to unpack it.
    OSError
        If it cannot be read now.
    """
    path = Path(path)
    if packing_of(path) is None:
        return RawFile(path, scan_fits(path))
    return RawFile(path, *unpack_whole(path))


def detector_of_header(header: Header, path: Path | None = None) -> Detector:
    """Detector geometry of a merged channel header.

    Per-port scan keywords (``DET.OUTn.PRSCX`` ...) count if present, else 32 pix; ``DET.CHIP.PRSCX`` and its like are
    known to be wrong in real headers and are not used. Sizes are told in unbinned pixels: they are divided by
    ``DET.BINX`` and ``DET.BINY``. The ports must have equal sizes and the standard corners.

    Raises
    ------
    DataError
        If the ports are inconsistent, or a gain is not positive.
    MissingKeywordError
        If a size or gain is missing.
    """
    sizes: list[tuple[int, ...]] = []
    gains: list[float] = []
    rons: list[float] = []
    binning = {axis: get_key(header, f"DET.BIN{axis}", int, default=1) for axis in "XY"}
    if min(binning.values()) < 1:
        raise DataError(f"a binning of {binning['X']} x {binning['Y']} does not exist", file=path, keyword="DET.BINX")
    for port in range(1, N_PORTS + 1):
        out = f"DET.OUT{port}"
        position = (get_key(header, f"{out}.X", int), get_key(header, f"{out}.Y", int))
        if position != (PORT_X[port - 1], PORT_Y[port - 1]):
            raise DataError(
                f"port {port} lies at {position}, not at {(PORT_X[port - 1], PORT_Y[port - 1])}",
                file=path,
                keyword=f"{out}.X",
            )
        sizes.append(
            (
                get_key(header, f"{out}.NX", int) // binning["X"],
                get_key(header, f"{out}.NY", int) // binning["Y"],
                *(get_key(header, f"{out}.{scan}", int, default=SCAN_WIDTH) // binning[scan[-1]] for scan in _SCANS),
            )
        )
        gains.append(get_key(header, f"{out}.GAIN", float))
        if not gains[-1] > 0:
            raise DataError(f"port {port} has a gain of {gains[-1]:g} count/adu", file=path, keyword=f"{out}.GAIN")
        rons.append(get_key(header, f"{out}.RON", float, default=1.0))
    if len(set(sizes)) != 1:
        raise DataError("the four ports have different sizes", file=path, keyword="DET.OUTn.NX")
    nx, ny, *scans = sizes[0]
    return Detector(nx, ny, scans[0], scans[1], scans[2], scans[3], gain=_four(gains), ron=_four(rons))


_SCANS = ("PRSCX", "PRSCY", "OVSCX", "OVSCY")


def _four(values: list[float]) -> tuple[float, float, float, float]:
    return (values[0], values[1], values[2], values[3])


def write_raw(
    path: str | os.PathLike[str],
    primary: Header,
    channels: Iterable[tuple[int, Header, npt.NDArray[np.uint16]]],
    *,
    compress: bool = False,
    tables: Mapping[str, Mapping[str, npt.NDArray[np.float32]]] | None = None,
) -> Path:
    """Write a raw frame.

    Parameters
    ----------
    path : path-like
    primary : Header
        Keywords of the primary HDU.
    channels : iterable of (ifu, header, image)
        One extension each; written as they come, so that a generator keeps memory to one channel.
    compress : bool
        Write tile-compressed extensions (RICE), as in ``.fits.fz`` files.
    tables : mapping, optional
        Columns of tables that follow the channels, by name of the extension.

    Returns
    -------
    pathlib.Path
    """
    path = Path(path)
    with FitsWriter(path) as writer:
        writer.primary(primary)
        for ifu, header, image in channels:
            named = Header()
            named["EXTNAME"] = (chip_name(ifu), "Extension name")
            for card in header.cards:
                if card.keyword != "EXTNAME":
                    named.append(card)
            if compress:
                _write_compressed(writer, named, image)
            else:
                writer.image(named, image)
        for name, columns in (tables or {}).items():
            own = Header()
            own["EXTNAME"] = (name, "Extension name")
            cards = Header()
            for number, column in enumerate(columns, 1):
                cards[f"TTYPE{number}"] = column
                cards[f"TFORM{number}"] = "1E"
            writer.table(own, columns, cards)
    return path


def _write_compressed(writer: FitsWriter, header: Header, image: npt.NDArray[np.uint16]) -> None:
    from astropy.io import fits  # tiles are the only thing left to it, and it takes long to load

    cards = fits.Header.fromstring(header.to_bytes())
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(image, header=cards, compression_type="RICE_1")])
    with tempfile.NamedTemporaryFile(suffix=".fits") as file:
        hdus.writeto(file, output_verify="silentfix")
        file.flush()
        hdu = scan_fits(file.name).hdus[1]
        writer.raw_hdu(hdu.header, copy_data(Path(file.name), hdu), hdu.data_bytes)
