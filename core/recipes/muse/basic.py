"""Basic processing: raw frames of one IFU become reduced images.

Every first-stage recipe starts here::

    stack = prepare(ifu, frames, self.raw_tags(), params, ctx)       # open, check, measure overscan; reads little
    combined = combine_frames(stack, params.combine_options, ctx)    # one pass over the raw rows
    combined.image                                                   # MuseImage with merged header and OVSC cards

`prepare` drops raw frames of another set-up, checks the masters found in the frame set (MASTER_BIAS, MASTER_DARK,
MASTER_FLAT, BADPIX_TABLE) and fits the overscan. `combine_frames` reduces (trim, variance, bias, gain, dark, flat) and
combines all or some of the frames in slabs of rows: memory does not depend on the number of frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.combine import CombineOptions
from core.ccd.framestats import StatisticsCollector
from core.ccd.geometry import Detector, all_ports
from core.ccd.overscan import OverscanLevel
from core.ccd.rawcounts import PortMedians, count_saturated
from core.ccd.readnoise import ReadNoise, ReadNoiseSampler, variance_of_bias
from core.ccd.reduction import ReductionPlan, reduce_slab
from core.ccd.statistics import ImageStatistics
from core.ccd.vpoly import VerticalPolynomial
from core.errors import ChipNotLiveError, MissingInputError, MuseError, RetriableError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key, set_key
from core.formats.image import MuseImage
from core.formats.raw import RawChannel, open_raw
from core.instruments.muse.facts import Dq
from core.recipes.flow import RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.logs import Logger
from core.recipes.muse.calibrations import BadPixels, Masters, load_bad_pixels, load_masters
from core.recipes.muse.consistency import same_setup
from core.recipes.muse.gaincheck import check_gains
from core.recipes.muse.levels import FrameLevels, correct_levels, measure_levels
from core.recipes.muse.parameters import OverscanParameters
from core.recipes.muse.rows import MaskedImage, RowSink, WholeImage
from core.recipes.muse.slabs import SlabReader

__all__ = [
    "CombinedImage",
    "MaskedResult",
    "PreparedFrame",
    "RawStack",
    "combine_again",
    "combine_frames",
    "combine_masked",
    "exposure_factors",
    "prepare",
    "reduced_rows",
    "tell_untimed",
    "trimmed_header",
]

_SAMPLED_ROWS: Final = 48
_SATURATED_WARNING: Final = 0.001
_SATURATED_ERROR: Final = 0.01
_TRIMMED: Final = (
    r"(DATAMIN$|DATAMAX$|DATAMD5$|DET\.OUT\d\.(PRSC|OVSC)[XY]$|"
    r"(WCSAXES|WCSNAME|EQUINOX_WCS|CTYPE\d|CRVAL\d|CRPIX\d|CDELT\d|CUNIT\d|CROTA\d|CD\d_\d|PC\d_\d|PV\d_\d|LONPOLE|"
    r"LATPOLE|CRDER\d|CSYER\d)$)"
)


@dataclass(frozen=True)
class PreparedFrame:
    """One raw frame of the IFU, opened and with its overscan measured.

    Attributes
    ----------
    frame : Frame
    channel : RawChannel
    exptime : float
        [s]
    overscan : FrameLevels
        Level and scatter of each port as measured, and what is subtracted.
    """

    frame: Frame
    channel: RawChannel
    exptime: float
    overscan: FrameLevels

    @property
    def header(self) -> Header:
        """Raw header, primary merged with the channel's."""
        return self.channel.header

    @property
    def levels(self) -> tuple[OverscanLevel, ...]:
        """Overscan levels of ports 1..4."""
        return self.overscan.levels

    @property
    def polynomials(self) -> tuple[VerticalPolynomial, ...]:
        """Overscan polynomials of ports 1..4; empty unless overscan=vpoly."""
        return self.overscan.polynomials


