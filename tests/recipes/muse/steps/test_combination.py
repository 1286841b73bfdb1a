"""Exposures become one table: the cases of the reference pipeline."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core.errors import CalibrationMismatchError
from core.fitsfile.keywords import get_key
from core.formats.pixtable_header import pixtable_units
from core.recipes.muse.steps.combination import ExposureOffset, combine_exposures, offset_of

LOG = logging.getLogger(__name__)
TANGENT = {"xpos": 0.0, "ypos": 0.0}  # theta - 90 deg = 0: where the plane touches the sky
WCS = {"CD1_1": -0.2 / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.2 / 3600}
Make = Callable[..., Any]


def date(number: int) -> str:
    return f"2026-11-0{number}T01:00:00.000"


def exposures(make_table: Make, ra: float, dec: float, data: list[float], stat: list[float]) -> list[Any]:
    return [
        make_table(
            [5000.0, 6000.0], **TANGENT, data=value, stat=variance, units=pixtable_units("rad"),
            header={"RA": ra, "DEC": dec, "DATE-OBS": date(number), "EXPTIME": 100.0 * number, **WCS},
        )
        for number, (value, variance) in enumerate(zip(data, stat, strict=True), 1)
    ]  # fmt: skip


def rows(table: Any) -> dict[str, np.ndarray]:
    return {name: cells[::2] for name, cells in table.read(0, table.n_rows).items()}  # one of each exposure


def test_offsets_move_exposures_the_other_way(make_table: Make) -> None:
    tables = exposures(make_table, 0.0, 0.0, [1, 2, 3], [0.5, 1, 1.5])
    moves = {
        date(1): ExposureOffset(0.0, 0.0, 1.5),
        date(2): ExposureOffset(1e-5, 2e-5, 2.0),
        date(3): ExposureOffset(-1e-5, -2e-5, -2.0),
    }
    found = rows(combine_exposures(tables, "exptime", moves, LOG))
    np.testing.assert_allclose(found["xpos"], [0, -1e-5, 1e-5], atol=1e-11)
    np.testing.assert_allclose(found["ypos"], [0, -2e-5, 2e-5], atol=1e-11)
    np.testing.assert_allclose(found["data"], [1.5, 4, -6])
    np.testing.assert_allclose(found["stat"], [1.125, 4, 6])
    np.testing.assert_allclose(found["weight"], [1, 2, 3])


def test_offsets_in_right_ascension_have_no_cosine(make_table: Make) -> None:
    tables = exposures(make_table, 180.0, -75.0, [1, 2, 3], [0.5, 1, 1.5])
    moves = {date(2): ExposureOffset(1e-4, -1e-5, 0.995), date(3): ExposureOffset(0.0, 0.0, 1.15)}
    combined = combine_exposures(tables, "none", moves, LOG)
    found = rows(combined)
    np.testing.assert_allclose(found["xpos"], [0, -1e-4, 0], atol=1e-10)
    np.testing.assert_allclose(found["ypos"], [0, 1e-5, 0], atol=1e-10)
    np.testing.assert_allclose(found["data"], [1, 1.99, 3.45])
    np.testing.assert_allclose(found["stat"], [0.5, 0.990025, 1.98375])
    assert get_key(combined.header, "DRS.MUSE.OFFSET2.DRA", float) == 1e-4
    assert get_key(combined.header, "DRS.MUSE.FLUX.SCALE3", float) == 1.15


def test_exposures_are_known_by_their_date(make_table: Make, caplog: pytest.LogCaptureFixture) -> None:
    (table,) = exposures(make_table, 0.0, 0.0, [1.0], [1.0])
    known = {date(1): ExposureOffset(1.0, 2.0)}
    assert offset_of(table.header, known, LOG) == known[date(1)]
    table.header["DATE-OBS"] = date(1)[:-4]  # to the second only
    assert offset_of(table.header, known, LOG) == ExposureOffset()
    assert "has no exposure of" in caplog.text


def test_only_native_angles_are_combined(make_table: Make) -> None:
    tables = [make_table([5000.0], header={"DATE-OBS": date(number)}) for number in (1, 2)]
    with pytest.raises(CalibrationMismatchError, match="native angles"):
        combine_exposures(tables, "exptime", None, LOG)
