import numpy as np
import pytest

from core.spectral.matching import match_positions, well_separated

HGCD = np.array([4678.149, 4799.912, 5085.822, 5460.75, 5769.61, 5790.67, 6438.47])
NEON = np.array(
    [
        5330.78, 5341.09, 5400.56, 5852.49, 5881.90, 5944.83, 5975.53, 6029.997, 6074.34, 6096.16, 6143.06, 6163.59,
        6217.28, 6266.50, 6304.79, 6334.43, 6382.99, 6402.25, 6506.53, 6532.88, 6598.95, 6678.28, 6717.04, 6929.47,
        7032.41, 7173.94, 7245.17, 7438.90, 7488.87, 7535.77, 8136.41, 8300.33, 8377.61, 8495.36, 8654.38, 8780.62,
        8853.87, 9148.67, 9201.76,
    ]
)  # fmt: skip


def position(wave):
    """Inverse of lambda = 7122 + 1.2406 d - 1.1e-5 d^2 with d = y - 2056.5, the MUSE-like dispersion."""
    c = wave - 7122.0
    return 2056.5 + (1.2406 - np.sqrt(1.2406**2 - 4 * 1.1e-5 * c)) / (2 * 1.1e-5)


@pytest.mark.parametrize("waves", [HGCD, NEON])
def test_all_lines_are_identified(waves):
    peaks, lines = match_positions(position(waves), waves)
    np.testing.assert_array_equal(peaks, np.arange(waves.size))
    np.testing.assert_array_equal(lines, np.arange(waves.size))


@pytest.mark.parametrize("seed", range(8))
def test_missing_and_spurious_lines_do_not_mislead(seed):
    rng = np.random.default_rng(seed)
    true = np.sort(rng.choice(NEON, 32, replace=False))
    spurious = rng.uniform(600, 3900, 5)
    pos = np.concatenate([position(true) + rng.normal(0, 0.03, 32), spurious])
    order = np.argsort(pos)
    peaks, lines = match_positions(pos[order], NEON)
    wrong = [
        (p, i) for p, i in zip(peaks, lines, strict=True) if abs(position(NEON[i]) - pos[order][p]) > 6.0
    ]  # 6 pix is the radius of the extrapolation: nothing wilder may come out
    assert not wrong
    assert peaks.size >= 20  # a solution needs 7; the pattern around spurious lines is lost
    assert np.all(np.diff(peaks) > 0)
    assert np.all(np.diff(lines) > 0)


def test_wrong_dispersion_finds_nothing_much():
    peaks, _ = match_positions(position(HGCD) * 2.0, HGCD)
    assert peaks.size < 3


def test_fewer_than_four_peaks_are_not_matched():
    peaks, lines = match_positions(position(HGCD[:3]), HGCD)
    assert peaks.size == 0
    assert lines.size == 0


def test_close_neighbours_are_both_left_out():
    keep = well_separated(np.array([5000.0, 5001.0, 5010.0, 5020.0, 5021.4, 5022.8, 5040.0]))
    assert keep.tolist() == [False, False, True, False, False, False, True]
