"""Do frames belong together? Checks of raw frames against each other and against their masters.

The rules are data: which keyword must agree, and whether disagreement stops the recipe or is only told.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from core.errors import CalibrationMismatchError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, iter_keys
from core.formats.dicd import format_value
from core.formats.raw import RawChannel
from core.instruments.muse.facts import mode_class
from core.recipes.logs import Logger
from core.recipes.muse.parameters import OverscanParameters

__all__ = [
    "check_master",
    "check_overscan_parameters",
    "level_of",
    "recorded_overscan",
    "same_setup",
    "size_words",
    "switched_on",
]

Severity = Literal["fatal", "warning"]


@dataclass(frozen=True)
class _Rule:
    keyword: str
    what: str
    default: int | str | None
    severity: dict[str, Severity]  # by master tag


_EVERYWHERE: Final[dict[str, Severity]] = {
    "MASTER_BIAS": "fatal",
    "MASTER_DARK": "fatal",
    "MASTER_FLAT": "fatal",
}
_BIAS_ONLY: Final[dict[str, Severity]] = {
    "MASTER_BIAS": "fatal",
    "MASTER_DARK": "warning",
    "MASTER_FLAT": "warning",
}
_SETUP: Final = (
    _Rule("DET.BINX", "binning in x", 1, _EVERYWHERE),
    _Rule("DET.BINY", "binning in y", 1, _EVERYWHERE),
    _Rule("DET.READ.CURID", "read-out mode", None, _BIAS_ONLY),
    _Rule("DET.CHIP.NAME", "detector name", None, _BIAS_ONLY),
    _Rule("DET.CHIP.ID", "detector", None, _BIAS_ONLY),
)
_IGNORE_READOUT: Final = "MUSE_DEBUG_IGNORE_READOUT"
_IGNORE_MODE: Final = "MUSE_DEBUG_IGNORE_INSMODE"


def level_of(variable: str) -> int:
    """The number that an environment variable is set to; 0 if it is not set, or to something else."""
    value = os.environ.get(variable, "").strip()
    return int(value) if value.isdigit() else 0


def switched_on(variable: str) -> bool:
    """Whether an environment variable is set to a positive number."""
    return level_of(variable) > 0


def _value(header: Header, rule: _Rule) -> Any:
    value = header.get("ESO " + rule.keyword.replace(".", " "), rule.default)
    return value.strip() if isinstance(value, str) else value


def size_words(shape: tuple[int, ...]) -> str:
    """Size of an image as people write it."""
    return f"{shape[1]} x {shape[0]} pix"


def same_setup(channels: Sequence[RawChannel], tag: str, log: Logger) -> list[int]:
    """Indices of the raw frames that have the set-up of the first one; others are dropped with a warning.

    The instrument mode counts for all but BIAS and DARK, which see no light.
    """
    if not channels:
        return []
    reference = channels[0]
    kept = [0]
    for index, channel in enumerate(channels[1:], start=1):
        differing = [
            f"{rule.what} {_value(channel.header, rule)} instead of {_value(reference.header, rule)} ({rule.keyword})"
            for rule in _SETUP
            if _value(channel.header, rule) != _value(reference.header, rule)
        ]
        if tag not in ("BIAS", "DARK") and not switched_on(_IGNORE_MODE):
            mode, wanted = (get_key(item.header, "INS.MODE", str, default="") for item in (channel, reference))
            if mode_class(mode) != mode_class(wanted):
                differing.append(f"instrument mode {mode or 'unknown'} instead of {wanted or 'unknown'} (INS.MODE)")
        if channel.shape != reference.shape:
            differing.append(f"size {size_words(channel.shape)} instead of {size_words(reference.shape)}")
        if differing:
            log.warning(
                "%s does not fit %s and is not used: %s",
                channel.path.name,
                reference.path.name,
                "; ".join(differing),
            )
        else:
            kept.append(index)
    return kept


def check_master(tag: str, master: Header, name: str, raw: RawChannel, raw_tag: str, log: Logger) -> None:
    """Check that a master calibration has the set-up of the raw frames.

    Parameters
    ----------
    tag : str
        ``MASTER_BIAS``, ``MASTER_DARK`` or ``MASTER_FLAT``.
    master : Header
        Header of the master for this IFU.
    name : str
        Its file name, for messages.
    raw : RawChannel
    raw_tag : str
    log : logger

    Raises
    ------
    CalibrationMismatchError
        If the binning differs; for a bias also the read-out mode or the detector; for a flat the instrument mode.
    """
    for rule in _SETUP:
        if rule.keyword == "DET.READ.CURID" and switched_on(_IGNORE_READOUT):
            continue
        ours, theirs = _value(raw.header, rule), _value(master, rule)
        if ours == theirs:
            continue
        text = f"{tag} was made with another {rule.what} ({theirs}) than {raw.path.name} ({ours})"
        if rule.severity[tag] == "fatal":
            raise CalibrationMismatchError(text, file=name, keyword=rule.keyword)
        log.warning("%s: %s [%s]", name, text, rule.keyword)
    if tag == "MASTER_FLAT" and raw_tag != "ILLUM" and not switched_on(_IGNORE_MODE):
        mode_raw = mode_class(get_key(raw.header, "INS.MODE", str, default=None))
        mode_flat = mode_class(get_key(master, "INS.MODE", str, default=None))
        if mode_raw != mode_flat:
            raise CalibrationMismatchError(
                f"{tag} was made in mode {mode_flat}, {raw.path.name} in {mode_raw}", file=name, keyword="INS.MODE"
            )


def recorded_overscan(master: Header) -> dict[str, str]:
    """Overscan parameters that a product was made with, as its header has them."""
    names = {
        str(value): f"PRO.REC1.PARAM{key.split('PARAM')[1].split('.')[0]}.VALUE"
        for key, value in iter_keys(master, r"PRO\.REC1\.PARAM\d+\.NAME$")
    }
    return {
        parameter: str(master.get("ESO " + names[parameter].replace(".", " "), "")).strip()
        for parameter in ("overscan", "ovscreject", "ovscsigma", "ovscignore")
        if parameter in names
    }


def check_overscan_parameters(master: Header, name: str, params: OverscanParameters, log: Logger) -> None:
    """Warn if the MASTER_BIAS was made with other overscan parameters than these."""
    recorded = recorded_overscan(master)
    for parameter, theirs in recorded.items():
        ours = getattr(params, parameter)
        if isinstance(ours, str):
            agree = theirs.startswith(ours)
        else:
            try:
                agree = float(theirs) == float(ours)
            except ValueError:
                agree = False
        if not agree:
            consequence = ""
            if parameter == "overscan" and theirs.startswith("vpoly") != params.overscan.startswith("vpoly"):
                consequence = ": the level of the overscan is subtracted twice or not at all"
            log.warning(
                "%s=%s, but %s was made with %s=%s%s",
                parameter,
                format_value(ours),
                name,
                parameter,
                theirs,
                consequence,
            )
