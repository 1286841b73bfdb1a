"""Slabs of raw rows become slabs of a combined image: trim, variance, bias, gain, dark, flat, combine, in one pass.

One compiled loop takes the same rows of all raw frames, reduces each frame in scratch rows that stay in the processor's
cache, and combines them at once. No frame is ever held whole; order and rounding of the operations (float32 after each
image operation) are those of the reference pipeline:

1. v = raw - level(row) (overscan polynomial);
2. variance = (v - bias) / gain, at least the smallest normal number; v += shift (overscan offset);
3. v -= bias, variance += bias variance; 4. nonlinearity; 5. adu -> count; 6. dark; 7. flat; 8. exposure-time scaling.

BIAS frames are only trimmed and levelled; their variance is 1 here and set by the caller, who knows the noise later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.ccd.combine import CombineOptions, method_code, sorting_network
from core.ccd.combine_rows import combine_row
from core.ccd.framestats import StatisticsCollector, accumulate_row, collect_row
from core.ccd.geometry import Detector
from core.errors import DataError
from core.instruments.muse.facts import SATURATION_ADU, Dq

__all__ = [
    "MasterRows",
    "Nonlinearity",
    "ReductionPlan",
    "SlabCalibration",
    "reduce_rows",
    "reduce_slab",
]

_SATURATED = int(Dq.SATURATED)
_SATURATION = int(SATURATION_ADU)
_CHUNK = 1024  # pixels reduced and combined at a time
_TINY = np.float32(np.finfo(np.float32).tiny)
_EMPTY_F = np.zeros((0, 0), np.float32)
_EMPTY_I = np.zeros((0, 0), np.int32)


@dataclass(frozen=True)
class MasterRows:
    """The same rows of a master calibration.

    Attributes
    ----------
    data, stat : ndarray, float32, shape (ny, nx)
    dq : ndarray, int32, shape (ny, nx)
    """

    data: NDArray[np.float32]
    dq: NDArray[np.int32]
    stat: NDArray[np.float32]


_NO_ROWS = MasterRows(_EMPTY_F, _EMPTY_I, _EMPTY_F)


@dataclass(frozen=True)
class Nonlinearity:
    """Deviation from linearity of one port: a polynomial of log10(adu).

    Attributes
    ----------
    coefficients : tuple of float
        Plain powers of log10(adu), lowest first.
    low, high : float
        Range of log10(adu); outside, the polynomial goes on as a straight line.
    """

    coefficients: tuple[float, ...]
    low: float
    high: float


@dataclass(frozen=True)
class ReductionPlan:
    """All that is known before the pixels are read; n frames.

    Attributes
    ----------
    detector : Detector
    levels : ndarray, float64, shape (n, 4, ny of a port)
        Bias level of each row of the data sections, ports 1..4 [adu].
    shifts : ndarray, float32, shape (n, 4)
        Shift of the level after the variance was made [adu].
    extra_variance : ndarray, float32, shape (n, 4)
        Variance of that shift [adu^2].
    gains : ndarray, float32, shape (n, 4)
        [count/adu]
    dark_factors : ndarray, float32, shape (n,)
        Exposure time of the frame over that of the dark.
    factors : ndarray, float32, shape (n,)
        Scaling to a common exposure time.
    calibrated : bool
        False for BIAS: no variance, no gain.
    nonlinearity : tuple of Nonlinearity
        Ports 1..4, or empty.
    combine : CombineOptions
    """

    detector: Detector
    levels: NDArray[np.float64]
    shifts: NDArray[np.float32]
    extra_variance: NDArray[np.float32]
    gains: NDArray[np.float32]
    dark_factors: NDArray[np.float32]
    factors: NDArray[np.float32]
    calibrated: bool
    combine: CombineOptions
    nonlinearity: tuple[Nonlinearity, ...] = ()

    @property
    def n(self) -> int:
        """Number of frames."""
        return int(self.levels.shape[0])

    def slab_levels(self, y0: int, y1: int) -> NDArray[np.float64]:
        """Levels of trimmed rows ``y0 <= y < y1`` of one half, left and right port: shape (n, 2, y1 - y0)."""
        upper = y0 >= self.detector.ny
        left, right = self.detector.ports_of_half(upper)
        start = y0 - upper * self.detector.ny
        return np.ascontiguousarray(self.levels[:, [left - 1, right - 1], start : start + y1 - y0])


# -- kernels ---------------------------------------------------------------------------------------------------------
@njit(cache=True, nogil=True)
def _load(raw, level, saturation, data, stat, dq, any_dq, bad):  # type: ignore[no-untyped-def]
    use_bad = bad.size > 0
    for x in range(raw.shape[0]):
        value = raw[x]
        data[x] = np.float32(np.float64(value) - level)
        stat[x] = np.float32(1.0)
        flags = np.int32(_SATURATED) if (value > saturation) | (value == 0) else np.int32(0)
        dq[x] = flags
        any_dq[x] |= flags
    if use_bad:
        for x in range(raw.shape[0]):
            dq[x] |= bad[x]
            any_dq[x] |= bad[x]


@njit(cache=True, nogil=True)
def _subtract_bias(data, stat, dq, any_dq, bias, bias_stat, bias_dq, gain, shift, extra):  # type: ignore[no-untyped-def]
    for x in range(data.shape[0]):
        variance = np.float32(data[x] - bias[x]) / gain
        variance = variance if variance > np.float32(0) else _TINY
        variance = np.float32(variance + extra)
        data[x] = np.float32(np.float32(data[x] + shift) - bias[x])
        stat[x] = np.float32(variance + bias_stat[x])
        dq[x] |= bias_dq[x]
        any_dq[x] |= bias_dq[x]


@njit(cache=True, nogil=True)
def _linearise(data, stat, curve):  # type: ignore[no-untyped-def]
    low = curve[0]
    high = curve[1]
    for x in range(data.shape[0]):
        if not data[x] > 0:
            continue
        t = np.log10(np.float64(data[x]))
        at = min(max(t, low), high)
        p = np.float64(0)
        slope = np.float64(0)
        for i in range(curve.shape[0] - 1, 1, -1):
            slope = slope * at + p
            p = p * at + curve[i]
        factor = 1.0 / (1.0 + p + slope * (t - at))
        data[x] = np.float32(data[x] * factor)
        stat[x] = np.float32(stat[x] * factor * factor)


@njit(cache=True, nogil=True)
def _multiply(data, stat, factor):  # type: ignore[no-untyped-def]
    square = np.float32(factor * factor)
    for x in range(data.shape[0]):
        data[x] = np.float32(data[x] * factor)
        stat[x] = np.float32(stat[x] * square)


@njit(cache=True, nogil=True)
def _subtract_dark(data, stat, dq, any_dq, dark, dark_stat, dark_dq, factor):  # type: ignore[no-untyped-def]
    square = np.float32(factor * factor)
    for x in range(data.shape[0]):
        data[x] = np.float32(data[x] - np.float32(dark[x] * factor))
        stat[x] = np.float32(stat[x] + np.float32(dark_stat[x] * square))
        dq[x] |= dark_dq[x]
        any_dq[x] |= dark_dq[x]


@njit(cache=True, nogil=True)
def _divide_flat(data, stat, dq, any_dq, flat, flat_stat, flat_dq):  # type: ignore[no-untyped-def]
    for x in range(data.shape[0]):
        f = np.float64(flat[x]) if flat[x] != np.float32(0) else 1.0
        d = np.float64(data[x])
        f2 = f * f
        stat[x] = np.float32((stat[x] + d * d * flat_stat[x] / f2) / f2)
        data[x] = np.float32(d / f)
        dq[x] |= flat_dq[x]
        any_dq[x] |= flat_dq[x]


@njit(cache=True, nogil=True)
def _reduce_chunk(  # type: ignore[no-untyped-def]
    raw, y, side, first, start, nx, levels, shifts, extra, gains, dark_factors, factors, calibrated, curves,
    bias, bias_stat, bias_dq, dark, dark_stat, dark_dq, flat, flat_stat, flat_dq, bad, data, stat, dq, any_dq,
):  # fmt: skip
    """Reduce ``data.shape[1]`` pixels of one row of one port in all frames, from pixel ``first`` of the port."""
    any_dq[:] = 0
    x0 = side * nx + first
    x1 = x0 + data.shape[1]
    r0 = start + first
    r1 = r0 + data.shape[1]
    b = bad[y, x0:x1] if bad.size > 0 else any_dq[:0]
    for k in range(raw.shape[0]):
        v = data[k]
        s = stat[k]
        q = dq[k]
        _load(raw[k, y, r0:r1], levels[k, side, y], _SATURATION, v, s, q, any_dq, b)
        if not calibrated:
            continue
        if bias.size > 0:
            _subtract_bias(
                v, s, q, any_dq, bias[y, x0:x1], bias_stat[y, x0:x1], bias_dq[y, x0:x1],
                gains[k, side], shifts[k, side], extra[k, side],
            )  # fmt: skip
        if curves.shape[0] > 0:
            _linearise(v, s, curves[side])
        _multiply(v, s, gains[k, side])
        if dark.size > 0:
            _subtract_dark(v, s, q, any_dq, dark[y, x0:x1], dark_stat[y, x0:x1], dark_dq[y, x0:x1], dark_factors[k])
        if flat.size > 0:
            _divide_flat(v, s, q, any_dq, flat[y, x0:x1], flat_stat[y, x0:x1], flat_dq[y, x0:x1])
        if factors[k] != np.float32(1):
            _multiply(v, s, factors[k])


@njit(cache=True, nogil=True)
def _reduce_slab(  # type: ignore[no-untyped-def]
    raw, starts, nx, levels, shifts, extra, gains, dark_factors, factors, calibrated, curves,
    bias, bias_stat, bias_dq, dark, dark_stat, dark_dq, flat, flat_stat, flat_dq, bad,
    method, counts, sigmas, network, limits, sums, kept, out, out_stat, out_dq,
):  # fmt: skip
    n = raw.shape[0]
    few = np.empty((2, n), np.float64)
    for first in range(0, nx, _CHUNK):
        # Scratch of one chunk stays in the first level of the processor's cache.
        m = min(_CHUNK, nx - first)
        data = np.empty((n, m), np.float32)
        stat = np.empty((n, m), np.float32)
        dq = np.empty((n, m), np.int32)
        any_dq = np.empty(m, np.int32)
        ordered = np.empty((n, m), np.float32)
        carried = np.empty((n, m), np.float32)
        work = np.empty((5, m), np.float64)
        for y in range(raw.shape[1]):
            for side in range(2):
                _reduce_chunk(
                    raw, y, side, first, starts[side], nx, levels, shifts, extra, gains, dark_factors, factors,
                    calibrated, curves, bias, bias_stat, bias_dq, dark, dark_stat, dark_dq, flat, flat_stat, flat_dq,
                    bad, data, stat, dq, any_dq,
                )  # fmt: skip
                if sums.shape[0] > 0:
                    for k in range(n):
                        accumulate_row(data[k], sums[k])
                        collect_row(data[k], limits[k], sums[k], kept[k])
                x0 = side * nx + first
                combine_row(
                    data, stat, dq, any_dq, method, counts, sigmas, network, ordered, carried, work, few,
                    out[y, x0 : x0 + m], out_stat[y, x0 : x0 + m], out_dq[y, x0 : x0 + m],
                )  # fmt: skip


@njit(cache=True, nogil=True)
def _reduce_only(  # type: ignore[no-untyped-def]
    raw, starts, nx, levels, shifts, extra, gains, dark_factors, factors, calibrated, curves,
    bias, bias_stat, bias_dq, dark, dark_stat, dark_dq, flat, flat_stat, flat_dq, bad, out,
):  # fmt: skip
    n = raw.shape[0]
    data = np.empty((n, nx), np.float32)
    stat = np.empty((n, nx), np.float32)
    dq = np.empty((n, nx), np.int32)
    any_dq = np.empty(nx, np.int32)
    for y in range(raw.shape[1]):
        for side in range(2):
            _reduce_chunk(
                raw, y, side, 0, starts[side], nx, levels, shifts, extra, gains, dark_factors, factors, calibrated,
                curves, bias, bias_stat, bias_dq, dark, dark_stat, dark_dq, flat, flat_stat, flat_dq, bad,
                data, stat, dq, any_dq,
            )  # fmt: skip
            out[:, y, side * nx : (side + 1) * nx] = data


# -- what the recipes call ---------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class SlabCalibration:
    """Rows of the masters that belong to a slab; missing ones are not applied.

    Attributes
    ----------
    bias, dark, flat : MasterRows
    bad : ndarray, int32, shape (ny, nx) or (0, 0)
        Flags of known bad pixels.
    """

    bias: MasterRows = field(default_factory=lambda: _NO_ROWS)
    dark: MasterRows = field(default_factory=lambda: _NO_ROWS)
    flat: MasterRows = field(default_factory=lambda: _NO_ROWS)
    bad: NDArray[np.int32] = field(default_factory=lambda: _EMPTY_I)


def _kernel_arguments(
    plan: ReductionPlan, raw: NDArray[np.uint16], y0: int, calibration: SlabCalibration
) -> tuple[Any, ...]:
    det = plan.detector
    y1 = y0 + raw.shape[1]
    if y0 < det.ny < y1:
        raise DataError(f"rows {y0}..{y1} belong to both halves of the detector")
    ports = [port - 1 for port in det.ports_of_half(y0 >= det.ny)]
    curves = np.zeros((0, 0))
    if plan.nonlinearity:
        longest = max(len(curve.coefficients) for curve in plan.nonlinearity)
        curves = np.zeros((2, longest + 2))
        for side, port in enumerate(ports):
            curve = plan.nonlinearity[port]
            curves[side, :2] = curve.low, curve.high
            curves[side, 2 : 2 + len(curve.coefficients)] = curve.coefficients
    bias, dark, flat = calibration.bias, calibration.dark, calibration.flat
    return (
        raw, (det.prescan_x, det.prescan_x + det.nx + 2 * det.overscan_x), det.nx, plan.slab_levels(y0, y1),
        np.ascontiguousarray(plan.shifts[:, ports]), np.ascontiguousarray(plan.extra_variance[:, ports]),
        np.ascontiguousarray(plan.gains[:, ports]), plan.dark_factors, plan.factors, plan.calibrated, curves,
        bias.data, bias.stat, bias.dq, dark.data, dark.stat, dark.dq, flat.data, flat.stat, flat.dq, calibration.bad,
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _divide_rows(data, stat, dq, flat, flat_stat, flat_dq, any_dq):  # type: ignore[no-untyped-def]
    for y in range(data.shape[0]):
        _divide_flat(data[y], stat[y], dq[y], any_dq, flat[y], flat_stat[y], flat_dq[y])


def divide_by_flat(rows: MasterRows, flat: MasterRows) -> None:
    """Divide rows of a reduced image by the same rows of the flat field, in place; its flags are added."""
    any_dq = np.zeros(rows.data.shape[1], np.int32)
    _divide_rows(rows.data, rows.stat, rows.dq, flat.data, flat.stat, flat.dq, any_dq)


def reduce_rows(
    plan: ReductionPlan, raw: NDArray[np.uint16], y0: int, calibration: SlabCalibration
) -> NDArray[np.float32]:
    """Reduce the same rows of all frames without combining them; see `reduce_slab`.

    Returns
    -------
    ndarray, float32, shape (n, ny, nx)
    """
    out = np.empty((raw.shape[0], raw.shape[1], 2 * plan.detector.nx), np.float32)
    _reduce_only(*_kernel_arguments(plan, raw, y0, calibration), out)
    return out


def reduce_slab(
    plan: ReductionPlan,
    raw: NDArray[np.uint16],
    y0: int,
    calibration: SlabCalibration,
    out: MasterRows,
    collector: StatisticsCollector | None = None,
) -> None:
    """Reduce and combine the same rows of all frames.

    Parameters
    ----------
    plan : ReductionPlan
    raw : ndarray, uint16, shape (n, ny, nx_raw)
        Raw rows of data sections, all within the lower or the upper half [adu].
    y0 : int
        Trimmed row (0-based) of the first one.
    calibration : SlabCalibration
    out : MasterRows
        Filled with the combined rows, shape (ny, nx): adu (BIAS) or count.
    collector : StatisticsCollector, optional
        Takes the statistics of each reduced frame: part 0 of the lower, part 1 of the upper half.

    Raises
    ------
    DataError
        If the rows belong to both halves.
    """
    options = plan.combine
    upper = int(y0 >= plan.detector.ny)
    _reduce_slab(
        *_kernel_arguments(plan, raw, y0, calibration),
        method_code(options, plan.n), np.array([options.nlow, options.nhigh, options.nkeep], np.int64),
        np.array([options.lsigma, options.hsigma], np.float64), sorting_network(plan.n),
        collector.limits if collector else np.zeros((0, 2), np.float32),
        collector.sums[upper] if collector else np.zeros((0, 7)),
        collector.kept[upper] if collector else _EMPTY_F,
        out.data, out.stat, out.dq,
    )  # fmt: skip
