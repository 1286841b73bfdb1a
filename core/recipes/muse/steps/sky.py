"""The spectrum of the sky is subtracted: a continuum, and emission lines as each slice sees them (manual, 6.5.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable
from core.formats.pixtable_select import within
from core.onsky.fluxcal import Curve
from core.onsky.skylines import LineLight, SkyLines
from core.recipes.logs import Logger
from core.recipes.muse.steps.selection import select_rows
from core.recipes.muse.steps.table import Columns, CorrectedTable, RowStep
from core.spectral.lsf_cube import LsfImage

__all__ = [
    "SKYSUB",
    "SlicePlace",
    "count_slices",
    "mark_subtracted",
    "slices_of",
    "subtract_continuum",
    "subtract_lines",
]

SKYSUB: Final = f"{PREFIX}.SKYSUB"
SlicePlace = tuple[int, int]  # IFU, slice on the CCD


@dataclass(frozen=True, eq=False)
class _ContinuumStep(RowStep):
    spectrum: Curve
    changes: ClassVar = ("data",)
    needs: ClassVar = ("lambda", "data")

    def apply(self, columns: Columns) -> Columns:
        return {"data": self.spectrum.taken_from(columns["lambda"], columns["data"], outside=np.nan)}

    def describe(self, header: Header) -> None:
        """What was subtracted stands in the products of the sky."""


@dataclass(frozen=True, eq=False)
class _LinesStep(RowStep):
    light: Mapping[SlicePlace, LineLight]
    changes: ClassVar = ("data",)
    needs: ClassVar = ("lambda", "data", "origin")

    def apply(self, columns: Columns) -> Columns:
        data = columns["data"].copy()
        for place, rows in slices_of(columns["origin"]):
            light = self.light.get(place)
            if light is not None:
                data[rows] -= light.at(columns["lambda"][rows]).astype(np.float32)
        return {"data": data}

    def describe(self, header: Header) -> None:
        """What was subtracted stands in the products of the sky."""


@dataclass(frozen=True)
class _SubtractedStep(RowStep):
    changes: ClassVar = ()
    needs: ClassVar = ()

    def apply(self, columns: Columns) -> Columns:
        return {}

    def describe(self, header: Header) -> None:
        set_key(header, SKYSUB, True, "pixel table is sky-subtracted")


def subtract_continuum(table: PixelTable, spectrum: Curve, log: Logger) -> PixelTable:
    """A table without a spectrum, cut to the wavelengths of the spectrum.

    Raises
    ------
    DataError
        If the table has no row at these wavelengths.
    """
    low, high = float(spectrum.wave[0]), float(spectrum.wave[-1])
    log.info("a spectrum of the sky is subtracted from %.2f to %.2f Angstrom", low, high)
    kept = select_rows(table, within("lambda", low, high))
    # float32 wavelengths may round to just beyond the ends.
    ends = Curve.of(
        np.concatenate([[low - 0.01], spectrum.wave, [high + 0.01]]),
        np.concatenate([spectrum.values[:1], spectrum.values, spectrum.values[-1:]]),
    )
    return CorrectedTable.of(kept if kept.n_rows < table.n_rows else table, _ContinuumStep(ends))


def subtract_lines(
    table: PixelTable, lines: SkyLines, profiles: Mapping[SlicePlace, LsfImage], log: Logger
) -> PixelTable:
    """A table without emission lines; a slice without a line-spread function stays as it is, with a warning."""
    found = set(count_slices(table))
    missing = sorted(found - profiles.keys())
    if missing:
        words = ", ".join(f"{ifu}.{slice_no:02d}" for ifu, slice_no in missing[:5])
        log.warning("lines stay in %d slices without a line-spread function: %s ...", len(missing), words)
    log.info("%d emission lines are subtracted in %d slices", len(lines), len(found) - len(missing))
    light = {place: LineLight.of(lines, profiles[place]) for place in sorted(found & profiles.keys())}
    return CorrectedTable.of(table, _LinesStep(light))


def mark_subtracted(table: PixelTable) -> PixelTable:
    """A table that says that the sky was subtracted."""
    return CorrectedTable.of(table, _SubtractedStep())


def slices_of(origin: npt.NDArray[np.int32]) -> list[tuple[SlicePlace, slice]]:
    """Runs of rows of one slice."""
    if not origin.size:
        return []
    place = origin & 0x7FF
    starts = np.concatenate([[0], np.flatnonzero(np.diff(place)) + 1, [origin.size]])
    return [
        (_place(int(place[start])), slice(start, stop))
        for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    ]


def count_slices(table: PixelTable) -> dict[SlicePlace, int]:
    """How many rows each slice has."""
    index = table.index
    places, inverse = np.unique(index.place, return_inverse=True)
    counts = np.zeros(places.size, np.int64)
    np.add.at(counts, inverse, np.diff(index.bounds))
    return {_place(place): n for place, n in zip(places.tolist(), counts.tolist(), strict=True)}


def _place(bits: int) -> SlicePlace:
    return bits >> 6 & 31, bits & 63
