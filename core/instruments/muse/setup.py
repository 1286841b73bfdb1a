"""The set-up of MUSE and its IFUs, in declarations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from core.instruments.muse.facts import N_IFU, mode_class
from core.instruments.setup import SetupKey, SetupSpec, UnitSpec

__all__ = ["SETUP", "UNITS"]

UNITS: Final = UnitSpec(
    number=N_IFU, word="IFU", words="IFUs", extension=r"CHAN(\d\d)", template="CHAN{:02d}", parameter="nifu"
)


def _mode(keywords: Mapping[str, object]) -> str:
    """Class of ``INS.MODE`` (see `mode_class`)."""
    value = keywords.get("INS.MODE")
    return mode_class(None if value is None else str(value))


def _blue(keywords: Mapping[str, object]) -> str | None:
    """Whether the name of the pupil filter starts with ``Blue``.

    It does for both nominal modes, so that nominal calibrations without adaptive optics serve nominal data with it.
    """
    name = keywords.get("INS.OPTI1.NAME")
    return None if name is None else "blue" if str(name).strip().upper().startswith("BLUE") else "clear"


def _field(keywords: Mapping[str, object]) -> str | None:
    name = str(keywords.get("INS.OPTI2.NAME") or "").strip().upper()
    return name[:3] if name.startswith(("WFM", "NFM")) else None


def _binning(keywords: Mapping[str, object]) -> str:
    return "x".join(_whole(key)(keywords) or "1" for key in ("DET.BINX", "DET.BINY"))


def _whole(key: str) -> Callable[[Mapping[str, object]], str | None]:
    def read(keywords: Mapping[str, object]) -> str | None:
        value = keywords.get(key)
        return None if value is None else str(int(float(str(value))))

    return read


SETUP: Final = SetupSpec(
    "MUSE",
    (
        SetupKey("mode", "instrument mode", ("INS.MODE",), _mode, usual="WFM-NOAO-N"),
        SetupKey(
            "blue",
            "pupil filter",
            ("INS.MODE", "INS.OPTI1.NAME"),
            _blue,
            follows=lambda values: "clear" if values["mode"].endswith("-E") else "blue",
            differs=(
                ("blue", "made with the blue filter, the data are without it"),
                ("clear", "made without the blue filter, the data are with it"),
            ),
        ),
        SetupKey(
            "field", "field mode", ("INS.MODE", "INS.OPTI2.NAME"), _field, follows=lambda values: values["mode"][:3]
        ),
        SetupKey("readout", "read-out mode", ("DET.READ.CURID",), _whole("DET.READ.CURID"), usual="1", label="r{}"),
        SetupKey("binning", "binning", ("DET.BINX", "DET.BINY"), _binning, usual="1x1"),
    ),
)
