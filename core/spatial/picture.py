"""A picture of the spectra of an IFU for the eye: rows resampled along the wavelength, slices side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["RowsOfSlice", "spectra_side_by_side"]

_REACH: Final = 1.25  # of the weights, in pixels
_LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class RowsOfSlice:
    """Rows of a slice, arrays of shape (n,): position along it [pix], wavelength [Angstrom], value and flags."""

    xpos: NDArray[np.float32]
    wave: NDArray[np.float32]
    data: NDArray[np.float32]
    dq: NDArray[np.int32]


def spectra_side_by_side(
    slices: Iterable[RowsOfSlice], wave_range: tuple[float, float], step: float
) -> NDArray[np.float32]:
    """Resample rows without flags on a common axis of wavelengths.

    Parameters
    ----------
    slices : iterable of RowsOfSlice
        From left to right.
    wave_range : tuple of float
        First wavelength of the picture, and the last one to be covered [Angstrom].
    step : float
        Wavelength per pixel of the picture [Angstrom].

    Returns
    -------
    ndarray of float32 (n_wave, sum of the widths of the slices)
        NaN where no row contributes. Values are averaged with weights ((rc - d) / (rc d))^2 of the distance d in
        wavelength, rc = 1.25 steps (Renka 1988, ACM TOMS 14, 139).
    """
    low, high = wave_range
    n_wave = math.ceil((high - low) / step) + 1
    pictures = [_picture(rows, low, step, n_wave) for rows in slices if rows.xpos.size]
    return np.concatenate(pictures, axis=1) if pictures else np.zeros((n_wave, 0), np.float32)


def _picture(rows: RowsOfSlice, low: float, step: float, n_wave: int) -> NDArray[np.float32]:
    left = float(rows.xpos.min())
    width = math.ceil(float(rows.xpos.max()) - left) + 1
    sums = np.zeros((2, n_wave, width))
    _gather(rows.xpos, rows.wave, rows.data, rows.dq, left, low, step, _REACH * step, sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[1] > 0, sums[0] / sums[1], np.nan).astype(np.float32)


@njit(cache=True, nogil=True)
def _gather(xpos, wave, data, dq, left, low, step, reach, sums):  # type: ignore[no-untyped-def]
    """Add each row to the pixel that it lies in and to those before and after it in wavelength."""
    n_wave, width = sums.shape[1:]
    for k in range(data.size):
        if dq[k] != 0:
            continue
        column = int(np.floor(np.float64(xpos[k]) - left + 0.5))
        nearest = int(np.floor((np.float64(wave[k]) - low) / step + 0.5))
        if not 0 <= column < width:
            continue
        for line in range(max(nearest - 1, 0), min(nearest + 2, n_wave)):
            distance = abs(low + line * step - wave[k])
            if distance >= reach:
                continue
            weight = _LARGEST if distance == 0.0 else ((reach - distance) / (reach * distance)) ** 2
            sums[0, line, column] += weight * data[k]
            sums[1, line, column] += weight
