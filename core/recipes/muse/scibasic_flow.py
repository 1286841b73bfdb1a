"""The way of one IFU from raw exposures of the sky to pixel tables, for muse_scibasic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.combine import CombineOptions
from core.ccd.cosmics import flag_cosmics
from core.ccd.reduction import MasterRows, divide_by_flat
from core.errors import DataError, MissingInputError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key, set_key
from core.formats.image import ImageRows, MuseImage, open_image
from core.formats.pixtable import default_form
from core.formats.pixtable_header import PixtableLimits
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_slices import SliceRows
from core.formats.pixtable_slicewise import SlicewiseTable
from core.instruments.muse.facts import NOTCH, SAMPLING, USEFUL_RANGE, Dq, mode_class
from core.recipes.declaration import Recipe
from core.recipes.flow import ArrayProduct, FileProduct, ImageProduct, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.basic import RawStack, combine_frames, combine_masked, exposure_factors, prepare, tell_untimed
from core.recipes.muse.consistency import size_words
from core.recipes.muse.illum import describe_illumination, measure_illumination
from core.recipes.muse.image_store import ImageStore
from core.recipes.muse.sky_flats import SkyFlat, load_sky_flats
from core.recipes.muse.sky_shift import sky_line_shift
from core.recipes.muse.slice_maps import SliceMaps, load_slice_maps
from core.recipes.muse.slice_pixels import GatheredPixels, PixelsOfImage, PixelsOfSlices
from core.recipes.muse.strehl import write_strehl
from core.recipes.names import product_name
from core.recipes.qcwriter import QcWriter
from core.spatial.illumination import Illumination
from core.spatial.picture import RowsOfSlice, spectra_side_by_side
from core.spatial.positions import SliceMap, take_together
from core.spatial.spectrum import SpectrumBins

if TYPE_CHECKING:
    from core.recipes.muse.muse_scibasic import ScibasicParameters

__all__ = ["SKY_TAGS", "ScibasicFlow"]

SKY_TAGS: Final = ("OBJECT", "STD", "SKY", "ASTROMETRY")

F32 = NDArray[np.float32]
Spectrum = tuple[NDArray[np.float64], NDArray[np.float64]]

_EPSILON: Final = float(np.finfo(np.float32).eps)  # [Angstrom] that a row may lie beyond a crop
_FLAT_MARGIN: Final = 2.0 * SAMPLING  # [Angstrom] that the spectrum of the flat field reaches beyond
_SLAB_ROWS: Final = 64
_IMAGE_ONLY: Final = r"(QC\.|DRS\.MUSE\.OVSC)"


@dataclass(frozen=True)
class _Exposure:
    """An exposure on its way to a pixel table."""

    tag: str
    number: int
    header: Header
    n_saturated: int
    pixels: PixelsOfSlices
    raws: tuple[Frame, ...]

    @property
    def mode(self) -> str:
        """Class of the instrument mode."""
        return mode_class(get_key(self.header, "INS.MODE", str, default=None))


@dataclass
class ScibasicFlow:
    """One IFU: its exposures one after the other, with what is applied to all of them."""

    recipe: Recipe
    ifu: int
    frames: FrameSet
    params: ScibasicParameters
    ctx: RecipeContext
    _maps: SliceMaps = field(init=False)
    _illumination: Illumination | None = None
    _flats: list[SkyFlat] = field(default_factory=list)
    _flat_spectrum: Spectrum | None = None
    _masters: tuple[Frame, ...] = ()  # what the images are made with
    _calibs: tuple[Frame, ...] = ()  # what the pixel tables are made with
    _illum: tuple[Frame, ...] = ()  # raw frame that the illumination comes from

    def run(self) -> None:
        """Make and save all products of the IFU."""
        reduced = self.frames.tagged("REDUCED")
        images = self._of_reduced(reduced) if reduced else self._of_raw()
        for done, exposure in enumerate(images, start=1):
            self._save_exposure(exposure)
            self.ctx.progress(done / (done + 1), f"saved {exposure.tag} {exposure.number}")

    # -- images ------------------------------------------------------------------------------------------------
    def _of_raw(self) -> Iterator[_Exposure]:
        """Raw exposures, reduced one after the other or combined."""
        stack = prepare(self.ifu, self.frames, SKY_TAGS, self.params, self.ctx)
        self._maps = load_slice_maps(self.ifu, self.frames, stack.detector.trimmed_shape, self.ctx.log)
        combined = self.params.combine_options
        self._masters = stack.calibs
        self._flat_spectrum = self._spectrum_of_flat(stack)
        if found := measure_illumination(self.ifu, self.frames, self._maps.maps, self.params, self.ctx):
            if combined is None:
                self._illumination, frame = found
                self._illum = (frame,)
            else:
                self.ctx.log.warning("a combination of exposures is not corrected for the illumination of the slices")
        self._flats = load_sky_flats(self.frames, self.ifu, self.ctx.log)
        self._calibs = (*stack.calibs, *self._maps.frames, *(flat.frame for flat in self._flats))
        if combined is not None:
            yield self._exposure(stack.tag, 1, self._combined(stack, combined), stack.raws)
            return
        for index, prepared in enumerate(stack.frames):
            frame = prepared.frame
            number = self.frames.tagged(frame.tag).index(frame) + 1  # the same in all IFUs, if one lacks a frame, too
            if self._image_wanted:
                yield self._exposure(frame.tag, number, self._reduced(stack, index), (frame,))
            else:
                yield self._gathered(stack, index, number)

    @property
    def _image_wanted(self) -> bool:
        """Whether an exposure must be had as an image."""
        gapless = all(slice_map.is_gapless for slice_map in self._maps.maps)
        return self.params.saveimage or self.params.cr != "none" or not gapless

    def _exposure(self, tag: str, number: int, image: MuseImage, raws: tuple[Frame, ...]) -> _Exposure:
        write_strehl(raws[0].path, image.header, self.ctx.log)
        qc = QcWriter(self.recipe, f"{tag}_RED", image.header)
        qc.write("QC.SCIBASIC.NSATURATED", image.n_saturated)
        if self.params.saveimage:
            self.ctx.save(ImageProduct(f"{tag}_RED", image, raws, self._masters, number))
        return _Exposure(tag, number, image.header, image.n_saturated, PixelsOfImage(image), raws)

    def _gathered(self, stack: RawStack, index: int, number: int) -> _Exposure:
        """One exposure that is never an image."""
        frame = stack.frames[index].frame
        pixels = GatheredPixels(self._maps.maps)
        result = combine_masked(stack, CombineOptions("average"), self.ctx, select=[index], out=pixels)
        write_strehl(frame.path, result.header, self.ctx.log)
        return _Exposure(frame.tag, number, result.header, result.combined_saturated, pixels, (frame,))

    def _combined(self, stack: RawStack, options: CombineOptions) -> MuseImage:
        """All exposures as one; cosmic rays are looked for in each of them."""
        if self.params.cr == "none":
            return combine_frames(stack, options, self.ctx, scale=self.params.scale).image
        options.check_number(len(stack.frames))
        if self.params.scale:
            tell_untimed(stack.frames, self.ctx.log)
        header = Header()
        with ImageStore(stack.detector.trimmed_shape, self.ctx.spread, flags=True) as store:
            for index, factor in enumerate(exposure_factors(stack.frames, scale=self.params.scale)):
                image = self._reduced(stack, index)
                image.data[:] *= factor
                image.stat[:] *= factor * factor
                store.add(image.data, image.stat, image.dq)
                header = image.header if index == 0 else header
            return store.combine(options, header)

    def _reduced(self, stack: RawStack, index: int) -> MuseImage:
        """One exposure; cosmic rays are looked for before the flat field is applied."""
        options = CombineOptions("average")
        if self.params.cr == "none":
            return combine_frames(stack, options, self.ctx, select=[index]).image
        flat = stack.masters.flat
        unflattened = replace(stack, masters=replace(stack.masters, flat=None))
        image = combine_frames(unflattened, options, self.ctx, select=[index]).image
        found = flag_cosmics(image.data, image.dq, self.params.dcr)
        self.ctx.log.info("%d pixels hit by cosmic rays", found)
        if flat is not None:
            for y0 in range(0, flat.shape[0], _SLAB_ROWS):
                y1 = min(y0 + _SLAB_ROWS, flat.shape[0])
                rows = MasterRows(image.data[y0:y1], image.dq[y0:y1], image.stat[y0:y1])
                divide_by_flat(rows, MasterRows(*flat.rows(y0, y1)))
            flux = get_key(flat.header, "QC.FLAT.MASTER.INTFLUX", float, default=1.0)
            set_key(image.header, "DRS.MUSE.FLAT.FLUX.LAMP", flux, "flux of the lamp flat used")
        return image

    def _of_reduced(self, given: Sequence[Frame]) -> Iterator[_Exposure]:
        """Images that went through the basic processing before."""
        number = 0
        refused: MissingInputError | None = None
        for frame in given:
            try:
                image = open_image(frame.path, self.ifu).read()
            except MissingInputError as error:
                refused = refused or error
                continue
            number += 1
            if image.unit != "count":
                raise DataError(f'the image has the unit "{image.unit}", not "count"', file=frame.path, keyword="BUNIT")
            if number > 1 and image.data.shape != self._maps.maps[0].shape:
                raise DataError(
                    f"the image has {size_words(image.data.shape)}, those before it have "
                    f"{size_words(self._maps.maps[0].shape)}",
                    file=frame.path,
                )
            if number == 1:
                self._maps = load_slice_maps(self.ifu, self.frames, image.data.shape, self.ctx.log)
                self._calibs = self._maps.frames
            yield _Exposure("REDUCED", number, image.header, 0, PixelsOfImage(image), (frame,))
        if not number:
            raise refused or MissingInputError("no REDUCED image", ifu=self.ifu)

    def _spectrum_of_flat(self, stack: RawStack) -> Spectrum | None:
        """Spectrum of the lamps in the master flat, which the data are divided by and must be multiplied with."""
        flat = stack.masters.flat
        if flat is None:
            return None
        maps = self._maps.maps
        waves = [slice_map.wavelengths for slice_map in maps]
        bins = SpectrumBins(min(w.min() for w in waves), max(w.max() for w in waves), SAMPLING)
        for wave, values in zip(waves, take_together(maps, _unflagged(flat), np.float32), strict=True):
            bins.add_values(wave, values)
        found = bins.spectrum()
        if not found.wave.size:
            raise DataError("the master flat has no good pixel in a slice", file=flat.path)
        return found.wave, found.data

    # -- pixel tables ------------------------------------------------------------------------------------------
    def _save_exposure(self, exposure: _Exposure) -> None:
        header = exposure.header.copy()
        del_keys(header, _IMAGE_ONLY)
        tag = f"PIXTABLE_{exposure.tag}"
        qc = QcWriter(self.recipe, tag, header)
        shift = 0.0
        if exposure.tag != "REDUCED":
            qc.write("QC.SCIBASIC.NSATURATED", exposure.n_saturated)
            shift = self._shift(exposure)
            qc.write("QC.SCIBASIC.LAMBDA.SHIFT", shift)
        slices = [self._cropped(SliceRows.whole(self.ifu, m, shift), exposure) for m in self._maps.maps]
        if not any(rows.n_rows for rows in slices):
            raise DataError(
                f"no pixel has a wavelength in the useful range of {exposure.mode}",
                file=exposure.raws[0].path,
                ifu=self.ifu,
            )
        self._describe(header)
        path = self.ctx.output_dir / product_name(tag, number=exposure.number, unit=self.ifu)
        form = "compact" if self.params.compact else default_form()
        flat = self._flat_in(slices) if exposure.tag != "REDUCED" else None
        with SlicewiseTable.create(path, header, slices, form=form, flat_field=flat) as table:
            picture = self._fill(table, exposure)
            table.describe(header)
            self.ctx.save(
                FileProduct(tag, table, header, (*exposure.raws, *self._illum), self._calibs, exposure.number)
            )
        if picture is not None:
            self._save_picture(exposure, header, picture)

    def _shift(self, exposure: _Exposure) -> float:
        """Shift of the wavelengths [Angstrom], as the table keeps it."""
        options = self.params.sky_lines
        if not options.lines:
            return 0.0
        shift = sky_line_shift(self._maps.maps, exposure.pixels, options, self.ctx.log)
        self.ctx.log.info("wavelengths are shifted by %+.4f Angstrom", shift)
        return shift

    def _cropped(self, rows: SliceRows, exposure: _Exposure) -> SliceRows:
        if not self.params.crop:
            return rows
        low, high = USEFUL_RANGE[exposure.mode]
        return rows.within(low - _EPSILON, high + _EPSILON)

    def _flat_in(self, slices: Sequence[SliceRows]) -> Spectrum | None:
        """The spectrum of the flat field where the table has rows."""
        if self._flat_spectrum is None or not self.params.crop:
            return self._flat_spectrum
        limits = [found for rows in slices if (found := rows.wave_limits())]
        if not limits:
            return None
        centres, values = self._flat_spectrum
        low, high = min(low for low, _ in limits) - _FLAT_MARGIN, max(high for _, high in limits) + _FLAT_MARGIN
        inside = (centres >= low) & (centres <= high)
        if not inside.any():
            self.ctx.log.warning("the flat field has no spectrum from %.1f to %.1f Angstrom", low, high)
            return None
        return centres[inside], values[inside]

    def _describe(self, header: Header) -> None:
        set_key(header, f"{PREFIX}.TYPE", self._maps.kind, "with or without positions in the field of view")
        if self._illumination is not None:
            describe_illumination(header, self._illumination)
        for flat in self._flats:
            if flat.flux is not None:
                set_key(header, "DRS.MUSE.FLAT.FLUX.SKY", flat.flux, "flux of the twilight sky of this IFU")

    def _fill(self, table: SlicewiseTable, exposure: _Exposure) -> F32 | None:
        """Put all slices into the table; the resampled picture, if it is wanted."""
        pictured: list[RowsOfSlice] = []
        limits: list[PixtableLimits] = []
        for number, rows, (data, stat, dq) in exposure.pixels.pieces(table.slices):
            columns = rows.columns(names=("xpos", "ypos", "lambda"))
            if notch := NOTCH.get(exposure.mode):
                dq[(columns["lambda"] > notch[0]) & (columns["lambda"] < notch[1])] = int(Dq.NOTCH_NAD)
            self._correct(rows.map, columns, data, stat, dq)
            table.put(number, columns, data, dq, stat)
            if self.params.resample:
                limits.append(PixtableLimits.of_slice(columns, rows.ifu, rows.map.slice_no))
                pictured.append(RowsOfSlice(columns["xpos"], columns["lambda"], data, dq))
        if not self.params.resample:
            return None
        low, high = (float(pick(limit.wave[end] for limit in limits)) for end, pick in ((0, min), (1, max)))
        return spectra_side_by_side(pictured, (low, high), self.params.dlambda)

    def _correct(
        self, slice_map: SliceMap, columns: dict[str, NDArray[Any]], data: F32, stat: F32, dq: NDArray[np.int32]
    ) -> None:
        """Illumination of the slices and flat field of the sky, in place; flag what has no value."""
        if self._illumination is not None:
            factor = self._illumination.factors[slice_map.slice_no]
            data *= np.float32(factor)
            stat *= np.float32(factor * factor)
        for flat in self._flats:
            flat.field.divide(columns["xpos"], columns["ypos"], columns["lambda"], data, stat)
        with np.errstate(invalid="ignore", over="ignore"):
            known = np.isfinite(data.sum())
        if not known:
            dq[~np.isfinite(data)] |= int(Dq.MISSING)

    def _save_picture(self, exposure: _Exposure, header: Header, picture: F32) -> None:
        own = Header()
        low = get_key(header, f"{PREFIX}.LIMITS.LAMBDA.LOW", float)
        for axis, (kind, unit, value, step) in enumerate(
            (("PIXEL", "pixel", 1.0, 1.0), ("AWAV", "Angstrom", low, self.params.dlambda)), start=1
        ):
            own[f"CTYPE{axis}"], own[f"CUNIT{axis}"] = kind, unit
            own[f"CRPIX{axis}"], own[f"CRVAL{axis}"], own[f"CD{axis}_{axis}"] = 1.0, value, step
        own["BUNIT"] = "count"
        cards = header.copy()
        del_keys(cards, r"(QC\.|DRS\.MUSE\.PIXTABLE\.)")
        tag = f"{exposure.tag}_RESAMPLED"
        self.ctx.save(ArrayProduct(tag, "DATA", picture, cards, own, exposure.raws, self._calibs, exposure.number))


def _unflagged(image: ImageRows) -> Iterator[F32]:
    """Data of an image, some rows at a time, NaN where a pixel is flagged."""
    for y0 in range(0, image.shape[0], _SLAB_ROWS):
        y1 = min(y0 + _SLAB_ROWS, image.shape[0])
        data: F32 = image.read_part("DATA", y0, y1)
        data[image.read_part("DQ", y0, y1) != 0] = np.nan
        yield data
