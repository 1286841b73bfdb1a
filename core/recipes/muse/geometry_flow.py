"""The way of one IFU through muse_geometry: exposures of the mask become spots, and spots peaks along the sequence.

The exposures are reduced twice, once for their average, on which the spots are found, and once each by itself to
measure them; so memory does not depend on their number.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.combine import CombineOptions
from core.ccd.trace_model import Trace
from core.errors import DataError
from core.fitsfile.header import Header
from core.formats.image import open_image
from core.formats.tables import SPOTS_TABLE, MuseTable, read_table
from core.recipes.declaration import Recipe
from core.recipes.flow import ImageProduct, RecipeContext, TableProduct
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.arc_lamps import load_dispersion, load_line_list, load_trace
from core.recipes.muse.basic import RawStack, combine_again, combine_frames, prepare
from core.recipes.muse.calibrations import overscan_of_bias
from core.recipes.muse.consistency import level_of
from core.recipes.muse.mask_exposures import MaskExposure, common_scale, series_of_table, table_of_series
from core.recipes.muse.rows import MaskedImage, WholeImage
from core.recipes.names import product_name
from core.recipes.qcwriter import QcWriter
from core.spatial.arclines import pinhole_lines
from core.spatial.horizontal import RimSpots
from core.spatial.peaks import find_peaks
from core.spatial.slices import IfuPeaks
from core.spatial.spots import SpotPlaces, SpotSeries, find_spots, measure_spots
from core.spectral.dispersion import Dispersion

if TYPE_CHECKING:
    from core.recipes.muse.muse_geometry import GeometryParameters

__all__ = ["IfuSpots", "MaskFlow"]

_SKIP: Final = "MUSE_GEOMETRY_SKIP"
_REUSE_REDUCED, _REUSE_SPOTS = 1, 2
_AVERAGE: Final = CombineOptions("average")
_BRIGHT: Final = 2000.0  # flux of spots whose width is told [count]


@dataclass(frozen=True)
class IfuSpots:
    """What the geometry of all needs of one IFU.

    Attributes
    ----------
    peaks : IfuPeaks
    rims : RimSpots
    scale : float
        Of the focal plane [arcsec/mm].
    """

    peaks: IfuPeaks
    rims: RimSpots
    scale: float


@dataclass
class MaskFlow:
    """One IFU on its way from exposures of the mask to peaks."""

    recipe: Recipe
    ifu: int
    stack: RawStack
    lines: NDArray[np.float64]
    trace: Trace
    dispersion: Dispersion
    params: GeometryParameters
    ctx: RecipeContext
    calibs: tuple[Frame, ...]
    numbers: tuple[int, ...]  # of the exposures in the sequence: the same in all IFUs, if one lacks a frame, too
    reuse: int = field(default_factory=lambda: level_of(_SKIP))

    @classmethod
    def begin(
        cls, recipe: Recipe, ifu: int, frames: FrameSet, params: GeometryParameters, ctx: RecipeContext
    ) -> MaskFlow:
        """Open frames and calibrations of an IFU."""
        catalogue, catalogue_frame = load_line_list(frames, check_version=False)
        trace, trace_frame = load_trace(frames, ifu, ctx.log)
        dispersion, dispersion_frame = load_dispersion(frames, ifu, ctx.log)
        stack = prepare(ifu, frames, ("MASK",), overscan_of_bias(ifu, frames, ctx.log), ctx)
        calibs = (*stack.calibs, trace_frame, dispersion_frame, catalogue_frame)
        sequence = frames.tagged("MASK")
        numbers = tuple(sequence.index(frame) + 1 for frame in stack.raws)
        return cls(recipe, ifu, stack, pinhole_lines(catalogue), trace, dispersion, params, ctx, calibs, numbers)

    @cached_property
    def exposures(self) -> list[MaskExposure]:
        """Positions of the mask in the frames."""
        return [
            MaskExposure.of_header(item.header, item.frame.path.name, number)
            for number, item in zip(self.numbers, self.stack.frames, strict=True)
        ]

    def run(self) -> IfuSpots:
        """Reduce the exposures, save them, their average and the spots, and find the peaks."""
        scale = common_scale([exposure.scale for exposure in self.exposures])
        series = self._series()
        peaks = find_peaks(series, np.array([exposure.height for exposure in self.exposures]))
        self.ctx.log.info(
            "%d slices and lines show three pinholes, %d of them have their peaks in the sequence; %d pairs of peaks",
            len(series.places) // 3,
            peaks.slice_no.size,
            peaks.distances.size,
        )
        numbers = np.array([exposure.number for exposure in self.exposures], np.int32)
        rims = RimSpots.of_series(series, numbers, self.trace)
        return IfuSpots(IfuPeaks.on_detector(self.ifu, peaks, self.trace), rims, scale)

    def _series(self) -> SpotSeries:
        """Measurements in all exposures, saved; or those of an earlier run."""
        if earlier := self._earlier(SPOTS_TABLE.name, _REUSE_SPOTS):
            series, exposures = series_of_table(read_table(earlier, SPOTS_TABLE))
            if exposures != self.exposures:
                raise DataError("the spots of an earlier run are not those of these exposures", file=earlier)
            return series
        series, header = self._measure()
        center, width = _slice_at(self.trace, series)
        table = MuseTable(table_of_series(series, self.exposures, self.ifu, center, width), header)
        self._write_widths(QcWriter(self.recipe, SPOTS_TABLE.name, header), series)
        self.ctx.save(TableProduct(SPOTS_TABLE.name, SPOTS_TABLE, table, self.stack.raws, self.calibs))
        return series

    def _earlier(self, tag: str, level: int, number: int | None = None) -> Path | None:
        """A product of an earlier run in the same directory, if it shall be used again."""
        if self.reuse < level:
            return None
        path = self.ctx.output_dir / product_name(tag, number=number, unit=self.ifu)
        if not path.exists():
            return None
        self.ctx.log.warning("%s of an earlier run is used", path.name)
        return path

    def _measure(self) -> tuple[SpotSeries, Header]:
        """Measurements in all exposures, and the header of the first one."""
        average = combine_frames(self.stack, _AVERAGE, self.ctx)
        header = average.image.header.copy()
        places = find_spots(average.image.data, self.trace, self.dispersion, self.lines, self.params.sigma)
        self.ctx.save(ImageProduct("MASK_COMBINED", average.image, average.raws, average.calibs))
        del average
        measured = []
        for index in range(len(self.stack.frames)):
            measured.append(self._measure_one(index, places))
            self.ctx.progress(0.9 + 0.1 * (index + 1) / len(self.stack.frames), "measuring the spots")
        return SpotSeries.of_exposures(places, measured), header

    def _measure_one(self, index: int, places: SpotPlaces) -> NDArray[np.float64]:
        data, bad = self._exposure(index)
        return measure_spots(data, bad, places, gaussian=self.params.centroid == "gaussian", spread=self.ctx.spread)

    def _exposure(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """A reduced exposure and its flagged pixels; saved, if so wanted."""
        if earlier := self._earlier("MASK_REDUCED", _REUSE_REDUCED, self.numbers[index]):
            image = open_image(earlier, self.ifu)
            return image.read_part("DATA"), image.read_part("DQ") != 0
        if not self.params.savereduced:
            combine_again(self.stack, _AVERAGE, self.ctx, select=(index,), out=self._masked_room)
            return self._masked_room.data, self._masked_room.bad
        silent = replace(self.ctx, progress=lambda fraction, text: None)
        reduced = combine_frames(self.stack, _AVERAGE, silent, select=(index,), room=self._whole_room)
        product = ImageProduct("MASK_REDUCED", reduced.image, reduced.raws, reduced.calibs, self.numbers[index])
        self.ctx.save(product)
        return reduced.image.data, reduced.image.dq != 0

    @cached_property
    def _masked_room(self) -> MaskedImage:
        """Memory of one image, for one exposure after the other."""
        return MaskedImage.empty(self.stack.detector.trimmed_shape)

    @cached_property
    def _whole_room(self) -> WholeImage:
        """The same, for those that are saved."""
        return WholeImage.empty(self.stack.detector.trimmed_shape)

    def _write_widths(self, qc: QcWriter, series: SpotSeries) -> None:
        """Widths of the bright spots in each exposure."""
        width = 0.5 * (series.x_fwhm + series.y_fwhm)
        bright = (series.x_fwhm > 0) & (series.y_fwhm > 0) & (series.flux > _BRIGHT)
        means = []
        for exposure, values, wanted in zip(self.numbers, width, bright, strict=True):
            own = values[wanted]
            if own.size < 2:
                continue
            means.append(own.mean())
            qc.write("QC.GEO.EXP{exposure}.FWHM.MEAN", own.mean(), exposure=exposure)
            qc.write("QC.GEO.EXP{exposure}.FWHM.MEDIAN", np.median(own), exposure=exposure)
            qc.write("QC.GEO.EXP{exposure}.FWHM.STDEV", own.std(ddof=1), exposure=exposure)
        if len(means) > 1:
            qc.write("QC.GEO.FWHM.MEAN", np.mean(means))
            qc.write("QC.GEO.FWHM.STDEV", np.std(means, ddof=1))


def _slice_at(trace: Trace, series: SpotSeries) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and width of the slice of each spot at its row, shape (exposures, spots) [pix]."""
    center, width = np.empty_like(series.y), np.empty_like(series.y)
    for number in np.unique(series.places.slice_no).tolist():
        own = series.places.slice_no == number
        rows = series.y[:, own]
        center[:, own] = trace.center(number, rows)
        width[:, own] = trace.right(number, rows) - trace.left(number, rows)
    return center, width
