"""muse_illum: a raw illumination flat becomes a file of integers that other programs read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from core.errors import ChipNotLiveError, MissingInputError
from core.fitsfile.header import Header
from core.fitsfile.structure import image_cards
from core.fitsfile.writer import FitsWriter
from core.formats.raw import RawFile, open_raw
from core.instruments.muse.facts import N_IFU, chip_name
from core.recipes.declaration import FrameSpec, ProductSpec, Recipe, RecipeParameters
from core.recipes.flow import FileProduct, PartOutput, RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.muse.differences.muse_illum import DIFFERENCES
from core.recipes.names import product_name
from core.recipes.parts import MemoryNeed, Part

__all__ = ["IllumParameters", "MuseIllum"]

_RAW_TAG: Final = "ILLUMFLAT"
_TAG: Final = "ILLUM"
_STORED: Final = ("BZERO", "BSCALE", "BLANK", "CHECKSUM", "DATASUM")  # how the integers were stored


class IllumParameters(RecipeParameters):
    """muse_illum has no parameters."""


@dataclass(frozen=True)
class _Channels:
    """A copy of the channels of a raw frame, which is written one channel after the other."""

    path: Path
    raw: RawFile
    ifus: Sequence[int]

    def finish(self, header: Header) -> Path:
        """Write the file; see `core.recipes.flow.FilledFile`."""
        with FitsWriter(self.path, datamd5=True) as writer:
            writer.primary(header)
            for ifu in self.ifus:
                channel = self.raw.channel(ifu)
                hdu = self.raw.scan.extension(chip_name(ifu))
                own = Header() if hdu is None else hdu.header.copy()
                own.remove(*image_cards(np.dtype(np.int32), channel.shape), *_STORED)
                writer.image(own, channel.read().astype(np.int32))
        return self.path

    def discard(self) -> None:
        """Nothing is reserved."""


class MuseIllum(Recipe):
    """Copy an illumination flat."""

    name = "muse_illum"
    version = "1"
    memory = MemoryNeed(fixed_mb=200, part_mb=150)
    summary = "Copy a raw illumination flat-field exposure into a product of type ILLUM."
    description = (
        "The channels of the exposure are copied as they are, in the order of their numbers; their pixels become "
        "integers of 32 bits. Nothing is subtracted or divided."
    )
    inputs = (FrameSpec(_RAW_TAG, "raw", min=1, description="Raw illumination flat-field exposure"),)
    Params = IllumParameters
    products = (ProductSpec(_TAG, "image", "Illumination flat-field exposure"),)
    qc = ()
    differences = DIFFERENCES

    @classmethod
    def check_inputs(cls, frames: FrameSet) -> None:
        """One exposure, no more; see `Recipe.check_inputs`.

        Raises
        ------
        MissingInputError
            If there is none, or more than one.
        """
        super().check_inputs(frames)
        if len(frames) > 1:
            raise MissingInputError(f"{cls.name} takes one {_RAW_TAG}, the set of frames has {len(frames)}", rule=_TAG)

    def process(self, part: Part, frames: FrameSet, params: IllumParameters, ctx: RecipeContext) -> PartOutput:
        """Copy the exposure; see `Recipe.process`.

        Raises
        ------
        MissingInputError
            If it has no channel at all.
        """
        frame = frames.one(_RAW_TAG)
        raw = open_raw(frame.path)
        present = []
        for ifu in range(1, N_IFU + 1):
            try:
                raw.channel(ifu)
            except (MissingInputError, ChipNotLiveError) as error:
                ctx.log.warning("%s", error)
            else:
                present.append(ifu)
        if not present:
            raise MissingInputError("the exposure has no channel", file=frame.path, rule="CHANnn")
        path = ctx.output_dir / product_name(_TAG, number=1)
        copy = _Channels(path, raw, present)
        return PartOutput([FileProduct(_TAG, copy, raw.primary.copy(), (frame,), (), 1)])
