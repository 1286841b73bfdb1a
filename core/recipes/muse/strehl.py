"""Telemetry of the adaptive optics beside a raw frame: the Strehl ratio during a narrow-field exposure."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from core.fitsfile.dataunit import read_columns
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.fitsfile.scan import scan_fits
from core.recipes.logs import Logger

__all__ = ["write_strehl"]

_TABLE: Final = "SPARTA_ATM_DATA"
_COLUMNS: Final = tuple(f"LGS{star}_STREHL" for star in range(1, 5))


def write_strehl(raw: Path, header: Header, log: Logger) -> None:
    """Write median and scatter of the Strehl ratio [%] of a raw frame in narrow-field mode into a header.

    Nothing happens in the other modes; a frame without telemetry is warned of.
    """
    if not get_key(header, "INS.MODE", str, default="").startswith("NFM"):
        return
    hdu = scan_fits(raw).extension(_TABLE)
    if hdu is None:
        log.warning("%s has no extension %s: the Strehl ratio is not known", raw.name, _TABLE)
        return
    columns = read_columns(raw, hdu, needed=())
    samples = np.concatenate([np.empty(0), *(columns[name].ravel() for name in _COLUMNS if name in columns)])
    samples = samples[np.isfinite(samples)]
    if not samples.size:
        log.warning("%s has no Strehl ratio in %s", raw.name, _TABLE)
        return
    median = float(np.median(samples))
    set_key(header, "DRS.MUSE.RTC.STREHL", median, "[%] median of the Strehl ratio")
    set_key(header, "DRS.MUSE.RTC.STREHERR", float(np.median(np.abs(samples - median))), "[%] its scatter (MAD)")
