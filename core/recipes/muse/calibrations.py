"""Calibrations of basic processing, opened for one IFU: masters read by rows, bad pixels, nonlinearity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.geometry import Detector, Window, all_ports
from core.ccd.reduction import Nonlinearity
from core.errors import CalibrationMismatchError, DataError, MissingInputError, error_context
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, iter_keys
from core.fitsfile.scan import scan_fits
from core.formats.image import ImageRows, open_image
from core.formats.raw import RawChannel
from core.formats.tables import BADPIX_TABLE, read_table
from core.instruments.muse.facts import chip_name, ifu_of_extname
from core.recipes.declaration import FrameSpec
from core.recipes.frames import Frame, FrameSet
from core.recipes.logs import Logger
from core.recipes.muse.consistency import (
    check_master,
    check_overscan_parameters,
    recorded_overscan,
    size_words,
    switched_on,
)
from core.recipes.muse.parameters import OverscanParameters

__all__ = [
    "NONLINEARITY_INPUT",
    "BadPixels",
    "Masters",
    "load_bad_pixels",
    "load_masters",
    "open_master",
    "overscan_of_bias",
]

NONLINEARITY_INPUT: Final = FrameSpec(
    "NONLINEARITY_GAIN", "calib", max=1, description="Gains and nonlinearity of the detectors (optional, expert use)"
)
_SKIP_GAINS: Final = "MUSE_BASICPROC_SKIP_GAIN_OVERRIDE"
_SKIP_NONLINEARITY: Final = "MUSE_BASICPROC_SKIP_NONLIN_CORR"


@dataclass(frozen=True)
class BadPixels:
    """Known bad pixels of an IFU.

    Attributes
    ----------
    x, y : ndarray, int64
        0-based raw positions.
    status : ndarray, int32
        Euro3D flags.
    detector : Detector
    frames : tuple of Frame
        The BADPIX_TABLEs they come from.
    """

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    status: NDArray[np.int32]
    detector: Detector
    frames: tuple[Frame, ...] = ()

    def flag_raw_window(self, dq: NDArray[np.int32], window: Window) -> None:
        """OR the flags into a window of the raw frame, in place."""
        rows, cols = window
        inside = (self.y >= rows.start) & (self.y < rows.stop) & (self.x >= cols.start) & (self.x < cols.stop)
        np.bitwise_or.at(dq, (self.y[inside] - rows.start, self.x[inside] - cols.start), self.status[inside])

    def trimmed_rows(self, y0: int, height: int) -> NDArray[np.int32]:
        """Flags of rows of the trimmed image that lie in one half; shape (0, 0) if there are no bad pixels at all."""
        if self.x.size == 0:
            return np.zeros((0, 0), np.int32)
        det = self.detector
        flags = np.zeros((height, 2 * det.nx), np.int32)
        start = det.raw_row(y0)
        for port in (1, 2):
            raw_cols, cols = det.raw_window(port)[1], det.port_window(port)[1]
            self.flag_raw_window(flags[:, cols], (slice(start, start + height), raw_cols))
        return flags


@dataclass(frozen=True)
class Masters:
    """Master calibrations to apply to the frames of one IFU.

    Attributes
    ----------
    bias, dark, flat : ImageRows or None
    gains : tuple of float, optional
        Gains that replace those of the raw headers.
    nonlinearity : tuple of Nonlinearity
        Ports 1..4, or empty.
    frames : tuple of Frame
        The files they come from.
    """

    bias: ImageRows | None = None
    dark: ImageRows | None = None
    flat: ImageRows | None = None
    gains: tuple[float, ...] | None = None
    nonlinearity: tuple[Nonlinearity, ...] = ()
    frames: tuple[Frame, ...] = ()

    @property
    def dark_exptime(self) -> float:
        """Exposure time the dark stands for [s]; 0 without a dark."""
        return get_key(self.dark.header, "EXPTIME", float, default=0.0) if self.dark else 0.0


def open_master(ifu: int, frames: FrameSet, tag: str, log: Logger) -> tuple[Frame, ImageRows] | None:
    """Open the image of an IFU among the frames of a tag; None if there are no frames of that tag.

    The first one counts; that there are others is told.

    Raises
    ------
    MissingInputError
        If there are frames, but none for this IFU.
    """
    candidates = frames.tagged(tag)
    if not candidates:
        return None
    errors = []
    found: list[tuple[Frame, ImageRows]] = []
    for frame in candidates:
        try:
            found.append((frame, open_image(frame.path, ifu)))
        except MissingInputError as error:
            errors.append(str(error))
    if len(found) > 1:
        others = ", ".join(frame.path.name for frame, _ in found[1:])
        log.warning("several %s hold IFU %d: %s is used, not %s", tag, ifu, found[0][0].path.name, others)
    if found:
        return found[0]
    raise MissingInputError(f"no {tag} for IFU {ifu}: {'; '.join(errors)}", ifu=ifu, rule=tag)


def overscan_of_bias(ifu: int, frames: FrameSet, log: Logger) -> OverscanParameters:
    """Overscan parameters for an IFU: those of its MASTER_BIAS, as its header has them.

    Raises
    ------
    MissingInputError
        If there is no MASTER_BIAS of the IFU.
    ParameterError
        If the header has something that is none.
    """
    found = open_master(ifu, frames, "MASTER_BIAS", log)
    if found is None:
        raise MissingInputError("the raw frames need a MASTER_BIAS", ifu=ifu, rule="MASTER_BIAS")
    frame, bias = found
    recorded = recorded_overscan(bias.header)
    if not recorded:
        log.warning("%s does not tell its overscan parameters: the usual ones are taken", frame.path.name)
    with error_context(file=frame.path):
        return OverscanParameters.parse(recorded)


def load_masters(
    ifu: int, frames: FrameSet, raw: RawChannel, raw_tag: str, params: OverscanParameters, log: Logger
) -> Masters:
    """Open and check the masters of an IFU; BIAS frames take none.

    Raises
    ------
    MissingInputError
        If the MASTER_BIAS is missing, or a master lacks this IFU.
    CalibrationMismatchError
        If a master does not fit the raw frames.
    MissingKeywordError
        If a NONLINEARITY_GAIN is incomplete.
    """
    if raw_tag == "BIAS":
        return Masters()
    opened: dict[str, ImageRows] = {}
    used = []
    for tag, unit in (("MASTER_BIAS", "adu"), ("MASTER_DARK", "count"), ("MASTER_FLAT", "count")):
        found = open_master(ifu, frames, tag, log)
        if found is None:
            if tag == "MASTER_BIAS":
                raise MissingInputError(f"{raw_tag} frames need a MASTER_BIAS", ifu=ifu, rule=tag)
            continue
        frame, image = found
        check_master(tag, image.header, frame.path.name, raw, raw_tag, log)
        if image.shape != raw.detector.trimmed_shape:
            raise CalibrationMismatchError(
                f"{tag} has {size_words(image.shape)}, the raw frames {size_words(raw.detector.trimmed_shape)}",
                file=frame.path,
            )
        if image.unit != unit:
            raise DataError(f'{tag} has the unit "{image.unit}", not "{unit}"', file=frame.path, keyword="BUNIT")
        opened[tag] = image
        used.append(frame)
    if (dark := opened.get("MASTER_DARK")) and get_key(dark.header, "EXPTIME", float, default=None) is None:
        log.warning("%s has no EXPTIME: it is taken as a dark of 1 s", dark.path.name)
    bias = opened["MASTER_BIAS"]
    check_overscan_parameters(bias.header, bias.path.name, params, log)
    gains: tuple[float, ...] | None = None
    curves: tuple[Nonlinearity, ...] = ()
    for frame in frames.tagged("NONLINEARITY_GAIN"):
        gains, curves = _read_nonlinearity(frame, ifu)
        used.append(frame)
        shown = ", ".join(f"{gain:.4f}" for gain in gains or raw.detector.gain)
        log.info("gains %s count/adu from %s", shown, frame.path.name)
    return Masters(bias, opened.get("MASTER_DARK"), opened.get("MASTER_FLAT"), gains, curves, tuple(used))


def _read_nonlinearity(frame: Frame, ifu: int) -> tuple[tuple[float, ...] | None, tuple[Nonlinearity, ...]]:
    """Gains and nonlinearity of the ports of an IFU from the header of its extension.

    Raises
    ------
    MissingInputError
        If the file has no extension of the IFU.
    MissingKeywordError
        If a gain or a coefficient is missing.
    DataError
        If a gain is not positive.
    """
    scan = scan_fits(frame.path)
    extension = next((hdu for hdu in scan.hdus if ifu_of_extname(hdu.extname) == ifu), None)
    if extension is None:
        raise MissingInputError(f"{frame.tag} has no extension {chip_name(ifu)}", file=frame.path, ifu=ifu)
    header = extension.header
    gains = None
    if not switched_on(_SKIP_GAINS):
        with error_context(file=frame.path):
            gains = tuple(get_key(header, f"DET.OUT{port}.GAIN", float) for port in all_ports())
        for port, gain in zip(all_ports(), gains, strict=True):
            if not gain > 0:
                raise DataError(
                    f"port {port} has a gain of {gain:g} count/adu", file=frame.path, keyword=f"DET.OUT{port}.GAIN"
                )
    if switched_on(_SKIP_NONLINEARITY) or not any(iter_keys(header, r"DRS\.MUSE\.NONLIN\d")):
        return gains, ()  # muse_lingain measures gains only
    with error_context(file=frame.path):
        return gains, tuple(_curve(header, f"DRS.MUSE.NONLIN{port}.POLY") for port in all_ports())


def _curve(header: Header, card: str) -> Nonlinearity:
    order = get_key(header, f"{card}.ORDER", int)
    return Nonlinearity(
        tuple(get_key(header, f"{card}.COEFF{power}", float) for power in range(order + 1)),
        get_key(header, f"{card}.LOLIMIT", float),
        get_key(header, f"{card}.HILIMIT", float),
    )


def load_bad_pixels(ifu: int, frames: FrameSet, detector: Detector, log: Logger) -> BadPixels:
    """Read all BADPIX_TABLEs of an IFU; entries outside the raw image are left out with a warning."""
    ny, nx = detector.raw_shape
    x: list[NDArray[Any]] = []
    y: list[NDArray[Any]] = []
    status: list[NDArray[Any]] = []
    used = []
    for frame in frames.tagged("BADPIX_TABLE"):
        try:
            table = read_table(frame.path, BADPIX_TABLE, ifu)
        except MissingInputError:
            continue  # a table of other IFUs
        xs, ys = table["xpos"].astype(np.int64) - 1, table["ypos"].astype(np.int64) - 1
        inside = (xs >= 0) & (xs < nx) & (ys >= 0) & (ys < ny)
        if not np.all(inside):
            log.warning(
                "%d entries of %s lie outside the raw image of %d x %d pix",
                np.count_nonzero(~inside),
                frame.path.name,
                nx,
                ny,
            )
        x.append(xs[inside])
        y.append(ys[inside])
        status.append(table["status"][inside].astype(np.int32))
        used.append(frame)
    if not used:
        if given := frames.tagged("BADPIX_TABLE"):
            log.warning("no table of IFU %d in %s", ifu, ", ".join(frame.path.name for frame in given))
        return BadPixels(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int32), detector)
    return BadPixels(np.concatenate(x), np.concatenate(y), np.concatenate(status), detector, tuple(used))
