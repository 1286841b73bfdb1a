"""A standard star in the cube of its exposure: where it is, and how bright at each wavelength."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from core.cubes.projection import exposure_cd, plane_to_sky
from core.cubes.wcs import CubeGrid
from core.errors import DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.formats.cube import CubePlanes
from core.formats.standard_stars import StandardStar
from core.instruments.muse.facts import NOTCH, mode_class
from core.onsky.apertures import Aperture, first_apertures, measure_fwhm
from core.onsky.fluxes import FluxProfile, StarFluxes, integrate_stars
from core.onsky.pointing import angular_distance
from core.recipes.flow import RecipeContext
from core.recipes.logs import Logger
from core.recipes.muse.steps.astrometry import default_astrometry
from core.recipes.muse.steps.pointing import is_narrow, position_angle_of, spaxel_of

__all__ = ["FieldStars", "Selection", "StarProfile", "measure_stars"]

StarProfile = Literal["gaussian", "moffat", "smoffat", "circle", "square", "auto"]
Selection = Literal["flux", "distance"]

_SIGMAS: Final = (50.0, 30.0, 10.0, 8.0, 6.0, 5.0)
_FWHM: Final = 5.0  # [pix], if nothing is known


@dataclass(frozen=True, eq=False)
class FieldStars:
    """The stars of a field.

    Attributes
    ----------
    wave : ndarray of float64, shape (n_planes,)
        [Angstrom].
    stars : tuple of Aperture
    fluxes : StarFluxes
    places : tuple of pairs of float
        Right ascension and declination of the stars [deg], as well as the telescope knows.
    """

    wave: npt.NDArray[np.float64]
    stars: tuple[Aperture, ...]
    fluxes: StarFluxes
    places: tuple[tuple[float, float], ...]

    @property
    def totals(self) -> list[float]:
        """Flux of each star over all wavelengths."""
        return [float(total) for total in self.fluxes.data.sum(axis=1, dtype=np.float64)]

    def select(self, by: Selection, standard: StandardStar) -> int:
        """Which of the stars, from 0, is the standard star: the brightest, or that nearest to the catalogue's place."""
        if by == "flux":
            return int(np.argmax(self.totals))
        return int(np.argmin([angular_distance(*place, standard.ra, standard.dec) for place in self.places]))


def measure_stars(
    cube: CubePlanes, grid: CubeGrid, header: Header, profile: StarProfile, ctx: RecipeContext
) -> FieldStars:
    """Find the stars of a cube, and measure their fluxes.

    Parameters
    ----------
    cube : CubePlanes
    grid : CubeGrid
        Of the cube, in pixels.
    header : Header
        Of the exposure.
    profile : str
        ``auto`` is ``smoffat``, in the narrow field ``circle``.
    ctx : RecipeContext

    Raises
    ------
    DataError
        If there is no star.
    """
    if profile == "auto":
        profile = "circle" if is_narrow(header) else "smoffat"
    middle = grid.nz // 2
    image = cube.read_part("DATA", middle, middle + 1)[0]
    stars, sigma = first_apertures(image, _SIGMAS)
    if not stars:
        raise DataError("the field has no star", file=cube.path)
    fwhm = _reference_fwhm(image, stars[0], profile, header, ctx.log)
    ctx.log.info("%d stars above %g sigma; the first has a FWHM of %.2f pixels", len(stars), sigma, fwhm)
    wave = grid.spectral.wave(np.arange(grid.nz))

    def planes(first: int, last: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        return cube.read_part("DATA", first, last), cube.read_part("STAT", first, last)

    dark = NOTCH.get(mode_class(get_key(header, "INS.MODE", str, default=None)))
    fluxes = integrate_stars(planes, wave, stars, fwhm, profile, dark, ctx.spread)
    ctx.log.info("%s fluxes of the first star at %d of %d wavelengths", profile, fluxes.known[0].sum(), wave.size)
    return FieldStars(wave, tuple(stars), fluxes, tuple(_place(star, grid, header) for star in stars))


def _reference_fwhm(
    image: npt.NDArray[np.float32], star: Aperture, profile: FluxProfile, header: Header, log: Logger
) -> float:
    """Width of a star [pix]: measured, unless the field is narrow, where its core says little; else the seeing."""
    widths = [width for width in measure_fwhm(image, *star.nearest) if width > 0]
    if widths and (profile == "gaussian" or not is_narrow(header)):
        return float(np.mean(widths))
    ends = [get_key(header, f"TEL.AMBI.FWHM.{end}", float, default=-1.0) for end in ("START", "END")]
    seeing = [value for value in ends if value > 0]
    if seeing:
        return float(np.mean(seeing) / np.mean(spaxel_of(header)))
    log.warning("neither star nor header tell the seeing: %g pixels are taken", _FWHM)
    return _FWHM


def _place(star: Aperture, grid: CubeGrid, header: Header) -> tuple[float, float]:
    centre = get_key(header, "RA", float, default=math.nan), get_key(header, "DEC", float, default=math.nan)
    (cd11, cd12), (cd21, cd22) = exposure_cd(default_astrometry(header).cd, position_angle_of(header))
    dx, dy = star.x - (1 + grid.nx) / 2, star.y - (1 + grid.ny) / 2
    ra, dec = plane_to_sky(cd11 * dx + cd12 * dy, cd21 * dx + cd22 * dy, centre)
    return (float(ra) + centre[0]) % 360, float(dec)
