"""The twilight sky becomes a smooth flat field."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import DataError
from core.spatial.twilight import fit_plane, illuminated, smooth_field
from core.spatial.vignetting import Smoothing, corner_mask

SHAPE = (60, 70)
F32 = np.ndarray


def gradient(z: int = 0) -> F32:
    """A surface of second order, another one for each plane."""
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]] / 100
    return (1000 * (1 + 0.2 * x - (0.1 + 0.05 * z) * y + 0.3 * x * y - 0.2 * x * x)).astype(np.float32)


def field_of(surface: F32) -> F32:
    """What a cube has of a surface: nothing outside the field, and a gap in it."""
    seen = surface.copy()
    seen[:4], seen[-3:], seen[:, :5], seen[:, -6:] = np.nan, np.nan, 0, np.nan
    seen[30:32, 20:24] = np.nan
    return seen


def cube(n: int = 3, noise: float = 0.0) -> tuple[F32, F32, F32]:
    """Planes, their mean, and the surfaces behind them."""
    surfaces = np.stack([gradient(z) for z in range(n)])
    rng = np.random.default_rng(1)
    planes = np.stack([field_of(surface) * (1 + noise * rng.normal(size=SHAPE)) for surface in surfaces])
    return planes.astype(np.float32), planes.mean(axis=0).astype(np.float32), surfaces


def test_the_ends_of_the_slices_are_no_field() -> None:
    white = np.ones((3, 12), np.float32)
    white[1, 5], white[2, 11], white[0, 2] = np.nan, np.nan, 0
    np.testing.assert_array_equal(
        illuminated(white).astype(int),
        [
            [0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0],
            [0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0],
            [0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0],
        ],
    )


def test_a_surface_is_found_again() -> None:
    planes, white, surfaces = cube()
    smooth = smooth_field(planes, white, (2, 2), None, Smoothing())
    good = illuminated(white)
    assert smooth.vignetting is None
    for plane, surface in zip(smooth.planes, surfaces, strict=True):
        ratio = plane / surface
        np.testing.assert_allclose(
            ratio[8:-8, 12:-12], ratio[30, 40], rtol=2.5e-3
        )  # medians at the edges of the field are off
        assert plane[good].mean() == pytest.approx(1, abs=2e-3)
    np.testing.assert_allclose(smooth.fitted, smooth.planes.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(smooth.divided[good], 1, rtol=5e-3)


def test_noise_is_smoothed_and_outliers_do_not_count() -> None:
    planes, white, surfaces = cube(1, noise=0.01)
    planes[0, 20, 20] = 1e7
    good = illuminated(white)
    plane = fit_plane(planes[0], good, np.zeros_like(good), (2, 2)).image()
    ratio = plane / surfaces[0]
    np.testing.assert_allclose(ratio[good], np.median(ratio[good]), rtol=5e-3)


def test_a_plane_without_data_is_interpolated() -> None:
    planes, white, _ = cube(5)
    planes[0], planes[2:4] = np.nan, np.nan
    smooth = smooth_field(planes, white, (2, 2), None, Smoothing())
    assert smooth.interpolated == (0, 2, 3)
    np.testing.assert_array_equal(smooth.planes[0], smooth.planes[1])
    np.testing.assert_allclose(smooth.planes[2], (2 * smooth.planes[1] + smooth.planes[4]) / 3, rtol=1e-6)


@pytest.mark.parametrize(("planes", "told"), [(np.nan, "no plane"), (None, "good pixels for a surface")])
def test_a_field_without_light_is_refused(planes: float | None, told: str) -> None:
    data, white, _ = cube(1)
    if planes is None:
        white[:, 15:] = np.nan
        white[:40] = np.nan
    else:
        data[:] = planes
    with pytest.raises(DataError, match=told):
        smooth_field(data, white, (2, 2) if planes is not None else (20, 20), None, Smoothing())


def test_a_vignetted_corner_is_measured_apart() -> None:
    surface = np.full(SHAPE, 1000, np.float32)
    y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    loss = np.where((x > 45) & (y < 25), 1 + ((x - 45) / 25) ** 2 * (1 - y / 25) ** 2 * 0.2, 1).astype(np.float32)
    seen = field_of(surface * loss)
    mask = np.zeros((300, 300), bool)
    mask[:25, 275:] = True
    part = corner_mask(mask, SHAPE)
    smooth = smooth_field(seen[None], seen, (2, 2), part, Smoothing(edge=0.0))
    assert smooth.vignetting is not None
    inside = smooth.vignetting.part
    np.testing.assert_array_equal(inside, part & illuminated(seen))
    np.testing.assert_allclose(smooth.vignetting.factor[inside], loss[inside], rtol=0.01)
    np.testing.assert_array_equal(smooth.vignetting.factor[~inside], 1)
    assert smooth.planes[0].mean() == pytest.approx(1, abs=1e-6)
    ratio = smooth.planes[0] / (surface * loss)
    np.testing.assert_allclose(ratio[6:-6, 10:-10], np.median(ratio), rtol=0.012)
