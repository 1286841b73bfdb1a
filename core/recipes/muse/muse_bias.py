"""muse_bias: raw BIAS frames become a MASTER_BIAS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.ccd.badcolumns import flag_bad_columns
from core.ccd.geometry import Detector, all_ports
from core.ccd.statistics import ImageStatistics, image_statistics, slopes
from core.errors import DataError
from core.recipes.declaration import (
    BADPIX_INPUT,
    FrameSpec,
    ProductSpec,
    QcClass,
    QcSpec,
    parameter,
)
from core.recipes.flow import ImageProduct, Product, RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.muse.basic import CombinedImage, combine_frames, prepare
from core.recipes.muse.differences.muse_bias import DIFFERENCES, MANUAL_NOTES
from core.recipes.muse.parameters import IfuCombineParameters, merge_parameter
from core.recipes.muse.units import IfuRecipe
from core.recipes.parts import MemoryNeed
from core.recipes.qcwriter import QcWriter

__all__ = ["BiasParameters", "MuseBias"]

_RON_RANGE = (1.0, 5.0)  # usual read-out noise [count]


class BiasParameters(IfuCombineParameters):
    """Parameters of muse_bias."""

    losigmabadpix: float = parameter(30.0, "Low sigma to find dark columns in the combined bias.", ge=0)
    hisigmabadpix: float = parameter(3.0, "High sigma to find bright columns in the combined bias.", ge=0)
    merge: bool = merge_parameter()


def _master(name: str, unit: str, klass: QcClass, description: str) -> QcSpec:
    return QcSpec(f"QC.BIAS.MASTER{{quadrant}}.{name}", unit, "float", klass, description, ("MASTER_BIAS",))


class MuseBias(IfuRecipe):
    """Combine raw biases, measure their noise and find bad columns."""

    name = "muse_bias"
    version = "1"
    memory = MemoryNeed(fixed_mb=200, part_mb=350)
    compiled_by = ({},)
    summary = "Combine several separate bias images into one master bias file."
    description = (
        "This recipe combines several separate bias images into one master bias file. The master bias contains the "
        "combined pixel values, in adu, of the raw bias exposures, with respect to the image combination method used. "
        "Processing trims the raw data and records the overscan statistics, corrects the data levels using the "
        'overscan (if overscan is not "none") and combines the exposures using input parameters. The read-out noise is '
        "computed for each quadrant of the raw input images and stored as QC parameter. The variance extension is "
        "filled with an initial value accordingly, before image combination. Further QC statistics are computed on the "
        "output master bias. Additionally, bad columns are searched for and marked in the data quality extension."
    )
    inputs = (
        FrameSpec("BIAS", "raw", min=3, recommended=11, description="Raw bias"),
        BADPIX_INPUT,
    )
    Params = BiasParameters
    one_image = True
    products = (ProductSpec("MASTER_BIAS", "image", "Master bias"),)
    qc = (
        QcSpec(
            "QC.BIAS.INPUT{input}.NSATURATED",
            "",
            "int",
            "ENG",
            "Number of saturated pixels in raw bias i in input list",
            ("MASTER_BIAS",),
        ),
        _master(
            "RON",
            "count",
            "HC",
            "Read-out noise in quadrant n determined from difference images of each adjacent pair of biases in the "
            "input dataset in randomly placed windows",
        ),
        _master(
            "RONERR",
            "count",
            "HC",
            "Read-out noise error in quadrant n determined from difference images of each adjacent pair of biases in "
            "the input dataset in randomly placed windows",
        ),
        _master("MEDIAN", "adu", "HC", "Median value of master bias in quadrant n"),
        _master("MEAN", "adu", "CAL", "Mean value of master bias in quadrant n"),
        _master("STDEV", "adu", "CAL", "Standard deviation value of master bias in quadrant n"),
        _master("MIN", "adu", "ENG", "Minimum value of master bias in quadrant n"),
        _master("MAX", "adu", "ENG", "Maximum value of master bias in quadrant n"),
        _master("SLOPE.X", "adu/pix", "CAL", "Average horizontal slope of master bias in quadrant n"),
        _master("SLOPE.Y", "adu/pix", "CAL", "Average vertical slope of master bias in quadrant n"),
        QcSpec(
            "QC.BIAS.LEVEL{quadrant}.MEAN",
            "adu",
            "float",
            "HC",
            "Average of the raw median values of all input files in quadrant n",
            ("MASTER_BIAS",),
        ),
        QcSpec(
            "QC.BIAS.LEVEL{quadrant}.STDEV",
            "adu",
            "float",
            "HC",
            "Standard deviation of the raw median values of all input files in quadrant n",
            ("MASTER_BIAS",),
        ),
        QcSpec(
            "QC.BIAS.LEVEL{quadrant}.MEDIAN",
            "adu",
            "float",
            "HC",
            "Median of the raw median values of all input files in quadrant n",
            ("MASTER_BIAS",),
        ),
        QcSpec(
            "QC.BIAS.MASTER.NBADPIX",
            "",
            "int",
            "HC",
            "Bad pixels found as part of the bad column search in the master bias",
            ("MASTER_BIAS",),
        ),
        QcSpec(
            "QC.BIAS.MASTER.NSATURATED",
            "",
            "int",
            "ENG",
            "Number of saturated pixels in output data",
            ("MASTER_BIAS",),
        ),
    )
    manual_notes = MANUAL_NOTES
    differences = DIFFERENCES

    def reduce_ifu(self, ifu: int, frames: FrameSet, params: BiasParameters, ctx: RecipeContext) -> list[Product]:
        """Reduce one IFU; see `IfuRecipe.reduce_ifu`."""
        stack = prepare(ifu, frames, self.raw_tags(), params, ctx)
        if len(stack.frames) < 2:
            raise DataError("one BIAS is left, the read-out noise needs at least two of the same set-up", ifu=ifu)
        master = combine_frames(stack, params.combine_options, ctx)
        qc = QcWriter(self, "MASTER_BIAS", master.image.header)
        qc.write_each("QC.BIAS.INPUT{input}.NSATURATED", "input", master.n_saturated)
        measured = ctx.spread(lambda port: _measure_port(master, stack.detector, port, params), all_ports())
        for port, numbers in zip(all_ports(), measured, strict=True):
            _write_port(master, port, numbers, qc, ctx)
        qc.write("QC.BIAS.MASTER.NBADPIX", sum(numbers.n_bad for numbers in measured))
        qc.write("QC.BIAS.MASTER.NSATURATED", master.image.n_saturated)
        ctx.progress(0.95, "measured")
        return [ImageProduct("MASTER_BIAS", master.image, master.raws, master.calibs)]


@dataclass(frozen=True)
class _PortNumbers:
    """What is measured of one port of the master bias."""

    statistics: ImageStatistics
    slopes: tuple[float, float]
    n_bad: int


def _measure_port(master: CombinedImage, detector: Detector, port: int, params: BiasParameters) -> _PortNumbers:
    """Measure a port and flag its bad columns."""
    window = detector.port_window(port)
    data = master.image.data[window]
    ron = float(np.float32(master.read_noise[port - 1].ron))
    bad = flag_bad_columns(data, master.image.dq[window], ron, params.losigmabadpix, params.hisigmabadpix)
    return _PortNumbers(image_statistics(data), slopes(data), bad)


def _write_port(master: CombinedImage, port: int, numbers: _PortNumbers, qc: QcWriter, ctx: RecipeContext) -> None:
    """Write the QC of a port."""
    noise = master.read_noise[port - 1]
    if not _RON_RANGE[0] <= noise.ron <= _RON_RANGE[1]:
        ctx.log.warning("the read-out noise of quadrant %d is unusual: %.3f count", port, noise.ron)
    ctx.log.info("read-out noise of quadrant %d: %.3f +/- %.3f count", port, noise.ron, noise.error)
    prefix = "QC.BIAS.MASTER{quadrant}"
    qc.write(f"{prefix}.RON", noise.ron, quadrant=port)
    qc.write(f"{prefix}.RONERR", noise.error, quadrant=port)
    qc.write_statistics(prefix, numbers.statistics, quadrant=port)
    qc.write(f"{prefix}.SLOPE.X", numbers.slopes[0], quadrant=port)
    qc.write(f"{prefix}.SLOPE.Y", numbers.slopes[1], quadrant=port)
    medians = [frame[port - 1] for frame in master.raw_medians]
    qc.write("QC.BIAS.LEVEL{quadrant}.MEAN", np.mean(medians), quadrant=port)
    qc.write("QC.BIAS.LEVEL{quadrant}.STDEV", np.std(medians, ddof=1), quadrant=port)
    qc.write("QC.BIAS.LEVEL{quadrant}.MEDIAN", np.median(medians), quadrant=port)
    if numbers.n_bad:
        ctx.log.info("%d pixels in bad columns of quadrant %d", numbers.n_bad, port)
