"""A recipe that ends with a cube: slabs of it are filled by any process, on any host, in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from core.recipes.declaration import Recipe
from core.recipes.flow import PartOutput, Product, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.cube_products import CubeMaker
from core.recipes.muse.cube_work import CubeWork, cube_parts
from core.recipes.muse.cubes import discard_cube
from core.recipes.parts import Part, PartKind

__all__ = ["CubeRecipe", "PlannedCube"]


@dataclass(frozen=True)
class PlannedCube:
    """What was prepared.

    Attributes
    ----------
    products : tuple of Product
        That are ready to be written.
    raws, calibs : tuple of Frame
        What the cube is made of.
    cube : CubeWork or None
        Reserved, if there is to be one.
    """

    products: tuple[Product, ...]
    raws: tuple[Frame, ...]
    calibs: tuple[Frame, ...]
    cube: CubeWork | None


class CubeRecipe(Recipe):
    """Its parts are slabs of a cube, or a single one of nothing if no cube is wanted.

    Attributes
    ----------
    table_tag : str
        Of the pixel tables whose wavelengths the slabs are of.
    qc_prefix : str or None
        Of the QC parameters of the cube, if it has some.
    """

    table_tag: ClassVar[str]
    qc_prefix: ClassVar[str | None] = None
    parts = PartKind.SLAB
    leased_parts = True

    @classmethod
    def wants_cube(cls, params: Any) -> bool:
        """Whether there is to be a cube."""
        return "cube" in params.save

    def list_parts(self, frames: FrameSet, params: Any) -> tuple[Part, ...]:
        """See `Recipe.list_parts`."""
        return cube_parts(frames, self.table_tag, params, divided=self.wants_cube(params))

    def process(self, part: Part, frames: FrameSet, params: Any, ctx: RecipeContext) -> PartOutput:
        """Fill a slab of the cube; see `Recipe.process`."""
        planned: PlannedCube = ctx.prepared
        if planned.cube is not None:
            planes = planned.cube.planes_of(part, self.list_parts(frames, params))
            CubeMaker(params, frames, ctx, self.qc_prefix).fill(planned.cube, planes)
        return PartOutput()

    def finish(
        self, frames: FrameSet, params: Any, ctx: RecipeContext, measured: Mapping[Part, Any]
    ) -> Sequence[Product]:
        """Make images of the cube; see `Recipe.finish`."""
        planned: PlannedCube = ctx.prepared
        if planned.cube is None:
            return planned.products
        maker = CubeMaker(params, frames, ctx, self.qc_prefix)
        return [*planned.products, *maker.products(planned.cube, planned.raws, planned.calibs)]

    def abandon(self, prepared: PlannedCube) -> None:
        """Remove the cube; see `Recipe.abandon`."""
        if prepared.cube is not None:
            discard_cube(prepared.cube.cube.path)
