import numpy as np
import pytest

from core.errors import DataError
from core.spectral.detection import central_spectrum, detect_lines, running_median


def spectrum(ny, centers, areas, sigma=0.95, bias=8.0, seed=1):
    y = np.arange(1, ny + 1)
    clean = np.full(ny, bias)
    for center, area in zip(centers, areas, strict=True):
        clean += area / np.sqrt(2 * np.pi) / sigma * np.exp(-0.5 * ((y - center) / sigma) ** 2)
    rng = np.random.default_rng(seed)
    variance = clean + 3.0
    return rng.normal(clean, np.sqrt(variance)).astype(np.float32), variance.astype(np.float32)


def test_lines_are_found_where_they_are():
    centers = [120.2, 214.81, 438.12, 732.9, 976.98]
    areas = [3518, 11558, 24984, 99275, 18461]
    lines = detect_lines(*spectrum(1200, centers, areas))
    for center, area in zip(centers, areas, strict=True):
        k = np.abs(lines.center - center).argmin()
        # photon noise: sigma / sqrt(N) is 0.016 pix for the faintest one
        assert lines.center[k] == pytest.approx(center, abs=0.08)
        assert lines.flux[k] == pytest.approx(area, rel=0.1)
        assert lines.fwhm[k] == pytest.approx(0.95 * 2.3548, rel=0.1)
        assert lines.center_error[k] < 0.05
    assert np.all(np.diff(lines.center) > 0)


def test_noise_gives_few_and_clean_detections_only():
    data, stat = spectrum(2000, [], [])
    lines = detect_lines(data, stat)
    assert np.all(lines.flux >= 50)
    assert np.all((lines.fwhm >= 1) & (lines.fwhm <= 5))
    assert np.all(lines.center_error <= 1.25)


def test_a_short_noise_column_runs_cleanly():  # documented reference case: 52 values around -5
    rng = np.random.default_rng(2)
    assert len(detect_lines(rng.normal(-5, 0.55, 52).astype("f4"), np.full(52, 0.3, "f4"))) < 5


def test_higher_threshold_finds_no_more():
    data, stat = spectrum(1500, np.arange(60, 1450, 60.3), np.full(24, 300.0))
    assert len(detect_lines(data, stat, 3.0)) <= len(detect_lines(data, stat, 1.0))


def test_variance_must_be_positive():
    with pytest.raises(DataError, match="1 pixels"):
        detect_lines(np.ones(60, "f4"), np.r_[0, np.ones(59)].astype("f4"))


@pytest.mark.parametrize(("n", "window"), [(200, 51), (30, 51), (7, 3)])
def test_running_median_shrinks_at_the_ends(n, window):
    values = np.random.default_rng(n).integers(0, 9, n).astype(np.float32)
    half = window // 2
    expected = [np.median(values[max(0, i - half) : i + half + 1]) for i in range(n)]
    np.testing.assert_array_equal(running_median(values, window), expected)


def test_central_spectrum_is_a_median_of_good_pixels():
    data = np.array([[1, 5, 3, 100], [1, 5, 3, 100], [7, 8, 9, 10]], dtype=np.float32)
    stat = np.array([[1, 2, 4, 8], [1, 2, 4, 8], [1, 2, 3, 4]], dtype=np.float32)
    dq = np.array([[0, 0, 0, 0], [0, 0, 0, 32], [4096, 256, 512, 8192]], dtype=np.int32)
    out, var = central_spectrum(data, stat, dq)
    assert out.tolist() == [4.0, 3.0, 8.0]  # mean of 3 and 5; median of 1, 3, 5; smallest flag
    assert var.tolist() == [6.0, 4.0, 2.0]


def test_sign_bit_flag_is_the_largest():
    dq = np.array([[np.iinfo(np.int32).min, 1 << 30]], dtype=np.int32)
    out, _ = central_spectrum(np.array([[1, 2]], "f4"), np.ones((1, 2), "f4"), dq)
    assert out[0] == 2.0
