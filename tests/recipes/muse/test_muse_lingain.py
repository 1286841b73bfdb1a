"""muse_lingain on deterministic frames: values printed here are those of the reference pipeline on the same pixels."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.ccd.geometry import Detector
from core.ccd.photontransfer import (
    BinOptions,
    PairImage,
    PortNoise,
    SampleWindow,
    WindowNoise,
    fit_gain,
    measure_noise,
    measure_pair,
    sample_windows,
    summarise_noise,
)
from core.ccd.trace_model import Trace
from core.errors import ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.image import read_image
from core.formats.merge import merge_products
from core.formats.raw import open_raw
from core.formats.tables import MuseTable, trace_table_format, write_table
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.muse_lingain import LingainParameters
from core.recipes.registry import get_recipe

AMPLITUDES = (2, 4, 8, 16, 24, 32, 48)


def small_trace() -> Trace:
    """48 straight slices of 9.25 pix, 12.25 pix apart."""
    left = np.zeros((48, 2))
    left[:, 0] = 30 + 12.25 * np.arange(48)
    width = np.array([9.25, 0.0])
    return Trace.from_polynomials(range(1, 49), left + width / 2, left, left + width)


def write_trace(path: Path) -> Path:
    """The table of these slices."""
    header = Header()
    header["INSTRUME"] = "MUSE"
    set_key(header, "PRO.CATG", "TRACE_TABLE")
    return write_table(path, trace_table_format(1), MuseTable(small_trace().columns(), header), 1)


def write_flats(maker, amplitudes, name: str) -> list[Path]:
    """Two flats of each amplitude whose noise is the root of the light."""
    pattern, gains = maker.column_pattern(), maker.gains()
    paths = []
    for k, a in enumerate(np.repeat(amplitudes, 2), start=80):
        extra = np.round(10 * a**2 * gains) + a * maker.trimmed_noise(k + 1000) + pattern
        paths.append(maker.write(f"{name}{k}.fits", k, a**2 / 100, extra, DPR_TYPE="LINEARITY,FLAT,DETCHAR"))
    return paths


@pytest.fixture(scope="module")
def linearity(reference_biases, tmp_path_factory):
    """Two biases, two flats of each amplitude, master bias and trace."""
    maker, biases = reference_biases
    folder = tmp_path_factory.mktemp("linearity")
    names = {}
    for k in (71, 72):
        path = maker.write(f"off{k}.fits", k, extra=maker.column_pattern(), DPR_TYPE="BIAS,DETCHECK")
        names[path] = "LINGAIN_LAMP_OFF"
    names |= dict.fromkeys(write_flats(maker, AMPLITUDES, "on"), "LINGAIN_LAMP_ON")
    recipe = get_recipe("muse_bias")
    frames = FrameSet(tuple(Frame(path, "BIAS") for path in biases))
    run_recipe(recipe, frames, recipe.Params.parse({"nifu": 1, "overscan": "none"}), folder)
    names[folder / "MASTER_BIAS-01.fits"] = "MASTER_BIAS"
    names[write_trace(folder / "TRACE_TABLE-01.fits")] = "TRACE_TABLE"
    return list(names.items())


def load_pairs(paths: list[Path], bias_path: Path) -> list[tuple[PairImage, PairImage]]:
    """Frames as the recipe sees them, with the flags of the master bias, two by two."""
    detector = Detector(nx=320, ny=400)
    bias = read_image(bias_path, 1)
    found = []
    for path in paths:
        raw = open_raw(path).channel(1).read_rows(0, detector.raw_shape[0])
        data = np.empty(detector.trimmed_shape, np.float32)
        for port in range(1, 5):
            data[detector.port_window(port)] = raw[detector.raw_window(port)]
        found.append(PairImage(data - bias.data, bias.dq != 0))
    return list(zip(found[::2], found[1::2], strict=True))


@pytest.fixture(scope="module")
def images(linearity):
    """Pairs of frames, the biases first."""
    return load_pairs([path for path, _ in linearity[:-2]], linearity[-2][0])


def gains_as_the_reference(images, clip=3.0, height=50, gap=3, border=10, bins=None):
    """Gains of the ports with the read-out noise of all ports taken together, as the reference does."""
    biases, *flats = images
    windows = sample_windows(small_trace(), Detector(nx=320, ny=400), height=height, gap=gap, border=border)
    port_of = np.array([window.port for window in windows])
    noise = measure_noise(biases, windows)
    usual = [summarise_noise(noise)] * 4
    measured = np.array([measure_pair(pair, windows, noise, usual, clip) for pair in flats])
    options = replace(BinOptions(0.0, 4.9, 0.1, 100.0, 3.0), **(bins or {}))
    fits_ = [fit_gain(*measured[:, :, port_of == port].swapaxes(0, 1).reshape(2, -1), options) for port in range(1, 5)]
    return windows, usual[0], fits_


def gains_of(path: Path) -> list[float]:
    header = fits.getheader(path)
    return [header[f"ESO QC LINGAIN OUT{port} GAIN"] for port in range(1, 5)]


def test_gains_equal_the_reference_if_the_noise_is_that_of_all_ports(images):
    windows, noise, ports = gains_as_the_reference(images)
    assert len(windows) == 736
    assert (windows[0].port, windows[0].rows, windows[0].columns) == (1, slice(0, 50), slice(32, 36))
    assert (windows[-1].port, windows[-1].slice_no) == (4, 23)
    assert (windows[-1].rows, windows[-1].columns) == (slice(750, 800), slice(302, 306))
    assert (noise.median, noise.stdev) == pytest.approx((3.1492328, 0.14452038), rel=1e-7)
    assert [fit.gain for fit in ports] == pytest.approx([1.00431119, 1.12845915, 1.22489458, 1.33047290], rel=1e-8)
    assert [fit.error for fit in ports] == pytest.approx([0.06720739, 0.01156615, 0.009377853, 0.01512217], rel=1e-6)
    assert [fit.low for fit in ports] == pytest.approx([141.2538, 177.8279, 177.8279, 223.8721], rel=1e-6)
    assert [fit.high for fit in ports] == pytest.approx([22387.21, 28183.83, 28183.83, 28183.83], rel=1e-6)
    bins = [0.946735, 1.021936, 1.030786, 1.013271, 1.021503, 1.014343, 1.019310]
    assert ports[0].centres == pytest.approx([141.3, 177.8, 707.9, 2818.4, 5623.4, 11220.2, 22387.2], rel=1e-3)
    assert ports[0].gains == pytest.approx(bins, abs=6e-7)


@pytest.mark.parametrize(
    ("options", "gains"),
    [
        ({"clip": 0.0}, (0.979944, 1.111462, 1.206353, 1.311389)),
        ({"border": 40, "height": 64, "gap": 2}, (1.020990, 1.120310, 1.221777, 1.329694)),
        ({"bins": {"gain_limit": 1000.0}}, (1.015599, 1.132533, 1.223082, 1.327857)),
        ({"bins": {"width": 0.2, "sigma": 1.0}}, (1.007112, 1.124268, 1.221415, 1.320776)),
    ],
)
def test_options_change_the_gains_as_in_the_reference(images, options, gains):
    found = gains_as_the_reference(images, **options)[2]
    assert [fit.gain for fit in found] == pytest.approx(gains, abs=6e-7)


def test_three_bins_are_needed(images, linearity, reference_biases):
    flats = load_pairs(write_flats(reference_biases[0], (4, 8), "few"), linearity[-2][0])
    first, *others = gains_as_the_reference([images[0], *flats])[2]
    assert first.gain == pytest.approx(0.962433, abs=6e-7)
    assert others == [None, None, None]


def test_the_product_is_a_header_with_the_gains(linearity, run_one):
    path = run_one("muse_lingain", linearity)["NONLINEARITY_GAIN"]
    with fits.open(path) as hdus:
        assert len(hdus) == 1
        header = hdus[0].header
    assert header["NAXIS"] == 0
    assert header["EXTNAME"] == "CHAN01"
    assert not [key for key in header if "NONLIN1" in key or "OVSC" in key or "PRSC" in key]
    expected = {
        "RON": (3.1519598, 3.5394229, 3.8629415, 4.1646096),
        "RON MEDIAN": (3.1670892, 3.5483476, 3.8533003, 4.1891754),
        "RON MAD": (0.1079077, 0.1017428, 0.1159653, 0.1451167),
        "GAIN": (1.00431119, 1.12845915, 1.22489458, 1.33047290),
    }
    for name, values in expected.items():
        found = [header[f"ESO QC LINGAIN OUT{port} {name}"] for port in range(1, 5)]
        # The read-out noise of each port by itself changes the gains by that much.
        assert found == pytest.approx(values, rel=1.2e-4), name
    errors = [header[f"ESO QC LINGAIN OUT{port} RONERR"] for port in range(1, 5)]
    assert errors == pytest.approx([0.2112283, 0.03843258, 0.03266532, 0.04963519], rel=0.01)
    for port in range(1, 5):
        gain = header[f"ESO QC LINGAIN OUT{port} GAIN"]
        assert header[f"ESO DET OUT{port} GAIN"] == gain
        assert header[f"ESO DET OUT{port} CONAD"] == header[f"ESO QC LINGAIN OUT{port} CONAD"] == 1 / gain
        assert header[f"ESO DET OUT{port} RON"] == 3.2
    merged = merge_products([path], path.with_name("NONLINEARITY_GAIN.fits"))
    with fits.open(merged) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "CHAN01"]
        assert hdus[1].header["NAXIS"] == 0
        assert hdus[1].header["ESO QC LINGAIN OUT4 GAIN"] == header["ESO QC LINGAIN OUT4 GAIN"]
        assert "ESO QC LINGAIN OUT4 GAIN" not in hdus[0].header


def test_frames_that_do_not_serve_are_told(linearity, run_one, caplog):
    few = linearity[:10] + linearity[-2:]  # a = 2, 4, 8, 16
    flats = few[2:10]
    chosen = [flats[0], *flats[2:6], flats[7]]
    with caplog.at_level(logging.WARNING):
        path = run_one("muse_lingain", [*few[:2], *chosen, *few[-2:]])["NONLINEARITY_GAIN"]
    assert "on80.fits is not used: no other flat has 0.04 s" in caplog.text
    assert "on87.fits is not used: no other flat has 2.56 s" in caplog.text
    assert "the gain of port 2 could not be measured: that of the raw frames is kept" in caplog.text
    header = fits.getheader(path)
    assert header["ESO DET OUT1 GAIN"] == pytest.approx(0.968578, rel=3e-4)  # of the reference, from a = 4, 8 alone
    assert header["ESO DET OUT2 GAIN"] == 1.1
    assert "ESO QC LINGAIN OUT2 GAIN" not in header


def test_pairs_of_different_flux_are_left_out(linearity, run_one, caplog):
    with caplog.at_level(logging.WARNING):
        path = run_one("muse_lingain", linearity, fluxtol=1e-4)["NONLINEARITY_GAIN"]
    assert caplog.text.count("differ by more than fluxtol") == 2
    assert gains_of(path) == pytest.approx([1.021972, 1.129323, 1.225470, 1.333701], rel=1.2e-4)


def test_a_window_that_is_far_too_noisy_gives_no_value():
    window = SampleWindow(1, 1, slice(0, 10), slice(0, 10))
    light = PairImage(np.full((10, 10), 1000, np.float32), np.zeros((10, 10), bool))
    noisy = WindowNoise(np.array([9.0]), np.array([0.1]))
    usual = [PortNoise(3.0, 0.1, 3.0, 0.1, 0.1)] * 4
    assert np.isnan(measure_pair((light, light), [window], noisy, usual, 3.0)[1]).all()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"ybox": 0}, "ybox"),
        ({"signalmin": 4.85}, "signalmax=4.9 is less than a bin above signalmin=4.85"),
        ({"ctsmax": 3.0}, "ctsmax=3 is less than a bin above ctsmin=3"),
        ({"linearmin": 3.0}, "linearmax=3 is not above linearmin=3"),
    ],
)
def test_ranges_that_hold_nothing_are_refused(values, text):
    with pytest.raises(ParameterError, match=text):
        LingainParameters.parse(values)
