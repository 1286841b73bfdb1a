"""Merged products: the files of several IFUs in one (MUSE manual, section 5.3.4).

Data units are copied as they are on disk; only headers are written anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, merged_header, set_key
from core.fitsfile.scan import FitsScan, HduScan, scan_fits
from core.fitsfile.writer import FitsWriter
from core.formats.image import CHANNEL_KEYS, PARTS, channel_keys
from core.instruments.muse.facts import chip_name, ifu_of_extname

__all__ = ["copy_data", "merge_products", "merged_name", "sign_product", "split_product"]

_CHUNK = 4 << 20


def merged_name(path: Path) -> str:
    """File name of the merged product: without everything from the last ``-``."""
    return re.sub(r"-[^-]*$", "", path.name.removesuffix(".fits")) + ".fits"


def merge_products(paths: Sequence[Path], target: Path, *, signed: bool = True) -> Path:
    """Merge single-IFU products of one kind into one file.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        Single-IFU files; written in ascending order of IFU.
    target : pathlib.Path
        Name of the merged file.
    signed : bool
        Whether it has checksums, and its name as ``PIPEFILE``.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    BadFitsError
        If a file does not tell its IFU, or two tell the same one.
    """
    scans: list[tuple[int, FitsScan]] = []
    for path in paths:
        scan = scan_fits(path)
        ifu = ifu_of_extname(str(scan.primary.get("EXTNAME", "")))
        if ifu is None:
            raise BadFitsError("the primary header has no EXTNAME CHANnn: the IFU is unknown", file=path)
        scans.append((ifu, scan))
    scans.sort(key=lambda item: item[0])
    for (ifu, one), (other, two) in pairwise(scans):
        if ifu == other:
            raise BadFitsError(f"the file is of IFU {ifu}, and so is {one.path.name}", file=two.path, ifu=ifu)
    common = merged_header(scans[0][1].primary, Header())
    del_keys(common, CHANNEL_KEYS)
    common.remove("EXTNAME", "DATAMD5")
    if signed:
        set_key(common, "PIPEFILE", target.name, "Filename of data product")
    with FitsWriter(target, checksums=signed, datamd5=signed) as writer:
        writer.primary(common)
        for ifu, scan in scans:
            own = channel_keys(scan.primary)
            if len(scan.hdus) == 1 and not scan.hdus[0].data_bytes:
                writer.header_only(_named(own, ifu))
            for hdu in scan.hdus[1:]:
                header = hdu.header.copy()
                _rename(header, hdu, ifu)
                for card in own.cards:
                    header.put(card)
                writer.raw_hdu(header, copy_data(scan.path, hdu), hdu.data_bytes)
    return target


def split_product(path: Path, *, signed: bool = True) -> dict[Path, int]:
    """Take a merged product apart: a file ``NAME-nn.fits`` beside it for each IFU, as before it was merged.

    Parameters
    ----------
    path : pathlib.Path
    signed : bool
        Whether the files have checksums, and their names as ``PIPEFILE``.

    Returns
    -------
    dict of pathlib.Path to int
        The files, and how many extensions they have.

    Raises
    ------
    BadFitsError
        If the file has fewer than two extensions, is cut, or none of its extensions is of an IFU.
    """
    scan = scan_fits(path)
    if len(scan.hdus) < 3:
        raise BadFitsError("the file has fewer than two extensions", file=path)
    if scan.truncated:
        raise BadFitsError("the file is cut", file=path)
    by_ifu: dict[int, list[HduScan]] = {}
    for hdu in scan.hdus[1:]:
        ifu = ifu_of_extname(hdu.extname.partition(".")[0])
        if ifu is not None:
            by_ifu.setdefault(ifu, []).append(hdu)
    if not by_ifu:
        raise BadFitsError("no extension is of an IFU", file=path)
    stem = path.name.partition(".fits")[0]
    written = {}
    for ifu, hdus in sorted(by_ifu.items()):
        target = path.with_name(f"{stem}-{ifu:02d}.fits")
        _split_off(scan, ifu, hdus, target, signed)
        written[target] = len(hdus)
    return written


def _split_off(scan: FitsScan, ifu: int, hdus: Sequence[HduScan], target: Path, signed: bool) -> None:
    primary = merged_header(scan.primary, channel_keys(hdus[0].header))
    primary.remove("DATAMD5")
    set_key(primary, "EXTNAME", chip_name(ifu), "extension name")
    if signed:
        set_key(primary, "PIPEFILE", target.name, "Filename of data product")
    prefix = f"{chip_name(ifu)}."
    with FitsWriter(target, checksums=signed, datamd5=signed) as writer:
        writer.primary(primary)
        for hdu in hdus:
            header = hdu.header.copy()
            for card in channel_keys(header).cards:
                if primary.get(card.keyword) == card.value:
                    header.remove(card.keyword)
            part = hdu.extname.removeprefix(prefix)
            if part == hdu.extname:
                header.remove("EXTNAME")
            else:
                header["EXTNAME"] = part
            for key, name in PARTS[part][3] if part in PARTS else ():
                if key in header:
                    header[key] = name
            writer.raw_hdu(header, copy_data(scan.path, hdu), hdu.data_bytes)


def sign_product(path: Path, name: str) -> None:
    """Write checksums, ``DATAMD5`` and a name as ``PIPEFILE`` into any FITS file; data stay as they are.

    Raises
    ------
    BadFitsError
        If it is no FITS file, or cut.
    """
    scan = scan_fits(path)
    if scan.truncated:
        raise BadFitsError("the file is cut", file=path)
    with FitsWriter(path, datamd5=True) as writer:
        for hdu in scan.hdus:
            header = hdu.header.copy()
            if hdu is scan.hdus[0]:
                set_key(header, "PIPEFILE", name, "Filename of data product")
                set_key(header, "DATAMD5", "0" * 32, "MD5 checksum of all data units")
            writer.raw_hdu(header, copy_data(path, hdu), hdu.data_bytes)


def _named(own: Header, ifu: int) -> Header:
    header = Header()
    header["EXTNAME"] = chip_name(ifu)
    header.extend(own.cards)
    return header


def _rename(header: Header, hdu: HduScan, ifu: int) -> None:
    channel = chip_name(ifu)
    header["EXTNAME"] = f"{channel}.{hdu.extname}" if hdu.extname else channel
    if hdu.extname in PARTS:
        for key, target in PARTS[hdu.extname][3]:
            header[key] = f"{channel}.{target}"


def copy_data(path: Path, hdu: HduScan) -> Callable[[], Iterator[npt.NDArray[np.uint8]]]:
    """Chunks of a data unit as they are on disk."""

    def chunks() -> Iterator[npt.NDArray[Any]]:
        with path.open("rb", buffering=0) as stream:
            position, end = hdu.data_offset, hdu.data_offset + hdu.data_bytes
            while position < end:
                part = os.pread(stream.fileno(), min(_CHUNK, end - position), position)
                if not part:
                    raise BadFitsError(f"the file is cut inside {hdu.extname or 'HDU'}", file=path)
                position += len(part)
                yield np.frombuffer(part, np.uint8)

    return chunks
