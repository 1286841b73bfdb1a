"""Horizontal positions: gaps between the stacks of slices in each IFU, and the IFUs against each other.

In each row of an IFU four slices lie side by side. How far the outermost pinholes of neighbours are from their edges
tells the gap between them; x is 0 in the middle of the central gap. Between two IFUs, pinholes that are seen at once by
the last row of one and the first row of the next tell how far their zero points are apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.trace_model import Trace
from core.instruments.muse.facts import N_IFU, N_SLICES_PER_STACK, SLICE_SKY
from core.spatial.geometry import Geometry
from core.spatial.mask import MaskScale
from core.spatial.peaks import cut_at_gaps
from core.spatial.slices import SliceMeans
from core.spatial.spots import SpotSeries

__all__ = ["CENTRAL_STACKS", "RimSpots", "align_ifus", "place_horizontally"]

CENTRAL_STACKS: Final = (3, 2)  # left and right of the central gap
_CENTRAL_SPOT: Final = 2
_RIM: Final = (13, 24, 25, 36)  # slices on the sky: bottom and top of the central stacks
_CENTRAL_GAP: Final = 0.04  # usual [pix of 0.2 arcsec]
_OUTER_GAP: Final = 0.07
_WIDEST_GAP: Final = 0.5
_FAINTEST: Final = 1000.0  # flux of a spot that is used to align IFUs [count]
_REACH: Final = 5.0  # largest shift between IFUs [pix of 0.2 arcsec]
_BIN: Final = 0.1
_GAP_BINS: Final = 2
_REFERENCE_IFU: Final = 12
_NEVER_EXACT: Final = 1e-4  # [pix of 0.2 arcsec]


@dataclass(frozen=True, eq=False)
class RimSpots:
    """Central spots of the slices at the rim of an IFU, arrays of shape (n,): one row a spot in an exposure.

    Attributes
    ----------
    slice_sky : ndarray of int32
        13, 25 (bottom), 24, 36 (top).
    wave : ndarray of float64
        Arc line [Angstrom].
    exposure : ndarray of int32
        The same number is the same exposure in all IFUs.
    flux : ndarray of float64
        [count]
    place : ndarray of float64
        Distance from the centre of the slice, to the right on the detector, in units of the width of the slice.
    """

    slice_sky: NDArray[np.int32]
    wave: NDArray[np.float64]
    exposure: NDArray[np.int32]
    flux: NDArray[np.float64]
    place: NDArray[np.float64]

    @classmethod
    def of_series(cls, series: SpotSeries, exposures: NDArray[np.int32], trace: Trace) -> RimSpots:
        """Of the measurements of an IFU in exposures of these numbers."""
        places = series.places
        sky = np.array(SLICE_SKY, np.int32)[places.slice_no - 1]
        spots = np.flatnonzero((places.number == _CENTRAL_SPOT) & np.isin(sky, _RIM))
        shape = (exposures.size, spots.size)
        place = np.empty(shape)
        for column, spot in enumerate(spots):
            number, y = int(places.slice_no[spot]), series.y[:, spot]
            width = trace.right(number, y) - trace.left(number, y)
            place[:, column] = (series.x[:, spot] - trace.center(number, y)) / width
        return cls(
            np.broadcast_to(sky[spots], shape).ravel(),
            np.broadcast_to(places.wave[spots], shape).ravel(),
            np.broadcast_to(exposures[:, None], shape).ravel(),
            series.flux[:, spots].ravel(),
            place.ravel(),
        )

    def bright(self, slice_sky: int) -> dict[tuple[float, int], float]:
        """Places of the bright spots of a slice, by line and exposure."""
        wanted = (self.slice_sky == slice_sky) & (self.flux >= _FAINTEST)
        keys = zip(self.wave[wanted].tolist(), self.exposure[wanted].tolist(), strict=True)
        return dict(zip(keys, self.place[wanted].tolist(), strict=True))


@dataclass(frozen=True)
class _Gap:
    width: float
    error: float


def place_horizontally(means: SliceMeans, mask: MaskScale, *, by_offsets: bool = False) -> Geometry:
    """Put the slices of one IFU side by side.

    Parameters
    ----------
    means : SliceMeans
    mask : MaskScale
    by_offsets : bool
        Gaps by the offsets of the central pinholes from the centres of their slices, not by the outer pinholes.

    Returns
    -------
    Geometry
        x with the middle of the central gap at 0, NaN if one of the central slices is missing; y is the height of the
        mask [mm].
    """
    index = {int(sky): row for row, sky in enumerate(np.array(SLICE_SKY)[means.slice_no - 1])}
    x, error = np.full(means.slice_no.size, np.nan), np.zeros(means.slice_no.size)
    for sky in range(1, N_SLICES_PER_STACK + 1):
        # from left to right in the field of view
        outer_left, left, right, outer_right = (index.get(sky + 12 * stack) for stack in range(4))
        if left is None or right is None:
            continue
        center = _gap(means, left, right, mask, _CENTRAL_GAP, by_offsets=by_offsets)
        for side, inner, outer in ((-1, left, outer_left), (1, right, outer_right)):
            width, width_error = means.width[inner], means.width_error[inner]
            x[inner] = side * 0.5 * (center.width + width)
            error[inner] = 0.5 * np.hypot(center.error, width_error)
            if outer is None:
                continue
            pair = (outer, inner) if side < 0 else (inner, outer)
            gap = _gap(means, *pair, mask, _OUTER_GAP, by_offsets=by_offsets)
            x[outer] = side * (0.5 * center.width + width + gap.width + 0.5 * means.width[outer])
            squares = 0.25 * center.error**2 + width_error**2 + gap.error**2 + 0.25 * means.width_error[outer] ** 2
            error[outer] = np.sqrt(squares)
    return Geometry(
        ifu=np.full(x.size, means.ifu, np.int32),
        slice_ccd=means.slice_no,
        slice_sky=np.array(SLICE_SKY, np.int32)[means.slice_no - 1],
        x=x,
        x_error=error,
        y=means.height,
        y_error=means.height_error,
        angle=means.angle,
        angle_error=means.angle_error,
        width=means.width,
        width_error=means.width_error,
    )


def _gap(means: SliceMeans, a: int, b: int, mask: MaskScale, usual: float, *, by_offsets: bool) -> _Gap:
    """Gap between a slice and its right neighbour [pix of 0.2 arcsec]; the usual one if the measured cannot be true."""
    k = mask.pix_per_mm
    offsets = k * np.hypot(means.offset_error[a], means.offset_error[b])
    error = float(np.sqrt(offsets**2 + 0.25 * (means.width_error[a] ** 2 + means.width_error[b] ** 2)))
    if by_offsets:
        halves = 0.5 * (means.width[a] + means.width[b])
        gap = float(k * (3.0 * mask.pitch + means.offset[a] - means.offset[b]) - halves)
    else:
        gap = float(k * mask.pitch * (1.0 - means.left[a] - means.right[b]))
    if 0.0 <= gap <= _WIDEST_GAP:
        return _Gap(gap, error)
    return _Gap(usual, error + float(np.sqrt(abs(gap))))


def align_ifus(
    geometry: Geometry, rims: Mapping[int, RimSpots], extra: Sequence[float] = ()
) -> tuple[Geometry, list[tuple[int, int]]]:
    """Shift the IFUs against each other, and put the zero point of x into the central one.

    Parameters
    ----------
    geometry : Geometry
        Each IFU with its own zero point of x.
    rims : mapping of int to RimSpots
        By IFU.
    extra : sequence of float
        Further shifts to the left of all IFUs above the first, second, ... [pix of 0.2 arcsec].

    Returns
    -------
    geometry : Geometry
    unknown : list of (int, int)
        IFUs that follow each other without a common pinhole: their shift is taken as 0.
    """
    x, error = geometry.x.copy(), geometry.x_error.copy()
    unknown = []
    for below, above in zip(geometry.ifus[:-1], geometry.ifus[1:], strict=True):
        higher = geometry.ifu >= above
        step = _step(geometry, rims[below], rims[above], below, above) if above == below + 1 else None
        if step is None:
            unknown.append((below, above))
        else:
            x[higher] -= step.width
            error[higher] = np.hypot(error[higher], step.error)
        if below <= len(extra):
            x[higher] -= extra[below - 1]
    return _centred(replace(geometry, x=x, x_error=error)), unknown


def _step(geometry: Geometry, lower: RimSpots, upper: RimSpots, below: int, above: int) -> _Gap | None:
    """By how much the next IFU has to go to the left."""
    estimates = []
    for stack in CENTRAL_STACKS:
        top, bottom = 12 * (5 - stack), 12 * (4 - stack) + 1
        a, b = _slice(geometry, below, top), _slice(geometry, above, bottom)
        if a is None or b is None:
            continue
        first, second = lower.bright(top), upper.bright(bottom)
        common = sorted(first.keys() & second.keys())
        apart = np.array([first[key] * geometry.width[a] - second[key] * geometry.width[b] for key in common])
        kept = cut_at_gaps(apart, -_REACH, _REACH, _BIN, _GAP_BINS)
        if kept.size:
            own = geometry.x[a] - geometry.x[b]  # what the zero points of the two IFUs already say
            estimates.append(_Gap(float(kept.mean()) - own, max(float(kept.std()), _NEVER_EXACT)))
    if not estimates:
        return None
    weights = np.array([1.0 / estimate.error**2 for estimate in estimates])
    mean = float(np.average([estimate.width for estimate in estimates], weights=weights))
    return _Gap(mean, float(1.0 / np.sqrt(weights.sum())))


def _slice(geometry: Geometry, ifu: int, slice_sky: int) -> int | None:
    """Row of a slice that has a position."""
    rows = np.flatnonzero((geometry.ifu == ifu) & (geometry.slice_sky == slice_sky) & np.isfinite(geometry.x))
    return int(rows[0]) if rows.size else None


def _centred(geometry: Geometry) -> Geometry:
    """x is 0 between the central stacks, in the uppermost row of the central IFU."""
    ifus = [_REFERENCE_IFU, *range(_REFERENCE_IFU + 1, N_IFU + 1), *range(_REFERENCE_IFU - 1, 0, -1)]
    for ifu in ifus:
        row = 24 if ifu == _REFERENCE_IFU else 18
        left, right = _slice(geometry, ifu, row), _slice(geometry, ifu, row + 12)
        if left is not None and right is not None:
            return replace(geometry, x=geometry.x - 0.5 * (geometry.x[left] + geometry.x[right]))
    return geometry
