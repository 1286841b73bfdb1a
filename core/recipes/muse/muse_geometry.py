"""muse_geometry: exposures of the multi-pinhole mask become the geometry of the slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from core.errors import MissingInputError, NonRetriableError, ParameterError
from core.formats.raw import open_raw
from core.instruments.muse.facts import N_IFU
from core.recipes.declaration import (
    BADPIX_INPUT,
    FrameSpec,
    ProductSpec,
    QcClass,
    QcSpec,
    QcType,
    Recipe,
    RecipeParameters,
    parameter,
)
from core.recipes.flow import PartOutput, Product, RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.muse.arc_lamps import load_line_list
from core.recipes.muse.calibrations import NONLINEARITY_INPUT
from core.recipes.muse.cubes import discard_cube
from core.recipes.muse.differences.muse_geometry import DIFFERENCES, MANUAL_NOTES
from core.recipes.muse.geometry_field import check_picture, mask_cube
from core.recipes.muse.geometry_flow import MaskFlow
from core.recipes.muse.geometry_products import geometry_tables, solve
from core.recipes.muse.units import ifus_of
from core.recipes.names import product_name
from core.recipes.parts import MemoryNeed, Part, PartKind
from core.spatial.arclines import pinhole_lines

__all__ = ["GeometryParameters", "MuseGeometry"]

_TABLES: Final = ("GEOMETRY_TABLE", "GEOMETRY_UNSMOOTHED")  # QC1 is that of the first


class GeometryParameters(RecipeParameters):
    """Parameters of muse_geometry."""

    ifu1: int = parameter(1, "First IFU to analyze.", hidden=True, ge=1, le=N_IFU)
    ifu2: int = parameter(N_IFU, "Last IFU to analyze.", hidden=True, ge=1, le=N_IFU)
    sigma: float = parameter(
        2.2, "Sigma detection level for spot detection, in terms of median deviation above the median.", gt=0
    )
    centroid: Literal["barycenter", "gaussian"] = parameter(
        "gaussian",
        "Type of centroiding and FWHM determination to use for all spot measurements: simple barycenter method or "
        "using a Gaussian fit.",
    )
    smooth: float = parameter(
        1.5,
        "Use this sigma-level cut for smoothing of the output table within each slicer stack. Set to non-positive "
        "value to deactivate smoothing.",
    )
    lambdamin: float = parameter(
        6800.0,
        "When passing any MASK_CHECK frames in the input, use this lower wavelength cut before reconstructing the "
        "image.",
        hidden=True,
        unit="Angstrom",
        ge=3000,
        le=11000,
    )
    lambdamax: float = parameter(
        7200.0,
        "When passing any MASK_CHECK frames in the input, use this upper wavelength cut before reconstructing the "
        "image.",
        hidden=True,
        unit="Angstrom",
        ge=3000,
        le=11000,
    )
    savereduced: bool = parameter(True, "Save each reduced exposure of the mask, of each IFU.", hidden=True)


def _spots(name: str, klass: QcClass, description: str) -> QcSpec:
    return QcSpec(f"QC.GEO.{name}", "pix", "float", klass, description, ("SPOTS_TABLE",))


def _geometry(name: str, unit: str, klass: QcClass, description: str, kind: QcType = "float") -> QcSpec:
    return QcSpec(f"QC.GEO.{name}", unit, kind, klass, description, _TABLES, product_axes=())


def _smoothing(name: str, quantity: str) -> QcSpec:
    text = f"Number of slices whose {quantity} was changed by smoothing, -1 without smoothing"
    return _geometry(f"SMOOTH.{name}", "", "HC", text, "int")


class MuseGeometry(Recipe):
    """Find pinholes in each IFU, follow them along the sequence, and put the slices of all IFUs together."""

    name = "muse_geometry"
    version = "1"
    parts = PartKind.UNIT
    survives_loss = True
    compiled_by = ({"savereduced": False},)
    memory = MemoryNeed(fixed_mb=1400, part_mb=600)
    summary = (
        "Compute relative location of the slices within the field of view and measure the instrumental PSF on the "
        "detectors."
    )
    description = (
        "Processing first works separately on each IFU of the raw input data: it trims the raw data and records the "
        "overscan statistics, subtracts the bias and converts them from adu to count. Optionally, the dark can be "
        "subtracted and the data can be divided by the flat-field. The data of all input mask exposures is then "
        "averaged. The averaged image together with the trace table and wavelength calibration as well as the line "
        "catalog are used to detect spots. The detection windows are used to measure the spots on all images of the "
        "sequence, the result is saved, with information on the measured PSF, in the spots tables. Then properties "
        "of all slices are computed, first separately on each IFU to determine the peak position of the mask for each "
        "slice and its angle, subsequently the width and horizontal position. Then, the result of all IFUs is "
        "analyzed together to produce a refined horizontal position, applying global shifts to each IFU as needed. "
        "The vertical position is then determined using the known slice ordering on the sky; the relative peak "
        "positions are put into sequence, taking into account the vertical offsets of the pinholes in the mask. If "
        "the smooth parameter is set to a positive value, it is used to do a sigma-clipped smoothing within each "
        "slicer stack, for a more regular appearance of the output table. The table is then saved. As a last optional "
        "step, additional raw input data is reduced using the newly geometry to produce an image of the field of "
        "view. If these exposures contain smooth features, they can be used as a visual check of the quality of the "
        "geometrical calibration."
    )
    inputs = (
        FrameSpec(
            "MASK",
            "raw",
            min=50,
            description="The full exposure sequence of raw multi-pinhole mask images (more than 50 frames allowed)",
        ),
        FrameSpec("MASTER_BIAS", "calib", min=1, description="Master bias"),
        FrameSpec("MASTER_DARK", "calib", description="Master dark (optional, usually not used)"),
        FrameSpec("MASTER_FLAT", "calib", description="Master flat (optional)"),
        FrameSpec("TRACE_TABLE", "calib", min=1, description="Trace table"),
        FrameSpec("WAVECAL_TABLE", "calib", min=1, description="Wavelength calibration table"),
        FrameSpec("LINE_CATALOG", "calib", min=1, max=1, description="List of arc lines"),
        BADPIX_INPUT,
        FrameSpec(
            "MASK_CHECK",
            "raw",
            description="Some other optional raw frame, ideally a trace mask exposure or something else with smooth "
            "features. (optional, more than one frame allowed)",
        ),
        NONLINEARITY_INPUT,
    )
    Params = GeometryParameters
    products = (
        ProductSpec("MASK_REDUCED", "image", "Reduced pinhole mask images", "savereduced"),
        ProductSpec("MASK_COMBINED", "image", "Combined pinhole mask image"),
        ProductSpec("SPOTS_TABLE", "table", "Measurements of all detected spots on all input images."),
        ProductSpec(
            "GEOMETRY_UNSMOOTHED", "table", "Relative positions of the slices in the field of view (unsmoothed)"
        ),
        ProductSpec("GEOMETRY_TABLE", "table", "Relative positions of the slices in the field of view"),
        ProductSpec(
            "GEOMETRY_CUBE",
            "cube",
            "Cube of the field of view to check the geometry calibration. It is restricted to the wavelength range "
            'given in the parameters and contains an integrated image ("white") over this range.',
        ),
        ProductSpec(
            "GEOMETRY_CHECK",
            "image",
            "Optional field of view image to check the geometry calibration, integrated over the wavelength range "
            "given in the parameters.",
        ),
    )
    qc = (
        _spots("EXP{exposure}.FWHM.MEAN", "HC", "Average FWHM of all bright spots in exposure k"),
        _spots("EXP{exposure}.FWHM.MEDIAN", "HC", "Median FWHM of all bright spots in exposure k"),
        _spots("EXP{exposure}.FWHM.STDEV", "ENG", "Standard deviation of FWHM of all bright spots in exposure k"),
        _spots("FWHM.MEAN", "KPI", "Average of the average FWHM of all bright spots in all exposures"),
        _spots("FWHM.STDEV", "CAL", "Standard deviation of the average FWHM of all bright spots in all exposures"),
        _geometry("IFU{unit}.ANGLE", "deg", "HC", "Angle of the mask with respect to the slicer system of IFU m"),
        _geometry("IFU{unit}.WLEN{line}", "Angstrom", "ENG", "Nominal wavelength of arc line l"),
        _geometry("IFU{unit}.WLEN{line}.FLUX.MEAN", "count", "HC", "Average integrated flux in all spots at line l"),
        _geometry("IFU{unit}.WLEN{line}.FLUX.MEDIAN", "count", "HC", "Median integrated flux in all spots at line l"),
        _geometry(
            "IFU{unit}.WLEN{line}.FLUX.STDEV",
            "count",
            "ENG",
            "Standard deviation of integrated flux in all spots at line l",
        ),
        _geometry("IFU{unit}.GAPPOS.MEAN", "pix", "HC", "Average position of the central gap of IFU m"),
        _geometry("MASK.ANGLE", "deg", "HC", "Angle of the mask with respect to the slicer system, all IFUs"),
        _geometry("GAPPOS.MEAN", "pix", "HC", "Average of all mean central gap positions of all IFUs"),
        _geometry("GAPPOS.STDEV", "pix", "CAL", "Standard deviation of all mean central gap positions of all IFUs"),
        _smoothing("NX", "x position"),
        _smoothing("NY", "y position"),
        _smoothing("NANGLE", "angle"),
        _smoothing("NWIDTH", "width"),
        _geometry("TABLE.NBAD", "", "CAL", "Number of values of x, y, width and angle that are not known", "int"),
    )
    manual_notes = MANUAL_NOTES
    differences = DIFFERENCES

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: GeometryParameters) -> None:
        """Refuse ranges that hold nothing; see `Recipe.check_parameters`."""
        super().check_parameters(frames, params)
        for low, high in (("ifu1", "ifu2"), ("lambdamin", "lambdamax")):
            if getattr(params, low) > getattr(params, high):
                raise ParameterError(
                    f"{low}={getattr(params, low):g} is above {high}={getattr(params, high):g}", parameter=low
                )

    def list_parts(self, frames: FrameSet, params: GeometryParameters) -> tuple[Part, ...]:
        """The IFUs of the frames from ``ifu1`` to ``ifu2``; see `Recipe.list_parts`."""
        found = [part for part in ifus_of(frames.tagged("MASK")) if params.ifu1 <= part.number <= params.ifu2]
        if not found:
            raise MissingInputError(f"no frame has an IFU from {params.ifu1} to {params.ifu2}", rule="CHANnn")
        return tuple(found)

    def prepare(self, frames: FrameSet, params: GeometryParameters, ctx: RecipeContext) -> Path:
        """Note where products are reserved; see `Recipe.prepare`."""
        return ctx.output_dir

    def process(self, part: Part, frames: FrameSet, params: GeometryParameters, ctx: RecipeContext) -> PartOutput:
        """Find and measure the pinholes in one IFU; see `Recipe.process`."""
        return PartOutput(measured=MaskFlow.begin(self, part.number, frames, params, ctx).run())

    def finish(
        self, frames: FrameSet, params: GeometryParameters, ctx: RecipeContext, measured: Mapping[Part, Any]
    ) -> Sequence[Product]:
        """Put the slices of all IFUs together; see `Recipe.finish`."""
        spots = {part.number: found for part, found in measured.items()}
        catalogue, catalogue_frame = load_line_list(frames, check_version=False)
        solved = solve(spots, ctx)
        raws = frames.tagged("MASK")
        used = raws, (*frames.tagged("MASTER_BIAS", "TRACE_TABLE", "WAVECAL_TABLE"), catalogue_frame)
        header = open_raw(raws[0].path).primary
        geometry, tables = geometry_tables(self, solved, spots, pinhole_lines(catalogue), params.smooth, header, used)
        wave = (params.lambdamin, params.lambdamax)
        products: list[Product] = [*tables]
        pictures: list[tuple[str, Callable[[], Product]]] = [
            ("the mask", lambda: mask_cube(frames, geometry, wave, header, used, ctx))
        ]
        for number, check in enumerate(frames.tagged("MASK_CHECK"), start=1):
            make = partial(check_picture, check, number, frames, geometry, wave, used[1], ctx)
            pictures.append((check.path.name, make))
        for what, make_picture in pictures:
            try:
                products.append(make_picture())
            except NonRetriableError as error:  # the geometry is worth having without its pictures
                ctx.log.error("%s cannot be shown in the field of view: %s", what, error)
        return products

    def abandon(self, prepared: Path) -> None:
        """Remove the cube of the mask; see `Recipe.abandon`."""
        discard_cube(prepared / product_name("GEOMETRY_CUBE"))
