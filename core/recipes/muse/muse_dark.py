"""muse_dark: raw DARK frames become a MASTER_DARK and, on request, a MODEL_DARK."""

from __future__ import annotations

import numpy as np

from core.ccd.darkmodel import model_dark
from core.ccd.geometry import Detector, all_ports
from core.ccd.hotpixels import flag_hot_pixels, measure_dark_current
from core.ccd.statistics import image_statistics
from core.fitsfile.keywords import del_keys, set_key
from core.formats.image import MuseImage
from core.recipes.declaration import (
    BADPIX_INPUT,
    FrameSpec,
    ProductSpec,
    QcClass,
    QcSpec,
    QcType,
    parameter,
)
from core.recipes.flow import ImageProduct, Product, RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.muse.basic import CombinedImage, combine_frames, prepare
from core.recipes.muse.calibrations import NONLINEARITY_INPUT
from core.recipes.muse.differences.muse_dark import DIFFERENCES, MANUAL_NOTES
from core.recipes.muse.parameters import IfuCombineParameters, merge_parameter
from core.recipes.muse.units import IfuRecipe
from core.recipes.parts import MemoryNeed
from core.recipes.qcwriter import QcWriter

__all__ = ["DarkParameters", "MuseDark", "model_of_dark"]

_DC_RANGE = (0.0, 10.0)  # usual dark current [count/pix/h]


class DarkParameters(IfuCombineParameters):
    """Parameters of muse_dark."""

    scale: bool = parameter(
        True,
        "Scale the individual images to a common exposure time before combining them.",
        hidden=True,
    )
    normalize: float = parameter(
        3600.0,
        "Normalize the master dark to this exposure time (in seconds). To disable normalization, set this to a "
        "negative value.",
        hidden=True,
        unit="s",
    )
    hotsigma: float = parameter(
        5.0,
        "Sigma level, in terms of median deviation above the median dark level, above which a pixel is detected and "
        "marked as 'hot'; 0 or less: none is.",
    )
    model: bool = parameter(False, "Model the master dark using a set of polynomials.")
    merge: bool = merge_parameter()


def _master(name: str, unit: str, klass: QcClass, description: str, kind: QcType = "float") -> QcSpec:
    return QcSpec(f"QC.DARK.MASTER.{name}", unit, kind, klass, description, ("MASTER_DARK",))


