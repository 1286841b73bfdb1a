"""A pixel table becomes a picture of all its spectra: slices side by side, wavelengths upwards (OBJECT_RESAMPLED)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.cubes.projection import cd_scales
from core.errors import DataError
from core.fitsfile.header import Header
from core.fitsfile.structure import big_endian_chunks, image_cards
from core.fitsfile.writer import FitsWriter
from core.formats.image import image_extension_header
from core.formats.pixtable_read import PixelTable
from core.instruments.muse.facts import N_IFU, N_SLICES, SAMPLING
from core.recipes.flow import FileProduct, RecipeContext
from core.recipes.frames import Frame
from core.recipes.muse.cubes import cube_header
from core.recipes.muse.pixel_source import spatial_cd
from core.recipes.names import product_name
from core.spatial.picture import RowsOfSlice, SliceColumns, StackedLines

__all__ = ["stacked_product"]

_TAG: Final = "OBJECT_RESAMPLED"
_LINES: Final = 32  # made at a time: 60 MB for all slices of all IFUs
_SPREAD: Final = 1.2  # columns of a slice on the sky are wider than a pixel
_NAMES: Final = ("xpos", "lambda", "data", "dq", "origin")
_PLACES: Final = (N_IFU + 1) * (N_SLICES + 1)


def stacked_product(
    table: PixelTable, step: float, ctx: RecipeContext, raws: Sequence[Frame], calibs: Sequence[Frame]
) -> FileProduct:
    """The picture of a table, which is made when it is saved.

    Parameters
    ----------
    table : PixelTable
        In pixels or on the sky.
    step : float
        [Angstrom]; 0: the natural one.
    ctx : RecipeContext
    raws, calibs : sequence of Frame
    """
    path = ctx.output_dir / product_name(_TAG)
    file = _StackedFile(path, table, step or SAMPLING)
    return FileProduct(_TAG, file, cube_header(table.header), raws, calibs)


@dataclass(frozen=True)
class _StackedFile:
    """A picture that is made slab by slab, when its header is known (a `core.recipes.flow.FilledFile`)."""

    path: Path
    table: PixelTable
    step: float

    def finish(self, header: Header) -> Path:
        columns, (low, high) = self._measured()
        n_lines = math.ceil((high - low) / self.step) + 1
        width = int(columns.start[-1])
        own = image_cards(np.float32, (n_lines, width))
        for axis, (kind, unit, value, step) in enumerate(
            (("PIXEL", "pixel", 1.0, 1.0), ("AWAV", "Angstrom", low, self.step)), start=1
        ):
            own[f"CTYPE{axis}"], own[f"CUNIT{axis}"] = kind, unit
            own[f"CRPIX{axis}"], own[f"CRVAL{axis}"], own[f"CD{axis}_{axis}"] = 1.0, value, step
        own["CD1_2"], own["CD2_1"] = 0.0, 0.0
        own.extend(image_extension_header("DATA", self.table.units.get("data", ""), parts=("DATA",)).cards)
        with FitsWriter(self.path, datamd5=True) as writer:
            writer.primary(header)
            writer.raw_hdu(own, lambda: self._lines(columns, low, n_lines), 4 * n_lines * width)
        return self.path

    def discard(self) -> None:
        """Nothing is reserved."""

    def _measured(self) -> tuple[SliceColumns, tuple[float, float]]:
        """Columns of the slices, and lowest and highest wavelength, by a pass over all rows."""
        low, high = np.full(_PLACES, np.inf), np.full(_PLACES, -np.inf)
        waves = []
        for first, last in pairwise(self.table.bounds.tolist()):
            if first == last:
                continue
            rows = self.table.read(first, last, ("xpos", "lambda", "origin"))
            place = _place(rows["origin"])
            np.minimum.at(low, place, rows["xpos"])
            np.maximum.at(high, place, rows["xpos"])
            waves += [rows["lambda"].min(), rows["lambda"].max()]
        if not waves:
            raise DataError("the pixel table has no rows", file=self.table.path)
        nothing = ~np.isfinite(low)
        low[nothing] = high[nothing] = np.nan
        return SliceColumns.of(low, high, self._across), (float(min(waves)), float(max(waves)))

    @property
    def _across(self) -> float:
        if self.table.units.get("xpos") == "pix":
            return 1.0
        return _SPREAD * abs(cd_scales(spatial_cd(self.table.header))[0])

    def _lines(self, columns: SliceColumns, low: float, n_lines: int) -> Iterator[npt.NDArray[np.uint8]]:
        for line in range(0, n_lines, _LINES):
            lines = StackedLines(columns, low, self.step, range(line, min(line + _LINES, n_lines)))
            for piece in self.table.rows(*lines.reach, _NAMES):
                cells: dict[str, npt.NDArray[Any]] = piece.columns
                rows = RowsOfSlice(cells["xpos"], cells["lambda"], cells["data"], cells["dq"])
                lines.add(rows, _place(cells["origin"]))
            yield from big_endian_chunks(lines.picture())


def _place(origin: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Where the slices of rows stand in the picture: by IFU, then by their number on the CCD."""
    ifu, slice_no = (origin >> 6) & 31, origin & 63
    return (ifu * (N_SLICES + 1) + slice_no).astype(np.int64)
