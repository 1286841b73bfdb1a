"""Pixel tables of the IFUs of exposures, of two slices each, and what opens them as one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.pixtable import PixtableForm
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_slices import SliceRows
from core.formats.pixtable_slicewise import SlicewiseTable
from core.recipes.muse.exposure_tables import ExposureTable, list_exposures, open_exposure
from core.spatial.positions import FieldPlace, SliceMap

LOG = logging.getLogger(__name__)
EVERYTHING: Final = (4000.0, 10000.0)
DATE: Final = "2026-11-01T01:00:00.000"
Spectrum = tuple[np.ndarray, np.ndarray]


def a_slice(ifu: int, number: int) -> SliceMap:
    left = 30.4 + 80 * (number - 1)
    wave = np.array([[4745.0 + ifu, 1.25 * 43, 0.0], [0.03, 0.0, 0.0]])  # the whole spectrum in 90 rows
    place = FieldPlace(10.0 * number, float(ifu), 0.4, 75.1)
    return SliceMap(number, np.array([left, 0.01]), np.array([left + 9.2, 0.01]), wave, place, (90, 200))


def lamps(ifu: int) -> Spectrum:
    wave = np.arange(4740.0 + 0.1 * ifu, 9900.0, 1.25)
    noise = np.random.default_rng(ifu).normal(0, 0.02, wave.size)
    return wave, np.exp(-(((wave - 6500) / 3000) ** 2)) * (2 + 0.1 * np.sin(wave / 200 + ifu)) + noise


def write(
    folder: Path, ifu: int, fluxes: dict[str, float], form: PixtableForm = "image", flat: bool = True, date: str = DATE
) -> Path:
    header = Header()
    values: dict[str, Any] = {
        "INSTRUME": "MUSE", "RA": 10.0, "DEC": -20.0, "DATE-OBS": date, "MJD-OBS": 61345.04, "EXPTIME": 100.0,
        "EXTNAME": f"CHAN{ifu:02d}", "INS.MODE": "WFM-AO-N", "INS.DROT.POSANG": 0.0, "INS.DROT.MODE": "SKY",
        "PRO.CATG": "PIXTABLE_OBJECT", f"{PREFIX}.ILLUM1": 1.0, f"{PREFIX}.TYPE": "GEOFULL",
        **{f"DRS.MUSE.FLAT.FLUX.{key}": value for key, value in fluxes.items()},
    }  # fmt: skip
    for key, value in values.items():
        set_key(header, key, value)
    slices = [SliceRows.whole(ifu, a_slice(ifu, number)) for number in (1, 2)]
    rng = np.random.default_rng(ifu)
    path = folder / f"PIXTABLE_OBJECT_{date[-1]}-{ifu:02d}.fits"
    with SlicewiseTable.create(path, header, slices, form=form, flat_field=lamps(ifu) if flat else None) as table:
        for number, rows in enumerate(table.slices):
            data, stat = (rng.normal(100, 10, rows.n_rows).astype(np.float32) for _ in range(2))
            table.put(number, rows.columns(), data, rng.choice([0, 0, 32], rows.n_rows).astype(np.int32), stat)
        table.describe(header)
        return table.finish(header)


FLUXES = {3: {"LAMP": 4.2e9, "SKY": 3.3e9}, 5: {"LAMP": 4.1e9, "SKY": 3.1e9}}


def opened(paths: list[Path], limits: tuple[float, float] = EVERYTHING) -> ExposureTable:
    (files,) = list_exposures(paths, LOG)
    return open_exposure(files, *limits, LOG)
