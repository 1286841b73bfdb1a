"""Basic processing against plain numpy: the chain of one frame, the checks, and what the products carry."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.ccd.combine import CombineOptions
from core.errors import (
    BadFitsError,
    CalibrationMismatchError,
    ChipNotLiveError,
    DataError,
    MissingInputError,
    ParameterError,
)
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.formats.image import MuseImage, write_image
from core.formats.merge import merge_products
from core.formats.tables import BADPIX_TABLE, MuseTable, write_table
from core.recipes.flow import RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse import basic
from core.recipes.muse.basic import combine_frames, prepare
from core.recipes.muse.parameters import CombineParameters


@pytest.fixture
def context():
    return RecipeContext(logging.LoggerAdapter(logging.getLogger("test.basic"), {}), lambda fraction, text: None)


@pytest.fixture
def maker(frame_maker):
    """Small ports of 64 x 48 pix."""
    return type(frame_maker)(frame_maker.folder, nx=64, ny=48)


def master(maker, tag, seed, level, scatter, *, unit="count", exptime=0.0, dq=None, **changes):
    """A made-up master calibration of IFU 1."""
    rng = np.random.default_rng(seed)
    shape = maker.detector.trimmed_shape
    primary, channel = maker.headers(exptime, **changes)
    header = Header()
    for part in (primary, channel):
        header.extend(part.cards)
    for port in range(1, 5):
        set_key(header, f"DRS.MUSE.OVSC{port}.MEAN", (1200.0, 1210.0, 1190.0, 1205.0)[port - 1])
        set_key(header, f"DRS.MUSE.OVSC{port}.STDEV", 3.2)
    set_key(header, "QC.FLAT.MASTER.INTFLUX", 1.5e9)
    image = MuseImage(
        rng.normal(level, scatter, shape).astype(np.float32),
        np.zeros(shape, np.int32) if dq is None else dq,
        rng.uniform(0.5, 1.5, shape).astype(np.float32) * np.float32(max(scatter, 1e-4) ** 2),
        header,
        unit,
    )
    path = maker.folder / f"{tag}.fits"
    write_image(path, image, 1)
    return Frame(path, tag), image


def frame_set(raws, tag, *calibs):
    return FrameSet((*(Frame(Path(path), tag) for path in raws), *calibs))


def ports(detector, values):
    """Image with one value per port."""
    image = np.empty(detector.trimmed_shape)
    for port in range(1, 5):
        image[detector.port_window(port)] = values[port - 1]
    return image


def trimmed(maker, raw):
    image = np.empty(maker.detector.trimmed_shape)
    for port in range(1, 5):
        image[maker.detector.port_window(port)] = raw[maker.detector.raw_window(port)]
    return image


def test_chain_of_one_frame_equals_its_numpy_twin(maker, context):
    dq_bias = np.zeros(maker.detector.trimmed_shape, np.int32)
    dq_bias[5, 6] = 8192
    bias_frame, bias = master(maker, "MASTER_BIAS", 1, 1200, 1.0, unit="adu", dq=dq_bias)
    dark_frame, dark = master(maker, "MASTER_DARK", 2, 30, 2.0, exptime=3600.0)
    flat_frame, flat = master(maker, "MASTER_FLAT", 3, 1.0, 0.1)
    flat.data[9, 9] = 0
    write_image(flat_frame.path, flat, 1)
    raw = maker.pixels(4, extra=2000)
    raw[40 + 32, 32 + 10] = 65535
    path = maker.write("flat.fits", 4, 1200.0, raw=raw)
    # overscan=offset leaves the polynomial out and has its own variance term
    params = CombineParameters(overscan="offset")
    stack = prepare(1, frame_set([path], "TEST", bias_frame, dark_frame, flat_frame), ["TEST"], params, context)
    result = combine_frames(stack, CombineOptions(), context)

    gain = ports(maker.detector, maker.detector.gain)
    measured = [item.mean for item in stack.frames[0].overscan.levels]
    assert measured == pytest.approx([1200.0, 1210.0, 1190.0, 1205.0])  # the card becomes that of the bias
    shift = ports(maker.detector, stack.frames[0].overscan.shifts)
    extra = ports(maker.detector, stack.frames[0].overscan.shift_variances)
    data = trimmed(maker, raw)
    stat = np.maximum((data - bias.data) / gain, np.finfo(np.float32).tiny) + extra
    data = (data + shift - bias.data) * gain
    stat = (stat + bias.stat) * gain**2
    data -= dark.data / 3
    stat += dark.stat / 9
    divisor = np.where(flat.data == 0, 1, flat.data).astype(float)
    stat = (stat + data**2 * flat.stat / divisor**2) / divisor**2
    data /= divisor
    # float32 between ten operations on numbers of 3000
    assert np.allclose(result.image.data, data, rtol=2e-6, atol=2e-3)
    assert np.allclose(result.image.stat, stat, rtol=2e-6)
    assert result.image.dq[40, 10] == 4096
    assert result.image.dq[5, 6] == 8192
    assert np.count_nonzero(result.image.dq) == 2
    assert result.n_saturated == (1,)
    assert result.image.unit == "count"
    assert get_key(result.image.header, "DRS.MUSE.FLAT.FLUX.LAMP", float) == 1.5e9
    assert [frame.tag for frame in result.calibs] == ["MASTER_BIAS", "MASTER_DARK", "MASTER_FLAT"]


def test_vpoly_takes_level_and_slope_off(maker, context):
    bias_frame, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    slope = np.arange(maker.detector.raw_shape[0])[:, None] * 0.2
    raw = (maker.pixels(5) + slope).round().astype(np.uint16)
    path = maker.write("a.fits", 5, 10.0, raw=raw)
    stack = prepare(1, frame_set([path], "TEST", bias_frame), ["TEST"], CombineParameters(overscan="vpoly:3"), context)
    image = combine_frames(stack, CombineOptions(), context).image
    rows = (image.data / ports(maker.detector, maker.detector.gain)).mean(axis=1)
    # 128 pixels of noise 3.2 per row; 29 x 77 overscan pixels fix the curve to about 0.15 adu
    assert np.abs(rows).max() < 4 * 3.2 / np.sqrt(128) + 0.5
    assert get_key(image.header, "DRS.MUSE.OVSC1.POLY.NCOEFF", int) == len(stack.frames[0].polynomials[0].coefficients)


def test_statistics_of_each_input_are_exact(maker, context):
    bias_frame, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    paths = [maker.write(f"f{k}.fits", k, 10.0 * k, extra=3000 * k) for k in (1, 2, 3)]
    frames = frame_set(paths, "FLAT", bias_frame)
    params = CombineParameters()
    stack = prepare(1, frames, ["FLAT"], params, context)
    result = combine_frames(stack, CombineOptions(), context, scale=True, statistics=True)
    for index in range(3):
        single = combine_frames(stack, CombineOptions(), context, select=[index]).image.data
        single = single * np.float32(1 / (index + 1))
        found = result.statistics[index]
        assert found.median == pytest.approx(float(np.median(single.astype(float))), rel=1e-7)
        assert found.mean == pytest.approx(single.mean(dtype=float), rel=1e-7)
        assert found.stdev == pytest.approx(single.std(dtype=float, ddof=1), rel=1e-6)
        assert (found.minimum, found.maximum) == pytest.approx((single.min(), single.max()), rel=1e-7)
        assert found.count == single.size


def test_median_is_found_even_if_the_sampled_rows_mislead(maker, context, monkeypatch):
    bias_frame, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    extra = np.zeros(maker.detector.trimmed_shape)
    extra[::2] = 5000  # half of the rows is bright, all sampled ones are dark or all are bright
    path = maker.write("f.fits", 1, 10.0, extra=extra)
    monkeypatch.setattr(basic, "_SAMPLED_ROWS", 2)
    stack = prepare(1, frame_set([path], "FLAT", bias_frame), ["FLAT"], CombineParameters(), context)
    result = combine_frames(stack, CombineOptions(), context, statistics=True)
    assert result.statistics[0].median == float(np.median(result.image.data.astype(float)))


@pytest.mark.parametrize("light", [0, 400, 30000])
def test_raw_medians_are_exact_however_far_from_the_overscan(maker, context, light):
    biases = [maker.write(f"bias{k}.fits", k, extra=light) for k in (1, 2, 3)]
    params = CombineParameters.parse({"ovscsigma": 1e9})
    stack = prepare(1, frame_set(biases, "BIAS"), ("BIAS",), params, context)
    combined = combine_frames(stack, params.combine_options, context)
    for path, medians in zip(biases, combined.raw_medians, strict=True):
        raw = fits.getdata(path, "CHAN01")
        assert list(medians) == [np.median(raw[maker.detector.raw_window(port)]) for port in range(1, 5)]


def test_gains_are_checked_with_the_photon_noise_of_two_flats(maker, context, caplog):
    bias_frame, image = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    for port in range(1, 5):
        set_key(image.header, f"QC.BIAS.MASTER{port}.MEAN", 0.0)
        set_key(image.header, f"QC.BIAS.MASTER{port}.RON", 3.2)
    write_image(bias_frame.path, image, 1)
    gain = ports(maker.detector, maker.detector.gain)
    wrong = np.where(ports(maker.detector, (1, 2, 3, 4)) == 2, 0.5, 1.0)  # port 2 has half of the header's gain
    paths = []
    for k in (1, 2, 3):
        photons = np.random.default_rng(k).poisson(20000 * gain * wrong) / (gain * wrong)
        paths.append(maker.write(f"f{k}.fits", k, 10.0, extra=photons.round()))
    stack = prepare(1, frame_set(paths, "FLAT", bias_frame), ["FLAT"], CombineParameters(), context)
    with caplog.at_level(logging.INFO):
        combine_frames(stack, CombineOptions(), context)
    told = [record for record in caplog.records if "from two flats" in record.message]
    assert [record.levelname for record in told] == ["INFO", "WARNING", "INFO", "INFO"]
    # 2000 differences per port: the variance is known to 3 %
    for record, expected in zip(told, (1.0, 0.55, 1.2, 1.3), strict=True):
        assert record.args[1] == pytest.approx(expected, rel=0.12)


def test_groups_of_frames_are_combined_apart(maker, context):
    bias_frame, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    paths = [maker.write(f"a{k}.fits", k, 10.0, extra=1000 * (k % 2)) for k in range(1, 6)]
    stack = prepare(1, frame_set(paths, "ARC", bias_frame), ["ARC"], CombineParameters(), context)
    odd = combine_frames(stack, CombineOptions("average"), context, select=[0, 2, 4])
    even = combine_frames(stack, CombineOptions("average"), context, select=[1, 3])
    assert [frame.path.name for frame in even.raws] == ["a2.fits", "a4.fits"]
    gain = np.mean(maker.detector.gain)
    assert odd.image.data.mean() == pytest.approx(1000 * gain, rel=0.01)
    assert abs(even.image.data.mean()) < 5
    with pytest.raises(ParameterError, match="at least 3"):
        combine_frames(stack, CombineOptions("sigclip"), context, select=[0, 1])


def test_scaling_to_the_first_exposure_time(maker, context):
    bias_frame, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    paths = [maker.write(f"d{k}.fits", k, 100.0 * k, extra=1000 * k) for k in (2, 1, 4)]
    stack = prepare(1, frame_set(paths, "DARK", bias_frame), ["DARK"], CombineParameters(), context)
    scaled = combine_frames(stack, CombineOptions("average"), context, scale=True)
    gain = ports(maker.detector, maker.detector.gain)
    # 2000 adu of the first frame; noise 3.2 adu, and 0.7 adu from the fits of short overscans
    assert np.median(scaled.image.data / gain) == pytest.approx(2000, abs=3)
    assert scaled.exptime == 200


def test_frames_without_exposure_time_are_not_scaled_and_told(maker, context, caplog):
    bias_frame, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    dark_frame, _ = master(maker, "MASTER_DARK", 2, 0, 1.0, EXPTIME=None)
    paths = [maker.write("a.fits", 1, 100.0), maker.write("none.fits", 2, EXPTIME=None)]
    with caplog.at_level(logging.WARNING):
        stack = prepare(1, frame_set(paths, "FLAT", bias_frame, dark_frame), ["FLAT"], CombineParameters(), context)
        combine_frames(stack, CombineOptions("average"), context, scale=True)
    assert "no EXPTIME in none.fits: the frames are not scaled" in caplog.text
    assert "MASTER_DARK.fits has no EXPTIME: it is taken as a dark of 1 s" in caplog.text


def test_gains_and_nonlinearity_of_a_table(maker, context, monkeypatch):
    bias_frame, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    header = Header()
    limits = (2.0, 3.5)
    for port in range(1, 5):
        set_key(header, f"DET.OUT{port}.GAIN", 2.0 * port)
        for name, value in (("ORDER", 2), ("COEFF0", 0.02), ("COEFF1", -0.01), ("COEFF2", 0.002)):
            set_key(header, f"DRS.MUSE.NONLIN{port}.POLY.{name}", value)
        set_key(header, f"DRS.MUSE.NONLIN{port}.POLY.LOLIMIT", limits[0])
        set_key(header, f"DRS.MUSE.NONLIN{port}.POLY.HILIMIT", limits[1])
    table = maker.folder / "nonlinearity.fits"
    fits.HDUList(
        [fits.PrimaryHDU(), fits.ImageHDU(header=fits.Header.fromstring(header.to_bytes()), name="CHAN01")]
    ).writeto(table)
    levels = np.zeros(maker.detector.trimmed_shape)
    levels[:, ::2] = 20000  # above the upper limit
    levels[10:20, ::2] = 1000  # inside
    path = maker.write("f.fits", 1, 10.0, extra=levels)
    linear = Frame(table, "NONLINEARITY_GAIN")

    def image(tag, *calibs):
        stack = prepare(1, frame_set([path], tag, bias_frame, *calibs), [tag], CombineParameters(), context)
        return combine_frames(stack, CombineOptions(), context).image

    plain = image("FLAT")
    corrected = image("FLAT", linear)
    ratio = ports(maker.detector, [2.0 * port / gain for port, gain in enumerate(maker.detector.gain, start=1)])
    adu = plain.data / ports(maker.detector, maker.detector.gain)
    t = np.log10(np.maximum(adu, 1e-9))
    at = np.clip(t, *limits)
    p = 0.02 - 0.01 * at + 0.002 * at**2 + (-0.01 + 0.004 * at) * (t - at)
    factor = np.where(adu > 0, 1 / (1 + p), 1)
    assert np.allclose(corrected.data, plain.data * ratio * factor, rtol=1e-6, atol=1e-4)
    # photon noise: the variance in adu^2 is made with the same gain; the bias adds 1e-6
    assert np.allclose(corrected.stat, plain.stat * ratio * factor**2, rtol=2e-6, atol=1e-3)
    # Darks get the gains only; switches turn off either.
    dark = image("DARK", linear)
    assert np.allclose(dark.data, plain.data * ratio, rtol=1e-6, atol=1e-4)
    monkeypatch.setenv("MUSE_BASICPROC_SKIP_NONLIN_CORR", "1")
    assert np.array_equal(image("FLAT", linear).data, dark.data)
    monkeypatch.setenv("MUSE_BASICPROC_SKIP_GAIN_OVERRIDE", "1")
    assert np.array_equal(image("FLAT", linear).data, plain.data)
    monkeypatch.delenv("MUSE_BASICPROC_SKIP_GAIN_OVERRIDE")
    monkeypatch.delenv("MUSE_BASICPROC_SKIP_NONLIN_CORR")
    with fits.open(table, mode="update") as hdus:  # as muse_lingain writes it
        del hdus["CHAN01"].header["ESO DRS MUSE NONLIN*"]
    assert np.array_equal(image("FLAT", linear).data, dark.data)
    with fits.open(table, mode="update") as hdus:
        hdus["CHAN01"].header["ESO DET OUT2 GAIN"] = 0.0
    with pytest.raises(DataError, match="port 2 has a gain of 0 count/adu"):
        image("FLAT", linear)


# -- bad pixels --------------------------------------------------------------------------------------------------------
def badpix(maker, name, rows, ifu=1):
    x, y, status = (np.array(column, np.int32) for column in zip(*rows, strict=True))
    columns = {"xpos": x, "ypos": y, "status": status, "value": np.zeros(x.size, np.float32)}
    return Frame(write_table(maker.folder / name, BADPIX_TABLE, MuseTable(columns), ifu), "BADPIX_TABLE")


def test_bad_pixel_tables_are_in_raw_coordinates_and_add_up(maker, context, caplog):
    bias_frame, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    path = maker.write("a.fits", 1, 10.0)
    nx, ny = maker.detector.nx, maker.detector.ny
    first = badpix(maker, "t1.fits", [(33, 33, 256), (33 + nx + 64, 33, 512), (9999, 1, 256)])
    second = badpix(maker, "t2.fits", [(33, 33, 8192), (33 + nx + 64, 33 + ny + 64, 64)])
    other = badpix(maker, "t3.fits", [(40, 40, 256)], ifu=7)
    frames = frame_set([path], "TEST", bias_frame, first, second, other)
    with caplog.at_level(logging.WARNING):
        stack = prepare(1, frames, ["TEST"], CombineParameters(), context)
    assert "1 entries of t1.fits lie outside" in caplog.text
    image = combine_frames(stack, CombineOptions(), context).image
    assert (image.dq[0, 0], image.dq[0, nx], image.dq[ny, nx]) == (256 | 8192, 512, 64)
    assert np.count_nonzero(image.dq) == 3
    assert [frame.path.name for frame in stack.calibs] == ["MASTER_BIAS.fits", "t1.fits", "t2.fits"]


def test_bad_pixel_tables_of_nothing_that_is_reduced_are_told(maker, context, caplog):
    bias_frame, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    path = maker.write("a.fits", 1, 10.0)
    other = badpix(maker, "t7.fits", [(40, 40, 256)], ifu=7)
    with caplog.at_level(logging.WARNING):
        prepare(1, frame_set([path], "TEST", bias_frame, other), ["TEST"], CombineParameters(), context)
    assert "no table of IFU 1 in t7.fits" in caplog.text
    wrong = Frame(bias_frame.path, "BADPIX_TABLE")
    with pytest.raises(BadFitsError, match="the file is no BADPIX_TABLE: it holds no binary table"):
        prepare(1, frame_set([path], "TEST", bias_frame, wrong), ["TEST"], CombineParameters(), context)


def test_bad_overscan_pixels_do_not_count(maker, context):
    bias_frame, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    raw = maker.pixels(1)
    rows, cols = maker.detector.overscan_windows(1)[1]
    raw[rows, cols.start + 10] += 3000
    path = maker.write("a.fits", 1, 10.0, raw=raw)
    table = badpix(maker, "t.fits", [(cols.start + 11, y + 1, 256) for y in range(rows.start, rows.stop)])
    params = CombineParameters(ovscreject="none")
    levels = [
        prepare(1, frame_set([path], "TEST", bias_frame, *tables), ["TEST"], params, context).frames[0].levels[0].mean
        for tables in ((), (table,))
    ]
    assert levels[0] > 1230
    assert levels[1] == pytest.approx(1200, abs=1)


# -- checks ------------------------------------------------------------------------------------------------------------
def test_overscan_none_stops_at_discrepant_biases(maker, context):
    paths = [maker.write(f"b{k}.fits", k) for k in (1, 2, 3)]
    raw = maker.pixels(4)
    raw[maker.detector.quarter(2)] += 40
    odd = maker.write("odd.fits", 4, raw=raw)
    params = CombineParameters(overscan="none", ovscsigma=5.0)
    told = r"the overscan of odd.fits \(port 2: 12\d\d.* adu\) deviates from that of b1.fits \(port 2: 12.* adu\)"
    with pytest.raises(DataError, match=told):
        prepare(1, frame_set([*paths, odd], "BIAS"), ["BIAS"], params, context)
    stack = prepare(1, frame_set(paths, "BIAS"), ["BIAS"], params, context)
    first, *others = (item.overscan.levels[0] for item in stack.frames)
    assert first.mean == pytest.approx(1200, abs=0.5)
    assert first.stdev < others[0].stdev  # the common level of three frames


def test_overscan_offset_brings_biases_to_the_first(maker, context):
    raws = [maker.pixels(k) for k in (1, 2, 3)]
    for k, raw in enumerate(raws):
        raw += np.uint16(50 * k)
    paths = [maker.write(f"b{k}.fits", k, raw=raw) for k, raw in enumerate(raws)]
    stack = prepare(1, frame_set(paths, "BIAS"), ["BIAS"], CombineParameters(overscan="offset"), context)
    singles = [combine_frames(stack, CombineOptions(), context, select=[k]).image.data for k in range(3)]
    # noise of 3.2 adu in 12288 pixels, and in 5000 overscan pixels: 0.05 adu each
    assert [float(image.mean()) for image in singles] == pytest.approx([float(singles[0].mean())] * 3, abs=0.3)


def test_frames_of_another_mode_are_left_out_where_there_is_light(maker, context, caplog, monkeypatch):
    bias_frame, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    paths = [maker.write("a.fits", 1, 10.0), maker.write("nfm.fits", 2, 10.0, INS_MODE="NFM-AO-N")]

    def used(tag):
        stack = prepare(1, frame_set(paths, tag, bias_frame), [tag], CombineParameters(), context)
        return [item.frame.path.name for item in stack.frames]

    with caplog.at_level(logging.WARNING):
        assert used("FLAT") == ["a.fits"]
    assert "instrument mode NFM-AO-N instead of WFM-NOAO-N (INS.MODE)" in caplog.text
    assert used("DARK") == ["a.fits", "nfm.fits"]
    monkeypatch.setenv("MUSE_DEBUG_IGNORE_INSMODE", "1")
    assert used("FLAT") == ["a.fits", "nfm.fits"]


def test_master_of_another_setup(maker, context, caplog):
    path = maker.write("a.fits", 1, 10.0)
    good, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    for changes, key in (
        ({"DET_READ_CURID": 2}, "DET.READ.CURID"),
        ({"DET_BINX": 2}, "DET.BINX"),
        ({"DET_CHIP_ID": "egeria"}, "DET.CHIP.ID"),
    ):
        odd, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu", **changes)
        with pytest.raises(CalibrationMismatchError) as caught:
            prepare(1, frame_set([path], "TEST", odd), ["TEST"], CombineParameters(), context)
        assert caught.value.context["keyword"] == key
    good, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    odd_dark, _ = master(maker, "MASTER_DARK", 1, 0, 1.0, exptime=10.0, DET_READ_CURID=2)
    with caplog.at_level(logging.WARNING):
        prepare(1, frame_set([path], "TEST", good, odd_dark), ["TEST"], CombineParameters(), context)
    assert "read-out mode" in caplog.text
    odd_flat, _ = master(maker, "MASTER_FLAT", 1, 1, 0.1, INS_MODE="NFM-AO-N")
    with pytest.raises(CalibrationMismatchError, match="NFM-AO-N"):
        prepare(1, frame_set([path], "TEST", good, odd_flat), ["TEST"], CombineParameters(), context)
    prepare(1, frame_set([path], "ILLUM", good, odd_flat), ["ILLUM"], CombineParameters(), context)


def test_switches_of_the_environment(maker, context, monkeypatch):
    path = maker.write("a.fits", 1, 10.0)
    odd, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu", DET_READ_CURID=2)
    flat, _ = master(maker, "MASTER_FLAT", 1, 1, 0.1, INS_MODE="NFM-AO-N")
    monkeypatch.setenv("MUSE_DEBUG_IGNORE_READOUT", "1")
    monkeypatch.setenv("MUSE_DEBUG_IGNORE_INSMODE", "1")
    stack = prepare(1, frame_set([path], "TEST", odd, flat), ["TEST"], CombineParameters(), context)
    assert stack.masters.flat is not None


def test_very_different_level_is_fatal_with_vpoly_and_told_with_none(maker, context, caplog):
    bias_frame, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    path = maker.write("a.fits", 1, 10.0, raw=maker.pixels(1) + np.uint16(400))  # 125 times the scatter
    with pytest.raises(CalibrationMismatchError, match="100 sigma"):
        prepare(1, frame_set([path], "TEST", bias_frame), ["TEST"], CombineParameters(), context)
    with caplog.at_level(logging.WARNING):
        prepare(1, frame_set([path], "TEST", bias_frame), ["TEST"], CombineParameters(overscan="none"), context)
    assert caplog.text.count("the overscan of a.fits (port 1: ") == 1
    assert caplog.text.count("port 4: ") == 2


def test_other_overscan_parameters_than_the_bias_are_told(maker, context, caplog):
    frame, image = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    for number, (name, value) in enumerate((("overscan", "vpoly:5"), ("ovscsigma", "30"), ("ovscignore", "3")), 1):
        set_key(image.header, f"PRO.REC1.PARAM{number}.NAME", name)
        set_key(image.header, f"PRO.REC1.PARAM{number}.VALUE", value)
    write_image(frame.path, image, 1)
    path = maker.write("a.fits", 1, 10.0)
    for params, expected in (
        (CombineParameters(), 0),  # "vpoly" is the beginning of "vpoly:5"
        (CombineParameters(overscan="vpoly:6"), 1),
        (CombineParameters(overscan="vpoly:5", ovscsigma=20.0, ovscignore=4), 2),
    ):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            prepare(1, frame_set([path], "TEST", frame), ["TEST"], params, context)
        assert caplog.text.count("was made with") == expected
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        params = CombineParameters(overscan="offset")
        prepare(1, frame_set([path], "TEST", frame), ["TEST"], params, context)
    assert "made with overscan=vpoly:5: the level of the overscan is subtracted twice or not at all" in caplog.text


def test_a_second_master_of_the_ifu_is_told(maker, context, caplog):
    path = maker.write("a.fits", 1, 10.0)
    first, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    second = Frame(maker.folder / "other.fits", "MASTER_BIAS")
    second.path.write_bytes(first.path.read_bytes())
    with caplog.at_level(logging.WARNING):
        stack = prepare(1, frame_set([path], "TEST", first, second), ["TEST"], CombineParameters(), context)
    assert f"several MASTER_BIAS hold IFU 1: {first.path.name} is used, not other.fits" in caplog.text
    assert [frame.path for frame in stack.masters.frames] == [first.path]


def test_saturated_overscan_and_impossible_gains_are_named(maker, context):
    bias_frame, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    raw = maker.pixels(1)
    raw[: raw.shape[0] // 2, raw.shape[1] // 2 :] = 65535
    path = maker.write("full.fits", 1, 10.0, raw=raw)
    with pytest.raises(DataError, match=r"port 2: the overscan has no good pixels .*full\.fits"):
        prepare(1, frame_set([path], "TEST", bias_frame), ["TEST"], CombineParameters(), context)
    path = maker.write("gain.fits", 1, 10.0, DET_OUT3_GAIN=0.0)
    with pytest.raises(DataError, match=r"port 3 has a gain of 0 count/adu .*DET\.OUT3\.GAIN"):
        prepare(1, frame_set([path], "TEST", bias_frame), ["TEST"], CombineParameters(), context)


def test_missing_things_are_named(maker, context):
    path = maker.write("a.fits", 1, 10.0)
    bias_frame, _ = master(maker, "MASTER_BIAS", 1, 0, 1e-3, unit="adu")
    with pytest.raises(MissingInputError, match="TEST frames need a MASTER_BIAS"):
        prepare(1, frame_set([path], "TEST"), ["TEST"], CombineParameters(), context)
    with pytest.raises(MissingInputError, match="CHAN02"):
        prepare(2, frame_set([path], "TEST", bias_frame), ["TEST"], CombineParameters(), context)
    with pytest.raises(MissingInputError, match="no raw frames"):
        prepare(1, frame_set([path], "TEST", bias_frame), ["OTHER"], CombineParameters(), context)
    broken = maker.folder / "broken.fits"
    broken.write_bytes(path.read_bytes()[:40000])
    with pytest.raises(BadFitsError):
        prepare(1, frame_set([broken], "TEST", bias_frame), ["TEST"], CombineParameters(), context)
    stack = prepare(1, frame_set([broken, path], "TEST", bias_frame), ["TEST"], CombineParameters(), context)
    assert [frame.path for frame in stack.raws] == [path]


def test_dead_detector(maker, context):
    primary, channel = maker.headers(10.0, DET_CHIP_LIVE=False)
    channel["EXTNAME"] = "CHAN01"
    path = maker.folder / "dead.fits"
    fits.HDUList(
        [
            fits.PrimaryHDU(header=fits.Header.fromstring(primary.to_bytes())),
            fits.ImageHDU(header=fits.Header.fromstring(channel.to_bytes())),
        ]
    ).writeto(path)
    with pytest.raises(ChipNotLiveError):
        prepare(1, frame_set([path], "BIAS"), ["BIAS"], CombineParameters(), context)


def test_merged_masters_serve_every_ifu(maker, context):
    singles = []
    for ifu in (1, 2):
        _, image = master(maker, "MASTER_BIAS", ifu, 10.0 * ifu, 1e-3, unit="adu")
        singles.append(write_image(maker.folder / f"MASTER_BIAS-{ifu:02d}.fits", image, ifu))
    merged = maker.folder / "MASTER_BIAS.fits"
    merge_products(singles, merged)
    path = maker.write("a.fits", 1, 10.0, ifu=2)
    level = []
    for calibs in ([Frame(merged, "MASTER_BIAS")], [Frame(single, "MASTER_BIAS") for single in singles]):
        stack = prepare(2, frame_set([path], "TEST", *calibs), ["TEST"], CombineParameters(), context)
        level.append(combine_frames(stack, CombineOptions(), context).image.data.mean())
    assert level[0] == level[1]
    with pytest.raises(MissingInputError, match="IFU 3"):
        prepare(
            3,
            frame_set([maker.write("b.fits", 1, 10.0, ifu=3)], "TEST", *calibs),
            ["TEST"],
            CombineParameters(),
            context,
        )
