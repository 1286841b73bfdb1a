"""What ESO's archive asks of a data cube: the keyword rules of its Science Data Products Standard, as a table.

Sources: ESO-044286 and its addendum "Integral Field Spectroscopy: 3D Data Cubes"; Phase 3 answers on PROVi (no leading
zeros, files instead of extensions); what the reference pipeline 2.8.7 writes. `core.formats.science_check` applies
them. The archive's own validation has the last word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from core.formats.cube_forms import ARCHIVE_UNIT

__all__ = ["KEYWORD_RULES", "NEEDS", "KeywordRule", "Need", "Values"]

Hdu = Literal["primary", "data", "errors"]
Kind = Literal["text", "integer", "number"]
Values = dict[str, Any]  # of the primary HDU and those of the cube, by keyword

Need = Literal["always", "if known", "if calibrated", "if several programmes", "if FK5", "if in air or vacuum"]
NEEDS: Final[dict[Need, Callable[[Values], bool]]] = {
    "always": lambda values: True,
    "if known": lambda values: False,
    "if calibrated": lambda values: values.get("FLUXCAL") == "ABSOLUTE",
    "if several programmes": lambda values: values.get("PROG_ID") == "MULTI",
    "if FK5": lambda values: str(values.get("RADESYS", "")).startswith("FK"),
    "if in air or vacuum": lambda values: str(values.get("CTYPE3", "")).startswith(("WAVE", "AWAV")),
}
"""When a keyword is mandatory; it is checked wherever it is there."""


@dataclass(frozen=True)
class KeywordRule:
    """One keyword.

    Attributes
    ----------
    key : str
        A trailing ``n`` in braces counts from 1 without a gap.
    hdu : {'primary', 'data', 'errors'}
        Where it stands; those of the cube may be inherited from the primary HDU.
    kind : {'text', 'integer', 'number'}
    need : str
        When it is mandatory.
    values : tuple
        What it may be, if that is limited.
    low, high : float, optional
        Limits of a number; ``low`` itself is not allowed.
    """

    key: str
    hdu: Hdu
    kind: Kind
    need: Need = "always"
    values: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def asked(self) -> str:
        """What it asks for, in words."""
        words = ["one of " + ", ".join(map(repr, self.values)) if self.values else self.kind]
        words += [f"above {self.low:g}"] if self.low is not None else []
        words += [f"up to {self.high:g}"] if self.high is not None else []
        return ", ".join(words)


def _text(key: str, hdu: Hdu = "primary", *values: str, need: Need = "always") -> KeywordRule:
    return KeywordRule(key, hdu, "text", need, values)


def _number(
    key: str, hdu: Hdu = "primary", low: float | None = None, high: float | None = None, need: Need = "always"
) -> KeywordRule:
    return KeywordRule(key, hdu, "number", need, (), low, high)


_FLUX_UNITS: Final = (ARCHIVE_UNIT, "10**(-20)*erg/s/cm**2/Angstrom", "10**(-20) erg s**(-1) cm**(-2) angstrom**(-1)")

KEYWORD_RULES: Final = (
    _text("PRODCATG", "primary", "SCIENCE.CUBE.IFS"),
    _text("ORIGIN", "primary", "ESO", "ESO-PARANAL"),
    _text("TELESCOP", "primary", "ESO-VLT-U4"),
    _text("INSTRUME", "primary", "MUSE"),
    _text("OBJECT"),
    _number("RA", low=-1e-9, high=360.0),
    _number("DEC", low=-90.0, high=90.0),
    _text("RADESYS", "primary", "FK5", "ICRS", need="if known"),
    _number("EQUINOX", low=1900.0, high=2100.0, need="if FK5"),
    _text("TIMESYS", "primary", "UTC", need="if known"),
    _number("EXPTIME", low=0.0),
    _number("TEXPTIME", low=0.0),
    KeywordRule("NCOMBINE", "primary", "integer", "always", (), 0),
    _number("MJD-OBS", low=56000.0),  # MUSE saw its first light in 2014
    _number("MJD-END", low=56000.0),
    _text("PROG_ID"),
    KeywordRule("PROGID{n}", "primary", "text", "if several programmes"),
    KeywordRule("OBID{n}", "primary", "integer", "always", (), 0),
    _text("PROV{n}"),
    _text("ASSON{n}"),
    _text("OBSTECH", "primary", "IFU"),
    _text("FLUXCAL", "primary", "ABSOLUTE", "UNCALIBRATED"),
    _text("PROCSOFT"),
    _text("REFERENC"),
    _number("WAVELMIN", low=100.0, high=2000.0),
    _number("WAVELMAX", low=100.0, high=2000.0),
    _number("SPEC_RES", low=0.0),
    _number("SKY_RES", low=0.0),
    _number("SKY_RERR", low=0.0, need="if known"),
    _number("PIXNOISE", low=0.0),
    _number("ABMAGLIM", low=0.0, high=40.0, need="if calibrated"),
    _text("SPECSYS", "data", "TOPOCENT", "GEOCENTR", "BARYCENT", "HELIOCEN", need="if in air or vacuum"),
    _text("EXTNAME", "data"),
    _text("HDUCLASS", "data", "ESO"),
    _text("HDUDOC", "data", "DICD", "SDP"),
    _text("HDUVERS", "data"),
    _text("HDUCLAS1", "data", "IMAGE"),
    _text("HDUCLAS2", "data", "DATA"),
    _text("ERRDATA", "data"),
    _text("BUNIT", "data"),
    KeywordRule("BUNIT", "data", "text", "if calibrated", _FLUX_UNITS),
    _text("CTYPE1", "data", "RA---TAN"),
    _text("CTYPE2", "data", "DEC--TAN"),
    _text("CTYPE3", "data", "AWAV", "AWAV-LOG", "WAVE", "WAVE-LOG"),
    _text("CUNIT1", "data", "deg"),
    _text("CUNIT2", "data", "deg"),
    _text("CUNIT3", "data", "angstrom", "Angstrom", "nm", "um", "m"),
    *(_number(f"{key}{axis}", "data") for key in ("CRVAL", "CRPIX") for axis in (1, 2, 3)),
    *(_number(key, "data") for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2", "CD3_3")),
    _number("CRDER3", "data", low=0.0),
    _number("CSYER1", "data"),
    _number("CSYER2", "data"),
    _text("HDUCLASS", "errors", "ESO"),
    _text("HDUCLAS1", "errors", "IMAGE"),
    _text("HDUCLAS2", "errors", "ERROR"),
    _text("HDUCLAS3", "errors", "MSE", "RMSE", "INVMSE", "INVRMSE"),
    _text("SCIDATA", "errors"),
    _text("BUNIT", "errors"),
)
