"""Light that the air scatters of the guide-star lasers is taken out (MUSE manual, 6.6.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from core.fitsfile.header import Header
from core.formats.pixtable_read import PixelTable
from core.onsky.raman import BANDS, RamanFit
from core.onsky.skylines import LineLight, SkyLines
from core.recipes.logs import Logger
from core.recipes.muse.steps.sky import SlicePlace, slices_of
from core.recipes.muse.steps.table import Columns, CorrectedTable, RowStep
from core.spectral.lsf_cube import LsfImage

__all__ = ["band_lines", "subtract_raman"]


@dataclass(frozen=True, eq=False)
class _RamanStep(RowStep):
    fit: RamanFit
    light: Mapping[SlicePlace, LineLight]
    changes: ClassVar = ("data",)
    needs: ClassVar = ("xpos", "ypos", "lambda", "data", "origin")

    def apply(self, columns: Columns) -> Columns:
        data = columns["data"].copy()
        for place, rows in slices_of(columns["origin"]):
            light = self.light.get(place)
            if light is not None:
                shape = self.fit.at(columns["xpos"][rows], columns["ypos"][rows])
                data[rows] -= (shape * light.at(columns["lambda"][rows])).astype(np.float32)
        return {"data": data}

    def describe(self, header: Header) -> None:
        """What was subtracted stands in RAMAN_IMAGES."""


def band_lines(lines: SkyLines, group: int, factor: float = 1.0) -> SkyLines:
    """The lines of a band, times a factor."""
    chosen = lines.only(lines.group == group)
    return replace(chosen, flux=chosen.flux * factor)


def subtract_raman(
    table: PixelTable, fit: RamanFit, lines: SkyLines, profiles: Mapping[SlicePlace, LsfImage], log: Logger
) -> PixelTable:
    """A table without the light of the lasers; a slice without a line-spread function stays as it is.

    Parameters
    ----------
    table : PixelTable
        Positions in pixels.
    fit : RamanFit
    lines : SkyLines
        RAMAN_LINES.
    profiles : mapping of LsfImage
    log : logger
    """
    parts = [band_lines(lines, band.group, fit.flux[band.name]) for band in BANDS if band.name in fit.flux]
    shining = SkyLines(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("name", "group", "wave", "flux"))
    )
    log.info(
        "light of the lasers is subtracted: %s", ", ".join(f"{name} {flux:.4g}" for name, flux in fit.flux.items())
    )
    return CorrectedTable.of(
        table, _RamanStep(fit, {place: LineLight.of(shining, profile) for place, profile in profiles.items()})
    )
