"""What a pixel counts for a voxel, by the distance between them: the six methods of resampling.

Distances of the inverse powers, of ``renka`` and of ``lanczos`` are in pixels of the instrument and in its natural
sampling; those of ``drizzle`` in the units of the axes.

Sources: MUSE manual 6.6; Renka 1988 (ACM TOMS 14, 139); Fruchter & Hook 2002 (PASP 114, 144).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numba import njit

from core.cubes.grid import TablePositions
from core.cubes.wcs import CubeGrid
from core.errors import ParameterError
from core.instruments.muse.facts import SAMPLING

__all__ = [
    "DRIZZLE",
    "LANCZOS",
    "NEAREST",
    "Kernel",
    "Method",
    "Resampling",
    "depth",
    "kernel_of",
    "overlap",
    "squared",
    "weight",
]

Method = Literal["nearest", "linear", "quadratic", "renka", "drizzle", "lanczos"]

NEAREST, LINEAR, QUADRATIC, RENKA, DRIZZLE, LANCZOS = range(6)
_METHODS: Final[dict[Method, int]] = {
    "nearest": NEAREST,
    "linear": LINEAR,
    "quadratic": QUADRATIC,
    "renka": RENKA,
    "drizzle": DRIZZLE,
    "lanczos": LANCZOS,
}
_HERE: Final = float(np.finfo(np.float32).max)  # weight at no distance
_BEYOND: Final = float(np.finfo(np.float64).tiny)  # weight beyond the radius: counts only if no other pixel does


@dataclass(frozen=True)
class Resampling:
    """How pixels become voxels.

    Attributes
    ----------
    method : str
        ``nearest``, ``linear``, ``quadratic``, ``renka``, ``drizzle`` or ``lanczos``.
    reach : int
        Cells around a voxel whose pixels count (``ld``), in all three directions.
    radius : float
        Critical radius of ``renka`` (``rc``), in voxels.
    pixfrac : tuple of float
        Shrinking of the pixels by ``drizzle``, in x, y and wavelength.

    Raises
    ------
    ParameterError
        If there is no such method, or a number is not positive.
    """

    method: Method = "drizzle"
    reach: int = 1
    radius: float = 1.25
    pixfrac: tuple[float, float, float] = (0.8, 0.8, 0.8)

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise ParameterError(f"pixels are not resampled by {self.method!r}")
        if self.reach < 1 or not self.radius > 0 or not all(fraction > 0 for fraction in self.pixfrac):
            raise ParameterError(
                f"ld={self.reach}, rc={self.radius} and pixfrac={self.pixfrac} must be positive, for resampling"
            )

    @property
    def margin(self) -> int:
        """Cells around a region whose pixels count in it."""
        return 0 if self.method == "nearest" else self.reach


class Kernel(NamedTuple):
    """The method and its numbers, for kernels."""

    method: int
    reach: int
    radius: float  # of renka, in pixels
    scale_x: float  # of a pixel of the instrument, in units of the axes
    scale_y: float
    in_x: float  # size of a shrunk pixel, in units of the axes
    in_y: float
    in_z: float
    out_x: float  # size of a voxel
    out_y: float


def kernel_of(resampling: Resampling, grid: CubeGrid, positions: TablePositions) -> Kernel:
    """The numbers of a method for a cube and a table."""
    scale_x, scale_y = positions.scales
    out_x, out_y = grid.spatial.scales
    diagonal = math.hypot(out_x / scale_x, out_y / scale_y, grid.spectral.cd / SAMPLING)
    fraction_x, fraction_y, fraction_z = resampling.pixfrac
    return Kernel(
        _METHODS[resampling.method],
        resampling.reach,
        resampling.radius * diagonal,
        scale_x,
        scale_y,
        fraction_x * scale_x,
        fraction_y * scale_y,
        fraction_z * SAMPLING,
        out_x,
        out_y,
    )


@njit(cache=True, nogil=True)
def overlap(distance, pixel, voxel):  # type: ignore[no-untyped-def]
    """Length along one axis that pixel and voxel have in common, from their sizes and the distance of the centres."""
    return max(min(0.5 * (pixel + voxel) - distance, pixel, voxel), 0.0)


@njit(cache=True, nogil=True)
def squared(dx, dy, dz, kernel):  # type: ignore[no-untyped-def]
    """Square of a distance that is given in units of the axes, in pixels."""
    return (dx / kernel.scale_x) ** 2 + (dy / kernel.scale_y) ** 2 + (dz / SAMPLING) ** 2


@njit(cache=True, nogil=True)
def depth(dz, kernel):  # type: ignore[no-untyped-def]
    """What `weight` needs of a distance in wavelength [Angstrom]; 0 with ``lanczos`` means that nothing counts."""
    z = dz / SAMPLING
    if kernel.method == LANCZOS:
        return 0.0 if z > kernel.reach else _lanczos(z, kernel.reach)
    return z**2


@njit(cache=True, nogil=True)
def weight(dx, dy, deep, kernel):  # type: ignore[no-untyped-def]
    """Weight by all methods but ``nearest`` and ``drizzle``.

    ``dx`` and ``dy`` are distances in units of the axes, ``deep`` is the `depth` of the third.
    """
    x, y = dx / kernel.scale_x, dy / kernel.scale_y
    if kernel.method == LANCZOS:
        if x >= kernel.reach or y >= kernel.reach:
            return 0.0
        return _lanczos(x, kernel.reach) * _lanczos(y, kernel.reach) * deep
    square = x**2 + y**2 + deep
    if square == 0:
        return _HERE
    if kernel.method == QUADRATIC:
        return 1 / square
    distance = math.sqrt(square)
    if kernel.method == LINEAR:
        return 1 / distance
    if distance >= kernel.radius:
        return _BEYOND
    return ((kernel.radius - distance) / (kernel.radius * distance)) ** 2


@njit(cache=True, nogil=True)
def _lanczos(x, reach):  # type: ignore[no-untyped-def]
    if x == 0:
        return 1.0
    angle = math.pi * x
    return math.sin(angle) / angle * (math.sin(angle / reach) / (angle / reach))
