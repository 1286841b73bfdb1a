"""Differential refraction moves blue light to where red light is."""

from __future__ import annotations

import numpy as np
import pytest

from core.onsky.air import Air, RefractionMethod
from core.onsky.pointing import airmass, parallactic_angle
from core.onsky.refraction import Refraction

WAVES = [4650.0, 4800.0, 5500.0, 6000.0, 7000.0, 8000.0, 9300.0]
PIXEL = (0.2, 0.2)
AT = airmass(150, -30, 46000, 1200, -24.625278)
SHIFTS: dict[tuple[RefractionMethod, float, float], tuple[list[float], list[float]]] = {  # method, T, position angle
    ("Filippenko", 11.5, 0.0): (
        [2.6139927, 2.3200083, 1.2641937, 0.7329918, 0, -0.4706006, -0.8672302],
        [-0.4140158, -0.3674532, -0.2002286, -0.1160945, 0, 0.0745358, 0.1373558],
    ),
    ("Filippenko", 11.5, -60.0): (
        [0.9484482, 0.8417803, 0.4586938, 0.2659551, 0, -0.1707504, -0.3146615],
        [-2.4707921, -2.1929126, -1.1949382, -0.6928368, 0, 0.4448200, 0.8197212],
    ),
    ("Owens", 11.5, 0.0): (
        [2.6084173, 2.3148704, 1.2610177, 0.7310390, 0, -0.4691830, -0.8645173],
        [-0.4131327, -0.3666394, -0.1997256, -0.1157852, 0, 0.0743113, 0.1369261],
    ),
    ("Ciddor", 11.5, 0.0): (
        [2.6098452, 2.3162389, 1.2619908, 0.7316799, 0, -0.4697229, -0.8656001],
        [-0.4133589, -0.3668562, -0.1998797, -0.1158867, 0, 0.0743968, 0.1370976],
    ),
    ("Ciddor", -3.0, 0.0): (
        [2.7491093, 2.4398289, 1.3293082, 0.7707012, 0, -0.4947584, -0.9117238],
        [-0.4354161, -0.3864309, -0.2105417, -0.1220671, 0, 0.0783620, 0.1444029],
    ),
}


@pytest.mark.parametrize(("method", "temperature", "angle"), SHIFTS)
def test_shifts_are_those_of_the_reference(method: RefractionMethod, temperature: float, angle: float) -> None:
    refraction = Refraction(AT, parallactic_angle(80, 82) + angle, 7000.0, Air(temperature), method)
    x, y = SHIFTS[method, temperature, angle]
    # The table was read from float32 columns.
    np.testing.assert_allclose(refraction.shift(WAVES, PIXEL), [x, y], rtol=0, atol=2e-6)


def test_nothing_moves_at_the_zenith_and_at_the_reference() -> None:
    assert not np.any(Refraction(1.0, 81.0, 7000.0, Air()).shift(WAVES, PIXEL))
    assert not np.any(Refraction(1.5, 81.0, 7000.0, Air()).shift([7000.0], PIXEL))


def test_pixels_are_moved_by_the_shift() -> None:
    refraction = Refraction(1.4, 30.0, 7000.0, Air())
    wave = np.array(WAVES, np.float32)
    x, y = np.linspace(-150, 150, wave.size, dtype=np.float32), np.full(wave.size, 7.25, np.float32)
    shifts = refraction.shift(wave, PIXEL)
    for found, before, shift in zip(refraction.moved(x, y, wave, PIXEL), (x, y), shifts, strict=True):
        np.testing.assert_array_equal(found, (before + shift).astype(np.float32))
