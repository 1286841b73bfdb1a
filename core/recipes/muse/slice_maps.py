"""From the tables of an IFU to the maps of its slices: where in the field of view each pixel is, and of what colour."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.ccd.trace_model import TraceLine
from core.errors import BadFitsError, DataError, MissingInputError, MuseError, error_context
from core.formats.pixtable_slices import SliceRows
from core.formats.tables import GEOMETRY_TABLE, MuseTable, read_table
from core.instruments.muse.facts import N_SLICES, N_SLICES_PER_STACK, SLICE_WIDTH_NOMINAL
from core.recipes.frames import Frame, FrameSet
from core.recipes.logs import Logger
from core.recipes.muse.arc_lamps import load_dispersion, load_trace
from core.spatial.positions import FieldPlace, SliceMap, take_together
from core.spectral.dispersion import Dispersion
from core.variables import EXPERT_VARIABLE

__all__ = ["SliceMaps", "field_places", "load_slice_maps", "with_pixels"]

_LIKELY_ROW: Final = 2056.0
_FARTHEST: Final = 1000.0  # from the middle of the field, which has 300 pix [pix]


@dataclass(frozen=True)
class SliceMaps:
    """The slices of an IFU.

    Attributes
    ----------
    maps : tuple of SliceMap
        Ascending by their number on the detector.
    kind : {'GEOFULL', 'SIMPLE'}
        With or without places in the field of view: ``DRS.MUSE.PIXTABLE.TYPE``.
    frames : tuple of Frame
        The tables they come from.
    """

    maps: tuple[SliceMap, ...]
    kind: Literal["GEOFULL", "SIMPLE"]
    frames: tuple[Frame, ...]

    def side_by_side(self) -> SliceMaps:
        """The same slices without their places in the field of view."""
        maps = tuple(
            SliceMap(m.slice_no, m.left, m.right, m.wave, FieldPlace.beside_others(m.slice_no), m.shape)
            for m in self.maps
        )
        return SliceMaps(maps, "SIMPLE", self.frames)


def load_slice_maps(ifu: int, frames: FrameSet, shape: tuple[int, int], log: Logger) -> SliceMaps:
    """Maps of the slices of an IFU from TRACE_TABLE, WAVECAL_TABLE and, if there is one, GEOMETRY_TABLE.

    Parameters
    ----------
    ifu : int
    frames : FrameSet
    shape : tuple of int
        (ny, nx) of the trimmed image.
    log : logger

    Raises
    ------
    MissingInputError
        If a table is missing, or has not this IFU.
    DataError
        If a slice has no trace, wavelengths or place; with MUSE_EXPERT_USER it is left out instead.
    """
    trace, trace_frame = load_trace(frames, ifu, log)
    dispersion, dispersion_frame = load_dispersion(frames, ifu, log)
    used = [trace_frame, dispersion_frame]
    places: dict[int, FieldPlace] | None = None
    geometry: Frame | None = None
    if frames.tagged("GEOMETRY_TABLE"):
        geometry = frames.one("GEOMETRY_TABLE")
        places = field_places(read_table(geometry.path, GEOMETRY_TABLE), ifu, geometry)
        used.append(geometry)
    maps = []
    for number in range(1, N_SLICES + 1):
        try:
            with error_context(file=trace_frame.path):
                left, right = (trace.polynomial(number, line) for line in (TraceLine.LEFT, TraceLine.RIGHT))
            with error_context(file=dispersion_frame.path):
                wave = _wavelengths(number, dispersion, ifu)
            with error_context(file=geometry.path if geometry else None):
                place = _place(number, places, ifu)
            found = SliceMap(number, left, right, wave, place, shape)
        except MuseError as error:
            if not _expert():
                raise
            log.warning("slice %d is left out: %s", number, error)
            continue
        if not found.n_rows:
            log.warning("slice %d is left out: it has no pixel on the detector", number)
            continue
        if found.is_cut:
            log.warning("slice %d ends at row %d of the detector", number, len(found.edges[0]))
        maps.append(found)
    if not maps:
        raise DataError("no slice has a pixel with a trace and a wavelength", ifu=ifu)
    return SliceMaps(tuple(maps), "SIMPLE" if places is None else "GEOFULL", tuple(used))


def _wavelengths(number: int, dispersion: Dispersion, ifu: int) -> NDArray[np.float64]:
    """Coefficients of the wavelengths of a slice."""
    middle = float(dispersion.wavelength(number, _LIKELY_ROW, _LIKELY_ROW))
    if middle == 0 or not np.isfinite(middle):
        raise DataError(f"the wavelength solution of slice {number} is empty", ifu=ifu, slice=number)
    return np.ascontiguousarray(dispersion.polynomial(number))


def _place(number: int, places: dict[int, FieldPlace] | None, ifu: int) -> FieldPlace:
    """Place of a slice in the field of view, or beside the others without a geometry table."""
    if places is None:
        return FieldPlace.beside_others(number)
    if number not in places:
        raise DataError(f"the geometry table has no place of slice {number}", ifu=ifu, slice=number)
    return places[number]


def field_places(table: MuseTable, ifu: int, frame: Frame) -> dict[int, FieldPlace]:
    """Places of the slices of an IFU, by their number on the detector; without those that are not known.

    Raises
    ------
    MissingInputError
        If the table has not this IFU.
    DataError
        If it has not 48 slices of it, or one lies outside the field of view.
    BadFitsError
        If it has neither angle nor width; with MUSE_EXPERT_USER 0 and 75 are taken.
    """
    own = np.flatnonzero(table["SubField"] == ifu)
    if own.size == 0:
        raise MissingInputError(f"the geometry table has no IFU {ifu}", file=frame.path, ifu=ifu)
    numbers = table["SliceCCD"][own]
    if sorted(numbers.tolist()) != list(range(1, N_SLICES + 1)):
        raise DataError(f"the geometry table has not {N_SLICES} slices of IFU {ifu}", file=frame.path, ifu=ifu)
    columns: list[NDArray[np.float64]] = [table["x"][own], table["y"][own]]
    for name, value in (("angle", 0.0), ("width", SLICE_WIDTH_NOMINAL)):
        if name in table:
            columns.append(table[name][own])
        elif _expert():
            columns.append(np.full(own.size, value))
        else:
            raise BadFitsError(f"GEOMETRY_TABLE lacks the column {name}", file=frame.path, keyword=name)
    cells = np.stack(columns, axis=1).astype(np.float64)
    far = np.flatnonzero((np.abs(cells[:, [0, 1, 3]]) > _FARTHEST).any(axis=1))
    if far.size:
        raise DataError(
            f"the geometry table puts slice {numbers[far[0]]} outside the field of view, at "
            f"{cells[far[0], 0]:g}, {cells[far[0], 1]:g} pix",
            file=frame.path,
            ifu=ifu,
        )
    return {
        int(number): FieldPlace(*row)
        for number, row in zip(numbers, cells.tolist(), strict=True)
        if np.isfinite(row).all() and row[3] > 0
    }


def with_pixels(
    slices: Sequence[SliceRows], planes: Sequence[NDArray[Any]]
) -> Iterator[tuple[int, SliceRows, tuple[NDArray[Any], ...]]]:
    """Each slice with its number (from 0) and its pixels of some images."""
    for start in range(0, len(slices), N_SLICES_PER_STACK):
        group = slices[start : start + N_SLICES_PER_STACK]  # they lie side by side on the detector
        taken = [take_together([rows.map for rows in group], (plane,), plane.dtype) for plane in planes]
        for place, rows in enumerate(group):
            yield start + place, rows, tuple(rows.of_rows(pixels[place]) for pixels in taken)


def _expert() -> bool:
    return bool(os.environ.get(EXPERT_VARIABLE))
