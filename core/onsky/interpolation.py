"""Linear interpolation for kernels that go along pixels in the order of a pixel table.

The wavelength changes little from one pixel to the next, so that the place in the table is near the last one.
"""

from __future__ import annotations

from numba import njit

__all__ = ["bracket", "interpolated"]


@njit(cache=True, nogil=True, inline="always")
def bracket(nodes, value, start):  # type: ignore[no-untyped-def]
    """The last node that is not beyond ``value``, looked for from ``start`` on; -1 below the first node.

    ``nodes`` are ascending; the last node is its own bracket only where ``value`` is beyond or upon it.
    """
    i = start
    last = nodes.size - 1
    while i >= 0 and nodes[i] > value:
        i -= 1
    while i < last and nodes[i + 1] <= value:
        i += 1
    return i


@njit(cache=True, nogil=True, inline="always")
def interpolated(nodes, values, i, at, below, beyond):  # type: ignore[no-untyped-def]
    """What `numpy.interp` gives, to the last bit, where ``i`` is the `bracket` of ``at``; NaN for NaN."""
    if i < 0:
        return below
    if i >= nodes.size - 1:
        return values[nodes.size - 1] if at == nodes[nodes.size - 1] else beyond
    return (values[i + 1] - values[i]) / (nodes[i + 1] - nodes[i]) * (at - nodes[i]) + values[i]
