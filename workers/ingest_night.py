"""The night of a file that cannot be used: as far as its first header, or its name, tells a date.

What is lost must be seen on the page of its night, so little is asked for here: a date, not a frame.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from core.errors import BadFitsError
from core.fitsfile.cards import parse_cards
from core.fitsfile.packed import open_content
from core.instruments.declaration import PARANAL_NOON_UT
from core.instruments.exposure import night_of, parse_date
from core.instruments.registry import find_instrument

__all__ = ["night_told"]

_HEADER_BYTES: Final = 64 * 2880  # read at most; some 2300 cards
_WANTED: Final = frozenset({"INSTRUME", "DATE-OBS", "MJD-OBS"})
_IN_NAME: Final = re.compile(r"(?<!\d)(\d{4}-\d\d-\d\dT\d\d[:_]\d\d[:_]\d\d)")
_MJD_ZERO: Final = datetime(1858, 11, 17, tzinfo=UTC)
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)  # nothing that is declared is older
_AHEAD: Final = timedelta(days=1)


def night_told(path: str, now: datetime | None = None) -> date | None:
    """The night that a file says it is of, by its header or else by its name; None if neither tells a possible date.

    Parameters
    ----------
    path : str
        It need not be readable.
    now : datetime.datetime, optional
        The present, of which no date is more than a day ahead.
    """
    keywords = _first_header(path)
    latest = (now or datetime.now(UTC)) + _AHEAD
    name = _IN_NAME.search(os.path.basename(path))
    for moment in (*_moments(keywords), None if name is None else parse_date(name[1].replace("_", ":"))):
        if moment is not None and _EARLIEST <= moment < latest:
            declared = find_instrument(str(keywords.get("INSTRUME")))
            return night_of(moment, PARANAL_NOON_UT if declared is None else declared.noon_ut)
    return None


def _moments(keywords: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """What the header says, the number first: a date may lack the time of day."""
    mjd, text = keywords.get("MJD-OBS"), keywords.get("DATE-OBS")
    counted = None
    if isinstance(mjd, int | float) and not isinstance(mjd, bool) and 0 < mjd < 1e6:
        counted = _MJD_ZERO + timedelta(days=mjd)
    return counted, parse_date(text) if isinstance(text, str) else None


def _first_header(path: str) -> dict[str, Any]:
    """The keywords wanted of the first header, as far as they can be read."""
    try:
        with open_content(Path(path)) as stream:
            start = stream.read(_HEADER_BYTES)
    except (OSError, ValueError, BadFitsError):
        return {}
    if not start.startswith(b"SIMPLE  ="):
        return {}
    try:
        return dict(parse_cards(start, keep=_WANTED.__contains__))
    except BadFitsError:
        return {}
