"""muse_lsf: raw ARC frames become the line-spread function of each slice."""

from __future__ import annotations

from typing import Literal

from core.errors import ParameterError
from core.formats.lsf import LSF_PROFILE
from core.recipes.declaration import (
    BADPIX_INPUT,
    FrameSpec,
    ProductSpec,
    QcSpec,
    parameter,
)
from core.recipes.flow import Product, RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.muse.arc_lamps import (
    load_dispersion,
    load_line_list,
    load_trace,
)
from core.recipes.muse.basic import prepare
from core.recipes.muse.calibrations import NONLINEARITY_INPUT
from core.recipes.muse.differences.muse_lsf import DIFFERENCES, MANUAL_NOTES
from core.recipes.muse.lsf_flow import LsfFlow
from core.recipes.muse.parameters import IfuParameters, merge_parameter
from core.recipes.muse.units import IfuRecipe
from core.recipes.parts import MemoryNeed

__all__ = ["LsfParameters", "MuseLsf"]


class LsfParameters(IfuParameters):
    """Parameters of muse_lsf."""

    save_subtracted: bool = parameter(False, "Save the pixel table after the LSF subtraction.")
    line_quality: int = parameter(3, "Minimal quality flag in line catalog for selection", ge=1, le=5)
    lsf_range: float = parameter(
        7.5,
        "Wavelength window (half size) around each line to estimate LSF",
        unit="Angstrom",
        only="method=interpolate",
        gt=0,
        le=50,
    )
    lsf_size: int = parameter(150, "Image size in LSF direction", only="method=interpolate", ge=10, le=1000)
    lambda_size: int = parameter(
        30, "Image size in line wavelength direction", only="method=interpolate", ge=2, le=1000
    )
    lsf_regression_window: float = parameter(
        0.7, "Size of the regression window in LSF direction", unit="Angstrom", only="method=interpolate", gt=0, le=50
    )
    merge: bool = merge_parameter()
    combine: Literal["average", "median", "minmax", "sigclip"] = parameter(
        "sigclip", "Type of lampwise image combination to use."
    )
    method: Literal["interpolate", "hermit"] = parameter(
        "interpolate",
        "LSF generation method. Depending on this value, either an interpolated LSF cube is created, or a table with "
        "the parameters of a hermitean gaussian.",
    )


def _fwhm(name: str, what: str) -> QcSpec:
    klass: Literal["KPI", "CAL"] = "KPI" if name == "MEAN" else "CAL"
    return QcSpec(
        f"QC.LSF.SLICE{{slice}}.FWHM.{name}", "Angstrom", "float", klass, f"{what} the LSF in slice j", (LSF_PROFILE,)
    )


class MuseLsf(IfuRecipe):
    """Measure the line-spread function of each slice on arc lines."""

    name = "muse_lsf"
    version = "1"
    memory = MemoryNeed(fixed_mb=210, part_mb=650)
    compiled_by = ({"save_subtracted": True}, {"method": "hermit"})
    summary = "Compute the LSF."
    description = "Compute the slice and wavelength dependent LSF from a lines spectrum (ARC lamp)."
    inputs = (
        FrameSpec("ARC", "raw", recommended=15, description="Raw arc lamp exposures (from a standard arc sequence)"),
        FrameSpec("ARC_LSF", "raw", description="Raw arc lamp exposures (from a long LSF arc sequence)"),
        FrameSpec("MASTER_BIAS", "calib", min=1, description="Master bias"),
        FrameSpec("MASTER_DARK", "calib", description="Master dark (optional, usually not used)"),
        FrameSpec("MASTER_FLAT", "calib", description="Master flat (optional)"),
        FrameSpec("TRACE_TABLE", "calib", min=1, description="Trace table"),
        FrameSpec("WAVECAL_TABLE", "calib", min=1, description="Wavelength calibration table"),
        BADPIX_INPUT,
        FrameSpec("LINE_CATALOG", "calib", min=1, max=1, description="Arc line catalog"),
        NONLINEARITY_INPUT,
    )
    Params = LsfParameters
    products = (
        ProductSpec(
            "LSF_PROFILE",
            "cube",
            "Slice specific LSF images, stacked into one data cube per IFU; with method=hermit a table of parameters",
        ),
        ProductSpec(
            "PIXTABLE_SUBTRACTED",
            "pixtable",
            "Subtracted combined pixel table; only the arc lines that contributed to the LSF calculation",
            "save_subtracted",
        ),
    )
    qc = (
        _fwhm("MEAN", "Mean FWHM of"),
        _fwhm("STDEV", "Standard deviation of the FWHM of"),
        _fwhm("MIN", "Minimum FWHM of"),
        _fwhm("MAX", "Maximum FWHM of"),
    )
    manual_notes = MANUAL_NOTES
    differences = DIFFERENCES

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: LsfParameters) -> None:
        """Refuse a regression window beyond the range; see `Recipe.check_parameters`."""
        super().check_parameters(frames, params)
        if params.method == "interpolate" and params.lsf_regression_window > params.lsf_range:
            raise ParameterError(
                f"lsf_regression_window={params.lsf_regression_window:g} is not accepted: it must not be larger than "
                f"lsf_range ({params.lsf_range:g} Angstrom)",
                parameter="lsf_regression_window",
            )

    def reduce_ifu(self, ifu: int, frames: FrameSet, params: LsfParameters, ctx: RecipeContext) -> list[Product]:
        """Reduce one IFU; see `IfuRecipe.reduce_ifu`."""
        catalogue, catalogue_frame = load_line_list(frames, check_version=False)
        trace, trace_frame = load_trace(frames, ifu, ctx.log)
        dispersion, dispersion_frame = load_dispersion(frames, ifu, ctx.log)
        stack = prepare(ifu, frames, self.raw_tags(), params, ctx)
        calibs = (catalogue_frame, *stack.calibs, trace_frame, dispersion_frame)
        flow = LsfFlow(self, ifu, stack, catalogue, trace, dispersion, params, ctx, calibs)
        return flow.interpolate() if params.method == "interpolate" else flow.hermite()
