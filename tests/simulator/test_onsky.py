"""What is simulated under the open dome lies, shines and is spread as its truth says."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from core.ccd.geometry import Detector
from core.errors import ParameterError
from core.instruments.muse.facts import NOTCH, SAMPLING
from core.simulator.atmosphere import Ambient
from core.simulator.light import WAVE_GRID, Light
from core.simulator.onsky import AstrometryScene, ObjectScene, OnSkyScene, SkyFlatScene, SkyScene, StdScene
from core.simulator.photometry import efficiency, electrons, night_lines, raman_lines
from core.simulator.pointing import Pointing
from core.simulator.scenes import FlatScene, IllumScene
from core.simulator.sources import Galaxy, Moffats, Star
from core.simulator.truth import InstrumentTruth, truth_for

SMALL = Detector(nx=2048, ny=60)
EVENING = datetime(2026, 3, 15, 1, 0, 0)
POINTING = Pointing("Field", 140.0, -45.0, EVENING, 300.0, ambient=Ambient(seeing=0.8))


@pytest.fixture(scope="module")
def truth() -> InstrumentTruth:
    return truth_for(12, detector=SMALL)


def _at(truth: InstrumentTruth, x: float, y: float, pointing: Pointing = POINTING) -> tuple[float, float]:
    """Celestial coordinates of a place in the field, at 7000 Angstrom."""
    east, north = pointing.view(truth.geometry, truth.mode).offsets(np.array(x), np.array(y))
    dec = pointing.dec + float(north) / 3600.0
    return pointing.ra + float(east) / 3600.0 / np.cos(np.deg2rad(dec)), dec


def _pixels(truth: InstrumentTruth, slice_no: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels inside a slice that its edges leave as they are: columns and rows (FITS)."""
    ny = truth.detector.trimmed_shape[0]
    y = np.arange(1.0, ny + 1.0)
    left, right = truth.trace_left(slice_no, y).max(), truth.trace_right(slice_no, y).min()
    return np.arange(np.ceil(left) + 3.0, np.floor(right) - 2.0), y


def _rows(truth: InstrumentTruth, image: np.ndarray) -> dict[str, np.ndarray]:
    """Pixels of all slices with their places in the field, wavelengths, and light over that of an even slit."""
    found: dict[str, list[np.ndarray]] = {"x": [], "y": [], "wave": [], "light": []}
    for slice_no in range(1, 49):
        columns, rows = _pixels(truth, slice_no)
        x, y = np.meshgrid(columns, rows)
        q = (x - truth.trace_center(slice_no, y)) / (truth.trace_right(slice_no, y) - truth.trace_left(slice_no, y))
        optics = truth.optics
        slit = optics.throughput[slice_no - 1] * (
            1 + q * (optics.slit[slice_no - 1, 0] + q * optics.slit[slice_no - 1, 1])
        )
        field_x, field_y = truth.position(slice_no, x, y)
        pixels = image[rows.astype(int)[:, None] - 1, columns.astype(int)[None, :] - 1]
        for name, values in (
            ("x", field_x), ("y", field_y), ("wave", truth.wavelength(slice_no, x, y)), ("light", pixels / slit),
        ):  # fmt: skip
            found[name].append(np.ravel(values))
    return {name: np.concatenate(values) for name, values in found.items()}


