"""The slices of an exposure brought to one level: where the sky is, what is measured there, and what shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.fitsfile.keywords import get_key
from core.formats.autocal_factors import table_of_factors
from core.formats.onsky_tables import AUTOCAL_FACTORS
from core.formats.pixtable_read import PixelTable
from core.instruments.muse.facts import mode_class
from core.onsky.autocal import SliceFactors, SliceSums, wave_edges
from core.onsky.skymask import SkyMask, find_level_sky
from core.recipes.flow import Product, RecipeContext, TableProduct
from core.recipes.muse.sky_model import WhiteLight, mask_test, white_light
from core.recipes.muse.sky_products import SkyProducts
from core.recipes.muse.steps.autocal import AUTOCAL, LEVELLED, level_slices, measure_slices
from core.recipes.muse.steps.selection import select_rows

__all__ = ["LevelModel", "LevelView", "level_products", "model_levels"]


@dataclass(frozen=True, eq=False)
class LevelView:
    """The white-light image of an exposure, and where it has sky."""

    white: WhiteLight
    sky: SkyMask


@dataclass(frozen=True, eq=False)
class LevelModel:
    """What was done.

    Attributes
    ----------
    table : PixelTable
        With all slices at one level.
    factors : SliceFactors or None
        None if it was done before.
    view : LevelView or None
        None if a mask, or the factors, were given.
    """

    table: PixelTable
    factors: SliceFactors | None = None
    view: LevelView | None = None


def model_levels(
    table: PixelTable,
    given: SliceFactors | None,
    on_mask: Callable[[PixelTable], PixelTable] | None,
    crsigma: float,
    ctx: RecipeContext,
) -> LevelModel:
    """Bring slices to one level, unless that was done before.

    Parameters
    ----------
    table : PixelTable
        Positions in pixels.
    given : SliceFactors, optional
        Else they are measured.
    on_mask : callable, optional
        Takes rows, returns those that are sky; without it they are found in the white-light image.
    crsigma : float
        For cosmic rays in that image; 0: they stay.
    ctx : RecipeContext

    Raises
    ------
    DataError
        If no row is sky.
    """
    if (method := get_key(table.header, AUTOCAL, str, default="")) in LEVELLED:
        ctx.log.info("the slices were brought to one level before (%s)", method)
        return LevelModel(table)
    if given is not None:
        return LevelModel(level_slices(table, given, "user"), given)
    view = None
    if on_mask is not None:
        sky = on_mask(table)
    else:
        view = _view(table, crsigma, ctx)
        sky = select_rows(table, mask_test(view.sky.mask, view.white.grid), measure=False)
    adaptive = "NOAO" not in mode_class(get_key(table.header, "INS.MODE", str, default=None))
    factors = measure_slices(sky, SliceSums(wave_edges(adaptive)))
    _tell(factors, ctx)
    return LevelModel(level_slices(table, factors, "slice-median"), factors, view)


def level_products(model: LevelModel, made: SkyProducts) -> list[Product]:
    """AUTOCAL_MASK and AUTOCAL_FACTORS, as far as they were made."""
    found: list[Product] = []
    if model.view is not None:
        found.append(made.mask(model.view.sky, model.view.white, "AUTOCAL_MASK"))
    if model.factors is not None:
        table = table_of_factors(model.factors, made.primary())
        found.append(TableProduct("AUTOCAL_FACTORS", AUTOCAL_FACTORS, table, made.raws, made.calibs, made.number))
    return found


def _view(table: PixelTable, crsigma: float, ctx: RecipeContext) -> LevelView:
    white = white_light(table, crsigma, ctx)
    sky = find_level_sky(white.data)
    ctx.log.info("slices are levelled by %d pixels between %g and %g", int(sky.mask.sum()), sky.low, sky.high)
    return LevelView(white, sky)


def _tell(factors: SliceFactors, ctx: RecipeContext) -> None:
    used = factors.rows > 0
    if not used.any():
        ctx.log.warning("no slice has sky: they stay at their levels")
        return
    own = factors.factors[used]
    ctx.log.info("slices are multiplied with %.4f to %.4f", own.min(), own.max())
    if replaced := int((factors.factors != factors.measured)[used].sum()):
        ctx.log.info("%d factors were unlike those of the bins beside, and replaced", replaced)