class MuseDark(IfuRecipe):
    """Combine raw darks, find hot pixels and measure the dark current."""

    name = "muse_dark"
    version = "1"
    memory = MemoryNeed(fixed_mb=200, part_mb=350)
    compiled_by = ({"model": True},)
    summary = "Combine several separate dark images into one master dark file and locate hot pixels."
    description = (
        "This recipe combines several separate dark images into one master dark file. The master dark contains the "
        "combined pixel values of the raw dark exposures, with respect to the image combination method used and "
        "normalization time specified. Processing trims the raw data and records the overscan statistics, subtracts "
        'the bias (taking account of the overscan, if overscan is not "none") from each raw input image, converts '
        "them from adu to count, scales them according to their exposure time, and combines them using input "
        "parameters. Hot pixels are then identified using image statistics and marked in the data quality extension. "
        "The combined image is normalized to 1 hour exposure time. QC statistics are computed on the output master "
        "dark. If model is set, a smooth model of the dark is computed as well."
    )
    inputs = (
        FrameSpec("DARK", "raw", min=3, recommended=5, description="Raw dark"),
        FrameSpec("MASTER_BIAS", "calib", min=1, description="Master bias"),
        BADPIX_INPUT,
        NONLINEARITY_INPUT,
    )
    Params = DarkParameters
    one_image = True
    products = (
        ProductSpec("MASTER_DARK", "image", "Master dark"),
        ProductSpec("MODEL_DARK", "image", "Model of the master dark", optional="model"),
    )
    qc = (
        QcSpec(
            "QC.DARK.INPUT{input}.NSATURATED",
            "",
            "int",
            "ENG",
            "Number of saturated pixels in raw dark i in input list",
            ("MASTER_DARK",),
        ),
        _master("NBADPIX", "", "HC", "Number of bad pixels determined from master dark", "int"),
        _master("MEDIAN", "count", "HC", "Median value of the master dark"),
        _master("MEAN", "count", "CAL", "Mean value of the master dark"),
        _master("STDEV", "count", "CAL", "Standard deviation of the master dark"),
        _master("MIN", "count", "ENG", "Minimum value of the master dark"),
        _master("MAX", "count", "ENG", "Maximum value of the master dark"),
        _master(
            "DC",
            "count/pix/h",
            "KPI",
            "Dark current measured on master dark in randomly placed windows",
        ),
        _master(
            "DCERR",
            "count/pix/h",
            "CAL",
            "Dark current error measured on master dark in randomly placed windows",
        ),
        _master("NSATURATED", "", "ENG", "Number of saturated pixels in output data", "int"),
    )
    manual_notes = MANUAL_NOTES
    differences = DIFFERENCES

    def reduce_ifu(self, ifu: int, frames: FrameSet, params: DarkParameters, ctx: RecipeContext) -> list[Product]:
        """Reduce one IFU; see `IfuRecipe.reduce_ifu`."""
        stack = prepare(ifu, frames, self.raw_tags(), params, ctx)
        master = combine_frames(stack, params.combine_options, ctx, scale=params.scale)
        n_bad = _flag_hot(master, stack.detector, params.hotsigma)
        exptime = _normalize(master, params.normalize)
        _write_qc(QcWriter(self, "MASTER_DARK", master.image.header), master, n_bad, exptime, ctx)
        products: list[Product] = [ImageProduct("MASTER_DARK", master.image, master.raws, master.calibs)]
        if params.model:
            ctx.progress(0.92, "modelling the dark")
            model = model_of_dark(master.image, stack.detector)
            products.append(ImageProduct("MODEL_DARK", model, master.raws, master.calibs))
        return products


def _flag_hot(master: CombinedImage, detector: Detector, hotsigma: float) -> int:
    found = 0
    for port in all_ports():
        window = detector.port_window(port)
        found += sum(flag_hot_pixels(master.image.data[window], master.image.dq[window], hotsigma))
    return found


def _normalize(master: CombinedImage, exptime: float) -> float:
    """Scale to an exposure time, in place; returns the exposure time the image then stands for."""
    if exptime <= 0 or master.exptime <= 0:
        return master.exptime
    factor = np.float32(exptime / master.exptime)
    master.image.data *= factor
    master.image.stat *= np.float32(factor * factor)
    set_key(master.image.header, "EXPTIME", exptime, "[s] exposure time the master dark is normalised to")
    return exptime


def _write_qc(qc: QcWriter, master: CombinedImage, n_bad: int, exptime: float, ctx: RecipeContext) -> None:
    qc.write_each("QC.DARK.INPUT{input}.NSATURATED", "input", master.n_saturated)
    qc.write("QC.DARK.MASTER.NBADPIX", n_bad)
    image = master.image
    qc.write_statistics("QC.DARK.MASTER", image_statistics(image.data, image.dq))
    dark = measure_dark_current(image.data, image.dq, exptime)
    ctx.log.info("dark current %.4f +/- %.4f count/pix/h, %d hot or low pixels", dark.current, dark.error, n_bad)
    if not _DC_RANGE[0] <= dark.current <= _DC_RANGE[1]:
        ctx.log.warning("the dark current is unusual: %.4f count/pix/h", dark.current)
    qc.write("QC.DARK.MASTER.DC", dark.current)
    qc.write("QC.DARK.MASTER.DCERR", dark.error)
    qc.write("QC.DARK.MASTER.NSATURATED", image.n_saturated)


def model_of_dark(master: MuseImage, detector: Detector) -> MuseImage:
    """The MODEL_DARK of a MASTER_DARK; see `core.ccd.darkmodel.model_dark`."""
    header = master.header.copy()
    del_keys(header, r"QC\.")
    data, dq, stat = model_dark(master.data, master.dq, master.stat, detector)
    return MuseImage(data, dq, stat, header, master.unit)
