"""Sine, cosine and arc tangent of loops are those of the mathematical library."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.cubes.angles import arc_tangent, sine_cosine


def test_sine_and_cosine_are_exact() -> None:
    for angle in [*np.linspace(-7, 7, 1001).tolist(), math.pi, math.pi / 2, math.pi / 4, 1e-9]:
        assert sine_cosine(angle) == pytest.approx((math.sin(angle), math.cos(angle)), rel=0, abs=4e-16)


def test_the_angle_of_any_direction_is_exact() -> None:
    rng = np.random.default_rng(5)
    plain = [1.0, -1.0, 1e-9, 0.0, -0.0]
    pairs = [(y, x) for x in plain for y in plain if x or y]
    for y, x in [*pairs, *rng.normal(size=(2000, 2)).tolist()]:
        # float64 has 2.2e-16: three of them
        if x:
            assert arc_tangent(y, x) == pytest.approx(math.atan2(y, x), rel=7e-16, abs=0)
        else:
            assert arc_tangent(y, x) == math.copysign(math.pi / 2, y)
    assert arc_tangent(0.0, 0.0) == 0
