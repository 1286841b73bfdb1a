"""Weights of exposures."""

from __future__ import annotations

import pytest

from core.errors import DataError
from core.onsky.weights import Seeing, combined_strehl, exposure_weights

# Four exposures of 900 s of a real field: autoguider, active optics, seeing monitor [arcsec].
COSMOS = [
    Seeing((0.774 + 0.744) / 2, 0.80, 0.9),
    Seeing((0.790 + 0.799) / 2, 0.75, 0.9),
    Seeing((0.825 + 0.834) / 2, 0.87, 0.925),
    Seeing((0.831 + 0.857) / 2, 1.02, 0.97),
]


def test_longer_exposures_count_more() -> None:
    assert exposure_weights("exptime", [1, 2, 3]) == ((1, 2, 3), "exposure time")
    assert exposure_weights("none", [1, 2, 3])[0] == (1, 1, 1)


@pytest.mark.parametrize(
    ("without", "expected", "word"),
    [
        ((), (1, 0.9553, 0.9150, 0.8993), "autoguider"),
        (("guider",), (1, 1.0667, 0.9195, 0.7843), "active optics"),
        (("guider", "active_optics"), (1, 1, 0.9730, 0.9278), "seeing monitor"),
    ],
)
def test_better_seeing_counts_more(without: tuple[str, ...], expected: tuple[float, ...], word: str) -> None:
    seeings = [Seeing(**{k: v for k, v in vars(seeing).items() if k not in without}) for seeing in COSMOS]
    weights, rule = exposure_weights("fwhm", [900] * 4, seeings)
    assert weights == pytest.approx(expected, abs=1e-3)
    assert word in rule


def test_an_instrument_must_have_seen_all() -> None:
    seeings = [Seeing(monitor=1.0), Seeing(), Seeing(monitor=0.5)]
    assert exposure_weights("fwhm", [1, 1, 2], seeings)[0] == (1, 1, 2)
    seeings[1] = Seeing(monitor=0.8)
    assert exposure_weights("fwhm", [1, 1, 1], seeings)[0] == pytest.approx((1, 1.25, 2))


def test_headers_have_a_say() -> None:
    assert exposure_weights("header", [1, 2, 3], told=[1, 0.5, 2])[0] == (1, 1, 6)
    assert exposure_weights("header", [1, 2], told=[None, -1])[0] == (1, 2)


def test_no_time_no_weight() -> None:
    with pytest.raises(DataError):
        exposure_weights("exptime", [1, 0])


def test_strehl_ratios() -> None:
    assert combined_strehl([(1, 0.25), (2, 0.1), (3, 0.5)]) == pytest.approx((1.9, 0.091287), rel=1e-5)
    assert combined_strehl([(1, 0.25), (3, 0.5)]) == pytest.approx((1.4, 0.223607), rel=1e-5)
