"""muse_qi_mask: traces and wavelengths become the masks by which images are reconstructed while exposures are taken."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from core.ccd.geometry import Detector
from core.ccd.trace_model import TraceLine
from core.errors import ChipNotLiveError, MissingInputError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.fitsfile.writer import FitsWriter
from core.formats.raw import RawFile, open_raw
from core.instruments.muse.facts import N_IFU, N_SLICES, chip_name
from core.recipes.declaration import FrameSpec, ProductSpec, Recipe, RecipeParameters, parameter
from core.recipes.flow import FileProduct, PartOutput, Product, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.arc_lamps import load_trace
from core.recipes.muse.differences.muse_qi_mask import DIFFERENCES
from core.recipes.muse.slice_maps import load_slice_maps
from core.recipes.muse.units import ifu_part
from core.recipes.names import product_name
from core.recipes.parts import MemoryNeed, Part, PartKind, Schedule
from core.spatial.positions import SliceMap
from core.spatial.rangemask import common_dispersion, find_slices, range_mask, wave_map

__all__ = ["MuseQiMask", "QiMaskParameters"]

_TAG: Final = "MASK_IMAGE"
_LOW, _HIGH = 4650.0, 9300.0  # [Angstrom]
_OF_CHIP: Final = re.compile(r"ESO DET (CHIP|OUT\d) ")


class QiMaskParameters(RecipeParameters):
    """Parameters of muse_qi_mask."""

    nifu: int = parameter(0, "IFU to handle. If set to 0, all IFUs are processed.", ge=0, le=N_IFU)

    def schedule(self) -> Schedule:
        """One IFU after the other: each takes a second."""
        return replace(super().schedule(), parallel=False)


@dataclass(frozen=True, eq=False)
class _Mask:
    """The mask of an IFU as a raw frame: its cards, its bits, its shape, and the tables that it is made of."""

    header: Header
    bits: npt.NDArray[np.uint8]
    shape: tuple[int, int]
    tables: tuple[Frame, ...]

    def array(self) -> npt.NDArray[np.uint8]:
        """1 where it is true."""
        n = self.shape[0] * self.shape[1]
        return np.unpackbits(self.bits, count=n).reshape(self.shape)


@dataclass(frozen=True)
class _MaskFile:
    """The file that holds all masks."""

    path: Path
    masks: Sequence[_Mask]

    def finish(self, header: Header) -> Path:
        """Write the file; see `core.recipes.flow.FilledFile`."""
        with FitsWriter(self.path, datamd5=True) as writer:
            writer.primary(header)
            for mask in self.masks:
                writer.image(mask.header, mask.array())
        return self.path

    def discard(self) -> None:
        """Nothing is reserved."""


class MuseQiMask(Recipe):
    """Make masks of the pixels of a detector that see the wavelengths of MUSE."""

    name = "muse_qi_mask"
    version = "1"
    memory = MemoryNeed(fixed_mb=250, part_mb=250)
    summary = "Make masks of the slices on raw frames, for the fast reconstruction of images."
    description = (
        "Trace and wavelength calibration tell which pixels of the raw frame of an IFU see light between 4650 and 9300 "
        "Angstrom: in the mask they are 1. The header has the limits of each slice in pixels of the raw frame, and a "
        "parabola of the wavelengths along it (not for binned frames). If no BIAS is given, the frames are taken to be "
        "those of a full detector that is not binned; nothing but size and header of the BIAS is used."
    )
    inputs = (
        FrameSpec("BIAS", "raw", max=1, description="Raw bias, of whose size and header the masks are"),
        FrameSpec("TRACE_TABLE", "calib", min=1, description="Trace table"),
        FrameSpec("WAVECAL_TABLE", "calib", min=1, description="Wavelength calibration table"),
    )
    Params = QiMaskParameters
    parts = PartKind.UNIT
    needs_raw = False
    products = (ProductSpec(_TAG, "image", "Masks of the slices, one extension for each IFU"),)
    qc = ()
    differences = DIFFERENCES

    def list_parts(self, frames: FrameSet, params: QiMaskParameters) -> tuple[Part, ...]:
        """The IFU asked for by ``nifu``, or all."""
        return tuple(map(ifu_part, [params.nifu] if params.nifu else range(1, N_IFU + 1)))

    def process(self, part: Part, frames: FrameSet, params: QiMaskParameters, ctx: RecipeContext) -> PartOutput:
        """Make the mask of an IFU: a file, or what goes into that of all; see `Recipe.process`.

        Raises
        ------
        MissingInputError
            If the IFU that is asked for lacks one of the tables.
        """
        bias = frames.optional("BIAS")
        raw = None if bias is None else open_raw(bias.path)
        if raw is None:
            ctx.log.warning("without a BIAS the masks are those of frames of a full detector")
        try:
            mask = _mask_of(part.number, frames, raw, ctx)
        except (MissingInputError, ChipNotLiveError) as error:
            if params.nifu:
                raise
            ctx.log.warning("%s has no mask: %s", chip_name(part.number), error)
            return PartOutput()
        if params.nifu:
            return PartOutput([_product([mask], frames, raw, ctx, part.number)])
        return PartOutput(measured=mask)

    def finish(
        self, frames: FrameSet, params: QiMaskParameters, ctx: RecipeContext, measured: Mapping[Part, _Mask | None]
    ) -> Sequence[Product]:
        """One file of all masks; see `Recipe.finish`.

        Raises
        ------
        MissingInputError
            If no IFU has both tables.
        """
        if params.nifu:
            return ()
        masks = [mask for _, mask in sorted(measured.items()) if mask is not None]
        if not masks:
            raise MissingInputError("no IFU has a TRACE_TABLE and a WAVECAL_TABLE", rule="TRACE_TABLE")
        bias = frames.optional("BIAS")
        return [_product(masks, frames, None if bias is None else open_raw(bias.path), ctx, None)]


def _product(
    masks: Sequence[_Mask], frames: FrameSet, raw: RawFile | None, ctx: RecipeContext, unit: int | None
) -> FileProduct:
    header = Header() if raw is None else raw.primary.copy()
    header["INSTRUME"] = "MUSE"
    header["OBJECT"] = "Mask full MUSE range"
    set_key(header, "DET.FRS.WMIN", np.float32(_LOW), "[Angstrom] Minimum wavelength")
    set_key(header, "DET.FRS.WMAX", np.float32(_HIGH), "[Angstrom] Maximum wavelength")
    path = ctx.output_dir / product_name(_TAG, number=1, unit=unit)
    used = {frame.path: frame for mask in masks for frame in mask.tables}
    return FileProduct(_TAG, _MaskFile(path, masks), header, frames.tagged("BIAS"), tuple(used.values()), 1)


def _mask_of(ifu: int, frames: FrameSet, raw: RawFile | None, ctx: RecipeContext) -> _Mask:
    detector, cards, (by, bx) = _frame_of(ifu, raw)
    binned = (by, bx) != (1, 1)
    shape = Detector().trimmed_shape if binned else detector.trimmed_shape
    slices = load_slice_maps(ifu, FrameSet(frames.tagged("TRACE_TABLE", "WAVECAL_TABLE")), shape, ctx.log)
    found = find_slices(range_mask(wave_map(slices.maps, shape, (by, bx)), _LOW, _HIGH))
    if len(found.boxes) != N_SLICES:
        ctx.log.warning("%s: %d slices in the mask, not %d", chip_name(ifu), len(found.boxes), N_SLICES)
    for number, (x0, x1, y0, y1) in enumerate(found.boxes, start=1):
        for name, x, y in (("START", x0, y0), ("END", x1, y1)):
            place = dict(zip("XY", detector.trimmed_to_raw(int(x), int(y)), strict=True))
            for axis, value in place.items():
                words = f"[pix] {'first' if name == 'START' else 'last'} pixel of slice {number} in {axis.lower()}"
                set_key(cards, f"DET.SLICE{number}.{axis}{name}", value, words)
    if not binned:
        _write_wavelengths(cards, ifu, frames, slices.maps, ctx)
    bits = np.zeros(detector.raw_shape, np.bool_)
    for port in (1, 2, 3, 4):
        bits[detector.raw_window(port)] = found.mask[detector.port_window(port)]
    return _Mask(cards, np.packbits(bits), detector.raw_shape, slices.frames)


def _frame_of(ifu: int, raw: RawFile | None) -> tuple[Detector, Header, tuple[int, int]]:
    """Detector of an IFU, the cards that tell of it, and how many of its pixels (in y, in x) are one."""
    cards = Header()
    cards["EXTNAME"] = (chip_name(ifu), "This is the extension of an IFU")
    if raw is None:
        return Detector(), cards, (1, 1)
    channel = raw.channel(ifu)
    cards.extend(card for card in channel.header.cards if _OF_CHIP.match(card.keyword))
    by, bx = (get_key(channel.header, f"DET.BIN{axis}", int, default=1) for axis in "YX")
    return channel.detector, cards, (by, bx)


def _write_wavelengths(cards: Header, ifu: int, frames: FrameSet, maps: Sequence[SliceMap], ctx: RecipeContext) -> None:
    trace, _ = load_trace(frames, ifu, ctx.log)
    centres = [trace.polynomial(item.slice_no, TraceLine.CENTER) for item in maps]
    found = common_dispersion(maps, centres)
    for item, own in zip(maps, found.own.tolist(), strict=True):
        set_key(cards, f"DET.WLEN.SLICE{item.slice_no}.POLY0", np.float32(own), "[Angstrom] constant of this slice")
    set_key(cards, "DET.WLEN.POLY1", np.float32(found.linear), "[Angstrom/pix] linear term of all slices")
    set_key(cards, "DET.WLEN.POLY2", np.float32(found.square), "[Angstrom/pix**2] quadratic term of all slices")
