"""The light of the guide-star lasers in an exposure: where it is measured, how bright it is, and what shows it.

What muse_scipost and muse_scipost_raman have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from core.cubes.wcs import CubeGrid
from core.errors import DataError, ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.pixtable_read import PixelTable
from core.formats.pixtable_select import within
from core.onsky.raman import BANDS, RamanBand, RamanFit, RamanMoments, fit_raman
from core.onsky.skylines import LineLight, SkyLines
from core.onsky.skymask import SkyMask, find_sky
from core.recipes.declaration import QcSpec
from core.recipes.flow import ArrayProduct, RecipeContext
from core.recipes.muse.pixel_source import source_of_table
from core.recipes.muse.sky_model import WhiteLight, mask_test, white_light
from core.recipes.muse.sky_products import SkyProducts
from core.recipes.muse.steps.raman import band_lines, subtract_raman
from core.recipes.muse.steps.selection import good_rows, select_rows, without_rows
from core.recipes.muse.steps.sky import SlicePlace, slices_of
from core.spectral.lsf_cube import LsfImage

__all__ = ["LEAST_WIDTH", "RamanModel", "RamanView", "check_width", "model_raman", "raman_product", "raman_qc"]

LEAST_WIDTH: Final = 2.61  # [Angstrom] of a band: the width of a slit
_SHAPE: Final = ("XX", "XY", "YY", "X", "Y")
_SCALE: Final = 1e-20  # of fluxes of lines
_FLUX: Final = "erg/s/cm**2/arcsec**2"
_SMALL_FLUX: Final = f"10**(-20)*{_FLUX}"


@dataclass(frozen=True, eq=False)
class RamanView:
    """A band as the exposure shows it.

    Attributes
    ----------
    band : RamanBand
    white : WhiteLight
        Image of its light.
    sky : SkyMask
        Where that has no sources.
    rows : PixelTable
        Of the band, without cosmic rays.
    """

    band: RamanBand
    white: WhiteLight
    sky: SkyMask
    rows: PixelTable


@dataclass(frozen=True, eq=False)
class RamanModel:
    """What was fitted, and to what.

    Attributes
    ----------
    table : PixelTable
        Of the exposure, without the light of the lasers.
    views : tuple of RamanView
    fit : RamanFit
    flux : dict of float
        Of the light of each band at the origin of positions, by its name, in the unit of the list.
    """

    table: PixelTable
    views: tuple[RamanView, ...]
    fit: RamanFit
    flux: Mapping[str, float]


def check_width(width: float, parameter: str) -> None:
    """ParameterError if bands are narrower than a slit."""
    if width < LEAST_WIDTH:
        raise ParameterError(
            f"{parameter}={width:g} is not accepted: a band is at least {LEAST_WIDTH} Angstrom wide",
            parameter=parameter,
        )


def model_raman(
    table: PixelTable,
    lines: SkyLines,
    profiles: Mapping[SlicePlace, LsfImage],
    width: float,
    crsigma: float,
    sky: tuple[float, float],
    on_sky: Callable[[PixelTable], PixelTable],
    ctx: RecipeContext,
) -> RamanModel | None:
    """Fit the light of the lasers, and take it out; None if the table has no rows in any band.

    Parameters
    ----------
    table : PixelTable
        Positions in pixels.
    lines : SkyLines
        RAMAN_LINES: each group is a band.
    profiles : mapping of LsfImage
    width : float
        Of bands [Angstrom].
    crsigma : float
        For cosmic rays in the images; 0: they stay.
    sky : tuple of float
        Parts of an image that are ignored, and that are sky.
    on_sky : callable
        Takes rows, returns those that may be sky.
    ctx : RecipeContext

    Raises
    ------
    DataError
        If the list has no lines of a band, or nothing is left of one, or the fit fails.
    """
    low, high = source_of_table(table).wave
    bands = [band for band in BANDS if low < band.wave < high]
    if not bands:
        ctx.log.warning("no light of the lasers is taken out: no band is within %.0f to %.0f Angstrom", low, high)
        return None
    views = tuple(_view(table, band, width, crsigma, sky, ctx) for band in bands)
    tests = [mask_test(view.sky.mask, view.white.grid) for view in views]
    moments = {}
    for view in views:
        own = band_lines(lines, view.band.group)
        if not len(own):
            raise DataError(f"the list has no line of {view.band.name}, group {view.band.group}", rule="RAMAN_LINES")
        light = {place: LineLight.of(own, profile) for place, profile in profiles.items()}
        moments[view.band.name] = _moments(on_sky(select_rows(view.rows, *tests, good_rows(), measure=False)), light)
    fit = fit_raman(moments)
    flux = {band.name: fit.flux[band.name] * float(band_lines(lines, band.group).flux.sum()) for band in bands}
    return RamanModel(subtract_raman(table, fit, lines, profiles, ctx.log), views, fit, flux)


def raman_qc() -> tuple[QcSpec, ...]:
    """QC parameters of RAMAN_IMAGES."""
    tag, axes = "RAMAN_IMAGES", ("exposure",)
    texts = {name: f"Coefficient of {name} of the light of the lasers over the field" for name in _SHAPE}
    shape = tuple(
        QcSpec(f"QC.SCIPOST.RAMAN.SPATIAL.{name}", f"1/pix{'**2' * (len(name) - 1)}", "float", "CAL", text, (tag,),
               product_axes=axes)
        for name, text in texts.items()
    )  # fmt: skip
    return shape + tuple(
        QcSpec(f"QC.SCIPOST.RAMAN.FLUX.{band.name}", _FLUX, "float", "CAL",
               f"Flux of the light of the lasers near {band.wave:.0f} Angstrom", (tag,), product_axes=axes)
        for band in BANDS
    )  # fmt: skip


def raman_product(model: RamanModel, made: SkyProducts) -> ArrayProduct:
    """RAMAN_IMAGES: the light over the field, and for each band image, mask and model."""
    header = made.primary()
    for name, value in zip(_SHAPE, model.fit.shape.tolist(), strict=True):
        set_key(header, f"QC.SCIPOST.RAMAN.SPATIAL.{name}", value, f"coefficient of {name.lower()}")
    for name, flux in model.flux.items():
        set_key(header, f"QC.SCIPOST.RAMAN.FLUX.{name}", flux * _SCALE, f"[{_FLUX}] flux of the band")
    more: list[tuple[Header, npt.NDArray[np.float32] | npt.NDArray[np.int32]]] = []
    fits: list[tuple[Header, npt.NDArray[np.float32]]] = []
    for view in model.views:
        name, white = view.band.name, view.white
        more.append((_cards(f"RAMAN_IMAGE_{name}", white, made.unit), white.data))
        more.append((_cards(f"SKY_MASK_{name}", white), view.sky.mask.astype(np.int32)))
        light = (_shape_image(model.fit, white.grid) * model.flux[name]).astype(np.float32)
        fits.append((_cards(f"RAMAN_FIT_{name}", white, _SMALL_FLUX), light))
    first = model.views[0].white
    shape, wcs = _shape_image(model.fit, first.grid).astype(np.float32), first.wcs()
    return ArrayProduct("RAMAN_IMAGES", "DATA", shape, header, wcs, made.raws, made.calibs, made.number, (*more, *fits))


def _view(
    table: PixelTable, band: RamanBand, width: float, crsigma: float, sky: tuple[float, float], ctx: RecipeContext
) -> RamanView:
    rows = select_rows(table, within("lambda", band.wave - width / 2, band.wave + width / 2))
    white = white_light(rows, crsigma, ctx)
    found = find_sky(white.data, *sky)
    ctx.log.info("%s: sky between %g and %g, %d pixels", band.name, found.low, found.high, int(found.mask.sum()))
    return RamanView(band, white, found, without_rows(rows, white.cosmics))


def _moments(rows: PixelTable, light: Mapping[SlicePlace, LineLight]) -> RamanMoments:
    moments = RamanMoments()
    for first, last in pairwise(rows.bounds.tolist()):
        cells = rows.read(first, last, ("xpos", "ypos", "lambda", "data", "origin"))
        for place, own in slices_of(cells["origin"]):
            if (shining := light.get(place)) is not None:
                x, y, wave, data = (cells[name][own] for name in ("xpos", "ypos", "lambda", "data"))
                moments.add(shining.at(wave), x, y, data)
    return moments


def _shape_image(fit: RamanFit, grid: CubeGrid) -> npt.NDArray[np.float64]:
    axes = grid.spatial
    ny, nx = grid.shape[-2:]
    y, x = np.mgrid[1 : ny + 1, 1 : nx + 1]
    places = [axes.crval[k] + (pixel - axes.crpix[k]) * axes.cd[k][k] for k, pixel in enumerate((x, y))]
    return fit.at(places[0], places[1])


def _cards(name: str, white: WhiteLight, unit: str = "") -> Header:
    cards = Header()
    cards["EXTNAME"] = name
    if unit:
        cards["BUNIT"] = unit
    cards.extend(white.wcs().cards)
    return cards
