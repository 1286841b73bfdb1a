"""muse_lsf on simulated arcs of three slices: the true line-spread function is a Gaussian behind slit and pixel."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from astropy.io import fits

from core.errors import ParameterError
from core.formats.lsf import SLICE_PARAM
from core.formats.tables import read_table
from core.recipes.muse.muse_lsf import LsfParameters, MuseLsf
from core.spectral.lsf_cube import LsfImage
from core.spectral.lsf_hermite import HermiteLsf


@pytest.fixture(scope="module")
def pairs(narrow, tmp_path_factory):
    """Set of frames with our own wavelength calibration."""
    result = narrow.run("muse_wavecal", narrow.pairs(), tmp_path_factory.mktemp("wave"))
    return [*narrow.pairs(), (narrow.product(result, "WAVECAL_TABLE"), "WAVECAL_TABLE")]


@pytest.fixture(scope="module")
def measured(narrow, pairs, tmp_path_factory):
    """Products of the default method."""
    return narrow.run("muse_lsf", pairs, tmp_path_factory.mktemp("lsf"), save_subtracted=True)


@pytest.fixture(scope="module")
def hermite(narrow, pairs, tmp_path_factory):
    """Products of the Gauss-Hermite method."""
    return narrow.run("muse_lsf", pairs, tmp_path_factory.mktemp("hermit"), method="hermit", save_subtracted=True)


def true_lsf(narrow, slice_no):
    """Profile of the simulation: Gaussian, slit and pixel."""
    return lambda x, wave: HermiteLsf(
        narrow.truth.optics.slit_width,
        1.24,  # dispersion of the middle; 1.20 .. 1.28 A/pix
        (float(narrow.truth.optics.line_profile_sigma(slice_no, wave)), 0.0, 0.0),
    )(x, wave)


def test_cube_has_the_documented_format(narrow, measured):
    with fits.open(narrow.product(measured, "LSF_PROFILE")) as hdus:
        assert [hdu.name for hdu in hdus] == ["CHAN07", "LSF_PROFILE"]
        assert hdus[1].data.shape == (48, 30, 150)
        header = hdus[1].header
        assert header["CD1_1"] == pytest.approx(0.100671, abs=1e-6)
        assert header["CD2_2"] == pytest.approx(160.3448, abs=1e-4)
        assert (header["CRVAL1"], header["CRVAL2"], header["WCSAXES"]) == (-7.5, 4650.0, 2)
        assert (header["CTYPE1"], header["CTYPE2"]) == ("PARAM", "AWAV")
        filled = hdus[1].data.any(axis=(1, 2))
        assert (np.flatnonzero(filled) + 1).tolist() == list(narrow.slices)


def test_cube_is_the_true_profile(narrow, measured):
    cube = fits.getdata(narrow.product(measured, "LSF_PROFILE"))
    x = np.arange(-6, 6, 0.1)
    for number in narrow.slices:
        image = LsfImage(cube[number - 1].astype(float), -7.5, 15 / 149, 4650.0, 4650 / 29)
        for wave in (5500.0, 7000.0, 8800.0):
            # the peak is 0.33 per Angstrom; parabolas over 1.4 A flatten it
            assert np.abs(image(x, wave) - true_lsf(narrow, number)(x, wave)).max() < 0.02
            wide = image(np.arange(-9, 9, 0.1), wave)
            assert wide.sum() * 0.1 == pytest.approx(1, abs=1e-3)


def test_qc_is_the_width_of_the_cube(narrow, measured):
    path = narrow.product(measured, "LSF_PROFILE")
    header, cube = fits.getheader(path), fits.getdata(path)
    for number in narrow.slices:
        widths = LsfImage(cube[number - 1].astype(float), -7.5, 15 / 149, 4650.0, 4650 / 29).fwhm()
        prefix = f"ESO QC LSF SLICE{number} FWHM "
        assert header[prefix + "MEAN"] == pytest.approx(widths.mean(), rel=1e-5)
        assert header[prefix + "STDEV"] == pytest.approx(widths.std(ddof=1), rel=1e-3)
        assert header[prefix + "MIN"] == pytest.approx(widths.min(), rel=1e-5)
        assert 2.5 < header[prefix + "MEAN"] < 2.9
    written = [card.keyword[4:].replace(" ", ".") for card in header.cards if card.keyword.startswith("ESO QC LSF")]
    assert len(written) == 4 * len(narrow.slices)
    assert all(any(spec.pattern.match(name) for spec in MuseLsf.qc) for name in written)


def test_lines_are_gone_from_the_subtracted_pixels(narrow, measured):
    path = narrow.product(measured, "PIXTABLE_SUBTRACTED")
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == [
            "xpos", "ypos", "lambda", "data", "dq", "stat", "origin", "line_lambda", "line_flux", "line_background",
            "orig",
        ]  # fmt: skip
        columns = {hdu.name: hdu.data[:, 0] for hdu in hdus[1:]}
        primary = hdus[0].header
        assert hdus["stat"].header["BUNIT"] == "count**2"
    left = columns["data"] - columns["line_background"]
    before = columns["orig"] - columns["line_background"]
    assert np.std(left) < 0.1 * np.std(before)
    # where the pixels come from
    origin = columns["origin"].astype(np.int64)
    slices = origin & 63
    assert set(slices.tolist()) == set(narrow.slices)
    assert set(((origin >> 6) & 31).tolist()) == {narrow.ifu}
    offsets = {n: primary[f"ESO DRS MUSE PIXTABLE EXP0 IFU07 SLICE{n} XOFFSET"] for n in narrow.slices}
    x = (origin >> 24) + np.array([offsets[int(number)] for number in slices])
    y = (origin >> 11) & 8191
    for number in narrow.slices:
        mine = slices == number
        true = narrow.truth.wavelength(number, x[mine], y[mine])
        inside = (true > 4780) & (true < 9330)
        assert np.abs(columns["lambda"][mine] - true)[inside].max() < 0.06
    assert primary["ESO DRS MUSE PIXTABLE TYPE"] == "SIMPLE"
    assert primary["ESO DRS MUSE PIXTABLE LIMITS SLICE HIGH"] == max(narrow.slices)
    assert np.abs(columns["lambda"] - columns["line_lambda"]).max() < 8.3


def test_hermite_table_has_the_documented_format(narrow, hermite):
    path = narrow.product(hermite, "LSF_PROFILE")
    with fits.open(path) as hdus:
        assert hdus[1].name == "SLICE_PARAM"
        assert hdus[1].columns.names[5:8] == ["slit_width", "bin_width", "lsf_width"]
        assert hdus[1].columns.formats[7:9] == ["3D", "2D"]
    table = read_table(path, SLICE_PARAM)
    assert table["slice"].tolist() == list(range(1, 49))
    assert set(table["ifu"].tolist()) == {narrow.ifu}


def test_hermite_profile_is_true(narrow, hermite):
    path = narrow.product(hermite, "LSF_PROFILE")
    table, header = read_table(path, SLICE_PARAM), fits.getheader(path)
    x = np.arange(-6, 6, 0.1)
    for number in narrow.slices:
        k = number - 1
        lsf = HermiteLsf(
            *(float(table[name][k]) for name in ("slit_width", "bin_width")),
            *(tuple(table[name][k]) for name in ("lsf_width", "hermit3", "hermit4", "hermit5", "hermit6")),
        )
        for wave in (5500.0, 7000.0, 8800.0):
            assert np.abs(lsf(x, wave) - true_lsf(narrow, number)(x, wave)).max() < 0.02
        assert header[f"ESO QC LSF SLICE{number} FWHM MEAN"] == pytest.approx(lsf.fwhm().mean(), rel=1e-5)


def test_hermite_pixels_are_subtracted(narrow, hermite):
    with fits.open(narrow.product(hermite, "PIXTABLE_SUBTRACTED")) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == [
            "xpos", "ypos", "lambda", "data", "dq", "stat", "origin", "orig",
        ]  # fmt: skip
        assert np.std(hdus["data"].data) < 0.15 * np.std(hdus["orig"].data)


def test_lamps_and_wavelengths_that_are_not_there_are_told(narrow, pairs, tmp_path, caplog):
    one = next(index for index, path in enumerate(narrow.arcs) if fits.getval(path, "ESO INS SHUT5 ST"))
    with caplog.at_level(logging.WARNING):
        narrow.run("muse_lsf", [pairs[one], *pairs[len(narrow.arcs) :]], tmp_path)
    assert "no exposure of lamp Ne, Xe; its lines are not used" in caplog.text
    assert "beyond them their profiles are extrapolated" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        narrow.run("muse_lsf", pairs, tmp_path)
    assert "extrapolated" not in caplog.text
    assert "no exposure of lamp" not in caplog.text


def test_a_window_that_shows_no_width_is_told_and_a_larger_one_refused(narrow, pairs, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        narrow.run("muse_lsf", pairs, tmp_path, lsf_range=1.0)
    assert f"no width can be measured in {len(narrow.slices)} slices" in caplog.text
    with pytest.raises(ParameterError, match=r"lsf_regression_window=8 .* must not be larger than lsf_range \(7.5"):
        narrow.run("muse_lsf", pairs, tmp_path, lsf_regression_window=8.0)


def test_size_and_quality_are_those_asked_for(narrow, pairs, tmp_path):
    result = narrow.run(
        "muse_lsf", pairs, tmp_path, lsf_size=100, lambda_size=20, lsf_range=6.0, line_quality=5,
        lsf_regression_window=0.5, combine="average",
    )  # fmt: skip
    with fits.open(narrow.product(result, "LSF_PROFILE")) as hdus:
        assert hdus[1].data.shape == (48, 20, 100)
        assert hdus[1].header["CRVAL1"] == -6.0
        assert hdus[1].header["CD1_1"] == pytest.approx(12 / 99)
    assert [item.tag for item in result.products] == ["LSF_PROFILE"]


def test_frames_without_lines_fail_with_a_reason(narrow, pairs, tmp_path):
    result = narrow.run("muse_lsf", [(narrow.biases[0], "ARC"), *pairs[3:]], tmp_path)
    assert "no slice has enough arc lines" in result.failures[0].message


def test_long_exposures_for_the_lsf_are_accepted(narrow, pairs, tmp_path):
    renamed = [(path, "ARC_LSF" if tag == "ARC" else tag) for path, tag in pairs]
    result = narrow.run("muse_lsf", renamed, tmp_path)
    header = fits.getheader(narrow.product(result, "LSF_PROFILE"))
    assert header["ESO PRO REC1 RAW1 CATG"] == "ARC_LSF"


@pytest.mark.parametrize(
    ("name", "value", "accepts"),
    [("method", "spline", "interpolate, hermit"), ("line_quality", "7", "<= 5"), ("lsf_range", "0", "> 0")],
)
def test_wrong_values_are_refused_by_name(name, value, accepts):
    with pytest.raises(ParameterError) as caught:
        LsfParameters.parse({name: value})
    assert name in str(caught.value)
    assert accepts in str(caught.value)
