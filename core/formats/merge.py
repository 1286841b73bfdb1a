"""Merged products: the files of several IFUs in one (MUSE manual, section 5.3.4).

Data units are copied as they are on disk; only headers are written anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
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

__all__ = ["copy_data", "merge_products", "merged_name"]

_CHUNK = 4 << 20


def merged_name(path: Path) -> str:
    """File name of the merged product: without everything from the last ``-``."""
    return re.sub(r"-[^-]*$", "", path.name.removesuffix(".fits")) + ".fits"


def merge_products(paths: Sequence[Path], target: Path) -> Path:
    """Merge single-IFU products of one kind into one file.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        Single-IFU files; written in ascending order of IFU.
    target : pathlib.Path
        Name of the merged file.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    BadFitsError
        If a file does not tell its IFU.
    """
    scans: list[tuple[int, FitsScan]] = []
    for path in paths:
        scan = scan_fits(path)
        ifu = ifu_of_extname(str(scan.primary.get("EXTNAME", "")))
        if ifu is None:
            raise BadFitsError("the primary header has no EXTNAME CHANnn: the IFU is unknown", file=path)
        scans.append((ifu, scan))
    scans.sort(key=lambda item: item[0])
    common = merged_header(scans[0][1].primary, Header())
    del_keys(common, CHANNEL_KEYS)
    common.remove("EXTNAME", "DATAMD5", "PIPEFILE")
    set_key(common, "PIPEFILE", target.name, "Filename of data product")
    with FitsWriter(target, datamd5=True) as writer:
        writer.primary(common)
        for ifu, scan in scans:
            own = channel_keys(scan.primary)
            for hdu in scan.hdus[1:]:
                header = hdu.header.copy()
                _rename(header, hdu, ifu)
                for card in own.cards:
                    header.put(card)
                writer.raw_hdu(header, copy_data(scan.path, hdu), hdu.data_bytes)
    return target


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
