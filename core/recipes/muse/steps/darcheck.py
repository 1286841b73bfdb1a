"""Whether sources stay where they are at all wavelengths, and what moves them back (MUSE manual, 6.5.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt

from core.cubes.weights import Resampling
from core.errors import DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable
from core.onsky.apertures import Aperture, first_apertures
from core.onsky.centroids import source_place
from core.recipes.flow import RecipeContext
from core.recipes.muse.cubes import CubeOptions, Slab, cube_grid, cube_slabs
from core.recipes.muse.pixel_source import source_of_table
from core.recipes.muse.steps.pointing import spaxel_of
from core.recipes.muse.steps.refraction import CORRECTED, keep_limits
from core.recipes.muse.steps.table import Columns, CorrectedTable, RowStep
from core.spectral.iterfit import IteratedFit, iterate_fit

__all__ = ["CHECKED", "RESIDUAL", "DarCheck", "ResidualStep", "check_refraction"]

DarCheck = Literal["none", "check", "correct"]
F64 = npt.NDArray[np.float64]

CHECKED: Final = f"{PREFIX}.DAR.CHECK"
RESIDUAL: Final = f"{PREFIX}.DAR.CORRECT.RESIDUAL"
_STEP: Final = 10.0  # [Angstrom] of the cube that is looked at
_SIGMAS: Final = (50.0, 30.0, 10.0, 8.0, 6.0, 5.0)
_REJECTED: Final = 3.0  # sigma of the polynomials


@dataclass(frozen=True)
class _Method:
    half: int  # of windows [pix]
    order: int  # of polynomials


_AFTER: Final = _Method(5, 2)
_BEFORE: Final = _Method(15, 4)


@dataclass(frozen=True, eq=False)
class ResidualStep(RowStep):
    """Pixels move by polynomials of the wavelength.

    Attributes
    ----------
    x, y : IteratedFit
        [pix].
    at_reference : pair of float
        Values of both at the reference wavelength, where nothing moves.
    reference : float
        [Angstrom].
    """

    x: IteratedFit
    y: IteratedFit
    at_reference: tuple[float, float]
    reference: float
    changes: ClassVar = ("xpos", "ypos")
    needs: ClassVar = ("xpos", "ypos", "lambda")

    def apply(self, columns: Columns) -> Columns:
        """See `RowStep.apply`."""
        shifts = self.shifts(columns["lambda"].astype(np.float64))
        return {
            name: (columns[name] + shift).astype(np.float32)
            for name, shift in zip(("xpos", "ypos"), shifts, strict=True)
        }

    def shifts(self, wave: F64) -> tuple[F64, F64]:
        """What is added to x and y at wavelengths [pix]."""
        return self.x(wave) - self.at_reference[0], self.y(wave) - self.at_reference[1]

    def describe(self, header: Header) -> None:
        """See `RowStep.describe`."""
        keep_limits(header)
        set_key(header, RESIDUAL, self.reference, "[Angstrom] residual DAR corrected relative to this lambda")


def check_refraction(table: PixelTable, how: DarCheck, ctx: RecipeContext) -> PixelTable:
    """Measure by how much sources still move with wavelength, and move pixels back if ``how`` says so.

    Parameters
    ----------
    table : PixelTable
        With positions in pixels.
    how : {'none', 'check', 'correct'}
    ctx : RecipeContext

    Returns
    -------
    PixelTable
        Whose header tells the largest shift [arcsec].

    Raises
    ------
    DataError
        If positions are not in pixels, or there is no source.
    """
    if how == "none":
        return table
    if table.units.get("xpos", "pix") != "pix":
        raise DataError("refraction is checked where positions are in pixels", file=table.path)
    corrected = get_key(table.header, CORRECTED, float, default=-1.0)
    again = get_key(table.header, RESIDUAL, float, default=None)
    method = _AFTER if corrected > 0 or again is not None else _BEFORE
    waves, offsets, reference = _offsets(table, corrected, method, ctx)
    fits = [iterate_fit(waves, offsets[:, axis], method.order, _REJECTED) for axis in (0, 1)]
    at_reference = tuple(float(fit(np.array([reference]))[0]) for fit in fits)
    step = ResidualStep(fits[0], fits[1], (at_reference[0], at_reference[1]), reference)
    arcsec = [np.ptp(shift) * scale for shift, scale in zip(step.shifts(waves), spaxel_of(table.header), strict=True)]
    largest = float(max(arcsec))
    ctx.log.info("sources move by up to %.4f arcsec over the wavelengths", largest)
    if how == "check":
        return CorrectedTable.of(table, _Checked(largest))
    return CorrectedTable.of(table, _Checked(largest), step)


def _offsets(table: PixelTable, corrected: float, method: _Method, ctx: RecipeContext) -> tuple[F64, F64, float]:
    """Wavelengths, mean offsets of sources at each [pix] (NaN where there is none), and the reference wavelength."""
    source = source_of_table(table)
    options = CubeOptions(Resampling(pixfrac=(1.0, 1.0, 1.0)), "iraf", 7.0, dlambda=_STEP)
    grid = cube_grid(source, options)
    waves = grid.spectral.wave(np.arange(grid.nz))
    inside = waves[1] <= corrected <= waves[-2]
    reference = corrected if inside else float(waves[1] + waves[-2]) / 2
    plane = int(np.abs(waves - reference).argmin())
    around = range(max(plane - 1, 0), min(plane + 2, grid.nz))
    three = np.concatenate([slab.data for slab in cube_slabs(source, grid, options, ctx.spread, around)])
    with np.errstate(all="ignore"):
        image = np.median(three, axis=0)
    found, _ = first_apertures(image, _SIGMAS)
    if not found:
        raise DataError("refraction cannot be checked: the field has no source", file=table.path)
    half = min(method.half, (min(image.shape) - 1) // 2)
    offsets = [row for slab in cube_slabs(source, grid, options, ctx.spread) for row in _of_slab(slab, found, half)]
    return waves, np.array(offsets), reference


def _of_slab(slab: Slab, found: Sequence[Aperture], half: int) -> list[tuple[float, float]]:
    rows = []
    for data, stat in zip(slab.data, slab.stat, strict=True):
        places = [(source, source_place(data, stat, source.x, source.y, half)) for source in found]
        shifts = np.array([(source.x - at[0], source.y - at[1]) for source, at in places if at is not None])
        rows.append((float(shifts[:, 0].mean()), float(shifts[:, 1].mean())) if len(shifts) else (np.nan, np.nan))
    return rows


@dataclass(frozen=True)
class _Checked(RowStep):
    largest: float  # [arcsec]
    changes: ClassVar = ()
    needs: ClassVar = ()

    def apply(self, columns: Columns) -> Columns:
        return {}

    def describe(self, header: Header) -> None:
        set_key(header, CHECKED, self.largest, "[arcsec] largest residual shift of sources")
