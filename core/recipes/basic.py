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
from dataclasses import dataclass

from astropy.io import fits

from core.ccd.combine import CombineOptions
from core.ccd.geometry import Detector
from core.ccd.overscan import OverscanLevel, VerticalPolynomial
from core.ccd.readnoise import ReadNoise
from core.ccd.statistics import ImageStatistics
from core.fitsfile.image import MuseImage
from core.fitsfile.raw import RawChannel
from core.recipes.declaration import Frame, FrameSet, RecipeContext
from core.recipes.parameters import OverscanParameters

__all__ = ["CombinedImage", "PreparedFrame", "RawStack", "combine_frames", "prepare"]


@dataclass(frozen=True)
class PreparedFrame:
    """One raw frame of the IFU, opened and with its overscan measured.

    Attributes
    ----------
    frame : Frame
    channel : RawChannel
    exptime : float
        [s]
    levels : tuple of OverscanLevel
        Ports 1..4, as measured.
    polynomials : tuple of VerticalPolynomial or None
        Ports 1..4 (overscan=vpoly).
    """

    frame: Frame
    channel: RawChannel
    exptime: float
    levels: tuple[OverscanLevel, ...]
    polynomials: tuple[VerticalPolynomial, ...] | None

    @property
    def header(self) -> fits.Header:
        """Raw header, primary merged with the channel's."""
        return self.channel.header


@dataclass(frozen=True)
class RawStack:
    """Raw frames of one IFU that belong together, with the calibrations to apply.

    Attributes
    ----------
    ifu : int
    detector : Detector
    frames : tuple of PreparedFrame
        Those that passed the checks, in the order of the set of frames.
    calibs : tuple of Frame
        Calibrations really used.
    """

    ifu: int
    detector: Detector
    frames: tuple[PreparedFrame, ...]
    calibs: tuple[Frame, ...]

    @property
    def raws(self) -> tuple[Frame, ...]:
        """The raw frames, for the provenance of products."""
        return tuple(item.frame for item in self.frames)


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
    statistics: tuple[ImageStatistics, ...]
    raw_medians: tuple[tuple[float, float, float, float], ...]
    read_noise: tuple[ReadNoise, ...]
    exptime: float


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
    """
    raise NotImplementedError


def combine_frames(
    stack: RawStack,
    options: CombineOptions,
    ctx: RecipeContext,
    *,
    select: Sequence[int] | None = None,
    scale: bool = False,
    statistics: bool = False,
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
    """
    raise NotImplementedError
