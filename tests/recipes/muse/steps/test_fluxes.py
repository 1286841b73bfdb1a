"""Counts of a table become fluxes when they are read."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest

from core.errors import CalibrationMismatchError, DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.formats.pixtable_header import FLUX_UNIT, pixtable_units
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable
from core.instruments.muse.facts import Dq
from core.onsky.fluxcal import Curve
from core.recipes.muse.steps.fluxes import FLUXCAL, FluxCurve, calibrate_fluxes, response_is_older

LOG = logging.getLogger(__name__)
EXTINCTION = Curve.of([4000.0, 10000.0], [0.3, 0.02])

Tables = Callable[..., PixelTable]


def response(mode: str = "WFM-NOAO-N", *, corrected: bool = False) -> FluxCurve:
    header = Header()
    set_key(header, "INS.MODE", mode)
    if corrected:
        set_key(header, "DRS.MUSE.FLUX.FFCORR", True)
    return FluxCurve(header, Curve.of([4700.0, 9400.0], [41.5, 41.5]))


def test_data_get_the_unit_of_fluxes(make_table: Tables) -> None:
    table = calibrate_fluxes(make_table([5000.0, 4500.0]), response(), EXTINCTION, None, LOG)
    columns = table.read(0, 2)
    expected = 100 / 1200 / 1.25 * 10 ** (0.4 * (1.293473927582162 * float(EXTINCTION.at(5000.0)) - 41.5)) * 1e20
    assert columns["data"][0] == pytest.approx(expected, rel=1e-6)
    assert (table.units["data"], table.units["stat"]) == (FLUX_UNIT, f"({FLUX_UNIT})**2")
    assert get_key(table.header, FLUXCAL, bool)
    assert columns["dq"].view(np.uint32).tolist() == [0, Dq.OUTSIDE_RANGE]
    assert np.isnan(columns["data"]).tolist() == [False, True]


def test_fluxes_stay_fluxes(make_table: Tables) -> None:
    table = make_table([5000.0], units=pixtable_units(flux=FLUX_UNIT))
    assert calibrate_fluxes(table, response(), None, None, LOG) is table


def test_positions_are_read_without_fluxes(make_table: Tables) -> None:
    table = calibrate_fluxes(make_table([5000.0]), response(), EXTINCTION, None, LOG)
    assert list(table.read(0, 1, ("xpos", "lambda"))) == ["xpos", "lambda"]


@pytest.mark.parametrize(
    ("measured", "keyword"), [(response("NFM-AO-N"), "INS.MODE"), (response(corrected=True), "DRS.MUSE.FLUX.FFCORR")]
)
def test_a_response_of_another_kind_is_refused(make_table: Tables, measured: FluxCurve, keyword: str) -> None:
    with pytest.raises(CalibrationMismatchError) as caught:
        calibrate_fluxes(make_table([5000.0]), measured, EXTINCTION, None, LOG)
    assert caught.value.context["keyword"] == keyword


def test_a_response_of_old_data_is_told(make_table: Tables) -> None:
    table = make_table([5000.0], header={f"{PREFIX}.FFCORR": 24})
    assert response_is_older(table, response())
    assert not response_is_older(table, response(corrected=True))


def test_other_units_and_no_time_are_refused(make_table: Tables) -> None:
    units = {**pixtable_units(), "data": "adu"}
    with pytest.raises(CalibrationMismatchError):
        calibrate_fluxes(make_table([5000.0], units=units), response(), EXTINCTION, None, LOG)
    with pytest.raises(DataError):
        calibrate_fluxes(make_table([5000.0], header={"EXPTIME": 0.0}), response(), EXTINCTION, None, LOG)
