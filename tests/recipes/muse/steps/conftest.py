"""A pixel table in memory, of some rows of an IFU and a header as science exposures have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.pixtable_header import COLUMNS, PixtableLimits, pixtable_units
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_ranges import Kept, Ranges, numbers, only_kept
from core.formats.pixtable_read import PixelTable

HEADER = {
    "RA": 150.0,
    "DEC": -30.0,
    "LST": 46000.0,
    "EXPTIME": 1200.0,
    "MJD-OBS": 60310.0,
    "INS.MODE": "WFM-NOAO-N",
    "INS.DROT.POSANG": 0.0,
    "INS.DROT.MODE": "SKY",
    "TEL.PARANG.START": 80.0,
    "TEL.PARANG.END": 82.0,
    "TEL.AMBI.TEMP": 11.5,
    "TEL.AMBI.RHUM": 14.5,
    "TEL.AMBI.PRES.START": 742.0,
    "TEL.AMBI.PRES.END": 744.0,
    "TEL.AIRM.START": 1.26,
    "TEL.AIRM.END": 1.33,
    "TEL.GEOLAT": -24.625278,
    "TEL.GEOLON": -70.402222,
    f"{PREFIX}.TYPE": "GEOFULL",
}


@dataclass(frozen=True)
class MemoryTable(PixelTable):
    """A table whose columns are there."""

    cells: dict[str, npt.NDArray[Any]]

    def gather(
        self, ranges: Ranges, names: Sequence[str] | None = None, kept: Kept = None
    ) -> dict[str, npt.NDArray[Any]]:
        """See `PixelTable.gather`."""
        rows = numbers(ranges)
        return only_kept({name: self.cells[name][rows] for name in (self.columns if names is None else names)}, kept)


@pytest.fixture
def make_table() -> Callable[..., MemoryTable]:
    """``make_table(wave, xpos=..., header={...})``: rows of 100 +- 10 counts in the middle of the field unless told.

    A keyword that is None is not in the header.
    """

    def make(
        wave: npt.ArrayLike,
        *,
        xpos: npt.ArrayLike = 0.0,
        ypos: npt.ArrayLike = 0.0,
        data: npt.ArrayLike = 100.0,
        dq: npt.ArrayLike = 0,
        stat: npt.ArrayLike = 100.0,
        origin: npt.ArrayLike = (5 << 6) | 7,
        header: Mapping[str, Any] | None = None,
        units: Mapping[str, str] | None = None,
    ) -> MemoryTable:
        waves = np.asarray(wave, np.float32)
        given = (xpos, ypos, waves, data, dq, stat, origin)
        cells = {
            name: np.broadcast_to(np.asarray(values, kind), waves.shape)
            for (name, kind), values in zip(COLUMNS.items(), given, strict=True)
        }
        cards = Header()
        for key, value in {**HEADER, **(header or {})}.items():
            if value is not None:
                set_key(cards, key, value)
        PixtableLimits.of(cells).write(cards)
        columns = {name: column.dtype for name, column in cells.items()}
        return MemoryTable(
            Path("table.fits"), cards, "image", waves.size, columns, dict(units or pixtable_units()), cells
        )

    return make
