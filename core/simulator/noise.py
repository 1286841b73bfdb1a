"""Noise of a read-out: each raw pixel has random numbers of its own, and what becomes of them is digitised.

The numbers are a function of the key of the exposure and the place of the pixel, so that they do not depend on the
order, the parts or the threads in which an image is worked on. The bits are those of SplitMix64 (Steele, Lea & Flood
2014); normal deviates come by the ziggurat of Marsaglia & Tsang (2000) in the form of Doornik (2005); small numbers of
photons are exactly Poisson, by a table for the next lower mean and inversion for the rest.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import pdtr

__all__ = ["BRIGHT", "bits", "digitise", "normal", "photons"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

BRIGHT: Final = 50.0
"""Where photon noise becomes Gaussian [electron]."""

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
_27, _30, _31 = np.uint64(27), np.uint64(30), np.uint64(31)
_8, _11, _24, _32, _255 = np.uint64(8), np.uint64(11), np.uint64(24), np.uint64(32), np.uint64(255)
_LOW_WORD: Final = np.uint64(0xFFFFFFFF)
_NONE, _ONE, _TWO = np.uint64(0), np.uint64(1), np.uint64(2)
_AGAIN: Final = np.uint64(1 << 40)  # from one try for a pixel to the next
_UNIT: Final = 2.0**-53

_LAYERS: Final = 256
_TAIL: Final = 3.6541528853610088  # where the lowest layer of the ziggurat ends
_AREA: Final = 0.00492867323399  # of a layer


def _ziggurat() -> F64:
    """Right ends of the layers, from the lowest (with the tail: a rectangle of its area) to the top."""
    ends = np.zeros(_LAYERS + 1)
    density = math.exp(-0.5 * _TAIL**2)
    ends[:2] = _AREA / density, _TAIL
    for layer in range(2, _LAYERS):
        density = math.exp(-0.5 * ends[layer - 1] ** 2)
        ends[layer] = math.sqrt(-2.0 * math.log(_AREA / ends[layer - 1] + density))
    return ends


_PER_ELECTRON: Final = 4  # means of the tables
_COUNTS: Final = 128


def _poisson_tables() -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Bits at which the count grows, shape (means, counts), and the least count for each value of their upper 8."""
    means = np.arange(int(BRIGHT) * _PER_ELECTRON + 1)[:, None] / _PER_ELECTRON
    bounds = np.minimum(np.round(pdtr(np.arange(_COUNTS), means) * 2.0**32), 2.0**32 - 1).astype(np.uint32)
    firsts = (np.arange(256, dtype=np.uint64) << _24).astype(np.uint32)
    least = np.stack([np.searchsorted(row, firsts, side="right") for row in bounds])
    return bounds, least.astype(np.uint8)


_ENDS: Final = _ziggurat()
_BOUNDS, _LEAST = _poisson_tables()


@njit(cache=True, nogil=True)
def bits(key: np.uint64, counter: np.uint64) -> np.uint64:
    """64 random bits: number ``counter`` of the stream ``key``."""
    z = key + counter * _GOLDEN
    z = (z ^ (z >> _30)) * _FIRST
    z = (z ^ (z >> _27)) * _SECOND
    return z ^ (z >> _31)


@njit(cache=True, nogil=True)
def _uniform(word: np.uint64) -> float:
    """A number in (0, 1) of the upper 53 bits."""
    return (float(np.int64(word >> _11)) + 0.5) * _UNIT


