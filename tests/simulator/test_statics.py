"""Static calibrations of the simulated instrument tell its truth, in the formats that recipes read."""

from __future__ import annotations

import shutil
from datetime import date, datetime
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from core.cascade.model import BlockState, FrameInfo, Origin, ProductInfo, Quality
from core.cascade.plan import make_plan
from core.ccd.geometry import Detector
from core.cubes.projection import exposure_cd
from core.fitsfile.scan import scan_fits
from core.formats.astrometric_field import nearest_field
from core.formats.lsf import read_lsf
from core.formats.onsky_tables import STD_RESPONSE, STD_TELLURIC, read_curve
from core.formats.standard_stars import read_standard_stars
from core.formats.tables import BADPIX_TABLE, GEOMETRY_TABLE, read_table
from core.instruments.muse.declaration import INSTRUMENT as MUSE
from core.instruments.muse.facts import Dq
from core.instruments.plans import calibration_plan
from core.recipes.muse.steps.astrometry import Astrometry
from core.simulator.clusters import CLUSTERS, cluster_stars
from core.simulator.night import NightPlan, scenes_of_night
from core.simulator.onsky import AstrometryScene, StdScene
from core.simulator.pointing import Pointing
from core.simulator.programme import SkyPlan
from core.simulator.skytruth import SkyTruth
from core.simulator.statics import write_bad_pixels, write_response, write_simulated_statics, write_vignetting_mask
from core.simulator.truth import truth_for
from core.staticcal.directory import list_statics
from core.staticcal.standards import write_standards
from workers.statics import static_calibrations

MODE = "WFM-NOAO-N"
TRUTH = truth_for(7)
SMALL = Detector(nx=64, ny=80)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("statics")
    (directory / "badpix_table.fits").touch()  # takes the sensitivity of whole detectors: `write_bad_pixels` below
    write_simulated_statics(directory, modes=(MODE,), ifus=(7,))
    (directory / "badpix_table.fits").unlink()
    return directory


def test_each_tag_is_there_and_known_to_the_planner(folder: Path) -> None:
    listing = list_statics(folder, MUSE.statics, MUSE.setup.keywords, "MUSE")
    assert not listing.faults
    assert {file.tag for file in listing.files} == {
        "GEOMETRY_TABLE", "ASTROMETRY_WCS", "ASTROMETRY_REFERENCE", "VIGNETTING_MASK", "LSF_PROFILE", "STD_RESPONSE",
        "STD_TELLURIC",
    }  # fmt: skip
    assert all(file.built for file in listing.files)
    assert {file.valid_from for file in listing.files} == {float("-inf")}
    pairs = {file.pair for file in listing.files if file.tag in ("GEOMETRY_TABLE", "ASTROMETRY_WCS")}
    assert len(pairs) == 1
    (response,) = (file for file in listing.files if file.tag == "STD_RESPONSE")
    assert dict(response.setup)["INS.MODE"] == MODE


def test_files_are_sound_and_say_that_they_are_simulated(folder: Path) -> None:
    for path in folder.iterdir():
        with fits.open(path, checksum=True) as hdus:
            hdus.verify("exception")
            assert hdus[0].header["ORIGIN"] == "cascade-muse"
            assert "simulat" in str(hdus[0].header["COMMENT"])
            assert "PIPEFILE" not in hdus[0].header


def test_what_is_there_is_left_alone(folder: Path) -> None:
    (folder / "badpix_table.fits").touch()
    assert write_simulated_statics(folder, modes=(MODE,), ifus=(7,)) == []
    (folder / "badpix_table.fits").unlink()


def test_geometry_is_that_of_the_slices(folder: Path) -> None:
    table = read_table(folder / "geometry_table_wfm.fits", GEOMETRY_TABLE)
    truth = TRUTH.geometry.table()
    assert table.n_rows == 1152
    for name in ("SubField", "SliceCCD", "x", "y", "angle", "width"):
        np.testing.assert_array_equal(table[name], truth[name])


