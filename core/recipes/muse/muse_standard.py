"""muse_standard: a standard star gives the response of the instrument, and the absorption of the air."""

from __future__ import annotations

from typing import Final

from core.cubes.weights import Resampling
from core.fitsfile.keywords import get_key
from core.formats.cube import open_cube
from core.formats.onsky_tables import EXTINCT_TABLE, read_curve
from core.formats.pixtable_read import PixelTable
from core.formats.standard_stars import StandardStar, nearest_star
from core.instruments.muse.facts import mode_class
from core.onsky.fluxcal import Curve
from core.onsky.sensitivity import Band
from core.recipes.declaration import FrameSpec, ProductSpec, Recipe, parameter
from core.recipes.flow import FileProduct, PartOutput, RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.muse.cube_products import SinglePlane, describe_sources, field_filters, known_filters
from core.recipes.muse.cubes import CubeOptions, cube_grid, write_cube
from core.recipes.muse.differences.cubes import CUBE_DIFFERENCES
from core.recipes.muse.differences.muse_standard import DIFFERENCES, MANUAL_NOTES
from core.recipes.muse.exposures import Exposure, RefractionParameters, exposures_of
from core.recipes.muse.pixel_source import source_of_table
from core.recipes.muse.standard_products import QC_PREFIX, TOPOCENTRIC, StandardProducts, standard_qc
from core.recipes.muse.standard_response import ResponseSmoothing, StarCounts, derive_response, telluric_bands
from core.recipes.muse.standard_star import Selection, StarProfile, measure_stars
from core.recipes.muse.steps.darcheck import check_refraction
from core.recipes.muse.steps.notch import without_notch_flag
from core.recipes.muse.steps.refraction import correct_refraction
from core.recipes.names import product_name
from core.recipes.parts import MemoryNeed, Part

__all__ = ["MuseStandard", "StandardParameters"]

_TABLE: Final = "PIXTABLE_STD"
_CUBE: Final = "DATACUBE_STD"
_OPTIONS: Final = CubeOptions(Resampling(pixfrac=(1.0, 1.0, 1.0)), "median", 25.0)
_WARNED: Final = 20.0  # [arcsec] from the nearest standard star


class StandardParameters(RefractionParameters):
    """Parameters of muse_standard."""

    profile: StarProfile = parameter(
        "moffat",
        'Type of flux integration to use. "gaussian", "moffat", and "smoffat" use 2D profile fitting, "circle" and '
        '"square" are non-optimal integrators. "smoffat" smooths the shape of the profile along the wavelength. '
        '"auto" selects the smoothed moffat profile for WFM data and circular flux integration for NFM.',
    )
    select: Selection = parameter(
        "distance",
        'How to select the star for flux integration, "flux" uses the brightest star in the field, "distance" uses the '
        "detection nearest to the approximate coordinates of the reference source.",
    )
    smooth: ResponseSmoothing = parameter(
        "ppoly",
        'How to smooth the response curve before writing it to disk. "none" does not do any kind of smoothing (such a '
        'response curve is only useful, if smoothed externally; "median" does a median-filter of 15 Angstrom '
        'half-width; "ppoly" fits piecewise cubic polynomials (each one across 2x150 Angstrom width) postprocessed by '
        "a sliding average filter of 15 Angstrom half-width.",
    )
    filter: str = parameter(
        "white",
        "The filter name(s) to be used for the output field-of-view image. Each name has to correspond to an EXTNAME "
        "in an extension of the FILTER_LIST file. If an unsupported filter name is given, creation of the respective "
        "image is omitted. If multiple filter names are given, they have to be comma separated. If the zeropoint QC "
        'parameters are wanted, make sure to add "Johnson_V,Cousins_R,Cousins_I".',
    )


