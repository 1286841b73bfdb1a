"""Overscan: options as users write them, levels, and the vertical polynomial."""

from __future__ import annotations

import numpy as np
import pytest

from core.ccd.cosmics import DcrSettings
from core.ccd.geometry import Detector
from core.ccd.overscan import (
    OverscanLevel,
    OverscanMethod,
    OverscanOptions,
    OverscanReject,
    average_levels,
    deviating_ports,
    measure_overscan,
    parse_overscan,
    parse_ovscreject,
)
from core.ccd.vpoly import fit_vertical_overscan
from core.errors import DataError, ParameterError


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("none", OverscanMethod("none")),
        ("offset", OverscanMethod("offset")),
        ("vpoly", OverscanMethod("vpoly", 15, 1.00001, 1.00001)),
        ("vpoly:5", OverscanMethod("vpoly", 5)),
        ("vpoly:5,1.01", OverscanMethod("vpoly", 5, 1.01)),
        ("vpoly:3,1.01,1.04", OverscanMethod("vpoly", 3, 1.01, 1.04)),
    ],
)
def test_overscan_is_read(text, method):
    assert parse_overscan(text) == method


@pytest.mark.parametrize(
    "text",
    ["", "poly", "none:1", "offset:", "vpoly:", "vpoly:x", "vpoly:-1", "vpoly:2.5", "vpoly:3,1", "vpoly:3,1.1,0.5",
     "vpoly:3,1.1,1.1,1.1", "vpoly:3,nan", "VPOLY", "vpoly:99"],
)  # fmt: skip
def test_other_overscan_values_are_refused_with_the_accepted_ones(text):
    with pytest.raises(ParameterError, match=r"vpoly:order\[,frms\[,fchisq\]\]") as caught:
        parse_overscan(text)
    assert caught.value.context["parameter"] == "overscan"


@pytest.mark.parametrize(
    ("text", "reject"),
    [
        ("none", OverscanReject("none")),
        ("dcr", OverscanReject("dcr", DcrSettings(128, 32, 3, 2.5))),
        ("dcr:64", OverscanReject("dcr", DcrSettings(64, 32, 3, 2.5))),
        ("dcr:15,20,2,4.5", OverscanReject("dcr", DcrSettings(15, 20, 2, 4.5))),
        ("fit", OverscanReject("fit", sigma=5.0)),
        ("fit:2.5", OverscanReject("fit", sigma=2.5)),
    ],
)
def test_ovscreject_is_read(text, reject):
    assert parse_ovscreject(text) == reject


@pytest.mark.parametrize(
    "text", ["", "sigma", "none:", "dcr:", "dcr:0,1,1,1", "dcr:1.5", "dcr:1,2,3,4,5", "fit:", "fit:0", "fit:-1"]
)
def test_other_ovscreject_values_are_refused_with_the_accepted_ones(text):
    with pytest.raises(ParameterError, match="dcr:xbox,ybox,npass,thres") as caught:
        parse_ovscreject(text)
    assert caught.value.context["parameter"] == "ovscreject"


def test_options_must_fit_the_detector():
    detector = Detector()
    OverscanOptions().check_geometry(detector)
    OverscanOptions().check_geometry(Detector(nx=64, ny=64))  # default boxes are cut to size
    with pytest.raises(ParameterError, match="between 0 and 31"):
        OverscanOptions(ignore=32).check_geometry(detector)
    with pytest.raises(ParameterError, match="ybox <= 32"):
        OverscanOptions(reject=parse_ovscreject("dcr:128,33")).check_geometry(detector)


# -- levels ------------------------------------------------------------------------------------------------------------
def strips(seed=1, ny=29, nx=300):
    rng = np.random.default_rng(seed)
    horizontal = rng.normal(1200, 3, (ny, nx)).round().astype(np.float32)
    vertical = rng.normal(1200, 3, (nx, ny)).round().astype(np.float32)
    return horizontal, np.zeros(horizontal.shape, np.int32), vertical, np.zeros(vertical.shape, np.int32)


@pytest.mark.parametrize(("reject", "clean"), [("none", False), ("dcr", True), ("fit", True)])
def test_rejection_makes_the_level_robust(reject, clean):
    horizontal, horizontal_dq, vertical, vertical_dq = strips()
    truth = measure_overscan(horizontal, horizontal_dq, vertical, vertical_dq, OverscanReject("none"))
    horizontal[5, 100] = 60000
    vertical[200, 3] = 5000
    level = measure_overscan(horizontal, horizontal_dq, vertical, vertical_dq, OverscanReject(reject))
    if clean:
        # The two hit pixels of 17400 are lost, nothing else but single far outliers.
        assert level.mean == pytest.approx(truth.mean, abs=0.01)
        assert level.stdev == pytest.approx(truth.stdev, rel=0.01)
    else:
        assert level.mean > truth.mean + 3
    if reject == "dcr":
        assert horizontal_dq[5, 100] == vertical_dq[200, 3] == 32


def test_level_without_rejection_is_mean_and_sample_deviation():
    horizontal, horizontal_dq, vertical, vertical_dq = strips()
    horizontal_dq[:10] = 4096
    pool = np.concatenate((horizontal[10:].ravel(), vertical.ravel())).astype(float)
    level = measure_overscan(horizontal, horizontal_dq, vertical, vertical_dq, OverscanReject("none"))
    assert (level.mean, level.stdev) == pytest.approx((pool.mean(), pool.std(ddof=1)), rel=1e-12)


