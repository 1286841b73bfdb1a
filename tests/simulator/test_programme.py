"""The on-sky part of a simulated night is taken for what it is."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.ccd.geometry import Detector
from core.errors import ParameterError
from core.fitsfile.keywords import dot_name
from core.instruments.classification import classify
from core.simulator.night import NightPlan, scenes_of_night, simulate_night
from core.simulator.onsky import ObjectScene, OnSkyScene
from core.simulator.programme import STANDARDS, SkyPlan
from core.staticcal.standards import standard_stars

TINY = Detector(nx=64, ny=40)
SKY = SkyPlan(n_skyflat=3, n_std=1, n_astrometry=1, n_object=2, n_sky=1)
PLAN = NightPlan(1, 0, 0, 0, 1, sky=SKY)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return simulate_night(tmp_path_factory.mktemp("night"), "2026-03-14", (12,), PLAN, detector=TINY)


@pytest.fixture(scope="module")
def headers(night: list[Path]) -> list[fits.Header]:
    return [fits.getheader(path) for path in night]


def _on_sky(headers: list[fits.Header]) -> list[fits.Header]:
    return [header for header in headers if header["ESO TEL DOME STATUS"] == "FULLY-OPEN"]


def test_every_kind_of_frame_is_there(headers: list[fits.Header]) -> None:
    kinds = Counter((header["ESO DPR CATG"], header["ESO DPR TYPE"]) for header in _on_sky(headers))
    assert kinds == {
        ("CALIB", "FLAT,SKY"): 3,
        ("CALIB", "STD"): 1,
        ("CALIB", "ASTROMETRY"): 1,
        ("SCIENCE", "OBJECT"): 2,
        ("SCIENCE", "SKY"): 1,
    }


def test_targets_are_up_and_airmass_and_angles_agree(headers: list[fits.Header]) -> None:
    for header in _on_sky(headers):
        assert 25.0 < header["ESO TEL ALT"] <= 90.0
        sec_z = 1.0 / np.sin(np.deg2rad(header["ESO TEL ALT"]))
        assert header["ESO TEL AIRM START"] == pytest.approx(sec_z, abs=0.01)
        hour_angle = (header["LST"] / 240.0 - header["RA"] + 180.0) % 360.0 - 180.0
        assert np.sign(hour_angle) == np.sign(header["ESO TEL PARANG START"])
        derotator = 0.5 * (header["ESO INS DROT POSANG"] - header["ESO TEL PARANG START"] - header["ESO TEL ALT"])
        assert (header["ESO INS DROT START"] - derotator) % 360.0 == pytest.approx(0.0, abs=0.01) or (
            header["ESO INS DROT START"] - derotator
        ) % 360.0 == pytest.approx(360.0, abs=0.01)
        assert header["ESO INS OPTI3 NAME"] == "WFM"
        assert header["ESO TEL FOCU SCALE"] == 1.705
        assert not any(header[f"ESO INS LAMP{n} ST"] for n in range(1, 7))
        for stage in (1, 2, 3, 4):
            assert header[f"ESO INS POS{stage} ENC"] > 0


def test_nights_grow_cold(headers: list[fits.Header]) -> None:
    night = [header for header in headers if header["ESO DPR TYPE"] != "BIAS"]
    temperatures = [header["ESO INS TEMP4 VAL"] for header in night]
    assert temperatures == sorted(temperatures, reverse=True)
    assert temperatures[0] - temperatures[-1] > 0.3
    for header in _on_sky(headers):
        assert header["ESO TEL AMBI TEMP"] == header["ESO INS TEMP4 VAL"]


def test_objects_are_dithered_and_turned(headers: list[fits.Header]) -> None:
    one, two = (header for header in headers if header["ESO DPR TYPE"] == "OBJECT")
    assert (one["ESO INS DROT POSANG"], two["ESO INS DROT POSANG"]) == (0.0, 90.0)
    assert 0.0 < np.hypot(one["RA"] - two["RA"], one["DEC"] - two["DEC"]) * 3600.0 < 2.5


def test_standard_is_one_that_has_a_spectrum(headers: list[fits.Header]) -> None:
    (header,) = (header for header in headers if header["ESO DPR TYPE"] == "STD")
    assert header["ESO OBS TARG NAME"] in STANDARDS
    star = standard_stars()[header["ESO OBS TARG NAME"]]
    assert (header["RA"], header["DEC"]) == pytest.approx((star.ra, star.dec), abs=1e-5)


def test_scenes_of_a_night_are_those_of_its_files(night: list[Path], headers: list[fits.Header]) -> None:
    scenes = scenes_of_night(date(2026, 3, 14), PLAN)
    assert list(scenes) == [path.name for path in night]
    assert len(scenes) == PLAN.n_frames
    for scene, header in zip(scenes.values(), headers, strict=True):
        assert header["ESO DPR TYPE"] == scene.dpr_type
        assert header["EXPTIME"] == scene.exptime
        if isinstance(scene, OnSkyScene):
            assert scene.pointing.start == datetime.fromisoformat(header["DATE-OBS"])
            assert header["RA"] == pytest.approx(scene.pointing.ra, abs=1e-6)


def test_frames_are_classified_as_what_they_are(night: list[Path], headers: list[fits.Header]) -> None:
    scenes = scenes_of_night(date(2026, 3, 14), PLAN)
    for path, header in zip(night, headers, strict=True):
        keywords = {dot_name(keyword): value for keyword, value in header.items()}
        assert classify(keywords).tag == scenes[path.name].tag


def test_exposures_of_a_field_show_the_same_sources(night: list[Path]) -> None:
    one, two = (scene for scene in scenes_of_night(date(2026, 3, 14), PLAN).values() if type(scene) is ObjectScene)
    assert one.sources == two.sources
    assert one.flexure != two.flexure


def test_adaptive_optics_leave_telemetry(tmp_path: Path) -> None:
    plan = NightPlan(0, 0, 0, 0, 0, sky=SkyPlan(n_object=1, object_exptime=90.0))
    for mode in ("WFM-AO-N", "NFM-AO-N"):
        (path,) = simulate_night(tmp_path / mode, "2026-03-14", (12,), plan, mode=mode, detector=TINY)
        with fits.open(path) as hdus:
            assert [hdu.name for hdu in hdus] == ["PRIMARY", "CHAN12", "SPARTA_ATM_DATA", "SPARTA_CN2_DATA"]
            assert hdus["SPARTA_ATM_DATA"].data["LGS3_STREHL"].dtype.kind == "f"
            assert len(hdus["SPARTA_ATM_DATA"].data) == 3
            assert hdus[0].header["ESO INS MODE"] == mode


@pytest.mark.parametrize("wrong", [{"n_std": -1}, {"object_exptime": 0.0}])
def test_impossible_programmes_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError):
        SkyPlan(**wrong)
