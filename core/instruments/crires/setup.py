"""The set-up of CRIRES and its detectors, in declarations.

Four detectors stand in a row along the spectrum; a setting of the grating is named by its reference wavelength.
Sources: header of a spectrum of April 2012; the observatory's pages on flats and darks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from core.instruments.setup import SetupKey, SetupSpec, UnitSpec

__all__ = ["NUMBERS", "SETUP", "UNITS"]

UNITS: Final = UnitSpec(
    number=4, word="detector", words="detectors", extension=r"CHIP(\d)(?:\.INT\d+)?", template="CHIP{}.INT1"
)
# Keywords of the set-up whose values are numbers.
NUMBERS: Final = (
    "INS.WLEN.REF", "INS.GRAT.ORDER", "INS.SLIT1.WID", "DET.DIT", "DET.NCORRS", "DET.WINDOW.NY",
)  # fmt: skip


def _number(key: str, decimals: int) -> Callable[[Mapping[str, object]], str | None]:
    def read(keywords: Mapping[str, object]) -> str | None:
        value = keywords.get(key)
        return None if value is None else f"{float(str(value)):.{decimals}f}"

    return read


def _key(name: str, title: str, keyword: str, decimals: int, label: str, usual: str = "") -> SetupKey:
    return SetupKey(name, title, (keyword,), _number(keyword, decimals), usual=usual, label=label)


SETUP: Final = SetupSpec(
    "CRIRES",
    (
        _key("mode", "reference wavelength [nm]", "INS.WLEN.REF", 1, "{}nm"),
        _key("order", "grating order", "INS.GRAT.ORDER", 0, "order{}"),
        _key("slit", "slit width [arcsec]", "INS.SLIT1.WID", 3, "slit{}"),
        _key("readout", "read-out mode", "DET.NCORRS", 0, "r{}"),
        _key("window", "number of rows read", "DET.WINDOW.NY", 0, "y{}", usual="512"),
        _key("dit", "integration time [s]", "DET.DIT", 3, "{}s"),
    ),
)