class MuseStandard(Recipe):
    """Create a flux response curve."""

    name = "muse_standard"
    version = "1"
    memory = MemoryNeed(fixed_mb=2600, part_mb=400)
    summary = "Create a flux response curve from a standard star exposure."
    description = (
        "Pixel tables of all IFUs are merged and corrected for differential atmospheric refraction. The fluxes of all "
        "objects in the field of view are integrated with the given profile, and those of one of them, the standard "
        "star, are compared to tabulated fluxes. Wavelengths with telluric absorption are interpolated, which gives "
        "the telluric correction. The response is extrapolated to the largest possible wavelength range, and smoothed. "
        "Each exposure is handled for itself."
    )
    inputs = (
        FrameSpec(_TABLE, "raw", min=1, description="Pixel table of a standard star field"),
        FrameSpec("EXTINCT_TABLE", "calib", min=1, max=1, description="Atmospheric extinction table"),
        FrameSpec("STD_FLUX_TABLE", "calib", min=1, description="Flux reference table for standard stars"),
        FrameSpec("TELLURIC_REGIONS", "calib", max=1, description="Definition of telluric regions (optional)"),
        FrameSpec("FILTER_LIST", "calib", max=1, description="File to be used to create field-of-view images"),
    )
    Params = StandardParameters
    products = (
        ProductSpec(_CUBE, "cube", "Reduced standard star field exposure"),
        ProductSpec("STD_FLUXES", "image", "The integrated flux per wavelength of all detected sources"),
        ProductSpec("STD_RESPONSE", "table", "Response curve as derived from standard star(s)"),
        ProductSpec("STD_TELLURIC", "table", "Telluric absorption as derived from standard star(s)"),
    )
    qc = standard_qc()
    differences = (*CUBE_DIFFERENCES, *DIFFERENCES)
    manual_notes = MANUAL_NOTES

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: StandardParameters) -> None:
        """Wavelengths must be left; see `Recipe.check_parameters`."""
        params.check_wavelengths()

    def process(self, part: Part, frames: FrameSet, params: StandardParameters, ctx: RecipeContext) -> PartOutput:
        """Measure the response by each exposure; see `Recipe.process`.

        Raises
        ------
        DataError
            If no standard star is near, or none is seen, or its flux is not known.
        """
        extinction = read_curve(frames.one("EXTINCT_TABLE").path, EXTINCT_TABLE)[1]
        regions = frames.optional("TELLURIC_REGIONS")
        bands = telluric_bands(None if regions is None else regions.path)
        exposures = list(exposures_of(frames, (_TABLE,), params, ctx.log))
        for done, exposure in enumerate(exposures):
            ctx.progress(done / len(exposures), f"exposure of {exposure.files.date}")
            self._measure(exposure, extinction, bands, frames, params, ctx)
        return PartOutput()

    def _measure(
        self,
        exposure: Exposure,
        extinction: Curve,
        bands: list[Band],
        frames: FrameSet,
        params: StandardParameters,
        ctx: RecipeContext,
    ) -> None:
        table = self._table(exposure, params, ctx)
        header = table.header
        standard = _standard_of(table, frames, ctx)
        used = [frame for frame in frames.tagged("STD_FLUX_TABLE") if frame.path == standard.path]
        others = [
            frame for tag in ("EXTINCT_TABLE", "TELLURIC_REGIONS", "FILTER_LIST") for frame in frames.tagged(tag)[:1]
        ]
        made = StandardProducts(header, exposure.frames, [*others, *used], exposure.number)

        source = source_of_table(table)
        grid = cube_grid(source, _OPTIONS)
        filters = field_filters(params.filter, frames, ctx.log)
        middle = SinglePlane(grid.nz // 2)
        path = ctx.output_dir / product_name(_CUBE, number=exposure.number)
        cube = write_cube(path, source, _OPTIONS, filters=filters, spread=ctx.spread, each=middle.look)
        cube.header["SPECSYS"] = TOPOCENTRIC
        describe_sources(cube.header, grid, middle, QC_PREFIX, ctx.log)
        ctx.save(FileProduct(_CUBE, cube, cube.header, made.raws, made.calibs, exposure.number))

        field = measure_stars(open_cube(path), grid, header, params.profile, ctx)
        selected = field.select(params.select, standard)
        ctx.save(made.fluxes(field, selected, grid, source.unit))
        counts = StarCounts(field.wave, field.fluxes.data[selected], field.fluxes.stat[selected])
        response = derive_response(counts, header, standard.flux, extinction, bands, params.smooth, ctx.log)
        ctx.save(made.response(response, known_filters(frames)))
        if (telluric := made.telluric(response)) is None:
            ctx.log.warning("no telluric band is within the wavelengths: there is no STD_TELLURIC")
        else:
            ctx.save(telluric)

    def _table(self, exposure: Exposure, params: StandardParameters, ctx: RecipeContext) -> PixelTable:
        table = correct_refraction(exposure.open(ctx.log), params.lambdaref, ctx.log)
        table = check_refraction(table, params.darcheck, ctx)
        adaptive = "-AO-" in mode_class(get_key(table.header, "INS.MODE", str, default=None))
        return without_notch_flag(table) if adaptive else table


def _standard_of(table: PixelTable, frames: FrameSet, ctx: RecipeContext) -> StandardStar:
    ra, dec = (get_key(table.header, key, float) for key in ("RA", "DEC"))
    standard = nearest_star([frame.path for frame in frames.tagged("STD_FLUX_TABLE")], ra, dec)
    distance = standard.distance(ra, dec)
    told = ctx.log.warning if distance > _WARNED else ctx.log.info
    told("the standard star is %s, %.2f arcsec from where the telescope looked", standard.name, distance)
    return standard
