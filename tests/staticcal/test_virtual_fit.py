"""Virtual fits tell how neighbours displace a line."""

from __future__ import annotations

import numpy as np

from core.staticcal.lamps import LampLines
from core.staticcal.virtual_fit import multiplet_shift, single_shift


def _lamp(*lines: tuple[float, float]) -> LampLines:
    wave, area = np.array(lines).T
    return LampLines("Ne", wave, area, ("NeI",) * len(lines))


def test_lonely_line_is_not_displaced() -> None:
    assert single_shift(_lamp((7000.0, 5000.0)), 7000.0, free_width=True) < 1e-4  # tolerance of the minimiser


def test_unresolved_companion_pulls_by_its_share() -> None:
    shift = single_shift(_lamp((7000.0, 9000.0), (7000.5, 1000.0)), 7000.0, free_width=False)
    # The centroid of the pair is 0.05 A off; photon-noise weights stress the wing where the companion stands out.
    assert 0.05 < shift < 0.1


def test_distant_line_does_nothing() -> None:
    assert single_shift(_lamp((7000.0, 5000.0), (7019.0, 50000.0)), 7000.0, free_width=False) < 1e-3


def test_shift_grows_with_the_neighbour() -> None:
    shifts = [single_shift(_lamp((7000.0, 9000.0), (7005.0, f)), 7000.0, free_width=False) for f in (50.0, 500.0)]
    assert 0.0 < shifts[0] < shifts[1]


def test_common_fit_beats_single_fits_on_a_pair() -> None:
    pair = _lamp((7000.0, 9000.0), (7006.0, 9000.0))
    together = multiplet_shift(pair, np.array([7000.0, 7006.0])).max()
    assert together < 0.01
    assert single_shift(pair, 7000.0, free_width=False) > 3.0 * together
