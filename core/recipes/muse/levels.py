"""Overscan of raw frames: measured, compared, and turned into what is subtracted.

`measure_levels` looks at one frame; `correct_levels` decides, for all frames together, what `overscan` = none, offset
or vpoly means: levels are compared or shifted between BIAS frames, and against the MASTER_BIAS for all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.geometry import Detector, Window, all_ports
from core.ccd.overscan import (
    OverscanLevel,
    OverscanOptions,
    average_levels,
    deviating_ports,
    measure_overscan,
)
from core.ccd.vpoly import VerticalPolynomial, fit_vertical_overscan
from core.errors import CalibrationMismatchError, DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.formats.raw import RawChannel
from core.instruments.muse.facts import SATURATION_ADU, Dq
from core.recipes.logs import Logger
from core.recipes.muse.calibrations import BadPixels

__all__ = ["FrameLevels", "correct_levels", "measure_levels"]

_VPOLY_MAX_DEVIATION: Final = 100.0  # tolerated difference of levels from the MASTER_BIAS, in its scatter
_NO_SHIFT: Final = (0.0, 0.0, 0.0, 0.0)
_READ_ROWS: Final = 256


@dataclass(frozen=True)
class FrameLevels:
    """Overscan of one frame.

    Attributes
    ----------
    name : str
        Its file, for messages.
    levels : tuple of OverscanLevel
        Ports 1..4, for the header.
    polynomials : tuple of VerticalPolynomial
        Ports 1..4 (vpoly), or empty.
    offsets : tuple of float
        Constants subtracted from the raw values of ports 1..4 before anything else [adu].
    shifts, shift_variances : tuple of float
        Added to values and variances just before the bias is subtracted [adu, adu^2].
    """

    name: str
    levels: tuple[OverscanLevel, ...]
    polynomials: tuple[VerticalPolynomial, ...] = ()
    offsets: tuple[float, ...] = _NO_SHIFT
    shifts: tuple[float, ...] = _NO_SHIFT
    shift_variances: tuple[float, ...] = _NO_SHIFT

    def subtracted(self, index: int, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Level [adu] subtracted at raw FITS rows of port ``index + 1``."""
        if self.polynomials:
            return self.polynomials[index].evaluate(rows)
        return np.full(rows.size, self.offsets[index])


