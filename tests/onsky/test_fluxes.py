"""Fluxes of stars are recovered by profiles and by sums."""

from __future__ import annotations

import numpy as np
import pytest

from core.onsky.apertures import Aperture, find_apertures
from core.onsky.fluxes import NO_VARIANCE, FluxProfile, StarFluxes, integrate_stars
from core.onsky.profiles import Profile

NX, NY, NZ = 61, 57, 40
WAVE = np.linspace(4800.0, 9300.0, NZ)
FLUX = 2e4 * (1 + 0.5 * np.sin(WAVE / 900))
SKY = 10.0
PROFILES: tuple[FluxProfile, ...] = ("gaussian", "moffat", "smoffat", "circle", "square")
LOSSES = {"gaussian": 0.18, "moffat": 0.005, "smoffat": 0.005, "circle": 0.04, "square": 0.04}


def cube(flux: np.ndarray = FLUX, x: float = 29.4, y: float = 30.2, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A star that becomes narrower with the wavelength, on a sky, with noise."""
    rows, columns = np.mgrid[1 : NY + 1, 1 : NX + 1]
    planes = []
    for k, wave in enumerate(WAVE.tolist()):
        width = 2.6 - 1.5e-4 * (wave - 4800)
        planes.append(Profile(SKY, flux[k], x + 2e-5 * (wave - 7000), y, width, 1.1 * width, 0.05, 2.6).at(
            "moffat", columns, rows
        ))  # fmt: skip
    data = np.array(planes)
    stat = data + 4
    return (data + np.random.default_rng(seed).normal(0, np.sqrt(stat))).astype(np.float32), stat.astype(np.float32)


def stars_of(data: np.ndarray) -> list[Aperture]:
    return find_apertures(data[NZ // 2], 5.0)


def integrate(profile: FluxProfile, data: np.ndarray, stat: np.ndarray, **values: object) -> StarFluxes:
    read = lambda first, last: (data[first:last], stat[first:last])  # noqa: E731
    return integrate_stars(read, WAVE, stars_of(data)[:1], 5.0, profile, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_flux_of_a_star_is_found(profile: FluxProfile) -> None:
    found = integrate(profile, *cube())
    assert found.known.all()
    ratio = found.data[0] / FLUX
    assert 1 - LOSSES[profile] < np.median(ratio) < 1.01
    assert np.abs(ratio / np.median(ratio) - 1).max() < 0.1


@pytest.mark.parametrize("profile", ["moffat", "smoffat"])
def test_variances_are_those_of_the_scatter(profile: FluxProfile) -> None:
    found = integrate(profile, *cube())
    pulls = (found.data[0] - FLUX) / np.sqrt(found.stat[0])
    assert 0.6 < np.std(pulls) < 1.6
    assert abs(np.mean(pulls)) < 0.8


def test_a_smooth_shape_leaves_less_to_be_found_out() -> None:
    faint = np.where(np.arange(NZ) < 5, 2000.0, FLUX)
    data, stat = cube(faint)
    single, smooth = (integrate(profile, data, stat) for profile in ("moffat", "smoffat"))
    both = single.known[0] & smooth.known[0]
    assert both[:5].any()
    assert (smooth.stat[0, both] < single.stat[0, both]).all()
    assert smooth.known.sum() >= single.known.sum()


def test_a_dark_range_tells_nothing_of_the_shape() -> None:
    dark = (WAVE > 5700) & (WAVE < 6100)
    data, stat = cube(np.where(dark, 30.0, FLUX))
    found = integrate("smoffat", data, stat, dark=(5700.0, 6100.0))
    np.testing.assert_allclose(found.data[0, ~dark], FLUX[~dark], rtol=0.03)


@pytest.mark.parametrize("profile", ["circle", "square"])
def test_few_bad_pixels_are_mended(profile: FluxProfile) -> None:
    data, stat = cube()
    before = integrate(profile, data, stat)
    data[3, 30, 26:29] = np.nan
    after = integrate(profile, data, stat)
    assert after.known[0, 3]
    assert after.data[0, 3] == pytest.approx(before.data[0, 3], rel=0.03)


@pytest.mark.parametrize("profile", PROFILES)
def test_many_bad_pixels_leave_no_flux(profile: FluxProfile) -> None:
    data, stat = cube()
    data[3, 25:30, 24:35] = np.nan
    found = integrate(profile, data, stat)
    if profile != "gaussian":
        assert not found.known[0, 3]
    assert found.known[0, 4]
    assert (found.data[~found.known] == 0).all()
    assert (found.stat[~found.known] == NO_VARIANCE).all()


@pytest.mark.parametrize("profile", ["moffat", "circle"])
def test_a_star_near_the_edge_is_measured_in_what_there_is(profile: FluxProfile) -> None:
    data, stat = cube(x=15.0)
    found = integrate(profile, data, stat)
    assert np.median(found.data[0] / FLUX) == pytest.approx(1, abs=0.1)


def test_several_stars_have_rows_of_their_own() -> None:
    one, stat = cube(x=16.0, y=16.0)
    other, _ = cube(flux=0.5 * FLUX, x=45.0, y=41.0, seed=2)
    data = one + other - np.float32(SKY)
    stars = stars_of(data)
    assert len(stars) == 2
    read = lambda first, last: (data[first:last], 2 * stat[first:last])  # noqa: E731
    found = integrate_stars(read, WAVE, stars, 5.0, "moffat")
    np.testing.assert_allclose(np.median(found.data / FLUX, axis=1), [1, 0.5], rtol=0.02)
