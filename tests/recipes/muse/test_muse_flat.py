"""muse_flat on raw frames of known light: products, QC, failures, and the reference pipeline's numbers.

The small detector has ports of 2048 x 300 pixels: 48 slices need the full width. The full-size case is one whose
results by the reference pipeline are known to the printed digits.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from astropy.io import fits

from core.ccd.trace_model import Trace
from core.errors import ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.fitsfile.sof import format_sof
from core.formats.image import read_image
from core.formats.raw import write_raw
from core.formats.tables import TRACE_SAMPLES, TRACE_TABLE, read_table
from core.instruments.muse.facts import PORT_X, PORT_Y
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.registry import get_recipe
from core.recipes.results import RunResult
from core.tools.badpix_commands import from_region

NX = 2048
GAIN = (1.0, 1.1, 1.2, 1.3)
BASE = (1200, 1210, 1190, 1205)
Light = npt.NDArray[np.int32]


def noise(seed: int, shape: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Reproducible integer noise of sigma 3.16, by hashing pixel positions."""
    mask = 0xFFFFFFFF
    x = (np.arange(1, shape[1] + 1, dtype=np.uint64) * np.uint64(374761393)) & np.uint64(mask)
    y = (np.arange(1, shape[0] + 1, dtype=np.uint64) * np.uint64(668265263)) & np.uint64(mask)
    h = (x[None, :] + y[:, None] + np.uint64(2246822519 * seed & mask)).astype(np.uint32)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(1274126177)
    h ^= h >> np.uint32(16)
    total = np.full(shape, -12, np.int32)
    for bit in range(8):
        total += ((h >> np.uint32(2 * bit)) & np.uint32(3)).astype(np.int32)
    return total


def slice_light(ny: int, half_widths: dict[int, float] | None = None) -> Light:
    """Light of 48 curved slices with linear edges on the trimmed image [adu]."""
    x = np.arange(1, 4097.0)
    t = (np.arange(1, 2 * ny + 1.0)[:, None] - ny) / ny
    profile = np.zeros((2 * ny, 4096))
    for s in range(48):
        c = 60 + 84.5 * s
        center = c + (s - 23.5) * 0.06 * t * t
        half = (half_widths or {}).get(s + 1, 38.3)
        window = slice(max(1, int(c - 60)) - 1, min(4096, int(c + 60)))
        left = np.clip((x[window] - (center - half) + 1.5) / 3, 0, 1)
        right = np.clip(((center + half) - x[window] + 1.5) / 3, 0, 1)
        profile[:, window] += np.minimum(left, right)
    return np.floor(profile * 5000 * (1 - 0.8 * t * t) + 0.5).astype(np.int32)


