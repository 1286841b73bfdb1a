"""muse_twilight: raw exposures of the twilight sky become the flat field of the field of view."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from core.cubes.weights import Resampling
from core.errors import ParameterError, error_context
from core.instruments.muse.facts import N_IFU
from core.recipes.declaration import (
    BADPIX_INPUT,
    FrameSpec,
    ProductSpec,
    QcClass,
    QcSpec,
    QcType,
    Recipe,
    parameter,
)
from core.recipes.flow import PartOutput, Product, RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.muse.calibrations import NONLINEARITY_INPUT
from core.recipes.muse.cubes import CubeOptions, discard_cube
from core.recipes.muse.differences.muse_twilight import DIFFERENCES, MANUAL_NOTES
from core.recipes.muse.parameters import CombineParameters
from core.recipes.muse.twilight_field import CUBE, FLAT, TwilightField, read_sky_cube
from core.recipes.muse.twilight_flow import RAW_TAG, TwilightIfu, reduce_twilight, remove_pixels
from core.recipes.muse.units import ifus_of
from core.recipes.names import product_name
from core.recipes.parts import MemoryNeed, Part, PartKind
from core.spatial.vignetting import Smoothing

__all__ = ["SCALES", "SKIP", "MuseTwilight", "TwilightParameters"]

SCALES: Final = "MUSE_TWILIGHT_SCALES"
SKIP: Final = "MUSE_TWILIGHT_SKIP"


class TwilightParameters(CombineParameters):
    """Parameters of muse_twilight."""

    scale: bool = parameter(False, "Scale the individual images to a common exposure time before combining them.")
    resample: Literal["nearest", "linear", "quadratic", "renka", "drizzle", "lanczos"] = parameter(
        "drizzle", "The resampling technique to use for the final output cube."
    )
    crtype: Literal["iraf", "mean", "median"] = parameter(
        "median",
        'Type of statistics used for detection of cosmic rays during final resampling. "iraf" uses the variance '
        'information, "mean" uses standard (mean/stdev) statistics, "median" uses median and the median of the '
        "absolute median deviation.",
    )
    crsigma: float = parameter(
        50.0,
        "Sigma rejection factor to use for cosmic ray rejection during final resampling. A zero or negative value "
        "switches cosmic ray rejection off.",
    )
    lambdamin: float = parameter(5000.0, "Minimum wavelength for twilight reconstruction.", unit="Angstrom", gt=0)
    lambdamax: float = parameter(9000.0, "Maximum wavelength for twilight reconstruction.", unit="Angstrom", gt=0)
    dlambda: float = parameter(
        250.0,
        "Sampling for twilight reconstruction, this should result in planes of equal wavelength coverage.",
        unit="Angstrom",
        gt=0,
    )
    xorder: int = parameter(2, "Polynomial order to use in x direction to fit the full field of view.", ge=0, le=20)
    yorder: int = parameter(2, "Polynomial order to use in y direction to fit the full field of view.", ge=0, le=20)
    vignmaskedges: float = parameter(
        0.02,
        "Pixels on edges stronger than this fraction in the normalized image are excluded from the fit to the "
        "vignetted area. Set to non-positive number to include them in the fit. This has no effect for NFM data.",
        hidden=True,
    )
    vignsmooth: Literal["polyfit", "gaussian", "median"] = parameter(
        "polyfit",
        "Type of smoothing to use for the vignetted region given by the VIGNETTING_MASK (for WFM, or the internal mask "
        "for NFM); gaussian uses (vignxpar + vignypar)/2 as FWHM.",
        hidden=True,
    )
    vignxpar: int = parameter(
        -1,
        "Parameter used by the vignetting smoothing: x order for polyfit (recommended 4), parameter that influences "
        "the FWHM for the gaussian (recommended: 10), or x dimension of median filter (recommended 5). If a negative "
        "value is given, the recommended one is used.",
        hidden=True,
        le=20,
    )
    vignypar: int = parameter(
        -1,
        "Parameter used by the vignetting smoothing: y order for polyfit (recommended 4), parameter that influences "
        "the FWHM for the gaussian (recommended: 10), or y dimension of median filter (recommended 5). If a negative "
        "value is given, the recommended one is used.",
        hidden=True,
        le=20,
    )
    vignnfmmask: int = parameter(
        22,
        "The height of the vignetted region at the top of the MUSE field in NFM. This is the region modeled separately "
        "(the final vignetting model might be smaller). A number that does not fit the field stands for 22.",
        unit="pix",
        hidden=True,
    )

    @property
    def smoothing(self) -> Smoothing:
        """How a vignetted part is smoothed."""
        return Smoothing(self.vignsmooth, self.vignxpar, self.vignypar, self.vignmaskedges)

    def cube_options(self, max_bytes: int) -> CubeOptions:
        """How the cube is made."""
        return CubeOptions(
            Resampling(self.resample, pixfrac=(1.0, 1.0, 1.0)),
            crtype=self.crtype,
            crsigma=self.crsigma,
            dlambda=self.dlambda,
            max_bytes=max_bytes,
        )


def _qc(name: str, unit: str, klass: QcClass, description: str, kind: QcType = "float") -> QcSpec:
    return QcSpec(f"QC.TWILIGHT{{unit}}.{name}", unit, kind, klass, description, (CUBE,), product_axes=())


def _statistics(prefix: str, klass: QcClass, what: str) -> tuple[QcSpec, ...]:
    return (
        _qc(f"{prefix}.MEDIAN", "count", klass, f"Median value of {what}"),
        _qc(f"{prefix}.MEAN", "count", klass, f"Mean value of {what}"),
        _qc(f"{prefix}.STDEV", "count", "ENG", f"Standard deviation of {what}"),
        _qc(f"{prefix}.MIN", "count", "ENG", f"Minimum value of {what}"),
        _qc(f"{prefix}.MAX", "count", "ENG", f"Maximum value of {what}"),
    )


@dataclass(frozen=True)
class TwilightRun:
    """What a run was told by its environment, and where it works.

    Attributes
    ----------
    folder : pathlib.Path
    scales : tuple of float
        Scales of the IFUs that are not to be measured; empty: they are.
    skip : pathlib.Path, optional
        Cube of the twilight sky that is not to be made.
    """

    folder: Path
    scales: tuple[float, ...] = ()
    skip: Path | None = None


class MuseTwilight(Recipe):
    """Combine twilight flats into a cube, and smooth it to a correction of the illumination of the field."""

    name = "muse_twilight"
    version = "1"
    parts = PartKind.UNIT
    survives_loss = True
    compiled_by = ({},)
    memory = MemoryNeed(fixed_mb=2200, part_mb=700)
    summary = (
        "Combine several twilight skyflats into one cube, compute correction factors for each IFU, and create a smooth "
        "3D illumination correction."
    )
    description = (
        "Processing first handles each raw input image separately: it trims the raw data and records the overscan "
        'statistics, subtracts the bias (taking account of the overscan, if --overscan is not "none"), converts the '
        "images from adu to count, subtracts the dark, divides by the flat-field and combines all the exposures using "
        "input parameters. The input calibrations geometry table, trace table, and wavelength calibration table are "
        "used to assign 3D coordinates to each CCD-based pixel, thereby creating a pixel table from the master "
        "sky-flat. These pixel tables are then cut in wavelength using the --lambdamin and --lambdamax parameters. The "
        "integrated flux in each IFU is computed as the sum of the data in the pixel table, and saved in the header, "
        "to be used later as estimate for the relative throughput of each IFU. If an ILLUM exposure was given as "
        "input, it is then used to correct the relative illumination between all slices of one IFU. For this, the data "
        "of each slice within the pixel table of each IFU is multiplied by the normalized median flux of that slice in "
        "the ILLUM exposure. The pixel tables of all IFUs are then merged, using the integrated fluxes as inverse "
        "scaling factors, and a cube is reconstructed from the merged dataset, using given parameters. A white-light "
        "image is created from the cube. This skyflat cube is then saved to disk, with the white-light image as one "
        "extension. To construct a smooth 3D illumination correction, the cube is post-processed in the following way: "
        "the white-light image is used to create a mask of the illuminated area. From this area, the optional "
        "vignetting mask is removed. The smoothing is then computed for each plane of the cube: the illuminated area "
        "is smoothed (by a 5x7 median filter), normalized, fit with a 2D polynomial (of given polynomial orders), and "
        "normalized again. A smooth white image is then created by collapsing the smooth cube. If a vignetting mask "
        "was given or NFM data is processed, an area close to the edge of the MUSE field is used to compute a 2D "
        "correction for the vignetted area: the original unsmoothed white-light image is corrected for large scale "
        "gradients by dividing it with the smooth white image. The residuals in the edge area (as defined by the input "
        "mask or hardcoded for NFM) are then smoothed using input parameters. This smoothed vignetting correction is "
        "then multiplied onto each plane of the smooth cube, normalizing each plane again. This twilight cube is then "
        "saved to disk."
    )
    inputs = (
        FrameSpec(RAW_TAG, "raw", min=3, description="Raw twilight skyflat"),
        FrameSpec("ILLUM", "raw", max=1, description="Single optional raw (attached/illumination) flat-field exposure"),
        FrameSpec("MASTER_BIAS", "calib", min=1, description="Master bias"),
        FrameSpec("MASTER_DARK", "calib", description="Master dark (optional, usually not used)"),
        FrameSpec("MASTER_FLAT", "calib", min=1, description="Master flat"),
        BADPIX_INPUT,
        FrameSpec("TRACE_TABLE", "calib", min=1, description="Tracing table for all slices"),
        FrameSpec("WAVECAL_TABLE", "calib", min=1, description="Wavelength calibration table"),
        FrameSpec(
            "GEOMETRY_TABLE", "calib", min=1, max=1, description="Relative positions of the slices in the field of view"
        ),
        FrameSpec(
            "VIGNETTING_MASK",
            "calib",
            max=1,
            description="Mask to mark vignetted regions in the MUSE field of view (optional, before 2017-03-11)",
        ),
        NONLINEARITY_INPUT,
    )
    Params = TwilightParameters
    products = (
        ProductSpec(CUBE, "cube", "Cube of combined twilight skyflat exposures"),
        ProductSpec(FLAT, "cube", "Smoothed cube of twilight sky"),
    )
    qc = (
        *_statistics("INPUT{input}", "CAL", "raw exposure i of IFU m in input list"),
        _qc(
            "INPUT{input}.NSATURATED",
            "",
            "ENG",
            "Number of saturated pixels in raw exposure i of IFU m in input list",
            "int",
        ),
        *_statistics("MASTER", "CAL", "the combined exposures in IFU m"),
        _qc("MASTER.INTFLUX", "count", "CAL", "Flux integrated over the whole CCD of the combined exposures of IFU m"),
        _qc(
            "INTFLUX",
            "count",
            "HC",
            "Flux integrated over all slices of IFU m. Computed using the pixel table of the exposure.",
        ),
    )
    manual_notes = MANUAL_NOTES
    differences = DIFFERENCES

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: TwilightParameters) -> None:
        """The combination must fit the exposures, and numbers each other; see `Recipe.check_parameters`.

        Raises
        ------
        ParameterError
            Naming the parameter.
        """
        params.combine_options.check_number(len(frames.tagged(RAW_TAG)))
        if params.lambdamax <= params.lambdamin:
            raise ParameterError(
                f"lambdamax={params.lambdamax:g} is not accepted: it must be larger than lambdamin "
                f"({params.lambdamin:g} Angstrom)",
                parameter="lambdamax",
            )
        for name, size in zip(("vignxpar", "vignypar"), params.smoothing.sizes, strict=True):
            if params.vignsmooth == "median" and size % 2 == 0:
                raise ParameterError(
                    f"{name}={size} is not accepted: a median filter has an odd number of pixels", parameter=name
                )
            if params.vignsmooth == "gaussian" and size == 0:
                raise ParameterError(f"{name}=0 is not accepted: a Gaussian has a width", parameter=name)

    def list_parts(self, frames: FrameSet, params: TwilightParameters) -> tuple[Part, ...]:
        """All IFUs that any exposure has; see `Recipe.list_parts`."""
        return ifus_of(frames.tagged(RAW_TAG))

    def prepare(self, frames: FrameSet, params: TwilightParameters, ctx: RecipeContext) -> TwilightRun:
        """Read the environment; see `Recipe.prepare`.

        Raises
        ------
        ParameterError
            If MUSE_TWILIGHT_SCALES has not 24 positive numbers, or MUSE_TWILIGHT_SKIP is no file.
        """
        skip = os.environ.get(SKIP)
        if skip and not Path(skip).is_file():
            raise ParameterError(f"{SKIP} is {skip!r}, which is no file", parameter=SKIP)
        return TwilightRun(ctx.output_dir, _scales(os.environ.get(SCALES, "")), Path(skip) if skip else None)

    def process(self, part: Part, frames: FrameSet, params: TwilightParameters, ctx: RecipeContext) -> PartOutput:
        """Reduce an IFU, and keep its pixels on disk; see `Recipe.process`."""
        if ctx.prepared.skip is not None:
            return PartOutput(measured=None)
        return PartOutput(measured=reduce_twilight(self, part.number, frames, params, ctx))

    def finish(
        self, frames: FrameSet, params: TwilightParameters, ctx: RecipeContext, measured: Mapping[Part, TwilightIfu]
    ) -> Sequence[Product]:
        """Make the cube of all IFUs, and smooth it; see `Recipe.finish`."""
        run: TwilightRun = ctx.prepared
        field = TwilightField(self, frames, params, ctx, run.scales)
        if run.skip is not None:
            ctx.log.info("the cube of the twilight sky is %s", run.skip)
            with error_context(file=run.skip):
                return field.of_cube(read_sky_cube(run.skip), frames.tagged(RAW_TAG), ())
        return field.of_ifus(list(measured.values()))

    def abandon(self, prepared: TwilightRun) -> None:
        """Remove pixels and cube; see `Recipe.abandon`."""
        remove_pixels(prepared.folder)
        discard_cube(prepared.folder / product_name(CUBE))


def _scales(text: str) -> tuple[float, ...]:
    """Numbers of the variable MUSE_TWILIGHT_SCALES; none if it is empty."""
    if not text.strip():
        return ()
    try:
        scales = tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise ParameterError(f"{SCALES}: {error}", parameter=SCALES) from error
    if len(scales) != N_IFU or not all(0 < scale < float("inf") for scale in scales):
        raise ParameterError(f"{SCALES} has not {N_IFU} positive numbers", parameter=SCALES)
    return scales