class _Strips:
    """The central cross of a raw frame, where all overscan strips lie."""

    def __init__(self, channel: RawChannel, bad_pixels: BadPixels) -> None:
        det = channel.detector
        ny, nx = det.raw_shape
        self.x0, self.y0 = det.prescan_x + det.nx, det.prescan_y + det.ny
        width, height = 2 * det.overscan_x, 2 * det.overscan_y
        self.columns = np.empty((ny, width), np.uint16)
        self.rows = np.empty((height, nx), np.uint16)
        buffer = np.empty((_READ_ROWS, nx), np.uint16)
        for start in range(0, ny, _READ_ROWS):
            stop = min(start + _READ_ROWS, ny)
            slab = channel.read_rows(start, stop, out=buffer[: stop - start])
            self.columns[start:stop] = slab[:, self.x0 : self.x0 + width]
            low, high = max(start, self.y0), min(stop, self.y0 + height)
            if low < high:
                self.rows[low - self.y0 : high - self.y0] = slab[low - start : high - start]
        self.bad_pixels = bad_pixels

    def horizontal(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        rows, cols = window
        return self._strip(self.rows[rows.start - self.y0 : rows.stop - self.y0, cols], window)

    def vertical(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        rows, cols = window
        return self._strip(self.columns[rows, cols.start - self.x0 : cols.stop - self.x0], window)

    def _strip(self, raw: NDArray[np.uint16], window: Window) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        dq = np.where((raw > SATURATION_ADU) | (raw == 0), np.int32(Dq.SATURATED), np.int32(0))
        self.bad_pixels.flag_raw_window(dq, window)
        return np.ascontiguousarray(raw, dtype=np.float32), dq


def measure_levels(channel: RawChannel, bad_pixels: BadPixels, options: OverscanOptions, log: Logger) -> FrameLevels:
    """Measure the overscan of a raw frame, and fit it if ``overscan`` is vpoly.

    Raises
    ------
    DataError
        If a port has no good overscan pixels.
    """
    det = channel.detector
    strips = _Strips(channel, bad_pixels)
    levels, polynomials = [], []
    for port in all_ports():
        window_h, window_v = det.overscan_windows(port, options.ignore)
        horizontal, horizontal_dq = strips.horizontal(window_h)
        vertical, vertical_dq = strips.vertical(window_v)
        try:
            levels.append(measure_overscan(horizontal, horizontal_dq, vertical, vertical_dq, options.reject))
            if options.method.kind == "vpoly":
                first = window_v[0].start + 1
                polynomials.append(fit_vertical_overscan(vertical, vertical_dq, first, options.method, options.sigma))
        except DataError as error:
            raise DataError(f"port {port}: {error.message}", **{**error.context, "file": channel.path}) from error
    log.debug(
        "%s: overscan %s adu, orders %s",
        channel.path.name,
        ", ".join(f"{level.mean:.3f}+/-{level.stdev:.3f}" for level in levels),
        [polynomial.order for polynomial in polynomials],
    )
    return FrameLevels(channel.path.name, tuple(levels), tuple(polynomials))


def correct_levels(
    measured: Sequence[FrameLevels],
    options: OverscanOptions,
    detector: Detector,
    is_bias: bool,
    bias_header: Header | None,
    log: Logger,
) -> list[FrameLevels]:
    """Compare the overscan levels of frames and decide what is subtracted from each.

    Parameters
    ----------
    measured : sequence of FrameLevels
    options : OverscanOptions
    detector : Detector
    is_bias : bool
        BIAS frames are compared with the first of them, others with the MASTER_BIAS.
    bias_header : Header or None
        Header of the MASTER_BIAS.
    log : logger

    Returns
    -------
    list of FrameLevels

    Raises
    ------
    DataError
        overscan=none: a BIAS frame deviates from the first.
    CalibrationMismatchError
        overscan=vpoly: the level is very different from that of the MASTER_BIAS.
    """
    if is_bias:
        return _between_biases(measured, options)
    reference = _levels_of(bias_header) if bias_header is not None else None
    if reference is None:
        log.warning("the MASTER_BIAS has no overscan levels (DRS.MUSE.OVSCn.MEAN, .STDEV), nothing is compared")
        return list(measured)
    return [_against_master(item, reference, options, detector, log) for item in measured]


def _levels_of(header: Header) -> tuple[OverscanLevel, ...] | None:
    levels = []
    for port in all_ports():
        mean = get_key(header, f"DRS.MUSE.OVSC{port}.MEAN", float, default=None)
        stdev = get_key(header, f"DRS.MUSE.OVSC{port}.STDEV", float, default=None)
        if mean is None or stdev is None:
            return None
        levels.append(OverscanLevel(mean, stdev))
    return tuple(levels)


def _between_biases(measured: Sequence[FrameLevels], options: OverscanOptions) -> list[FrameLevels]:
    first = measured[0].levels
    if options.method.kind == "none":
        for item in measured[1:]:
            ports = deviating_ports(item.levels, first, options.sigma)
            if ports:
                raise DataError(
                    f"the overscan of {item.name} ({_level_words(item.levels, ports)}) deviates from that of "
                    f"{measured[0].name} ({_level_words(first, ports)}) by more than {options.sigma:g} sigma; "
                    "use overscan=offset or vpoly",
                    parameter="ovscsigma",
                )
        common = tuple(average_levels([item.levels[i] for item in measured]) for i in range(4))
        return [replace(measured[0], levels=common), *measured[1:]]
    if options.method.kind == "offset":
        # All frames go to the level of the first. (The reference moves the first one only, by exchanged arguments.)
        return [
            replace(item, offsets=tuple(item.levels[i].mean - first[i].mean for i in range(4))) for item in measured
        ]
    return list(measured)


def _level_words(levels: Sequence[OverscanLevel], ports: Sequence[int]) -> str:
    return ", ".join(f"port {port}: {levels[port - 1].mean:.3f}+/-{levels[port - 1].stdev:.3f} adu" for port in ports)


def _against_master(
    item: FrameLevels,
    bias: tuple[OverscanLevel, ...],
    options: OverscanOptions,
    detector: Detector,
    log: Logger,
) -> FrameLevels:
    if options.method.kind == "none":
        if ports := deviating_ports(item.levels, bias, options.sigma):
            log.warning(
                "the overscan of %s (%s) deviates from that of the MASTER_BIAS (%s) by more than %g sigma",
                item.name,
                _level_words(item.levels, ports),
                _level_words(bias, ports),
                options.sigma,
            )
        return item
    if options.method.kind == "vpoly":
        ports = deviating_ports(item.levels, bias, _VPOLY_MAX_DEVIATION)
        if ports:
            raise CalibrationMismatchError(
                f"the overscan of {item.name} ({_level_words(item.levels, ports)}) deviates from that of the "
                f"MASTER_BIAS ({_level_words(bias, ports)}) by more than {_VPOLY_MAX_DEVIATION:g} sigma",
                keyword=f"DRS.MUSE.OVSC{ports[0]}.MEAN",
            )
        return item
    return FrameLevels(
        name=item.name,
        levels=tuple(OverscanLevel(bias[i].mean, item.levels[i].stdev) for i in range(4)),
        shifts=tuple(bias[i].mean - item.levels[i].mean for i in range(4)),
        shift_variances=tuple((bias[i].stdev ** 2 + item.levels[i].stdev ** 2) / detector.gain[i] for i in range(4)),
    )
