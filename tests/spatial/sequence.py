"""A sequence of the pinhole mask as tables of spots, from a known geometry: no pixels are needed to test what follows.

Holes stand on a regular grid and move down in the field while the mask moves up. A slice shows the holes that are
within its height, the fainter the further from its middle.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from core.ccd.trace_model import Trace
from core.instruments.muse.facts import SLICE_SKY
from core.spatial.geometry import Geometry
from core.spatial.horizontal import RimSpots
from core.spatial.mask import PINHOLE_DX, PINHOLE_DY
from core.spatial.peaks import find_peaks
from core.spatial.slices import IfuPeaks
from core.spatial.spots import SpotPlaces, SpotSeries

K = 1.705 / 0.2  # [0.2 arcsec/mm]
LINES = (5085.822, 5460.75, 5852.488, 6143.063, 6402.248, 7032.413)


def flat_trace() -> Trace:
    """48 straight slices of 78 pix."""
    left = np.zeros((48, 2))
    left[:, 0] = 40.0 + 83.6 * np.arange(48)
    right = left + np.array([78.0, 0.0])
    return Trace.from_polynomials(range(1, 49), 0.5 * (left + right), left, right)


def true_geometry(ifus=(11, 12, 13), seed: int = 5, scatter: float = 1.0) -> Geometry:
    """Slices with deviations in all quantities, origin as in a GEOMETRY_TABLE; by IFU and slice on the sky."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list[float]] = {name: [] for name in ("ifu", "ccd", "sky", "x", "y", "angle", "width")}
    for ifu in ifus:
        shift = 0.0 if ifu == 12 else rng.normal(0.0, 0.7)
        tilt = rng.normal(0.0, 0.3)
        for row in range(12):
            width = 75.25 + scatter * rng.normal(0.0, 0.1, 4)
            gap = np.array([0.07, 0.04, 0.07]) + scatter * rng.uniform(-0.02, 0.02, 3)
            edge = -0.5 * gap[1] - width[1] - gap[0] - width[0] + shift
            for stack in range(4):
                sky = 12 * stack + row + 1
                columns["ifu"].append(ifu)
                columns["sky"].append(sky)
                columns["ccd"].append(SLICE_SKY.index(sky) + 1)
                columns["x"].append(edge + 0.5 * width[stack])
                columns["y"].append((12 * (ifu - 12) + row - 11) * 1.0417 + scatter * rng.normal(0.0, 0.015))
                columns["angle"].append(tilt + scatter * rng.normal(0.0, 0.05))
                columns["width"].append(width[stack])
                edge += width[stack] + (gap[stack] if stack < 3 else 0.0)
    table = {name: np.array(values) for name, values in columns.items()}
    none = np.zeros(len(table["ifu"]))
    geometry = Geometry(
        *(table[name].astype(np.int32) for name in ("ifu", "ccd", "sky")),
        table["x"], none, table["y"], none, table["angle"], none, table["width"], none,
    )  # fmt: skip
    reference = np.flatnonzero((geometry.ifu == 12) & (geometry.slice_sky == 24))
    if reference.size:
        geometry.y[:] -= geometry.y[reference[0]]
    return geometry.where(np.lexsort((geometry.slice_sky, geometry.ifu)))


@dataclass
class MaskSequence:
    """Exposures of the mask."""

    geometry: Geometry
    encoder: float = 1.066
    count: int = 60
    noise: float = 0.01  # of the centres [pix]
    x0: float = 12.55  # of the grid [0.2 arcsec]
    dark: tuple[tuple[int, int], ...] = ()  # (IFU, slice on the sky) that show nothing
    heights: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.heights = np.linspace(12.85, 14.05, self.count)

    def series(self, ifu: int) -> SpotSeries:
        """What all exposures show in the slices of an IFU."""
        rng = np.random.default_rng(ifu)
        own = self.geometry.where(self.geometry.ifu == ifu)
        trace = flat_trace()
        dx, dy = PINHOLE_DX * K, PINHOLE_DY * K
        down = self.heights / self.encoder * K
        places, x, flux = [], [], []
        for number, line in enumerate(LINES):
            for row in range(len(own)):
                if (ifu, int(own.slice_sky[row])) in self.dark:
                    continue
                ccd = int(own.slice_ccd[row])
                cos, sin = np.cos(np.radians(own.angle[row])), np.sin(np.radians(own.angle[row]))
                middle = round((own.x[row] - self.x0) / dx)
                for spot, column in enumerate((middle + 1, middle, middle - 1), start=1):
                    along = (self.x0 + dx * column - own.x[row]) / cos
                    off = own.y[row] + along * sin + down - 0.4
                    across = (off - dy * np.round(off / dy)) * cos
                    y = 500.0 + 400.0 * number
                    center = trace.center(ccd, y) - along / own.width[row] * 78.0
                    places.append((ccd, line, spot, float(center), y))
                    flux.append(20000.0 * np.exp(-0.5 * (across / 0.6) ** 4))
                    x.append(center + rng.normal(0.0, self.noise, self.count))
        ccd, wave, spot, px, py = np.array(places).T
        found = SpotPlaces(ccd.astype(np.int32), wave, spot.astype(np.int32), px, py)
        shape = (self.count, len(found))
        light = np.maximum(np.array(flux).T + rng.normal(0.0, 40.0, shape), 0.0)
        wide = np.full(shape, 2.0)
        return SpotSeries(found, np.array(x).T, np.broadcast_to(py, shape), wide, wide, light, np.zeros(shape))

    def peaks(self) -> list[IfuPeaks]:
        """Peaks of all IFUs."""
        return [
            IfuPeaks.on_detector(ifu, find_peaks(self.series(ifu), self.heights), flat_trace())
            for ifu in self.geometry.ifus
        ]

    def rims(self) -> dict[int, RimSpots]:
        """Spots at the rims of all IFUs."""
        numbers = np.arange(self.count, dtype=np.int32)
        return {ifu: RimSpots.of_series(self.series(ifu), numbers, flat_trace()) for ifu in self.geometry.ifus}
