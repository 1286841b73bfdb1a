"""Pixel tables of an IFU with narrow slices, in all forms, and the tables that they follow from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.ccd.geometry import Detector
from core.ccd.trace_model import Trace
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.pixtable import PixtableForm
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable, open_pixtable
from core.formats.pixtable_slices import SliceRows
from core.formats.pixtable_slicewise import SlicewiseTable
from core.formats.tables import GEOMETRY_TABLE, MuseTable, trace_table_format, wavecal_table_format, write_table
from core.instruments.muse.facts import N_SLICES, PORT_X, PORT_Y, SLICE_SKY
from core.spatial.positions import FieldPlace, SliceMap
from core.spectral.dispersion import Dispersion

IFU = 3
SHIFT = -0.0123456789
DETECTOR = Detector(nx=250, ny=20)
NUMBERS = range(1, N_SLICES + 1)


@dataclass(frozen=True)
class Tables:
    """Files of one IFU: ``image``, ``table``, ``compact`` are the same pixel table."""

    image: Path
    table: Path
    compact: Path
    calibrations: tuple[Path, Path, Path]
    ifu = IFU

    def of(self, form: str) -> PixelTable:
        """The pixel table in a form."""
        return open_pixtable(getattr(self, form))


def slice_map(number: int) -> SliceMap:
    left = 10.3 + 10 * (number - 1)
    place = FieldPlace(0.5 * number, 10.0 * (number % 12), 0.1, 75.0)
    wave = np.array([[5000.0 + number, 1.25], [0.01, 0.0]])
    return SliceMap(number, np.array([left, 0.01]), np.array([left + 8, 0.01]), wave, place, DETECTOR.trimmed_shape)


def header() -> Header:
    cards = Header()
    values: dict[str, Any] = {
        "INSTRUME": "MUSE", "EXTNAME": "CHAN03", "DATE-OBS": "2026-11-01T01:00:00", "INS.MODE": "WFM-NOAO-N",
        f"{PREFIX}.TYPE": "GEOFULL", "PRO.CATG": "PIXTABLE_OBJECT",
    }  # fmt: skip
    scans = dict.fromkeys(("PRSCX", "PRSCY", "OVSCX", "OVSCY"), 32)
    for port in range(1, 5):
        own = {"X": PORT_X[port - 1], "Y": PORT_Y[port - 1], "NX": DETECTOR.nx, "NY": DETECTOR.ny, "GAIN": 1.0}
        values |= {f"DET.OUT{port}.{key}": value for key, value in (own | scans).items()}
    for key, value in values.items():
        set_key(cards, key, value)
    return cards


def write(path: Path, form: PixtableForm) -> Path:
    slices = [SliceRows.whole(IFU, slice_map(number), SHIFT) for number in NUMBERS]
    rng, cards = np.random.default_rng(2), header()
    with SlicewiseTable.create(path, cards, slices, form=form) as table:
        for number, rows in enumerate(table.slices):
            data, stat = (rng.normal(100, 10, rows.n_rows).astype(np.float32) for _ in range(2))
            table.put(number, rows.columns(), data, rng.choice([0, 0, 32], rows.n_rows).astype(np.int32), stat)
        table.describe(cards)
        return table.finish(cards)


def tagged(tag: str, columns: Any) -> MuseTable:
    cards = Header()
    set_key(cards, "PRO.CATG", tag)
    return MuseTable(columns, cards)


def calibrations(folder: Path) -> tuple[Path, Path, Path]:
    maps = [slice_map(number) for number in NUMBERS]
    left, right = np.stack([item.left for item in maps]), np.stack([item.right for item in maps])
    trace = Trace.from_polynomials(NUMBERS, (left + right) / 2, left, right)
    numbers = np.array(NUMBERS, np.int32)
    waves = Dispersion(numbers, np.stack([item.wave for item in maps]), np.zeros(N_SLICES))
    places = {
        "SubField": np.full(N_SLICES, IFU, np.int32), "SliceCCD": numbers, "SliceSky": np.array(SLICE_SKY, np.int32),
        **{name: np.array([getattr(item.place, name) for item in maps]) for name in ("x", "y", "angle", "width")},
    }  # fmt: skip
    return (
        write_table(folder / "t.fits", trace_table_format(1), tagged("TRACE_TABLE", trace.columns()), IFU),
        write_table(folder / "w.fits", wavecal_table_format(1, 1), tagged("WAVECAL_TABLE", waves.columns()), IFU),
        write_table(folder / "g.fits", GEOMETRY_TABLE, tagged("GEOMETRY_TABLE", places)),
    )


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    folder = tmp_path_factory.mktemp("tables")
    image, table, compact = (write(folder / f"{form}.fits", form) for form in ("image", "table", "compact"))
    return Tables(image, table, compact, calibrations(folder))
