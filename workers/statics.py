"""The directory of static calibrations becomes candidates for the planner.

A file counts if its primary header names its kind (``PRO.CATG``). ``PRO.VALID.START`` and ``PRO.VALID.END`` (ISO times,
both optional) say for which data it may be used. The arc line catalogue is built from published data if there is none.
A file that cannot be used is named in the log and left out: it must not keep the nights from being planned.
"""

from __future__ import annotations

import logging
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from core.archive.store import file_sha256
from core.cascade.model import Origin, ProductInfo, Quality
from core.errors import MissingKeywordError, MuseError
from core.fitsfile.keywords import get_key
from core.fitsfile.scan import scan_fits
from core.staticcal.line_catalog import write_line_catalog

__all__ = ["ensure_line_catalog", "static_calibrations"]

_LOG = logging.getLogger(__name__)
_MJD_EPOCH = datetime(1858, 11, 17)


def static_calibrations(directory: Path) -> list[ProductInfo]:
    """Static calibrations of a directory and the directories below it, by path."""
    found = []
    for path in sorted(directory.rglob("*.fits")):
        if path.name.startswith("."):
            continue
        try:
            stat = path.stat()
        except OSError as error:  # a broken link, or it was removed just now
            _leave_out(path, error.strerror or str(error))
            continue
        product = _read(path, stat.st_size, stat.st_mtime_ns)
        if product is not None:
            found.append(product)
    return found


def ensure_line_catalog(directory: Path) -> None:
    """Write the arc line catalogue if the directory has none."""
    if not any(product.tag == "LINE_CATALOG" for product in static_calibrations(directory)):
        directory.mkdir(parents=True, exist_ok=True)
        write_line_catalog(directory / "line_catalog.fits")


@lru_cache(maxsize=1000)
def _read(path: Path, size: int, mtime_ns: int) -> ProductInfo | None:
    """One file; size and time are part of the key, so that a changed file is read again."""
    try:
        header = scan_fits(path).hdus[0].header
        tag = get_key(header, "PRO.CATG", str, None)
        if not tag:
            return None
        start = _mjd(path, get_key(header, "PRO.VALID.START", str, ""))
        end = _mjd(path, get_key(header, "PRO.VALID.END", str, ""))
        digest = file_sha256(path)
    except MuseError as error:
        _leave_out(path, str(error))
        return None
    except OSError as error:
        _leave_out(path, error.strerror or str(error))
        return None
    return ProductInfo(
        id=str(path),
        tag=tag,
        quality=Quality.CERTIFIED,
        origin=Origin.STATIC,
        valid_from=float("-inf") if start is None else start,
        valid_to=float("inf") if end is None else end,
        digest=digest,
    )


@lru_cache(maxsize=1000)
def _leave_out(path: Path, reason: str) -> None:
    """Say it once, not at each plan."""
    _LOG.error("the static calibration %s cannot be used: %s", path, reason)


def _mjd(path: Path, text: str) -> float | None:
    if not text:
        return None
    try:
        return (datetime.fromisoformat(text) - _MJD_EPOCH).total_seconds() / 86400
    except ValueError as error:
        raise MissingKeywordError(
            f"a static calibration has the validity date {text!r}, which is no ISO time", file=path
        ) from error
