"""A cube becomes images: means over wavelength, through a filter or over all planes.

Planes come one slab after the other, in order, so that a cube need not be in memory; the sums do not depend on where
the slabs begin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from core.cubes.wcs import WaveAxis
from core.errors import DataError
from core.instruments.muse.facts import NOMINAL_RANGE
from core.spread import Spread, in_turn

__all__ = ["WHITE", "FieldImage", "Filter", "box_filter"]

_EDGE: Final = 1e-5  # [Angstrom] width of the edges of a box filter
_STEP: Final = 1.0  # [Angstrom] of the sums that tell the part of a filter that a cube covers
_ROWS: Final = 32  # of spaxels that a thread takes at a time


@dataclass(frozen=True, eq=False)
class Filter:
    """The throughput of a filter.

    Attributes
    ----------
    name : str
    wave : ndarray of float64, shape (n,)
        Ascending [Angstrom].
    throughput : ndarray of float64, shape (n,)
    zero_points : mapping of str to float
        Of photometric systems, like ``AB`` [mag].
    """

    name: str
    wave: npt.NDArray[np.float64]
    throughput: npt.NDArray[np.float64]
    zero_points: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.wave.size != self.throughput.size or self.wave.size < 2 or np.any(np.diff(self.wave) < 0):
            raise DataError(f"the filter {self.name} has no table of ascending wavelengths")

    def response(self, wave: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Throughput at wavelengths [Angstrom], 0 outside the table."""
        return np.interp(np.asarray(wave, np.float64), self.wave, self.throughput, left=0.0, right=0.0)

    def fraction(self, low: float, high: float) -> float:
        """Part of the whole throughput that lies between two wavelengths [Angstrom], 0 ... 1.

        Raises
        ------
        DataError
            If the filter lets nothing through.
        """
        count = math.floor((self.wave[-1] - self.wave[0]) / _STEP) + 1
        wave = self.wave[0] + _STEP * np.arange(count)
        response = self.response(wave)
        total = float(response.sum())
        if not total > 0:
            raise DataError(f"the filter {self.name} lets nothing through")
        return float(response[(wave >= low) & (wave <= high)].sum()) / total


def box_filter(name: str, low: float, high: float) -> Filter:
    """A filter that lets everything through between two wavelengths [Angstrom]."""
    return Filter(name, np.array([low - _EDGE, low, high, high + _EDGE]), np.array([0.0, 1.0, 1.0, 0.0]))


WHITE: Final = box_filter("white", *NOMINAL_RANGE)


class FieldImage:
    """An image of a cube, summed up plane by plane.

    Parameters
    ----------
    axis : WaveAxis
    shape : tuple of int
        ``(nz, ny, nx)`` of the cube.
    through : Filter, optional
        All planes count alike without it.
    by_variance : bool
        Whether voxels are weighted by the inverse of their variances.
    """

    def __init__(
        self, axis: WaveAxis, shape: tuple[int, int, int], through: Filter | None = None, *, by_variance: bool = False
    ) -> None:
        wave = axis.wave(np.arange(shape[0]))
        self._factors = np.ones(shape[0]) if through is None else through.response(wave)
        self._axis = axis
        self._by_variance = by_variance
        self._sums = np.zeros((2, *shape[1:]))
        self._next = 0
        self.through = through

    @property
    def fraction(self) -> float | None:
        """Part of the filter that the planes with a response cover, 0 ... 1; None without a filter.

        The planes reach to the wavelength of the one after the last, as in the reference pipeline.
        """
        used = np.flatnonzero(self._factors)
        if self.through is None or not used.size:
            return None if self.through is None else 0.0
        low, high = self._axis.wave([used[0], used[-1] + 1]).tolist()
        return self.through.fraction(low, high)

    def add(
        self,
        z0: int,
        data: npt.NDArray[np.float32],
        stat: npt.NDArray[np.float32] | None = None,
        spread: Spread = in_turn,
    ) -> None:
        """Add planes.

        Parameters
        ----------
        z0 : int
            The first, from 0: the one after those that were added before.
        data : ndarray of float32, shape (n, ny, nx)
            Voxels without a value (NaN) do not count.
        stat : ndarray of float32, same shape, optional
            Variances, if voxels are weighted by them.
        spread : Spread
            Threads of the caller.

        Raises
        ------
        DataError
            If planes come out of order or have another shape, or variances are missing.
        """
        if z0 != self._next or data.shape[1:] != self._sums.shape[1:] or z0 + len(data) > self._factors.size:
            raise DataError(f"planes {data.shape} at {z0} are not those after plane {self._next - 1} of the cube")
        if self._by_variance and stat is None:
            raise DataError("voxels without variances are not weighted by them")
        factors = self._factors[z0 : z0 + len(data)]
        weights = stat if self._by_variance else np.empty((0, 0, 0), np.float32)
        spread(
            lambda y: _add_rows(data, weights, factors, y, min(y + _ROWS, data.shape[1]), self._sums),
            range(0, data.shape[1], _ROWS),
        )
        self._next += len(data)

    def image(self) -> npt.NDArray[np.float32]:
        """The image, shape (ny, nx); NaN where no voxel counts."""
        values, weights = self._sums
        image: npt.NDArray[Any] = np.full(values.shape, np.nan, np.float32)
        np.divide(values, weights, out=image, where=weights != 0, casting="same_kind")
        return image


@njit(cache=True, nogil=True)
def _add_rows(data, stat, factors, first, last, sums):  # type: ignore[no-untyped-def]
    for z in range(data.shape[0]):
        if factors[z] == 0:
            continue
        for y in range(first, last):
            for x in range(data.shape[2]):
                value = np.float64(data[z, y, x])
                weight = factors[z]
                if stat.size:
                    weight /= stat[z, y, x]
                if np.isfinite(value) and np.isfinite(weight):
                    sums[0, y, x] += weight * value
                    sums[1, y, x] += weight
