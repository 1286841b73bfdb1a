"""muse_scipost: exposures of the sky become the cube that people look at."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

from pydantic import field_validator

from core.recipes.declaration import FrameSpec, ProductSpec, parameter
from core.recipes.flow import Product, RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.muse.cube_products import CUBE_INPUTS, CubeMaker, CubeParameters, fwhm_qc
from core.recipes.muse.cube_recipe import CubeRecipe, PlannedCube
from core.recipes.muse.differences.cube_forms import ARCHIVE_DIFFERENCES, SPECTRA_DIFFERENCES, STACKED_DIFFERENCES
from core.recipes.muse.differences.cubes import CUBE_DIFFERENCES
from core.recipes.muse.differences.muse_scipost import DIFFERENCES, MANUAL_NOTES
from core.recipes.muse.exposures import RefractionParameters, exposures_of, table_product
from core.recipes.muse.raman_model import check_width, raman_qc
from core.recipes.muse.scipost_flow import QC, ScipostCalibrations, ScipostFlow
from core.recipes.muse.sky_model import parse_sigmas
from core.recipes.muse.sky_products import sky_qc
from core.recipes.muse.stacked import stacked_product
from core.recipes.muse.steps.combination import combine_exposures
from core.recipes.parts import MemoryNeed

__all__ = ["MuseScipost", "ScipostParameters"]

_TABLE: Final = "PIXTABLE_OBJECT"
_CUBE: Final = "DATACUBE_FINAL"
_SAVE: Final = ("cube", "autocal", "skymodel", "raman", "individual", "positioned", "combined", "stacked")


class ScipostParameters(CubeParameters, RefractionParameters):
    """Parameters of muse_scipost."""

    save: str = parameter(
        "cube,skymodel",
        'Select output product(s) to save. Can contain one or more of "cube", "autocal", "skymodel", "raman", '
        '"individual", "positioned", "combined", and "stacked". If several options are given, they have to be '
        'comma-separated. ("cube": output cube and associated images, if this is not given, no final resampling is '
        'done at all -- "autocal": sky mask and factors of the autocalibration of slices -- '
        '"skymodel": additional output products about the effectively used sky that was subtracted -- "raman": '
        'images of the Raman light of the lasers that was subtracted -- "individual": fully reduced pixel table '
        'for each individual exposure -- "positioned": fully reduced and positioned pixel table for each '
        'individual exposure, the difference to "individual" is that here, the output pixel tables have '
        "coordinates in RA and DEC, and the optional offsets were applied; this is only useful, if both the "
        'relative exposure weighting and the final resampling are to be done externally -- "combined": fully '
        'reduced and combined pixel table for the full set of exposures, the difference to "positioned" is that '
        "all pixel tables are combined into one, with an added weight column; this is useful, if only the final "
        'resampling step is to be done separately -- "stacked": an additional output file in form of a 2D '
        "column-stacked image, i.e. x direction is pseudo-spatial, y direction is wavelength).",
    )
    weight: Literal["exptime", "fwhm", "none"] = parameter(
        "exptime",
        'Type of weighting scheme to use when combining multiple exposures. "exptime" just uses the exposure time to '
        'weight the exposures, "fwhm" uses the best available seeing information from the headers as well, "none" '
        "preserves an existing weight column in the input pixel tables without changes.",
    )
    skymethod: Literal["none", "subtract-model", "model", "simple"] = parameter(
        "model",
        'The method used to subtract the sky background (spectrum). Option "model" should work in all kinds of science '
        'fields: it uses a global sky spectrum model with a local LSF. "model" uses fluxes indicated in the SKY_LINES '
        "file as starting estimates, but re-fits them on the global sky spectrum created from the science exposure. If "
        "SKY_CONTINUUM is given, it is directly subtracted, otherwise it is created from the sky region of the science "
        'exposure. Option "subtract-model" uses the input SKY_LINES and SKY_CONTINUUM, subtracting them directly '
        "without re-fitting the fluxes, but still makes use of the local LSF, hence LSF_PROFILE is required. The "
        "inputs LSF_PROFILE and SKY_LINES are necessary for these two model-based methods; SKY_CONTINUUM is required "
        'for "subtract-model" and optional for "model"; SKY_MASK is optional for "model". Finally, option "simple" '
        "creates a sky spectrum from the science data, and directly subtracts it, without taking the LSF into account "
        "(LSF_PROFILE and input SKY files are ignored). It works on data that was not flux calibrated.",
    )
    skymodel_fraction: float = parameter(
        0.1,
        "Fraction of the image (without the ignored part) to be considered as sky. If an input sky mask is provided, "
        "the fraction is applied to the regions within the mask. If the whole sky mask should be used, set this "
        "parameter to 1.",
        ge=0,
        le=1,
    )
    skymodel_ignore: float = parameter(
        0.05,
        "Fraction of the image to be ignored. If an input sky mask is provided, the fraction is applied to the regions "
        "within the mask. If the whole sky mask should be used, set this parameter to 0.",
        ge=0,
        le=1,
    )
    skymodel_sampling: float = parameter(
        0.3125, "Spectral sampling of the sky spectrum.", unit="Angstrom", hidden=True, gt=0
    )
    skymodel_csampling: float = parameter(
        0.3125, "Spectral sampling of the continuum spectrum.", unit="Angstrom", hidden=True, gt=0
    )
    sky_crsigma: str = parameter(
        "15.,15.",
        "Sigma level clipping for cube-based and spectrum-based CR rejection when creating the sky spectrum. This has "
        "to be a string of two comma-separated floating-point numbers. The first value gives the sigma-level rejection "
        "for cube-based CR rejection (using median), the second value the sigma-level for spectrum-based CR cleaning. "
        "Both can be switched off, by passing zero or a negative value.",
        hidden=True,
    )
    autocalib: Literal["none", "deepfield", "user"] = parameter(
        "none",
        'The type of autocalibration to use. "none" switches it off, "deepfield" brings all slices to the level that '
        "the sky has in the whole field, bin by bin of wavelength, where the field is mostly empty (the sky is that of "
        'SKY_MASK, or is found in the white-light image); "user" applies the factors of AUTOCAL_FACTORS, and without '
        "that does the same.",
    )
    raman_width: float = parameter(
        20.0,
        "Width of the wavelength range around the Raman bands, for exposures with adaptive optics and a RAMAN_LINES.",
        unit="Angstrom",
        hidden=True,
        gt=0,
    )
    rvcorr: Literal["bary", "helio", "geo", "none"] = parameter(
        "bary",
        "Correct the radial velocity of the telescope with reference to either the barycenter of the Solar System "
        "(bary), the center of the Sun (helio), or to the center of the Earth (geo).",
    )
    astrometry: bool = parameter(
        True,
        "If false, skip any astrometric calibration, even if one was passed in the input set of files. This causes "
        "creation of an output cube with a linear WCS and may result in errors. If you want to use a sensible default, "
        "leave this true but do not pass an ASTROMETRY_WCS.",
    )

    @field_validator("save")
    @classmethod
    def _check_save(cls, value: str) -> str:
        words = [word.strip() for word in value.split(",")]
        if unknown := [word for word in words if word not in _SAVE]:
            raise ValueError(f"{unknown[0]!r} is not one of {', '.join(_SAVE)}")
        return value

    @field_validator("sky_crsigma")
    @classmethod
    def _check_sigmas(cls, value: str) -> str:
        parse_sigmas(value)
        return value

    @property
    def sigmas(self) -> tuple[float, float]:
        """For cosmic rays in the cube, and in the spectrum; 0: they stay."""
        return parse_sigmas(self.sky_crsigma)


class MuseScipost(CubeRecipe):
    """Prepare reduced and combined science products."""

    name = "muse_scipost"
    version = "1"
    memory = MemoryNeed(fixed_mb=1600, part_mb=1200)
    table_tag = _TABLE
    qc_prefix = QC
    summary = "Prepare reduced and combined science products."
    description = (
        "Sort input pixel tables into lists of files per exposure, merge pixel tables from all IFUs of each exposure. "
        "Correct each exposure for differential atmospheric refraction (unless --lambdaref is far outside the MUSE "
        "wavelength range, or NFM is used which has a built-in corrector). Then the flux calibration is carried out, "
        "if a response curve was given in the input; it includes a correction of telluric absorption, if a telluric "
        "absorption correction file was given. From exposures with adaptive optics the Raman light of the lasers is "
        "taken out, if its lines were given. Slices are brought to the same level (with --autocalib=deepfield by the "
        "sky in each, with --autocalib=user by given factors). Then the sky subtraction is carried out (unless "
        "--skymethod=none), either directly subtracting an input sky continuum and an input sky emission lines (for "
        "--skymethod=subtract-model), or (--skymethod=model) create a sky spectrum from the darkest fraction "
        "(--skymodel_fraction, after ignoring the lowest --skymodel_ignore as artifacts) of the field of view, then "
        "fitting and subtracting sky emission lines using an initial estimate of the input sky lines; then the "
        "continuum (residuals after subtracting the sky lines from the sky spectrum) is subtracted as well. Next "
        "correct the data for the radial velocity of the observer (--rvcorr), before the input (or a default) "
        "astrometric solution is applied. If --save contains individual, each exposure is then saved as a fully "
        "reduced pixel table. If multiple exposures were given, they are then combined. Finally (if --save contains "
        "cube), the data is resampled into a datacube, using all parameters given to the recipe. The extent and "
        "orientation of the cube is normally computed from the data itself, but this can be overridden by passing a "
        "file with the output world coordinate system (OUTPUT_WCS), for example a MUSE cube."
    )
    inputs = (
        FrameSpec(_TABLE, "raw", min=1, description="Pixel table of a science object"),
        FrameSpec("EXTINCT_TABLE", "calib", max=1, description="Atmospheric extinction table"),
        FrameSpec("STD_RESPONSE", "calib", max=1, description="Response curve as derived from standard star(s)"),
        FrameSpec("STD_TELLURIC", "calib", max=1, description="Telluric absorption as derived from standard star(s)"),
        FrameSpec(
            "ASTROMETRY_WCS", "calib", max=1, description="Astrometric solution derived from astrometric science frame"
        ),
        FrameSpec(
            "OFFSET_LIST", "calib", max=1, description="List of coordinate offsets (and optional flux scale factors)"
        ),
        *CUBE_INPUTS,
        FrameSpec("SKY_LINES", "calib", max=1, description="List of OH transitions and other sky lines"),
        FrameSpec("SKY_CONTINUUM", "calib", max=1, description="Sky continuum to use"),
        FrameSpec("LSF_PROFILE", "calib", description="Slice specific LSF parameters (more than one frame allowed)"),
        FrameSpec("SKY_MASK", "calib", max=1, description="Sky mask to use"),
        FrameSpec("AUTOCAL_FACTORS", "calib", max=1, description="Factors of slices to apply (for --autocalib=user)"),
        FrameSpec("RAMAN_LINES", "calib", max=1, description="List of Raman emission lines, for adaptive optics"),
    )
    Params = ScipostParameters
    products = (
        ProductSpec(_CUBE, "cube", 'Output datacube (if --save contains "cube")', science=True),
        ProductSpec("IMAGE_FOV", "image", "Field-of-view images of the filters", science=True),
        ProductSpec(
            "PIXTABLE_REDUCED",
            "pixtable",
            'Pixel table of each exposure (if --save contains "individual")',
            science=True,
            intermediate=True,
            passing=True,
        ),
        ProductSpec(
            "PIXTABLE_POSITIONED",
            "pixtable",
            'Table of each exposure on the sky (if --save contains "positioned")',
            science=True,
        ),
        ProductSpec(
            "PIXTABLE_COMBINED",
            "pixtable",
            'Pixel table of all exposures (if --save contains "combined")',
            science=True,
        ),
        ProductSpec("OBJECT_RESAMPLED", "image", 'Stacked image (if --save contains "stacked")', science=True),
        ProductSpec(
            "AUTOCAL_MASK",
            "image",
            'Sky by which slices were levelled (if --save contains "autocal", found, not given)',
        ),
        ProductSpec(
            "AUTOCAL_FACTORS", "table", 'Factors of the slices (if --save contains "autocal", with --autocalib)'
        ),
        ProductSpec(
            "RAMAN_IMAGES", "image", 'The Raman light over the field (if --save contains "raman", with RAMAN_LINES)'
        ),
        ProductSpec("SKY_MASK", "image", 'Created sky mask (if --save contains "skymodel")'),
        ProductSpec("SKY_IMAGE", "image", "Whitelight image used to create the sky mask"),
        ProductSpec("SKY_SPECTRUM", "table", "Sky spectrum within the sky mask"),
        ProductSpec("SKY_LINES", "table", "Estimated sky line flux table (if --skymethod=model)"),
        ProductSpec("SKY_CONTINUUM", "table", "Estimated continuum flux spectrum (if --skymethod=model)"),
    )
    qc = (*fwhm_qc(QC, _CUBE), *sky_qc(QC, ("exposure",), ("SKY_MASK", "AUTOCAL_MASK")), *raman_qc())
    differences = (*CUBE_DIFFERENCES, *SPECTRA_DIFFERENCES, *ARCHIVE_DIFFERENCES, *STACKED_DIFFERENCES, *DIFFERENCES)
    manual_notes = MANUAL_NOTES

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: ScipostParameters) -> None:
        """Wavelengths must be left, and numbers make sense; see `Recipe.check_parameters`."""
        params.check_wavelengths()
        params.options(None)
        check_width(params.raman_width, "raman_width")

    def prepare(self, frames: FrameSet, params: ScipostParameters, ctx: RecipeContext) -> PlannedCube:
        """Reduce all exposures, one after the other, and reserve their cube; see `Recipe.prepare`."""
        products: list[Product] = []
        ctx = replace(ctx, save=products.append)
        given = ScipostCalibrations.load(frames, params, ctx)
        flow = ScipostFlow(params, given, ctx)
        exposures = list(exposures_of(frames, (_TABLE,), params, ctx.log))
        tables = []
        for done, exposure in enumerate(exposures):
            ctx.progress(done / len(exposures), f"exposure of {exposure.files.date}")
            table = flow.reduce(exposure)
            if "individual" in params.save:
                ctx.save(exposure.product("PIXTABLE_REDUCED", table, ctx, given.frames))
            if "positioned" in params.save:
                alone = combine_exposures([table], params.weight, given.offsets, ctx.log)
                ctx.save(exposure.product("PIXTABLE_POSITIONED", alone, ctx, given.frames))
            tables.append(table)
        raws = tuple(frame for exposure in exposures for frame in exposure.frames)
        combined = combine_exposures(tables, params.weight, given.offsets, ctx.log)
        if "combined" in params.save:
            ctx.save(table_product("PIXTABLE_COMBINED", combined, ctx, raws, given.frames))
        if "stacked" in params.save:
            ctx.save(stacked_product(combined, params.dlambda, ctx, raws, given.frames))
        cube = CubeMaker(params, frames, ctx).reserve(combined, _CUBE) if self.wants_cube(params) else None
        return PlannedCube(tuple(products), raws, tuple(given.frames), cube)
