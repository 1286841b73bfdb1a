"""The geometry of all slices: where they lie in the field of view.

`Geometry` holds the rows of a GEOMETRY_TABLE; `core.spatial.solve` makes them of what was measured in each IFU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.instruments.muse.facts import N_SLICES, SLICE_CCD, SLICE_SKY

__all__ = ["ERROR_COLUMNS", "Geometry", "stack_of"]

ERROR_COLUMNS: Final = ("xerr", "yerr", "angleerr", "widtherr")
_COLUMNS: Final = {
    "ifu": "SubField",
    "slice_ccd": "SliceCCD",
    "slice_sky": "SliceSky",
    "x": "x",
    "x_error": "xerr",
    "y": "y",
    "y_error": "yerr",
    "angle": "angle",
    "angle_error": "angleerr",
    "width": "width",
    "width_error": "widtherr",
}


def stack_of(slice_sky: NDArray[np.int32]) -> NDArray[np.int32]:
    """Number of the stack of slices on the sky: 4 is the leftmost in the field of view, 1 the rightmost."""
    return (4 - (slice_sky - 1) // 12).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Geometry:
    """Slices in the field of view, arrays of shape (n,).

    Attributes
    ----------
    ifu, slice_ccd, slice_sky : ndarray of int32
    x, x_error, y, y_error : ndarray of float64
        Centre of the slice; x to the right, y up [pix of 0.2 arcsec]. NaN if not known.
    angle, angle_error : ndarray of float64
        [deg]
    width, width_error : ndarray of float64
        [pix of 0.2 arcsec]
    """

    ifu: NDArray[np.int32]
    slice_ccd: NDArray[np.int32]
    slice_sky: NDArray[np.int32]
    x: NDArray[np.float64]
    x_error: NDArray[np.float64]
    y: NDArray[np.float64]
    y_error: NDArray[np.float64]
    angle: NDArray[np.float64]
    angle_error: NDArray[np.float64]
    width: NDArray[np.float64]
    width_error: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ifu)

    @classmethod
    def from_columns(cls, columns: Mapping[str, NDArray[Any]]) -> Geometry:
        """Geometry from the columns of a GEOMETRY_TABLE; errors that are not there are 0."""
        none = np.zeros(len(columns["SubField"]))
        return cls(**{field: np.asarray(columns.get(name, none)) for field, name in _COLUMNS.items()})

    def columns(self) -> dict[str, NDArray[Any]]:
        """Columns of a GEOMETRY_TABLE."""
        return {name: getattr(self, field) for field, name in _COLUMNS.items()}

    @property
    def ifus(self) -> list[int]:
        """IFUs that are there, ascending."""
        return np.unique(self.ifu).tolist()

    @property
    def stack(self) -> NDArray[np.int32]:
        """Stack of each slice, 4 (left) to 1 (right)."""
        return stack_of(self.slice_sky)

    @property
    def row(self) -> NDArray[np.int32]:
        """Place of each slice in its stack, 1 (bottom) to 12."""
        return ((self.slice_sky - 1) % 12 + 1).astype(np.int32)

    @property
    def n_unknown(self) -> int:
        """Cells of x, y, width and angle without a value."""
        return sum(int(np.count_nonzero(~np.isfinite(cells))) for cells in (self.x, self.y, self.width, self.angle))

    def where(self, wanted: NDArray[Any]) -> Geometry:
        """Some of the rows, by mask or index."""
        return Geometry(*(getattr(self, field.name)[wanted] for field in fields(self)))

    def complete(self) -> Geometry:
        """All 48 slices of each IFU that is there, by IFU and slice on the sky; those not known have no position."""
        lacking = [
            (ifu, ccd)
            for ifu in self.ifus
            for ccd in range(1, N_SLICES + 1)
            if ccd not in set(self.slice_ccd[self.ifu == ifu].tolist())
        ]
        ifu, ccd = np.array(lacking, np.int32).reshape(-1, 2).T
        sky = np.array(SLICE_SKY, np.int32)[ccd - 1]
        nan, none = np.full(len(lacking), np.nan), np.zeros(len(lacking))
        added = Geometry(ifu, ccd, sky, nan, none, nan, none, none, none, none, none)
        every = Geometry(
            *(np.concatenate([getattr(part, field.name) for part in (self, added)]) for field in fields(self))
        )
        return every.where(np.lexsort((every.slice_sky, every.ifu)))

    def upright(self) -> Geometry:
        """The same with y, which grew downwards, upwards."""
        return replace(self, y=-self.y, angle=-self.angle)


def ccd_of_sky(slice_sky: int) -> int:
    """Slice on the detector of a slice on the sky."""
    return SLICE_CCD[slice_sky - 1]


def joined(parts: Sequence[Geometry]) -> Geometry:
    """Rows of several geometries, one after the other."""
    return Geometry(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Geometry)))