def test_overscan_without_good_pixels_is_an_error():
    horizontal, horizontal_dq, vertical, vertical_dq = strips()
    horizontal_dq[:] = vertical_dq[:] = 1
    with pytest.raises(DataError):
        measure_overscan(horizontal, horizontal_dq, vertical, vertical_dq, OverscanReject("dcr"))
    with pytest.raises(DataError):
        fit_vertical_overscan(vertical, vertical_dq, 33, OverscanMethod(), 30.0)


def test_levels_are_compared_in_the_scatter_of_the_reference():
    reference = [OverscanLevel(1000, 2)] * 4
    levels = [OverscanLevel(1000 + d, 9) for d in (0, 5.9, -6.1, 6.0)]
    assert deviating_ports(levels, reference, 3.0) == [3]


def test_common_level_of_frames():
    level = average_levels([OverscanLevel(10, 3), OverscanLevel(12, 4)])
    assert level.mean == 11
    assert level.stdev == pytest.approx(np.sqrt(9 + 16 + 4) / 2)


# -- vertical polynomial -----------------------------------------------------------------------------------------------
def curved_strip(noise=0.0, ny=2088, seed=5):
    rows = np.arange(33, 33 + ny, dtype=float)
    curve = 1200 + 1e-3 * rows - 3e-7 * rows**2 + 5e-11 * rows**3
    data = curve[:, None] + np.random.default_rng(seed).normal(0, noise, (ny, 29)) if noise else None
    data = np.repeat(curve[:, None], 29, axis=1) if data is None else data
    return rows, curve, data.astype(np.float32)


def test_fit_of_row_means_is_the_fit_of_all_pixels():
    rows, _, data = curved_strip(noise=3.0)
    dq = np.zeros(data.shape, np.int32)
    dq[np.random.default_rng(2).random(data.shape) < 0.1] = 32  # rows of unequal weight
    fit = fit_vertical_overscan(data, dq, 33, OverscanMethod("vpoly", 3, 1.0000001, 1.0000001), 30.0)
    y, x = np.nonzero(dq == 0)
    direct = np.polynomial.Polynomial.fit(rows[y], data[y, x].astype(float), fit.order)
    assert np.allclose(fit.evaluate(rows), direct(rows), rtol=0, atol=1e-8)
    residual = data[y, x] - direct(rows[y])
    assert fit.rms == pytest.approx(np.sqrt(np.mean(residual**2)), rel=1e-10)


def test_header_coefficients_are_plain_powers_of_the_row():
    rows, _, data = curved_strip(noise=1.0)
    fit = fit_vertical_overscan(data, np.zeros(data.shape, np.int32), 33, OverscanMethod("vpoly", 4, 1.01, 1.01), 30.0)
    plain = sum(c * rows**k for k, c in enumerate(fit.coefficients))
    assert len(fit.coefficients) == fit.order + 1
    assert np.allclose(plain, fit.evaluate(rows), rtol=0, atol=1e-7)


def test_order_stops_where_the_fit_no_longer_improves():
    _, _, data = curved_strip(noise=2.0)
    flat = np.random.default_rng(8).normal(1000, 2, data.shape).astype(np.float32)
    dq = np.zeros(data.shape, np.int32)
    strict = OverscanMethod("vpoly", 15, 1.01, 1.04)
    assert fit_vertical_overscan(flat, dq, 33, strict, 30.0).order == 1  # order 1 brings nothing: stop there
    limited = fit_vertical_overscan(data, dq, 33, OverscanMethod("vpoly", 0), 30.0)
    assert limited.order == 0
    assert limited.evaluate(np.array([1.0]))[0] == pytest.approx(data.mean(dtype=float))


def test_pixels_beyond_ovscsigma_are_rejected_until_none_is_left():
    rows, curve, data = curved_strip(noise=1.0)
    dq = np.zeros(data.shape, np.int32)
    data[500, 3] += 1000
    data[900:910, :] += 300
    # The order is chosen before anything is rejected: ask for the smallest improvement.
    method = OverscanMethod("vpoly", 3, 1 + 1e-12, 1 + 1e-12)
    fit = fit_vertical_overscan(data, dq, 33, method, 5.0)
    assert 291 <= fit.n_rejected < 330  # 291 bad pixels; few of 60 000 normal values lie beyond 5 sigma
    # 1 adu noise, 60 000 pixels, 4 coefficients: the curve is known to 0.01 adu (0.03 at the ends)
    assert np.abs(fit.evaluate(rows) - curve).max() < 0.05
    kept = fit_vertical_overscan(data, dq, 33, method, 1000.0)
    assert kept.n_rejected == 0


def test_noiseless_strip():
    rows, curve, data = curved_strip()
    fit = fit_vertical_overscan(data, np.zeros(data.shape, np.int32), 33, OverscanMethod(), 30.0)
    assert np.abs(fit.evaluate(rows) - curve).max() < 2e-4  # float32 pixels of 1200


def test_too_strict_sigma_is_told():
    _, _, data = curved_strip(noise=1.0)
    with pytest.raises(DataError, match="ovscsigma"):
        fit_vertical_overscan(data, np.zeros(data.shape, np.int32), 33, OverscanMethod("vpoly", 3), 1e-9)
