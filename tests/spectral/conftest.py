"""A synthetic arc of a few slices, drawn from formulas."""

from dataclasses import dataclass

import numpy as np
import pytest

from core.ccd.trace_model import Trace
from core.spectral.linelist import LineList

NY, NX = 4112, 200
SLICES = (1, 2)
LAMPS = {
    "HgCd": [4678.149, 4799.912, 5085.822, 5460.75, 5769.61, 5790.67, 6438.47],
    "Ne": [
        5330.778, 5341.094, 5400.562, 5852.488, 5881.895, 5944.834, 5975.534, 6029.997, 6074.338, 6096.163, 6143.063,
        6163.594, 6217.281, 6266.495, 6304.789, 6334.428, 6382.992, 6402.248, 6506.528, 6532.882, 6598.953, 6678.276,
        6717.043, 6929.467, 7032.413, 7173.938, 7245.167, 7438.898, 7488.871, 7535.774,
    ],
    "Xe": [
        7119.598, 7642.024, 7887.393, 7967.342, 8231.634, 8280.116, 8346.822, 8409.189, 8648.540, 8739.372, 8819.411,
        8862.320, 8930.830, 8952.251, 9045.446, 9162.652,
    ],
}  # fmt: skip
SIGMA = 0.93


@dataclass
class Arc:
    """Images by lamp and the truth behind them."""

    images: dict
    trace: Trace
    catalogue: LineList

    @staticmethod
    def wave(slice_no, x, y):
        d = np.asarray(y) - 2056.5
        dx = np.asarray(x) - center(slice_no)
        return (
            7000 + 40 * slice_no + 1.2406 * d - 1.1e-5 * d**2 + 1.5e-10 * d**3 + 0.03 * dx + 1.5e-4 * dx**2
            + 2e-6 * dx * d
        )  # fmt: skip

    def columns(self, lamp, slice_no):
        middle = int(np.floor(center(slice_no) + 0.5))
        window = slice(middle - 2, middle + 2)
        return tuple(np.ascontiguousarray(plane[:, window]) for plane in self.images[lamp])


def center(slice_no):
    return 50.3 + 90.0 * (slice_no - 1)


def make_arc(lamps=tuple(LAMPS), seed=7, flux=3e4):
    ny, nx = NY, NX
    y = np.arange(1, ny + 1.0)
    rng = np.random.default_rng(seed)
    images = {}
    for lamp in lamps:
        clean = np.full((ny, nx), 4.0)
        for slice_no in SLICES:
            c = center(slice_no)
            for x in range(int(np.ceil(c - 38)), int(np.floor(c + 38)) + 1):
                wave = Arc.wave(slice_no, x, y)
                for k, line in enumerate(LAMPS[lamp]):
                    row = np.interp(line, wave, y)
                    lo, hi = max(0, int(row) - 8), min(ny, int(row) + 8)
                    strength = flux * (0.2 + (k % 5) / 4)
                    clean[lo:hi, x - 1] += (
                        strength / np.sqrt(2 * np.pi) / SIGMA * np.exp(-0.5 * ((y[lo:hi] - row) / SIGMA) ** 2)
                    )
        stat = (clean + 2.0).astype(np.float32)
        data = rng.normal(clean, np.sqrt(stat)).astype(np.float32)
        images[lamp] = (data, stat, np.zeros((ny, nx), np.int32))
    zeros = [0.0]
    trace = Trace.from_polynomials(
        SLICES,
        np.array([[center(s), *zeros] for s in SLICES]),
        np.array([[center(s) - 38, *zeros] for s in SLICES]),
        np.array([[center(s) + 38, *zeros] for s in SLICES]),
    )
    rows = sorted(
        (wave, flux * (0.2 + (k % 5) / 4), {"HgCd": "CdI", "Ne": "NeI", "Xe": "XeI"}[lamp])
        for lamp, waves in LAMPS.items()
        for k, wave in enumerate(waves)
    )
    wave = np.array([row[0] for row in rows])
    gap = np.minimum(np.diff(wave, prepend=0), np.diff(wave, append=1e5))
    quality = np.where(gap > 25, 5, 3)
    catalogue = LineList.from_columns(wave, [row[1] for row in rows], [row[2] for row in rows], quality)
    return Arc(images, trace, catalogue)


@pytest.fixture(scope="session")
def arc():
    return make_arc()
