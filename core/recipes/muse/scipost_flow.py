"""What muse_scipost does to one exposure: from the pixel tables of its IFUs to one in native angles, without sky."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from core.errors import MissingInputError
from core.fitsfile.keywords import get_key
from core.fitsfile.scan import scan_fits
from core.formats.autocal_factors import read_slice_factors
from core.formats.field_image import FieldPicture, read_field_image
from core.formats.onsky_tables import EXTINCT_TABLE, SKY_CONTINUUM, STD_RESPONSE, STD_TELLURIC, read_curve
from core.formats.pixtable_read import PixelTable
from core.formats.sky_lines import read_sky_lines
from core.instruments.muse.facts import mode_class
from core.onsky.autocal import SliceFactors
from core.onsky.fluxcal import Curve
from core.onsky.skylines import SkyLines
from core.onsky.skymask import find_sky
from core.recipes.flow import Product, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.autocal_model import level_products, model_levels
from core.recipes.muse.exposures import Exposure
from core.recipes.muse.raman_model import model_raman, raman_product
from core.recipes.muse.sky_model import (
    WhiteLight,
    dark_rows,
    load_profiles,
    model_sky,
    picture_test,
    sky_spectrum,
    white_light,
)
from core.recipes.muse.sky_products import SkyProducts
from core.recipes.muse.steps.astrometry import Astrometry, default_astrometry, position, project
from core.recipes.muse.steps.combination import ExposureOffset, offset_of, read_offset_list
from core.recipes.muse.steps.darcheck import check_refraction
from core.recipes.muse.steps.fluxes import FluxCurve, calibrate_fluxes, response_is_older
from core.recipes.muse.steps.refraction import correct_refraction
from core.recipes.muse.steps.selection import like_rows, select_rows
from core.recipes.muse.steps.sky import SlicePlace, subtract_continuum, subtract_lines
from core.recipes.muse.steps.velocity import correct_velocity
from core.spectral.lsf_cube import LsfImage

if TYPE_CHECKING:
    from core.recipes.muse.muse_scipost import ScipostParameters

__all__ = ["QC", "ScipostCalibrations", "ScipostFlow"]

QC: Final = "QC.SCIPOST"


@dataclass(frozen=True)
class ScipostCalibrations:
    """What is used for all exposures.

    Attributes
    ----------
    frames : tuple of Frame
        What it was read from.
    response, telluric : FluxCurve or None
    extinction : Curve or None
    astrometry : Astrometry or None
    offsets : dict of ExposureOffset, or None
        By ``DATE-OBS``.
    lines : SkyLines or None
    continuum : Curve or None
        Of the sky.
    profiles : dict of LsfImage
        By IFU and slice.
    raman : SkyLines or None
        Of the guide-star lasers.
    mask : FieldPicture or None
        Where there is sky.
    factors : SliceFactors or None
        Of slices.
    """

    frames: tuple[Frame, ...]
    response: FluxCurve | None
    telluric: FluxCurve | None
    extinction: Curve | None
    astrometry: Astrometry | None
    offsets: dict[str, ExposureOffset] | None
    lines: SkyLines | None
    continuum: Curve | None
    profiles: dict[SlicePlace, LsfImage]
    raman: SkyLines | None
    mask: FieldPicture | None
    factors: SliceFactors | None

    @classmethod
    def load(cls, frames: FrameSet, params: ScipostParameters, ctx: RecipeContext) -> ScipostCalibrations:
        """Read all that the way of subtracting the sky needs, before any data.

        Raises
        ------
        MissingInputError
            If lines or line-spread functions are missing for the model of the sky.
        """
        method = params.skymethod
        wanted = ["STD_RESPONSE", "STD_TELLURIC", "EXTINCT_TABLE", "OFFSET_LIST", "RAMAN_LINES"]
        lasers = frames.optional("RAMAN_LINES") is not None
        wanted += ["ASTROMETRY_WCS"] if params.astrometry else []
        wanted += ["SKY_LINES", "SKY_CONTINUUM"] if method in ("model", "subtract-model") else []
        wanted += ["SKY_MASK"] if method in ("model", "simple") or lasers or params.autocalib != "none" else []
        wanted += ["AUTOCAL_FACTORS"] if params.autocalib == "user" else []
        found = {tag: frame for tag in wanted if (frame := frames.optional(tag)) is not None}
        lsf = frames.tagged("LSF_PROFILE") if method in ("model", "subtract-model") or lasers else ()
        for tag, there in (("SKY_LINES", "SKY_LINES" in found), ("LSF_PROFILE", bool(lsf))):
            if method == "model" and not there:
                raise MissingInputError(f"skymethod=model needs a {tag}", rule=tag)
        if params.autocalib == "user" and "AUTOCAL_FACTORS" not in found:
            ctx.log.warning("autocalib=user without AUTOCAL_FACTORS: the factors are measured")
        if lasers and not lsf:
            raise MissingInputError("RAMAN_LINES need an LSF_PROFILE", rule="LSF_PROFILE")
        if lasers and "SKY_CONTINUUM" in found:
            ctx.log.warning("RAMAN_LINES and a SKY_CONTINUUM: that may hold light of the lasers already")
        if lasers and params.skymodel_fraction < 0.5:
            ctx.log.warning("skymodel_fraction=%g leaves few pixels to fit the Raman light", params.skymodel_fraction)

        def curve(tag: str) -> FluxCurve | None:
            formats = {"STD_RESPONSE": STD_RESPONSE, "STD_TELLURIC": STD_TELLURIC, "EXTINCT_TABLE": EXTINCT_TABLE}
            formats["SKY_CONTINUUM"] = SKY_CONTINUUM
            return FluxCurve(*read_curve(found[tag].path, formats[tag])) if tag in found else None

        extinction, continuum = curve("EXTINCT_TABLE"), curve("SKY_CONTINUUM")
        tags = ("ASTROMETRY_WCS", "SKY_MASK", "SKY_LINES", "RAMAN_LINES", "OFFSET_LIST", "AUTOCAL_FACTORS")
        wcs, mask, lines, raman, offsets, factors = (found.get(tag) for tag in tags)
        return cls(
            (*found.values(), *lsf),
            curve("STD_RESPONSE"),
            curve("STD_TELLURIC"),
            None if extinction is None else extinction.curve,
            None if wcs is None else Astrometry.of(scan_fits(wcs.path).primary),
            None if offsets is None else read_offset_list(offsets.path),
            None if lines is None else read_sky_lines(lines.path, ctx.log),
            None if continuum is None else continuum.curve,
            load_profiles(lsf, ctx.log) if lsf else {},
            None if raman is None else read_sky_lines(raman.path, ctx.log),
            None if mask is None else read_field_image(mask.path),
            None if factors is None else read_slice_factors(factors.path),
        )


@dataclass(frozen=True)
class ScipostFlow:
    """The way of an exposure.

    Attributes
    ----------
    params : ScipostParameters
    calibrations : ScipostCalibrations
    ctx : RecipeContext
    """

    params: ScipostParameters
    calibrations: ScipostCalibrations
    ctx: RecipeContext

    def reduce(self, exposure: Exposure) -> PixelTable:
        """The table of an exposure, calibrated; in native angles unless there is to be no astrometry.

        Raises
        ------
        CalibrationMismatchError
            If the response does not fit the data.
        """
        ctx, params, given = self.ctx, self.params, self.calibrations
        table = exposure.open(ctx.log)
        if given.response is not None and response_is_older(table, given.response):
            ctx.log.warning("the response was measured without the spectrum of the lamps: it is left out of the data")
            table = exposure.open(ctx.log, lamps=False)
        table = check_refraction(correct_refraction(table, params.lambdaref, ctx.log), params.darcheck, ctx)
        if given.response is not None:
            table = calibrate_fluxes(table, given.response, given.extinction, given.telluric, ctx.log)
        table, white = self._levelled(self._without_lasers(table, exposure), exposure)
        table = self._without_sky(table, exposure, white)
        table = correct_velocity(table, params.rvcorr, ctx.log)
        return project(table, self._astrometry(table), ctx.log) if params.astrometry else table

    def _astrometry(self, table: PixelTable) -> Astrometry:
        if self.calibrations.astrometry is None:
            self.ctx.log.warning("there is no ASTROMETRY_WCS: pixels have their nominal size, and are not turned")
            return default_astrometry(table.header)
        return self.calibrations.astrometry

    def _without_lasers(self, table: PixelTable, exposure: Exposure) -> PixelTable:
        params, given = self.params, self.calibrations
        if given.raman is None:
            return table
        if "-AO-" not in mode_class(get_key(table.header, "INS.MODE", str, default=None)):
            self.ctx.log.info("no light of lasers is taken out: the exposure has no adaptive optics")
            return table
        model = model_raman(
            table,
            given.raman,
            given.profiles,
            params.raman_width,
            params.sigmas[0],
            (params.skymodel_ignore, params.skymodel_fraction),
            self._shown,
            self.ctx,
        )
        if model is None:
            return table
        if "raman" in params.save:
            made = SkyProducts(table.header, table.units["data"], QC, exposure.frames, given.frames, exposure.number)
            self.ctx.save(raman_product(model, made))
        return model.table

    def _levelled(self, table: PixelTable, exposure: Exposure) -> tuple[PixelTable, WhiteLight | None]:
        """Slices at one level, and the white-light image that was made for it."""
        params, given = self.params, self.calibrations
        if params.autocalib == "none":
            return table, None
        shown = None if given.mask is None else self._shown
        model = model_levels(table, given.factors, shown, params.sigmas[0], self.ctx)
        if "autocal" in params.save:
            made = SkyProducts(table.header, table.units["data"], QC, exposure.frames, given.frames, exposure.number)
            for product in level_products(model, made):
                self.ctx.save(product)
        return model.table, None if model.view is None else model.view.white

    def _without_sky(self, table: PixelTable, exposure: Exposure, white: WhiteLight | None) -> PixelTable:
        method = self.params.skymethod
        if method == "none":
            return table
        if method == "subtract-model":
            return self._subtracted(table, self.calibrations.continuum, self.calibrations.lines)
        return self._with_own_sky(table, exposure, white)

    def _subtracted(self, table: PixelTable, continuum: Curve | None, lines: SkyLines | None) -> PixelTable:
        log = self.ctx.log
        if continuum is None:
            log.warning("no continuum of the sky is subtracted: there is none")
        else:
            table = subtract_continuum(table, continuum, log)
        if lines is None or not self.calibrations.profiles:
            log.warning("no lines of the sky are subtracted: there is no list of lines, or no line-spread function")
            return table
        return subtract_lines(table, lines, self.calibrations.profiles, log)

    def _with_own_sky(self, table: PixelTable, exposure: Exposure, white: WhiteLight | None) -> PixelTable:
        """The sky is that of the exposure itself: as a model, or simply its spectrum."""
        ctx, params, given = self.ctx, self.params, self.calibrations
        made = SkyProducts(table.header, table.units["data"], QC, exposure.frames, given.frames, exposure.number)
        cube_sigma, spectrum_sigma = params.sigmas
        shown = self._shown(table)
        white = white_light(shown, cube_sigma, ctx) if white is None else white
        sky = find_sky(white.data, params.skymodel_ignore, params.skymodel_fraction)
        ctx.log.info("sky between %g and %g: %d pixels", sky.low, sky.high, int(sky.mask.sum()))
        dark = dark_rows(table, shown, white, sky)
        spectrum = sky_spectrum(dark, params.skymodel_sampling, spectrum_sigma)
        products: list[Product] = [made.mask(sky, white), made.image("SKY_IMAGE", white), made.spectrum(spectrum)]
        if params.skymethod == "simple":
            self._save(products)
            return subtract_continuum(table, Curve.of(spectrum.wave, spectrum.data), ctx.log)
        assert given.lines is not None  # `ScipostCalibrations.load` saw to it
        own = None if given.continuum is None else (given.continuum.wave, given.continuum.values)
        sampling = (params.skymodel_sampling, params.skymodel_csampling)
        model = model_sky(spectrum, given.lines, table, given.profiles, sampling, own, ctx.log)
        self._save([*products, made.lines(model.fit.lines), made.continuum(*model.continuum)])
        return self._subtracted(table, Curve.of(*model.continuum), model.fit.lines)

    def _shown(self, table: PixelTable) -> PixelTable:
        """The rows that may be sky: those on the mask, if one is given."""
        mask = self.calibrations.mask
        if mask is None:
            return table
        if not mask.axes.celestial:
            return select_rows(table, picture_test(mask), measure=False)
        offset = offset_of(table.header, self.calibrations.offsets, self.ctx.log)
        placed = position(project(table, self._astrometry(table), self.ctx.log), (offset.ra, offset.dec))
        return like_rows(table, select_rows(placed, picture_test(mask, placed.header), measure=False))

    def _save(self, products: Sequence[Product]) -> None:
        if "skymodel" in self.params.save:
            for product in products:
                self.ctx.save(product)
