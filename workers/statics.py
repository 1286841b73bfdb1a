"""The directory of static calibrations becomes candidates for the planner, and alarms for what cannot be used.

What each file is and when it may be used: `core.staticcal.directory`. The arc line catalogue is built from published
data if there is none. A file that cannot be used is named in the log, on the pages and by ``cascade status``, and is
left out: it must not keep the nights from being planned.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Final

from core.archive.models import SETUP_KEYWORDS
from core.cascade.model import Origin, ProductInfo, Quality, Setup
from core.instruments.muse.statics import MUSE_STATICS
from core.staticcal.directory import StaticFault, StaticFile, StaticListing, list_statics
from core.staticcal.line_catalog import write_line_catalog

__all__ = ["SETUP_KEYS", "STATIC_RULES", "candidate", "ensure_line_catalog", "listing", "static_calibrations"]

_LOG = logging.getLogger(__name__)

STATIC_RULES: Final = MUSE_STATICS
SETUP_KEYS: Final = tuple(SETUP_KEYWORDS)


def listing(directory: Path) -> StaticListing:
    """What the directory of static calibrations holds; unchanged files are not read again."""
    return list_statics(directory, STATIC_RULES, SETUP_KEYS)


def static_calibrations(directory: Path) -> list[ProductInfo]:
    """Static calibrations of a directory and the directories below it, by path."""
    found = listing(directory)
    for fault in found.faults:
        _leave_out(fault)
    return [candidate(file) for file in found.files]


def candidate(file: StaticFile) -> ProductInfo:
    """A static calibration as the planner wants it."""
    return ProductInfo(
        id=file.path,
        tag=file.tag,
        setup=Setup.from_keywords(dict(file.setup)) if file.setup else None,
        quality=Quality.CERTIFIED,
        origin=Origin.STATIC,
        valid_from=file.valid_from,
        valid_to=file.valid_until,
        version=file.version,
        pair=file.pair,
        digest=file.digest,
    )


def ensure_line_catalog(directory: Path) -> None:
    """Write the arc line catalogue if the directory has none."""
    if not any(file.tag == "LINE_CATALOG" for file in listing(directory).files):
        directory.mkdir(parents=True, exist_ok=True)
        write_line_catalog(directory / "line_catalog.fits")


@lru_cache(maxsize=1000)
def _leave_out(fault: StaticFault) -> None:
    """Say it once, not at each plan."""
    _LOG.error("the static calibration %s cannot be used: %s", fault.path, fault.reason)
