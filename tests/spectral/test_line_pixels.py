"""Pixels around the arc lines of a slice."""

from __future__ import annotations

import numpy as np
import pytest

from core.ccd.trace_model import Trace
from core.spectral.dispersion import Dispersion
from core.spectral.line_pixels import collect_line_pixels

NY, NX = 400, 90
LEFT, RIGHT = 6.5, 83.5
LINE = 7250.0


def one_slice() -> tuple[Trace, Dispersion]:
    """A straight slice of 77 columns, 7000 Angstrom at row 0, 1.25 Angstrom/pix, no tilt."""
    edges = np.array([[45.0, 0.0]]), np.array([[LEFT, 0.0]]), np.array([[RIGHT, 0.0]])
    dispersion = Dispersion(np.array([1], np.int32), np.array([[[7000.0, 1.25]]]), np.zeros(1))
    return Trace.from_polynomials([1], *edges), dispersion


def image(sigma: float = 1.2) -> np.ndarray:
    wave = 7000 + 1.25 * np.arange(1, NY + 1)
    profile = np.exp(-0.5 * ((wave - LINE) / sigma) ** 2) / np.sqrt(2 * np.pi) / sigma
    return np.repeat((20.0 + 5e4 * profile)[:, None], NX, axis=1).astype(np.float32)


@pytest.mark.parametrize("reach", [4.0, 8.2, 50.7, 90.0])
def test_all_pixels_within_reach_are_there(reach: float) -> None:
    data = image()
    bad = np.zeros(data.shape, bool)
    found = collect_line_pixels(data, np.full_like(data, 30.0), bad, *one_slice(), 1, np.array([LINE]), reach)
    wave = 7000 + 1.25 * np.arange(1, NY + 1)
    assert found.n_lines == 1
    assert found.wave.size == np.count_nonzero(np.abs(wave - LINE) <= reach) * 77
    assert found.line_wave[0] == pytest.approx(LINE, abs=1e-4)
    assert found.line_flux[0] == pytest.approx(5e4, rel=1e-3)
    assert found.line_background[0] == pytest.approx(20.0, abs=0.1)
    assert set(found.x.tolist()) == set(range(7, 84))


def test_flagged_pixels_and_those_without_variance_are_left_out() -> None:
    data = image()
    bad, stat = np.zeros(data.shape, bool), np.full_like(data, 30.0)
    bad[199, 20] = True
    stat[200, 30] = 0.0
    found = collect_line_pixels(data, stat, bad, *one_slice(), 1, np.array([LINE]), 8.2)
    places = set(zip(found.x.tolist(), found.y.tolist(), strict=True))
    assert (21, 200) not in places
    assert (31, 201) not in places
    assert (22, 200) in places


def test_faint_and_wide_features_are_no_lines() -> None:
    stat = np.full((NY, NX), 30.0, np.float32)
    bad = np.zeros(stat.shape, bool)
    faint = ((image() - 20) * 1e-3 + 20).astype(np.float32)
    for data in (faint, image(sigma=4.0)):
        assert collect_line_pixels(data, stat, bad, *one_slice(), 1, np.array([LINE]), 8.2).n_lines == 0