@pytest.mark.parametrize("wave", [4750.0, 9200.0])
def test_star_lies_where_refraction_puts_it(wave: float) -> None:
    """Centre of light in the field, in a window of wavelengths, against the view's coordinates."""
    truth = truth_for(12)
    ra, dec = _at(truth, 40.0, -6.0)
    star = Star(ra, dec, 13.0, "hot")
    image = StdScene(300.0, pointing=POINTING, stars=(star,)).lights(truth)
    (light,) = [light for light in image if isinstance(getattr(light.brightness, "of_sky", None), Moffats)]
    assert isinstance(light, Light)
    x, y = np.meshgrid(np.arange(20.0, 60.0, 0.25), np.arange(-26.0, 14.0, 0.25))
    brightness = light.brightness(x, y, np.full((1, 1, 1), wave))[0]
    view = POINTING.view(truth.geometry, truth.mode)
    expected = view.field_position(np.array([ra]), np.array([dec]), wave)
    peak = np.unravel_index(int(brightness.argmax()), brightness.shape)
    np.testing.assert_allclose((x[peak], y[peak]), (expected[0][0], expected[1][0]), atol=0.2)
    away = np.hypot(expected[0][0] - 40.0, expected[1][0] + 6.0)
    assert away == pytest.approx(abs(float(view.lifted(np.array(wave)))) / 0.199, rel=0.02)


def test_all_light_of_a_star_arrives(truth: InstrumentTruth) -> None:
    ra, dec = _at(truth, 35.0, -6.0)
    view = POINTING.view(truth.geometry, truth.mode)
    images = Moffats.of(view, [Star(ra, dec, 15.0)], np.ones(1), reach=15.0)
    x, y = np.meshgrid(np.arange(-45.0, 115.0, 0.5), np.arange(-86.0, 74.0, 0.5))
    total = images(x, y, np.full((1, 1, 1), 7000.0)).sum() * 0.25
    assert total == pytest.approx(1.0, abs=2e-3)  # 0.1 % are farther away


def test_star_on_the_detector_has_its_electrons(truth: InstrumentTruth) -> None:
    """Sum over the pixels of a row in all slices, each with its area, against the spectrum of the truth."""
    ra, dec = _at(truth, 38.0, -5.0)
    scene = ObjectScene(300.0, pointing=POINTING, stars=(Star(ra, dec, 14.0, "hot"),))
    image = scene.light(truth) - replace(scene, stars=()).light(truth)
    (light,) = scene.lights(truth)[1:]
    spread = np.convolve(light.spectrum.continuum, np.full(11, 1 / 11), "same")  # as wide as the slit
    row, pitch, total = 60.0, 60 / 288 / 0.2, 0.0
    for slice_no in range(1, 49):
        columns, _ = _pixels(truth, slice_no)
        left, right = truth.trace_left(slice_no, row), truth.trace_right(slice_no, row)
        q = (columns - 0.5 * (left + right)) / (right - left)
        optics = truth.optics
        slit = optics.throughput[slice_no - 1] * (
            1 + q * (optics.slit[slice_no - 1, 0] + q * optics.slit[slice_no - 1, 1])
        )
        spectrum = SAMPLING * np.interp(truth.wavelength(slice_no, columns, row), WAVE_GRID, spread)
        area = truth.geometry.width[11, slice_no - 1] / (right - left) * pitch
        total += float((image[int(row) - 1, columns.astype(int) - 1] / slit / spectrum).sum() * area)
    x, y = np.meshgrid(np.arange(0.25, 75.25, 0.5), np.arange(-12.0 + 0.1, 0.5, 0.2))
    inside = float(light.brightness(x, y, np.full((1, 1, 1), 7000.0)).sum()) * 0.5 * 0.2
    assert (
        0.85 < inside / 10**0.4 < 1.0
    )  # spectra are those of magnitude 15; the wings reach beyond the slices of the IFU
    # neighbours see wavelengths up to 300 Angstrom apart, and with them the star displaced by 0.1
    assert total == pytest.approx(inside, rel=0.015)


def test_night_lines_are_bright_and_shift_with_flexure(truth: InstrumentTruth) -> None:
    plain = _rows(truth, SkyScene(300.0, pointing=POINTING).light(truth))
    moved = _rows(truth, SkyScene(300.0, pointing=POINTING, flexure=0.3).light(truth))
    wave, flux = night_lines()
    assert {5577.339, 6300.304} <= set(wave)  # what pipelines look for
    near = (wave > 6950.0) & (wave < 7050.0)
    line = wave[near][flux[near].argmax()]

    def center(rows: dict[str, np.ndarray]) -> float:
        window = np.abs(rows["wave"] - line) < 4.0
        light = rows["light"][window] - np.percentile(rows["light"][window], 5.0)
        return float((light * rows["wave"][window]).sum() / light.sum())

    assert center(plain) == pytest.approx(line, abs=0.3)  # its neighbours
    # the window cuts the wings of a line that is not in its middle
    assert center(moved) - center(plain) == pytest.approx(0.3, abs=0.1)


