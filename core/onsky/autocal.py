"""Slices are brought to one level, by the brightness of the sky in each (autocalibration of the reference pipeline).

In each of some ranges of wavelength (bins) a slice is as bright as the mean of its columns, without those that are
unlike the others; a slice is divided by that, times the mean of all slices. Rows are added piece by piece: what is in
memory are sums of each bin, IFU, slice and column (35 MB).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from core.errors import DataError
from core.instruments.muse.facts import N_IFU, N_SLICES

__all__ = ["Clipped", "SliceFactors", "SliceSums", "clip", "measure_factors", "wave_edges"]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]

# fmt: off
_EDGES: Final = (
    0.0, 5000.0, 5265.0, 5466.0, 5658.0, 5850.0, 6120.0, 6440.0, 6678.0, 6931.0, 7211.0, 7450.0, 7668.0, 7900.0, 8120.0,
    8330.0, 8565.0, 8731.0, 9012.0, 9275.0, 10000.0,
)
# fmt: on
_IN_NOTCH: Final = 5850.0  # no edge with adaptive optics: the notch filter leaves little on both sides of it
_COLUMNS: Final = 128  # of a slice, as the column origin of a pixel table counts them
_SIGMA: Final = 3.0
_REPEATS: Final = 15
_LEAST_ROWS: Final = 100  # of a slice in a bin; more are needed
_LEAST_OF_COLUMN: Final = 50  # rows; more are needed
_LEAST_COLUMNS: Final = 20
_LEAST_LEFT: Final = 15  # columns that clipping leaves
_LEAST_SLICES: Final = 20  # that clipping leaves
_FEW_SLICES: Final = 16  # of a half IFU: the other half tells better
_FAR: Final = 15.0  # sigma of a factor that is not believed
_JUMP: Final = 0.03  # least deviation of a factor from its neighbours in wavelength that is not believed
_JUMPS: Final = 3.0  # times the difference of the neighbours


def wave_edges(adaptive: bool) -> F64:
    """Edges of the bins [Angstrom], ascending; with adaptive optics one less."""
    return np.array([edge for edge in _EDGES if not (adaptive and edge == _IN_NOTCH)])


class SliceSums:
    """Sums of rows by bin, IFU, slice and column.

    Parameters
    ----------
    edges : ndarray of float64, shape (n + 1,)
        Of bins [Angstrom], ascending: each holds its lower edge.
    """

    def __init__(self, edges: F64) -> None:
        self.edges = edges
        shape = (edges.size - 1, N_IFU, N_SLICES, _COLUMNS)
        self.data = np.zeros(shape)
        self.rows = np.zeros(shape, np.int32)

    def add(self, origin: Int32, wave: F32, data: F32) -> None:
        """Add rows; those that are not finite do not count.

        Parameters
        ----------
        origin : ndarray of int32, shape (n,)
            As in a pixel table.
        wave, data : ndarray of float32, shape (n,)
        """
        if not _add(origin, wave, data, self.edges, self.data, self.rows):
            raise DataError("the column origin of a pixel table names IFUs or slices that there are not")


@dataclass(frozen=True, eq=False)
class SliceFactors:
    """What slices are multiplied with.

    Attributes
    ----------
    edges : ndarray of float64, shape (n + 1,)
        Of bins [Angstrom].
    factors : ndarray of float64, shape (n, IFUs, slices)
    measured : ndarray of float64, shape (n, IFUs, slices)
        As they were before those that are unlike their neighbours in wavelength were replaced.
    rows : ndarray of int32, shape (n, IFUs, slices)
        How many rows they were measured from.
    """

    edges: F64
    factors: F64
    measured: F64
    rows: Int32

    def multiply(self, origin: Int32, wave: F32, data: F32, stat: F32) -> tuple[F32, F32]:
        """Data and variances of rows times their factors; rows beyond all bins stay as they are."""
        values, variances = np.empty_like(data), np.empty_like(stat)
        _multiply(origin, wave, data, stat, self.edges, self.factors, values, variances)
        return values, variances


@dataclass(frozen=True)
class Clipped:
    """What is left of values without outliers: ``mean``, ``sigma``, and how many they are."""

    mean: float
    sigma: float
    n: int


def clip(values: F64, least: int, *, robust: bool) -> Clipped:
    """Values without those that are 3 sigma or more from their median, again and again.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        At least one.
    least : int
        How many are to be left: a cut that leaves fewer is not made.
    robust : bool
        Sigma from the median absolute deviation, else the standard deviation.
    """
    left = values
    for _ in range(_REPEATS + 1):
        centre = np.median(left)
        sigma = 1.4826 * np.median(np.abs(left - centre)) if robust else np.std(left)
        kept = left[np.abs(left - centre) < _SIGMA * sigma]
        if kept.size < least or kept.size == left.size:
            break
        left = kept
    return Clipped(float(left.mean()), float(sigma), left.size)


def measure_factors(sums: SliceSums) -> SliceFactors:
    """The factors that bring all slices to the level of their mean."""
    rows: Int32 = sums.rows.sum(axis=-1, dtype=np.int32)
    measured = np.array([_factors_of_bin(*bins) for bins in zip(sums.data, sums.rows, rows, strict=True)])
    return SliceFactors(sums.edges, _without_jumps(measured), measured, rows)


def _factors_of_bin(data: F64, counts: Int32, rows: Int32) -> F64:
    """Of one bin: ``data`` and ``counts`` by IFU, slice and column, ``rows`` by IFU and slice."""
    flux = np.array([[_flux(*cells) for cells in zip(*unit, strict=True)] for unit in zip(data, counts, strict=True)])
    if not np.isfinite(flux).any():
        return np.ones_like(flux)
    total = clip(flux[np.isfinite(flux)], _LEAST_SLICES, robust=False).mean
    halves = flux.reshape(N_IFU, 2, -1)
    typical = np.repeat([_halves(unit) for unit in halves], halves.shape[2], axis=1)
    factors = _ratio(total, np.where(np.isfinite(flux), flux, typical))
    there = (rows > 0).reshape(halves.shape)
    for unit, half in np.ndindex(N_IFU, 2):
        seen = there[unit, half]
        if seen.any():
            own = factors.reshape(halves.shape)[unit, half]
            found = clip(own[seen], _LEAST_SLICES, robust=True)
            far = np.abs(own - found.mean) > _FAR * found.sigma
            own[far] = _ratio(total, typical.reshape(halves.shape)[unit, half])[far]
    return factors


def _flux(data: F64, counts: Int32) -> float:
    """Brightness of a slice, from its columns; NaN if it has too few."""
    if counts.sum() <= _LEAST_ROWS:
        return np.nan
    full = counts > _LEAST_OF_COLUMN
    if np.count_nonzero(full) < _LEAST_COLUMNS:
        return np.nan
    found = clip(data[full] / counts[full], _LEAST_LEFT, robust=True)
    return found.mean if found.n > _LEAST_COLUMNS else np.nan


def _halves(flux: F64) -> list[float]:
    """Brightness of the halves of an IFU, from ``flux`` of shape (2, slices); 0 if nothing tells."""
    valid = [half[np.isfinite(half)] for half in flux]
    means = [clip(half, _LEAST_SLICES, robust=True).mean if half.size else 0.0 for half in valid]
    few = [half.size < _FEW_SLICES for half in valid]
    many = [half.size > _FEW_SLICES for half in valid]
    if few[0] and many[1]:
        return [means[1], means[1]]
    return [means[0], means[0]] if few[1] and many[0] else means


def _ratio(total: float, flux: F64) -> F64:
    return np.where(flux > 0, total / np.where(flux > 0, flux, 1.0), 1.0)


def _without_jumps(measured: F64) -> F64:
    """Factors like those of the bins before and after: in order, each with what became of the one before."""
    factors = measured.copy()
    n = len(factors)
    if n < 3:
        return factors
    for k in range(n):
        one, other = (factors[i] for i in ((1, 2) if k == 0 else (k - 1, k - 2) if k == n - 1 else (k - 1, k + 1)))
        mean = 0.5 * (one + other)
        jumps = np.abs(factors[k] - mean) > np.maximum(_JUMP, _JUMPS * np.abs(one - other))
        factors[k] = np.where(jumps, mean, factors[k])
    return factors


@njit(cache=True, nogil=True)
def _add(origin, wave, data, edges, sums, rows):  # type: ignore[no-untyped-def]
    k = 0
    for i in range(origin.size):
        ifu, slice_no = (origin[i] >> 6 & 31) - 1, (origin[i] & 63) - 1
        if ifu < 0 or ifu >= sums.shape[1] or slice_no < 0 or slice_no >= sums.shape[2]:
            return False
        k = _bin(wave[i], edges, k)
        if k >= 0 and k < sums.shape[0] and np.isfinite(data[i]):
            column = origin[i] >> 24 & 127
            sums[k, ifu, slice_no, column] += data[i]
            rows[k, ifu, slice_no, column] += 1
    return True


@njit(cache=True, nogil=True)
def _multiply(origin, wave, data, stat, edges, factors, values, variances):  # type: ignore[no-untyped-def]
    k = 0
    for i in range(origin.size):
        k = _bin(wave[i], edges, k)
        factor = 1.0
        if k >= 0 and k < factors.shape[0]:
            factor = factors[k, (origin[i] >> 6 & 31) - 1, (origin[i] & 63) - 1]
        values[i] = np.float32(data[i] * factor)
        variances[i] = np.float32(stat[i] * factor * factor)


@njit(cache=True, nogil=True)
def _bin(wave, edges, near):  # type: ignore[no-untyped-def]
    """The bin of a wavelength, sought from one that is near; -1 or their number beyond them."""
    while near < edges.size - 1 and wave >= edges[near + 1]:
        near += 1
    while near >= 0 and wave < edges[near]:
        near -= 1
    return near