@njit(cache=True, nogil=True)
def normal(key: np.uint64, counter: np.uint64) -> float:
    """Normal deviate: number ``counter`` (below 2**40) of the stream ``key``."""
    while True:
        word = bits(key, counter)
        layer = word & _255
        sign = 1.0 if (word >> _8) & _ONE else -1.0
        x = float(np.int64(word >> _11)) * _UNIT * _ENDS[layer]
        if x < _ENDS[layer + _ONE]:
            return sign * x
        counter += _AGAIN
        u = _uniform(bits(key, counter))
        counter += _AGAIN
        if layer == _NONE:
            v = _uniform(bits(key, counter))
            beyond = -math.log(u) / _TAIL
            if -2.0 * math.log(v) > beyond * beyond:
                return sign * (_TAIL + beyond)
            counter += _AGAIN
        else:
            low = math.exp(-0.5 * (_ENDS[layer] * _ENDS[layer] - x * x))
            high = math.exp(-0.5 * (_ENDS[layer + _ONE] * _ENDS[layer + _ONE] - x * x))
            if high + u * (low - high) < 1.0:
                return sign * x


@njit(cache=True, nogil=True)
def photons(mean: float, word: np.uint64) -> int:
    """Poisson deviate of a mean up to `BRIGHT`, of 64 random bits."""
    if mean <= 0.0:
        return 0
    lower = int(mean * _PER_ELECTRON)
    n = 0
    if lower > 0:
        row = np.uint64(lower)
        upper = word >> _32
        n = int(_LEAST[row, upper >> _24])
        while n < _COUNTS - 1 and upper >= np.uint64(_BOUNDS[row, np.uint64(n)]):
            n += 1
    rest = mean - lower / _PER_ELECTRON
    u = float(np.int64(word & _LOW_WORD)) * 2.0**-32
    if u > 1.0 - rest:
        p = math.exp(-rest)
        total = p
        more = 0
        while u >= total and more < 20:
            more += 1
            p *= rest / more
            total += p
        n += more
    return n


@njit(cache=True, nogil=True)
def digitise(
    out: NDArray[np.uint16],
    electrons: F32,
    key: np.uint64,
    row_bias: F32,
    column_bias: F32,
    level: F64,
    gain: F64,
    ron: F64,
    scan_x: int,
    scan_y: int,
) -> None:
    """Draw noise and convert an image to adu.

    Parameters
    ----------
    out : (ny_raw, nx_raw)
        Raw frame, to be filled.
    electrons : (ny, nx)
        Expected electrons of the trimmed image.
    key : int
        Of the exposure.
    row_bias, column_bias, level, gain, ron
        As in `core.simulator.channel.ChannelTruth`; ``ron`` in adu.
    scan_x, scan_y : int
        Widths of the prescans.

    Notes
    -----
    Photon noise is Poisson up to `BRIGHT` electrons and its Gaussian limit above, where it is drawn together with the
    read noise in one deviate.
    """
    ny_raw, nx_raw = out.shape
    ny_quarter, nx_quarter = ny_raw // 2, nx_raw // 2
    port_ny, port_nx = electrons.shape[0] // 2, electrons.shape[1] // 2
    for raw_y in range(ny_raw):
        upper = raw_y >= ny_quarter
        depth = ny_raw - 1 - raw_y if upper else raw_y
        k = depth - scan_y
        lit = 0 <= k < port_ny
        y = 0
        if lit:
            y = 2 * port_ny - 1 - k if upper else k
        for half in range(2):
            if half == 0:
                port = 3 if upper else 0
            else:
                port = 2 if upper else 1
            base = level[port] + row_bias[port, depth] + 0.5
            per_adu = 1.0 / gain[port]
            noise = ron[port]
            for i in range(nx_quarter):
                raw_x = i if half == 0 else nx_raw - 1 - i
                pixel = _TWO * np.uint64(raw_y * nx_raw + raw_x)
                deviate = normal(key, pixel)
                k = i - scan_x
                mean = 0.0
                if lit and 0 <= k < port_nx:
                    mean = electrons[y, k if half == 0 else 2 * port_nx - 1 - k]
                value = base + column_bias[port, i]
                if mean > BRIGHT:
                    value += mean * per_adu + deviate * math.sqrt(mean * per_adu * per_adu + noise * noise)
                else:
                    value += deviate * noise
                    if mean > 0.0:
                        value += photons(mean, bits(key, pixel + _ONE)) * per_adu
                out[raw_y, raw_x] = np.uint16(max(0, min(65535, math.floor(value))))
