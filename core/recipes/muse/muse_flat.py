"""muse_flat: raw FLAT frames become a MASTER_FLAT, a TRACE_TABLE and, on request, TRACE_SAMPLES."""

from __future__ import annotations

import math

import numpy as np

from core.ccd.flatpixels import flag_flat_pixels, slice_fluxes
from core.ccd.statistics import ImageStatistics, image_statistics
from core.ccd.trace_qc import CORNER_SLICES, Spread, TraceQuality, measure_trace
from core.ccd.tracing import TraceResult, trace_slices
from core.errors import ParameterError, TracingError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.formats.tables import TRACE_SAMPLES, MuseTable, trace_table_format
from core.instruments.muse.facts import N_SLICES, TRACE_SLOPE_WARNING
from core.recipes.declaration import (
    BADPIX_INPUT,
    FrameSpec,
    ProductSpec,
    QcClass,
    QcSpec,
    QcType,
    parameter,
)
from core.recipes.flow import ImageProduct, Product, RecipeContext, TableProduct
from core.recipes.frames import FrameSet
from core.recipes.muse.basic import CombinedImage, combine_frames, prepare
from core.recipes.muse.calibrations import NONLINEARITY_INPUT
from core.recipes.muse.differences.muse_flat import DIFFERENCES, MANUAL_NOTES
from core.recipes.muse.parameters import IfuCombineParameters, merge_parameter
from core.recipes.muse.units import IfuRecipe
from core.recipes.parts import MemoryNeed
from core.recipes.qcwriter import QcWriter

__all__ = ["FlatParameters", "MuseFlat"]

_COLD = 7.0  # [deg C] below which slices of some IFUs are known to be vignetted too much


class FlatParameters(IfuCombineParameters):
    """Parameters of muse_flat."""

    scale: bool = parameter(
        True,
        "Scale the individual images to a common exposure time before combining them.",
        hidden=True,
    )
    normalize: bool = parameter(True, "Normalize the master flat to the average flux.", hidden=True)
    trace: bool = parameter(True, "Trace the position of the slices on the master flat.")
    nsum: int = parameter(
        32, "Number of lines over which to average when tracing.", unit="pix", only="trace=true", ge=1, le=1000
    )
    order: int = parameter(5, "Order of polynomial fit to the trace.", only="trace=true", ge=1, le=15)
    edgefrac: float = parameter(
        0.5, "Fractional change required to identify edge when tracing.", only="trace=true", gt=0, lt=1
    )
    losigmabadpix: float = parameter(5.0, "Low sigma to find dark pixels in the master flat.", only="trace=true", ge=0)
    hisigmabadpix: float = parameter(
        5.0, "High sigma to find bright pixels in the master flat.", only="trace=true", ge=0
    )
    samples: bool = parameter(False, "Create a table containing all tracing sample points.", only="trace=true")
    merge: bool = merge_parameter()


def _flat(name: str, unit: str, klass: QcClass, description: str, kind: QcType = "float") -> QcSpec:
    return QcSpec(f"QC.FLAT.{name}", unit, kind, klass, description, ("MASTER_FLAT",))


def _trace(name: str, unit: str, klass: QcClass, description: str, slices: tuple[int, ...] | None = None) -> QcSpec:
    only = {} if slices is None else {"slice": slices}
    return QcSpec(f"QC.TRACE.{name}", unit, "float", klass, description, ("TRACE_TABLE",), only)


def _statistics(prefix: str, klass: QcClass, what: str) -> tuple[QcSpec, ...]:
    return (
        _flat(f"{prefix}.MEDIAN", "count", klass, f"Median value of {what}"),
        _flat(f"{prefix}.MEAN", "count", klass, f"Mean value of {what}"),
        _flat(f"{prefix}.STDEV", "count", "ENG", f"Standard deviation of {what}"),
        _flat(f"{prefix}.MIN", "count", "ENG", f"Minimum value of {what}"),
        _flat(f"{prefix}.MAX", "count", "ENG", f"Maximum value of {what}"),
    )


