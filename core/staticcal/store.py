"""Static calibrations on disk: written once from the data of the package, each with the span of its validity."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final

from core.errors import MissingInputError
from core.staticcal.line_catalog import write_line_catalog

__all__ = ["StaticCal", "choose_static", "ensure_static", "static_calibrations"]

_FIRST_LIGHT: Final = datetime(2012, 1, 1)
_OPEN_END: Final = datetime(9999, 1, 1)


@dataclass(frozen=True)
class StaticCal:
    """A static calibration and when it applies.

    Attributes
    ----------
    tag : str
        For example ``LINE_CATALOG``.
    path : pathlib.Path
    valid_from, valid_until : datetime
        Half-open span of ``DATE-OBS``, UTC.
    """

    tag: str
    path: Path
    valid_from: datetime
    valid_until: datetime

    def covers(self, moment: datetime) -> bool:
        """Whether the calibration applies to data of a time (UTC, without zone)."""
        return self.valid_from <= moment < self.valid_until


@lru_cache(maxsize=1)
def _digest() -> str:
    """Hash of everything the line catalogue depends on: another package content, another file name."""
    package = resources.files("core.staticcal")
    sources = [package.joinpath(name) for name in ("lamps.py", "line_catalog.py", "virtual_fit.py")]
    data = package.joinpath("data")
    sources += [data.joinpath(name) for name in ("arc_lines_nist.csv", "arc_lines_measured.csv")]
    total = hashlib.sha256()
    for source in sources:
        total.update(source.read_bytes())
    return total.hexdigest()[:10]


def static_calibrations(directory: str | os.PathLike[str]) -> tuple[StaticCal, ...]:
    """Write the static calibrations that do not exist yet and list all.

    Parameters
    ----------
    directory : path-like
        Made if it does not exist. Files are written atomically, so several processes may do this at once.

    Returns
    -------
    tuple of StaticCal

    Raises
    ------
    ProductStoreError
        If a file cannot be written.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"LINE_CATALOG_{_digest()}.fits"
    if not path.exists():
        write_line_catalog(path)
    return (StaticCal("LINE_CATALOG", path, _FIRST_LIGHT, _OPEN_END),)


def choose_static(calibrations: Iterable[StaticCal], tag: str, moment: datetime) -> StaticCal:
    """The calibration of a tag that applies at a time.

    Raises
    ------
    MissingInputError
        If there is none; the message lists the spans that exist.
    """
    same_tag = [calibration for calibration in calibrations if calibration.tag == tag]
    for calibration in same_tag:
        if calibration.covers(moment):
            return calibration
    spans = ", ".join(f"{cal.valid_from:%Y-%m-%d} to {cal.valid_until:%Y-%m-%d}" for cal in same_tag) or "none"
    raise MissingInputError(f"no static {tag} is valid at {moment:%Y-%m-%dT%H:%M:%S}; spans: {spans}", tag=tag)


def ensure_static(directory: str | os.PathLike[str], moment: datetime | None = None) -> dict[str, Path]:
    """Static calibrations of a time, written if they do not exist yet.

    Parameters
    ----------
    directory : path-like
    moment : datetime, optional
        Time of the data (UTC); the newest calibrations by default.

    Returns
    -------
    dict of str to pathlib.Path
        File of each tag.
    """
    calibrations = static_calibrations(directory)
    if moment is None:
        newest = sorted(calibrations, key=lambda calibration: calibration.valid_from)
        return {calibration.tag: calibration.path for calibration in newest}
    tags = {calibration.tag for calibration in calibrations}
    return {tag: choose_static(calibrations, tag, moment).path for tag in sorted(tags)}
