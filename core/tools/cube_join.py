"""``muse_cube_concatenate`` and ``muse_cube_combine``: one cube of several that cover other wavelengths.

Exit codes: 0; 1 fewer than two cubes are named; 9 unknown option; 10 a cube cannot be read; 11 the output exists;
12 a cube does not fit the others; 20 the output cannot be written; 50 anything else.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from core.cubes.wcs import CubeGrid
from core.errors import MuseError, ProductStoreError
from core.fitsfile.header import Header
from core.fitsfile.keywords import has_key, hierarch_name, iter_keys, set_key
from core.formats.cube import open_cube
from core.formats.cube_axes import axes_of_cube
from core.formats.cube_join import PlaneRange, cube_primary, join_planes
from core.tools.commandline import ToolError, parse, run_tool

__all__ = ["combine", "concatenate"]

CONCATENATE_USAGE = """\
Usage: muse_cube_concatenate CUBE_OUT CUBE_IN_1 CUBE_IN_2 [...]
  The cubes are given in the order of their wavelengths."""
COMBINE_USAGE = """\
Usage: muse_cube_combine CUBE_OUT CUBE_IN_1 CUBE_IN_2 [...]"""

_MANY: Final = sys.maxsize
_UNREADABLE: Final = 10
_EXISTS: Final = 11
_MISFIT: Final = 12
_UNWRITABLE: Final = 20
_ROUNDING: Final = 4 * sys.float_info.epsilon  # relative: what sums of numbers of a header are off
_PARAMETER: Final = re.compile(r"PRO\.REC(\d+)\.PARAM\d+\.NAME")
_LIMITS: Final = ("lambdamin", "lambdamax")


def concatenate(words: list[str] | None = None) -> int:
    """Run ``muse_cube_concatenate``; returns the exit code."""
    return run_tool(lambda given: _join(given, CONCATENATE_USAGE, _adjacent), words)


def combine(words: list[str] | None = None) -> int:
    """Run ``muse_cube_combine``; returns the exit code."""
    return run_tool(lambda given: _join(given, COMBINE_USAGE, _complementary), words)


@dataclass(frozen=True)
class _Input:
    """A cube with its grid, and its planes that are used."""

    planes: PlaneRange
    grid: CubeGrid

    @property
    def name(self) -> str:
        return str(self.planes.cube.path)

    def wave(self, plane: int) -> float:
        return float(self.grid.spectral.wave(plane))

    def __str__(self) -> str:
        first, last = self.planes.z0, self.planes.z1 - 1
        return (
            f"{self.name}: planes {first + 1} to {last + 1}, {self.wave(first):.2f} to {self.wave(last):.2f} Angstrom"
        )


_Joined = tuple[list[_Input], Header]


def _join(words: list[str], usage: str, arrange: Callable[[list[_Input]], _Joined]) -> None:
    arguments = parse(words, usage, {}, files=(3, _MANY))
    target, *sources = (Path(name) for name in arguments.files)
    if target.exists():
        raise ToolError(_EXISTS, f"{target} exists already")
    inputs = [_opened(path) for path in sources]
    for other in inputs[1:]:
        _check_field(inputs[0], other)
    used, header = arrange(inputs)
    axes = used[0].planes.cube.axes_header
    axes["CRPIX3"] = used[0].grid.spectral.crpix - used[0].planes.z0
    for item in used:
        print(item)
    try:
        join_planes(target, [item.planes for item in used], header, axes)
    except ProductStoreError as error:
        raise ToolError(_UNWRITABLE, str(error)) from error
    print(f"{target}: {sum(len(item.planes) for item in used)} planes saved")


def _opened(path: Path) -> _Input:
    try:
        cube = open_cube(path)
        return _Input(PlaneRange(cube, 0, cube.shape[0]), axes_of_cube(cube))
    except (MuseError, OSError) as error:
        raise ToolError(_UNREADABLE, f"{path} is no cube that can be read: {error}") from error


def _check_field(first: _Input, other: _Input) -> None:
    """ToolError unless two cubes show the same field in the same unit."""
    if first.grid.shape[1:] != other.grid.shape[1:]:
        shown = " and ".join(f"{item.grid.nx} x {item.grid.ny}" for item in (first, other))
        raise ToolError(_MISFIT, f"{other.name} does not fit {first.name}: their fields are of {shown} pixels")
    mine, its = (item.grid.spatial for item in (first, other))
    numbers = zip((*mine.crval, *mine.crpix, *mine.cd[0], *mine.cd[1]),
                  (*its.crval, *its.crpix, *its.cd[0], *its.cd[1]), strict=True)  # fmt: skip
    if mine.celestial != its.celestial or not all(_same(a, b) for a, b in numbers):
        raise ToolError(_MISFIT, f"{other.name} shows another field than {first.name}")
    if first.planes.cube.unit != other.planes.cube.unit:
        raise ToolError(_MISFIT, f"{other.name} has another unit than {first.name}")


def _same(first: float, other: float) -> bool:
    return math.isclose(first, other, rel_tol=_ROUNDING, abs_tol=sys.float_info.min)


# -- muse_cube_concatenate ------------------------------------------------------------------------------------


def _adjacent(inputs: list[_Input]) -> _Joined:
    """All planes of cubes whose first plane is one step after the last one of the cube before."""
    for item in inputs:
        if item.grid.spectral.log:
            raise ToolError(_MISFIT, f"{item.name} has an axis of wavelengths that is not linear")
    for before, after in pairwise(inputs):
        if before.grid.spectral.ctype != after.grid.spectral.ctype:
            raise ToolError(_MISFIT, f"{after.name} has another kind of wavelengths than {before.name}")
        if not _same(before.grid.spectral.cd, after.grid.spectral.cd):
            raise ToolError(_MISFIT, f"{after.name} has another step of wavelengths than {before.name}")
        wanted, found = before.wave(before.grid.nz), after.wave(0)
        if not _same(wanted, found):
            words = f"begins at {found:.10g} Angstrom, not at {wanted:.10g}, one step after {before.name}"
            raise ToolError(_MISFIT, f"{after.name} {words}")
    return inputs, cube_primary(inputs[0].planes.cube)


# -- muse_cube_combine ----------------------------------------------------------------------------------------


def _complementary(inputs: list[_Input]) -> _Joined:
    """Planes of cubes of one grid, each filled between the limits that its recipe was given.

    The planes at inner limits are not used, since pixels on one side of them are missing. Of planes that are in two
    cubes those of the shorter wavelengths are taken; a gap is filled from the same cube.
    """
    for other in inputs[1:]:
        mine, its = inputs[0].grid, other.grid
        numbers = ((getattr(mine.spectral, key), getattr(its.spectral, key)) for key in ("crval", "crpix", "cd"))
        same = mine.nz == its.nz and mine.spectral.ctype == its.spectral.ctype
        if not (same and all(_same(a, b) for a, b in numbers)):
            raise ToolError(_MISFIT, f"{other.name} has another axis of wavelengths than {inputs[0].name}")
    limited = sorted(((_limits(item), item) for item in inputs), key=lambda pair: pair[0])
    used = _without_overlaps([_between(item, *limits) for limits, item in limited])
    first, last = limited[0][1], limited[-1][1]
    header = cube_primary(first.planes.cube)
    highest = _parameters(header)["lambdamax"]
    set_key(header, highest, _texts(last)["lambdamax"], header.comment(hierarch_name(highest)))
    return used, header


def _between(item: _Input, low: float, high: float) -> _Input:
    wave = item.grid.spectral.wave(np.arange(item.grid.nz))
    inside = np.flatnonzero((wave >= low) & (wave <= high))
    if not inside.size:
        raise ToolError(_MISFIT, f"{item.name} has no plane from {low:g} to {high:g} Angstrom, the limits it tells")
    return replace(item, planes=PlaneRange(item.planes.cube, int(inside[0]), int(inside[-1]) + 1))


def _without_overlaps(inputs: Sequence[_Input]) -> list[_Input]:
    """Cubes, ascending, that end where the next begins."""
    seams = [inputs[0].planes.z0]
    for before, after in pairwise(inputs):
        end, start = before.planes.z1 - 1, after.planes.z0 + 1
        if start - end > 2:
            low, high = before.wave(end + 1), before.wave(start - 2)
            print(f"warning: no cube covers {low:.2f} to {high:.2f} Angstrom", file=sys.stderr)
        seams.append(max(end, start))
    seams.append(inputs[-1].planes.z1)
    used = []
    for item, (z0, z1) in zip(inputs, pairwise(seams), strict=True):
        if z0 >= z1:
            raise ToolError(_MISFIT, f"{item.name} has no wavelengths that other cubes do not have")
        used.append(replace(item, planes=PlaneRange(item.planes.cube, z0, z1)))
    return used


def _limits(item: _Input) -> tuple[float, float]:
    """Wavelengths between which a cube is filled."""
    texts = _texts(item)
    try:
        return float(texts["lambdamin"]), float(texts["lambdamax"])
    except KeyError as error:
        words = f"{item.name} does not tell the parameter {error.args[0]} of its recipe"
    except ValueError as error:
        words = f"{item.name}: {error}"
    raise ToolError(_MISFIT, words)


def _texts(item: _Input) -> dict[str, str]:
    header = item.planes.cube.header
    return {name: str(header[hierarch_name(key)]) for name, key in _parameters(header).items()}


def _parameters(header: Header) -> dict[str, str]:
    """Keywords with the limits that the last recipe was given, by parameter."""
    found: dict[str, str] = {}
    last = 0
    for key, name in iter_keys(header, _PARAMETER.pattern):
        match = _PARAMETER.fullmatch(key)
        value = key.removesuffix("NAME") + "VALUE"
        if match is None or not has_key(header, value):
            continue
        if (number := int(match[1])) > last:
            last, found = number, {}
        if number == last and name in _LIMITS:
            found[str(name)] = value
    return found