def _spread(prefix: str, klass: QcClass, what: str) -> tuple[QcSpec, ...]:
    return (
        _trace(f"{prefix}.MEDIAN", "pix", klass, f"Median of {what}"),
        _trace(f"{prefix}.MEAN", "pix", klass, f"Mean of {what}"),
        _trace(f"{prefix}.STDEV", "pix", "CAL", f"Standard deviation of {what}"),
        _trace(f"{prefix}.MIN", "pix", "CAL", f"Minimum of {what}"),
        _trace(f"{prefix}.MAX", "pix", "CAL", f"Maximum of {what}"),
    )


class MuseFlat(IfuRecipe):
    """Combine raw lamp flats, trace the slices on them and find dark pixels."""

    name = "muse_flat"
    version = "1"
    memory = MemoryNeed(fixed_mb=200, part_mb=400)
    compiled_by = ({"samples": True},)
    summary = (
        "Combine several separate flat images into one master flat file, trace slice locations, and locate dark pixels."
    )
    description = (
        "This recipe combines several separate flat-field images into one master flat-field file and traces the "
        "location of the slices on the CCD. The master flat contains the combined pixel values of the raw flat "
        "exposures, with respect to the image combination method used, normalized to the mean flux. The trace table "
        "contains polynomials defining the location of the slices on the CCD. Processing trims the raw data and "
        "records the overscan statistics, subtracts the bias (taking account of the overscan, if overscan is not "
        '"none"), and optionally, the dark from each raw input image, converts them from adu to count, scales them '
        "according to their exposure time, and combines the exposures using input parameters. To trace the position of "
        "the slices on the CCD, their edges are located using a threshold method, refined with the derivative of the "
        "flux. The edge detection is repeated at given intervals thereby tracing the central position (the mean of "
        "both edges) and width of each slit vertically across the CCD. Deviant positions of detections on CCD rows are "
        "detected and excluded before fitting a polynomial to all positions measured for one slice. The polynomial "
        "parameters for each slice are saved in the output trace table. Finally, the area between the now known slice "
        "edges is searched for dark (and bright) pixels, using statistics in each row of the master flat."
    )
    inputs = (
        FrameSpec("FLAT", "raw", min=3, recommended=11, description="Raw flat"),
        FrameSpec("MASTER_BIAS", "calib", min=1, description="Master bias"),
        FrameSpec("MASTER_DARK", "calib", description="Master dark (optional, usually not used)"),
        BADPIX_INPUT,
        NONLINEARITY_INPUT,
    )
    Params = FlatParameters
    one_image = True
    products = (
        ProductSpec("MASTER_FLAT", "image", "Master flat"),
        ProductSpec("TRACE_TABLE", "table", "Trace table", optional="trace"),
        ProductSpec("TRACE_SAMPLES", "table", "Table containing all tracing sample points", optional="samples"),
    )
    qc = (
        *_statistics("INPUT{input}", "ENG", "processed flat i in input list"),
        _flat(
            "INPUT{input}.NSATURATED",
            "",
            "ENG",
            "Number of saturated pixels in raw flat i in input list",
            "int",
        ),
        *_statistics("MASTER", "HC", "the master flat before normalization"),
        _flat(
            "MASTER.INTFLUX",
            "count",
            "HC",
            "Flux value, integrated over the whole master flat field before normalization",
        ),
        _flat("MASTER.NSATURATED", "", "ENG", "Number of saturated pixels in output data", "int"),
        _flat(
            "MASTER.SLICE{slice}.MEAN",
            "count",
            "HC",
            "Mean value around the vertical center of slice j before normalization",
        ),
        _flat(
            "MASTER.SLICE{slice}.STDEV",
            "count",
            "CAL",
            "Standard deviation around the vertical center of slice j before normalization",
        ),
        _trace("SLICE_L.XPOS", "pix", "HC", "Location of midpoint of leftmost slice"),
        _trace("SLICE_L.TILT", "deg", "HC", "Tilt of leftmost slice, measured as angle from vertical direction"),
        _trace("SLICE_R.XPOS", "pix", "HC", "Location of midpoint of rightmost slice"),
        _trace("SLICE_R.TILT", "deg", "HC", "Tilt of rightmost slice, measured as angle from vertical direction"),
        _trace(
            "SLICE{slice}.MAXSLOPE",
            "",
            "CAL",
            "The maximum slope of the derived tracing functions of slice j within the CCD",
        ),
        _trace(
            "SLICE{slice}.WIDTH",
            "pix",
            "HC",
            "Width of a corner slice in the IFU (3 bottom left, 10 top left, 39 bottom right, 46 top right)",
            CORNER_SLICES,
        ),
        *_spread("GAPS", "HC", "gaps between slices"),
        *_spread("WIDTHS", "HC", "widths of slices"),
    )
    manual_notes = MANUAL_NOTES
    differences = DIFFERENCES

    def reduce_ifu(self, ifu: int, frames: FrameSet, params: FlatParameters, ctx: RecipeContext) -> list[Product]:
        """Reduce one IFU; see `IfuRecipe.reduce_ifu`."""
        stack = prepare(ifu, frames, self.raw_tags(), params, ctx)
        n_samples = stack.detector.trimmed_shape[0] // params.nsum
        if params.trace and n_samples <= params.order:
            raise ParameterError(
                f"nsum={params.nsum} leaves {n_samples} samples of a slice, a trace of order={params.order} needs "
                f"{params.order + 1}",
                parameter="nsum",
            )
        master = combine_frames(stack, params.combine_options, ctx, scale=params.scale, statistics=True)
        bare_header = master.image.header.copy()
        qc = QcWriter(self, "MASTER_FLAT", master.image.header)
        statistics = _write_statistics(qc, master)
        products: list[Product] = [ImageProduct("MASTER_FLAT", master.image, master.raws, master.calibs)]
        failure: TracingError | None = None
        if params.trace:
            ctx.progress(0.92, "tracing")
            middle = stack.detector.ny
            try:
                result = _trace_master(master, middle, ifu, params, ctx)
            except TracingError as error:
                failure = error
            else:
                products += self._trace_products(result, master, bare_header, middle, params, ctx)
                _find_bad_pixels(master, result, statistics.mean, params, ctx)
                for flux in slice_fluxes(master.image.data, result.trace, middle):
                    if math.isfinite(flux.mean):
                        qc.write("QC.FLAT.MASTER.SLICE{slice}.MEAN", flux.mean, slice=flux.slice_no)
                        qc.write("QC.FLAT.MASTER.SLICE{slice}.STDEV", flux.stdev, slice=flux.slice_no)
        qc.write("QC.FLAT.MASTER.NSATURATED", master.image.n_saturated)
        if params.normalize:
            _normalize(master, statistics.mean, ctx)
        if failure is not None:
            ctx.kept[:] = products
            raise failure
        return products

    def _trace_products(
        self,
        result: TraceResult,
        master: CombinedImage,
        header: Header,
        middle: int,
        params: FlatParameters,
        ctx: RecipeContext,
    ) -> list[Product]:
        """TRACE_TABLE with its QC and, on request, TRACE_SAMPLES."""
        trace = result.trace
        table = MuseTable(trace.columns(), header.copy())
        quality = measure_trace(trace, middle, master.image.data.shape[0])
        _write_trace_quality(QcWriter(self, "TRACE_TABLE", table.header), quality)
        _tell(result, quality, ctx)
        fmt = trace_table_format(trace.order)
        products: list[Product] = [TableProduct("TRACE_TABLE", fmt, table, master.raws, master.calibs)]
        if params.samples:
            samples = MuseTable(dict(result.samples.columns()), header.copy())
            products.append(TableProduct("TRACE_SAMPLES", TRACE_SAMPLES, samples, master.raws, master.calibs))
        return products