def test_the_plate_solution_places_pixels_where_they_look(folder: Path) -> None:
    pointing = Pointing("field", 30.0, -40.0, datetime(2026, 3, 15, 1), 30.0)
    view = pointing.view(TRUTH.geometry, MODE)
    found = Astrometry.of(scan_fits(folder / "astrometry_wcs_wfm.fits").primary)
    ends = [TRUTH.geometry.place(ifu, s, np.array([-0.5, 0.5])) for ifu in range(1, 25) for s in range(1, 49)]
    x, y = np.array(ends).swapaxes(0, 1)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [pointing.ra, pointing.dec]
    wcs.wcs.cd = exposure_cd(found.cd, 0.0)
    wcs.wcs.crpix = [0.5 * (v.min() + v.max()) + c + 1 for v, c in zip((x, y), found.crpix, strict=True)]
    ra, dec = wcs.wcs_pix2world(x.ravel(), y.ravel(), 0)
    true_ra, true_dec = view.celestial(x.ravel(), y.ravel())
    # rotation and skew of the solution come with its inverse: exact to second order
    assert np.abs((ra - true_ra) * np.cos(np.deg2rad(-40.0))).max() * 3600 < 0.01
    assert np.abs(dec - true_dec).max() * 3600 < 0.01


def test_clusters_are_where_astrometric_exposures_look(folder: Path) -> None:
    plan = NightPlan(0, 0, 0, 0, 0, sky=SkyPlan(n_astrometry=1))
    for night in (date(2026, 3, 14), date(2026, 9, 14)):
        (scene,) = scenes_of_night(night, plan).values()
        assert isinstance(scene, AstrometryScene)
        assert scene.pointing.altitude() > 45.0
        field = nearest_field(folder / "astrometry_reference.fits", scene.pointing.ra, scene.pointing.dec)
        assert field.distance < 1.0
        assert field.name == scene.pointing.target
        assert sorted(field.sky[:, 0]) == sorted(star.ra for star in scene.stars)
    assert len({cluster_stars(1, name)[0] for name in CLUSTERS}) == len(CLUSTERS)


def test_the_line_spread_function_is_that_of_the_slices_on_pixels(folder: Path) -> None:
    found = read_lsf(folder / "lsf_profile_slow.fits", 7)
    fine = np.arange(-9.0, 9.0, 0.01)
    for number in (1, 24, 48):
        true = TRUTH.optics.line_profile(number, 6800.0, fine)
        on_pixels = np.convolve(true, np.ones(125) / 125, mode="same")
        offset = np.arange(-5.0, 5.0, 0.25)
        np.testing.assert_allclose(found[number](offset, 6800.0), np.interp(offset, fine, on_pixels), atol=2e-3)


def test_the_response_is_that_of_the_instrument(folder: Path) -> None:
    plan = NightPlan(0, 0, 0, 0, 0, sky=SkyPlan(n_std=1))
    (scene,) = scenes_of_night(date(2026, 3, 14), plan).values()
    assert isinstance(scene, StdScene)
    truth = SkyTruth(scene, truth_for(1))
    _, curve = read_curve(folder / "std_response_wfm-n.fits", STD_RESPONSE)
    wave = np.array([4800.0, 6000.0, 7500.0, 9200.0])
    # of the mean slice of IFU 1
    np.testing.assert_allclose(curve.at(wave), truth.response(wave), atol=0.06)
    offset = curve.at(wave) - truth.response(wave)
    assert np.ptp(offset) < 2e-3
    mean = truth_for(1).optics.throughput.mean() * TRUTH.geometry.response[0]
    assert float(offset[0]) == pytest.approx(2.5 * np.log10(mean), abs=0.02)


def test_telluric_absorption_is_that_of_the_air_at_lower_resolution(folder: Path) -> None:
    plan = NightPlan(0, 0, 0, 0, 0, sky=SkyPlan(n_std=1))
    (scene,) = scenes_of_night(date(2026, 3, 14), plan).values()
    truth = SkyTruth(scene, TRUTH)
    _, curve = read_curve(folder / "std_telluric_wfm-n.fits", STD_TELLURIC)
    for low, high in ((7600.0, 7680.0), (6870.0, 6940.0), (7180.0, 7310.0)):
        inside = np.arange(low, high, 0.25)
        assert curve.at(inside).mean() == pytest.approx(truth.telluric(inside).mean(), abs=0.01)
    assert curve.values.min() < 0.7
    assert np.all((curve.values <= 1.0 + 1e-6) & (curve.errors > 0))


