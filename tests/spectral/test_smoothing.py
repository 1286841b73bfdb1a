"""Curves are smoothed as the reference does it, on a curve that is known analytically."""

from __future__ import annotations

import numpy as np
import pytest

from core.instruments.muse.facts import FLAT_BLUE_END, NOTCH
from core.onsky.fluxcal import Curve
from core.onsky.sensitivity import Smoothing, smooth_response

WAVE = np.arange(4200.0, 9600.1, 1.25)
CURVE = Curve.of(WAVE, 41.5 + 0.3 * np.sin(WAVE / 400) + 0.02 * np.sin(WAVE / 7), 0.01)
# Wavelengths, values, and errors of the reference: without limits (median, polynomials), and with those of two modes.
CASES = (
    (4200, (41.21635, 0.01), (41.22578, 0.01686), (41.23697, 0.01), (41.23697, 0.01)),
    (4700, (41.26926, 0.01359), (41.28156, 0.01779), (41.26608, 0.01), (41.28221, 0.01707)),
    (4762.5, (41.32454, 0.01), (41.31598, 0.01805), (41.33563, 0.01), (41.31620, 0.01772)),
    (4775, (41.31819, 0.01), (41.32364, 0.01815), (41.31215, 0.01682), (41.32312, 0.01798)),
    (4776.25, (41.31819, 0.01), (41.32441, 0.01815), (41.31314, 0.01683), (41.32387, 0.01800)),
    (5000, (41.47304, 0.01), (41.48022, 0.01856), (41.48022, 0.01856), (41.48022, 0.01856)),
    (5800, (41.77326, 0.01), (41.78046, 0.01740), (41.78046, 0.01740), (41.77135, 0.01683)),
    (5880, (41.74297, 0.01076), (41.75375, 0.01756), (41.75375, 0.01756), (41.73512, 0.01)),
    (6010, (41.67660, 0.01363), (41.68936, 0.01796), (41.68936, 0.01796), (41.68955, 0.01752)),
    (7000, (41.21697, 0.01093), (41.20731, 0.01725), (41.20731, 0.01725), (41.20731, 0.01725)),
    (9590, (41.22265, 0.01572), (41.22822, 0.01767), (41.22962, 0.01753), (41.22962, 0.01753)),
    (9600, (41.23765, 0.01), (41.23133, 0.01745), (41.23628, 0.01707), (41.23628, 0.01707)),
)
COLUMNS: tuple[tuple[Smoothing, str | None], ...] = (
    ("median", None),
    ("ppoly", None),
    ("ppoly", "WFM-NOAO-N"),
    ("ppoly", "WFM-AO-N"),
)


def smoothed(how: Smoothing, mode: str | None) -> Curve:
    first, gap = (0.0, None) if mode is None else (FLAT_BLUE_END[mode], NOTCH.get(mode))
    return smooth_response(CURVE, how, first, gap)


@pytest.mark.parametrize("column", range(4))
def test_the_numbers_are_those_of_the_reference(column: int) -> None:
    how, mode = COLUMNS[column]
    found = smoothed(how, mode)
    for wave, *cases in CASES:
        if mode is None and not 4215 <= wave <= 9585:
            continue  # without limits, windows of the reference reach to one side at the ends
        value, error = cases[column]
        k = int(np.abs(WAVE - wave).argmin())
        assert found.values[k] == pytest.approx(value, abs=6e-6), wave
        assert found.errors[k] == pytest.approx(error, abs=6e-6), wave


@pytest.mark.parametrize(
    ("how", "mode", "first"),
    [
        ("median", "WFM-NOAO-N", 4780.0),
        ("median", "WFM-AO-N", 4712.5),
        ("median", "NFM-AO-N", 4778.75),
        ("ppoly", "WFM-NOAO-N", 4775.0),
        ("ppoly", "WFM-AO-N", 4700.0),
        ("ppoly", "WFM-AO-E", 4200.0),
        ("ppoly", "NFM-AO-N", 4770.0),
    ],
)
def test_bluer_rows_stay_as_they_are(how: Smoothing, mode: str, first: float) -> None:
    changed = WAVE[smoothed(how, mode).values != CURVE.values]
    assert changed[0] == first
    assert changed[-1] == (9583.75 if how == "median" else 9600.0)


@pytest.mark.parametrize("how", ["median", "ppoly"])
def test_a_straight_line_stays_what_it_is(how: Smoothing) -> None:
    line = Curve.of(WAVE, 30 + 1e-3 * WAVE)
    np.testing.assert_allclose(smooth_response(line, how).values, line.values, rtol=1e-9)
