"""What the simulator tells of an exposure is what its frames show: places, fluxes, lines, the sky."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pytest

from core.ccd.geometry import Detector
from core.errors import ParameterError
from core.instruments.muse.facts import SAMPLING
from core.simulator import (
    AstrometryScene,
    NightPlan,
    ObjectScene,
    Pointing,
    SkyFlatScene,
    SkyPlan,
    SkyScene,
    SkyTruth,
    StdScene,
    scenes_of_night,
    truth_for,
)
from core.simulator.atmosphere import Ambient
from core.simulator.light import WAVE_GRID
from core.simulator.sources import Galaxy, Moffats, Star
from core.staticcal.standards import standard_stars

POINTING = Pointing("Field", 140.0, -45.0, datetime(2026, 3, 15, 1), 300.0, ambient=Ambient(seeing=0.5))
INSTRUMENT = truth_for(12, detector=Detector(nx=2048, ny=60))
PITCH = 60 / 288 / 0.2  # height of a slice


def _star(x: float, y: float, magnitude: float = 14.0, pointing: Pointing = POINTING) -> Star:
    """A star at a place in the field."""
    ra, dec = pointing.view(INSTRUMENT.geometry, INSTRUMENT.mode).celestial(np.array(x), np.array(y))
    return Star(float(ra), float(dec), magnitude, "hot")


def _pixels(truth: SkyTruth, image: np.ndarray) -> dict[str, np.ndarray]:
    """Pixels inside the slices: coordinates, place, wavelength, area, and electrons/Angstrom of an even slit."""
    optics, field = truth.instrument.optics, truth.instrument.geometry
    found: list[tuple[np.ndarray, ...]] = []
    for s in range(1, 49):
        y = np.arange(1.0, image.shape[0] + 1.0)
        left, right = truth.instrument.trace_left(s, y), truth.instrument.trace_right(s, y)
        x, y = np.meshgrid(np.arange(np.ceil(left.max()) + 3, np.floor(right.min()) - 2), y)
        width = (right - left)[:, None]
        q = (x - 0.5 * (left + right)[:, None]) / width
        slit = optics.throughput[s - 1] * (1 + q * (optics.slit[s - 1, 0] + q * optics.slit[s - 1, 1]))
        light = image[y.astype(int) - 1, x.astype(int) - 1] / slit / SAMPLING
        illumination = field.illumination(12, truth.scene.pointing.ambient.temperature)[s - 1]
        place = truth.instrument.position(s, x, y)
        light = light / illumination / field.sky_response(12, *place)
        area = np.broadcast_to(field.width[11, s - 1] / width * PITCH, x.shape)
        columns = (*truth.coordinates(s, x, y), *place, truth.wavelength(s, x, y), area, light, np.full(x.shape, s))
        found.append(tuple(column.ravel() for column in columns))
    names = ("ra", "dec", "x", "y", "wave", "area", "light", "slice")
    return dict(zip(names, (np.concatenate(column) for column in zip(*found, strict=True)), strict=True))


@pytest.fixture(scope="module")
def star() -> tuple[SkyTruth, dict[str, np.ndarray]]:
    """A star alone, without sky, on the detector; the telescope is 1.1 arcsec beside its coordinates."""
    pointing = replace(POINTING, error=(0.9, -0.7))
    scene = ObjectScene(300.0, pointing=pointing, flexure=0.15, stars=(_star(40.0, -6.0, pointing=pointing),))
    truth = SkyTruth(scene, INSTRUMENT)
    return truth, _pixels(truth, scene.light(INSTRUMENT) - replace(scene, stars=()).light(INSTRUMENT))


def _electrons(truth: SkyTruth, flux: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """Electrons per Angstrom of a flux that arrives at the telescope."""
    return flux * truth.scene.exptime * 10 ** (0.4 * truth.response(wave))


# -- where -------------------------------------------------------------------------------------------------------------
def test_star_is_where_its_pixels_say(star: tuple[SkyTruth, dict[str, np.ndarray]]) -> None:
    truth, pixels = star
    (source,) = truth.sources
    weight = pixels["light"] * pixels["area"] * (np.hypot(pixels["x"] - 40.0, pixels["y"] + 6.0) < 5.5)
    for name in ("ra", "dec"):
        per_degree = 3600.0 * (np.cos(np.deg2rad(source.dec)) if name == "ra" else 1.0)
        middle = (weight * pixels[name]).sum() / weight.sum()
        # the circle holds whole slices of 0.2 arcsec
        assert (middle - getattr(source, name)) * per_degree == pytest.approx(0.0, abs=0.02)


def test_telescope_misses_by_the_offset(star: tuple[SkyTruth, dict[str, np.ndarray]]) -> None:
    truth, _ = star
    assert truth.offset == (0.9, -0.7)
    cards = {name: value for name, value, _ in truth.scene.pointing.cards()}
    assert (cards["RA"], cards["DEC"]) == (140.0, -45.0)
    ra, dec = truth.view.celestial(*INSTRUMENT.geometry.axis)
    assert (ra - 140.0) * 3600.0 * np.cos(np.deg2rad(-45.0)) == pytest.approx(0.9, abs=1e-4)
    assert (dec + 45.0) * 3600.0 == pytest.approx(-0.7, abs=1e-4)


@pytest.mark.parametrize("wave", [4750.0, 7000.0, 9300.0])
def test_coordinates_and_places_are_inverse(wave: float) -> None:
    view = replace(POINTING, posang=37.0).view(INSTRUMENT.geometry, INSTRUMENT.mode)
    x, y = np.array([-140.0, 3.0, 120.0]), np.array([-70.0, 10.0, 150.0])
    again = view.field_position(*view.celestial(x, y, wave), wave)
    np.testing.assert_allclose(again, (x, y), atol=1e-6)


# -- what --------------------------------------------------------------------------------------------------------------
def test_flux_of_a_star_arrives_through_air_and_instrument(star: tuple[SkyTruth, dict[str, np.ndarray]]) -> None:
    """Electrons of the pixels over those of the known flux, by the response and extinction that the truth tells."""
    truth, pixels = star
    (source,) = truth.stars
    view = truth.view
    through = truth.telluric(pixels["wave"]) ** view.airmass * 10 ** (
        -0.4 * view.airmass * truth.extinction(pixels["wave"])
    )
    clear = (np.abs(pixels["wave"] - 7060.0) < 60.0) & (np.hypot(pixels["x"] - 40.0, pixels["y"] + 6.0) < 25.0)
    expected = _electrons(truth, truth.spectrum(source, pixels["wave"]) * through, pixels["wave"])
    ratio = (pixels["light"] / expected)[clear]
    images = Moffats.of(view, [source], np.ones(1))
    brightness = images(pixels["x"][None, clear], pixels["y"][None, clear], np.full((1, 1, 1), 7060.0))[0, 0]
    assert brightness.sum() > 0
    # a slice averages the profile over its height; the sum over the image is the same to a part of a per cent
    assert ratio.sum() / brightness.sum() == pytest.approx(1.0, abs=0.01)


def test_stars_have_moffat_profiles_that_are_sharper_in_the_red() -> None:
    pointing = replace(POINTING, ambient=Ambient(seeing=1.2))
    scene = ObjectScene(300.0, pointing=pointing, stars=(_star(40.0, -6.0, pointing=pointing),))
    truth = SkyTruth(scene, INSTRUMENT)
    assert truth.fwhm(7000.0) == pytest.approx(1.2)
    assert truth.fwhm(4800.0) == pytest.approx(1.2 * (4800 / 7000) ** -0.2)
    pixels = _pixels(truth, scene.light(INSTRUMENT) - replace(scene, stars=()).light(INSTRUMENT))
    radius = np.hypot(pixels["x"] - 40.0, pixels["y"] + 6.0) * 0.199  # [arcsec]
    near = np.abs(pixels["wave"] - 7040.0) < 50.0
    surface = pixels["light"] / _electrons(truth, truth.spectrum(truth.stars[0], pixels["wave"]), pixels["wave"])
    inner, outer = (surface[near & (np.abs(radius - r) < 0.05)].mean() for r in (1.2, 2.4))
    alpha2 = 1.44 / (4 * (2 ** (1 / 2.5) - 1))
    expected = ((1 + 1.44 / alpha2) / (1 + 5.76 / alpha2)) ** 2.5
    # the image of a point on the detector, 1.6 pix wide, lifts the steep wings by some per cent
    assert outer / inner == pytest.approx(expected, rel=0.08)


def test_spectra_at_the_resolution_of_the_instrument_keep_their_flux() -> None:
    galaxy = Galaxy(140.0, -45.0, 20.0, 1.5, 0.0662, 2e-15)
    truth = SkyTruth(ObjectScene(300.0, pointing=POINTING, galaxies=(galaxy,)), INSTRUMENT)
    wave = np.arange(6980.0, 7012.0, 0.05)
    spectrum = truth.spectrum(galaxy, wave, 24)
    line = spectrum - np.interp(wave, wave[[0, -1]], spectrum[[0, -1]])
    window = np.abs(wave - 6562.8 * 1.0662) < 5.0
    assert (line[window]).sum() * 0.05 == pytest.approx(2e-15, rel=0.03)
    assert (line * wave)[window].sum() / line[window].sum() == pytest.approx(6562.8 * 1.0662, abs=0.05)


def test_line_spread_function_has_the_width_of_arc_lines() -> None:
    truth = SkyTruth(SkyScene(300.0, pointing=POINTING), INSTRUMENT)
    offset = np.arange(-6.0, 6.0, 0.01)
    for slice_no in (1, 30, None):
        profile = truth.line_profile(7000.0, offset, slice_no)
        assert profile.sum() * 0.01 == pytest.approx(1.0, abs=1e-6)
        above = offset[profile > 0.5 * profile.max()]
        assert 2.5 < np.ptp(above) < 2.75


# -- the sky -----------------------------------------------------------------------------------------------------------
def test_sky_on_the_detector_is_the_spectrum_of_the_truth() -> None:
    scene = SkyScene(300.0, pointing=POINTING, flexure=-0.11)
    truth = SkyTruth(scene, INSTRUMENT)
    pixels = _pixels(truth, scene.light(INSTRUMENT))
    for slice_no in (5, 24, 41):
        inside = pixels["slice"] == slice_no
        wave = pixels["wave"][inside]
        spectrum = truth.sky_spectrum(wave, slice_no) * truth.view.area
        # pixels are 1.25 Angstrom wide, the truth is at a point
        expected = _electrons(truth, spectrum, wave)
        assert pixels["light"][inside].sum() == pytest.approx(expected.sum(), rel=3e-3)
        assert np.corrcoef(pixels["light"][inside], expected)[0, 1] > 0.995


def test_night_sky_is_that_of_paranal() -> None:
    truth = SkyTruth(SkyScene(300.0, pointing=POINTING), INSTRUMENT)
    assert truth.sky_continuum(5000.0) == pytest.approx(1.15e-17, rel=0.01)
    wave, flux = truth.sky_lines()
    assert (np.diff(wave) >= 0).all()
    green = np.abs(wave - 5577.0) < 30.0
    assert wave[green][flux[green].argmax()] == 5577.339
    adaptive = SkyTruth(truth.scene, truth_for(12, "WFM-AO-N", detector=INSTRUMENT.detector))
    assert {6484.39, 6826.85} <= set(adaptive.sky_lines()[0]) - set(wave)


def test_air_takes_the_light_of_stars_by_airmass() -> None:
    low = replace(POINTING, start=datetime(2026, 3, 15, 6))
    scenes = [StdScene(300.0, pointing=pointing, stars=(_star(40.0, -6.0),)) for pointing in (POINTING, low)]
    truths = [SkyTruth(scene, INSTRUMENT) for scene in scenes]
    more = truths[1].view.airmass - truths[0].view.airmass
    assert more > 0.3
    one, two = (scene.lights(INSTRUMENT)[1].spectrum.continuum for scene in scenes)
    lit = (WAVE_GRID > 4800.0) & (WAVE_GRID < 9300.0)
    taken = truths[0].telluric(WAVE_GRID) ** more * 10 ** (-0.4 * more * truths[0].extinction(WAVE_GRID))
    np.testing.assert_allclose((two / one)[lit], taken[lit], rtol=1e-6)


# -- tables ------------------------------------------------------------------------------------------------------------
def test_astrometric_field_comes_with_its_catalogue() -> None:
    plan = NightPlan(0, 0, 0, 0, 0, sky=SkyPlan(n_astrometry=1, n_std=1))
    scenes = {type(scene): scene for scene in scenes_of_night(date(2026, 3, 14), plan).values()}
    truth = SkyTruth(scenes[AstrometryScene], INSTRUMENT)
    table = truth.catalogue()
    assert set(table) == {"SourceID", "RA", "DEC", "filter", "mag"}
    assert len(set(table["SourceID"])) == len(truth.stars) >= 100
    assert (np.diff(table["mag"]) >= 0).all()
    x, y = truth.view.field_position(table["RA"], table["DEC"])
    assert ((np.abs(x) < 150) & (np.abs(y) < 150)).sum() > 80
    assert truth.scene.pointing.posang == 0.0  # as muse_astrometry takes it
    standard = SkyTruth(scenes[StdScene], INSTRUMENT).standard()
    at = np.interp(5500.0, standard["lambda"], standard["flux"])
    (star,) = SkyTruth(scenes[StdScene], INSTRUMENT).stars
    assert at == pytest.approx(3.63e-9 * 10 ** (-0.4 * star.magnitude), rel=1e-3)
    np.testing.assert_allclose(standard["flux"], standard_stars()[star.kind].at(standard["lambda"]), rtol=1e-12)


def test_objects_are_dithered_and_the_telescope_misses_if_asked_to() -> None:
    def truths(error: float) -> list[SkyTruth]:
        plan = NightPlan(0, 0, 0, 0, 0, sky=SkyPlan(n_object=4, pointing_error=error))
        return [SkyTruth(scene, INSTRUMENT) for scene in scenes_of_night(date(2026, 3, 14), plan).values()]

    exact, missed = truths(0.0), truths(0.3)
    assert {truth.offset for truth in exact} == {(0.0, 0.0)}
    offsets = np.array([truth.offset for truth in missed])
    assert len(set(offsets[:, 0])) == 4
    assert 0.05 < offsets.std() < 0.7
    for one, other in zip(exact, missed, strict=True):
        assert one.sources == other.sources == exact[0].sources
        assert (one.scene.pointing.ra, one.scene.pointing.dec) == (other.scene.pointing.ra, other.scene.pointing.dec)


def test_twilight_and_empty_fields_have_no_standard() -> None:
    twilight = SkyTruth(SkyFlatScene(300.0, pointing=POINTING), INSTRUMENT)
    assert twilight.sources == ()
    with pytest.raises(ParameterError, match="star"):
        twilight.standard()
    with pytest.raises(ParameterError, match="pointing_error"):
        SkyPlan(pointing_error=-0.1)