def test_the_star_of_a_night_has_the_flux_of_the_table(tmp_path: Path) -> None:
    table = {star.name: star for star in read_standard_stars(write_standards(tmp_path / "std_flux_table.fits"))}
    plan = NightPlan(0, 0, 0, 0, 0, sky=SkyPlan(n_std=1))
    wave = np.arange(4200.0, 9800.0, 10.0)
    for night in (date(2026, 3, 14), date(2026, 7, 14), date(2026, 11, 27)):
        (scene,) = scenes_of_night(night, plan).values()
        (star,) = scene.stars
        np.testing.assert_allclose(star.flux(wave), table[star.kind].flux.at(wave), rtol=1e-9)
        assert table[star.kind].distance(scene.pointing.ra, scene.pointing.dec) < 0.1


def test_bad_pixels_are_those_of_the_detector(tmp_path: Path) -> None:
    path = write_bad_pixels(tmp_path / "badpix_table.fits", ifus=(3, 4), detector=SMALL)
    for ifu in (3, 4):
        truth = truth_for(ifu, detector=SMALL)
        table = read_table(path, BADPIX_TABLE, ifu)
        flagged = dict(
            zip(zip(table["xpos"].tolist(), table["ypos"].tolist(), strict=True), table["status"], strict=True)
        )
        assert len(flagged) == table.n_rows
        dead_y, dead_x = np.nonzero(truth.dead_mask())
        for x, y in zip(dead_x.tolist(), dead_y.tolist(), strict=True):
            assert flagged[truth.detector.trimmed_to_raw(x + 1, y + 1)] & Dq.DEAD
        for x, y in zip(truth.channel.hot_x.tolist(), truth.channel.hot_y.tolist(), strict=True):
            assert flagged[truth.detector.trimmed_to_raw(x + 1, y + 1)] & Dq.HOT


def test_the_mask_of_vignetting_ends_when_it_was_cured(tmp_path: Path) -> None:
    path = write_vignetting_mask(tmp_path / "vignetting_mask.fits")
    (file,) = list_statics(tmp_path, MUSE.statics, MUSE.setup.keywords).files
    assert file.valid_until == 57823.0  # 2017-03-11
    mask = fits.getdata(path)
    assert mask.shape == (300, 300)
    assert mask[5, 295] == 1
    assert mask[:150, 150:].sum() == mask.sum() > 1000


def test_every_mode_has_a_response(tmp_path: Path) -> None:
    _, notched = read_curve(write_response(tmp_path / "ao.fits", "WFM-AO-N"), STD_RESPONSE)
    _, plain = read_curve(write_response(tmp_path / "noao.fits", MODE), STD_RESPONSE)
    assert notched.at([5890.0])[0] < plain.at([5890.0])[0] - 3.0
    assert notched.at([7000.0])[0] == pytest.approx(plain.at([7000.0])[0])


def test_exposures_of_the_sky_find_all_that_they_need(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    for built in MUSE.statics.built:
        if built.tag != "LINE_CATALOG":  # not needed, and slow
            resolve_name(built.builder)(tmp_path / built.file_name)
    setup, mjd = MUSE.setup.of_values({"mode": MODE}), 61345.0
    masters = [
        ProductInfo(f"{tag}.fits", tag, mjd, setup, Quality.CERTIFIED, Origin.PRODUCT, (7,))
        for tag in ("MASTER_BIAS", "MASTER_FLAT", "TRACE_TABLE", "WAVECAL_TABLE", "TWILIGHT_CUBE")
    ]
    frames = [
        FrameInfo(tag, tag, setup, mjd + 0.01 * k, tpl_start=tag, units=(7,), night="2026-10-31")
        for k, tag in enumerate(("STD", "ASTROMETRY", "SKY", "OBJECT"))
    ]
    blocks = make_plan(calibration_plan("MUSE"), frames, [*masters, *static_calibrations(tmp_path, MUSE)]).blocks
    assert {block.recipe for block in blocks} == {
        "muse_scibasic", "muse_standard", "muse_astrometry", "muse_create_sky", "muse_scipost",
    }  # fmt: skip
    assert {block.state for block in blocks} <= {BlockState.READY, BlockState.WAITING}
    (cube,) = (block for block in blocks if block.recipe == "muse_scipost")
    chosen = {choice.role: choice.product for choice in cube.inputs}
    assert chosen["STD_RESPONSE"].origin is Origin.PLANNED  # of the night, not the built one
    assert Path(chosen["LSF_PROFILE"].id).name == "lsf_profile_slow.fits"
