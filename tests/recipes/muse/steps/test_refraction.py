"""Refraction is taken out of positions when they are read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core.errors import DataError, MissingKeywordError
from core.fitsfile.keywords import get_key
from core.formats.pixtable_header import pixtable_units
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable
from core.recipes.muse.steps.refraction import CORRECTED, METHOD_VARIABLE, correct_refraction
from core.recipes.muse.steps.table import with_limits

LOG = logging.getLogger(__name__)
WAVES = [4650.0, 5500.0, 7000.0, 9300.0]
X = [2.6139927, 1.2641937, 0, -0.8672302]  # by the reference pipeline, for the header of the fixture
Y = [-0.4140158, -0.2002286, 0, 0.1373558]

Tables = Callable[..., PixelTable]


def positions(table: PixelTable) -> list[Any]:
    columns = table.read(0, table.n_rows, ("xpos", "ypos"))
    return [columns["xpos"], columns["ypos"]]


def test_pixels_move_to_where_red_light_is(make_table: Tables) -> None:
    table = correct_refraction(make_table(WAVES, xpos=10.0, ypos=-20.0), 7000.0, LOG)
    np.testing.assert_allclose(positions(table), [np.array(X) + 10, np.array(Y) - 20], atol=3e-6)
    assert get_key(table.header, CORRECTED, float) == 7000
    assert get_key(with_limits(table), f"{PREFIX}.LIMITS.X.HIGH", float) == pytest.approx(10 + X[0])
    assert get_key(table.header, f"{PREFIX}.PREDAR.LIMITS.XHI", float) == 10


def test_what_was_corrected_is_left_alone(make_table: Tables) -> None:
    once = correct_refraction(make_table(WAVES), 7000.0, LOG)
    assert correct_refraction(once, 5000.0, LOG) is once


@pytest.mark.parametrize(
    "header", [{"INS.MODE": "NFM-AO-N"}, {"RA": None}, {"DEC": None}, {"LST": None, "TEL.AIRM.START": None}]
)
def test_where_there_is_nothing_to_correct(make_table: Tables, header: dict[str, Any]) -> None:
    table = make_table(WAVES, header=header)
    assert correct_refraction(table, 7000.0, LOG) is table


def test_not_to_correct_is_told(make_table: Tables) -> None:
    table = correct_refraction(make_table(WAVES), -1.0, LOG)
    assert get_key(table.header, CORRECTED, float) == -1
    assert not np.any(positions(table))


def test_positions_on_the_sky_move_the_same_way(make_table: Tables) -> None:
    step = 0.2 / 3600
    header = {"CD1_1": -step, "CD2_2": step, "CRVAL1": 150.0, "CRVAL2": -30.0, f"{PREFIX}.WCS": "positioned (final)"}
    table = correct_refraction(make_table(WAVES, header=header, units=pixtable_units("deg")), 7000.0, LOG)
    np.testing.assert_allclose(positions(table), [np.array(X) * -step, np.array(Y) * step], atol=2e-10)


def test_angles_of_the_plane_are_refused(make_table: Tables) -> None:
    with pytest.raises(DataError):
        correct_refraction(make_table(WAVES, units=pixtable_units("rad")), 7000.0, LOG)


def test_without_a_parallactic_angle_there_is_no_direction(make_table: Tables) -> None:
    with pytest.raises(MissingKeywordError) as caught:
        correct_refraction(make_table(WAVES, header={"TEL.PARANG.END": None}), 7000.0, LOG)
    assert caught.value.context["keyword"] == "TEL.PARANG.END"


def test_the_formula_is_chosen_by_the_environment(make_table: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(METHOD_VARIABLE, "Owens")
    table = correct_refraction(make_table(WAVES), 7000.0, LOG)
    assert positions(table)[0][0] == pytest.approx(2.6084173, abs=2e-6)
    monkeypatch.setenv(METHOD_VARIABLE, "Newton")
    with pytest.raises(DataError) as caught:
        correct_refraction(make_table(WAVES), 7000.0, LOG)
    assert caught.value.context["rule"] == METHOD_VARIABLE
