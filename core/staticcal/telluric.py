"""Wavelengths that the air absorbs, and what lies around them, as a TELLURIC_REGIONS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np

from core.formats.onsky_tables import TELLURIC_REGIONS
from core.instruments.muse.facts import TELLURIC_BANDS
from core.staticcal.writing import Provenance, StaticTable, write_static

__all__ = ["write_telluric_regions"]

_PROVENANCE: Final = Provenance(
    1,
    "2026-11-29",
    "Bands of O2 and H2O with the continuum on both sides, wavelengths in air.",
    ("the bands that muse_standard takes without this file",),
)


def write_telluric_regions(path: str | os.PathLike[str]) -> Path:
    """Write TELLURIC_REGIONS (atomically): the bands that muse_standard has of its own, to be edited."""
    names = [column.name for column in TELLURIC_REGIONS.columns]
    columns = dict(zip(names, np.array(TELLURIC_BANDS).T, strict=True))
    return write_static(path, TELLURIC_REGIONS.name, [StaticTable(TELLURIC_REGIONS, columns)], _PROVENANCE)