@dataclass(frozen=True)
class RawStack:
    """Raw frames of one IFU that belong together, with the calibrations to apply.

    Attributes
    ----------
    ifu : int
    tag : str
        Tag of the first frame.
    detector : Detector
    frames : tuple of PreparedFrame
        Those that passed the checks, in the order of the set of frames.
    masters : Masters
        Calibrations to apply, opened.
    bad_pixels : BadPixels
    """

    ifu: int
    tag: str
    detector: Detector
    frames: tuple[PreparedFrame, ...]
    masters: Masters
    bad_pixels: BadPixels

    @property
    def raws(self) -> tuple[Frame, ...]:
        """The raw frames, for the provenance of products."""
        return tuple(item.frame for item in self.frames)

    @property
    def calibs(self) -> tuple[Frame, ...]:
        """The calibrations applied, for the provenance of products."""
        return self.masters.frames + self.bad_pixels.frames


@dataclass(frozen=True)
class CombinedImage:
    """A reduced, trimmed image and what was measured on the way.

    Attributes
    ----------
    image : MuseImage
        ``adu`` for BIAS, else ``count``; the header is that of the first frame without trimmed keywords, with
        ``DRS.MUSE.OVSCn`` cards.
    raws, calibs : tuple of Frame
        Frames used.
    n_saturated : tuple of int
        Saturated pixels of each raw frame, scan regions included.
    combined_saturated : int
        Pixels of the image that are saturated and nothing else.
    statistics : tuple of ImageStatistics
        Of each processed (and scaled) frame, all pixels; empty unless asked for.
    raw_medians : tuple of tuple of float
        Per frame, medians of the raw data sections of ports 1..4 [adu]; BIAS only.
    read_noise : tuple of ReadNoise
        Ports 1..4; BIAS only.
    exptime : float
        Exposure time the image stands for [s].
    """

    image: MuseImage
    raws: tuple[Frame, ...]
    calibs: tuple[Frame, ...]
    n_saturated: tuple[int, ...]
    combined_saturated: int
    statistics: tuple[ImageStatistics, ...]
    raw_medians: tuple[tuple[float, ...], ...]
    read_noise: tuple[ReadNoise, ...]
    exptime: float


@dataclass(frozen=True)
class MaskedResult:
    """What is known of a combined image beside its pixels; see `CombinedImage`.

    Attributes
    ----------
    header : Header
    n_saturated : tuple of int
        Saturated pixels of each raw frame, scan regions included.
    combined_saturated : int
        Pixels of the combined image that are saturated and nothing else.
    """

    header: Header
    n_saturated: tuple[int, ...]
    combined_saturated: int


@dataclass(frozen=True)
class _Saturated:
    """Saturated pixels of each raw frame, and those of the combined image that have no other flag."""

    inputs: tuple[int, ...]
    combined: int


# -- before the pixels -------------------------------------------------------------------------------------------------
def prepare(
    ifu: int, frames: FrameSet, tags: Sequence[str], params: OverscanParameters, ctx: RecipeContext
) -> RawStack:
    """Open the raw frames of an IFU, check them and their calibrations, and measure the overscan.

    Parameters
    ----------
    ifu : int
    frames : FrameSet
        Raw frames and calibrations; MASTER_BIAS, MASTER_DARK, MASTER_FLAT and BADPIX_TABLE are used if present.
    tags : sequence of str
        Tags of the raw frames to take.
    params : OverscanParameters
    ctx : RecipeContext

    Raises
    ------
    MissingInputError
        If no raw frame or no needed calibration has this IFU.
    CalibrationMismatchError
        If a master does not fit the raw frames.
    ChipNotLiveError
        If the detector was off.
    DataError
        If the overscan levels of BIAS frames differ too much (overscan=none).
    """
    opened = _open_channels(ifu, frames.tagged(*tags), ctx)
    kept = [opened[i] for i in same_setup([channel for _, channel in opened], opened[0][0].tag, ctx.log)]
    tag = kept[0][0].tag
    detector = kept[0][1].detector
    options = params.overscan_options
    options.check_geometry(detector)
    masters = load_masters(ifu, frames, kept[0][1], tag, params, ctx.log)
    bad_pixels = load_bad_pixels(ifu, frames, detector, ctx.log)
    measured = ctx.spread(lambda item: measure_levels(item[1], bad_pixels, options, ctx.log), kept)
    ctx.progress(0.3, "overscan measured")
    bias_header = masters.bias.header if masters.bias else None
    levels = correct_levels(measured, options, detector, tag == "BIAS", bias_header, ctx.log)
    prepared = tuple(
        PreparedFrame(frame, channel, get_key(channel.header, "EXPTIME", float, default=0.0), level)
        for (frame, channel), level in zip(kept, levels, strict=True)
    )
    return RawStack(ifu, tag, detector, prepared, masters, bad_pixels)