def test_twilight_has_its_gradient_and_the_response_of_the_field(truth: InstrumentTruth) -> None:
    pointing = replace(POINTING, exptime=10.0)
    scene = SkyFlatScene(10.0, pointing=pointing, gradient=(0.05, -0.03))
    flat = _rows(truth, scene.light(truth))
    even = _rows(truth, replace(scene, gradient=(0.0, 0.0)).light(truth))
    east, north = pointing.view(truth.geometry, truth.mode).offsets(flat["x"], flat["y"])
    np.testing.assert_allclose(flat["light"] / even["light"], 1.0 + (0.05 * east - 0.03 * north) / 30.0, atol=2e-3)
    # what is left over the field is the response of sky to lamps
    window = np.abs(even["wave"] - 7000.0) < 5.0
    response = truth.geometry.sky_response(12, even["x"], even["y"])
    ratio = (even["light"] / response)[window]
    assert np.std(ratio) / np.mean(ratio) < 0.01  # the slope of the spectrum over 10 Angstrom


def test_corner_is_vignetted_before_the_cure() -> None:
    truth = truth_for(2, detector=SMALL)  # low in the field
    old = replace(POINTING, start=datetime(2016, 3, 15, 1), exptime=10.0)
    new = replace(old, start=datetime(2017, 3, 11))
    before = _rows(truth, SkyFlatScene(10.0, pointing=old, gradient=(0.0, 0.0)).light(truth))
    after = _rows(truth, SkyFlatScene(10.0, pointing=new, gradient=(0.0, 0.0)).light(truth))
    inner = np.abs(before["wave"] - 7100.0) < 20.0
    ratio = before["light"][inner] / after["light"][inner]
    x = before["x"][inner]
    # right in the field, in the lower slices: more than in lamp flats
    assert ratio[x > 135.0].max() > 1.1 * np.median(ratio)
    assert np.ptp(ratio[x < 80.0]) < 0.01


def test_slices_change_with_temperature_alike_on_the_sky_and_in_illumination_flats(truth: InstrumentTruth) -> None:
    cold = replace(POINTING, exptime=10.0, ambient=Ambient(temperature=5.0))
    warm = replace(cold, ambient=Ambient(temperature=15.0))
    lamps = [IllumScene(temperature=t).light(truth) for t in (5.0, 15.0)]
    skies = [SkyFlatScene(10.0, pointing=p, gradient=(0.0, 0.0)).light(truth) for p in (cold, warm)]
    change = []
    for images in (lamps, skies):
        ratios = []
        for slice_no in (5, 20, 40):
            columns, _ = _pixels(truth, slice_no)
            window = np.s_[40:80, int(columns[10]) : int(columns[-10])]
            ratios.append(images[1][window].mean(dtype=float) / images[0][window].mean(dtype=float))
        change.append(np.array(ratios) / np.mean(ratios))
    np.testing.assert_allclose(change[0], change[1], rtol=1e-3)
    assert np.ptp(change[0]) > 5e-3


def test_lamps_at_their_own_temperature_give_the_flats(truth: InstrumentTruth) -> None:
    np.testing.assert_array_equal(IllumScene().light(truth), FlatScene().light(truth))


@pytest.mark.parametrize("mode", ["WFM-AO-E", "WFM-AO-N", "NFM-AO-N"])
def test_notch_takes_the_light_of_the_laser(mode: str) -> None:
    low, high = NOTCH[mode]
    inside, outside = efficiency(np.array([0.5 * (low + high), low - 30.0]), mode)
    assert inside < 0.005 * outside


