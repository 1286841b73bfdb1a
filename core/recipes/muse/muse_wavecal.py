"""muse_wavecal: raw ARC frames become a WAVECAL_TABLE."""

from __future__ import annotations

from typing import Final, Literal

from core.fitsfile.keywords import get_key
from core.recipes.declaration import (
    BADPIX_INPUT,
    FrameSpec,
    ProductSpec,
    QcClass,
    QcSpec,
    QcType,
    parameter,
)
from core.recipes.flow import Product, RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.muse.arc_lamps import load_line_list, load_trace
from core.recipes.muse.basic import prepare
from core.recipes.muse.calibrations import NONLINEARITY_INPUT
from core.recipes.muse.differences.muse_wavecal import DIFFERENCES, MANUAL_NOTES
from core.recipes.muse.image_store import ImageStore
from core.recipes.muse.parameters import IfuParameters, merge_parameter
from core.recipes.muse.units import IfuRecipe
from core.recipes.muse.wavecal_flow import WavecalFlow
from core.recipes.parts import MemoryNeed
from core.spectral.calibration import DEFAULT_FITSIGMA, DEFAULT_LINESIGMA, WavecalOptions
from core.spectral.dispersion import MAX_ORDER, TARGET_RMS
from core.spectral.tracing import Weighting

__all__ = ["MuseWavecal", "WavecalParameters"]

_TABLE: Final = "WAVECAL_TABLE"


class WavecalParameters(IfuParameters):
    """Parameters of muse_wavecal."""

    combine: Literal["average", "median", "minmax", "sigclip"] = parameter(
        "sigclip", "Type of lampwise image combination to use."
    )
    lampwise: bool = parameter(
        True,
        "Identify and measure the arc emission lines on images separately for each lamp setup.",
        hidden=True,
    )
    sigma: float = parameter(
        1.0,
        "Sigma level used to detect arc emission lines above the median background level in the S/N image of the "
        "central column of each slice",
        gt=0,
    )
    dres: float = parameter(
        0.05,
        "The allowed range of resolutions for pattern matching (of detected arc lines to line list) in fractions "
        "relative to the expected value",
        gt=0,
        lt=1,
    )
    tolerance: float = parameter(0.1, "Tolerance for pattern matching (of detected arc lines to line list)", gt=0)
    xorder: int = parameter(
        2, "Order of the polynomial for the horizontal curvature within each slice", ge=0, le=MAX_ORDER
    )
    yorder: int = parameter(6, "Order of the polynomial used to fit the dispersion relation", ge=1, le=MAX_ORDER)
    linesigma: float = parameter(
        -1.0,
        "Sigma level for iterative rejection of deviant fits for each arc line within each slice, a negative value "
        "or 0 means to use the default (2.5).",
    )
    residuals: bool = parameter(
        False,
        "Create a table containing residuals of the fits to the data of all arc lines. This is useful to assess the "
        "quality of the wavelength solution in detail.",
    )
    fitsigma: float = parameter(
        -1.0,
        "Sigma level for iterative rejection of deviant datapoints during the final polynomial wavelength solution "
        "within each slice, a negative value or 0 means to use the default (3.0). Slices whose rms is not above "
        f"{TARGET_RMS:g} Angstrom are fitted without rejection.",
    )
    fitweighting: Literal["uniform", "cerr", "scatter", "cerrscatter"] = parameter(
        "cerrscatter",
        "Type of weighting to use in the final polynomial wavelength solution fit, using centroiding error estimate "
        "and/or scatter of each single line as estimates of its accuracy.",
    )
    saveimages: bool = parameter(
        False, "Save the reduced arc images of each lamp (and the combined one, if there is one)."
    )
    resample: bool = parameter(
        False,
        "Resample the input arc images onto 2D images for a visual check using tracing and wavelength calibration "
        "solutions. Note that the image produced will show small wiggles even when the calibration was successful!",
        hidden=True,
    )
    wavemap: bool = parameter(False, "Create a wavelength map of the input images.", hidden=True)
    merge: bool = merge_parameter()

    def options(self, ins_mode: str | None) -> WavecalOptions:
        """The parameters as the numerics take them."""
        return WavecalOptions(
            sigma=self.sigma,
            dres=self.dres,
            tolerance=self.tolerance,
            xorder=self.xorder,
            yorder=self.yorder,
            linesigma=DEFAULT_LINESIGMA if self.linesigma <= 0 else self.linesigma,
            fitsigma=DEFAULT_FITSIGMA if self.fitsigma <= 0 else self.fitsigma,
            weighting=Weighting(self.fitweighting),
            ins_mode=ins_mode,
        )


