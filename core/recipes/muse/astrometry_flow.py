"""From the image of an astrometric field to its plate solution (MUSE manual, 6.5.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from core.cubes.projection import cd_angles, cd_scales, sky_to_plane
from core.cubes.wcs import CubeGrid
from core.errors import DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.formats.astrometric_field import AstrometricField
from core.onsky.fieldstars import FieldStar, GaplessImage, find_stars
from core.onsky.matching import Match, match_near_identity, match_triangles
from core.onsky.platesolution import PlateSolution, solve_plate
from core.recipes.logs import Logger
from core.recipes.muse.steps.astrometry import default_astrometry, field_middle

if TYPE_CHECKING:
    from core.recipes.muse.muse_astrometry import AstrometryParameters

__all__ = ["FieldSolution", "FieldSolver"]

F64 = npt.NDArray[np.float64]

_AROUND: Final = 100.0  # how far outside the image reference stars are looked for [pix]
_OFF_NOMINAL: Final = 0.1  # relative, of a scale
_STARS: Final = 50  # of a solution that is as good as another one of half its scatter and 25 stars
_STEP: Final = 0.1  # between levels of detection that are tried
_LOWEST: Final = 1.0


@dataclass(frozen=True, eq=False)
class FieldSolution:
    """The solution of an exposure.

    Attributes
    ----------
    plate : PlateSolution
        Of pixels that are counted from the middle of the field.
    middle : pair of float [pix]
        Where that is in the image, whose first pixel is 1.
    stars : tuple of FieldStar
        All that were found.
    match : Match
        Which of them are which reference stars.
    sky : ndarray of float64, shape (n, 2)
        Reference stars: right ascension and declination [deg].
    detsigma : float
        Level of detection.
    """

    plate: PlateSolution
    middle: tuple[float, float]
    stars: tuple[FieldStar, ...]
    match: Match
    sky: F64
    detsigma: float

    @property
    def scales(self) -> tuple[float, float]:
        """Sizes of a pixel [arcsec]."""
        x, y = cd_scales(self.plate.cd)
        return x * 3600, y * 3600

    @property
    def angles(self) -> tuple[float, float]:
        """Of the axes [deg]."""
        return cd_angles(self.plate.cd)

    @property
    def residuals(self) -> tuple[float, float]:
        """Scatter to the east and north [arcsec]."""
        east, north = self.plate.scatter
        return east * 3600, north * 3600

    @property
    def mean_error(self) -> float:
        """Of the positions of all detections [pix]."""
        return _mean_error(self.stars)


@dataclass(frozen=True)
class FieldSolver:
    """Finds the solution of an exposure.

    Attributes
    ----------
    params : AstrometryParameters
    header : Header
        Of the pixel table.
    grid : CubeGrid
        Of the image.
    field : AstrometricField
    log : Logger
    """

    params: AstrometryParameters
    header: Header
    grid: CubeGrid
    field: AstrometricField
    log: Logger

    @property
    def middle(self) -> tuple[float, float]:
        """Middle of the field in the image [pix, from 1]."""
        axes = self.grid.spatial
        x, y = (
            crpix + (middle - crval) / axes.cd[k][k]
            for k, (crpix, middle, crval) in enumerate(
                zip(axes.crpix, field_middle(self.header), axes.crval, strict=True)
            )
        )
        return x, y

    def solve(self, image: GaplessImage) -> FieldSolution:
        """The best solution of an image.

        Raises
        ------
        DataError
            If the stars are not those of the field.
        """
        solutions = [found for sigma in self._sigmas() if (found := self._solved(image, sigma)) is not None]
        if self.params.detsigma < 0:
            solutions = [found for found in solutions if self._nominal(found)]
        if not solutions:
            raise DataError(
                f"the stars of the astrometric field {self.field.name} were not found again",
                rule="ASTROMETRY_REFERENCE",
            )
        return max(zip(_scores(solutions), solutions, strict=True), key=lambda pair: pair[0])[1]

    def _sigmas(self) -> Iterator[float]:
        """Levels of detection that are tried, the highest first."""
        highest = abs(self.params.detsigma)
        yield highest
        if self.params.detsigma < 0:
            for step in range(1, round((highest - _LOWEST) / _STEP) + 1):
                yield round(highest - step * _STEP, 6)

    def _solved(self, image: GaplessImage, sigma: float) -> FieldSolution | None:
        stars = find_stars(image, sigma, self.params.centroid)
        middle, sky = self.middle, self._near(image.data.shape)
        if len(stars) < 2 or len(sky) < 2:
            return None
        pixels = np.array([(star.x, star.y) for star in stars]) - middle
        match = self._match(stars, pixels, self._pixels(sky))
        if match is None:
            self.log.debug("%d detections above %.1f sigma are no pattern of the field", len(stars), sigma)
            return None
        try:
            plate = solve_plate(
                pixels[match.detections],
                sky[match.references],
                self.params.centre,
                self._pointing,
                passes=self.params.niter,
                sigma=self.params.rejsigma,
            )
        except DataError:
            return None
        found = FieldSolution(plate, middle, tuple(stars), match, sky, sigma)
        self.log.info(
            "%d of %d detections above %.1f sigma are stars of %s, %.4f and %.4f arcsec off",
            len(match), len(stars), sigma, self.field.name, *found.residuals,
        )  # fmt: skip
        return found

    def _match(self, stars: list[FieldStar], pixels: F64, references: F64) -> Match | None:
        if self.params.faccuracy == 0:
            return match_near_identity(pixels, references, self.params.radius)
        return match_triangles(pixels, references, self.params.faccuracy * _mean_error(stars), self.params.radius)

    @property
    def _pointing(self) -> tuple[float, float]:
        return get_key(self.header, "RA", float), get_key(self.header, "DEC", float)

    def _pixels(self, sky: F64) -> F64:
        """Where stars would be with pixels of nominal size that are not turned, from the middle of the field."""
        plane = np.stack(sky_to_plane(sky[:, 0], sky[:, 1], self._pointing), axis=1)
        nominal = np.linalg.inv(np.array(default_astrometry(self.header).cd))
        return np.asarray(plane @ nominal.T + self.params.centre, np.float64)

    def _near(self, shape: tuple[int, ...]) -> F64:
        """Reference stars in the image, or not far from it."""
        sky = self.field.sky
        half = np.array(shape[::-1]) / 2 + _AROUND
        pixels = self._pixels(sky)
        return sky[np.all(np.isfinite(pixels) & (np.abs(pixels) <= half), axis=1)]

    def _nominal(self, found: FieldSolution) -> bool:
        nominal = cd_scales(default_astrometry(self.header).cd)
        return all(
            abs(scale / 3600 / own - 1) <= _OFF_NOMINAL for scale, own in zip(found.scales, nominal, strict=True)
        )


def _mean_error(stars: Sequence[FieldStar]) -> float:
    x, y = np.array([(star.x_error, star.y_error) for star in stars]).mean(axis=0)
    return float(np.hypot(x, y))


def _scores(solutions: list[FieldSolution]) -> list[float]:
    """Many stars and small residuals are good."""
    residuals = np.array([found.residuals for found in solutions])
    best = residuals.min(axis=0)
    ratios = np.divide(best, residuals, out=np.ones_like(residuals), where=residuals > 0)
    return [
        len(found.match) / _STARS * float(ratio) for found, ratio in zip(solutions, ratios.prod(axis=1), strict=True)
    ]
