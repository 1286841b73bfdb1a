"""A cut through the middle of a flat field becomes the positions of the 48 slices.

Columns brighter than a fraction of the median of the cut form runs; a run of plausible width is a slice. The
fraction is lowered until all slices stand apart. If that never happens (a slice lies in the dark), the regular pitch
of the slices tells which one is missing, so that one broken slice does not cost the other 47.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from core.ccd.trace_cuts import Image, Patches, sum_rows
from core.errors import TracingError
from core.instruments.muse.facts import N_SLICES, SLICE_FIRST_SEARCH, SLICE_WIDTH_LIMITS

__all__ = ["SlicePositions", "central_cut", "find_slices"]

FloatArray: TypeAlias = npt.NDArray[np.float64]

_CUT_ROWS = 16  # rows summed on either side of the middle
_LOWER_BY = 1.2  # the fraction is divided by this for the next try
_LARGEST_SPLIT = 3  # a dark run not wider than this [pix] inside a slice is a column defect; gaps are wider
_LOWEST_FRACTION = 0.01  # below, noise between the slices is taken for light
_IRREGULAR = 0.25  # largest deviation of a step between slices from their pitch, as a fraction of it


@dataclass(frozen=True, eq=False)
class SlicePositions:
    """Slices on the central cut.

    Attributes
    ----------
    centers : ndarray of int64, shape (48,)
        FITS column of the pixel at the centre of each slice.
    widths : ndarray of float64, shape (48,)
        Width on the cut [pix]; NaN for a slice that was not seen there.
    fraction : float
        Fraction of the median of the cut at which the slices stood apart.
    """

    centers: npt.NDArray[np.int64]
    widths: FloatArray
    fraction: float

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """Shape (48,): whether the slice was seen on the cut."""
        return np.asarray(np.isfinite(self.widths), dtype=np.bool_)


def central_cut(image: Image, patches: Patches, middle: int) -> FloatArray:
    """Bright side of two normalised cuts just below and above the middle of the detector.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
    patches : Patches
        Replacements of flagged pixels.
    middle : int
        Uppermost FITS row of the lower ports. The 16 rows below it and the 16 rows above it are used; a defect
        column of one port is thus seen on one side only.

    Returns
    -------
    ndarray of float64, shape (nx,)

    Raises
    ------
    TracingError
        If the detector is too small or the cut holds no light.
    """
    if middle <= _CUT_ROWS or middle + _CUT_ROWS > image.shape[0]:
        raise TracingError(f"a detector half of {middle} rows is too small to find the slices")
    below = sum_rows(image, patches, middle - 1 - _CUT_ROWS, middle - 1)
    above = sum_rows(image, patches, middle, middle + _CUT_ROWS)
    with np.errstate(divide="ignore", invalid="ignore"):
        cut = np.fmax(below / below.mean(), above / above.mean())
    if below.mean() <= 0 or above.mean() <= 0 or not np.isfinite(cut).all() or np.median(cut) <= 0:
        raise TracingError("there is no light in the middle of the flat field")
    return np.asarray(cut)


def find_slices(cut: FloatArray, edgefrac: float) -> SlicePositions:
    """Find the 48 slices on a central cut.

    Parameters
    ----------
    cut : ndarray of float64, shape (nx,)
        See `central_cut`.
    edgefrac : float
        Fraction of the median of the cut at which a slice begins; lowered if the slices do not stand apart.

    Raises
    ------
    TracingError
        If so few slices are seen that the missing ones cannot be located.
    """
    median = float(np.median(cut))
    fraction = edgefrac
    best: tuple[FloatArray, float] | None = None
    while fraction >= min(_LOWEST_FRACTION, edgefrac):
        edges = _runs(cut, fraction * median)
        if len(edges) == N_SLICES and _apart(edges):
            return SlicePositions(_centers(edges), edges[:, 1] - edges[:, 0], fraction)
        if best is None or abs(len(edges) - N_SLICES) < abs(len(best[0]) - N_SLICES):
            best = edges, fraction
        fraction /= _LOWER_BY
    assert best is not None
    return _complete(*best)


def _runs(cut: FloatArray, limit: float) -> FloatArray:
    """Edges (0-based, halfway between pixels) of the bright runs as wide as a slice, shape (n, 2)."""
    bright = np.concatenate(([False], cut >= limit, [False]))
    steps = np.flatnonzero(bright[1:] != bright[:-1])
    starts, stops = steps[::2], steps[1::2]
    merged: list[list[float]] = []
    for start, stop in zip(starts, stops, strict=True):
        if (
            merged
            and start - 0.5 - merged[-1][1] <= _LARGEST_SPLIT
            and stop - 0.5 - merged[-1][0] <= SLICE_WIDTH_LIMITS[1]
        ):
            merged[-1][1] = stop - 0.5
        else:
            merged.append([start - 0.5, stop - 0.5])
    edges = np.array(merged).reshape(-1, 2)
    return edges[edges[:, 1] - edges[:, 0] > SLICE_WIDTH_LIMITS[0] / 2]


def _centers(edges: FloatArray) -> npt.NDArray[np.int64]:
    """FITS pixels at the middle of edges."""
    return np.floor(edges.mean(axis=1) + 0.5).astype(np.int64) + 1


def _apart(edges: FloatArray) -> bool:
    """Whether runs follow each other like slices, the first one where it belongs and of the right width."""
    width = edges[0, 1] - edges[0, 0]
    steps = np.diff(_centers(edges))
    return bool(
        edges[0, 0] < SLICE_FIRST_SEARCH
        and SLICE_WIDTH_LIMITS[0] <= width <= SLICE_WIDTH_LIMITS[1]
        and (steps >= SLICE_WIDTH_LIMITS[0]).all()
        and (np.abs(steps - np.median(steps)) < _IRREGULAR * np.median(steps)).all()
    )


def _complete(edges: FloatArray, fraction: float) -> SlicePositions:
    """Number the runs by the pitch of the slices, and interpolate those that are missing."""
    widths = edges[:, 1] - edges[:, 0]
    # Runs that joined two slices, or vignetted ones, do not help to find the pitch.
    whole = (widths >= SLICE_WIDTH_LIMITS[0]) & (widths <= SLICE_WIDTH_LIMITS[1])
    centers = _centers(edges)[whole].astype(np.float64)
    if len(centers) < N_SLICES // 2:
        raise TracingError(
            f"only {len(centers)} of {N_SLICES} slices found in the middle of the flat field; "
            "another edgefrac may help",
            parameter="edgefrac",
        )
    steps = np.diff(centers)
    pitch = float(np.median(steps[steps < 1.5 * np.median(steps)]))
    multiples = np.maximum(np.floor(steps / pitch + 0.5), 1)
    if (np.abs(steps - multiples * pitch) > _IRREGULAR * pitch).any():
        raise TracingError("what is bright in the middle of the flat field has no regular pitch like slices")
    numbers = np.concatenate(([0], np.cumsum(multiples))).astype(np.int64)
    # The leftmost slice begins well within one pitch of the detector's edge.
    numbers += int(max(np.floor((centers[0] - pitch / 2) / pitch), 0))
    if numbers[-1] >= N_SLICES:
        raise TracingError(
            f"the slices found in the middle of the flat field reach number {numbers[-1] + 1} of {N_SLICES}; "
            "another edgefrac may help",
            parameter="edgefrac",
        )
    everywhere = np.arange(N_SLICES)
    filled = np.interp(everywhere, numbers, centers)
    before, after = everywhere < numbers[0], everywhere > numbers[-1]
    filled[before] = centers[0] + (everywhere[before] - numbers[0]) * pitch
    filled[after] = centers[-1] + (everywhere[after] - numbers[-1]) * pitch
    found = np.full(N_SLICES, np.nan)
    found[numbers] = widths[whole]
    return SlicePositions(np.floor(filled + 0.5).astype(np.int64), found, fraction)
