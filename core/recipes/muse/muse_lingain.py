"""muse_lingain: pairs of biases and of lamp flats of growing exposure times become the gains of the detectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from core.ccd.combine import CombineOptions
from core.ccd.geometry import all_ports
from core.ccd.photontransfer import (
    BinOptions,
    GainFit,
    PairImage,
    PortNoise,
    SampleWindow,
    fit_gain,
    measure_noise,
    measure_pair,
    sample_windows,
    summarise_noise,
)
from core.errors import DataError, MissingInputError, error_context
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, hierarch_name
from core.recipes.declaration import BADPIX_INPUT, FrameSpec, ProductSpec, QcSpec, parameter
from core.recipes.flow import HeaderProduct, Product, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.arc_lamps import load_trace
from core.recipes.muse.basic import PreparedFrame, RawStack, combine_masked, prepare, trimmed_header
from core.recipes.muse.calibrations import overscan_of_bias
from core.recipes.muse.differences.muse_lingain import DIFFERENCES
from core.recipes.muse.parameters import NifuParameters, merge_parameter
from core.recipes.muse.rows import MaskedImage
from core.recipes.muse.units import IfuRecipe
from core.recipes.parts import MemoryNeed
from core.recipes.qcwriter import QcWriter

__all__ = ["LingainParameters", "MuseLingain"]

_OFF: Final = "LINGAIN_LAMP_OFF"
_ON: Final = "LINGAIN_LAMP_ON"
_PRODUCT: Final = "NONLINEARITY_GAIN"
_SAME_EXPTIME: Final = 0.1  # [s]
_UNUSED: Final = "Of a model of the residual non-linearity that is not made, as in the reference: has no effect."


class LingainParameters(NifuParameters):
    """Parameters of muse_lingain."""

    ybox: int = parameter(50, "Size of windows along the traces of the slices.", unit="pix", gt=0)
    xgap: int = parameter(3, "Extra offset from tracing edge.", unit="pix", ge=0)
    xborder: int = parameter(
        10, "Extra offset from the detector edge used for the selection of slices.", unit="pix", ge=0
    )
    order: int = parameter(12, f"Order of the polynomial of the residual non-linearity. {_UNUSED}", ge=0)
    toffset: float = parameter(
        0.018, f"Exposure time offset to apply to the linearity flats. {_UNUSED}", unit="s", ge=0
    )
    fluxtol: float = parameter(0.01, "Tolerance of the relative flux difference of a pair of flats.")
    sigma: float = parameter(
        3.0, "Sigma value used for clipping the pixels in a window of a linearity flat; 0: none is clipped.", ge=0
    )
    signalmin: float = parameter(0.0, "Minimum signal value of the grid, in log10(adu).", ge=0)
    signalmax: float = parameter(4.9, "Maximum signal value of the grid, in log10(adu).")
    signalbin: float = parameter(0.1, "Size of a bin of the signal grid, in log10(adu).", gt=0)
    gainlimit: float = parameter(100.0, "Minimum signal value used to measure the gain.", unit="adu", ge=0)
    gainsigma: float = parameter(3.0, "Sigma value used for clipping the gains in a bin.", ge=0)
    ctsmin: float = parameter(3.0, f"Minimum of the grid of the residual non-linearity, log10(count). {_UNUSED}", ge=0)
    ctsmax: float = parameter(4.9, f"Maximum of the grid of the residual non-linearity, log10(count). {_UNUSED}")
    ctsbin: float = parameter(0.1, f"Size of a bin of that grid, in log10(count). {_UNUSED}", gt=0)
    linearmin: float = parameter(2.5, f"Start of the linear range, in log10(count). {_UNUSED}", ge=0)
    linearmax: float = parameter(3.0, f"End of the linear range, in log10(count). {_UNUSED}")
    merge: bool = merge_parameter()

    @model_validator(mode="after")
    def _check_ranges(self) -> LingainParameters:
        for name in ("signal", "cts"):
            low, high, width = (getattr(self, f"{name}{end}") for end in ("min", "max", "bin"))
            if high < low + width:
                raise ValueError(f"{name}max={high:g} is less than a bin above {name}min={low:g}")
        if self.linearmax <= self.linearmin:
            raise ValueError(f"linearmax={self.linearmax:g} is not above linearmin={self.linearmin:g}")
        return self

    @property
    def bin_options(self) -> BinOptions:
        """The parameters of the bins as the numerics take them."""
        return BinOptions(self.signalmin, self.signalmax, self.signalbin, self.gainlimit, self.gainsigma)


def _qc(name: str, unit: str, klass: Any, description: str) -> QcSpec:
    return QcSpec(f"QC.LINGAIN.OUT{{quadrant}}.{name}", unit, "double", klass, description, (_PRODUCT,))


class MuseLingain(IfuRecipe):
    """Measure the read-out noise and the gain of the four ports."""

    name = "muse_lingain"
    version = "1"
    memory = MemoryNeed(fixed_mb=200, part_mb=450)
    summary = "Compute the gain of the detector ports from pairs of biases and of flats."
    description = (
        "This recipe uses at least two biases (lamp off) and pairs of detector linearity flats (lamp on) of different "
        "exposure times to measure the read-out noise and the gain of each of the four ports of the detector. The "
        "bias is subtracted from all frames, with the overscan parameters that the master bias was made with; they "
        "stay in adu. Windows of ybox rows are put on the slices, xgap pixels from their edges. The read-out noise of "
        "a window is that of the difference of the first two biases. In each pair of flats whose fluxes agree, the "
        "gain of a window is its signal over the variance of the difference of the pair, less that of the read-out. "
        "The gains of all windows of a port and of all pairs are averaged in bins of the logarithm of the signal; the "
        "gain of the port is the value at no signal of a straight line through the bins. The product is a header with "
        "the gains, which other recipes use in the place of those in the raw headers."
    )
    inputs = (
        FrameSpec(_OFF, "raw", min=2, description="Detector linearity frame with the lamp off (bias)"),
        FrameSpec(_ON, "raw", min=2, description="Detector linearity flat, two of each exposure time"),
        FrameSpec("MASTER_BIAS", "calib", min=1, description="Master bias"),
        FrameSpec("TRACE_TABLE", "calib", min=1, description="Trace table"),
        BADPIX_INPUT,
    )
    Params = LingainParameters
    products = (ProductSpec(_PRODUCT, "header", "Gains of the detector ports"),)
    qc = (
        _qc("RON", "count", "HC", "Read-out noise of the port, mean of the windows"),
        _qc("RONERR", "count", "CAL", "Error of the read-out noise"),
        _qc("RON.MEDIAN", "count", "CAL", "Median of the read-out noise of the windows"),
        _qc("RON.MAD", "count", "ENG", "Median absolute deviation of the read-out noise of the windows"),
        _qc("CONAD", "adu/count", "CAL", "Conversion factor of the port"),
        _qc("GAIN", "count/adu", "KPI", "Gain of the port"),
        _qc("GAINERR", "count/adu", "CAL", "Error of the gain"),
        _qc("COUNTS.MIN", "adu", "ENG", "Smallest signal used to measure the gain"),
        _qc("COUNTS.MAX", "adu", "ENG", "Largest signal used to measure the gain"),
    )
    differences = DIFFERENCES

    def reduce_ifu(self, ifu: int, frames: FrameSet, params: LingainParameters, ctx: RecipeContext) -> list[Product]:
        """Reduce one IFU; see `IfuRecipe.reduce_ifu`."""
        trace, trace_frame = load_trace(frames, ifu, ctx.log)
        stack = prepare(ifu, frames, self.raw_tags(), overscan_of_bias(ifu, frames, ctx.log), ctx)
        with error_context(file=trace_frame.path):
            windows = sample_windows(trace, stack.detector, height=params.ybox, gap=params.xgap, border=params.xborder)
        flow = _PhotonTransfer(_in_adu(stack), windows, params, ctx)
        ports = flow.measure()
        calibs: tuple[Frame, ...] = (*stack.calibs, trace_frame)
        header = _write(self, trimmed_header(stack.frames[0]), ports, ctx)
        return [HeaderProduct(_PRODUCT, header, stack.raws, calibs)]


# -- pairs of frames ---------------------------------------------------------------------------------------------------
def _in_adu(stack: RawStack) -> RawStack:
    return replace(stack, masters=replace(stack.masters, gains=(1.0,) * len(all_ports()), nonlinearity=()))


def _in_time(frames: Sequence[PreparedFrame], tag: str) -> list[int]:
    """Indices of the frames of a tag, by exposure time and then time."""
    chosen = [index for index, item in enumerate(frames) if item.frame.tag == tag]
    return sorted(chosen, key=lambda i: (frames[i].exptime, get_key(frames[i].header, "MJD-OBS", float, default=0.0)))


def _pairs(frames: Sequence[PreparedFrame], ctx: RecipeContext) -> Iterator[tuple[int, int]]:
    """Neighbours of the flats that have one exposure time; those that have no partner are told."""
    waiting: int | None = None
    for index in _in_time(frames, _ON):
        if waiting is None:
            waiting = index
        elif abs(frames[index].exptime - frames[waiting].exptime) <= _SAME_EXPTIME:
            yield waiting, index
            waiting = None
        else:
            _tell_alone(frames[waiting], ctx)
            waiting = index
    if waiting is not None:
        _tell_alone(frames[waiting], ctx)


def _tell_alone(item: PreparedFrame, ctx: RecipeContext) -> None:
    ctx.log.warning("%s is not used: no other flat has %g s", item.frame.path.name, item.exptime)


@dataclass(frozen=True)
class _Port:
    noise: PortNoise
    fit: GainFit | None


class _PhotonTransfer:
    """One IFU on its way from raw frames to gains; never more than two images are held."""

    def __init__(
        self, stack: RawStack, windows: tuple[SampleWindow, ...], params: LingainParameters, ctx: RecipeContext
    ) -> None:
        self._stack, self._windows, self._params, self._ctx = stack, windows, params, ctx
        self._silent = replace(ctx, progress=lambda fraction, text: None)
        self._room = [MaskedImage.empty(stack.detector.trimmed_shape) for _ in range(2)]
        self._port_of = np.array([window.port for window in windows])

    def measure(self) -> list[_Port]:
        """Read-out noise and gain of ports 1..4.

        Raises
        ------
        MissingInputError
            If less than two biases fit the others.
        DataError
            If a port has no good pixels.
        """
        off = _in_time(self._stack.frames, _OFF)
        if len(off) < 2:
            raise MissingInputError(f"muse_lingain needs two {_OFF} of one set-up", rule=_OFF)
        if len(off) > 2:
            used = ", ".join(self._stack.frames[index].frame.path.name for index in off[:2])
            self._ctx.log.warning("the read-out noise is that of two of the %d %s: %s", len(off), _OFF, used)
        noise = measure_noise(self._images((off[0], off[1])), self._windows)
        usual = [summarise_noise(noise.of(self._port_of == port)) for port in all_ports()]
        signals: list[NDArray[np.float64]] = []
        gains: list[NDArray[np.float64]] = []
        pairs = list(_pairs(self._stack.frames, self._ctx))
        for number, pair in enumerate(pairs, start=1):
            images = self._images(pair)
            if self._agree(pair, images):
                signal, gain = measure_pair(images, self._windows, noise, usual, self._params.sigma)
                signals.append(signal)
                gains.append(gain)
            self._ctx.progress(0.3 + 0.6 * number / len(pairs), "measuring pairs of flats")
        if not signals:
            raise DataError("no two flats of one exposure time have the same flux", rule=_ON)
        return [_Port(usual[port - 1], self._fit(np.array(signals), np.array(gains), port)) for port in all_ports()]

    def _fit(self, signals: NDArray[np.float64], gains: NDArray[np.float64], port: int) -> GainFit | None:
        own = self._port_of == port
        return fit_gain(signals[:, own].ravel(), gains[:, own].ravel(), self._params.bin_options)

    def _images(self, pair: tuple[int, int]) -> tuple[PairImage, PairImage]:
        first, second = (self._image(index, room) for index, room in zip(pair, self._room, strict=True))
        return first, second

    def _image(self, index: int, room: MaskedImage) -> PairImage:
        options = CombineOptions("average")
        combine_masked(self._stack, options, self._silent, select=[index], out=room)
        return PairImage(room.data, room.bad)

    def _agree(self, pair: tuple[int, int], images: tuple[PairImage, PairImage]) -> bool:
        fluxes = [float(image.data.mean(dtype=np.float64)) for image in images]
        if abs(fluxes[0] - fluxes[1]) <= self._params.fluxtol * abs(fluxes[0]):
            return True
        names = [self._stack.frames[index].frame.path.name for index in pair]
        self._ctx.log.warning(
            "%s and %s are not used: their fluxes %.6g and %.6g adu differ by more than fluxtol", *names, *fluxes
        )
        return False


# -- the product -------------------------------------------------------------------------------------------------------
def _write(recipe: MuseLingain, header: Header, ports: Sequence[_Port], ctx: RecipeContext) -> Header:
    qc = QcWriter(recipe, _PRODUCT, header)
    for port, measured in zip(all_ports(), ports, strict=True):
        fit, noise = measured.fit, measured.noise
        if fit is None or fit.gain <= 0:
            ctx.log.warning("the gain of port %d could not be measured: that of the raw frames is kept", port)
            continue
        ctx.log.info("gain of port %d: %.4f +/- %.4f count/adu", port, fit.gain, fit.error)
        header[hierarch_name(f"DET.OUT{port}.GAIN")] = fit.gain
        header[hierarch_name(f"DET.OUT{port}.CONAD")] = 1 / fit.gain
        values = {
            "RON": fit.gain * noise.ron,
            "RONERR": float(np.hypot(fit.gain * noise.error, noise.ron * fit.error)),
            "RON.MEDIAN": fit.gain * noise.median,
            "RON.MAD": fit.gain * noise.mad,
            "CONAD": 1 / fit.gain,
            "GAIN": fit.gain,
            "GAINERR": fit.error,
            "COUNTS.MIN": fit.low,
            "COUNTS.MAX": fit.high,
        }
        for name, value in values.items():
            qc.write(f"QC.LINGAIN.OUT{{quadrant}}.{name}", value, quadrant=port)
    return header