def _slice_qc(name: str, unit: str, klass: QcClass, description: str, kind: QcType = "float") -> QcSpec:
    return QcSpec(f"QC.WAVECAL.SLICE{{slice}}.{name}", unit, kind, klass, description, (_TABLE,))


class MuseWavecal(IfuRecipe):
    """Detect and identify arc lines, follow them across the slices, and fit the dispersion of each slice."""

    name = "muse_wavecal"
    version = "1"
    memory = MemoryNeed(fixed_mb=200, part_mb=1200)
    compiled_by = ({"residuals": True}, {"lampwise": False, "resample": True, "wavemap": True})
    summary = "Detect arc emission lines and determine the wavelength solution for each slice."
    description = (
        "This recipe detects arc emission lines and fits a wavelength solution to each slice of the instrument. The "
        "wavelength calibration table contains polynomials defining the wavelength solution of the slices on the "
        "CCD. Processing trims the raw data and records the overscan statistics, subtracts the bias (taking account "
        'of the overscan, if overscan is not "none") and converts them from adu to count. Optionally, the dark can '
        "be subtracted and the data can be divided by the flat-field, but this is not recommended. The data is then "
        "combined using input parameters, into separate images for each lamp. If lampwise is not given or if "
        "resample is given, these lamp-separate exposures are summed to create a single combined master arc. To "
        "compute the wavelength solution, arc lines are detected at the center of each slice (using threshold "
        "detection on a S/N image) and subsequently assigned wavelengths, using pattern matching to identify lines "
        "from the input line catalog. Each line is then traced to the edges of the slice, using Gaussian centering "
        "in each CCD column. The Gaussians not only yield center, but also centering error, and line properties "
        "(e.g. FWHM). Deviant fits are detected using polynomial fits to each arc line (using the xorder parameter) "
        "and rejected. These analysis and measuring steps are carried out, if lampwise is switched on, separately on "
        "images exposed by the different arc lamps, reducing the amount of blending, that can otherwise influence "
        "line identification and Gaussian centering. The final two-dimensional fit uses all positions (of all "
        "lamps), their wavelengths, and the given polynomial orders to compute the final wavelength solution for "
        "each slice, iteratively rejecting outliers. This final fit can be either unweighted "
        '(fitweighting="uniform", for fastest processing) or weighted (other values of fitweighting, for higher '
        "accuracy)."
    )
    inputs = (
        FrameSpec("ARC", "raw", min=1, recommended=15, description="Raw arc lamp exposures"),
        FrameSpec("MASTER_BIAS", "calib", min=1, description="Master bias"),
        FrameSpec("MASTER_DARK", "calib", description="Master dark (optional, usually not used)"),
        FrameSpec("MASTER_FLAT", "calib", description="Master flat (optional, usually not used)"),
        FrameSpec("TRACE_TABLE", "calib", min=1, description="Trace table"),
        FrameSpec("LINE_CATALOG", "calib", min=1, max=1, description="Arc line catalog"),
        BADPIX_INPUT,
        NONLINEARITY_INPUT,
    )
    Params = WavecalParameters
    products = (
        ProductSpec("WAVECAL_TABLE", "table", "Wavelength calibration table"),
        ProductSpec("WAVECAL_RESIDUALS", "table", "Fit residuals of all arc lines", "residuals"),
        ProductSpec("ARC_RED_LAMP", "image", "Reduced ARC image, per lamp", "saveimages"),
        ProductSpec(
            "ARC_RED", "image", "Reduced, combined ARC image (only if lampwise is off or resample on)", "saveimages"
        ),
        ProductSpec("ARC_RESAMPLED", "cube", "Resampled ARC image, for a visual check", "resample"),
        ProductSpec("WAVE_MAP", "cube", "Wavelength of each pixel", "wavemap"),
    )
    qc = (
        _slice_qc("LINES.NDET", "", "HC", "Number of detected arc lines in slice j", "int"),
        _slice_qc("LINES.NID", "", "CAL", "Number of identified arc lines in slice j", "int"),
        _slice_qc("LINES.PEAK.MEAN", "count", "HC", "Mean peak count level of the arc lines in slice j"),
        _slice_qc("LINES.PEAK.STDEV", "count", "ENG", "Standard deviation of the peak count level in slice j"),
        _slice_qc("LINES.PEAK.MIN", "count", "ENG", "Peak count level of the faintest line in slice j"),
        _slice_qc("LINES.PEAK.MAX", "count", "HC", "Peak count level of the brightest line in slice j"),
        _slice_qc(
            "LAMP{lamp}.LINES.PEAK.MEAN",
            "count",
            "HC",
            "Mean peak count level of lines of lamp l in slice j",
        ),
        _slice_qc(
            "LAMP{lamp}.LINES.PEAK.STDEV",
            "count",
            "ENG",
            "Standard deviation of the peak count level of lines of lamp l in slice j",
        ),
        _slice_qc(
            "LAMP{lamp}.LINES.PEAK.MAX",
            "count",
            "HC",
            "Peak count level of the brightest line of lamp l in slice j",
        ),
        _slice_qc("LINES.FWHM.MEAN", "Angstrom", "KPI", "Mean FWHM of the arc lines in slice j"),
        _slice_qc("LINES.FWHM.STDEV", "Angstrom", "CAL", "Standard deviation of the FWHM in slice j"),
        _slice_qc("LINES.FWHM.MIN", "Angstrom", "ENG", "Minimum FWHM of the arc lines in slice j"),
        _slice_qc("LINES.FWHM.MAX", "Angstrom", "ENG", "Maximum FWHM of the arc lines in slice j"),
        _slice_qc("RESOL", "", "KPI", "Mean spectral resolution R determined in slice j"),
        _slice_qc("FIT.NLINES", "", "CAL", "Number of arc lines used in the calibration solution of slice j", "int"),
        _slice_qc("FIT.RMS", "Angstrom", "KPI", "RMS of the wavelength calibration fit in slice j"),
        _slice_qc(
            "DWLEN.BOTTOM",
            "Angstrom",
            "HC",
            "Difference in wavelength of the bottom left and bottom right corners of slice j on the CCD",
        ),
        _slice_qc(
            "DWLEN.TOP",
            "Angstrom",
            "HC",
            "Difference in wavelength of the top left and top right corners of slice j on the CCD",
        ),
        _slice_qc("WLPOS", "pix", "ENG", "Position of wavelength given in WLEN in slice j"),
        _slice_qc("WLEN", "Angstrom", "HC", "Wavelength associated to WLPOS in slice j"),
        QcSpec(
            "QC.WAVECAL.NSATURATED.LAMP{lamp}",
            "",
            "int",
            "ENG",
            "Number of saturated pixels in the image of lamp l (99: all lamps)",
            (_TABLE,),
        ),
        QcSpec(
            "QC.WAVECAL.INPUT{input}.NSATURATED",
            "",
            "int",
            "ENG",
            "Number of saturated pixels in raw arc i in input list (in an ARC_RED_LAMP: in the list of its lamp)",
            (_TABLE, "ARC_RED_LAMP"),
        ),
        QcSpec(
            "QC.WAVECAL.LAMP{lamp}.INPUT{input}.NSATURATED",
            "",
            "int",
            "ENG",
            "Number of saturated pixels in raw arc i of lamp image l",
            ("ARC_RED",),
        ),
        QcSpec(
            "QC.WAVECAL.NSATURATED",
            "",
            "int",
            "ENG",
            "Number of saturated pixels in output data",
            ("ARC_RED_LAMP", "ARC_RED"),
        ),
    )
    manual_notes = MANUAL_NOTES
    differences = DIFFERENCES

    def reduce_ifu(self, ifu: int, frames: FrameSet, params: WavecalParameters, ctx: RecipeContext) -> list[Product]:
        """Reduce one IFU; see `IfuRecipe.reduce_ifu`."""
        catalogue, catalogue_frame = load_line_list(frames, check_version=True)
        trace, trace_frame = load_trace(frames, ifu, ctx.log)
        stack = prepare(ifu, frames, self.raw_tags(), params, ctx)
        calibs = (catalogue_frame, *stack.calibs, trace_frame)
        options = params.options(get_key(stack.frames[0].header, "INS.MODE", str, default=None))
        summed = not params.lampwise or params.resample
        with ImageStore(stack.detector.trimmed_shape, ctx.spread, flags=summed) as store:
            flow = WavecalFlow(self, stack, catalogue, trace, options, ctx, store, calibs, params.combine)
            flow.reduce_lamps(keep=params.saveimages, identify=params.lampwise, hold_last=not summed)
            if summed:
                flow.sum_lamps(keep=params.saveimages)
            if params.lampwise:
                flow.measure_lampwise()
            else:
                flow.measure_summed()
            flow.solve()
            flow.save_solution()
            if params.residuals:
                flow.save_residuals()
            if params.resample:
                flow.save_resampled()
            if params.wavemap:
                flow.save_wavemap()
            return flow.products
