"""Stars and galaxies: where they are, how bright, and what of them a place in the field sees."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.simulator import light_kernels
from core.simulator.light import WAVE_GRID
from core.simulator.photometry import REFERENCE_WAVE, ZERO_MAGNITUDE, star_spectrum
from core.simulator.pointing import View
from core.simulator.seeds import stream
from core.staticcal.standards import standard_stars

__all__ = ["Galaxy", "Moffats", "Star", "galaxies_in_field", "stars_in_field"]

F64 = NDArray[np.float64]

STAR_KINDS: Final = ("hot", "solar", "cool")
_BETA: Final = 2.5  # of the Moffat profile
_SEEING_SLOPE: Final = -0.2  # of the FWHM with wavelength
_WIDEST: Final = 1.0 / (2.0 * (2.0 ** (1.0 / _BETA) - 1.0) ** 0.5)  # alpha over FWHM


@dataclass(frozen=True)
class Star:
    """A star.

    Attributes
    ----------
    ra, dec : float
        [deg, J2000]
    magnitude : float
        Of the continuum at 5500 Angstrom.
    kind : str
        ``hot``, ``solar`` or ``cool``, or the name of a standard star.
    """

    ra: float
    dec: float
    magnitude: float
    kind: str = "solar"

    @classmethod
    def standard(cls, name: str) -> Star:
        """A standard star at its place, with its published flux."""
        published = standard_stars()[name]
        flux = float(published.at(REFERENCE_WAVE))
        return cls(published.ra, published.dec, -2.5 * math.log10(flux / ZERO_MAGNITUDE), name)

    def flux(self, wave: F64) -> F64:
        """Flux outside the air [erg/s/cm2/Angstrom]."""
        return ZERO_MAGNITUDE * 10.0 ** (-0.4 * self.magnitude) * star_spectrum(self.kind, wave)


@dataclass(frozen=True)
class Galaxy:
    """A galaxy: a round Moffat profile, stars of the solar kind, emission lines.

    Attributes
    ----------
    ra, dec : float
        [deg, J2000]
    magnitude : float
        Of the continuum at 5500 Angstrom.
    size : float
        FWHM before seeing [arcsec].
    redshift : float
    line_flux : float
        Of H alpha [erg/s/cm2].
    """

    ra: float
    dec: float
    magnitude: float
    size: float
    redshift: float
    line_flux: float

    def flux(self, wave: F64) -> F64:
        """Flux of the continuum outside the air [erg/s/cm2/Angstrom]."""
        return ZERO_MAGNITUDE * 10.0 ** (-0.4 * self.magnitude) * star_spectrum("solar", wave / (1.0 + self.redshift))

    def lines(self) -> tuple[F64, F64]:
        """Emission lines inside the range of the simulator: [Angstrom, air], flux [erg/s/cm2]."""
        rest, ratio = np.array(_EMISSION).T
        wave = rest * (1.0 + self.redshift)
        seen = (wave > WAVE_GRID[0]) & (wave < WAVE_GRID[-1])
        return wave[seen], self.line_flux * ratio[seen]


# wavelength at rest in air [Angstrom], flux relative to H alpha
_EMISSION: Final = (
    (3726.0, 0.35), (3728.8, 0.45), (4340.5, 0.16), (4861.3, 0.35), (4958.9, 0.20), (5006.8, 0.60), (6548.1, 0.10),
    (6562.8, 1.00), (6583.5, 0.30), (6716.4, 0.15), (6730.8, 0.11),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Moffats:
    """Brightness of sources of one spectrum.

    Attributes
    ----------
    view : View
    east, north : ndarray of float64, shape (n,)
        Of the sources, in the tangent plane of the view [arcsec].
    weight : ndarray of float64, shape (n,)
        Light of each.
    size : float
        FWHM of the sources before seeing [arcsec].
    reach : float
        Where the profile ends, in units of its FWHM: 0.3 % of the light are beyond 6, 0.02 % beyond 15.
    """

    view: View
    east: F64
    north: F64
    weight: F64
    size: float = 0.0
    reach: float = 6.0

    @classmethod
    def of(
        cls, view: View, sources: Sequence[Star | Galaxy], weight: F64, *, size: float = 0.0, reach: float = 6.0
    ) -> Moffats:
        """Sources at their celestial coordinates."""
        east, north = view.projected(
            np.array([source.ra for source in sources]), np.array([source.dec for source in sources])
        )
        return cls(view, east, north, weight, size, reach)

    def fwhm(self, wave: F64) -> F64:
        """FWHM of the images [arcsec]."""
        seeing = self.view.ambient.seeing * (wave / 7000.0) ** _SEEING_SLOPE
        return np.hypot(seeing, self.size)

    def __call__(self, x: F64, y: F64, wave: F64) -> F64:
        """Light per unit of area of the field, for `core.simulator.light`."""
        view = self.view
        east, north = view.offsets(x, y)
        lifted = view.lifted(wave)
        fwhm = self.fwhm(wave)
        alpha2 = (fwhm * _WIDEST) ** 2
        ends = self.reach * fwhm
        total = np.zeros((len(wave), *x.shape))
        light_kernels.add_moffats(
            total, east, north, self.east, self.north, self.weight * (_BETA - 1.0) / np.pi * view.area,
            np.outer(lifted, view.zenith), alpha2.ravel(), ends.ravel() ** 2,
        )  # fmt: skip
        return total


def _scattered(
    rng: np.random.Generator, ra: float, dec: float, radius: float, count: int
) -> Iterable[tuple[float, float]]:
    """Coordinates in a square of half side ``radius`` [arcsec]."""
    offsets = rng.uniform(-radius, radius, (count, 2)) / 3600.0
    return [(ra + float(east) / np.cos(np.deg2rad(dec)), dec + float(north)) for east, north in offsets]


def stars_in_field(
    seed: int, ra: float, dec: float, count: int, magnitudes: tuple[float, float], radius: float = 33.0
) -> tuple[Star, ...]:
    """Stars around a place on the sky; the faint ones are many.

    Parameters
    ----------
    seed : int
    ra, dec : float
        Centre [deg].
    count : int
    magnitudes : tuple of float
        Brightest and faintest.
    radius : float
        Half the side of the square that they lie in [arcsec].
    """
    rng = stream(seed, "stars", f"{ra:.3f}", f"{dec:.3f}")
    low, high = magnitudes
    brightness = low + (high - low) * np.sqrt(rng.uniform(0.0, 1.0, count))
    kinds = rng.choice(STAR_KINDS, count, p=(0.1, 0.6, 0.3))
    places = _scattered(rng, ra, dec, radius, count)
    return tuple(
        Star(*place, float(magnitude), str(kind))
        for place, magnitude, kind in zip(places, brightness, kinds, strict=True)
    )


def galaxies_in_field(seed: int, ra: float, dec: float, count: int, radius: float = 27.0) -> tuple[Galaxy, ...]:
    """Galaxies around a place on the sky."""
    rng = stream(seed, "galaxies", f"{ra:.3f}", f"{dec:.3f}")
    return tuple(
        Galaxy(
            *place,
            magnitude=float(rng.uniform(18.5, 21.0)),
            size=float(rng.uniform(1.0, 3.0)),
            redshift=float(rng.uniform(0.05, 0.8)),
            line_flux=float(rng.uniform(0.5, 3.0)) * 1e-15,
        )
        for place in _scattered(rng, ra, dec, radius, count)
    )