def _open_channels(ifu: int, frames: Sequence[Frame], ctx: RecipeContext) -> list[tuple[Frame, RawChannel]]:
    opened: list[tuple[Frame, RawChannel]] = []
    first_error: MuseError | None = None
    for frame in frames:
        try:
            opened.append((frame, open_raw(frame.path).channel(ifu)))
        except (ChipNotLiveError, RetriableError):
            raise
        except MuseError as error:
            ctx.log.warning("%s is not used: %s", frame.path.name, error)
            first_error = first_error or error
    if not opened:
        raise first_error or MissingInputError("the set of frames has no raw frames", ifu=ifu)
    return opened


# -- the pass over the pixels ------------------------------------------------------------------------------------------
def combine_frames(
    stack: RawStack,
    options: CombineOptions,
    ctx: RecipeContext,
    *,
    select: Sequence[int] | None = None,
    scale: bool = False,
    statistics: bool = False,
    room: WholeImage | None = None,
) -> CombinedImage:
    """Reduce frames of a stack and combine them into one image.

    Parameters
    ----------
    stack : RawStack
    options : CombineOptions
        A single frame is only reduced.
    ctx : RecipeContext
    select : sequence of int, optional
        Indices into ``stack.frames``; all by default.
    scale : bool
        Scale the frames to the exposure time of the first one before combining.
    statistics : bool
        Measure each processed frame.
    room : WholeImage, optional
        Memory for the image, of an earlier one that is no longer needed.

    Raises
    ------
    ParameterError
        If the combination does not fit the number of frames.
    BadFitsError
        If a file ends too early.
    """
    frames = [stack.frames[i] for i in (range(len(stack.frames)) if select is None else select)]
    is_bias = stack.tag == "BIAS"
    if scale and not is_bias:
        tell_untimed(frames, ctx.log)
    work = _reader(stack, frames, options, scale=scale and not is_bias)
    if stack.tag == "FLAT" and len(frames) > 1 and stack.masters.bias is not None:
        check_gains(work, stack.masters.bias.header, ctx.log)
    shape = stack.detector.trimmed_shape
    out = room or WholeImage.empty(shape)
    collector = StatisticsCollector(work.sample(_SAMPLED_ROWS), shape[0] * shape[1], 2) if statistics else None
    noise = ReadNoiseSampler(stack.detector, len(frames)) if is_bias and len(frames) > 1 else None
    medians = None
    if is_bias:
        medians = PortMedians(stack.detector, np.array([[level.mean for level in frame.levels] for frame in frames]))
    saturated = _run(work, out, collector, noise, medians, ctx)
    while collector is not None and not collector.complete:
        ctx.log.debug("another pass is needed for the medians of the frames")
        collector.restart()
        _run(work, out, collector, None, None, ctx)
    _tell_saturated(stack, frames, saturated.inputs, ctx)
    read_noise = _set_bias_variance(stack, frames, noise, out) if noise is not None else ()
    header = _product_header(stack, frames[0])
    return CombinedImage(
        image=MuseImage(out.data, out.dq, out.stat, header, "adu" if is_bias else "count"),
        raws=tuple(item.frame for item in frames),
        calibs=stack.calibs,
        n_saturated=saturated.inputs,
        combined_saturated=saturated.combined,
        statistics=collector.results() if collector else (),
        raw_medians=() if medians is None else _raw_medians(medians, frames),
        read_noise=read_noise,
        exptime=frames[0].exptime,
    )


def combine_masked(
    stack: RawStack, options: CombineOptions, ctx: RecipeContext, *, select: Sequence[int], out: RowSink
) -> MaskedResult:
    """`combine_frames` for images that are not kept as such, e.g. with a mask only in place of the flags.

    Parameters
    ----------
    stack : RawStack
    options : CombineOptions
    ctx : RecipeContext
    select : sequence of int
        Indices into ``stack.frames``.
    out : RowSink
        Takes the rows.

    Raises
    ------
    ParameterError
        If the combination does not fit the number of frames.
    BadFitsError
        If a file ends too early.
    """
    frames = [stack.frames[i] for i in select]
    counts = _run(_reader(stack, frames, options), out, None, None, None, ctx)
    _tell_saturated(stack, frames, counts.inputs, ctx)
    return MaskedResult(_product_header(stack, frames[0]), counts.inputs, counts.combined)


