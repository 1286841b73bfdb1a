"""muse_lsf: raw ARC frames become the line-spread function of each slice."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.ccd.combine import CombineOptions
from core.ccd.trace_model import Trace
from core.errors import DataError, MuseError, ParameterError, WavelengthError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key, set_key
from core.formats.lsf import LSF_PROFILE, SLICE_PARAM, LsfCube, read_lsf_profile
from core.formats.pixtable_header import PixtableLimits, simple_xpos
from core.formats.pixtable_origin import encode_origin, origin_offset, set_offset
from core.formats.tables import MuseTable
from core.instruments.muse.facts import N_SLICES
from core.recipes.declaration import (
    BADPIX_INPUT,
    Difference,
    FrameSpec,
    ManualNote,
    ProductSpec,
    QcSpec,
    parameter,
)
from core.recipes.flow import ArrayProduct, PixtableProduct, Product, RecipeContext, TableProduct
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.arc_lamps import (
    ImageStore,
    LampGroup,
    group_by_lamps,
    load_dispersion,
    load_line_list,
    load_trace,
    tell_absent_lamps,
)
from core.recipes.muse.basic import RawStack, combine_frames, combine_masked, prepare
from core.recipes.muse.calibrations import NONLINEARITY_INPUT
from core.recipes.muse.parameters import MASTER_BIAS_NOTES, OverscanParameters, merge_parameter
from core.recipes.muse.rows import MaskedImage
from core.recipes.muse.units import IfuRecipe
from core.recipes.parts import MemoryNeed
from core.recipes.qcwriter import QcWriter
from core.spectral.dispersion import Dispersion
from core.spectral.line_pixels import LinePixels, collect_line_pixels, concatenate_pixels
from core.spectral.linelist import LineList, covered
from core.spectral.lsf_cube import LsfImage, fit_lsf_image
from core.spectral.lsf_hermite import (
    REACH,
    HermiteLsf,
    LinePixelSet,
    fit_hermite,
    hermite_columns,
    hermites_of_columns,
)

__all__ = ["LsfParameters", "MuseLsf", "read_lsf"]

_HERMITE_LINES: Final = 40
_COVERED: Final = 0.8  # part of the wavelengths of the profiles that lines should cover


class LsfParameters(OverscanParameters):
    """Parameters of muse_lsf."""

    save_subtracted: bool = parameter(False, "Save the pixel table after the LSF subtraction.")
    line_quality: int = parameter(3, "Minimal quality flag in line catalog for selection", ge=1, le=5)
    lsf_range: float = parameter(
        7.5,
        "Wavelength window (half size) around each line to estimate LSF",
        unit="Angstrom",
        only="method=interpolate",
        gt=0,
        le=50,
    )
    lsf_size: int = parameter(150, "Image size in LSF direction", only="method=interpolate", ge=10, le=1000)
    lambda_size: int = parameter(
        30, "Image size in line wavelength direction", only="method=interpolate", ge=2, le=1000
    )
    lsf_regression_window: float = parameter(
        0.7, "Size of the regression window in LSF direction", unit="Angstrom", only="method=interpolate", gt=0, le=50
    )
    merge: bool = merge_parameter()
    combine: Literal["average", "median", "minmax", "sigclip"] = parameter(
        "sigclip", "Type of lampwise image combination to use."
    )
    method: Literal["interpolate", "hermit"] = parameter(
        "interpolate",
        "LSF generation method. Depending on this value, either an interpolated LSF cube is created, or a table with "
        "the parameters of a hermitean gaussian.",
    )


def _fwhm(name: str, what: str) -> QcSpec:
    klass: Literal["KPI", "CAL"] = "KPI" if name == "MEAN" else "CAL"
    return QcSpec(
        f"QC.LSF.SLICE{{slice}}.FWHM.{name}", "Angstrom", "float", klass, f"{what} the LSF in slice j", (LSF_PROFILE,)
    )


class MuseLsf(IfuRecipe):
    """Measure the line-spread function of each slice on arc lines."""

    name = "muse_lsf"
    version = "1"
    memory = MemoryNeed(fixed_mb=160, part_mb=600)
    summary = "Compute the LSF."
    description = "Compute the slice and wavelength dependent LSF from a lines spectrum (ARC lamp)."
    inputs = (
        FrameSpec("ARC", "raw", recommended=15, description="Raw arc lamp exposures (from a standard arc sequence)"),
        FrameSpec("ARC_LSF", "raw", description="Raw arc lamp exposures (from a long LSF arc sequence)"),
        FrameSpec("MASTER_BIAS", "calib", min=1, description="Master bias"),
        FrameSpec("MASTER_DARK", "calib", description="Master dark (optional, usually not used)"),
        FrameSpec("MASTER_FLAT", "calib", description="Master flat (optional)"),
        FrameSpec("TRACE_TABLE", "calib", min=1, description="Trace table"),
        FrameSpec("WAVECAL_TABLE", "calib", min=1, description="Wavelength calibration table"),
        BADPIX_INPUT,
        FrameSpec("LINE_CATALOG", "calib", min=1, max=1, description="Arc line catalog"),
        NONLINEARITY_INPUT,
    )
    Params = LsfParameters
    products = (
        ProductSpec(
            "LSF_PROFILE",
            "cube",
            "Slice specific LSF images, stacked into one data cube per IFU; with method=hermit a table of parameters",
        ),
        ProductSpec(
            "PIXTABLE_SUBTRACTED",
            "pixtable",
            "Subtracted combined pixel table; only the arc lines that contributed to the LSF calculation",
            "save_subtracted",
        ),
    )
    qc = (
        _fwhm("MEAN", "Mean FWHM of"),
        _fwhm("STDEV", "Standard deviation of the FWHM of"),
        _fwhm("MIN", "Minimum FWHM of"),
        _fwhm("MAX", "Maximum FWHM of"),
    )
    manual_notes = (
        *MASTER_BIAS_NOTES,
        ManualNote(
            where="PIXTABLE_SUBTRACTED",
            manual="additional columns line_lambda (reference wavelength) and line_flux",
            here="line_lambda is the fitted centre; further columns line_background and orig. With method=hermit only "
            "orig: all lines of a slice are one model",
        ),
    )
    differences = (
        Difference(
            where="window of pixels around a line",
            here="exact",
            reference="fuzzy: by bisection on wavelengths that are not sorted",
            why="defect of the reference",
            size=(
                "2.4 % of the pixels of PIXTABLE_SUBTRACTED, beyond 4 Angstrom from the line; profiles 0.12 % of "
                "the peak rms, 1.6 % at most; FWHM 0.02 %"
            ),
        ),
        Difference(
            where="background of a small window",
            here="from the pixels between 5.5 and at least 8.2 Angstrom from the line",
            reference="from those beyond 5.5 Angstrom in the window; 0 if it has none",
            why="defect of the reference",
            size=(
                "lsf_range 3 to 6 Angstrom: profiles 0.2 to 0.5 % of the peak rms, 3 % at most; FWHM 0.04 to 0.24 %, "
                "and here the same for each lsf_range"
            ),
        ),
        Difference(
            where="lower end of the profiles",
            here="the regression window stays inside the data at both ends",
            reference="only at the upper end",
            why="defect of the reference",
            size="0.0003 % of the peak rms, 0.04 % at most",
        ),
        Difference(
            where="deviant pixels",
            here="found with the background of the line added to its model",
            reference="subtracts the background",
            why="defect of the reference",
            size=(
                "55 of 3.3 million pixels, profiles 0.005 % of the peak rms; with overscan=offset, which leaves more "
                "background, 0.6 % rms and 12 % at most"
            ),
        ),
        Difference(
            where="method=hermit: which pixels",
            here="lamps are summed; without lines of absent lamps or outside the mode, and without flagged pixels",
            reference="averages the lamps, uses all lines and pixels",
            why="defect of the reference",
            size=(
                "profiles 0.014 % of the peak rms, 0.2 % at most; counts of PIXTABLE_SUBTRACTED three times as "
                "large for three lamps"
            ),
        ),
        Difference(
            where="method=hermit: fits",
            here="a fit that ends at the limit of function calls keeps its best parameters",
            reference="keeps the start values",
            why="defect of the reference",
            size="none on simulated arcs: all 48 slices converge in both",
        ),
        Difference(
            where="method=hermit: QC FWHM",
            here="interpolated",
            reference="counts steps of 0.04 Angstrom",
            why="resolution of the QC parameter",
            size="up to 0.08 Angstrom (2.9 %)",
        ),
        Difference(
            where="method=hermit: PIXTABLE_SUBTRACTED",
            here="holds the pixels near the lines used",
            reference="holds all pixels",
            why="only these have a model to subtract",
            size="11 % of the pixels (1.6 of 15.1 million); at the same pixels only the scale differs",
        ),
        Difference(
            where="QC.WAVECAL.INPUT1.NSATURATED in LSF_PROFILE",
            here="not written",
            reference="left over from the first lamp",
            why="belongs to muse_wavecal",
            size="one keyword",
        ),
    )

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: LsfParameters) -> None:
        """Refuse a regression window beyond the range; see `Recipe.check_parameters`."""
        super().check_parameters(frames, params)
        if params.method == "interpolate" and params.lsf_regression_window > params.lsf_range:
            raise ParameterError(
                f"lsf_regression_window={params.lsf_regression_window:g} is not accepted: it must not be larger than "
                f"lsf_range ({params.lsf_range:g} Angstrom)",
                parameter="lsf_regression_window",
            )

    def reduce_ifu(self, ifu: int, frames: FrameSet, params: LsfParameters, ctx: RecipeContext) -> list[Product]:
        """Reduce one IFU; see `IfuRecipe.reduce_ifu`."""
        catalogue, catalogue_frame = load_line_list(frames, check_version=False)
        trace, trace_frame = load_trace(frames, ifu, ctx.log)
        dispersion, dispersion_frame = load_dispersion(frames, ifu, ctx.log)
        stack = prepare(ifu, frames, self.raw_tags(), params, ctx)
        calibs = (catalogue_frame, *stack.calibs, trace_frame, dispersion_frame)
        flow = _LsfFlow(self, ifu, stack, catalogue, trace, dispersion, params, ctx, calibs)
        return flow.interpolate() if params.method == "interpolate" else flow.hermite()


@dataclass
class _LsfFlow:
    """One IFU on its way from raw frames to its line-spread function."""

    recipe: MuseLsf
    ifu: int
    stack: RawStack
    catalogue: LineList
    trace: Trace
    dispersion: Dispersion
    params: LsfParameters
    ctx: RecipeContext
    calibs: tuple[Frame, ...]
    header: Header = field(default_factory=Header)

    def __post_init__(self) -> None:
        self.slices = [number for number in self.dispersion.valid_slices if self.trace.has(number)]
        if not self.slices:
            raise WavelengthError("no slice has both a trace and a wavelength solution")
        missing = [str(number) for number in range(1, N_SLICES + 1) if number not in self.slices]
        if missing:
            self.ctx.log.warning("no trace or wavelength solution in %d slices: %s", len(missing), ", ".join(missing))

    def _groups(self) -> list[LampGroup]:
        groups = group_by_lamps(self.stack, CombineOptions(self.params.combine))
        tell_absent_lamps(self.catalogue, groups, self.ctx.log)
        return groups

    def _lines(self, lamps: tuple[str, ...]) -> NDArray[np.intp]:
        """Catalogue lines to use on the image of some lamps."""
        mode = get_key(self.stack.frames[0].header, "INS.MODE", str, default=None)
        return np.flatnonzero(
            (self.catalogue.quality >= self.params.line_quality)
            & self.catalogue.of_lamps(lamps)
            & covered(self.catalogue.wave, mode)
        )

    # -- method interpolate ----------------------------------------------------------------------------------
    def interpolate(self) -> list[Product]:
        """Image of the LSF of each slice."""
        parts: dict[int, list[LinePixels]] = {number: [] for number in self.slices}
        groups = self._groups()
        for done, group in enumerate(groups, start=1):
            self._collect(group.frames, group.names, parts)
            self.ctx.progress(0.3 + 0.5 * done / len(groups), f"collected the lines of lamp {group.label}")
        del self._room  # the fits need no image
        pixels = {number: concatenate_pixels(parts.pop(number)) for number in self.slices}
        cube = np.zeros((N_SLICES, self.params.lambda_size, self.params.lsf_size), dtype=np.float32)
        images: dict[int, LsfImage] = {}
        for number in self.slices:
            image, bad = fit_lsf_image(
                pixels[number],
                self.params.lsf_range,
                self.params.lsf_size,
                self.params.lambda_size,
                self.params.lsf_regression_window,
            )
            self.ctx.log.info(
                "slice %d: %d pixels of %d lines", number, pixels[number].wave.size, pixels[number].n_lines
            )
            if bad.any():
                self.ctx.log.warning("slice %d: no data in %d of %d columns", number, int(bad.sum()), bad.size)
            if not bad.all():
                images[number] = image
                cube[number - 1] = image.data
        if not images:
            raise DataError("no slice has enough arc lines for its line-spread function")
        self._tell_gaps(pixels, images)
        qc = QcWriter(self.recipe, LSF_PROFILE, self.header)
        unmeasured = [number for number, image in images.items() if not self._write_fwhm(qc, number, image.fwhm())]
        if unmeasured:
            self.ctx.log.warning("no width can be measured in %d slices: %s", len(unmeasured), _listed(unmeasured))
        first = next(iter(images.values()))
        grid = LsfCube(cube, first.first_x, first.step_x, first.first_wave, first.step_wave, Header())
        products: list[Product] = [
            ArrayProduct(LSF_PROFILE, LSF_PROFILE, cube, self.header, grid.wcs(), self.stack.raws, self.calibs)
        ]
        if self.params.save_subtracted:
            products.append(
                self._subtracted(pixels, {number: _model_of(pixels[number], images[number]) for number in images})
            )
        return products

    def _tell_gaps(self, pixels: dict[int, LinePixels], images: dict[int, LsfImage]) -> None:
        """Warn of slices whose lines cover a part of the wavelengths only: beyond it the profile is extrapolated."""
        short = []
        for number, image in images.items():
            lines = pixels[number].line_wave
            span = image.step_wave * (image.data.shape[0] - 1)
            if np.ptp(lines) < _COVERED * span:
                short.append((number, float(lines.min()), float(lines.max())))
        if short:
            self.ctx.log.warning(
                "the arc lines cover %.0f to %.0f Angstrom only in %d slices (%s); beyond them their profiles are "
                "extrapolated",
                min(low for _, low, _ in short),
                max(high for _, _, high in short),
                len(short),
                _listed([number for number, _, _ in short]),
            )

    @cached_property
    def _room(self) -> MaskedImage:
        """Memory of one image, for one lamp after the other."""
        return MaskedImage.empty(self.stack.detector.trimmed_shape)

    def _collect(self, frames: tuple[int, ...], lamps: tuple[str, ...], parts: dict[int, list[LinePixels]]) -> None:
        image = self._room
        combined = combine_masked(self.stack, CombineOptions(self.params.combine), self.ctx, select=frames, out=image)
        if not self.header:
            self.header = combined.header
        lines = self.catalogue.wave[self._lines(lamps)]
        reach = self.params.lsf_range + self.params.lsf_regression_window
        for number in self.slices:
            parts[number].append(
                collect_line_pixels(
                    image.data, image.stat, image.bad, self.trace, self.dispersion, number, lines, reach
                )
            )

    # -- method hermit ---------------------------------------------------------------------------------------
    def hermite(self) -> list[Product]:
        """Gauss-Hermite parameters of each slice."""
        groups = self._groups()
        with ImageStore(self.stack.detector.trimmed_shape, self.ctx.spread, flags=True) as store:
            for done, group in enumerate(groups, start=1):
                combined = combine_frames(
                    self.stack, CombineOptions(self.params.combine), self.ctx, select=group.frames
                )
                store.add(combined.image.data, combined.image.stat, combined.image.dq)
                self.header = self.header or combined.image.header
                self.ctx.progress(0.3 + 0.3 * done / len(groups), f"combined lamp {group.label}")
                del combined
            image = store.combine(CombineOptions("sum"), self.header)
        lamps = tuple(dict.fromkeys(name for group in groups for name in group.names))
        lines = self._lines(lamps)
        lines = lines[self.catalogue.flux[lines] > 0]
        lines = np.sort(lines[np.argsort(-self.catalogue.flux[lines], kind="stable")[:_HERMITE_LINES]])
        if lines.size == 0:
            names = ", ".join(lamps) or "none"
            raise DataError(f"no line of quality {self.params.line_quality} in the mode for the lamps {names}")
        rows = {number: HermiteLsf() for number in range(1, N_SLICES + 1)}
        kept: dict[int, LinePixels] = {}
        models: dict[int, NDArray[np.float64]] = {}
        qc = QcWriter(self.recipe, LSF_PROFILE, self.header)
        for done, number in enumerate(self.slices, start=1):
            try:
                pixels = self._near_lines(image.data, image.stat, image.dq != 0, number, lines)
                chosen = self._set_of(pixels, lines)
                fit = fit_hermite(chosen)
            except MuseError as error:
                self.ctx.log.error("slice %d: %s", number, error.message)
                continue
            if not fit.converged:
                self.ctx.log.warning("slice %d: the search ended at its limit of function calls", number)
            rows[number], kept[number] = fit.lsf, pixels
            models[number] = _hermite_model(pixels, chosen.lines, fit.flux, fit.lsf)
            widths = fit.lsf.fwhm()
            self._write_fwhm(qc, number, widths)
            self.ctx.log.info("slice %d: FWHM %.3f Angstrom", number, np.nanmean(widths))
            self.ctx.progress(0.6 + 0.35 * done / len(self.slices), f"fitted slice {number}")
        if not kept:
            raise DataError("no slice has a Gauss-Hermite profile")
        table = MuseTable(hermite_columns(self.ifu, rows), self.header)
        products: list[Product] = [
            TableProduct(LSF_PROFILE, SLICE_PARAM, table, self.stack.raws, self.calibs, extension="SLICE_PARAM")
        ]
        if self.params.save_subtracted:
            products.append(self._subtracted(kept, models))
        return products

    def _near_lines(
        self, data: NDArray[np.float32], stat: NDArray[np.float32], bad: NDArray[np.bool_], number: int,
        lines: NDArray[np.intp],
    ) -> LinePixels:  # fmt: skip
        """Unflagged pixels of a slice within reach of a line, ascending in wavelength."""
        ny, nx = data.shape
        rows = np.arange(1.0, ny + 1)
        left, right = self.trace.left(number, rows), self.trace.right(number, rows)
        first, last = max(1, int(np.ceil(left.min()))), min(nx, int(np.floor(right.max())))
        x, y = np.meshgrid(np.arange(first, last + 1), np.arange(1, ny + 1))
        window = slice(first - 1, last)
        wave = self.dispersion.wavelength(number, x, y)
        targets = self.catalogue.wave[lines]
        near = np.searchsorted(targets, wave)
        distance = np.minimum(
            np.abs(wave - targets[np.maximum(near - 1, 0)]), np.abs(targets[np.minimum(near, targets.size - 1)] - wave)
        )
        use = (x >= left[:, None]) & (x <= right[:, None]) & ~bad[:, window] & (distance <= REACH)
        use &= stat[:, window] > 0
        order = np.argsort(wave[use], kind="stable")
        n = order.size
        return LinePixels(
            np.array([0, n]), np.full(1, np.nan), np.full(1, np.nan), np.zeros(1), wave[use][order],
            data[:, window][use][order], stat[:, window][use][order], x[use][order].astype(np.int16),
            y[use][order].astype(np.int16),
        )  # fmt: skip

    def _set_of(self, pixels: LinePixels, lines: NDArray[np.intp]) -> LinePixelSet:
        """Pixels with those lines that lie on the slice."""
        wave = self.catalogue.wave[lines]
        low = np.searchsorted(pixels.wave, wave - REACH)
        high = np.searchsorted(pixels.wave, wave + REACH)
        use = high - low > 100
        return LinePixelSet(
            pixels.wave,
            pixels.data.astype(np.float64),
            np.sqrt(pixels.stat.astype(np.float64)),
            wave[use],
            self.catalogue.flux[lines][use],
        )

    # -- products ----------------------------------------------------------------------------------------------
    def _write_fwhm(self, qc: QcWriter, number: int, widths: NDArray[np.float64]) -> bool:
        """Write the QC of a slice; False if there is nothing to write."""
        good = widths[np.isfinite(widths)]
        if good.size < 2:
            return False
        for name, value in (
            ("MEAN", good.mean()), ("STDEV", good.std(ddof=1)), ("MIN", good.min()), ("MAX", good.max()),
        ):  # fmt: skip
            qc.write(f"QC.LSF.SLICE{{slice}}.FWHM.{name}", value, slice=number)
        return True

    def _subtracted(self, pixels: dict[int, LinePixels], models: dict[int, NDArray[np.float64]]) -> PixtableProduct:
        """Pixel table with the lines subtracted; the background stays in."""
        header = self.header.copy()
        del_keys(header, r"(QC\.|DRS\.MUSE\.OVSC)")
        set_key(header, "DRS.MUSE.PIXTABLE.TYPE", "SIMPLE", "pixel table without y coordinate")
        parts: dict[str, list[NDArray[Any]]] = {}
        for number, model in models.items():
            mine = pixels[number]
            offset = origin_offset(float(self.trace.left(number, 1.0)))
            set_offset(header, 0, self.ifu, number, offset)
            rows = mine.y.astype(np.float64)
            left, right = self.trace.left(number, rows), self.trace.right(number, rows)
            index = mine.line_of
            for name, values in {
                "xpos": simple_xpos(mine.x, left, right, number),
                "ypos": np.zeros(mine.x.size),
                "lambda": mine.wave,
                "data": mine.data - model,
                "dq": np.zeros(mine.x.size, np.int32),
                "stat": mine.stat,
                "origin": encode_origin(mine.x, mine.y, self.ifu, number, offset),
                "line_lambda": mine.line_wave[index],
                "line_flux": mine.line_flux[index],
                "line_background": mine.line_background[index],
                "orig": mine.data,
            }.items():
                dtype = np.int32 if name in ("dq", "origin") else np.float32
                parts.setdefault(name, []).append(np.asarray(values, dtype=dtype))
        if self.params.method == "hermit":
            for name in ("line_lambda", "line_flux", "line_background"):
                del parts[name]  # all lines of a slice are one model
        columns = {name: np.concatenate(values) for name, values in parts.items()}
        PixtableLimits.of(columns).write(header)
        return PixtableProduct("PIXTABLE_SUBTRACTED", columns, header, self.stack.raws, self.calibs)


def _listed(slices: list[int]) -> str:
    return "all" if len(slices) == N_SLICES else ", ".join(map(str, slices))


def _model_of(pixels: LinePixels, image: LsfImage) -> NDArray[np.float64]:
    model = np.empty(pixels.wave.size)
    for k in range(pixels.n_lines):
        mine = slice(int(pixels.start[k]), int(pixels.start[k + 1]))
        line = float(pixels.line_wave[k])
        model[mine] = image(pixels.wave[mine] - line, line) * pixels.line_flux[k]
    return model


def _hermite_model(
    pixels: LinePixels, lines: NDArray[np.float64], flux: NDArray[np.float64], lsf: HermiteLsf
) -> NDArray[np.float64]:
    model = np.zeros(pixels.wave.size)
    for line, strength in zip(lines.tolist(), flux.tolist(), strict=True):
        mine = slice(*np.searchsorted(pixels.wave, [line - REACH, line + REACH]))
        model[mine] += strength * lsf(pixels.wave[mine] - line, line)
    return model


def read_lsf(path: str | os.PathLike[str], ifu: int) -> dict[int, LsfImage] | dict[int, HermiteLsf]:
    """Line-spread functions of an IFU from an LSF_PROFILE of either format, ours or the reference's.

    Parameters
    ----------
    path : path-like
        Single or merged file.
    ifu : int

    Returns
    -------
    dict
        By slice number on the CCD; slices without line-spread function are left out. Each is called with distances
        from a line and the wavelength of the line [Angstrom].

    Raises
    ------
    MissingInputError
        If the file holds no profile of that IFU.
    BadFitsError
        If the profile is not of its format.
    """
    found = read_lsf_profile(path, ifu)
    if isinstance(found, LsfCube):
        return {
            number: LsfImage(plane.astype(np.float64), found.first_x, found.step_x, found.first_wave, found.step_wave)
            for number, plane in enumerate(found.data, start=1)
            if plane.any()
        }
    return hermites_of_columns(found, ifu)
