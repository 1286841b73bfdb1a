"""Light of the guide-star lasers that molecules of the air scatter back (Raman): two bands, uneven over the field.

In each band the light at a place (x, y) is ``F L (1 + a x^2 + b x y + c y^2 + d x + e y)`` with what the lines of the
band are, L, at its wavelength; the shape over the field is the same in both. The sum of the squares of
what is left is a polynomial in these numbers, whose coefficients are sums over the pixels: they are gathered piece by
piece, and the pixels need not be kept.

Source: MUSE manual, 6.6.4; wavelengths of the bands: Vogt et al. 2017 (Phys. Rev. X 7, 021044).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from core.errors import DataError

__all__ = ["BANDS", "RamanBand", "RamanFit", "RamanMoments", "fit_raman"]

F64 = npt.NDArray[np.float64]

_PIXELS: Final = 100.0  # unit of positions within the sums
_TERMS: Final = 6
_UNITS: Final = np.array([_PIXELS**2, _PIXELS**2, _PIXELS**2, _PIXELS, _PIXELS])


@dataclass(frozen=True)
class RamanBand:
    """A band.

    Attributes
    ----------
    name : str
        Molecule.
    group : int
        Of its lines in RAMAN_LINES.
    wave : float
        In air [Angstrom].
    """

    name: str
    group: int
    wave: float


BANDS: Final = (RamanBand("O2", 0, 6484.0), RamanBand("N2", 1, 6827.0))


@dataclass
class RamanMoments:
    """Sums over the pixels of a band.

    Attributes
    ----------
    n : int
        Number of pixels.
    """

    n: int = 0
    _sums: F64 = field(default_factory=lambda: np.zeros(_TERMS + 1))
    _products: F64 = field(default_factory=lambda: np.zeros((_TERMS + 1, _TERMS + 1)))

    def add(self, light: F64, x: npt.NDArray[Any], y: npt.NDArray[Any], data: npt.NDArray[Any]) -> None:
        """Add pixels.

        Parameters
        ----------
        light : ndarray of float64, shape (n,)
            The lines of the band at their wavelengths.
        x, y : ndarray, shape (n,)
            [pix].
        data : ndarray, shape (n,)
        """
        terms = np.concatenate([_shape_terms(x, y) * light, np.asarray(data, np.float64)[None]])
        self.n += light.size
        self._sums += terms.sum(axis=1)
        self._products += terms @ terms.T

    def equations(self) -> tuple[F64, F64]:
        """Matrix (6, 6) and right side (6,) whose least squares are those of the pixels, each less its mean."""
        if not self.n:
            return np.zeros((_TERMS, _TERMS)), np.zeros(_TERMS)
        centred = self._products - np.outer(self._sums, self._sums) / self.n
        values, vectors = np.linalg.eigh(centred[:_TERMS, :_TERMS])
        roots = np.sqrt(np.maximum(values, 0))
        known = roots > roots.max() * _TERMS * np.sqrt(np.finfo(np.float64).eps)
        inverse = np.divide(1, roots, out=np.zeros(_TERMS), where=known)
        return (vectors * np.where(known, roots, 0)).T, inverse * (vectors.T @ centred[:_TERMS, _TERMS])


@dataclass(frozen=True, eq=False)
class RamanFit:
    """The light as it was fitted.

    Attributes
    ----------
    shape : ndarray of float64, shape (5,)
        Of x^2, x y, y^2 [1/pix^2], x, y [1/pix].
    flux : dict of float
        Factor of the lines of each band, by its name.
    """

    shape: F64
    flux: Mapping[str, float]

    def at(self, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> F64:
        """Brightness at places [pix], 1 at the origin."""
        vector = np.concatenate([[1.0], self.shape * _UNITS])
        return np.asarray(np.tensordot(vector, _shape_terms(x, y), axes=1), np.float64)


def fit_raman(moments: Mapping[str, RamanMoments]) -> RamanFit:
    """Fit the brightness of bands and their common shape over the field.

    Parameters
    ----------
    moments : mapping of RamanMoments
        By the name of the band.

    Raises
    ------
    DataError
        If a band has no pixels, or none that its lines reach, or the fit finds no end.
    """
    equations = {name: sums.equations() for name, sums in moments.items()}
    names = list(equations)
    if not names or not all(np.any(matrix[:, 0]) for matrix, _ in equations.values()):
        raise DataError("no pixel shows light of the lasers", rule="RAMAN_LINES")
    start = [float(matrix[:, 0] @ right / (matrix[:, 0] @ matrix[:, 0])) for matrix, right in equations.values()]

    def residuals(vector: F64) -> F64:
        shape = np.concatenate([[1.0], vector[:5]])
        return np.concatenate([
            flux * (matrix @ shape) - right
            for flux, (matrix, right) in zip(vector[5:], equations.values(), strict=True)
        ])  # fmt: skip

    found = least_squares(residuals, [0.0] * 5 + start, method="trf", x_scale="jac", xtol=1e-12, ftol=1e-12, gtol=1e-12)
    if not found.success:
        raise DataError(f"the light of the lasers cannot be fitted: {found.message}", rule="RAMAN_LINES")
    return RamanFit(found.x[:5] / _UNITS, dict(zip(names, found.x[5:].tolist(), strict=True)))


def _shape_terms(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> F64:
    """1, x^2, x y, y^2, x, y, in the unit of the sums."""
    u, v = np.asarray(x, np.float64) / _PIXELS, np.asarray(y, np.float64) / _PIXELS
    return np.stack([np.ones_like(u), u * u, u * v, v * v, u, v])
