"""The way of one IFU through muse_wavecal: lamp images, slices, solution, products and QC.

`core.spectral` does the numbers; here they meet files and headers. A slice that fails is logged with its reason and
leaves a null row; the IFU fails only if no slice is left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.ccd.combine import CombineOptions
from core.ccd.trace_model import Trace
from core.errors import WavelengthError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys
from core.formats.image import MuseImage
from core.formats.tables import WAVECAL_RESIDUALS, MuseTable, wavecal_table_format
from core.instruments.muse.facts import N_SLICES, mode_class
from core.recipes.declaration import Recipe
from core.recipes.flow import ArrayProduct, ImageProduct, Product, RecipeContext, TableProduct
from core.recipes.frames import Frame
from core.recipes.muse.arc_lamps import LampGroup, group_by_lamps, tell_absent_lamps
from core.recipes.muse.basic import RawStack, combine_again, combine_frames, combine_masked
from core.recipes.muse.image_store import ImageStore
from core.recipes.muse.rows import MaskedImage, WholeImage
from core.recipes.qcwriter import QcWriter
from core.spectral.calibration import (
    CentralLines,
    FitPoints,
    LineWidths,
    WavecalOptions,
    central_columns,
    central_widths,
    fit_points,
    guess_rows,
    identify_center,
    line_widths,
    measure_identified,
    measure_slice,
    odd_wavelengths,
    solve_slice,
)
from core.spectral.dispersion import Dispersion, SliceSolution
from core.spectral.iterfit import IteratedFit
from core.spectral.linelist import LineList
from core.spectral.resample2d import resample_slices
from core.spectral.tracing import LinePoints, concatenate_points

__all__ = ["WavecalFlow"]

_PUT_ASIDE: Final = 3  # so many frames of a lamp take longer to be combined again than their image to be read
_SUMMED: Final = 99  # "lamp number" of the summed image
_MAX_DWLEN: Final = 5.9  # [Angstrom] between the edges of a slice
_MAX_DWLEN_BLUE: Final = 6.5  # [Angstrom], at the lower end in the nominal and narrow-field modes
_BLUE_MODES: Final = ("WFM-NOAO-N", "WFM-AO-N", "NFM-AO-N")


@dataclass(frozen=True)
class _Lamp:
    """What is remembered of the combined image of one lamp set-up."""

    group: LampGroup
    header: Header
    n_saturated: int
    input_saturated: tuple[int, ...]
    stored: int | None = None  # where the image was put aside, if it was


@dataclass
class _Slice:
    """State of one slice; `reason` says why it has no solution."""

    number: int
    centers: list[CentralLines] = field(default_factory=list)
    guess: IteratedFit | None = None
    points: list[LinePoints] = field(default_factory=list)
    fitted: FitPoints | None = None
    solution: SliceSolution | None = None
    widths: LineWidths | None = None
    reason: str = ""


@dataclass
class WavecalFlow:
    """One IFU on its way from raw frames to products.

    Attributes
    ----------
    recipe : Recipe
    stack : RawStack
        All raw arc frames of the IFU.
    catalogue : LineList
    trace : Trace
    options : WavecalOptions
    ctx : RecipeContext
    store : ImageStore
        Opened; for images of lamps with many frames, and all that are to be summed (these with flags).
    calibs : tuple of Frame
        Calibrations used, for the provenance.
    combine : str
        Method to combine the frames of a lamp.
    products : list of Product
        Result.
    """

    recipe: Recipe
    stack: RawStack
    catalogue: LineList
    trace: Trace
    options: WavecalOptions
    ctx: RecipeContext
    store: ImageStore
    calibs: tuple[Frame, ...]
    combine: Literal["average", "median", "minmax", "sigclip"]
    products: list[Product] = field(default_factory=list)
    _lamps: list[_Lamp] = field(default_factory=list)
    _held: bool = False  # the last lamp is in `_room`
    _summed: MuseImage | None = None
    _slices: list[_Slice] = field(default_factory=lambda: [_Slice(number) for number in range(1, N_SLICES + 1)])

    # -- images --------------------------------------------------------------------------------------------
    def reduce_lamps(self, *, keep: bool, identify: bool, hold_last: bool) -> None:
        """Combine the frames of each lamp, identify its lines in the slice centres, put the image aside.

        Parameters
        ----------
        keep : bool
            The images are products.
        identify : bool
            Identify the lines lamp by lamp.
        hold_last : bool
            Images are needed as data and mask only. The last one stays in memory, as it is the first to be measured;
            those of few frames are not put aside either, but made again.
        """
        groups = group_by_lamps(self.stack, CombineOptions(self.combine))
        for number, group in enumerate(groups, start=1):
            image = self._reduce_lamp(number, group, keep=keep, whole=keep or not hold_last)
            if identify:
                self._identify_all(image, group.names)
            self._held = isinstance(image, MaskedImage) and number == len(groups)
            if not self._held and (not hold_last or len(group.frames) >= _PUT_ASIDE):
                flags = image.bad if isinstance(image, MaskedImage) else image.dq
                self._lamps[-1] = replace(self._lamps[-1], stored=self.store.add(image.data, image.stat, flags))
            del image  # before the next one is made
            self.ctx.progress(0.3 + 0.3 * number / len(groups), f"combined lamp {group.label}")
        tell_absent_lamps(self.catalogue, groups, self.ctx.log)

    def _reduce_lamp(self, number: int, group: LampGroup, *, keep: bool, whole: bool) -> WholeImage | MaskedImage:
        options = CombineOptions(self.combine)
        image: WholeImage | MaskedImage
        if whole:
            made = combine_frames(self.stack, options, self.ctx, select=group.frames)
            header, image = made.image.header, WholeImage(made.image.data, made.image.dq, made.image.stat)
            inputs, n_saturated = made.n_saturated, made.combined_saturated
        else:
            image = self._room
            result = combine_masked(self.stack, options, self.ctx, select=group.frames, out=image)
            header, inputs, n_saturated = result.header, result.n_saturated, result.combined_saturated
        self._lamps.append(_Lamp(group, header.copy(), n_saturated, inputs))
        self.ctx.log.info("%d frames of lamp %s combined", len(group.frames), group.label)
        if whole and keep:
            qc = QcWriter(self.recipe, "ARC_RED_LAMP", header)
            qc.write_each("QC.WAVECAL.INPUT{input}.NSATURATED", "input", inputs)
            qc.write("QC.WAVECAL.NSATURATED", n_saturated)
            self.products.append(ImageProduct("ARC_RED_LAMP", made.image, made.raws, self.calibs, number=number))
        return image

    @cached_property
    def _room(self) -> MaskedImage:
        """Memory of one image, for one lamp after the other: fresh memory costs more time than the reduction."""
        shape = self.stack.detector.trimmed_shape
        windows = []
        for state in self._slices:
            with contextlib.suppress(WavelengthError):  # `_identify` tells it
                window = central_columns(self.trace, state.number, shape)
                windows.append(np.arange(window.start, window.stop))
        return MaskedImage.empty(shape, np.concatenate([np.empty(0, np.intp), *windows]))

    def _identify_all(self, image: WholeImage | MaskedImage, lamps: Sequence[str] | None) -> None:
        """Identify lines in the centres of all slices of an image."""
        self._each_slice(lambda state: self._identify(state, image, lamps))

    def sum_lamps(self, *, keep: bool) -> None:
        """Sum the images of all lamps; ``keep`` makes the sum a product."""
        header = self._lamps[0].header.copy()
        self._summed = self.store.combine(CombineOptions("sum"), header)
        self.ctx.log.info("%d lamp images summed", len(self._lamps))
        if not keep:
            return
        qc = QcWriter(self.recipe, "ARC_RED", header)
        for k, lamp in enumerate(self._lamps, start=1):
            qc.write_each("QC.WAVECAL.LAMP{lamp}.INPUT{input}.NSATURATED", "input", lamp.input_saturated, lamp=k)
        qc.write("QC.WAVECAL.NSATURATED", self._summed.n_saturated)
        self.products.append(ImageProduct("ARC_RED", self._summed, self.stack.raws, self.calibs))

    # -- measuring -------------------------------------------------------------------------------------------
    def measure_lampwise(self) -> None:
        """Follow all lines of each lamp on its own image, from a first guess by the identified ones."""
        self._each_slice(self._guess)
        self._tell_identified()
        for step, index in enumerate(reversed(range(len(self._lamps))), start=1):
            self._measure_lamp(index)
            self.ctx.progress(0.6 + 0.3 * step / len(self._lamps), f"measured lamp {self._lamps[index].group.label}")
        del self._room
        self._each_slice(self._gather)

    def _measure_lamp(self, index: int) -> None:
        image, lamp = self._room, self._lamps[index]
        if lamp.stored is not None:
            self.store.read(lamp.stored, image.data, image.stat, image.bad)
        elif not self._held:
            options = CombineOptions(self.combine)
            combine_again(self.stack, options, self.ctx, select=lamp.group.frames, out=image)
        self._held = False

        def measure(state: _Slice) -> None:
            if state.guess is not None:
                state.points.append(
                    measure_slice(
                        image.data,
                        image.stat,
                        image.bad,
                        self.trace,
                        state.number,
                        state.guess,
                        self.catalogue,
                        lamp.group.names,
                        self.options,
                    )
                )

        self._each_slice(measure)

    def _gather(self, state: _Slice) -> None:
        if state.guess is not None:
            points = concatenate_points(state.points)
            points = points.select(np.argsort(points.line, kind="stable"))  # as in the catalogue
            state.fitted = fit_points(points, self.catalogue, state.guess, self.options)
            state.widths = line_widths(points, self.catalogue, state.guess)

    def measure_summed(self) -> None:
        """Identify the lines on the sum of all lamps, and follow only those."""
        if self._summed is None:
            raise WavelengthError("the lamp images have not been summed")
        image = self._summed
        bad = image.dq != 0

        def measure(state: _Slice) -> None:
            center = state.centers[0]
            points = measure_identified(image.data, image.stat, bad, self.trace, state.number, center, self.options)
            state.fitted = fit_points(points, self.catalogue, None, self.options)
            state.widths = central_widths(center, self.catalogue)

        self._identify_all(WholeImage(image.data, image.dq, image.stat), None)
        self._tell_identified()
        self._each_slice(measure)
        self.ctx.progress(0.9, "measured the lines")

    def _alive(self) -> list[_Slice]:
        return [state for state in self._slices if not state.reason]

    def _each_slice(self, step: Callable[[_Slice], None]) -> None:
        """A step of all slices that are left; one that fails keeps the reason."""

        def attempt(state: _Slice) -> None:
            try:
                step(state)
            except WavelengthError as error:
                state.reason = error.message

        alive = self._alive()
        self.ctx.spread(attempt, alive)
        for state in alive:
            if state.reason:
                self.ctx.log.warning("slice %d: %s", state.number, state.reason)

    def _identify(self, state: _Slice, image: WholeImage | MaskedImage, lamps: Sequence[str] | None) -> None:
        window = central_columns(self.trace, state.number, self.stack.detector.trimmed_shape)
        state.centers.append(identify_center(*image.columns(window), self.catalogue, lamps, self.options))

    def _guess(self, state: _Slice) -> None:
        state.guess = guess_rows(state.centers, self.catalogue, self.options)

    def _tell_identified(self) -> None:
        for state in self._alive():
            self.ctx.log.info(
                "identified %d of %d detected arc lines in slice %d",
                sum(map(len, state.centers)),
                sum(center.n_detected for center in state.centers),
                state.number,
            )

    def solve(self) -> None:
        """Fit the solution of each slice.

        Raises
        ------
        WavelengthError
            If no slice has one.
        """
        self._each_slice(self._solve)
        for state in self._alive():
            self._tell_solved(state)
        solved = [state for state in self._slices if state.solution is not None]
        if not solved:
            told = next((state for state in self._slices if self.trace.has(state.number)), self._slices[0])
            raise WavelengthError(f"no slice has a wavelength solution; slice {told.number}: {told.reason}")
        failed = [str(state.number) for state in self._slices if state.solution is None]
        if failed:
            self.ctx.log.warning("no solution in %d slices: %s", len(failed), ", ".join(failed))
        rms = [state.solution.rms for state in solved if state.solution]
        self.ctx.log.info(
            "%d slices solved, rms %.4f Angstrom (median), %.4f Angstrom (worst)",
            len(solved),
            np.median(rms),
            np.max(rms),
        )

    def _solve(self, state: _Slice) -> None:
        if state.fitted is None:
            raise WavelengthError("no line was measured")
        state.solution = solve_slice(state.fitted, self.options)

    def _tell_solved(self, state: _Slice) -> None:
        if state.solution is not None:
            self.ctx.log.info(
                "fit of %d of %d positions in slice %d: rms %.6f Angstrom",
                state.solution.iterations[-1].points.size,
                state.solution.iterations[0].points.size,
                state.number,
                state.solution.rms,
            )

    # -- products ----------------------------------------------------------------------------------------------
    def _dispersion(self) -> Dispersion:
        shape = (N_SLICES, self.options.xorder + 1, self.options.yorder + 1)
        coefficients, mse = np.full(shape, np.nan), np.full(N_SLICES, np.nan)
        for row, state in enumerate(self._slices):
            if state.solution is not None:
                coefficients[row] = state.solution.coefficients
                mse[row] = state.solution.mse
        return Dispersion(np.arange(1, N_SLICES + 1, dtype=np.int32), coefficients, mse)

    def save_solution(self) -> None:
        """Make the WAVECAL_TABLE with its QC."""
        dispersion = self._dispersion()
        header = self._lamps[0].header.copy()
        qc = QcWriter(self.recipe, "WAVECAL_TABLE", header)
        wavelengths: dict[int, float] = {}
        for state in self._slices:
            self._write_lines(qc, state)
            if state.solution is not None:
                wavelengths[state.number] = self._write_solution(qc, state, state.solution, dispersion)
        for number, difference in odd_wavelengths(wavelengths).items():
            self.ctx.log.warning(
                "slice %d: its wavelength in the middle is %+.0f Angstrom off that of slices like it; the lines may be "
                "misidentified",
                number,
                difference,
            )
        for lamp in self._lamps:
            for number in lamp.group.numbers[:1]:
                qc.write("QC.WAVECAL.NSATURATED.LAMP{lamp}", lamp.n_saturated, lamp=number)
        saturated_of = {
            position: count
            for lamp in self._lamps
            for position, count in zip(lamp.group.frames, lamp.input_saturated, strict=True)
        }
        for position, count in sorted(saturated_of.items()):
            qc.write("QC.WAVECAL.INPUT{input}.NSATURATED", count, input=position + 1)
        if self._summed is not None:
            saturated = self._summed.n_saturated
            qc.write("QC.WAVECAL.NSATURATED.LAMP{lamp}", saturated, lamp=_SUMMED)
        fmt = wavecal_table_format(self.options.xorder, self.options.yorder)
        table = MuseTable(dispersion.columns(), header)
        self.products.insert(0, TableProduct("WAVECAL_TABLE", fmt, table, self.stack.raws, self.calibs))

    def _write_lines(self, qc: QcWriter, state: _Slice) -> None:
        prefix, number = "QC.WAVECAL.SLICE{slice}", state.number
        qc.write(f"{prefix}.LINES.NDET", sum(center.n_detected for center in state.centers), slice=number)
        if not state.centers:
            return
        qc.write(f"{prefix}.LINES.NID", sum(map(len, state.centers)), slice=number)
        peaks = np.concatenate([center.lines.peak for center in state.centers])
        _write_moments(qc, f"{prefix}.LINES.PEAK", peaks, slice=number)
        if len(state.centers) == len(self._lamps):
            for lamp, center in zip(self._lamps, state.centers, strict=True):
                if len(center) and lamp.group.numbers:
                    peak, index = center.lines.peak, {"slice": number, "lamp": lamp.group.numbers[0]}
                    qc.write(f"{prefix}.LAMP{{lamp}}.LINES.PEAK.MEAN", peak.mean(), **index)
                    if peak.size > 1:
                        qc.write(f"{prefix}.LAMP{{lamp}}.LINES.PEAK.STDEV", peak.std(ddof=1), **index)
                    qc.write(f"{prefix}.LAMP{{lamp}}.LINES.PEAK.MAX", peak.max(), **index)
        if state.widths is not None and state.widths.fwhm.size:
            _write_moments(qc, f"{prefix}.LINES.FWHM", state.widths.fwhm, slice=number)
            if state.widths.resolution.size:
                qc.write(f"{prefix}.RESOL", state.widths.resolution.mean(), slice=number)

    def _write_solution(self, qc: QcWriter, state: _Slice, solution: SliceSolution, dispersion: Dispersion) -> float:
        """Write the QC of a solution; returns the wavelength in the middle [Angstrom]."""
        prefix, number = "QC.WAVECAL.SLICE{slice}", state.number
        ny = self.stack.detector.trimmed_shape[0]
        qc.write(f"{prefix}.FIT.NLINES", solution.n_lines, slice=number)
        qc.write(f"{prefix}.FIT.RMS", solution.rms, slice=number)
        mode = mode_class(self.options.ins_mode)
        bottom_limit = _MAX_DWLEN_BLUE if mode in _BLUE_MODES else _MAX_DWLEN
        for end, y, limit in (("BOTTOM", 1.0, bottom_limit), ("TOP", float(ny), _MAX_DWLEN)):
            left, right = self.trace.left(number, y), self.trace.right(number, y)
            difference = float(dispersion.wavelength(number, left, y) - dispersion.wavelength(number, right, y))
            qc.write(f"{prefix}.DWLEN.{end}", difference, slice=number)
            if abs(difference) > limit:
                self.ctx.log.warning(
                    "slice %d: wavelengths differ by %.2f Angstrom between the edges at the %s, more than expected",
                    number,
                    difference,
                    end.lower(),
                )
        middle = 0.5 * (ny + 1)
        center = self.trace.center(number, middle)
        qc.write(f"{prefix}.WLPOS", middle, slice=number)
        wavelength = float(dispersion.wavelength(number, center, middle))
        qc.write(f"{prefix}.WLEN", wavelength, slice=number)
        return wavelength

    def _bare_header(self) -> Header:
        header = self._lamps[0].header.copy()
        del_keys(header, r"QC\.")
        return header

    def save_residuals(self) -> None:
        """Make the WAVECAL_RESIDUALS: all points of all iterations of all slices."""
        parts: dict[str, list[NDArray[Any]]] = {column.name: [] for column in WAVECAL_RESIDUALS.columns}
        for state in self._slices:
            if state.solution is None or state.fitted is None:
                continue
            for iteration, step in enumerate(state.solution.iterations, start=1):
                n = step.points.size
                parts["slice"].append(np.full(n, state.number, np.uint8))
                parts["iteration"].append(np.full(n, iteration, np.int32))
                parts["x"].append(state.fitted.x[step.points].astype(np.int32))
                parts["y"].append(state.fitted.y[step.points].astype(np.float32))
                parts["lambda"].append(state.fitted.wave[step.points].astype(np.float32))
                parts["residual"].append(step.residual)
                parts["rejlimit"].append(np.full(n, step.limit))
        table = MuseTable({name: np.concatenate(values) for name, values in parts.items()}, self._bare_header())
        self.products.append(TableProduct("WAVECAL_RESIDUALS", WAVECAL_RESIDUALS, table, self.stack.raws, self.calibs))

    def save_resampled(self) -> None:
        """Make the ARC_RESAMPLED image from the sum of the lamps."""
        if self._summed is None:
            raise WavelengthError("the lamp images have not been summed")
        resampled = resample_slices(self._summed.data, self._summed.dq, self.trace, self._dispersion())
        own = Header()
        own["CRPIX1"], own["CRPIX2"] = 1.0, 1.0
        own["CRVAL1"], own["CRVAL2"] = 1.0, resampled.first_wave
        own["CD1_1"], own["CD1_2"], own["CD2_1"], own["CD2_2"] = 1.0, 0.0, 0.0, resampled.step
        own["CTYPE1"], own["CTYPE2"] = "PIXEL", "AWAV"
        own["CUNIT1"], own["CUNIT2"] = "pixel", "Angstrom"
        own["BUNIT"] = "count"
        self._add_cube("ARC_RESAMPLED", "DATA", resampled.data, own)

    def save_wavemap(self) -> None:
        """Make the WAVE_MAP."""
        ny, nx = self.stack.detector.trimmed_shape
        out = np.zeros((ny, nx), dtype=np.float32)
        dispersion, rows = self._dispersion(), np.arange(1.0, ny + 1)
        for number in dispersion.valid_slices:
            dispersion.fill_map(number, self.trace.left(number, rows), self.trace.right(number, rows), out)
        own = Header()
        own["BUNIT"] = "Angstrom"
        self._add_cube("WAVE_MAP", "DATA", out, own)

    def _add_cube(self, tag: str, extension: str, data: NDArray[np.float32], own: Header) -> None:
        self.products.append(ArrayProduct(tag, extension, data, self._bare_header(), own, self.stack.raws, self.calibs))


def _write_moments(qc: QcWriter, prefix: str, values: NDArray[np.float64], **indices: int) -> None:
    """Write MEAN, STDEV, MIN, MAX of some values; nothing of none, no STDEV of one."""
    if values.size == 0:
        return
    qc.write(f"{prefix}.MEAN", values.mean(), **indices)
    if values.size > 1:
        qc.write(f"{prefix}.STDEV", values.std(ddof=1), **indices)
    qc.write(f"{prefix}.MIN", values.min(), **indices)
    qc.write(f"{prefix}.MAX", values.max(), **indices)
