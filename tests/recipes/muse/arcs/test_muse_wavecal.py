"""muse_wavecal on simulated arcs of three slices, against the truth of the simulation."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from core.errors import ParameterError
from core.formats.image import read_image
from core.formats.tables import WAVECAL_RESIDUALS, WAVECAL_TABLE, read_table
from core.recipes.muse.muse_wavecal import MuseWavecal, WavecalParameters
from core.spectral.dispersion import Dispersion

QC = "ESO QC WAVECAL "


@pytest.fixture(scope="module")
def calibrated(narrow, tmp_path_factory):
    """Table and residuals with default parameters."""
    return narrow.run("muse_wavecal", narrow.pairs(), tmp_path_factory.mktemp("out"), residuals=True)


def deviation(narrow, path, low=4780.0, high=9330.0):
    """Difference of a table from the truth, over the slices and wavelengths of the mode [Angstrom]."""
    dispersion = Dispersion.from_columns(read_table(path, WAVECAL_TABLE, narrow.ifu))
    parts = []
    for number in narrow.slices:
        if not dispersion.has(number):
            continue
        y = np.linspace(1, 4112, 300)[:, None]
        x = np.linspace(narrow.truth.trace_left(number, 2056) + 1, narrow.truth.trace_right(number, 2056) - 1, 20)
        true = narrow.truth.wavelength(number, x, y)
        value = dispersion.wavelength(number, x, y)
        parts.append((value - true)[(true > low) & (true < high)])
    return np.concatenate(parts)


def test_solution_is_true(narrow, calibrated):
    difference = deviation(narrow, narrow.product(calibrated, "WAVECAL_TABLE"))
    # blends of real lamps with unlisted lines leave systematic errors of some thousandths of an Angstrom
    assert np.sqrt(np.mean(difference**2)) < 0.008
    assert np.abs(difference).max() < 0.05


def test_table_has_48_rows_and_null_rows_where_there_is_no_slice(narrow, calibrated):
    path = narrow.product(calibrated, "WAVECAL_TABLE")
    with fits.open(path) as hdus:
        assert len(hdus) == 2
        assert hdus[0].header["EXTNAME"] == "CHAN07"
        assert "EXTNAME" not in hdus[1].header
        assert hdus[1].columns.names[0] == "SliceNo"
        assert hdus[1].columns.names[-2:] == ["wlc26", "MSE"]
        assert len(hdus[1].data) == 48
    dispersion = Dispersion.from_columns(read_table(path, WAVECAL_TABLE, narrow.ifu))
    assert dispersion.valid_slices == list(narrow.slices)


def test_qc_of_a_slice(narrow, calibrated):
    header = fits.getheader(narrow.product(calibrated, "WAVECAL_TABLE"))
    for number in narrow.slices:
        s = f"{QC}SLICE{number} "
        assert 80 < header[s + "LINES NID"] <= header[s + "LINES NDET"] < 300
        assert header[s + "LINES PEAK MIN"] < header[s + "LINES PEAK MEAN"] < header[s + "LINES PEAK MAX"]
        assert 2.0 < header[s + "LINES FWHM MEAN"] < 3.0
        assert header[s + "LINES FWHM MAX"] < 4.0  # no fits to noise
        assert 2800 < header[s + "RESOL"] < 3600
        assert header[s + "FIT NLINES"] > 60
        assert header[s + "FIT RMS"] < 0.05
        assert header[s + "WLPOS"] == 2056.5
        true = narrow.truth.wavelength(number, narrow.truth.trace_center(number, 2056.5), 2056.5)
        assert header[s + "WLEN"] == pytest.approx(float(true), abs=0.02)
        for end, y in (("BOTTOM", 1.0), ("TOP", 4112.0)):
            left, right = (edge(number, y) for edge in (narrow.truth.trace_left, narrow.truth.trace_right))
            true = narrow.truth.wavelength(number, left, y) - narrow.truth.wavelength(number, right, y)
            assert header[f"{s}DWLEN {end}"] == pytest.approx(float(true), abs=0.1)  # corners are extrapolated
    assert [header[f"{QC}NSATURATED LAMP{lamp}"] for lamp in (3, 4, 5)] == [0, 0, 0]
    assert {key: header[key] for key in header if key.startswith(f"{QC}INPUT")} == {
        f"{QC}INPUT{number} NSATURATED": 0 for number in (1, 2, 3)
    }
    assert f"{QC}SLICE20 LINES NDET" in header
    assert f"{QC}SLICE20 FIT RMS" not in header


def test_all_written_qc_is_declared(narrow, calibrated):
    header = fits.getheader(narrow.product(calibrated, "WAVECAL_TABLE"))
    written = [card.keyword[4:].replace(" ", ".") for card in header.cards if card.keyword.startswith("ESO QC")]
    assert written
    for keyword in written:
        assert any(spec.pattern.match(keyword) for spec in MuseWavecal.qc), keyword


def test_residuals_are_catalogue_minus_fit(narrow, calibrated):
    table = read_table(narrow.product(calibrated, "WAVECAL_RESIDUALS"), WAVECAL_RESIDUALS, narrow.ifu)
    dispersion = Dispersion.from_columns(
        read_table(narrow.product(calibrated, "WAVECAL_TABLE"), WAVECAL_TABLE, narrow.ifu)
    )
    assert sorted(set(table["slice"].tolist())) == list(narrow.slices)
    for number in narrow.slices:
        mine = table["slice"] == number
        last = mine & (table["iteration"] == table["iteration"][mine].max())
        value = dispersion.wavelength(number, table["x"][last], table["y"][last].astype(float))
        # y and lambda are stored as float32: 2e-4 pix and 5e-4 Angstrom
        assert np.abs(table["lambda"][last] - value - table["residual"][last]).max() < 1.5e-3
        assert len(set(table["rejlimit"][last].tolist())) == 1
        assert (np.diff(table["lambda"][last]) >= 0).all()  # line by line in the order of the catalogue
    assert not any(card.startswith("ESO QC") for card in table.header)


@pytest.mark.parametrize("weighting", ["uniform", "cerr", "scatter"])
def test_other_weightings(narrow, tmp_path, weighting):
    result = narrow.run("muse_wavecal", narrow.pairs(), tmp_path, fitweighting=weighting)
    difference = deviation(narrow, narrow.product(result, "WAVECAL_TABLE"))
    assert np.sqrt(np.mean(difference**2)) < 0.03


def test_orders_are_those_asked_for(narrow, tmp_path):
    result = narrow.run("muse_wavecal", narrow.pairs(), tmp_path, xorder=3, yorder=5, linesigma=3.5, fitsigma=2.5)
    path = narrow.product(result, "WAVECAL_TABLE")
    assert fits.getdata(path, 1).columns.names[-2] == "wlc35"
    assert np.sqrt(np.mean(deviation(narrow, path) ** 2)) < 0.02


def test_missing_lamp_is_survived(narrow, tmp_path):
    result = narrow.run("muse_wavecal", narrow.pairs(narrow.arcs[:1] + narrow.arcs[2:]), tmp_path)  # no Xe
    path = narrow.product(result, "WAVECAL_TABLE")
    assert np.sqrt(np.mean(deviation(narrow, path) ** 2)) < 0.02
    assert f"{QC}NSATURATED LAMP4" not in fits.getheader(path)


def test_images_of_the_solution(narrow, tmp_path):
    result = narrow.run(
        "muse_wavecal", narrow.pairs(), tmp_path, saveimages=True, resample=True, wavemap=True, lampwise=False
    )
    assert not result.failures
    tags = [item.tag for item in result.products]
    assert sorted(set(tags)) == ["ARC_RED", "ARC_RED_LAMP", "ARC_RESAMPLED", "WAVECAL_TABLE", "WAVE_MAP"]
    assert tags.count("ARC_RED_LAMP") == 3
    # One image of all lamps has few lines at the ends, where the noise decides.
    assert np.sqrt(np.mean(deviation(narrow, narrow.product(result, "WAVECAL_TABLE")) ** 2)) < 0.06
    # the sum of the lamps is the sum of the lamps, where nothing is flagged
    lamps = [read_image(item.path, narrow.ifu) for item in result.products if item.tag == "ARC_RED_LAMP"]
    summed = read_image(narrow.product(result, "ARC_RED"), narrow.ifu)
    good = np.all([lamp.dq == 0 for lamp in lamps], axis=0)
    assert good.mean() > 0.5
    np.testing.assert_allclose(summed.data[good], sum(lamp.data for lamp in lamps)[good], rtol=1e-5, atol=1e-2)
    assert summed.header[QC + "LAMP2 INPUT1 NSATURATED"] == 0
    assert lamps[0].header[QC + "INPUT1 NSATURATED"] == 0
    # each pixel of a slice has its wavelength, the others none
    wave = fits.getdata(narrow.product(result, "WAVE_MAP"))
    row = 2000
    left, right = (edge(25, row + 1.0) for edge in (narrow.truth.trace_left, narrow.truth.trace_right))
    x = np.arange(np.ceil(left + 0.01), np.floor(right - 0.01) + 1)
    true = narrow.truth.wavelength(25, x, row + 1.0)
    assert wave[row, x.astype(int) - 1] == pytest.approx(true, abs=0.1)
    assert wave[row, int(left) - 3] == 0
    # in the resampled arc the lines stand at their wavelength
    with fits.open(narrow.product(result, "ARC_RESAMPLED")) as hdus:
        image, header = hdus[1].data, hdus[1].header
        assert (header["CTYPE2"], header["CD2_2"]) == ("AWAV", 1.25)
        spectrum = np.median(image[:, 20:60], axis=1)
        expected = (6929.467 - header["CRVAL2"]) / 1.25
        k = round(expected)
        assert abs(np.argmax(spectrum[k - 5 : k + 6]) - 5 - (expected - k)) <= 1


def test_several_frames_per_lamp_agree_with_one(make_narrow, tmp_path):
    many = make_narrow(tmp_path, n_arc=3)
    assert len(many.arcs) == 9
    result = many.run("muse_wavecal", many.pairs(), tmp_path / "out", saveimages=True)
    assert np.sqrt(np.mean(deviation(many, many.product(result, "WAVECAL_TABLE")) ** 2)) < 0.008
    lamps = [item for item in result.products if item.tag == "ARC_RED_LAMP"]
    assert [item.number for item in lamps] == [1, 2, 3]
    header = fits.getheader(lamps[1].path)
    assert [header[f"ESO PRO REC1 RAW{i} NAME"] for i in (1, 2, 3)] == [path.name for path in many.arcs[3:6]]
    assert header["ESO PRO DATANCOM"] == 3


@pytest.mark.parametrize(
    ("mode", "low", "gap"),
    [("WFM-NOAO-E", 4680.0, None), ("WFM-AO-N", 4780.0, (5805.0, 5966.0)), ("NFM-AO-N", 4780.0, (5780.0, 6050.0))],
)
def test_other_modes_use_the_lines_they_cover(make_narrow, tmp_path, mode, low, gap):
    arcs = make_narrow(tmp_path, mode)
    result = arcs.run("muse_wavecal", arcs.pairs(), tmp_path / "out", residuals=True)
    assert np.sqrt(np.mean(deviation(arcs, arcs.product(result, "WAVECAL_TABLE"), low) ** 2)) < 0.01
    waves = read_table(arcs.product(result, "WAVECAL_RESIDUALS"), WAVECAL_RESIDUALS)["lambda"]
    if mode == "WFM-NOAO-E":
        assert waves.min() < 4700
    else:
        assert waves.min() > 4700
    if mode == "WFM-AO-N":
        assert not ((waves > gap[0]) & (waves < gap[1])).any()


def test_dark_exposures_fail_with_a_reason(narrow, tmp_path):
    result = narrow.run("muse_wavecal", [(narrow.biases[0], "ARC"), *narrow.pairs()[3:]], tmp_path)
    assert result.failures[0].error_type == "wavelength"
    # the first slice of the narrow detector
    assert "no slice has a wavelength solution; slice 24: 0 identified lines are too few" in result.failures[0].message


def test_catalogue_of_another_version_is_refused(narrow, tmp_path):
    other = tmp_path / "lines.fits"
    with fits.open(narrow.catalogue) as hdus:
        hdus[0].header["VERSION"] = 2
        hdus.writeto(other)
    pairs = [(other if tag == "LINE_CATALOG" else path, tag) for path, tag in narrow.pairs()]
    result = narrow.run("muse_wavecal", pairs, tmp_path)
    assert "version 3 is needed" in result.failures[0].message


@pytest.mark.parametrize(
    ("name", "value", "accepts"),
    [
        ("fitweighting", "none", "uniform, cerr, scatter, cerrscatter"),
        ("combine", "mode", "average, median, minmax, sigclip"),
        ("sigma", "-1", "> 0"),
        ("dres", "2", "< 1"),
        ("yorder", "12", "<= 9"),
        ("residuals", "maybe", "true or false"),
    ],
)
def test_wrong_values_are_refused_by_name(name, value, accepts):
    with pytest.raises(ParameterError) as caught:
        WavecalParameters.parse({name: value})
    assert name in str(caught.value)
    assert accepts in str(caught.value)


def test_the_options_of_the_manual_are_for_everybody():
    params = WavecalParameters.parse({"lampwise": "false", "resample": "true", "wavemap": "true"})
    assert params.changed() == {"lampwise": False, "resample": True, "wavemap": True}


def test_parameters_come_in_the_order_of_the_manual():
    assert [info.name for info in WavecalParameters.listing()] == [
        "nifu", "overscan", "ovscreject", "ovscsigma", "ovscignore", "combine", "lampwise", "sigma", "dres",
        "tolerance", "xorder", "yorder", "linesigma", "residuals", "fitsigma", "fitweighting", "saveimages",
        "resample", "wavemap", "merge",
    ]  # fmt: skip
