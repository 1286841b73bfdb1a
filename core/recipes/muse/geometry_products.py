"""The end of muse_geometry: the spots of all IFUs become the geometry, its tables and their QC."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import ParameterError
from core.fitsfile.header import Header
from core.formats.tables import GEOMETRY_TABLE, MuseTable
from core.recipes.declaration import Recipe
from core.recipes.flow import RecipeContext, TableProduct
from core.recipes.frames import Frame
from core.recipes.muse.consistency import switched_on
from core.recipes.muse.geometry_flow import IfuSpots
from core.recipes.muse.mask_exposures import common_scale
from core.recipes.qcwriter import QcWriter
from core.spatial.geometry import Geometry
from core.spatial.smoothing import smooth_geometry
from core.spatial.solve import GeometryOptions, SolvedGeometry, gap_positions, solve_geometry

__all__ = ["geometry_options", "geometry_tables", "solve", "write_smoothing", "write_summary"]

_ROTATION: Final = "MUSE_GEOMETRY_MASK_ROTATION"
_DISTANCE: Final = "MUSE_GEOMETRY_PINHOLE_DY"
_BY_OFFSETS: Final = "MUSE_GEOMETRY_STD_GAP"
_SHIFTS: Final = "MUSE_GEOMETRY_HORI_OFFSETS"
_NO_INVERSION: Final = "MUSE_GEOMETRY_NO_INVERSION"
_SMOOTHED: Final = {"x": "NX", "y": "NY", "angle": "NANGLE", "width": "NWIDTH"}


def geometry_options() -> GeometryOptions:
    """Options that the environment sets.

    Raises
    ------
    ParameterError
        If one of them is no number.
    """
    shifts = os.environ.get(_SHIFTS, "")
    distance = _number(_DISTANCE, os.environ[_DISTANCE]) if _DISTANCE in os.environ else None
    if distance is not None and not distance > 0:
        raise ParameterError(f"{_DISTANCE} is {distance:g} mm, which is no distance", parameter=_DISTANCE)
    return GeometryOptions(
        rotation=_number(_ROTATION, os.environ.get(_ROTATION, "0")),
        distance=distance,
        gaps_by_offsets=switched_on(_BY_OFFSETS),
        shifts=tuple(_number(_SHIFTS, text) for text in shifts.split(",") if text.strip()),
        upright=not switched_on(_NO_INVERSION),
    )


def _number(variable: str, text: str) -> float:
    with contextlib.suppress(ValueError):
        if math.isfinite(number := float(text)):
            return number
    raise ParameterError(f"{variable} is {text!r}, which is no number", parameter=variable)


def solve(measured: Mapping[int, IfuSpots], ctx: RecipeContext) -> SolvedGeometry:
    """The geometry of all IFUs; tells what is missing.

    Raises
    ------
    DataError
        If no IFU shows enough pinholes, or their exposures are not of one sequence.
    """
    scale = common_scale([spots.scale for spots in measured.values()])
    solved = solve_geometry(
        [spots.peaks for spots in measured.values()],
        {ifu: spots.rims for ifu, spots in measured.items()},
        scale,
        geometry_options(),
    )
    ctx.log.info(
        "vertical distance of the pinholes %.5f mm, scale of the focal plane %.4f arcsec/mm",
        solved.mask.distance,
        scale,
    )
    for ifu, why in solved.left_out.items():
        ctx.log.error("IFU %d has no geometry: %s", ifu, why)
    for below, above in solved.unaligned:
        ctx.log.warning("IFU %d is not aligned horizontally with IFU %d: no pinhole is seen by both", above, below)
    if unknown := solved.geometry.n_unknown:
        ctx.log.warning("%d values of the geometry are not known", unknown)
    return solved


def geometry_tables(
    recipe: Recipe,
    solved: SolvedGeometry,
    measured: Mapping[int, IfuSpots],
    lines: NDArray[np.float64],
    smooth: float,
    header: Header,
    frames: tuple[Sequence[Frame], Sequence[Frame]],
) -> tuple[Geometry, list[TableProduct]]:
    """The final geometry, with its tables.

    Parameters
    ----------
    recipe : Recipe
    solved : SolvedGeometry
    measured : mapping of int to IfuSpots
        By IFU.
    lines : ndarray of float64
        Arc lines that were looked for [Angstrom].
    smooth : float
        Limit of the smoothing; not above 0: none.
    header : Header
        Of the first frame.
    frames : (sequence of Frame, sequence of Frame)
        Raw frames and calibrations.

    Returns
    -------
    geometry : Geometry
    products : list of TableProduct
        GEOMETRY_UNSMOOTHED, if it is smoothed, and GEOMETRY_TABLE.
    """

    def product(tag: str, geometry: Geometry, changed: Mapping[str, int] | None) -> TableProduct:
        own = header.copy()
        qc = QcWriter(recipe, tag, own)
        _write_ifus(qc, solved, measured, lines)
        write_summary(qc, geometry)
        write_smoothing(qc, changed)
        return TableProduct(tag, GEOMETRY_TABLE, MuseTable(geometry.columns(), own), *frames)

    if smooth <= 0:
        return solved.geometry, [product("GEOMETRY_TABLE", solved.geometry, None)]
    smoothed = smooth_geometry(solved.geometry, smooth)
    return smoothed.geometry, [
        product("GEOMETRY_UNSMOOTHED", solved.geometry, None),
        product("GEOMETRY_TABLE", smoothed.geometry, smoothed.changed),
    ]


def _write_ifus(
    qc: QcWriter, solved: SolvedGeometry, measured: Mapping[int, IfuSpots], lines: NDArray[np.float64]
) -> None:
    """What each IFU has measured."""
    for ifu, of_ifu in solved.lines.items():
        if of_ifu.angle.size:
            angle = np.degrees(np.arctan(solved.mask.encoder * np.tan(np.radians(np.median(of_ifu.angle)))))
            qc.write("QC.GEO.IFU{unit}.ANGLE", -angle, unit=ifu)
        peaks = measured[ifu].peaks.peaks
        for number, line in enumerate(lines, start=1):
            qc.write("QC.GEO.IFU{unit}.WLEN{line}", line, unit=ifu, line=number)
            flux = peaks.flux[peaks.wave == line]
            if flux.size:
                prefix = "QC.GEO.IFU{unit}.WLEN{line}.FLUX"
                qc.write(f"{prefix}.MEAN", flux.mean(), unit=ifu, line=number)
                qc.write(f"{prefix}.MEDIAN", np.median(flux), unit=ifu, line=number)
                qc.write(f"{prefix}.STDEV", flux.std(ddof=1), unit=ifu, line=number)


def write_summary(qc: QcWriter, geometry: Geometry) -> None:
    """Angle of the mask and positions of the central gaps."""
    gaps = gap_positions(geometry)
    for ifu, gap in gaps.items():
        qc.write("QC.GEO.IFU{unit}.GAPPOS.MEAN", gap, unit=ifu)
    known = np.isfinite(geometry.y)
    if known.any():
        qc.write("QC.GEO.MASK.ANGLE", np.median(geometry.angle[known]))
    if gaps:
        qc.write("QC.GEO.GAPPOS.MEAN", np.mean(list(gaps.values())))
    if len(gaps) > 1:
        qc.write("QC.GEO.GAPPOS.STDEV", np.std(list(gaps.values()), ddof=1))
    qc.write("QC.GEO.TABLE.NBAD", geometry.n_unknown)


def write_smoothing(qc: QcWriter, changed: Mapping[str, int] | None) -> None:
    """How many slices the smoothing has changed; -1 without smoothing."""
    for quantity, name in _SMOOTHED.items():
        qc.write(f"QC.GEO.SMOOTH.{name}", -1 if changed is None else changed[quantity])
