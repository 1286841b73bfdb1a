"""What the observatory would deliver beside raw frames: static calibrations that are true of the simulation."""

from __future__ import annotations

import os
from pathlib import Path

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.tables import GEOMETRY_TABLE, MuseTable, write_table
from core.simulator.geometry import make_geometry

__all__ = ["write_geometry_table"]


def write_geometry_table(path: str | os.PathLike[str], seed: int = 1) -> Path:
    """Write the true GEOMETRY_TABLE of a simulation, which serves until one is measured.

    Parameters
    ----------
    path : path-like
    seed : int
        Seed of the simulation.
    """
    header = Header()
    for key, value in {
        "INSTRUME": "MUSE", "PRO.CATG": GEOMETRY_TABLE.name, "INS.MODE": "WFM-NOAO-N", "INS.OPTI2.NAME": "WFM",
    }.items():  # fmt: skip
        set_key(header, key, value)
    return write_table(path, GEOMETRY_TABLE, MuseTable(dict(make_geometry(seed).table()), header))
