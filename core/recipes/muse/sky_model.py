"""The sky of an exposure: a white-light image, where it has sky alone, its spectrum, and what that is made of.

What muse_create_sky and muse_scipost have in common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.cubes.collapse import WHITE, FieldImage
from core.cubes.projection import sky_to_plane
from core.cubes.wcs import CubeGrid
from core.cubes.weights import Resampling
from core.errors import DataError, MissingInputError
from core.fitsfile.header import Header
from core.formats.field_image import FieldPicture
from core.formats.lsf import read_lsf
from core.formats.pixtable_header import zero_point
from core.formats.pixtable_ranges import PORTION, portions, single
from core.formats.pixtable_read import PixelTable
from core.formats.pixtable_select import RowTest, on_mask
from core.instruments.muse.facts import N_IFU
from core.onsky.skylines import LineFit, SkyLines, average_lsf, continuum_of, fit_lines
from core.onsky.skymask import SkyMask
from core.onsky.skyspectrum import MeanSpectrum, SpectrumSum
from core.recipes.flow import RecipeContext
from core.recipes.frames import Frame
from core.recipes.logs import Logger
from core.recipes.muse.cubes import CubeOptions, cube_grid, cube_slabs, wcs_header
from core.recipes.muse.pixel_source import source_of_table
from core.recipes.muse.steps.selection import SelectedTable, select_rows, without_rows
from core.recipes.muse.steps.sky import SlicePlace, count_slices
from core.spectral.lsf_cube import LsfImage
from core.spectral.lsf_hermite import HermiteLsf
from core.spread import spread_out

__all__ = [
    "SkyModel",
    "WhiteLight",
    "dark_rows",
    "load_profiles",
    "mask_test",
    "model_sky",
    "parse_sigmas",
    "picture_test",
    "sky_spectrum",
    "white_light",
]

F64 = npt.NDArray[np.float64]

_PIXFRAC: Final = (0.6, 0.6, 0.6)
_TOGETHER: Final = 8 * PORTION  # rows that are read before they are summed up, in order
_HERMITE_REACH: Final = 7.0  # [Angstrom] of a profile that is sampled
_HERMITE_STEP: Final = 0.05
_HERMITE_WAVES: Final = np.arange(4600.0, 9401.0, 160.0)


def parse_sigmas(text: str) -> tuple[float, float]:
    """Two numbers of a list; fewer stand for 15 in the cube, and none in the spectrum.

    Raises
    ------
    ValueError
        If they are no numbers.
    """
    values = [float(word) for word in text.split(",") if word.strip()]
    return (max(values[0], 0.0), max(values[1], 0.0)) if len(values) > 1 else (15.0, 0.0)


@dataclass(frozen=True, eq=False)
class WhiteLight:
    """An image of all light, for internal use.

    Attributes
    ----------
    data : ndarray of float32, shape (ny, nx)
    grid : CubeGrid
        Of the cube that it was made of.
    cosmics : ndarray of int64
        Rows of the table that are cosmic rays.
    """

    data: npt.NDArray[np.float32]
    grid: CubeGrid
    cosmics: npt.NDArray[np.int64]

    def wcs(self) -> Header:
        """World coordinates of the image."""
        return wcs_header(self.grid, axes=2)


def white_light(table: PixelTable, crsigma: float, ctx: RecipeContext) -> WhiteLight:
    """The image of all light from 4650 to 9300 Angstrom; cosmic rays above ``crsigma`` are left out."""
    source = source_of_table(table, numbered=True)
    options = CubeOptions(Resampling(pixfrac=_PIXFRAC), "median", crsigma)
    grid = cube_grid(source, options)
    image, cosmics = FieldImage(grid.spectral, grid.shape, WHITE), []
    for slab in cube_slabs(source, grid, options, ctx.spread):
        image.add(slab.z0, slab.data, spread=ctx.spread)
        cosmics.append(slab.cosmics)
    return WhiteLight(image.image(), grid, np.unique(np.concatenate(cosmics)))


def dark_rows(table: PixelTable, shown: PixelTable, white: WhiteLight, sky: SkyMask) -> PixelTable:
    """The rows of a table on its sky; cosmic rays are none.

    Parameters
    ----------
    table : PixelTable
    shown : PixelTable
        Of which the white-light image was made: the table, or rows that were selected of it.
    white : WhiteLight
    sky : SkyMask
    """
    cosmics = white.cosmics
    if isinstance(shown, SelectedTable) and shown is not table:
        cosmics = shown.numbers_of(cosmics)
    return select_rows(without_rows(table, cosmics), mask_test(sky.mask, white.grid), measure=False)


def mask_test(mask: npt.NDArray[np.bool_], grid: CubeGrid) -> RowTest:
    """Rows of a table with positions in pixels whose nearest pixel of a mask is true."""
    spatial = grid.spatial
    first = tuple(spatial.crval[k] + (1 - spatial.crpix[k]) * spatial.cd[k][k] for k in (0, 1))
    return on_mask(mask, (first[0], first[1]), (spatial.cd[0][0], spatial.cd[1][1]))


def picture_test(picture: FieldPicture, header: Header | None = None) -> RowTest:
    """Rows of a table on the pixels of a mask that are not zero, and those beyond it.

    Parameters
    ----------
    picture : FieldPicture
    header : Header, optional
        Of a table on the sky, for a mask with celestial coordinates; else positions and mask are in pixels.

    Raises
    ------
    DataError
        If one is on the sky, and the other is not.
    """
    axes, mask = picture.axes, np.nan_to_num(picture.data) != 0
    if axes.celestial != (header is not None):
        raise DataError("the mask of the sky is in other coordinates than the pixels", rule="SKY_MASK")
    if header is None:
        first = tuple(axes.crval[k] + (1 - axes.crpix[k]) * axes.cd[k][k] for k in (0, 1))
        return on_mask(mask, (first[0], first[1]), (axes.cd[0][0], axes.cd[1][1]))
    zero, (a, b), (c, d) = zero_point(header), *axes.inverse
    in_pixels = on_mask(mask, (1.0, 1.0), (1.0, 1.0))

    def passes(columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
        ra, dec = (columns[name].astype(np.float64) + at for name, at in zip(("xpos", "ypos"), zero, strict=True))
        east, north = sky_to_plane(ra, dec, axes.crval)
        places = {"xpos": a * east + b * north + axes.crpix[0], "ypos": c * east + d * north + axes.crpix[1]}
        return in_pixels.passes(places)

    return RowTest(("xpos", "ypos"), passes)


def sky_spectrum(table: PixelTable, sampling: float, sigma: float) -> MeanSpectrum:
    """Mean spectrum of all rows; those that are brighter than a first one by so many sigma are left out.

    Parameters
    ----------
    table : PixelTable
    sampling : float
        Width of bins [Angstrom].
    sigma : float
        0: none is left out.
    """
    names = ["lambda", "data", "stat", "dq", *(["weight"] if "weight" in table.columns else [])]
    low, high = source_of_table(table).wave

    def summed(clip: tuple[MeanSpectrum, float] | None) -> MeanSpectrum:
        total = SpectrumSum(low, high, sampling, clip)
        for ranges in portions(single(0, table.n_rows), _TOGETHER):
            for cells in spread_out(lambda portion: table.gather(portion, names), portions(ranges)):
                total.add(cells["lambda"], cells["data"], cells["stat"], cells["dq"], cells.get("weight"))
        return total.mean()

    spectrum = summed(None)
    return summed((spectrum, sigma)) if sigma > 0 else spectrum


@dataclass(frozen=True, eq=False)
class SkyModel:
    """What a spectrum of the sky is made of.

    Attributes
    ----------
    fit : LineFit
    continuum : tuple of ndarray
        Wavelengths [Angstrom] and fluxes.
    """

    fit: LineFit
    continuum: tuple[F64, F64]


def model_sky(
    spectrum: MeanSpectrum,
    lines: SkyLines,
    table: PixelTable,
    profiles: dict[SlicePlace, LsfImage],
    sampling: tuple[float, float],
    continuum: tuple[F64, F64] | None,
    log: Logger,
) -> SkyModel:
    """Fit emission lines to a spectrum; what is left is its continuum, unless there is one already.

    Parameters
    ----------
    spectrum : MeanSpectrum
    lines : SkyLines
    table : PixelTable
        Whose rows tell how much each slice counts.
    profiles : dict of LsfImage
    sampling : pair of float
        Of the spectrum, and of the continuum [Angstrom].
    continuum : tuple of ndarray, optional
        Wavelengths and fluxes of one that is given.
    log : logger
    """
    mean = average_lsf(profiles, count_slices(table)).folded(sampling[0])
    near = lines.within(float(spectrum.wave[0]), float(spectrum.wave[-1]))
    data = spectrum.data
    if continuum is not None:
        data = data - np.interp(spectrum.wave, *continuum)
    fit = fit_lines(MeanSpectrum(spectrum.wave, data, spectrum.stat), near, mean)
    if not fit.converged:
        log.error("the fit of the emission lines did not converge, what it reached is taken: %s", fit.message)
    log.info("%d lines in %d groups fitted", len(near), len(set(near.group.tolist())))
    return SkyModel(fit, continuum or continuum_of(spectrum, fit.lines, mean, sampling[1]))


def load_profiles(frames: Sequence[Frame], log: Logger) -> dict[SlicePlace, LsfImage]:
    """Line-spread functions of all slices, from files of any form, of one IFU or of several.

    Raises
    ------
    MissingInputError
        If there is none at all.
    """
    found: dict[SlicePlace, LsfImage] = {}
    for frame in frames:
        for ifu in range(1, N_IFU + 1):
            try:
                profiles = read_lsf(frame.path, ifu)
            except MissingInputError:
                continue
            for slice_no, profile in profiles.items():
                image = profile if isinstance(profile, LsfImage) else _sampled(profile)
                found.setdefault((ifu, slice_no), image)
    if not found:
        raise MissingInputError("no LSF_PROFILE holds a line-spread function", rule="LSF_PROFILE")
    log.info("line-spread functions of %d slices", len(found))
    return found


def _sampled(profile: HermiteLsf) -> LsfImage:
    n = round(2 * _HERMITE_REACH / _HERMITE_STEP) + 1
    x = -_HERMITE_REACH + _HERMITE_STEP * np.arange(n)
    rows = np.array([profile(x, float(wave)) for wave in _HERMITE_WAVES])
    step = float(_HERMITE_WAVES[1] - _HERMITE_WAVES[0])
    return LsfImage(rows, -_HERMITE_REACH, _HERMITE_STEP, float(_HERMITE_WAVES[0]), step)
