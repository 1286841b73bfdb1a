"""A simulated night is an archive directory like a real one."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.ccd.geometry import Detector
from core.errors import BadFitsError, ParameterError
from core.formats.raw import open_raw
from core.simulator.exposure import expected_electrons, expose
from core.simulator.night import NightPlan, scenes_of_night, simulate_night
from core.simulator.programme import SkyPlan
from core.simulator.scenes import Scene
from core.simulator.seeds import stream
from core.simulator.truth import load_truth, truth_for

TINY = Detector(nx=64, ny=40)
EVERYTHING = NightPlan(1, 1, 1, 1, 1, n_mask=14, n_mask_check=1, sky=SkyPlan(1, 1, 1, 1, 1))
PLAN = NightPlan(n_bias=3, n_dark=1, n_flat=2, n_arc=2, n_illum=1, dark_exptime=900.0)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return simulate_night(tmp_path_factory.mktemp("night"), "2026-03-14", (1, 12), PLAN, detector=TINY)


@pytest.fixture(scope="module")
def headers(night: list[Path]) -> list[fits.Header]:
    return [fits.getheader(path) for path in night]


def test_every_kind_of_frame_is_there(headers: list[fits.Header]) -> None:
    kinds = Counter(header["ESO DPR TYPE"] for header in headers)
    assert kinds == {"BIAS": 3, "DARK": 1, "FLAT,LAMP": 2, "WAVE": 6, "FLAT,LAMP,ILLUM": 1}
    assert {header["ESO DPR CATG"] for header in headers} == {"CALIB"}
    assert {header["ESO DPR TECH"] for header in headers} == {"IFU"}


def test_names_follow_date_obs(night: list[Path], headers: list[fits.Header]) -> None:
    for path, header in zip(night, headers, strict=True):
        assert path.name == header["ARCFILE"] == f"MUSE.{header['DATE-OBS']}.fits"


def test_times_advance_and_agree(headers: list[fits.Header]) -> None:
    starts = [datetime.fromisoformat(header["DATE-OBS"]) for header in headers]
    exptimes = [header["EXPTIME"] for header in headers]
    for k in range(len(starts) - 1):
        # read-out and overheads: nothing starts before its predecessor is on disk
        assert (starts[k + 1] - starts[k]).total_seconds() > exptimes[k] + 75.0
    noon = datetime(2026, 3, 14, 16)
    assert all(0 < (start - noon).total_seconds() < 86400 for start in starts)
    for start, header in zip(starts, headers, strict=True):
        mjd = (start - datetime(1858, 11, 17)).total_seconds() / 86400.0
        assert header["MJD-OBS"] == pytest.approx(mjd, abs=1e-7)
        seconds = (start - start.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
        assert header["UTC"] == pytest.approx(seconds, abs=0.002)
        assert 0.0 <= header["LST"] < 86400.0


def test_templates_count_their_exposures(headers: list[fits.Header]) -> None:
    templates: dict[str, list[fits.Header]] = {}
    for header in headers:
        templates.setdefault(header["ESO TPL START"], []).append(header)
    assert sorted(len(members) for members in templates.values()) == [1, 1, 2, 3, 6]
    for members in templates.values():
        assert [header["ESO TPL EXPNO"] for header in members] == list(range(1, len(members) + 1))
        assert {header["ESO TPL NEXP"] for header in members} == {len(members)}
        assert len({header["ESO TPL ID"] for header in members}) == 1
        assert members[0]["ESO TPL START"] < members[0]["DATE-OBS"]
    flats = {header["ESO TPL ID"] for header in headers if header["ESO DPR TYPE"] == "FLAT,LAMP"}
    assert flats == {"MUSE_wfm_cal_specflat"}


def test_one_lamp_is_lit_in_each_arc(headers: list[fits.Header]) -> None:
    seen = []
    for header in headers:
        lit = [n for n in range(1, 7) if header[f"ESO INS LAMP{n} ST"] and header[f"ESO INS SHUT{n} ST"]]
        # every shutter has its keyword, without holes: set-ups are compared up to the first missing one
        assert [header[f"ESO INS SHUT{n} NAME"] for n in range(1, 7)] == ["ContB", "ContR", "Ne", "Xe", "HgCd", "Ne"]
        assert header["ESO INS LAMPNUM"] == 6
        kind = header["ESO DPR TYPE"]
        if kind == "WAVE":
            seen.append((*lit, header["EXPTIME"]))
        else:
            assert lit == ([1, 2] if kind.startswith("FLAT") else [])
    assert seen == [(3, 1.012)] * 2 + [(4, 8.76)] * 2 + [(5, 0.539)] * 2


@pytest.mark.parametrize(
    ("mode", "pupil", "field"),
    [
        ("WFM-NOAO-N", "Blue", "WFM"),
        ("WFM-NOAO-E", "Clear", "WFM"),
        ("WFM-AO-N", "Blue-Na2", "WFM"),
        ("NFM-AO-N", "Blue-Na2", "NFM"),
    ],
)
def test_wheels_follow_the_mode(tmp_path: Path, mode: str, pupil: str, field: str) -> None:
    (path,) = simulate_night(
        tmp_path, "2026-01-02", (7,), NightPlan(0, 0, 1, 0, 0), mode=mode, detector=Detector(nx=16, ny=40)
    )
    header = fits.getheader(path)
    assert header["ESO INS MODE"] == mode
    assert header["ESO INS OPTI1 NAME"] == pupil
    assert header["ESO INS OPTI2 NAME"] == field
    assert header["ESO TPL ID"] == f"MUSE_{field.lower()}_cal_specflat"


def test_channels_carry_what_pipelines_read(night: list[Path]) -> None:
    raw = open_raw(night[0])
    assert raw.ifus == (1, 12)
    with fits.open(night[0]) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "CHAN01", "CHAN12"]
        for ifu, hdu in zip((1, 12), hdus[1:], strict=True):
            assert hdu.data.dtype == np.uint16
            assert hdu.data.shape == TINY.raw_shape
            assert hdu.header["ESO DET CHIP LIVE"] is True
            assert hdu.header["ESO DET CHIP NAME"] == f"CHAN{ifu:02d}"
            for port, x, y in ((1, 1, 1), (2, 4096, 1), (3, 4096, 4112), (4, 1, 4112)):
                assert hdu.header[f"ESO DET OUT{port} X"] == x
                assert hdu.header[f"ESO DET OUT{port} Y"] == y
            assert raw.channel(ifu).detector == truth_for(ifu, detector=TINY).detector


def test_same_arguments_give_the_same_files(night: list[Path], tmp_path: Path) -> None:
    again = simulate_night(tmp_path, "2026-03-14", (1, 12), PLAN, detector=TINY)
    assert [path.name for path in again] == [path.name for path in night]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in night]


def test_threads_change_nothing() -> None:
    """Scenes of all kinds, rendered and exposed side by side, against one after the other."""
    scenes = list(scenes_of_night(date(2026, 3, 14), EVERYTHING).values())

    def frame(task: tuple[int, Scene]) -> np.ndarray:
        truth = truth_for(task[0], detector=TINY)
        rng = stream(1, "threads", task[0], task[1].tag)
        return expose(truth, expected_electrons(truth, task[1]), task[1].exptime, rng)

    tasks = [(ifu, scene) for scene in scenes for ifu in (1, 12)]
    with ThreadPoolExecutor(4) as pool:
        side_by_side = list(pool.map(frame, tasks))
    for one, other in zip(side_by_side, map(frame, tasks), strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_seed_and_other_ifu_subset(night: list[Path], tmp_path: Path) -> None:
    plan = NightPlan(1, 0, 0, 0, 0)
    (other,) = simulate_night(tmp_path / "a", "2026-03-14", (12,), plan, seed=2, detector=TINY)
    (subset,) = simulate_night(tmp_path / "b", "2026-03-14", (12,), plan, detector=TINY)
    first_bias = next(path for path in night if fits.getheader(path)["ESO DPR TYPE"] == "BIAS")
    assert not np.array_equal(fits.getdata(other, "CHAN12"), fits.getdata(subset, "CHAN12"))
    # the pixels of a channel do not depend on the other channels of the file
    np.testing.assert_array_equal(fits.getdata(subset, "CHAN12"), fits.getdata(first_bias, "CHAN12"))


def test_exposures_of_a_template_differ_by_noise_only(night: list[Path]) -> None:
    flats = [path for path in night if fits.getheader(path)["ESO DPR TYPE"] == "FLAT,LAMP"]
    window = TINY.raw_window(1)
    one, two = (fits.getdata(path, "CHAN01")[window].astype(float) for path in flats)
    assert not np.array_equal(one, two)
    assert np.median(one - two) == pytest.approx(0.0, abs=15.0)  # sqrt(2 * 40000 / 2560 pix) * 1.25 = 7 adu


def test_compressed_files_hold_the_same_pixels(night: list[Path], tmp_path: Path) -> None:
    compressed = simulate_night(tmp_path, "2026-03-14", (1, 12), NightPlan(3, 0, 0, 0, 0), detector=TINY, compress=True)
    plain = [path for path in night if fits.getheader(path)["ESO DPR TYPE"] == "BIAS"]
    for packed, path in zip(compressed, plain, strict=True):
        assert packed.suffixes[-2:] == [".fits", ".fz"]
        for name in ("CHAN01", "CHAN12"):
            np.testing.assert_array_equal(fits.getdata(packed, name), fits.getdata(path, name))


def test_nights_differ_in_level_temperature_and_lamp(tmp_path: Path) -> None:
    temperatures, levels = set(), set()
    for day in ("2026-01-10", "2026-07-10"):
        (path,) = simulate_night(tmp_path / day, day, (3,), NightPlan(1, 0, 0, 0, 0), detector=Detector(nx=200, ny=200))
        temperatures.add(fits.getheader(path)["ESO INS TEMP4 VAL"])
        levels.add(round(float(fits.getdata(path, 1).mean()), 2))
    assert len(temperatures) == len(levels) == 2
    assert max(temperatures) - min(temperatures) > 1.0  # southern summer and winter


def test_truth_is_saved_beside_the_frames(night: list[Path]) -> None:
    stored = load_truth(night[0].parent / "truth" / "truth_IFU12_WFM-NOAO-N.npz")
    truth = truth_for(12, detector=TINY)
    assert stored.ifu == 12
    assert stored.trace_left(5, 20.0) == truth.trace_left(5, 20.0)
    np.testing.assert_array_equal(stored.bias(2), truth.bias(2))


def test_truth_of_another_model_is_refused(night: list[Path], tmp_path: Path) -> None:
    source = night[0].parent / "truth" / "truth_IFU01_WFM-NOAO-N.npz"
    with np.load(source) as stored:
        content = dict(stored)
    content["left"] = content["left"] + 0.01
    np.savez(tmp_path / "old.npz", **content)
    with pytest.raises(BadFitsError, match="left differs"):
        load_truth(tmp_path / "old.npz")


@pytest.mark.parametrize(
    ("night_date", "ifus"), [("yesterday", (1,)), ("2026-03-14", ()), ("2026-03-14", (1, 1)), ("2026-03-14", (25,))]
)
def test_impossible_nights_are_refused(tmp_path: Path, night_date: str, ifus: tuple[int, ...]) -> None:
    with pytest.raises(ParameterError):
        simulate_night(tmp_path, night_date, ifus, NightPlan(1, 0, 0, 0, 0), detector=TINY)


def test_negative_numbers_of_frames_are_refused() -> None:
    with pytest.raises(ParameterError, match="n_arc"):
        NightPlan(n_arc=-1)


def test_nothing_half_written_is_left(night: list[Path]) -> None:
    assert not [path for path in night[0].parent.rglob("*") if path.name.endswith(".part")]
