"""From the pinholes of all IFUs to the geometry of the instrument: the steps in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import DataError
from core.spatial.geometry import Geometry, joined
from core.spatial.horizontal import CENTRAL_STACKS, RimSpots, align_ifus, place_horizontally
from core.spatial.mask import MaskScale
from core.spatial.peaks import pinhole_distance
from core.spatial.slices import IfuPeaks, SliceLines, average_lines, measure_lines
from core.spatial.vertical import finished, place_vertically

__all__ = ["GeometryOptions", "SolvedGeometry", "gap_positions", "solve_geometry"]


@dataclass(frozen=True)
class GeometryOptions:
    """How to solve.

    Attributes
    ----------
    rotation : float
        Of a mask on a diagonal [deg].
    distance : float or None
        Vertical distance of the pinholes as the encoder of the mask has it [mm]; None measures it.
    gaps_by_offsets : bool
        See `place_horizontally`.
    shifts : tuple of float
        See `align_ifus`.
    upright : bool
        See `finished`.
    """

    rotation: float = 0.0
    distance: float | None = None
    gaps_by_offsets: bool = False
    shifts: tuple[float, ...] = ()
    upright: bool = True


@dataclass(frozen=True, eq=False)
class SolvedGeometry:
    """The geometry, and what was seen on the way.

    Attributes
    ----------
    geometry : Geometry
    mask : MaskScale
    lines : mapping of int to SliceLines
        Single measurements by IFU.
    left_out : mapping of int to str
        IFUs without a geometry, and why.
    unaligned : tuple of (int, int)
        Neighbouring IFUs whose horizontal shift is not known.
    """

    geometry: Geometry
    mask: MaskScale
    lines: Mapping[int, SliceLines]
    left_out: Mapping[int, str]
    unaligned: tuple[tuple[int, int], ...]


def solve_geometry(
    peaks: Sequence[IfuPeaks], rims: Mapping[int, RimSpots], scale: float, options: GeometryOptions
) -> SolvedGeometry:
    """Solve the geometry.

    Parameters
    ----------
    peaks : sequence of IfuPeaks
        Of all IFUs.
    rims : mapping of int to RimSpots
        By IFU.
    scale : float
        Of the focal plane [arcsec/mm].
    options : GeometryOptions

    Raises
    ------
    DataError
        If no IFU shows enough pinholes.
    """
    distance = options.distance
    if distance is None:
        distance = pinhole_distance(np.concatenate([found.peaks.distances for found in peaks]))
    mask = MaskScale(scale, distance, options.rotation)
    lines = {found.ifu: measure_lines(found, mask) for found in peaks}
    placed: list[Geometry] = []
    left_out: dict[int, str] = {}
    for ifu, measured in sorted(lines.items()):
        try:
            means = average_lines(measured, mask)
        except DataError as error:
            left_out[ifu] = error.message
        else:
            placed.append(place_horizontally(means, mask, by_offsets=options.gaps_by_offsets))
    if not placed:
        raise DataError(next(iter(left_out.values())))
    aligned, unaligned = align_ifus(joined(placed), rims, options.shifts)
    geometry = finished(place_vertically(aligned, mask), mask, upright=options.upright)
    return SolvedGeometry(geometry, mask, lines, left_out, tuple(unaligned))


def gap_positions(geometry: Geometry) -> dict[int, float]:
    """Mean position of the central gap of each IFU [pix of 0.2 arcsec]; without IFUs that lack a central slice."""
    result = {}
    for ifu in geometry.ifus:
        own = geometry.where(geometry.ifu == ifu)
        left, right = (own.where((own.stack == stack) & np.isfinite(own.x)) for stack in CENTRAL_STACKS)
        if len(left) == len(right) and len(left):
            result[ifu] = float(np.mean(left.x + 0.5 * left.width + right.x - 0.5 * right.width) / 2.0)
    return result
