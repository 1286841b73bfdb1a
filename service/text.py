"""How numbers, times and names are written for people: one unit, sensible digits, UT."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from core.cascade.words import age_words

__all__ = [
    "UNITS",
    "age",
    "byte_count",
    "clock",
    "duration",
    "mebibytes",
    "mjd_moment",
    "moment",
    "number",
    "qc1_number",
    "quantity",
    "range_text",
    "signed_age",
    "unit_text",
    "word",
]

_MJD_EPOCH: Final = datetime(1858, 11, 17)
UNITS: Final = {
    "count": "e⁻",
    "count/s": "e⁻/s",
    "adu": "adu",
    "Angstrom": "Å",
    "deg": "°",
    "pix": "pix",
    "degC": "°C",
    "deg C": "°C",
}
_POWER: Final = re.compile(r"10\*\*\(?(-?\d+)\)?\*")
_SUPERSCRIPT: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def unit_text(unit: str) -> str:
    """Unit as shown: ``e⁻`` for electrons, ``Å`` for Angstrom, ``10⁻²⁰ erg/s/cm²/Å`` for fluxes."""
    for name, shown in (("Angstrom", "Å"), ("count", "e⁻")):
        if unit not in UNITS:
            unit = unit.replace(name, shown)
    unit = _POWER.sub(lambda found: f"10{found[1].translate(_SUPERSCRIPT)} ", UNITS.get(unit, unit))
    return unit.replace("**2", "²")


def number(value: float | int | None, digits: int = 4) -> str:
    """A number with significant digits, a real minus sign and powers of ten written out."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 10**6):
        text = f"{int(value):,}".replace(",", " ") if abs(value) >= 10_000 else str(int(value))
    elif value != 0 and not 1e-3 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        if "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        text = f"{mantissa}·10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    else:
        decimals = 0 if value == 0 else max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:.{min(decimals, 5)}f}"
        if abs(value) >= 10_000:
            text = f"{round(value):,}".replace(",", " ")
    return text.replace("-", "−", 1) if text.startswith("-") else text


def qc1_number(value: float | int | None) -> str:
    """A QC1 value where values are listed: five digits, as trends are finer than what is read at a glance."""
    return number(value, 5)


def quantity(value: float | int | None, unit: str = "", digits: int = 3) -> str:
    """A number with its unit: ``2.46 e⁻``."""
    text = number(value, digits)
    shown = unit_text(unit)
    return f"{text} {shown}".strip() if text != "–" else text


def range_text(low: float | None, high: float | None, unit: str = "") -> str:
    """Limits as ``1.5 to 3.6 e⁻``; open ends are said."""
    if low is None and high is None:
        return "no limits"
    if low is None:
        return f"below {quantity(high, unit)}"
    if high is None:
        return f"above {quantity(low, unit)}"
    return f"{number(low, 3)} to {quantity(high, unit)}"


def moment(value: datetime | None, seconds: bool = False) -> str:
    """Date and time in UT."""
    return "never" if value is None else f"{value:%Y-%m-%d %H:%M:%S}" if seconds else f"{value:%Y-%m-%d %H:%M}"


def clock(value: datetime | None) -> str:
    """Time of day in UT."""
    return "–" if value is None else f"{value:%H:%M:%S}"


@lru_cache(4096)  # in long lists many are of one time
def mjd_moment(mjd: float | None, seconds: bool = False) -> str:
    """Date and time in UT of a modified Julian date."""
    return "–" if mjd is None else moment(_MJD_EPOCH + timedelta(days=mjd), seconds)


def age(span: timedelta | float) -> str:
    """A time span (or seconds) in its largest sensible unit: ``40 s``, ``12 min``, ``3.2 h``, ``6.1 d``."""
    seconds = abs(span.total_seconds() if isinstance(span, timedelta) else span)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    if seconds < 700 * 86400:
        return f"{seconds / 86400:.1f} d"
    return f"{seconds / 86400 / 365.25:.1f} yr"


def signed_age(days: float | None) -> str:
    """Where a calibration lies in time: ``3.2 h before``, ``2.5 d after``, in the units of the reasons of a plan."""
    if days is None:
        return "–"
    return age_words(days)


def duration(seconds: float | None) -> str:
    """How long something took: ``4.2 s``, ``3 min 20 s``."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def word(value: object) -> str:
    """A parameter value as it is typed: ``true``, ``false``, or the value itself."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def mebibytes(value: float | None) -> str:
    """Memory of a process: ``512 MiB``; empty if it is not known."""
    return "" if value is None else f"{value:.0f} MiB"


def byte_count(size: int | None) -> str:
    """A file size: ``65.8 MB``."""
    if size is None:
        return "–"
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError("unreachable")
