"""What a QC procedure takes and gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from core.recipes.results import PlotFile, WrittenProduct

__all__ = ["PlotFile", "Procedure", "ProcedureInput"]

_NAME: Final = re.compile(r"(?P<tag>[A-Z][A-Z_]*[A-Z])(_(?P<number>\d{4}))?(-(?P<unit>\d\d))?\.fits$")


@dataclass(frozen=True)
class ProcedureInput:
    """A finished block on disk.

    Attributes
    ----------
    block : str
        Name, for titles.
    recipe : str
    raws : tuple of pathlib.Path
        Raw frames by time.
    products : dict
        (tag, unit) to file; unit is None for merged files.
    references : dict
        (tag, unit) to the file of an earlier block of the same kind and setup, to compare with.
    numbered : dict
        Tag to the merged files that have running numbers (exposures, filters), in their order; see `files`.
    """

    block: str
    recipe: str
    raws: tuple[Path, ...]
    products: dict[tuple[str, int | None], Path]
    references: dict[tuple[str, int | None], Path]
    numbered: dict[str, tuple[Path, ...]] = field(default_factory=dict)

    @classmethod
    def of_run(
        cls, block: str, recipe: str, raws: Iterable[Path], output_dir: Path, references: Iterable[WrittenProduct]
    ) -> ProcedureInput:
        """Of a recipe that has written to ``output_dir``."""
        earlier = {(product.tag, product.unit): product.path for product in references}
        return cls(block, recipe, tuple(raws), _products(output_dir), earlier, _numbered(output_dir))

    def units(self, tag: str) -> tuple[int, ...]:
        """Units that have a product file of their own with this tag, ascending."""
        return tuple(sorted(unit for found, unit in self.products if found == tag and unit is not None))

    def files(self, tag: str) -> tuple[Path, ...]:
        """Merged files with this tag: those of all exposures or filters, or the only one."""
        one = self.products.get((tag, None))
        return self.numbered.get(tag) or (() if one is None else (one,))


@dataclass(frozen=True)
class Procedure:
    """The pictures of the blocks of a recipe.

    Attributes
    ----------
    tag : str
        Product whose units have pictures of their own.
    of_all : callable
        Makes the pictures that show all units, below a folder.
    of_unit : callable
        Makes those of one unit.
    """

    tag: str
    of_all: Callable[[ProcedureInput, Path], list[PlotFile]]
    of_unit: Callable[[ProcedureInput, int, Path], list[PlotFile]]


def _numbered(folder: Path) -> dict[str, tuple[Path, ...]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.fits")):
        name = _NAME.match(path.name)
        if name and name["number"] and not name["unit"]:
            found.setdefault(name["tag"], []).append(path)
    return {tag: tuple(paths) for tag, paths in found.items()}


def _products(folder: Path) -> dict[tuple[str, int | None], Path]:
    """Product files by the names that recipes give: ``TAG-nn.fits``, ``TAG.fits``; of exposures the last."""
    found: dict[tuple[str, int | None], Path] = {}
    for path in sorted(folder.glob("*.fits")):
        name = _NAME.match(path.name)
        if name:
            found[name["tag"], int(name["unit"]) if name["unit"] else None] = path
    return found