def reduced_rows(stack: RawStack, index: int, y0: int, y1: int) -> NDArray[np.float32]:
    """Data of some rows of one frame, as `combine_frames` makes them of it alone.

    Parameters
    ----------
    stack : RawStack
    index : int
        Into ``stack.frames``.
    y0, y1 : int
        Rows of the trimmed image (0-based) from ``y0`` up to but not including ``y1``.

    Returns
    -------
    ndarray of float32, shape (y1 - y0, nx)

    Raises
    ------
    BadFitsError
        If a file ends too early.
    """
    reader = _reader(stack, [stack.frames[index]], CombineOptions("average"))
    return reader.reduced(y0, y1)[0]


def combine_again(
    stack: RawStack, options: CombineOptions, ctx: RecipeContext, *, select: Sequence[int], out: MaskedImage
) -> None:
    """Fill an image with what `combine_masked` made of the same frames; tells nothing."""
    silent = replace(ctx, progress=lambda fraction, text: None)
    _run(_reader(stack, [stack.frames[i] for i in select], options), out, None, None, None, silent)


def exposure_factors(frames: Sequence[PreparedFrame], *, scale: bool) -> NDArray[np.float32]:
    """What frames are multiplied with to have the exposure time of the first: 1 unless wanted, and all have one."""
    exptimes = np.array([frame.exptime for frame in frames])
    if scale and np.all(exptimes > 0):
        return (exptimes[0] / exptimes).astype(np.float32)
    return np.ones(len(frames), np.float32)


def tell_untimed(frames: Sequence[PreparedFrame], log: Logger) -> None:
    """Warn of frames that cannot be scaled to an exposure time."""
    if untimed := [item.frame.path.name for item in frames if not item.exptime > 0]:
        log.warning("no EXPTIME in %s: the frames are not scaled to one exposure time", ", ".join(untimed))


def _reader(
    stack: RawStack, frames: Sequence[PreparedFrame], options: CombineOptions, *, scale: bool = False
) -> SlabReader:
    options.check_number(len(frames))
    plan = _plan(stack, frames, options, scale=scale)
    return SlabReader([frame.channel for frame in frames], plan, stack.masters, stack.bad_pixels)


def _plan(stack: RawStack, frames: Sequence[PreparedFrame], options: CombineOptions, *, scale: bool) -> ReductionPlan:
    det = stack.detector
    rows = [
        np.arange(window.start + 1, window.stop + 1, dtype=np.float64)
        for window in (det.raw_window(port)[0] for port in all_ports())
    ]
    exptimes = np.array([frame.exptime for frame in frames])
    dark_exptime = stack.masters.dark_exptime
    return ReductionPlan(
        detector=det,
        levels=np.array([[frame.overscan.subtracted(i, rows[i]) for i in range(4)] for frame in frames]),
        shifts=np.array([frame.overscan.shifts for frame in frames], np.float32),
        extra_variance=np.array([frame.overscan.shift_variances for frame in frames], np.float32),
        gains=np.array([stack.masters.gains or frame.channel.detector.gain for frame in frames], np.float32),
        dark_factors=(exptimes / (dark_exptime if dark_exptime > 0 else 1.0)).astype(np.float32),
        factors=exposure_factors(frames, scale=scale),
        calibrated=stack.tag != "BIAS",
        combine=options,
        nonlinearity=() if stack.tag in ("BIAS", "DARK") else stack.masters.nonlinearity,
    )


