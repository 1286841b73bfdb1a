"""What a cube resolves, as the reference pipeline 2.8.7 tells it."""

from __future__ import annotations

import pytest

from core.onsky.resolution import image_quality, narrow_sharpness, resolving_power, wide_sharpness


def test_resolving_power() -> None:
    assert resolving_power(5015.00048828125) == pytest.approx(1890.75848236104, rel=1e-7)
    assert (resolving_power(4000.0), resolving_power(9400.0)) == (1674.77, 3767.93)
    assert resolving_power(7050.0, narrow=True) == pytest.approx((1740 + 3450) / 2)


def test_width_in_the_wide_field() -> None:
    found = wide_sharpness([0.8, 0.9], [1.25, 1.25], [100, 200], [0.7, 0.9, 0.7, 1.0])
    assert (found.fwhm, found.error) == pytest.approx((0.739808176825561, 0.335410196624968), rel=1e-6)
    assert image_quality(0.8, 1.0) < 0.8 < image_quality(0.8, 2.0)


def test_width_in_the_narrow_field() -> None:
    sharp, blurred = narrow_sharpness(60.0), narrow_sharpness(5.0)
    assert sharp.fwhm == pytest.approx(-0.71985411 + 0.81622807 * 60**-0.01941496)
    assert 0.03 < sharp.fwhm < blurred.fwhm < 0.1
    assert narrow_sharpness(99.0) == narrow_sharpness(80.0)
    assert sharp.error == pytest.approx(0.01, abs=1e-4)
