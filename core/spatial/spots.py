"""Where the pinholes are on the detector, and what each exposure of the mask shows there.

In each slice three pinholes are seen, at each arc line. They are found on the average of all exposures (`find_spots`);
each exposure is then measured at these places (`measure_spots`), whether the mask stands so that there is light or not.
Positions are 1-based pixels of the trimmed image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.ccd.trace_model import Trace
from core.errors import DataError
from core.spatial.spotfit import N_MEASURED, measure
from core.spectral.dispersion import Dispersion
from core.spread import Spread, in_turn

__all__ = ["N_SPOTS", "SpotPlaces", "SpotSeries", "find_spots", "measure_spots"]

N_SPOTS: Final = 3  # pinholes seen by a slice
_HALF_BOX: Final = 7  # rows around a line in which the pinholes are looked for
_KERNEL: Final = np.exp(-0.5 * np.arange(-2.0, 3.0) ** 2)
_CHUNKS: Final = 8


@dataclass(frozen=True, eq=False)
class SpotPlaces:
    """Places of spots, arrays of shape (n,); the three of a slice and line follow each other.

    Attributes
    ----------
    slice_no : ndarray of int32
        On the detector.
    wave : ndarray of float64
        Arc line [Angstrom].
    number : ndarray of int32
        1..3 from left to right.
    x, y : ndarray of float64
        [pix]
    """

    slice_no: NDArray[np.int32]
    wave: NDArray[np.float64]
    number: NDArray[np.int32]
    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class SpotSeries:
    """Measurements of spots in the exposures of a sequence, arrays of shape (exposures, spots).

    Attributes
    ----------
    places : SpotPlaces
    x, y : ndarray of float64
        Centre [pix]; where the spot was found if there is no light in this exposure.
    x_fwhm, y_fwhm : ndarray of float64
        [pix]; 0 without light.
    flux : ndarray of float64
        At least 0 [count].
    background : ndarray of float64
        [count/pix]
    """

    places: SpotPlaces
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    x_fwhm: NDArray[np.float64]
    y_fwhm: NDArray[np.float64]
    flux: NDArray[np.float64]
    background: NDArray[np.float64]

    @classmethod
    def of_exposures(cls, places: SpotPlaces, measured: list[NDArray[np.float64]]) -> SpotSeries:
        """Put together what `measure_spots` gave for each exposure."""
        return cls(places, *np.moveaxis(np.stack(measured), 2, 0))


def find_spots(
    image: NDArray[np.float32], trace: Trace, dispersion: Dispersion, lines: NDArray[np.float64], sigma: float
) -> SpotPlaces:
    """Look for the pinholes on the average of all exposures.

    Parameters
    ----------
    image : ndarray of float32 (ny, nx)
        [count]
    trace : Trace
    dispersion : Dispersion
    lines : ndarray of float64
        Arc lines [Angstrom].
    sigma : float
        Detection limit: mean absolute deviations above the median.

    Returns
    -------
    SpotPlaces
        By line, slice, and from left to right; without those where other than three spots are seen.

    Raises
    ------
    DataError
        If there are none at all.
    """
    rows = np.arange(1.0, image.shape[0] + 1)
    slices = [number for number in trace.valid_slices if dispersion.has(number)]
    waves = {number: dispersion.wavelength(number, trace.center(number, rows), rows) for number in slices}
    found: list[tuple[float, int, int, float, float]] = []
    for line in lines:
        for number in slices:
            row = _row_of(line, waves[number])
            if row is None:
                continue
            spots = _spots_in(image, trace, number, row, sigma)
            if len(spots) == N_SPOTS:
                found += [(line, number, place, *spot) for place, spot in enumerate(spots, start=1)]
    if not found:
        raise DataError("no slice shows three pinholes at any arc line")
    wave, number, place, x, y = np.array(found).T
    return SpotPlaces(number.astype(np.int32), wave, place.astype(np.int32), x, y)


def _row_of(line: float, waves: NDArray[np.float64]) -> int | None:
    """0-based row of a wavelength at the centre of a slice, if the box around it lies on the detector."""
    if not waves[0] < line < waves[-1]:
        return None
    row = int(np.argmin(np.abs(waves - line)))
    return row if _HALF_BOX <= row < waves.size - _HALF_BOX else None


def _spots_in(
    image: NDArray[np.float32], trace: Trace, slice_no: int, row: int, sigma: float
) -> list[tuple[float, float]]:
    """Centres of what stands out in a slice around a row, from left to right."""
    first = max(round(float(trace.left(slice_no, row + 1.0))) - 1, 0)
    last = min(round(float(trace.right(slice_no, row + 1.0))), image.shape[1])
    if last - first < N_SPOTS:
        return []
    box = image[row - _HALF_BOX : row + _HALF_BOX + 1, first:last].astype(np.float64)
    level = float(np.median(box))
    limit = level + sigma * float(np.mean(np.abs(box - level)))
    kernel = _KERNEL / _KERNEL.sum()
    smooth = ndimage.correlate1d(ndimage.correlate1d(box, kernel, axis=0, mode="nearest"), kernel, mode="nearest")
    labels, count = ndimage.label(smooth > limit)
    if count != N_SPOTS:
        return []
    centres = ndimage.center_of_mass(smooth - level, labels, range(1, N_SPOTS + 1))
    return sorted((float(x) + first + 1, float(y) + row - _HALF_BOX + 1) for y, x in centres)


def measure_spots(
    image: NDArray[np.float32],
    bad: NDArray[np.bool_],
    places: SpotPlaces,
    *,
    gaussian: bool = True,
    spread: Spread = in_turn,
) -> NDArray[np.float64]:
    """Measure all spots in one exposure.

    Parameters
    ----------
    image : ndarray of float32 (ny, nx)
        [count]
    bad : ndarray of bool (ny, nx)
        Pixels to leave out.
    places : SpotPlaces
    gaussian : bool
        Fit a Gaussian; else take barycentre and width at half maximum.
    spread : Spread
        Measures some spots side by side.

    Returns
    -------
    ndarray of float64 (n, 6)
        x, y, FWHM in x, FWHM in y [pix], flux [count], background [count/pix]; see `SpotSeries`.
    """
    out = np.zeros((len(places), N_MEASURED))

    def run(chunk: NDArray[Any]) -> None:
        if chunk.size:
            part = slice(int(chunk[0]), int(chunk[-1]) + 1)
            measure(image, bad, places.x[part], places.y[part], gaussian, out[part])

    spread(run, np.array_split(np.arange(len(places)), _CHUNKS))
    return out
