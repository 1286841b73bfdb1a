"""Plate solutions: the linear transformation from pixels to the plane that touches the sky, by stars of known places.

The pixel at which the plane touches the sky is given, and the place on the sky that it shows is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from core.cubes.projection import Matrix, plane_to_sky, sky_to_plane
from core.errors import DataError

__all__ = ["PlateSolution", "solve_plate"]

F64 = npt.NDArray[np.float64]

_SIGMA_OF_MEDIAN: Final = 1.48  # of Gaussian residuals
_LEAST: Final = 3  # stars, for two offsets and four elements of a matrix
_CONVERGED: Final = 1e-13  # [deg]
_MOVES: Final = 20


@dataclass(frozen=True, eq=False)
class PlateSolution:
    """What was fitted.

    Attributes
    ----------
    cd : matrix [deg/pix]
    crpix : pair of float [pix]
    crval : pair of float [deg]
    scatter : pair of float [deg]
        Of residuals to the east and north, after clipping: 1.48 times the median of their absolute values.
    used : ndarray of bool, shape (n,)
        Stars that were not clipped.
    """

    cd: Matrix
    crpix: tuple[float, float]
    crval: tuple[float, float]
    scatter: tuple[float, float]
    used: npt.NDArray[np.bool_]

    def sky(self, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[F64, F64]:
        """Right ascension and declination [deg] of pixels."""
        dx, dy = np.asarray(x, np.float64) - self.crpix[0], np.asarray(y, np.float64) - self.crpix[1]
        (cd11, cd12), (cd21, cd22) = self.cd
        ra, dec = plane_to_sky(cd11 * dx + cd12 * dy, cd21 * dx + cd22 * dy, self.crval)
        return (ra + self.crval[0]) % 360, dec


def solve_plate(
    pixels: F64,
    sky: F64,
    crpix: tuple[float, float],
    crval: tuple[float, float],
    *,
    passes: int = 2,
    sigma: float = 3.0,
) -> PlateSolution:
    """Fit the six parameters of a plate.

    Parameters
    ----------
    pixels, sky : ndarray, shape (n, 2)
        x and y [pix], right ascension and declination [deg] of stars.
    crpix : pair of float [pix]
        Where the plane touches the sky.
    crval : pair of float [deg]
        About what is seen there.
    passes : int
        How often the plate is fitted; before each but the first, stars are clipped.
    sigma : float
        Stars farther off than so many times the scatter, along one of the axes, are clipped.

    Raises
    ------
    DataError
        If there are fewer than three stars, or all on a line.
    """
    used = np.ones(len(pixels), np.bool_)
    cd, crval = _fit(pixels, sky, crpix, crval)
    for _ in range(passes - 1):
        residuals = np.abs(_residuals(pixels, sky, crpix, crval, cd))
        kept = np.all(residuals <= sigma * _scatter(residuals[used]), axis=1)
        if np.array_equal(kept, used) or np.count_nonzero(kept) < _LEAST:
            break
        used = kept
        cd, crval = _fit(pixels[used], sky[used], crpix, crval)
    east, north = _scatter(np.abs(_residuals(pixels[used], sky[used], crpix, crval, cd))).tolist()
    return PlateSolution(cd, crpix, crval, (east, north), used)


def _scatter(residuals: F64) -> F64:
    return np.asarray(_SIGMA_OF_MEDIAN * np.median(residuals, axis=0), np.float64)


def _plane(sky: F64, crval: tuple[float, float]) -> F64:
    return np.stack(sky_to_plane(sky[:, 0], sky[:, 1], crval), axis=1)


def _residuals(pixels: F64, sky: F64, crpix: tuple[float, float], crval: tuple[float, float], cd: Matrix) -> F64:
    return np.asarray((pixels - crpix) @ np.array(cd).T - _plane(sky, crval), np.float64)


def _fit(
    pixels: F64, sky: F64, crpix: tuple[float, float], crval: tuple[float, float]
) -> tuple[Matrix, tuple[float, float]]:
    """Matrix, and the place at the reference pixel: it moves until the offsets of the fit vanish."""
    design = np.column_stack((pixels - crpix, np.ones(len(pixels))))
    if len(pixels) < _LEAST or np.linalg.matrix_rank(design) < _LEAST:
        raise DataError(f"{len(pixels)} stars are too few for a plate solution, or lie on a line")
    for _ in range(_MOVES):
        coefficients, *_ = np.linalg.lstsq(design, _plane(sky, crval), rcond=None)
        (cd11, cd21), (cd12, cd22), (east, north) = coefficients.tolist()
        if not np.all(np.isfinite(coefficients)) or max(abs(east), abs(north)) < _CONVERGED:
            break
        ra, dec = plane_to_sky(east, north, crval)
        crval = (crval[0] + float(ra)) % 360, float(dec)
    return ((cd11, cd12), (cd21, cd22)), crval
