"""Recipes for tests of the kit: one that works by slabs of wavelength, one that does the whole at once.

They are registered as a user would do it, in the environment: ``CASCADE_RECIPES=toy_cube=tests.recipes.toys:ToyCube``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DataError
from core.fitsfile.header import Header
from core.fitsfile.scan import scan_fits
from core.formats.cube import CubeFile
from core.formats.image import MuseImage
from core.recipes.declaration import FrameSpec, ProductSpec, QcSpec, Recipe, RecipeParameters, parameter
from core.recipes.flow import FileProduct, ImageProduct, PartOutput, Product, RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.names import product_name
from core.recipes.parts import MemoryNeed, Part, PartKind, slabs
from core.recipes.qcwriter import QcWriter

SHAPE = (3, 4)
REGISTERED = ",".join(
    f"{name}=tests.recipes.toys:{class_name}"
    for name, class_name in (("toy_cube", "ToyCube"), ("toy_lossy", "ToyLossy"), ("toy_mean", "ToyMean"))
)


class ToyParameters(RecipeParameters):
    """Parameters of the toys."""

    slabs: int = parameter(5, "Number of slabs.", ge=1)
    fail: int = parameter(0, "Number of a slab that fails.", ge=0)
    kill: int = parameter(0, "Number of a slab whose process is killed.", ge=0)


class ToyCube(Recipe):
    """A cube of two planes a slab: each plane holds its number plus the number of raw frames."""

    name = "toy_cube"
    version = "1"
    summary = "Make a cube by slabs."
    description = "Makes a cube by slabs."
    inputs = (FrameSpec("TOY", "raw", min=1, description="Any frame"),)
    Params = ToyParameters
    products = (ProductSpec("TOY_CUBE", "cube", "A cube"),)
    qc = (QcSpec("QC.TOY.SUM", "count", "float", "HC", "Sum of all voxels", ("TOY_CUBE",)),)
    parts = PartKind.SLAB
    memory = MemoryNeed(fixed_mb=200, part_mb=200)

    def list_parts(self, frames: FrameSet, params: ToyParameters) -> tuple[Part, ...]:
        """As many slabs of 100 Angstrom as are asked for."""
        return slabs(4750.0, 4750.0 + 100.0 * params.slabs, 100.0)

    def prepare(self, frames: FrameSet, params: ToyParameters, ctx: RecipeContext) -> Path:
        """Reserve the cube."""
        path = ctx.output_dir / product_name("TOY_CUBE")
        with CubeFile.create(path, (2 * params.slabs, *SHAPE), Header(), Header(), unit="count"):
            ctx.progress(1.0, "reserved")
        return path

    def process(self, part: Part, frames: FrameSet, params: ToyParameters, ctx: RecipeContext) -> PartOutput:
        """Fill two planes."""
        if part.number == params.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if part.number == params.fail:
            raise DataError("no light", file=frames.frames[0].path)
        first = 2 * (part.number - 1)
        planes = np.empty((2, *SHAPE), np.float32)
        planes[:] = np.arange(first, first + 2)[:, None, None] + len(frames)
        with CubeFile.open(ctx.prepared) as cube:
            cube.put(first, planes, np.ones_like(planes))
        ctx.progress(0.5, "filled")
        return PartOutput(measured=float(planes.sum()))

    def finish(
        self, frames: FrameSet, params: ToyParameters, ctx: RecipeContext, measured: Mapping[Part, float]
    ) -> Sequence[Product]:
        """Fill what was lost with NaN, and measure."""
        cube = CubeFile.open(ctx.prepared)
        for plane in cube.missing():
            gap = np.full((1, *SHAPE), np.nan, np.float32)
            cube.put(plane, gap, gap)
        header = scan_fits(frames.frames[0].path).primary.copy()
        QcWriter(self, "TOY_CUBE", header).write("QC.TOY.SUM", sum(measured.values()))
        ctx.progress(1.0, "measured")
        return [FileProduct("TOY_CUBE", cube, header, frames.frames, ())]

    def abandon(self, prepared: Path) -> None:
        """Remove the cube."""
        with CubeFile.open(prepared) as cube:
            cube.discard()


class ToyLossy(ToyCube):
    """A cube that is worth having with gaps."""

    name = "toy_lossy"
    survives_loss = True


class ToyMean(Recipe):
    """An image whose pixels are the number of frames."""

    name = "toy_mean"
    version = "1"
    summary = "Count frames."
    description = "Counts frames."
    inputs = (FrameSpec("TOY", "raw", min=1, description="Any frame"),)
    Params = RecipeParameters
    products = (ProductSpec("TOY_MEAN", "image", "An image"),)
    qc = (QcSpec("QC.TOY.N", "", "int", "HC", "Number of frames", ("TOY_MEAN",)),)
    memory = MemoryNeed(fixed_mb=200, part_mb=200)

    def process(self, part: Part, frames: FrameSet, params: Any, ctx: RecipeContext) -> PartOutput:
        """Make the image."""
        header = scan_fits(frames.frames[0].path).primary.copy()
        QcWriter(self, "TOY_MEAN", header).write("QC.TOY.N", len(frames))
        pixels = np.full(SHAPE, len(frames), np.float32)
        image = MuseImage(pixels, np.zeros(SHAPE, np.int32), np.ones(SHAPE, np.float32), header, "count")
        ctx.log.info("counted %d frames", len(frames))
        return PartOutput([ImageProduct("TOY_MEAN", image, frames.frames, (), number=1)], measured=len(frames))
