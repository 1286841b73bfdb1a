"""Telemetry of the adaptive optics beside a raw frame: the Strehl ratio during a narrow-field exposure."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from core.fitsfile.dataunit import read_columns
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.formats.raw import open_raw
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
    file = open_raw(raw)
    hdu = file.scan.extension(_TABLE)
    if hdu is None or hdu.kind != "table":
        log.warning("%s has no table %s: the Strehl ratio is not known", raw.name, _TABLE)
        return
    columns = read_columns(raw, hdu, content=file.content.number if file.content else None)
    cells = (columns[name].ravel() for name in _COLUMNS if name in columns and columns[name].dtype.kind in "fiu")
    samples = np.concatenate([np.empty(0), *cells])
    samples = samples[np.isfinite(samples)]
    if not samples.size:
        log.warning("%s has no Strehl ratio in %s", raw.name, _TABLE)
        return
    median = float(np.median(samples))
    set_key(header, "DRS.MUSE.RTC.STREHL", median, "[%] median of the Strehl ratio")
    set_key(header, "DRS.MUSE.RTC.STREHERR", float(np.median(np.abs(samples - median))), "[%] its scatter (MAD)")
