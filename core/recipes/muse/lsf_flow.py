"""The way of one IFU from raw arcs to its line-spread function, for muse_lsf."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.combine import CombineOptions
from core.ccd.trace_model import Trace
from core.errors import DataError, MuseError, WavelengthError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key, set_key
from core.formats.lsf import LSF_PROFILE, SLICE_PARAM, LsfCube
from core.formats.pixtable_header import PixtableLimits
from core.formats.pixtable_origin import encode_origin, origin_offset, set_offset
from core.formats.tables import MuseTable
from core.instruments.muse.facts import N_SLICES
from core.recipes.declaration import Recipe
from core.recipes.flow import ArrayProduct, PixtableProduct, Product, RecipeContext, TableProduct
from core.recipes.frames import Frame
from core.recipes.muse.arc_lamps import (
    LampGroup,
    group_by_lamps,
    tell_absent_lamps,
)
from core.recipes.muse.basic import RawStack, combine_frames, combine_masked
from core.recipes.muse.image_store import ImageStore
from core.recipes.muse.rows import MaskedImage
from core.recipes.qcwriter import QcWriter
from core.spatial.positions import FieldPlace
from core.spectral.dispersion import Dispersion
from core.spectral.line_pixels import LinePixels, collect_line_pixels, concatenate_pixels, pixels_near_lines
from core.spectral.linelist import LineList, covered
from core.spectral.lsf_cube import LsfImage, fit_lsf_image
from core.spectral.lsf_hermite import (
    REACH,
    HermiteLsf,
    fit_hermite,
    hermite_columns,
    lines_among,
)

if TYPE_CHECKING:
    from core.recipes.muse.muse_lsf import LsfParameters

__all__ = ["LsfFlow"]

_HERMITE_LINES: Final = 40
_COVERED: Final = 0.8  # part of the wavelengths of the profiles that lines should cover


@dataclass
class LsfFlow:
    """One IFU on its way from raw frames to its line-spread function."""

    recipe: Recipe
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
                self._subtracted(pixels, {number: images[number].model(pixels[number]) for number in images})
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
        targets = self.catalogue.wave[lines]
        rows = {number: HermiteLsf() for number in range(1, N_SLICES + 1)}
        kept: dict[int, LinePixels] = {}
        models: dict[int, NDArray[np.float64]] = {}
        qc = QcWriter(self.recipe, LSF_PROFILE, self.header)
        for done, number in enumerate(self.slices, start=1):
            try:
                pixels = pixels_near_lines(
                    image.data, image.stat, image.dq != 0, self.trace, self.dispersion, number, targets, REACH
                )
                chosen = lines_among(pixels.wave, pixels.data, pixels.stat, targets, self.catalogue.flux[lines])
                fit = fit_hermite(chosen)
            except MuseError as error:
                self.ctx.log.error("slice %d: %s", number, error.message)
                continue
            if not fit.converged:
                self.ctx.log.warning("slice %d: the search ended at its limit of function calls", number)
            rows[number], kept[number] = fit.lsf, pixels
            models[number] = fit.model(pixels.wave, chosen.lines)
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
                "xpos": FieldPlace.beside_others(number).xpos(mine.x, left, right),
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
