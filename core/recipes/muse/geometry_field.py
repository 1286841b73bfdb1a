"""What a new geometry makes of images: a cube of the mask, and pictures of what else was given to look at.

Of the images of all IFUs only the pixels of a range of wavelengths are kept: their values; where they are follows from
the maps of the slices, whenever it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.combine import CombineOptions
from core.ccd.trace_model import Trace, TraceLine
from core.cubes.grid import TablePositions
from core.errors import ChipNotLiveError, DataError, MissingInputError
from core.fitsfile.header import Header
from core.formats.image import MuseImage, image_extension_header, open_image
from core.formats.raw import open_raw
from core.recipes.flow import ArrayProduct, FileProduct, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.arc_lamps import load_dispersion, load_trace
from core.recipes.muse.basic import combine_frames, prepare
from core.recipes.muse.calibrations import overscan_of_bias
from core.recipes.muse.cubes import CubeOptions, cube_grid, cube_header, cube_slabs, wcs_header, write_cube
from core.recipes.muse.pixel_source import Limits, PixelSource
from core.recipes.names import product_name
from core.spatial.geometry import Geometry
from core.spatial.positions import FieldPlace, SliceMap
from core.spectral.dispersion import Dispersion

__all__ = ["check_picture", "field_source", "mask_cube", "slice_maps"]

_WHOLE: Final = 10000.0  # thickness of a plane that holds all wavelengths [Angstrom]
_BARE: Final = ("MASK_CHECK", "MASTER_BIAS", "BADPIX_TABLE", "NONLINEARITY_GAIN")


@dataclass(frozen=True, eq=False)
class _SlicePixels:
    """The good pixels of a slice in the range of wavelengths.

    Attributes
    ----------
    map : SliceMap
    first, last : int
        Rows of the map among which they are.
    chosen : ndarray of bool (last - first,)
    data, stat : ndarray of float32
        Of the chosen ones.
    """

    map: SliceMap
    first: int
    last: int
    chosen: NDArray[np.bool_]
    data: NDArray[np.float32]
    stat: NDArray[np.float32]

    @classmethod
    def of_image(cls, slice_map: SliceMap, image: MuseImage, wave: Limits) -> _SlicePixels | None:
        """Pixels of an image; None if no good one is in the range."""
        waves = slice_map.wavelengths
        inside = np.flatnonzero((waves >= wave[0]) & (waves <= wave[1]))
        if not inside.size:
            return None
        first, last = int(inside[0]), int(inside[-1]) + 1
        places = slice_map.places(first, last)
        pixels = places.y - 1, places.x - 1
        chosen = (places.wave >= wave[0]) & (places.wave <= wave[1]) & (image.dq[pixels] == 0)
        if not chosen.any():
            return None
        return cls(slice_map, first, last, chosen, image.data[pixels][chosen], image.stat[pixels][chosen])

    def positions(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """xpos, ypos and wavelength of the chosen pixels."""
        places = self.map.places(self.first, self.last)
        return places.xpos[self.chosen], places.ypos[self.chosen], places.wave[self.chosen]

    def meets(self, y: Limits) -> bool:
        """Whether the slice reaches into a range of y."""
        place = self.map.place
        half = 0.5 * place.width * abs(np.sin(np.radians(place.angle))) + 1.0
        return place.y + half >= y[0] and place.y - half <= y[1]


def slice_maps(
    ifu: int, trace: Trace, dispersion: Dispersion, geometry: Geometry, shape: tuple[int, int]
) -> list[SliceMap]:
    """Maps of the slices of an IFU that have a trace, wavelengths and a place."""
    known = np.isfinite(geometry.x) & np.isfinite(geometry.y) & (geometry.width > 0)
    own = geometry.where(known & (geometry.ifu == ifu))
    maps = []
    for row, number in enumerate(own.slice_ccd.tolist()):
        if trace.has(number) and dispersion.has(number):
            place = FieldPlace(*(float(values[row]) for values in (own.x, own.y, own.angle, own.width)))
            left, right = (trace.polynomial(number, line) for line in (TraceLine.LEFT, TraceLine.RIGHT))
            wave = np.ascontiguousarray(dispersion.polynomial(number))
            maps.append(SliceMap(number, left, right, wave, place, shape))
    return maps


def field_source(images: Iterable[tuple[MuseImage, Sequence[SliceMap]]], wave: Limits, header: Header) -> PixelSource:
    """Pixels of the images of all IFUs in a range of wavelengths, without those that are flagged.

    Parameters
    ----------
    images : iterable of (MuseImage, sequence of SliceMap)
        Of one IFU after the other.
    wave : pair of float
        [Angstrom]
    header : Header
        Of the cube.

    Raises
    ------
    DataError
        If there are no pixels.
    """
    found: list[_SlicePixels] = []
    for image, maps in images:
        pixels = (_SlicePixels.of_image(slice_map, image, wave) for slice_map in maps)
        found += [item for item in pixels if item is not None]
    if not found:
        raise DataError(f"no slice has good pixels from {wave[0]:g} to {wave[1]:g} Angstrom")
    extremes = np.array([[(part.min(), part.max()) for part in item.positions()] for item in found])
    x, y, waves = (
        (float(low), float(high))
        for low, high in zip(extremes[:, :, 0].min(axis=0), extremes[:, :, 1].max(axis=0), strict=True)
    )

    def read(wave: Limits, y: Limits) -> dict[str, NDArray[Any]]:
        parts = [_columns(item, wave) for item in found if item.meets(y)]
        names = ("xpos", "ypos", "lambda", "data", "stat")
        columns: dict[str, NDArray[Any]] = {
            name: np.concatenate([part[k] for part in parts]) if parts else np.empty(0, np.float32)
            for k, name in enumerate(names)
        }
        columns["dq"] = np.zeros(columns["data"].size, np.int32)
        return columns

    n_rows = sum(item.data.size for item in found)
    return PixelSource(header, "count", TablePositions(), x, y, waves, n_rows, read)


def _columns(item: _SlicePixels, wave: Limits) -> tuple[NDArray[np.float32], ...]:
    xpos, ypos, waves = item.positions()
    inside = (waves >= wave[0]) & (waves <= wave[1])
    return tuple(values[inside] for values in (xpos, ypos, waves, item.data, item.stat))


def mask_cube(
    frames: FrameSet,
    geometry: Geometry,
    wave: Limits,
    header: Header,
    used: tuple[Sequence[Frame], Sequence[Frame]],
    ctx: RecipeContext,
) -> FileProduct:
    """GEOMETRY_CUBE, of the MASK_COMBINED that were saved.

    Raises
    ------
    DataError
        If no slice has pixels in the range of wavelengths.
    """

    def images() -> Iterable[tuple[MuseImage, Sequence[SliceMap]]]:
        for ifu in geometry.ifus:
            image = open_image(ctx.output_dir / product_name("MASK_COMBINED", unit=ifu), ifu).read()
            yield image, _maps_of(ifu, frames, geometry, image, ctx)

    source = field_source(images(), wave, header)
    path = ctx.output_dir / product_name("GEOMETRY_CUBE")
    cube = write_cube(path, source, CubeOptions(crsigma=0.0), filters=[None], spread=ctx.spread)
    return FileProduct("GEOMETRY_CUBE", cube, cube.header, *used)


def check_picture(
    check: Frame,
    number: int,
    frames: FrameSet,
    geometry: Geometry,
    wave: Limits,
    calibs: Sequence[Frame],
    ctx: RecipeContext,
) -> ArrayProduct:
    """GEOMETRY_CHECK of a MASK_CHECK: a picture of the field over the range of wavelengths, without IFUs that it lacks.

    Raises
    ------
    DataError
        If no slice has pixels in the range of wavelengths.
    CalibrationMismatchError
        If the frame does not fit the MASTER_BIAS.
    """
    silent = replace(ctx, progress=lambda fraction, text: None)
    bare = FrameSet(tuple(frame for frame in frames if frame.tag in _BARE[1:] or frame == check))

    def images() -> Iterable[Any]:
        for ifu in geometry.ifus:
            try:
                stack = prepare(ifu, bare, ("MASK_CHECK",), overscan_of_bias(ifu, bare, silent.log), silent)
            except (MissingInputError, ChipNotLiveError) as error:
                ctx.log.warning("the picture of %s has no IFU %d: %s", check.path.name, ifu, error)
                continue
            image = combine_frames(stack, CombineOptions("average"), silent).image
            yield image, _maps_of(ifu, frames, geometry, image, silent)

    source = field_source(images(), wave, Header())
    options = CubeOptions(crsigma=0.0, dlambda=_WHOLE)
    grid = cube_grid(source, options)
    plane = next(cube_slabs(source, grid, options, ctx.spread, range(1))).data[0]
    ctx.progress(1.0, f"{check.path.name} becomes a picture")
    own = image_extension_header("DATA", "count", parts=("DATA",))
    own.remove("EXTNAME")
    own.extend(wcs_header(grid, axes=2).cards)
    header = cube_header(open_raw(check.path).primary)
    return ArrayProduct("GEOMETRY_CHECK", "DATA", plane, header, own, (check,), calibs, number)


def _maps_of(ifu: int, frames: FrameSet, geometry: Geometry, image: MuseImage, ctx: RecipeContext) -> list[SliceMap]:
    trace, _ = load_trace(frames, ifu, ctx.log)
    dispersion, _ = load_dispersion(frames, ifu, ctx.log)
    return slice_maps(ifu, trace, dispersion, geometry, image.data.shape)
