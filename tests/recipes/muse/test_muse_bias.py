"""muse_bias on deterministic frames: values printed here are those of the reference pipeline on the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from core.errors import ParameterError
from core.fitsfile.keywords import get_key
from core.formats.image import read_image
from core.recipes.muse.muse_bias import MuseBias

# port: overscan mean, stdev, NCOEFF, RON, RONERR, MEDIAN, MEAN, STDEV, MIN, MAX, SLOPE.X, SLOPE.Y, LEVEL
REFERENCE = {
    1: (1201.287, 3.271976, 6, 3.16003, 0.1169589, 0.03451462, 0.06051357, 1.7192, -6.596826, 23.63426,
        -4.18267e-4, -2.138417e-4, 1201),
    2: (1211.264, 3.266115, 10, 3.472961, 0.1380399, 0.02706376, 0.01881889, 1.521033, -6.736413, 6.458699,
        6.308985e-6, 1.65198e-4, 1211),
    3: (1192.525, 3.260355, 16, 3.768192, 0.1414359, 0.007732934, -0.2280374, 8.556325, -302.997, 7.137749,
        2.269652e-3, 1.147312e-3, 1193),
    4: (1207.496, 3.20073, 4, 4.107627, 0.1456672, 0.004771833, 0.003551604, 1.522262, -6.7871, 7.113515,
        2.608627e-5, 1.253351e-4, 1208),
}  # fmt: skip
NAMES = ("RON", "RONERR", "MEDIAN", "MEAN", "STDEV", "MIN", "MAX", "SLOPE.X", "SLOPE.Y")


@pytest.fixture
def master(reference_biases, run_one):
    _, paths = reference_biases
    return read_image(run_one("muse_bias", [(path, "BIAS") for path in paths])["MASTER_BIAS"], 1)


def test_master_bias_equals_the_reference(master):
    header = master.header
    for port, (mean, stdev, ncoeff, *values, level) in REFERENCE.items():
        card = f"DRS.MUSE.OVSC{port}"
        # 7 printed digits on both sides
        assert get_key(header, f"{card}.MEAN", float) == pytest.approx(mean, rel=1e-6)
        assert get_key(header, f"{card}.STDEV", float) == pytest.approx(stdev, rel=1e-6)
        assert get_key(header, f"{card}.POLY.NCOEFF", int) == ncoeff
        for name, value in zip(NAMES, values, strict=True):
            # Medians, means and slopes are differences of numbers of order 1: float32 leaves 1e-7 of them.
            tolerance = 1e-8 if "SLOPE" in name else 3e-6
            if port == 3:
                # A polynomial of order 15 in plain powers of the row: the reference loses up to 0.01 adu (at the far
                # end) to rounding, we fit and evaluate it in a scaled basis.
                tolerance = 2e-5 if "SLOPE" in name else 0.007
            found = get_key(header, f"QC.BIAS.MASTER{port}.{name}", float)
            assert found == pytest.approx(value, rel=2e-6, abs=tolerance), (port, name)
        for name, value in (("MEAN", level), ("MEDIAN", level), ("STDEV", 0.0)):
            assert get_key(header, f"QC.BIAS.LEVEL{port}.{name}", float) == value
    assert get_key(header, "QC.BIAS.MASTER.NBADPIX", int) == 499
    assert get_key(header, "QC.BIAS.MASTER.NSATURATED", int) == 0
    assert [get_key(header, f"QC.BIAS.INPUT{i}.NSATURATED", int) for i in range(1, 6)] == [0] * 5
    coefficients = [get_key(header, f"DRS.MUSE.OVSC4.POLY.Y{k}", float) for k in range(4)]
    expected = [1202.25055579252, 0.0130256861953526, -9.66990203155526e-6, 3.92547845223943e-9]
    assert coefficients == pytest.approx(expected, rel=1e-8)


def test_pixels_of_the_master_equal_the_reference(master):
    # x, y (FITS), value, variance, flags; the variance tells how many of the five values were kept
    for x, y, value, variance, flags in (
        (1, 1, -3.506458, 1.9972130, 0),
        (50, 101, 17.790112, 2.4965162, 8192),
        (50, 302, -1.9144359, 1.9972130, 8192),
        (401, 501, -301.20859, 1.9721750, 8192),
        (640, 800, 0.22569165, 2.4652188, 0),
    ):
        tolerance = 0.02 if x > 320 and y > 400 else 1e-5  # port 3, see above
        assert master.data[y - 1, x - 1] == pytest.approx(value, rel=1e-6, abs=tolerance)
        assert master.stat[y - 1, x - 1] == pytest.approx(variance, rel=1e-5 if tolerance > 1e-4 else 1e-6)
        assert master.dq[y - 1, x - 1] == flags
    assert master.unit == "adu"
    # 128 000 pixels of port 3 differ by 0.002 adu in the mean, see above
    assert master.data.sum(dtype=float) == pytest.approx(-18579.6276, abs=0.002 * 128000)
    assert np.count_nonzero(master.dq) == 499


def test_declared_qc_is_what_is_written(master):
    written = {key for key in master.header if key.startswith("ESO QC")}
    declared = {
        spec.key(**dict(zip(spec.indices, (index,) * len(spec.indices), strict=True)))
        for spec in MuseBias.qc
        for index in ((1, 2, 3, 4, 5) if "input" in spec.indices else (1, 2, 3, 4))
    }
    assert written == {"ESO " + key.replace(".", " ") for key in declared}


def test_scan_keywords_and_classification_are_not_in_the_product(master):
    assert not [key for key in master.header if "PRSC" in key or "OVSCX" in key or "DPR" in key]


def test_compressed_frames_give_the_same_pixels(frame_maker, run_one):
    products = []
    for compress in (False, True):
        suffix = ".fits.fz" if compress else ".fits"
        pairs = [(frame_maker.write(f"b{k}{suffix}", k, compress=compress), "BIAS") for k in (1, 2, 3)]
        products.append(read_image(run_one("muse_bias", pairs)["MASTER_BIAS"], 1))
    plain, packed = products
    assert np.array_equal(plain.data, packed.data)
    assert np.array_equal(plain.stat, packed.stat)
    assert not [key for key in packed.header if key.startswith("Z")]


def test_frame_of_another_readout_mode_is_dropped(frame_maker, run_one):
    pairs = [(frame_maker.write(f"b{k}.fits", k), "BIAS") for k in (1, 2, 3)]
    pairs.insert(1, (frame_maker.write("odd.fits", 9, DET_READ_CURID=2), "BIAS"))
    header = fits.getheader(run_one("muse_bias", pairs)["MASTER_BIAS"])
    assert get_key(header, "PRO.DATANCOM", int) == 3
    assert "odd.fits" not in [header[f"ESO PRO REC1 RAW{i} NAME"] for i in (1, 2, 3)]


def test_sizes_of_binned_frames_are_told_in_unbinned_pixels(frame_maker, run_one):
    unbinned = {"NX": 640, "NY": 1200, "PRSCX": 64, "PRSCY": 96, "OVSCX": 64, "OVSCY": 96}
    changes = {f"DET_OUT{port}_{key}": value for port in range(1, 5) for key, value in unbinned.items()}
    binned = [(frame_maker.write(f"b{k}.fits", k, DET_BINX=2, DET_BINY=3, **changes), "BIAS") for k in (1, 2, 3)]
    plain = [(frame_maker.write(f"p{k}.fits", k), "BIAS") for k in (1, 2, 3)]
    images = [read_image(run_one("muse_bias", pairs)["MASTER_BIAS"], 1) for pairs in (binned, plain)]
    assert images[0].data.shape == (800, 640)
    np.testing.assert_array_equal(images[0].data, images[1].data)
    np.testing.assert_array_equal(images[0].dq, images[1].dq)


def test_one_bias_that_is_left_of_three_is_refused_with_the_reason(frame_maker, run_one):
    pairs = [(frame_maker.write(f"b{k}.fits", k, DET_READ_CURID=k), "BIAS") for k in (1, 2, 3)]
    with pytest.raises(AssertionError, match=r"error_type='data', message='one BIAS is left, .* same set-up"):
        run_one("muse_bias", pairs)


def test_saturated_pixels_are_counted_with_the_scan_regions(frame_maker, run_one):
    pairs = []
    for k in (1, 2, 3):
        raw = frame_maker.pixels(k)
        raw[0, 0] = 0  # prescan
        raw[40, 40:44] = (65500, 65501, 65535, 0)
        pairs.append((frame_maker.write(f"b{k}.fits", k, raw=raw), "BIAS"))
    # No column search: columns with such values would be flagged as well.
    product = run_one("muse_bias", pairs, losigmabadpix=1e6, hisigmabadpix=1e6)["MASTER_BIAS"]
    image = read_image(product, 1)
    assert get_key(image.header, "QC.BIAS.INPUT1.NSATURATED", int) == 4
    assert get_key(image.header, "QC.BIAS.MASTER.NSATURATED", int) == 3
    assert list(image.dq[8, 8:12] & 4096) == [0, 4096, 4096, 4096]


@pytest.mark.parametrize("losigma", [30.0, 3.0])
def test_dark_columns_follow_losigma(frame_maker, run_one, losigma):
    extra = np.zeros(frame_maker.detector.trimmed_shape)
    extra[:, 99] = -1.5  # about 8 mean deviations of the column means
    pairs = [(frame_maker.write(f"b{k}.fits", k, extra=extra), "BIAS") for k in (1, 2, 3)]
    image = read_image(run_one("muse_bias", pairs, losigmabadpix=losigma)["MASTER_BIAS"], 1)
    flagged = np.count_nonzero(image.dq[:400, 99])
    assert flagged > 350 if losigma == 3.0 else flagged == 0


@pytest.mark.parametrize("method", ["average", "median", "minmax", "sigclip"])
def test_every_combination_keeps_the_level_and_lowers_the_noise(reference_biases, run_one, method):
    _, paths = reference_biases
    product = run_one("muse_bias", [(path, "BIAS") for path in paths], combine=method)["MASTER_BIAS"]
    image = read_image(product, 1)
    window = image.data[400:, :320]  # port 4, no pattern
    # noise of one frame sqrt(10); the median of five is 1.2 times as noisy as the mean, minmax 1.08 times
    assert window.std() == pytest.approx(np.sqrt(10 / 5), rel=0.25)
    assert abs(window.mean()) < 0.05
    assert np.all(image.stat[400:, :320] > 0)


def test_minmax_that_drops_everything_is_refused(reference_biases, run_one):
    _, paths = reference_biases
    with pytest.raises(ParameterError, match="nlow=3, nhigh=2"):
        run_one("muse_bias", [(path, "BIAS") for path in paths], combine="minmax", nlow=3, nhigh=2)


def test_wrong_values_are_refused_by_name():
    for values, text in (
        ({"overscan": "poly"}, "vpoly"),
        ({"ovscreject": "dcr:1,2,3,4,5"}, "dcr:xbox,ybox,npass,thres"),
        ({"combine": "mean"}, "average, median, minmax, sigclip"),
        ({"ovscsigma": -1}, "> 0"),
        ({"nlow": -1}, ">= 0"),
    ):
        with pytest.raises(ParameterError, match=text) as caught:
            MuseBias.Params.parse(values)
        assert caught.value.context["parameter"] == next(iter(values))
