"""Sine, cosine and arc tangent for loops over many pixels.

They have no branches, so that a compiler makes vector instructions of a loop; exact to a few units of the last digit.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit

__all__ = ["arc_tangent", "sine_cosine"]

_QUARTER: Final = 0.5 * math.pi
_HIGH: Final = float(np.float32(_QUARTER))  # so that its product with a small number is exact
_LOW: Final = _QUARTER - _HIGH
_STEEP: Final = math.tan(math.pi / 8)


@njit(cache=True, nogil=True, error_model="numpy")
def sine_cosine(angle):  # type: ignore[no-untyped-def]
    """Sine and cosine of an angle of some turns at most [rad]."""
    quarters = np.floor(angle * (1 / _QUARTER) + 0.5)
    a = (angle - quarters * _HIGH) - quarters * _LOW  # at most an eighth of a turn
    u = a * a
    sine = 1 - u * (1 / 210) * (1 - u * (1 / 272))
    sine = 1 - u * (1 / 72) * (1 - u * (1 / 110) * (1 - u * (1 / 156) * sine))
    sine = a * (1 - u * (1 / 6) * (1 - u * (1 / 20) * (1 - u * (1 / 42) * sine)))
    cosine = 1 - u * (1 / 132) * (1 - u * (1 / 182) * (1 - u * (1 / 240)))
    cosine = 1 - u * (1 / 2) * (
        1 - u * (1 / 12) * (1 - u * (1 / 30) * (1 - u * (1 / 56) * (1 - u * (1 / 90) * cosine)))
    )
    turned = quarters - 4 * np.floor(0.25 * quarters)
    odd = (turned == 1) | (turned == 3)
    first, second = (cosine if odd else sine), (sine if odd else cosine)
    return (-first if turned >= 2 else first), (-second if (turned == 1) | (turned == 2) else second)


@njit(cache=True, nogil=True, error_model="numpy")
def arc_tangent(y, x):  # type: ignore[no-untyped-def]
    """The angle of a direction [rad], as `math.atan2`, but 0 for none."""
    along, across = abs(x), abs(y)
    far, near = max(along, across), min(along, across)
    steep = near > _STEEP * far  # then the angle is counted from the diagonal
    up, down = (near - far if steep else near), (near + far if steep else far)
    t = up / (down if down > 0 else 1.0)
    t = t / (1 + math.sqrt(1 + t * t))  # of half the angle: less than tan(pi / 16)
    u = t * t
    sum_ = 1 / 17 - u * (1 / 19 - u * (1 / 21 - u * (1 / 23)))
    sum_ = 1 / 9 - u * (1 / 11 - u * (1 / 13 - u * (1 / 15 - u * sum_)))
    angle = 2 * (t * (1 - u * (1 / 3 - u * (1 / 5 - u * (1 / 7 - u * sum_)))))
    angle = angle + 0.5 * _QUARTER if steep else angle
    angle = _QUARTER - angle if across > along else angle
    angle = math.pi - angle if x < 0 else angle
    return math.copysign(angle, y)
