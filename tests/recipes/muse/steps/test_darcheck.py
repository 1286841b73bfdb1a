"""Sources that move with wavelength are seen, and moved back."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest

from core.errors import DataError
from core.fitsfile.keywords import get_key
from core.formats.pixtable_header import pixtable_units
from core.formats.pixtable_read import PixelTable
from core.recipes.flow import RecipeContext
from core.recipes.muse.steps.darcheck import CHECKED, RESIDUAL, check_refraction
from core.recipes.muse.steps.refraction import CORRECTED

Tables = Callable[..., PixelTable]
LOW, HIGH, MIDDLE = 5000.0, 5600.0, 5300.0
SLOPE = 0.004  # [pix/Angstrom]


@pytest.fixture
def context() -> RecipeContext:
    return RecipeContext(logging.LoggerAdapter(logging.getLogger(__name__), {}), lambda *_: None)


@pytest.fixture
def moving(make_table: Tables) -> PixelTable:
    """A star that moves along x, in a field of 24 x 24 pixels."""
    rng = np.random.default_rng(6)
    y, x, wave = (axis.ravel() for axis in np.meshgrid(np.arange(24.0), np.arange(24.0), np.arange(LOW, HIGH, 5.0)))
    centre = 12 + SLOPE * (wave - MIDDLE)
    star = 1000 * np.exp(-((x - centre) ** 2 + (y - 11) ** 2) / 2 / 1.8**2)
    stat = 9 + 40 * star  # where a star is bright, its slopes are no cosmic rays
    data = 20 + star + rng.normal(0, 3, x.size)
    return make_table(wave, xpos=x, ypos=y, data=data, stat=stat, header={CORRECTED: MIDDLE})


def test_the_largest_shift_is_told(moving: PixelTable, context: RecipeContext) -> None:
    table = check_refraction(moving, "check", context)
    expected = SLOPE * (HIGH - LOW) * 0.2
    assert get_key(table.header, CHECKED, float) == pytest.approx(expected, rel=0.05)
    before, after = (item.read(0, item.n_rows, ("xpos",))["xpos"] for item in (moving, table))
    np.testing.assert_array_equal(before, after)


def test_what_moves_is_moved_back(moving: PixelTable, context: RecipeContext) -> None:
    table = check_refraction(moving, "correct", context)
    assert get_key(table.header, RESIDUAL, float) == MIDDLE
    before, after = (item.read(0, item.n_rows, ("xpos", "lambda")) for item in (moving, table))
    np.testing.assert_allclose(after["xpos"] - before["xpos"], -SLOPE * (before["lambda"] - MIDDLE), atol=0.05)
    again = check_refraction(table, "check", context)
    assert get_key(again.header, CHECKED, float) < 0.1 * get_key(table.header, CHECKED, float)


def test_nothing_is_looked_at_unless_asked(moving: PixelTable, context: RecipeContext) -> None:
    assert check_refraction(moving, "none", context) is moving


def test_a_field_without_sources_is_told(make_table: Tables, context: RecipeContext) -> None:
    y, x, wave = (axis.ravel() for axis in np.meshgrid(np.arange(9.0), np.arange(9.0), np.arange(LOW, HIGH, 10.0)))
    with pytest.raises(DataError, match="no source"):
        check_refraction(make_table(wave, xpos=x, ypos=y, data=1.0), "check", context)


def test_positions_on_the_sky_are_refused(make_table: Tables, context: RecipeContext) -> None:
    with pytest.raises(DataError, match="pixels"):
        check_refraction(make_table([5000.0], units=pixtable_units("deg")), "check", context)