def write_frame(path: Path, kind: str, seed: int, ny: int, light: Light | None = None, exptime: float = 1.0) -> Path:
    """A raw frame of IFU 1: base level, slope of the bias, noise, light."""
    shape = (2 * (ny + 64), 2 * (NX + 64))
    raw = noise(seed, shape)
    raw += ((np.arange(1, shape[0] + 1) - 1) // 200)[:, None].astype(np.int32)
    hy, hx = shape[0] // 2, shape[1] // 2
    quarters = (np.s_[:hy, :hx], np.s_[:hy, hx:], np.s_[hy:, hx:], np.s_[hy:, :hx])
    for quarter, base in zip(quarters, BASE, strict=True):
        raw[quarter] += base
    if light is not None:
        for rows, y0 in ((slice(0, ny), 32), (slice(ny, 2 * ny), hy + 32)):
            raw[y0 : y0 + ny, 32 : 32 + NX] += light[rows, :NX]
            raw[y0 : y0 + ny, hx + 32 : hx + 32 + NX] += light[rows, NX:]
    primary, header = Header(), Header()
    values: dict[str, Any] = {
        "INSTRUME": "MUSE", "EXPTIME": exptime, "MJD-OBS": 57023.0, "DATE-OBS": "2015-01-01T00:00:00.000",
        "ARCFILE": path.name, "DPR.CATG": "CALIB", "DPR.TYPE": kind, "DPR.TECH": "IFU",
        "TPL.ID": "MUSE_wfm_cal_specflat", "INS.MODE": "WFM-NOAO-N", "DET.BINX": 1, "DET.BINY": 1,
        "DET.READ.CURID": 1, "DET.READ.CURNAME": "SCI1.0",
    }  # fmt: skip
    for key, value in values.items():
        set_key(primary, key, value)
    for key, value in {"CHIP.NAME": "CHAN01", "CHIP.ID": "test", "CHIP.LIVE": True}.items():
        set_key(header, f"DET.{key}", value)
    for port in range(4):
        own = {
            "X": PORT_X[port], "Y": PORT_Y[port], "NX": NX, "NY": ny, "GAIN": GAIN[port], "RON": 3.2,
            "PRSCX": 32, "PRSCY": 32, "OVSCX": 32, "OVSCY": 32,
        }  # fmt: skip
        for key, value in own.items():
            set_key(header, f"DET.OUT{port + 1}.{key}", value)
    write_raw(path, primary, [(1, header, raw.astype(np.uint16))])
    return path


def run(name: str, frames: list[tuple[Path, str]], output: Path, **parameters: Any) -> RunResult:
    output.mkdir(exist_ok=True)
    recipe = get_recipe(name)
    frame_set = FrameSet(tuple(Frame(path, tag) for path, tag in frames))
    return run_recipe(recipe, frame_set, recipe.Params.parse({"nifu": 1, **parameters}), output)


def make_inputs(folder: Path, ny: int, light: Light) -> list[tuple[Path, str]]:
    """Three flats and the master bias made of three biases."""
    biases = [(write_frame(folder / f"bias{k}.fits", "BIAS", k, ny, exptime=0.0), "BIAS") for k in (31, 32, 33)]
    assert run("muse_bias", biases, folder).ok
    flats = [(write_frame(folder / f"flat{k}.fits", "FLAT,LAMP", k, ny, light), "FLAT") for k in (41, 42, 43)]
    return [*flats, (folder / "MASTER_BIAS-01.fits", "MASTER_BIAS")]


@pytest.fixture(scope="module")
def small_inputs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str]]:
    return make_inputs(tmp_path_factory.mktemp("small"), 300, slice_light(300))