def _run(
    work: SlabReader,
    out: RowSink,
    collector: StatisticsCollector | None,
    noise: ReadNoiseSampler | None,
    medians: PortMedians | None,
    ctx: RecipeContext,
) -> _Saturated:
    """One pass over the raw rows; returns the numbers of saturated pixels.

    The halves of the detector share nothing (ports, statistics and rows are their own), so they run side by side.
    """
    det = work.detector
    rows_done = [0, 0]

    def run_half(upper: bool) -> NDArray[np.int64]:
        saturated = np.zeros(len(work.channels) + 1, np.int64)
        for slab in work.scan_slabs(upper):
            saturated[:-1] += [count_saturated(raw) for raw in slab.raw]
        for slab in work.data_slabs(upper):
            y0, height = slab.y0, slab.raw.shape[1]
            window = slice(y0, y0 + height)
            for k, raw in enumerate(slab.raw):
                saturated[k] += count_saturated(raw)
                if medians is not None:
                    for port in det.ports_of_half(upper):
                        medians.add_rows(k, raw, port)
            rows = out.room(window)
            reduce_slab(work.plan, slab.raw, y0, work.calibration(y0, height), rows, collector)
            saturated[-1] += np.count_nonzero(rows.dq == Dq.SATURATED)
            out.take(window, rows)
            if noise is not None:
                noise.add_rows(slab.raw, work.plan.slab_levels(y0, y0 + height), y0, upper)
            rows_done[upper] += height
            ctx.progress(0.3 + 0.6 * sum(rows_done) / (2 * det.ny), "combining")
        return saturated

    lower, upper = ctx.spread(run_half, (False, True))
    *inputs, combined = (lower + upper).tolist()
    return _Saturated(tuple(inputs), combined)


def _raw_medians(medians: PortMedians, frames: Sequence[PreparedFrame]) -> tuple[tuple[float, ...], ...]:
    def median(k: int, port: int) -> float:
        found = medians.median(k, port)
        if found is None:  # light on a bias: its data are far from its overscan
            rows, columns = frames[k].channel.detector.raw_window(port)
            return float(np.median(frames[k].channel.read_rows(rows.start, rows.stop)[:, columns]))
        return found

    return tuple(tuple(median(k, port) for port in all_ports()) for k in range(len(frames)))


def _set_bias_variance(
    stack: RawStack, frames: Sequence[PreparedFrame], sampler: ReadNoiseSampler, out: WholeImage
) -> tuple[ReadNoise, ...]:
    result = []
    for port in all_ports():
        gains = [frame.channel.detector.gain[port - 1] for frame in frames[:-1]]
        noise = sampler.noise(port, gains)
        rows, cols = stack.detector.port_window(port)
        out.stat[rows, cols] *= np.float32(variance_of_bias(noise, gains[0]))
        result.append(noise)
    return tuple(result)


def _tell_saturated(
    stack: RawStack, frames: Sequence[PreparedFrame], saturated: Sequence[int], ctx: RecipeContext
) -> None:
    ny, nx = stack.detector.raw_shape
    for frame, count in zip(frames, saturated, strict=True):
        fraction = count / (ny * nx)
        if fraction > _SATURATED_WARNING:
            tell = ctx.log.error if fraction > _SATURATED_ERROR else ctx.log.warning
            tell("%s has %d saturated pixels (%.2f %%)", frame.frame.path.name, count, 100 * fraction)


def trimmed_header(frame: PreparedFrame) -> Header:
    """Header of a raw frame without what holds for its untrimmed pixels only."""
    header = frame.header.copy()
    del_keys(header, _TRIMMED)
    return header


def _product_header(stack: RawStack, first: PreparedFrame) -> Header:
    header = trimmed_header(first)
    for port, level in enumerate(first.overscan.levels, start=1):
        card = f"DRS.MUSE.OVSC{port}"
        set_key(header, f"{card}.MEAN", np.float32(level.mean), "[adu] mean of the overscan")
        set_key(header, f"{card}.STDEV", np.float32(level.stdev), "[adu] standard deviation of the overscan")
        if first.overscan.polynomials:
            coefficients = first.overscan.polynomials[port - 1].coefficients
            set_key(header, f"{card}.POLY.NCOEFF", len(coefficients), "number of vertical overscan coefficients")
            for power, coefficient in enumerate(coefficients):
                set_key(header, f"{card}.POLY.Y{power}", coefficient, f"coefficient of y^{power}")
    if stack.masters.flat is not None:
        flux = get_key(stack.masters.flat.header, "QC.FLAT.MASTER.INTFLUX", float, default=1.0)
        set_key(header, "DRS.MUSE.FLAT.FLUX.LAMP", flux, "flux of the lamp flat used")
    return header
