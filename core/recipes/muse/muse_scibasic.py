"""muse_scibasic: raw exposures of the sky become pixel tables."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import field_validator

from core.ccd.combine import CombineOptions
from core.ccd.cosmics import DcrSettings
from core.errors import MissingInputError
from core.formats.image import ifus_of_image
from core.recipes.declaration import BADPIX_INPUT, FrameSpec, ProductSpec, QcSpec, parameter
from core.recipes.flow import Product, RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.muse.calibrations import NONLINEARITY_INPUT
from core.recipes.muse.differences.muse_scibasic import DIFFERENCES, MANUAL_NOTES
from core.recipes.muse.parameters import IfuParameters, merge_parameter
from core.recipes.muse.scibasic_flow import SKY_TAGS, ScibasicFlow
from core.recipes.muse.sky_shift import SkyLineOptions, parse_lines, parse_rejection
from core.recipes.muse.units import IfuRecipe, ifu_part
from core.recipes.parts import MemoryNeed, Part

__all__ = ["MuseScibasic", "ScibasicParameters"]

_WHAT: Final = ("a science target", "a standard star field", "an (almost) empty sky field", "an astrometric field")


class ScibasicParameters(IfuParameters):
    """Parameters of muse_scibasic."""

    crop: bool = parameter(
        True,
        "Automatically crop the output pixel tables in wavelength depending on the expected useful wavelength range of "
        "the observation mode used (4750-9350 Angstrom for nominal mode, 4600-9350 Angstrom for extended mode).",
    )
    cr: Literal["none", "dcr"] = parameter(
        "none", "Type of cosmic ray cleaning to use (for quick-look data processing)."
    )
    xbox: int = parameter(15, "Search box size in x. Only used if cr=dcr.", unit="pix", only="cr=dcr", ge=1)
    ybox: int = parameter(40, "Search box size in y. Only used if cr=dcr.", unit="pix", only="cr=dcr", ge=1)
    passes: int = parameter(2, "Maximum number of cleaning passes. Only used if cr=dcr.", only="cr=dcr", ge=1)
    thres: float = parameter(
        5.8, "Threshold for detection gap in factors of standard deviation. Only used if cr=dcr.", only="cr=dcr", gt=0
    )
    saveimage: bool = parameter(
        True,
        "Save the pre-processed CCD-based image of each input exposure before it is transformed into a pixel table.",
    )
    skylines: str = parameter(
        "5577.339,6300.304",
        "List of wavelengths of sky emission lines (in Angstrom) to use as reference for wavelength offset correction "
        "using a Gaussian fit. It can contain multiple (isolated) lines, as comma-separated list, individual shifts "
        "are "
        'then combined into one weighted average offset. Set to "none" to deactivate.',
        unit="Angstrom",
    )
    skyhalfwidth: float = parameter(
        5.0, "Half-width of the extraction box (in Angstrom) around each sky emission line.", unit="Angstrom", gt=0
    )
    skybinsize: float = parameter(
        0.1,
        "Size of the bins (in Angstrom per pixel) for the intermediate spectrum to do the Gaussian fit to each sky "
        "emission line.",
        unit="Angstrom/pix",
        gt=0,
    )
    skyreject: str = parameter(
        "15.,15.,1",
        "Sigma clipping parameters for the intermediate spectrum to do the Gaussian fit to each sky emission line. Up "
        "to three comma-separated numbers can be given, which are interpreted as high sigma-clipping limit (float), "
        "low limit (float), and number of iterations (integer), respectively.",
    )
    resample: bool = parameter(
        False,
        "Resample the input science data into 2D spectral images using tracing and wavelength calibration solutions "
        "for a visual check. Note that the image produced will show small wiggles even when the input calibrations "
        "are good and were applied successfully!",
    )
    dlambda: float = parameter(
        1.25,
        "Wavelength step (in Angstrom per pixel) to use for resampling.",
        unit="Angstrom/pix",
        only="resample=true",
        gt=0,
    )
    combine: Literal["none", "average", "median", "minmax", "sigclip"] = parameter(
        "none", "Type of combination to use: all exposures of an IFU become one.", hidden=True
    )
    nlow: int = parameter(
        1, "Number of minimum pixels to reject with minmax.", hidden=True, ge=0, only="combine=minmax"
    )
    nhigh: int = parameter(
        1, "Number of maximum pixels to reject with minmax.", hidden=True, ge=0, only="combine=minmax"
    )
    nkeep: int = parameter(1, "Number of pixels to keep with minmax.", hidden=True, ge=0, only="combine=minmax")
    lsigma: float = parameter(
        3.0, "Low sigma for pixel rejection with sigclip.", hidden=True, ge=0, only="combine=sigclip"
    )
    hsigma: float = parameter(
        3.0, "High sigma for pixel rejection with sigclip.", hidden=True, ge=0, only="combine=sigclip"
    )
    scale: bool = parameter(True, "Scale the exposures to a common exposure time before combining them.", hidden=True)
    compact: bool = parameter(
        False,
        "Write pixel tables in the compact form, of 8 instead of 28 bytes a pixel, which only this software reads.",
        hidden=True,
    )
    merge: bool = merge_parameter()

    @field_validator("skylines")
    @classmethod
    def _check_lines(cls, value: str) -> str:
        parse_lines(value)
        return value

    @field_validator("skyreject")
    @classmethod
    def _check_rejection(cls, value: str) -> str:
        parse_rejection(value)
        return value

    @property
    def dcr(self) -> DcrSettings:
        """How cosmic rays are looked for."""
        return DcrSettings(self.xbox, self.ybox, self.passes, self.thres)

    @property
    def sky_lines(self) -> SkyLineOptions:
        """How the shift of the wavelengths is measured."""
        rejection = parse_rejection(self.skyreject)
        return SkyLineOptions(parse_lines(self.skylines), self.skyhalfwidth, self.skybinsize, *rejection)

    @property
    def combine_options(self) -> CombineOptions | None:
        """How exposures are combined; None if each is for itself."""
        if self.combine == "none":
            return None
        return CombineOptions(self.combine, self.nlow, self.nhigh, self.nkeep, self.lsigma, self.hsigma)


def _products() -> tuple[ProductSpec, ...]:
    specs: list[ProductSpec] = []
    for tag in SKY_TAGS:
        specs += [
            ProductSpec(
                f"{tag}_RED",
                "image",
                f"Pre-processed CCD-based images for {tag} input (if saveimage=true)",
                "saveimage",
                science=True,
            ),
            ProductSpec(
                f"{tag}_RESAMPLED",
                "image",
                f"Resampled 2D image for {tag} input (if resample=true)",
                "resample",
                science=True,
            ),
            ProductSpec(
                f"PIXTABLE_{tag}", "pixtable", f"Output pixel table for {tag} input", science=True, intermediate=True
            ),
        ]
    specs += [
        ProductSpec(
            "REDUCED_RESAMPLED",
            "image",
            "Resampled 2D image for REDUCED input (if resample=true)",
            "resample",
            science=True,
        ),
        ProductSpec(
            "PIXTABLE_REDUCED", "pixtable", "Output pixel table for REDUCED input", science=True, intermediate=True
        ),
    ]
    return tuple(specs)


_TABLES: Final = tuple(f"PIXTABLE_{tag}" for tag in SKY_TAGS)


class MuseScibasic(IfuRecipe):
    """Remove the signature of the instrument from exposures of the sky, and say where each pixel belongs."""

    name = "muse_scibasic"
    version = "1"
    memory = MemoryNeed(fixed_mb=210, part_mb=650)
    compiled_by = ({"cr": "dcr", "resample": True}, {"compact": True})
    summary = (
        "Remove the instrumental signature from the data of each CCD and convert them from an image into a pixel table."
    )
    description = (
        "Processing handles each raw input image separately: it trims the raw data and records the overscan "
        'statistics, subtracts the bias (taking account of the overscan, if --overscan is not "none"), optionally '
        "detects cosmic rays (note that by default cosmic ray rejection is handled in the post processing recipes "
        "while "
        'the data is reformatted into a datacube, so that the default setting is cr="none" here), converts the images '
        "from adu to count, subtracts the dark, divides by the flat-field, and (optionally) propagates the integrated "
        "flux value from the twilight-sky cube. The reduced image is then saved (if --saveimage=true). Geometry table, "
        "trace table, and wavelength calibration table are used to assign 3D coordinates to each CCD-based pixel, "
        "thereby creating a pixel table for each exposure. If --skylines contains one or more wavelengths for (bright "
        "and isolated) sky emission lines, these lines are used to correct the wavelength calibration using an "
        "offset. The data is then cut to a useful wavelength range (if --crop=true). If an ILLUM exposure was given "
        "as input, it is then used to correct the relative illumination between all slices of one IFU. As last step, "
        "the data is divided by the normalized twilight cube (if given), using the 3D coordinate of each pixel in the "
        "pixel table to interpolate the twilight correction onto the data."
    )
    inputs = (
        *(
            FrameSpec(tag, "raw", description=f"Raw exposure of {what}")
            for tag, what in zip(SKY_TAGS, _WHAT, strict=True)
        ),
        FrameSpec("REDUCED", "raw", description="Pre-processed CCD-based image, instead of raw exposures"),
        FrameSpec("ILLUM", "raw", max=1, description="Single optional raw (attached/illumination) flat-field exposure"),
        FrameSpec("MASTER_BIAS", "calib", description="Master bias (not with REDUCED)"),
        FrameSpec("MASTER_DARK", "calib", description="Master dark (optional, usually not used)"),
        FrameSpec("MASTER_FLAT", "calib", description="Master flat (not with REDUCED)"),
        FrameSpec("TRACE_TABLE", "calib", min=1, description="Trace table"),
        FrameSpec("WAVECAL_TABLE", "calib", min=1, description="Wavelength calibration table"),
        FrameSpec(
            "GEOMETRY_TABLE", "calib", min=1, max=1, description="Relative positions of the slices in the field of view"
        ),
        FrameSpec(
            "TWILIGHT_CUBE",
            "calib",
            description="Smoothed cube of twilight sky (optional, more than one frame allowed)",
        ),
        BADPIX_INPUT,
        NONLINEARITY_INPUT,
    )
    Params = ScibasicParameters
    products = _products()
    qc = (
        QcSpec(
            "QC.SCIBASIC.NSATURATED",
            "",
            "int",
            "HC",
            "Number of saturated pixels in output data",
            (*(f"{tag}_RED" for tag in SKY_TAGS), *_TABLES),
            product_axes=("unit", "exposure"),
        ),
        QcSpec(
            "QC.SCIBASIC.LAMBDA.SHIFT",
            "Angstrom",
            "float",
            "HC",
            "Shift in wavelength applied to the data using sky emission line(s)",
            _TABLES,
            product_axes=("unit", "exposure"),
        ),
    )
    manual_notes = MANUAL_NOTES
    differences = DIFFERENCES

    @classmethod
    def check_inputs(cls, frames: FrameSet) -> None:
        """Exposures of the sky with bias and flat, or REDUCED images; see `Recipe.check_inputs`.

        Raises
        ------
        MissingInputError
            If there are no exposures, or raw ones without their masters.
        """
        super().check_inputs(frames)
        raw = frames.tagged(*SKY_TAGS)
        reduced = frames.tagged("REDUCED")
        if raw and reduced:
            raise MissingInputError(
                f"{cls.name} takes raw exposures or REDUCED images, not both: {raw[0].path.name}, "
                f"{reduced[0].path.name}",
                rule="REDUCED",
            )
        if not raw and not reduced:
            raise MissingInputError(
                f"the set of frames has no exposure of the sky: {', '.join(SKY_TAGS)} or REDUCED", rule="OBJECT"
            )
        for tag in ("MASTER_BIAS", "MASTER_FLAT") if raw else ():
            if not frames.tagged(tag):
                raise MissingInputError(f"{raw[0].tag} frames need a {tag}", rule=tag)

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: ScibasicParameters) -> None:
        """A combination must fit the number of exposures; see `Recipe.check_parameters`."""
        super().check_parameters(frames, params)
        if params.combine_options is not None and (raw := frames.tagged(*SKY_TAGS)):
            params.combine_options.check_number(len(raw))

    def list_parts(self, frames: FrameSet, params: ScibasicParameters) -> tuple[Part, ...]:
        """The IFU asked for by ``nifu``, or all that any exposure has; see `IfuRecipe.list_parts`."""
        if reduced := frames.tagged("REDUCED"):
            found = {params.nifu} if params.nifu > 0 else {ifu for f in reduced for ifu in ifus_of_image(f.path)}
            if not found:
                raise MissingInputError("no REDUCED image says its IFU", file=reduced[0].path, keyword="EXTNAME")
            return tuple(map(ifu_part, sorted(found)))
        return super().list_parts(FrameSet(frames.tagged(*SKY_TAGS)), params)

    def reduce_ifu(self, ifu: int, frames: FrameSet, params: ScibasicParameters, ctx: RecipeContext) -> list[Product]:
        """Reduce one IFU; see `IfuRecipe.reduce_ifu`."""
        ScibasicFlow(self, ifu, frames, params, ctx).run()
        return []