@pytest.fixture(scope="module")
def small_run(small_inputs: list[tuple[Path, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("small_run")
    result = run("muse_flat", small_inputs, output, samples=True, nsum=16)
    assert result.ok
    assert [product.tag for product in result.products] == ["MASTER_FLAT", "TRACE_TABLE", "TRACE_SAMPLES"]
    return output


def read_trace(folder: Path) -> Trace:
    return Trace.from_columns(read_table(folder / "TRACE_TABLE-01.fits", TRACE_TABLE, 1))


def assert_trace_is_true(trace: Trace, tolerance: float, slices: list[int] | None = None) -> None:
    y = np.arange(1, 601.0)
    t = (y - 300) / 300
    for s in slices or range(1, 49):
        center = 60 + 84.5 * (s - 1) + (s - 24.5) * 0.06 * t * t
        assert np.sqrt(np.mean((trace.center(s, y) - center) ** 2)) < tolerance
        assert np.sqrt(np.mean((trace.right(s, y) - center - 38.3) ** 2)) < tolerance


# -- products and QC ------------------------------------------------------------------------------------------


def test_trace_products_hold_the_true_slices(small_run: Path) -> None:
    trace = read_trace(small_run)
    assert_trace_is_true(trace, 0.02)
    samples = read_table(small_run / "TRACE_SAMPLES-01.fits", TRACE_SAMPLES, 1)
    assert samples.n_rows == 48 * 37
    assert not any("QC" in key for key in samples.header)
    np.testing.assert_allclose(samples["mid"], (samples["left"] + samples["right"]) / 2, atol=1e-3)


def test_master_flat_is_normalised_and_propagates_noise(small_run: Path) -> None:
    image = read_image(small_run / "MASTER_FLAT-01.fits", 1)
    assert image.unit == "count"
    assert image.data.mean(dtype=float) == pytest.approx(1, rel=1e-5)
    mean = image.header["ESO QC FLAT MASTER MEAN"]
    # One port, inside slice 1: Poisson noise of the light and the noise of the bias, in counts.
    count = image.data[280:290, 50:70].mean() * mean
    variance = image.stat[280:290, 50:70].mean() * mean**2
    # STAT holds the photon noise of the sum of three frames and RON^2/3 of the master bias; no frame is clipped there.
    assert variance == pytest.approx(count / 3, rel=0.15)


def test_qc_is_complete_and_declared(small_run: Path) -> None:
    recipe = get_recipe("muse_flat")
    found = set()
    for tag in ("MASTER_FLAT", "TRACE_TABLE"):
        header = fits.getheader(small_run / f"{tag}-01.fits")
        for keyword in (key[4:].replace(" ", ".") for key in header if key.startswith("ESO QC ")):
            specs = [spec for spec in recipe.qc if tag in spec.products and spec.pattern.match(keyword)]
            assert len(specs) == 1, keyword
            found.add(specs[0].keyword)
            value = header["ESO " + keyword.replace(".", " ")]
            assert isinstance(value, int if specs[0].type == "int" else float), keyword
    assert found == {spec.keyword for spec in recipe.qc}


def test_qc_tells_the_light(small_run: Path) -> None:
    header = fits.getheader(small_run / "MASTER_FLAT-01.fits")
    gains = np.repeat(np.repeat([[GAIN[0], GAIN[1]], [GAIN[3], GAIN[2]]], 300, axis=0), 2048, axis=1)
    truth = slice_light(300) * gains
    assert header["ESO QC FLAT MASTER MEAN"] == pytest.approx(truth.mean(), rel=1e-3)
    assert header["ESO QC FLAT MASTER MEDIAN"] == pytest.approx(np.median(truth), rel=1e-3)
    assert header["ESO QC FLAT MASTER INTFLUX"] == pytest.approx(truth.sum(), rel=1e-3)
    assert header["ESO QC FLAT INPUT3 STDEV"] == pytest.approx(truth.std(), rel=1e-3)
    assert header["ESO QC FLAT INPUT2 NSATURATED"] == 0
    window = truth[199:400, 59 - 30 : 59 + 30]
    assert header["ESO QC FLAT MASTER SLICE1 MEAN"] == pytest.approx(window.mean(), rel=0.02)
    trace = fits.getheader(small_run / "TRACE_TABLE-01.fits")
    assert trace["ESO QC TRACE SLICE_L XPOS"] == pytest.approx(60, abs=0.02)
    assert trace["ESO QC TRACE SLICE_R XPOS"] == pytest.approx(60 + 84.5 * 47, abs=0.02)
    assert trace["ESO QC TRACE WIDTHS MEDIAN"] == pytest.approx(76.6, abs=0.02)
    assert trace["ESO QC TRACE GAPS MEAN"] == pytest.approx(7.9, abs=0.02)
    # Slice 48 bends by 1.41 pix at both ends: slope 2 * 1.41 / 300; noise in the dim ends tilts the edges by 1e-3.
    assert abs(trace["ESO QC TRACE SLICE48 MAXSLOPE"]) == pytest.approx(2 * 1.41 / 300, abs=2e-3)


def test_defects_are_flagged(tmp_path: Path, small_inputs: list[tuple[Path, str]]) -> None:
    light = slice_light(300)
    light[399, 1000:1003] = 0
    light[199, 2000] = 20000
    flats = [(write_frame(tmp_path / f"flat{k}.fits", "FLAT,LAMP", k, 300, light), "FLAT") for k in (51, 52, 53)]
    assert run("muse_flat", [*flats, small_inputs[-1]], tmp_path).ok
    dq = read_image(tmp_path / "MASTER_FLAT-01.fits", 1).dq
    assert (dq[399, 1000:1003] & 576 == 576).all()
    assert dq[199, 2000] == 256
    assert np.count_nonzero(dq & 0x3C0) < 30  # 48 x 600 rows of 77 pixels at 5 mean absolute deviations


@pytest.mark.parametrize(
    ("parameters", "tags"),
    [
        ({"trace": False, "samples": True}, ["MASTER_FLAT"]),
        ({}, ["MASTER_FLAT", "TRACE_TABLE"]),
    ],
)
def test_products_follow_the_parameters(
    small_inputs: list[tuple[Path, str]], tmp_path: Path, parameters: dict[str, Any], tags: list[str]
) -> None:
    result = run("muse_flat", small_inputs, tmp_path, **parameters)
    assert [product.tag for product in result.products] == tags


def test_too_few_samples_for_the_order_are_refused(small_inputs: list[tuple[Path, str]], tmp_path: Path) -> None:
    result = run("muse_flat", small_inputs, tmp_path, order=15, nsum=1000)
    assert {failure.error_type for failure in result.failures} == {ParameterError.error_type}
    assert "a trace of order=15 needs 16" in result.failures[0].message


def test_order_and_nsum_shape_the_tables(small_inputs: list[tuple[Path, str]], tmp_path: Path) -> None:
    assert run("muse_flat", small_inputs, tmp_path, order=3, nsum=50, samples=True).ok
    assert read_trace(tmp_path).order == 3
    assert read_table(tmp_path / "TRACE_SAMPLES-01.fits", TRACE_SAMPLES, 1).n_rows == 48 * 11


def test_bad_pixel_limits_are_those_asked_for(small_inputs: list[tuple[Path, str]], tmp_path: Path) -> None:
    found = {}
    for name, values in {"usual": {}, "low": {"losigmabadpix": 0.02}, "high": {"hisigmabadpix": 0.02}}.items():
        assert run("muse_flat", small_inputs, tmp_path / name, **values).ok
        dq = read_image(tmp_path / name / "MASTER_FLAT-01.fits", 1).dq
        found[name] = (np.count_nonzero(dq & 512), np.count_nonzero(dq & 256))
    # The sloping edges of the slices make the mean deviation of a row (some 60 count) far larger than the noise (2):
    # at a fiftieth of it a good part of the 2.2 million pixels in slices lie on either side.
    assert found["low"][0] > 20 * found["usual"][0] + 100_000
    assert found["low"][1] == found["usual"][1]
    assert found["high"][1] > 20 * found["usual"][1] + 100_000
    assert found["high"][0] == found["usual"][0]


def test_a_lower_edgefrac_finds_a_dim_slice(small_inputs: list[tuple[Path, str]], tmp_path: Path) -> None:
    # As in the manual, section 8.2: slice 20 has 0.4 of the light of the others.
    light = slice_light(300)
    light[:, 1622:1709] = light[:, 1622:1709] * 2 // 5
    flats = [(write_frame(tmp_path / f"flat{k}.fits", "FLAT,LAMP", k, 300, light), "FLAT") for k in (61, 62, 63)]
    assert run("muse_flat", [*flats, small_inputs[-1]], tmp_path / "low", edgefrac=0.3).ok
    assert_trace_is_true(read_trace(tmp_path / "low"), 0.04)
    header = fits.getheader(tmp_path / "low" / "TRACE_TABLE-01.fits")
    values = {header[f"ESO PRO REC1 PARAM{i} NAME"]: header[f"ESO PRO REC1 PARAM{i} VALUE"] for i in range(1, 18)}
    assert values["edgefrac"] == "0.3"


def test_normalisation_can_be_switched_off(small_inputs: list[tuple[Path, str]], tmp_path: Path) -> None:
    assert run("muse_flat", small_inputs, tmp_path, normalize=False, trace=False).ok
    image = read_image(tmp_path / "MASTER_FLAT-01.fits", 1)
    assert image.data.mean(dtype=float) == pytest.approx(image.header["ESO QC FLAT MASTER MEAN"], rel=1e-6)


def test_dark_is_subtracted_scaled_to_the_exposure(small_inputs: list[tuple[Path, str]], tmp_path: Path) -> None:
    glow = np.full((600, 4096), 100, np.int32)
    bias = small_inputs[-1]
    darks = [(write_frame(tmp_path / f"dark{k}.fits", "DARK", k, 300, glow, exptime=2.0), "DARK") for k in (81, 82, 83)]
    assert run("muse_dark", [*darks, bias], tmp_path, hotsigma=0.0).ok
    flats = [
        (write_frame(tmp_path / f"flat{k}.fits", "FLAT,LAMP", k, 300, slice_light(300) + glow // 2), "FLAT")
        for k in (84, 85, 86)
    ]
    dark = (tmp_path / "MASTER_DARK-01.fits", "MASTER_DARK")
    assert run("muse_flat", [*flats, bias, dark], tmp_path, trace=False).ok
    header = fits.getheader(tmp_path / "MASTER_FLAT-01.fits")
    gains = np.repeat(np.repeat([[GAIN[0], GAIN[1]], [GAIN[3], GAIN[2]]], 300, axis=0), 2048, axis=1)
    # Half of the 100 adu of 2 s was added to the flats of 1 s, and is gone again.
    assert header["ESO QC FLAT MASTER MEAN"] == pytest.approx((slice_light(300) * gains).mean(), rel=1e-3)
    assert header["ESO PRO REC1 CAL2 CATG"] == "MASTER_DARK"


def test_known_bad_pixels_reach_the_flat(small_inputs: list[tuple[Path, str]], tmp_path: Path) -> None:
    table = tmp_path / "BADPIX_TABLE.fits"
    assert from_region(["-t", "[58:59,100:101]", "8192", "1", str(table), "-r", str(small_inputs[0][0])]) == 0
    assert run("muse_flat", [*small_inputs, (table, "BADPIX_TABLE")], tmp_path, nsum=16).ok
    dq = read_image(tmp_path / "MASTER_FLAT-01.fits", 1).dq
    assert (dq[99:101, 57:59] & 8192 == 8192).all()
    assert np.count_nonzero(dq & 8192) == 4
    assert_trace_is_true(read_trace(tmp_path), 0.02)


# -- failures -------------------------------------------------------------------------------------------------


def test_dark_flats_are_saved_although_tracing_fails(small_inputs: list[tuple[Path, str]], tmp_path: Path) -> None:
    dark = np.zeros((600, 4096), np.int32)
    dark[:, 100:110] = 50
    flats = [(write_frame(tmp_path / f"flat{k}.fits", "FLAT,LAMP", k, 300, dark), "FLAT") for k in (61, 62, 63)]
    result = run("muse_flat", [*flats, small_inputs[-1]], tmp_path)
    assert not result.ok
    assert result.failures[0].error_type == "tracing"
    assert [product.tag for product in result.products] == ["MASTER_FLAT"]
    assert (tmp_path / "MASTER_FLAT-01.fits").exists()


@pytest.mark.parametrize("temperature", [6.9, 7.0])
def test_one_broken_slice_is_an_empty_row(
    small_inputs: list[tuple[Path, str]], tmp_path: Path, temperature: float, caplog: pytest.LogCaptureFixture
) -> None:
    light = slice_light(300, {20: 30.0})  # vignetted to 60 pix
    flats = [(write_frame(tmp_path / f"flat{k}.fits", "FLAT,LAMP", k, 300, light), "FLAT") for k in (71, 72, 73)]
    for path, _ in flats:
        fits.setval(path, "HIERARCH ESO INS TEMP4 VAL", value=temperature)
    assert run("muse_flat", [*flats, small_inputs[-1]], tmp_path, nsum=16).ok
    trace = read_trace(tmp_path)
    assert trace.valid_slices == [n for n in range(1, 49) if n != 20]
    assert_trace_is_true(trace, 0.02, trace.valid_slices)
    header = fits.getheader(tmp_path / "TRACE_TABLE-01.fits")
    assert "ESO QC TRACE SLICE20 MAXSLOPE" not in header
    assert header["ESO QC TRACE WIDTHS MEDIAN"] == pytest.approx(76.6, abs=0.02)
    assert "ESO QC FLAT MASTER SLICE20 MEAN" not in fits.getheader(tmp_path / "MASTER_FLAT-01.fits")
    assert "the trace fit in slice 20 failed" in caplog.text
    assert ("TRACE_TABLE of flats taken at about 8 deg C" in caplog.text) == (temperature < 7)


# -- the reference pipeline -------------------------------------------------------------------------------------


@pytest.mark.full
def test_full_size_case_gives_the_reference_numbers(tmp_path: Path) -> None:
    light = slice_light(2056)
    light[2999, 1000:1003] = 0
    light[999, 2000] = 20000
    inputs = make_inputs(tmp_path, 2056, light)
    assert run("muse_flat", inputs, tmp_path, samples=True).ok
    image = read_image(tmp_path / "MASTER_FLAT-01.fits", 1)
    qc = {key[7:]: value for key, value in image.header.items() if key.startswith("ESO QC FLAT")}
    expected = {
        "FLAT INPUT1 MEAN": 3785.030, "FLAT INPUT2 MEAN": 3785.024, "FLAT INPUT3 MEAN": 3785.019,
        "FLAT INPUT1 MEDIAN": 4182.654, "FLAT INPUT1 STDEV": 1803.942, "FLAT INPUT1 MIN": -21.18721,
        "FLAT INPUT1 MAX": 19997.0, "FLAT MASTER MEDIAN": 4182.656, "FLAT MASTER MEAN": 3785.024,
        "FLAT MASTER STDEV": 1803.941, "FLAT MASTER MIN": -15.18842, "FLAT MASTER MAX": 19999.66,
        "FLAT MASTER INTFLUX": 6.375022e10, "FLAT MASTER SLICE1 MEAN": 5732.407,
        "FLAT MASTER SLICE1 STDEV": 750.8395, "FLAT MASTER SLICE24 MEAN": 5707.326,
        "FLAT MASTER SLICE25 STDEV": 257.0063, "FLAT MASTER SLICE48 MEAN": 5709.777,
    }  # fmt: skip
    for key, value in expected.items():
        assert qc[key] == pytest.approx(value, rel=3e-7), key  # printed with 7 digits
    bits, counts = np.unique(image.dq, return_counts=True)
    flagged = dict(zip(bits.tolist(), counts.tolist(), strict=True))
    assert {bit: count for bit, count in flagged.items() if bit} == {256: 1, 576: 1, 16384: 584406, 16960: 2}
    assert image.data[2055, 59] == pytest.approx(1.320721, rel=1e-6)
    assert image.data[999, 2000] == pytest.approx(5.2838917, rel=1e-6)
    assert image.data.sum(dtype=float) == pytest.approx(16842752.607, rel=1e-7)  # rounding of the division by the mean
    trace = read_trace(tmp_path)
    # The fit of the edges is iterated to its end, the reference stops when chi square changes little: 2e-5 pix.
    for number, values in {
        1: (58.5941821132654, 20.282583352, 96.905780874),
        24: (2003.4693055670, None, None),
        48: (4032.9130914603, None, None),
    }.items():
        for line, value in enumerate(values):
            if value is not None:
                assert trace.coefficients[number - 1, line, 0] == pytest.approx(value, abs=2e-5)
    np.testing.assert_allclose(trace.width[[0, 23, 47]], [76.607376, 76.57248, 76.593056], atol=3e-5)
    header = fits.getheader(tmp_path / "TRACE_TABLE-01.fits")
    for key, value, tolerance in (
        ("SLICE_L XPOS", 60.0025, 2e-5), ("SLICE_R XPOS", 4031.503, 6e-4), ("SLICE3 WIDTH", 76.6084, 6e-5),
        ("SLICE1 MAXSLOPE", -1.434822e-3, 2e-7), ("SLICE24 MAXSLOPE", -3.163244e-5, 2e-8),
        ("GAPS MEDIAN", 7.898523, 2e-5), ("GAPS STDEV", 2.478266e-3, 1e-5), ("WIDTHS MAX", 76.6303, 6e-5),
        ("SLICE_R TILT", 3.150071e-5, 2e-7),
    ):  # fmt: skip
        assert header[f"ESO QC TRACE {key}"] == pytest.approx(value, abs=tolerance), key
    samples = read_table(tmp_path / "TRACE_SAMPLES-01.fits", TRACE_SAMPLES, 1)
    assert samples.n_rows == 6144
    first = [samples[name][0] for name in ("slice", "y", "mid", "left", "right")]
    last = [samples[name][-1] for name in ("slice", "y", "mid", "left", "right")]
    np.testing.assert_allclose(first, (1, 16.5, 58.616856, 20.32713, 96.906586), atol=2e-5)
    np.testing.assert_allclose(last, (48, 4080.5, 4032.8696, 3994.5576, 4071.1816), atol=5e-4)


def test_threads_do_not_change_the_products(
    small_inputs: list[tuple[Path, str]], small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bare(path: Path) -> list[tuple[list[str], bytes]]:
        with fits.open(path) as hdus:
            changing = re.compile("CHECKSUM|DATASUM|DATAMD5|DATE |.*(DATE|TIMESTAMP)")
            return [
                (
                    [str(card) for card in hdu.header.cards if not changing.match(card.image)],
                    b"" if hdu.data is None else hdu.data.tobytes(),
                )
                for hdu in hdus
            ]

    started = []
    monkeypatch.setattr("core.recipes.engine.thread_limit", lambda: 1)
    monkeypatch.setattr("core.recipes.flow.ThreadPoolExecutor", lambda n: started.append(n))
    assert run("muse_flat", small_inputs, tmp_path, samples=True, nsum=16).ok
    assert not started
    for name in ("MASTER_FLAT-01.fits", "TRACE_TABLE-01.fits", "TRACE_SAMPLES-01.fits"):
        assert bare(small_run / name) == bare(tmp_path / name)


@pytest.fixture
def reference(tmp_path: Path) -> Callable[..., None]:
    """Runs a recipe of the reference pipeline in a directory; skips where it is not installed."""
    if shutil.which("esorex") is None:
        pytest.skip("esorex is not installed")

    def run_reference(recipe: str, frames: list[tuple[Path, str]], *options: str) -> None:
        sof = tmp_path / f"{recipe}.sof"
        sof.write_text(format_sof(frames))
        command = ["esorex", "--log-dir=.", recipe, "--nifu=1", *options, sof.name]
        # On a detector of other height the reference reports QC windows that it misses, and saves its products.
        subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, check=False
        )

    return run_reference


@pytest.mark.esorex
def test_reference_pipeline_agrees_and_takes_our_bias(
    small_inputs: list[tuple[Path, str]], tmp_path: Path, reference: Callable[..., None]
) -> None:
    ours = tmp_path / "ours"
    assert run("muse_flat", small_inputs, ours, nsum=16, samples=True).ok
    reference("muse_flat", small_inputs, "--nsum=16", "--samples=true")
    mine, theirs = read_image(ours / "MASTER_FLAT-01.fits", 1), read_image(tmp_path / "MASTER_FLAT-01.fits", 1)
    # The order of the overscan polynomial may differ where it makes no difference: 0.01 adu of 3000.
    np.testing.assert_allclose(mine.data, theirs.data, rtol=2e-6, atol=4e-6)
    lit = np.abs(theirs.data) > 4e-6
    np.testing.assert_allclose(mine.stat[lit], theirs.stat[lit], rtol=1e-4, atol=1e-9)
    np.testing.assert_array_equal(mine.dq[lit], theirs.dq[lit])
    y = np.arange(1, 601.0)
    own, other = read_trace(ours), read_trace(tmp_path)
    # Where points were rejected the reference gets its list of widths out of step: 1e-3 pix here.
    for s in range(1, 49):
        np.testing.assert_allclose(own.center(s, y), other.center(s, y), atol=1e-4)
        np.testing.assert_allclose(own.left(s, y), other.left(s, y), atol=5e-3)
    for key in ("INPUT1 MEDIAN", "INPUT2 MAX", "MASTER MEAN", "MASTER STDEV", "MASTER INTFLUX"):
        assert mine.header[f"ESO QC FLAT {key}"] == pytest.approx(theirs.header[f"ESO QC FLAT {key}"], rel=3e-6)