def _write_statistics(qc: QcWriter, master: CombinedImage) -> ImageStatistics:
    """QC of the processed frames and of the combined one, whose statistics are returned."""
    for number, (statistics, saturated) in enumerate(zip(master.statistics, master.n_saturated, strict=True), start=1):
        qc.write_statistics("QC.FLAT.INPUT{input}", statistics, input=number)
        qc.write("QC.FLAT.INPUT{input}.NSATURATED", saturated, input=number)
    combined = image_statistics(master.image.data)
    qc.write_statistics("QC.FLAT.MASTER", combined)
    qc.write("QC.FLAT.MASTER.INTFLUX", combined.flux)
    return combined


def _trace_master(
    master: CombinedImage, middle: int, ifu: int, params: FlatParameters, ctx: RecipeContext
) -> TraceResult:
    date = get_key(master.image.header, "DATE-OBS", str, default="")
    result = trace_slices(
        master.image.data,
        master.image.dq,
        middle=middle,
        nsum=params.nsum,
        order=params.order,
        edgefrac=params.edgefrac,
        ifu=ifu,
        year=int(date[:4]) if date[:4].isdigit() else None,
    )
    if len(result.failed) > N_SLICES // 2:
        first = result.failed[0]
        raise TracingError(
            f"{len(result.failed)} of {N_SLICES} slices could not be traced; slice {first.slice_no}: {first.reason}",
            ifu=ifu,
        )
    for report in result.failed:
        ctx.log.error("the trace fit in slice %d failed: %s", report.slice_no, report.reason)
    temperature = get_key(master.image.header, "INS.TEMP4.VAL", float, default=math.nan)
    if result.failed and temperature < _COLD:
        ctx.log.warning(
            "the flats were taken at %.1f deg C, where vignetted slices may be lost: with this master flat, use the "
            "TRACE_TABLE of flats taken at about 8 deg C (manual, section 8.2)",
            temperature,
        )
    for report in result.warnings:
        ctx.log.warning("slice %d: %s", report.slice_no, report.reason)
    if result.fraction < params.edgefrac:
        ctx.log.warning("the slices stand apart only at edgefrac=%.3f", result.fraction)
    return result


