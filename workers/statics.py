"""The directory of static calibrations becomes candidates for the planner, and alarms for what cannot be used.

What each file is and when it may be used: `core.staticcal.directory`. Those that an instrument can build from published
data are built if there are none. A file that cannot be used is named in the log, on the pages and by
``cascade status``, and is left out: it must not keep the nights from being planned.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Final

from core.archive.outside import StaticRow
from core.archive.states import ProductState
from core.cascade.model import Origin, ProductInfo, Quality
from core.instruments.declaration import Instrument
from core.instruments.registry import instruments
from core.staticcal.directory import (
    StaticFault,
    StaticFile,
    StaticListing,
    list_statics,
    paired,
    static_file,
    without_replaced,
)
from core.staticcal.writing import is_built_here

__all__ = ["build_statics", "faults", "list_all", "static_calibrations"]

_LOG = logging.getLogger(__name__)
_QUALITY: Final = {
    ProductState.PROVISIONAL: Quality.PROVISIONAL,
    ProductState.CERTIFIED: Quality.CERTIFIED,
    ProductState.REJECTED: Quality.REJECTED,
}


def static_calibrations(directory: Path, instrument: Instrument, rows: Sequence[StaticRow] = ()) -> list[ProductInfo]:
    """All static calibrations of an instrument.

    Parameters
    ----------
    directory : pathlib.Path
        Files of this directory and the directories below it; they count as certified.
    instrument : Instrument
    rows : sequence of StaticRow
        Those that came in with the raw frames, of any instrument, with the trust that the archive has in them.
    """
    found = _listing(directory, instrument)
    for fault in found.faults:
        _leave_out(fault)
    trust = {row.path: _QUALITY[row.state] for row in rows}
    taken = [file for row in rows if (file := _of_row(row, instrument)) is not None]
    files = paired(without_replaced([*found.files, *taken]), instrument.statics)
    return [_candidate(file, instrument, trust.get(file.path, Quality.CERTIFIED)) for file in files]


def faults(directory: Path) -> tuple[StaticFault, ...]:
    """Files of the directory that cannot be used, and why."""
    found = (fault for item in instruments() for fault in _listing(directory, item).faults)
    return tuple(dict.fromkeys(found))


def _of_row(row: StaticRow, instrument: Instrument) -> StaticFile | None:
    if row.header.get("INSTRUME", instrument.name) != instrument.name:
        return None
    file = static_file(row.path, row.header, instrument.statics, instrument.setup.keywords)
    return None if file is None else replace(file, digest=row.sha256)


def _candidate(file: StaticFile, instrument: Instrument, quality: Quality) -> ProductInfo:
    return ProductInfo(
        id=file.path,
        tag=file.tag,
        setup=instrument.setup.told_by(dict(file.setup)) if file.setup else None,
        quality=quality,
        origin=Origin.STATIC,
        valid_from=file.valid_from,
        valid_to=file.valid_until,
        version=file.version,
        pair=file.pair,
        digest=file.digest,
    )


def build_statics(directory: Path, *, again: bool = False) -> list[Path]:
    """Write the static calibrations that instruments can build, as far as the directory has none of their tags.

    Parameters
    ----------
    directory : pathlib.Path
        Made if it does not exist.
    again : bool
        Replace what was built before; what was delivered stays.

    Returns
    -------
    list of pathlib.Path
        What was written.
    """
    written: list[Path] = []
    for item in instruments():
        known = {file.tag for file in _listing(directory, item).files}
        for built in item.statics.built:
            path = directory / built.file_name
            if built.tag not in known or (again and path.is_file() and is_built_here(path)):
                directory.mkdir(parents=True, exist_ok=True)
                written.append(resolve_name(built.builder)(path))
    return written


def list_all(directory: Path) -> list[StaticFile]:
    """Every static calibration of the directory, of all instruments, by path."""
    return [file for item in instruments() for file in _listing(directory, item).files]


def _listing(directory: Path, instrument: Instrument) -> StaticListing:
    """What the directory holds for an instrument; unchanged files are not read again."""
    return list_statics(directory, instrument.statics, instrument.setup.keywords, instrument.name)


@lru_cache(maxsize=1000)
def _leave_out(fault: StaticFault) -> None:
    """Say it once, not at each plan."""
    _LOG.error("the static calibration %s cannot be used: %s", fault.path, fault.reason)
