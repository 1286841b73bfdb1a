"""Frames of the simulated detectors have the levels, noise and defects of their truth."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from core.ccd.geometry import Detector
from core.simulator.channel import chip_card, make_channel
from core.simulator.exposure import NightState, expected_electrons, expose
from core.simulator.scenes import ArcScene, BiasScene, DarkScene, FlatScene, transmission
from core.simulator.seeds import stream
from core.simulator.truth import truth_for

SMALL = Detector(nx=300, ny=256)
PORTS = (1, 2, 3, 4)


def _frames(ifu: int, n: int, exptime: float = 0.0) -> tuple[np.ndarray, Detector]:
    truth = truth_for(ifu, detector=SMALL)
    scene = DarkScene(exptime=exptime) if exptime else BiasScene()
    expected = expected_electrons(truth, scene)
    frames = [expose(truth, expected, exptime, stream(1, "test", k)) for k in range(n)]
    return np.array(frames), truth.detector


def test_chips_are_the_real_ones() -> None:
    gains = np.array([chip_card(ifu).gain for ifu in range(1, 25)])
    noise = np.array([chip_card(ifu).ron for ifu in range(1, 25)])
    assert chip_card(1).chip == "thetis"
    assert chip_card(24).chip == "thalia"
    assert len({chip_card(ifu).chip for ifu in range(1, 25)}) == 24
    assert gains.min() > 0.85
    assert gains.max() < 1.3
    assert noise.min() > 1.8
    assert noise.max() < 4.0


@pytest.mark.parametrize("ifu", [3, 18])
def test_read_noise_is_that_of_each_port(ifu: int) -> None:
    frames, det = _frames(ifu, 6)
    for port in PORTS:
        data = frames[(slice(None), *det.raw_window(port))].astype(float)
        # the median of absolute differences does not see cosmic rays; 5 x 76800 differences: error 0.2 %
        pairs = np.array([a - b for a, b in pairwise(data)])
        pairs -= np.median(pairs, axis=(1, 2), keepdims=True)
        measured = 1.4826 * np.median(np.abs(pairs + np.random.default_rng(1).uniform(-0.5, 0.5, pairs.shape)))
        # digitisation, and the dither against it in the line above, add to the variance
        expected = np.sqrt(2 * (det.ron[port - 1] / det.gain[port - 1]) ** 2 + 2 / 12 + 1 / 12)
        assert measured == pytest.approx(expected, rel=0.02)


def test_bias_is_that_of_the_truth() -> None:
    truth = truth_for(5, detector=SMALL)
    frames, det = _frames(5, 25)
    for port in PORTS:
        data = frames[(slice(None), *det.raw_window(port))].astype(float)
        master = np.sort(data, axis=0)[3:-3].mean(axis=0)  # without cosmic rays
        model = truth.bias(port)
        assert 1195.0 < np.median(model) < 1209.0
        good = np.ones(det.trimmed_shape[1], bool)
        good[[column.x for column in truth.channel.bad_columns]] = False
        difference = (master - model)[:, good[det.port_window(port)[1]]].mean(axis=1)
        # the level of each frame scatters by 0.25 adu, 25 frames
        assert abs(difference.mean()) < 0.25
        # a row averages the noise of 25 x 300 pixels: 2.5 / sqrt(7500) = 0.03 adu
        assert np.abs(difference - difference.mean()).max() < 0.16


def test_rows_need_a_polynomial_that_the_overscan_shows() -> None:
    truth = make_channel(8, 1)
    det = truth.detector
    for port in range(4):
        rows = truth.row_bias[port]
        assert 0.3 < np.ptp(rows) < 8.0
        assert np.all(truth.column_bias[port, : det.prescan_x] == 0.0)
        assert np.all(truth.column_bias[port, det.prescan_x + det.nx :] == 0.0)


def test_overscan_has_no_light() -> None:
    truth = truth_for(2, detector=Detector(nx=2048, ny=32))
    raw = expose(truth, expected_electrons(truth, FlatScene()), 1.155, stream(1, "x"))
    for port in PORTS:
        for window in truth.detector.overscan_windows(port):
            assert abs(np.median(raw[window].astype(float)) - truth.channel.level[port - 1]) < 5.0
        assert np.median(raw[truth.detector.raw_window(port)]) > 10000


def test_right_and_upper_ports_are_read_from_their_corner() -> None:
    truth = truth_for(4, detector=SMALL)
    det = truth.detector
    image = np.full(det.trimmed_shape, 30000.0, np.float32)
    image[10, 590] = 60.0
    raw = expose(truth, image, 0.0, stream(1, "corner"))
    x, y = det.trimmed_to_raw(591, 11)
    assert raw[y - 1, x - 1] < 2000
    assert np.sum(raw[det.raw_window(2)] < 2000) == 1


def test_dark_current_is_one_electron_an_hour_with_glowing_corners() -> None:
    rate = make_channel(10, 1).dark_rate()
    assert 0.8 < np.median(rate) < 1.3
    assert np.median(rate[:40, :40]) > 1.5 * np.median(rate[1500:2500, 1500:2500])


def test_hot_pixels_stand_out_of_darks() -> None:
    truth = truth_for(11, detector=Detector(nx=400, ny=400))
    expected = expected_electrons(truth, DarkScene(exptime=3600.0))
    channel = truth.channel
    np.testing.assert_allclose(
        expected[channel.hot_y, channel.hot_x], channel.dark_rate()[channel.hot_y, channel.hot_x]
    )
    assert np.all(expected[truth.hot_mask()] > 20.0)
    assert np.median(expected[~truth.hot_mask()]) < 6.0


def test_bad_columns_end_at_the_border_between_the_ports() -> None:
    found = [column for ifu in range(1, 25) for column in make_channel(ifu, 1).bad_columns]
    assert 3 < len(found) < 30
    for column in found:
        assert 2056 in (column.y0, column.y1)
        assert 0 <= column.y0 < column.y1 <= 4112
        assert 0 <= column.x < 4096


def test_flat_has_one_per_cent_and_dead_pixels() -> None:
    channel = make_channel(13, 1, Detector(nx=600, ny=600))
    flat = channel.flat()
    good = flat[np.abs(flat - 1.0) < 0.06]
    assert good.std() == pytest.approx(0.01, rel=0.02)
    assert channel.dead_mask().sum() >= 1
    assert (flat < 0.8).sum() > channel.dead_mask().sum()
    np.testing.assert_array_equal(flat, channel.flat())


def test_cosmic_rays_grow_with_the_exposure_time() -> None:
    truth = truth_for(20, detector=SMALL)
    empty = np.zeros(truth.detector.trimmed_shape, np.float32)

    def hits(exptime: float) -> int:
        frame = expose(truth, empty, exptime, stream(3, "cosmics", exptime))
        return int((frame[truth.detector.raw_window(1)] > 1300).sum())

    # 2.5 hits per minute and cm2, several pixels each; 0.17 cm2 per port
    assert 50 < hits(3600.0) < 400
    assert hits(0.0) < 30


def test_night_state_changes_noise_and_level() -> None:
    truth = truth_for(14, detector=SMALL)
    empty = np.zeros(truth.detector.trimmed_shape, np.float32)
    window = truth.detector.raw_window(3)
    plain = expose(truth, empty, 0.0, stream(1, "n"))[window].astype(float)
    other = expose(truth, empty, 0.0, stream(1, "n"), NightState(1.5, (0.0, 0.0, 10.0, 0.0)))[window].astype(float)
    assert np.median(other) - np.median(plain) == pytest.approx(10.0, abs=1.0)
    spread = [np.subtract(*np.percentile(frame, [84, 16])) for frame in (plain, other)]
    assert spread[1] / spread[0] == pytest.approx(1.5, abs=0.2)


@pytest.mark.parametrize(
    ("mode", "open_waves", "closed_waves"),
    [
        ("WFM-NOAO-N", [4770.0, 5890.0, 9300.0], [4650.0]),
        ("WFM-NOAO-E", [4620.0, 5890.0, 9300.0], []),
        ("WFM-AO-N", [4710.0, 5790.0, 5980.0], [4600.0, 5890.0]),
        ("WFM-AO-E", [4620.0, 5740.0, 6020.0], [5800.0, 5960.0]),
        ("NFM-AO-N", [4780.0, 5770.0, 6060.0], [4650.0, 5890.0]),
    ],
)
def test_modes_have_their_filters(mode: str, open_waves: list[float], closed_waves: list[float]) -> None:
    assert np.all(transmission(mode, np.array(open_waves)) > 0.85)
    assert np.all(transmission(mode, np.array(closed_waves)) < 0.03)


def test_lamps_scale_with_time_and_brightness() -> None:
    truth = truth_for(2, detector=Detector(nx=2048, ny=30))
    once = ArcScene.standard(3).light(truth)
    twice = ArcScene(exptime=1.012, brightness=2.0, lamp=3).light(truth)
    assert once is not None
    assert twice is not None
    np.testing.assert_allclose(twice, 2.0 * once, rtol=1e-5, atol=1e-5)