def _write_trace_quality(qc: QcWriter, quality: TraceQuality) -> None:
    """QC of the trace; what a failed slice would have told is left out."""

    def write(template: str, value: float, **indices: int) -> None:
        if math.isfinite(value):
            qc.write(template, value, **indices)

    def write_spread(prefix: str, spread: Spread) -> None:
        write(f"{prefix}.MEDIAN", spread.median)
        write(f"{prefix}.MEAN", spread.mean)
        write(f"{prefix}.STDEV", spread.stdev)
        write(f"{prefix}.MIN", spread.minimum)
        write(f"{prefix}.MAX", spread.maximum)

    write("QC.TRACE.SLICE_L.XPOS", quality.left_position)
    write("QC.TRACE.SLICE_L.TILT", quality.left_tilt)
    for number in range(1, N_SLICES + 1):
        if number == N_SLICES:
            write("QC.TRACE.SLICE_R.XPOS", quality.right_position)
            write("QC.TRACE.SLICE_R.TILT", quality.right_tilt)
        write("QC.TRACE.SLICE{slice}.MAXSLOPE", quality.max_slope[number - 1], slice=number)
        if number in quality.corner_widths:
            write("QC.TRACE.SLICE{slice}.WIDTH", quality.corner_widths[number], slice=number)
    write_spread("QC.TRACE.GAPS", quality.gaps)
    write_spread("QC.TRACE.WIDTHS", quality.widths)


def _tell(result: TraceResult, quality: TraceQuality, ctx: RecipeContext) -> None:
    widths = quality.widths
    ctx.log.info(
        "found %d slices of width %.1f +/- %.1f pix (%.1f .. %.1f pix)",
        len(result.trace.valid_slices),
        widths.mean,
        widths.stdev,
        widths.minimum,
        widths.maximum,
    )
    for number, slope in enumerate(quality.max_slope, start=1):
        if abs(slope) > TRACE_SLOPE_WARNING:
            ctx.log.warning(
                "the slope of slice %d is unusually high: |%.6f| > %.6f", number, slope, TRACE_SLOPE_WARNING
            )


def _find_bad_pixels(
    master: CombinedImage, result: TraceResult, mean: float, params: FlatParameters, ctx: RecipeContext
) -> None:
    found = flag_flat_pixels(
        master.image.data,
        master.image.dq,
        result.trace,
        losigma=params.losigmabadpix,
        hisigma=params.hisigmabadpix,
        mean=mean,
        spread=ctx.spread,
    )
    ctx.log.info(
        "found %d dark (%d of them of low QE), %d hot, and %d non-positive pixels",
        found.dark,
        found.low_qe,
        found.bright,
        found.not_positive,
    )
    for slice_no in found.incomplete:
        ctx.log.warning("slice %d leaves the detector; its bad pixels beyond were not searched", slice_no)


def _normalize(master: CombinedImage, mean: float, ctx: RecipeContext) -> None:
    """Divide by the mean flux, in place."""
    factor = np.float32(mean)
    if not factor > 0:
        ctx.log.warning("the mean flux is %g count: the master flat is not normalized", mean)
        return
    master.image.data /= factor
    master.image.stat /= np.float32(factor * factor)
