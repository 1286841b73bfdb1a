"""Rows are corrected when they are read, and only where it matters."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest

from core.errors import DataError
from core.fitsfile.keywords import get_key, has_key
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable
from core.recipes.muse.steps.table import measure_limits, with_limits
from core.recipes.muse.steps.velocity import RVCORR, correct_velocity

LOG = logging.getLogger(__name__)
WAVES = np.linspace(4750, 9350, 1001, dtype=np.float32)

Tables = Callable[..., PixelTable]


def test_wavelengths_of_an_observer_at_rest(make_table: Tables) -> None:
    table = correct_velocity(make_table(WAVES), "bary", LOG)
    velocity = get_key(table.header, RVCORR, float)
    found = table.read(0, table.n_rows, ("lambda",))["lambda"]
    np.testing.assert_allclose(found / WAVES - 1, velocity / 299792.458, atol=2e-7)
    assert table.header["SPECSYS"] == "BARYCENT"
    assert get_key(with_limits(table), f"{PREFIX}.LIMITS.LAMBDA.HIGH", float) == pytest.approx(float(found.max()))
    assert correct_velocity(table, "helio", LOG) is table


def test_rows_are_found_by_their_corrected_wavelengths(make_table: Tables) -> None:
    plain = make_table(WAVES)
    table = correct_velocity(plain, "bary", LOG)
    edge = float(table.read(500, 501, ("lambda",))["lambda"][0])
    rows = np.concatenate([piece.rows for piece in table.rows(edge, 9999.0, ("data",))])
    assert rows.tolist() == list(range(500, 1001))


def test_no_velocity_no_step(make_table: Tables) -> None:
    table = make_table(WAVES)
    found = correct_velocity(table, "none", LOG)
    assert found.header["SPECSYS"] == "TOPOCENT"
    assert not has_key(found.header, RVCORR)
    np.testing.assert_array_equal(found.read(0, table.n_rows)["lambda"], WAVES)
    assert "SPECSYS" not in table.header


def test_the_source_keeps_its_header(make_table: Tables) -> None:
    plain = make_table(WAVES)
    correct_velocity(plain, "geo", LOG)
    assert not has_key(plain.header, RVCORR)


def test_no_rows_no_limits(make_table: Tables) -> None:
    table = make_table(WAVES)
    object.__setattr__(table, "n_rows", 0)
    with pytest.raises(DataError):
        measure_limits(table)