def test_laser_guide_stars_add_raman_lines_in_adaptive_modes() -> None:
    wide, adaptive = (truth_for(12, mode, detector=SMALL) for mode in ("WFM-NOAO-N", "WFM-AO-N"))
    scene = ObjectScene(300.0, pointing=POINTING)
    assert len(scene.lights(adaptive)) == len(scene.lights(wide)) + 1
    wave, _ = raman_lines()
    np.testing.assert_array_equal(scene.lights(adaptive)[1].spectrum.wave, wave)
    assert scene.tables("WFM-NOAO-N") == {}
    tables = scene.tables("WFM-AO-N")
    assert set(tables) == {"SPARTA_ATM_DATA", "SPARTA_CN2_DATA"}
    strehl = [tables["SPARTA_ATM_DATA"][f"LGS{laser}_STREHL"] for laser in range(1, 5)]
    assert {column.dtype for column in strehl} == {np.dtype(np.float32)}
    assert all(5.0 < column.mean() < 25.0 for column in strehl)
    seeing = [tables["SPARTA_ATM_DATA"][f"LGS{laser}_SEEING"].mean() for laser in range(1, 5)]
    np.testing.assert_allclose(seeing, POINTING.ambient.seeing, atol=0.07)


def test_narrow_field_magnifies(truth: InstrumentTruth) -> None:
    narrow = truth_for(12, "NFM-AO-N", detector=SMALL)
    scene = SkyScene(300.0, pointing=replace(POINTING, ambient=Ambient(seeing=0.09)))
    wide_sky, narrow_sky = (scene.lights(of)[0].spectrum.continuum for of in (truth, narrow))
    inside = WAVE_GRID > 8000.0
    np.testing.assert_allclose((wide_sky / narrow_sky)[inside], 0.2**2 / (0.02519 * 0.02542), rtol=1e-3)


def test_galaxies_have_lines_at_their_redshift(truth: InstrumentTruth) -> None:
    ra, dec = _at(truth, 40.0, -6.0)
    galaxy = Galaxy(ra, dec, magnitude=19.0, size=1.5, redshift=0.0662, line_flux=2e-15)
    wave, flux = galaxy.lines()
    assert np.abs(wave - 6562.8 * 1.0662).min() < 0.01
    assert flux[np.abs(wave - 6562.8 * 1.0662).argmin()] == 2e-15
    assert ((wave > WAVE_GRID[0]) & (wave < WAVE_GRID[-1])).all()
    scene = ObjectScene(300.0, pointing=POINTING, galaxies=(galaxy,))
    image = scene.light(truth) - ObjectScene(300.0, pointing=POINTING).light(truth)
    rows = _rows(truth, image)
    near = np.hypot(rows["x"] - 40.0, rows["y"] + 6.0) < 3.0
    in_line, beside = (
        rows["light"][near & (np.abs(rows["wave"] - middle) < 1.0)].mean() for middle in (6997.3, 7008.0)
    )
    assert in_line > 1.5 * beside


def test_electrons_are_photons_times_efficiency() -> None:
    wave = np.array([7000.0])
    # 1e-16 erg/s/cm2/Angstrom, a photon of 7000 Angstrom has 2.838e-12 erg
    expected = 1e-16 / 2.838e-12 * 483250.7 * 600.0 * efficiency(wave, "WFM-NOAO-N")
    np.testing.assert_allclose(electrons(np.array([1e-16]), wave, 600.0, "WFM-NOAO-N"), expected, rtol=1e-3)
    assert 0.3 < efficiency(wave, "WFM-NOAO-N")[0] < 0.45


@pytest.mark.parametrize("kind", [ObjectScene, StdScene, SkyScene, AstrometryScene, SkyFlatScene])
def test_exposure_times_must_agree(kind: type[OnSkyScene]) -> None:
    with pytest.raises(ParameterError, match="exptime"):
        kind(30.0, pointing=POINTING)
