"""Recipes whose blocks are done in parts by the service, and their pictures: what child processes load, and no more."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from core.errors import DataError, RetriableError
from core.fitsfile.header import Header
from core.fitsfile.scan import scan_fits
from core.formats.cube import CubeFile
from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.recipes.declaration import FrameSpec, ProductSpec, QcSpec, Recipe, RecipeParameters, parameter
from core.recipes.flow import FileProduct, PartOutput, Product, RecipeContext
from core.recipes.frames import FrameSet
from core.recipes.parts import MemoryNeed, Part, PartKind, slabs
from core.recipes.qcwriter import QcWriter

SHAPE = (6, 8)


class CubeParameters(RecipeParameters):
    """Parameters of the toys."""

    slabs: int = parameter(20, "Number of slabs.", ge=1)
    fail: int = parameter(0, "Number of a slab that fails.", ge=0)
    flaky: int = parameter(0, "Number of a slab that fails from outside at its first try.", ge=0)
    kill: int = parameter(0, "Number of a slab whose process is killed at its first try.", ge=0)
    pause: float = parameter(0.0, "What a slab takes [s].", ge=0)


def _qc_of(name: str) -> tuple[QcSpec, QcSpec]:
    return (
        QcSpec(f"QC.GEO.{name}SUM", "count", "float", "HC", "Sum of all voxels", ("TOY_CUBE",)),
        QcSpec(f"QC.STANDARD.{name}STAR", "", "str", "ENG", "Name of the star", ("TOY_CUBE",)),
    )


class SlabCube(Recipe):
    """A cube of two planes a slab, of values that differ everywhere."""

    name = "slab_cube"
    version = "1"
    summary = "Make a cube by slabs."
    description = "Makes a cube by slabs."
    inputs = (FrameSpec("TOY", "raw", min=1, description="Any frame"),)
    Params = CubeParameters
    products = (ProductSpec("TOY_CUBE", "cube", "A cube"),)
    qc = _qc_of("TOY")
    parts = PartKind.SLAB
    leased_parts = True
    memory = MemoryNeed(fixed_mb=300, part_mb=300)

    def list_parts(self, frames: FrameSet, params: CubeParameters) -> tuple[Part, ...]:
        """As many slabs of 100 Angstrom as are asked for."""
        return slabs(4750.0, 4750.0 + 100.0 * params.slabs, 100.0)

    def prepare(self, frames: FrameSet, params: CubeParameters, ctx: RecipeContext) -> Path:
        """Reserve the cube."""
        path = ctx.output_dir / "TOY_CUBE.fits"
        with CubeFile.create(path, (2 * params.slabs, *SHAPE), Header(), Header(), unit="count"):
            ctx.progress(1.0, "reserved")
        return path

    def process(self, part: Part, frames: FrameSet, params: CubeParameters, ctx: RecipeContext) -> PartOutput:
        """Fill two planes, one after the other."""
        if part.number == params.fail:
            raise DataError("no light in this slab")
        first_try = ctx.output_dir / f"tried-{part.key}"
        if part.number == params.flaky and not first_try.exists():
            first_try.touch()
            raise RetriableError("the disk was away")
        killed = frames.frames[0].path.with_name(f"{self.name}-{part.key}.killed")  # the next try has another directory
        if part.number == params.kill and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        planes = np.random.default_rng(part.number).normal(100.0, 10.0, (2, *SHAPE)).astype(np.float32)
        with CubeFile.open(ctx.prepared) as cube:
            for k in range(2):
                cube.put(2 * (part.number - 1) + k, planes[k : k + 1], planes[k : k + 1] ** 2)
                ctx.progress(0.5 * (k + 1), "filled")
                time.sleep(params.pause / 2)
        return PartOutput(measured=float(planes.sum(dtype=np.float64)))

    def finish(
        self, frames: FrameSet, params: CubeParameters, ctx: RecipeContext, measured: Mapping[Part, float]
    ) -> Sequence[Product]:
        """Fill what was lost with NaN, and measure."""
        cube = CubeFile.open(ctx.prepared)
        for plane in cube.missing():
            gap = np.full((1, *SHAPE), np.nan, np.float32)
            cube.put(plane, gap, gap)
        header = scan_fits(frames.frames[0].path).primary.copy()
        qc = QcWriter(self, "TOY_CUBE", header)
        for spec, value in zip(self.qc, (sum(measured.values()), "Feige 110"), strict=True):
            qc.write(spec.keyword, value)
        time.sleep(params.pause)
        return [FileProduct("TOY_CUBE", cube, header, frames.frames, ())]


class SlabLossy(SlabCube):
    """A cube that is worth having with gaps."""

    name = "slab_lossy"
    qc = _qc_of("LOSSY")
    survives_loss = True


class WholeCube(SlabCube):
    """The same cube, made as one."""

    name = "whole_cube"
    qc = _qc_of("WHOLE")
    parts = PartKind.WHOLE
    leased_parts = False

    def list_parts(self, frames: FrameSet, params: CubeParameters) -> tuple[Part, ...]:
        """The whole."""
        return Recipe.list_parts(self, frames, params)

    def process(self, part: Part, frames: FrameSet, params: CubeParameters, ctx: RecipeContext) -> PartOutput:
        """All slabs, one after the other."""
        sums = [super(WholeCube, self).process(slab, frames, params, ctx).measured for slab in self._slabs(params)]
        return PartOutput(measured=sum(sums))

    def _slabs(self, params: CubeParameters) -> tuple[Part, ...]:
        return slabs(4750.0, 4750.0 + 100.0 * params.slabs, 100.0)


def _picture(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    """One pixel per plane that is there."""
    from PIL import Image  # here, since only pictures need it

    path = folder / "cube.png"
    planes = scan_fits(block.products["TOY_CUBE", None]).hdus[1].shape[0]
    Image.new("L", (planes, 1)).save(path)
    return [PlotFile("cube", "Planes", "One pixel a plane.", str(path))]


PICTURES = Procedure("TOY_CUBE", _picture, lambda block, unit, folder: [])
