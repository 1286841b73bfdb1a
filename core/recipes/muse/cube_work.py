"""A cube that is filled slab by slab, by several processes or hosts: what they share, and which planes each fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.fitsfile.keywords import get_key
from core.fitsfile.scan import scan_fits
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable
from core.recipes.frames import FrameSet
from core.recipes.muse.cubes import CubeOptions, FilledCube
from core.recipes.muse.exposures import WavelengthParameters
from core.recipes.parts import Part, slabs

__all__ = ["CubeWork", "cube_parts"]

_SLAB: Final = 100.0  # [Angstrom], at least
_PIXELS: Final = 7_000_000  # in a slab of an exposure of all IFUs; fewer are not worth a process of their own
_LIMIT: Final = f"{PREFIX}.LIMITS.LAMBDA"


@dataclass(frozen=True)
class CubeWork:
    """A cube that is reserved, and what it is made of; goes to other processes.

    Attributes
    ----------
    tag : str
    table : PixelTable
    options : CubeOptions
    cube : FilledCube
    """

    tag: str
    table: PixelTable
    options: CubeOptions
    cube: FilledCube

    def planes_of(self, part: Part, parts: Sequence[Part]) -> range:
        """Planes whose wavelengths lie in a slab; the first and the last of the slabs have all those beyond."""
        wave = self.cube.grid.spectral.wave(np.arange(self.cube.grid.nz))
        first = 0 if part == parts[0] or part.low is None else int(np.searchsorted(wave, part.low))
        last = wave.size if part == parts[-1] or part.high is None else int(np.searchsorted(wave, part.high))
        return range(first, last)


def cube_parts(frames: FrameSet, tag: str, params: WavelengthParameters, *, divided: bool) -> tuple[Part, ...]:
    """The slabs of a cube that is made of the tables of a tag, by their headers; one of all if it is not divided."""
    low, high = params.lambdamin, params.lambdamax
    scans = [scan_fits(frame.path) for frame in frames.tagged(tag)]
    ends = [
        [get_key(scan.primary, f"{_LIMIT}.{end}", float, default=None) for scan in scans] for end in ("LOW", "HIGH")
    ]
    known = [[value for value in values if value is not None] for values in ends]
    if all(known) and max(low, min(known[0])) < min(high, max(known[1])):
        low, high = max(low, min(known[0])), min(high, max(known[1]))
    pixels = sum(int(str(scan.hdus[1].header.get("NAXIS2", 0))) for scan in scans)
    few = _PIXELS / max(pixels, 1) * (high - low)
    return slabs(low, high, max(_SLAB, few) if divided else high - low)
