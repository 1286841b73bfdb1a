"""While the mask moves, pinholes light up a slice one after the other: where is the mask when one does?

The flux of a spot along the sequence is a peak for each pinhole that passes. `find_peaks` takes one peak for each of
the three spots of a slice and line; the distances of neighbouring peaks are the vertical distance of the pinholes, as
the encoder of the mask shows it (`pinhole_distance`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.spatial.mask import PINHOLE_DY
from core.spatial.spots import N_SPOTS, SpotSeries

__all__ = ["Peaks", "cut_at_gaps", "find_peaks", "pinhole_distance"]

_BRIGHT: Final = 1000.0  # flux that is light in any case [count]
_ABOVE_MEDIAN: Final = 0.5  # else so many mean absolute deviations
_SHORTEST: Final = 3  # exposures
_DISTANCES: Final = (0.5, 0.8)  # what may be a distance of pinholes [mm]
_DISTANCE_BIN: Final = 0.001
_COARSE_BINS: Final = 20
_EMPTY: Final = 0.5


@dataclass(frozen=True, eq=False)
class Peaks:
    """Slices and lines that have a peak of all three spots.

    Attributes
    ----------
    slice_no : ndarray of int32 (n,)
    wave : ndarray of float64 (n,)
        Arc line [Angstrom].
    x, y : ndarray of float64 (n, 3)
        Centres of the spots, weighted by flux [pix].
    height : ndarray of float64 (n, 3)
        Position of the mask, weighted by flux [mm].
    flux : ndarray of float64 (n, 3)
        Of all exposures of the peak [count].
    distances : ndarray of float64 (k,)
        Of neighbouring peaks, of all spots [mm].
    """

    slice_no: NDArray[np.int32]
    wave: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    height: NDArray[np.float64]
    flux: NDArray[np.float64]
    distances: NDArray[np.float64]


@dataclass(frozen=True)
class _Run:
    """Exposures in which one pinhole lights a spot, ordered by the position of the mask."""

    part: slice
    height: float
    whole: bool


def find_peaks(series: SpotSeries, heights: NDArray[np.float64]) -> Peaks:
    """Find the peaks of all spots along the sequence.

    Parameters
    ----------
    series : SpotSeries
    heights : ndarray of float64
        Position of the mask in each exposure [mm].

    Returns
    -------
    Peaks
    """
    order = np.argsort(heights, kind="stable")
    places, sorted_heights = series.places, heights[order]
    x, y, flux = series.x[order], series.y[order], series.flux[order]
    rows: list[int] = []
    peaks: list[list[tuple[float, float, float, float]]] = []
    distances: list[float] = []
    for first in range(0, len(places), N_SPOTS):
        near = float(sorted_heights[(len(order) - 1) // 2])
        found: list[tuple[float, float, float, float]] = []
        for spot in range(first, first + N_SPOTS):
            runs = _runs(flux[:, spot], sorted_heights)
            distances += [
                abs(above.height - below.height) for below, above in pairwise(runs) if below.whole and above.whole
            ]
            chosen = min((run for run in runs if run.whole), key=lambda run: abs(run.height - near), default=None)
            if chosen is None:
                continue
            if spot == first:
                near = chosen.height
            weights = flux[chosen.part, spot]
            found.append(
                (
                    float(np.average(x[chosen.part, spot], weights=weights)),
                    float(np.average(y[chosen.part, spot], weights=weights)),
                    chosen.height,
                    float(weights.sum()),
                )
            )
        if len(found) == N_SPOTS:
            rows.append(first)
            peaks.append(found)
    mean_x, mean_y, height, total = np.moveaxis(np.array(peaks).reshape(-1, N_SPOTS, 4), 2, 0)
    return Peaks(places.slice_no[rows], places.wave[rows], mean_x, mean_y, height, total, np.array(distances))


def _runs(flux: NDArray[np.float64], heights: NDArray[np.float64]) -> list[_Run]:
    """Peaks along the sequence, those at its ends too, which are not whole."""
    median = float(np.median(flux))
    limit = min(median + _ABOVE_MEDIAN * float(np.mean(np.abs(flux - median))), _BRIGHT)
    labels, _ = ndimage.label(ndimage.binary_dilation(flux > limit))
    runs = []
    for (part,) in ndimage.find_objects(labels):
        weight = flux[part].sum()
        if weight > 0:
            whole = part.start > 0 and part.stop < flux.size
            runs.append(_Run(part, float(flux[part] @ heights[part] / weight), whole))
    if len(runs) > 1:
        runs = [run for run in runs if run.part.stop - run.part.start >= _SHORTEST]
    return runs


def pinhole_distance(distances: NDArray[np.float64]) -> float:
    """Vertical distance of the pinholes, from the distances of neighbouring peaks of all IFUs.

    Parameters
    ----------
    distances : ndarray of float64
        [mm]

    Returns
    -------
    float
        [mm]; the nominal one if the sequence is too short to show two peaks.
    """
    kept = cut_at_gaps(distances, *_DISTANCES, _DISTANCE_BIN)
    if kept.size == 0:
        return PINHOLE_DY
    spread = 2.0 * float(kept.std())
    if spread > 0:
        mean = float(kept.mean())
        kept = cut_at_gaps(kept, mean - spread, mean + spread, 2.0 * spread / _COARSE_BINS)
    return float(kept.mean())


def cut_at_gaps(values: NDArray[np.float64], low: float, high: float, step: float, gap: int = 1) -> NDArray[np.float64]:
    """Values of the highest peak of a histogram, up to where it has a gap.

    Parameters
    ----------
    values : ndarray of float64
    low, high : float
        Ends of the histogram.
    step : float
        Width of a bin.
    gap : int
        Empty bins in a row that are a gap.

    Returns
    -------
    ndarray of float64
        In the order of ``values``; none if no value lies between the ends.
    """
    count = max(round((high - low) / step), 1)
    edges = low + step * np.arange(count + 1)
    counts = np.histogram(values, edges)[0]
    if not counts.any():
        return values[:0]
    top = int(np.argmax(counts))
    first = _end_of_peak(counts[top::-1], gap)
    last = _end_of_peak(counts[top:], gap)
    return values[(values >= edges[top - first]) & (values <= edges[top + last + 1])]


def _end_of_peak(counts: NDArray[np.intp], gap: int) -> int:
    """How far from its first bin a peak reaches."""
    empty = 0
    for place, count in enumerate(counts):
        empty = empty + 1 if count <= _EMPTY else 0
        if empty == gap:
            return place - gap
    return len(counts) - 1 - empty
