"""Two-dimensional profiles of stars, fitted to pixels: Gaussian and Moffat (Moffat 1969, A&A 3, 455)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from core.errors import DataError

__all__ = ["BETA", "FWHM_OF_SIGMA", "Profile", "ProfileFit", "fit_profile", "moffat_radius"]

F64 = npt.NDArray[np.float64]
Shape = Literal["gaussian", "moffat"]

FWHM_OF_SIGMA: Final = 2 * math.sqrt(2 * math.log(2))
BETA: Final = 2.5  # of a usual seeing disk
_EVALUATIONS: Final = 1000
_TOLERANCE: Final = 1e-8


@dataclass(frozen=True)
class Profile:
    """A star on a background.

    Attributes
    ----------
    background : float
        In the unit of the image.
    volume : float
        Sum over all pixels, without the background.
    x, y : float
        Position [pix], the first pixel being 1.
    width_x, width_y : float
        Sigma of a Gaussian, scale radius of a Moffat function [pix].
    rho : float
        Correlation of x and y.
    beta : float
        Exponent of a Moffat function.
    """

    background: float
    volume: float
    x: float
    y: float
    width_x: float
    width_y: float
    rho: float = 0.0
    beta: float = BETA

    def fwhm(self, shape: Shape) -> tuple[float, float]:
        """Full widths at half maximum along x and y [pix]."""
        factor = FWHM_OF_SIGMA if shape == "gaussian" else 2 * math.sqrt(2 ** (1 / self.beta) - 1)
        return abs(self.width_x) * factor, abs(self.width_y) * factor

    def at(self, shape: Shape, x: npt.ArrayLike, y: npt.ArrayLike) -> F64:
        """Values at positions [pix], without integration over pixels."""
        u = (np.asarray(x, np.float64) - self.x) / self.width_x
        v = (np.asarray(y, np.float64) - self.y) / self.width_y
        narrow = 1 - self.rho * self.rho
        root = math.sqrt(narrow) if narrow > 0 else math.nan
        area = math.pi * abs(self.width_x * self.width_y) * root
        if shape == "gaussian":
            peak = self.volume / (2 * area)
            found = peak * np.exp(-(u * u - 2 * self.rho * u * v + v * v) / (2 * narrow))
        else:
            peak = self.volume * (self.beta - 1) / area
            found = peak * np.power(1 + (u * u + 2 * self.rho * u * v + v * v) / narrow, -self.beta)
        return np.asarray(self.background + found, np.float64)


@dataclass(frozen=True)
class ProfileFit:
    """A profile that was fitted.

    Attributes
    ----------
    profile : Profile
    errors : Profile
        Of its values, 0 of those that were fixed; by the errors of the pixels, not by the scatter around the fit.
    """

    profile: Profile
    errors: Profile


ALL: Final = tuple(item.name for item in fields(Profile))
_OF_SHAPE: Final[dict[Shape, tuple[str, ...]]] = {"gaussian": ALL[:-1], "moffat": ALL}


def moffat_radius(fwhm: float, beta: float = BETA) -> float:
    """Scale radius of a Moffat function of a full width at half maximum."""
    return fwhm / (2 * math.sqrt(2 ** (1 / beta) - 1))


def fit_profile(
    shape: Shape,
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    values: npt.NDArray[Any],
    errors: npt.NDArray[Any] | None,
    start: Profile,
    free: Sequence[str] | None = None,
) -> ProfileFit:
    """Fit a profile to pixels.

    Parameters
    ----------
    shape : {'gaussian', 'moffat'}
    x, y, values : ndarray, shape (n,)
        Positions [pix] and values of pixels; those that are not finite are left out.
    errors : ndarray, shape (n,), optional
        Of the values; all the same unless told.
    start : Profile
    free : sequence of str, optional
        Attributes that are fitted, all of the shape unless told; the others stay what they are.

    Raises
    ------
    DataError
        If there are fewer pixels than free parameters, or the fit does not converge to a star.
    """
    names = _OF_SHAPE[shape] if free is None else tuple(free)
    sigma = np.ones(values.shape) if errors is None else np.asarray(errors, np.float64)
    good = np.isfinite(values) & np.isfinite(sigma) & (sigma > 0)
    if np.count_nonzero(good) < len(names):
        raise DataError(f"{np.count_nonzero(good)} pixels are too few to fit {len(names)} parameters of a star")
    px, py, pv, weights = (np.asarray(a, np.float64)[good] for a in (x, y, values, 1 / np.where(good, sigma, 1)))
    model = _model(shape, names, start)

    def residuals(vector: F64) -> F64:
        with np.errstate(all="ignore"):
            found = (model(vector).at(shape, px, py) - pv) * weights
        return np.where(np.isfinite(found), found, 1e30)

    first = np.array([getattr(start, name) for name in names], np.float64)
    try:
        result = least_squares(
            residuals, first, method="lm", x_scale="jac", xtol=_TOLERANCE, ftol=_TOLERANCE,
            max_nfev=_EVALUATIONS,
        )  # fmt: skip
        covariance = np.linalg.pinv(result.jac.T @ result.jac)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise DataError(f"no {shape} profile fits the star: {error}") from error
    found = model(result.x)
    if not result.success or not np.all(np.isfinite(result.x)) or not abs(found.rho) < 1:
        raise DataError(f"no {shape} profile fits the star: {result.message}")
    spread = np.sqrt(np.maximum(np.diag(covariance), 0)).tolist()
    none = Profile(*(0.0,) * len(ALL))
    positive = replace(found, width_x=abs(found.width_x), width_y=abs(found.width_y))
    return ProfileFit(positive, replace(none, **dict(zip(names, spread, strict=True))))


def _model(shape: Shape, names: Sequence[str], start: Profile) -> Callable[[F64], Profile]:
    return lambda vector: replace(start, **dict(zip(names, vector.tolist(), strict=True)))
