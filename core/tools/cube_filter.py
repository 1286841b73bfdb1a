"""``muse_cube_filter``: images of a cube through filters.

Exit codes: 0; 1 file names missing; 2 missing value of ``-f``; 3 ``-l`` without two numbers; 9 unknown option or
argument; 10 the list of filters cannot be read, or there is no filter to make an image of; 11 the cube cannot be read;
12 the range of ``-l`` is none, or not in the cube; 50 anything else, e.g. an image cannot be written.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.cubes.collapse import WHITE, FieldImage, Filter, box_filter
from core.cubes.wcs import CubeGrid
from core.errors import MuseError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, merged_header, set_key
from core.fitsfile.scan import scan_fits
from core.fitsfile.writer import FitsWriter
from core.formats.cube import CubePlanes, open_cube
from core.formats.cube_axes import axes_of_cube
from core.formats.cube_join import cube_primary
from core.formats.filters import read_filters
from core.formats.merge import copy_data
from core.recipes.muse.cubes import image_file_headers, image_header
from core.tools.commandline import Arguments, ToolError, parse, run_tool

__all__ = ["filter_cube"]

USAGE = """\
Usage: muse_cube_filter [-x] [-f FILTER_1,FILTER_2,...] [-l LAMBDA_1 LAMBDA_2] CUBE FILTER_LIST
  -x  append the images to the cube, in place of images of the same names, instead of writing files
      CUBE_<filter>.fits
  -f  names of filters of the list, or white (by default all of the list)
  -l  an image of the wavelengths between these two [Angstrom], too, named CUSTOM_<LAMBDA_1>_<LAMBDA_2>"""

_NO_NAMES, _NO_RANGE = 2, 3
_NO_FILTERS, _NO_CUBE, _BAD_RANGE = 10, 11, 12
_BYTES: Final = 16 << 20  # of DATA that are read at once


@dataclass(frozen=True)
class _Cube:
    """A cube with its grid and primary header."""

    planes: CubePlanes
    grid: CubeGrid
    primary: Header


def filter_cube(words: list[str] | None = None) -> int:
    """Run ``muse_cube_filter``; returns the exit code."""
    return run_tool(_filter, words)


def _filter(words: list[str]) -> None:
    words, limits = _without_range(words)
    arguments = parse(words, USAGE, {"-f": _NO_NAMES}, ("-x",), files=(2, 2))
    path = Path(arguments.files[0])
    cube = _opened(path)
    low, high = (float(end) for end in cube.grid.spectral.wave([0, cube.grid.nz - 1]))
    filters = _chosen(arguments)
    if limits is not None:
        if not (limits[0] < limits[1] and limits[0] <= high and limits[1] >= low):
            shown = f"{limits[0]:g} to {limits[1]:g} Angstrom"
            raise ToolError(_BAD_RANGE, f"{shown} are no range in the cube ({low:.2f} to {high:.2f})")
        filters.append(box_filter(f"CUSTOM_{limits[0]:.3f}_{limits[1]:.3f}", *limits))
    images = _images(cube, filters)
    if not images:
        raise ToolError(_NO_FILTERS, f"there is no filter that lets anything of {path} through")
    if "-x" in arguments.options:
        _append(cube, images)
        print(f"{path}: {', '.join(str(header['EXTNAME']) for header, _ in images)} appended")
    else:
        for header, data in images:
            print(f"{_save(cube, header, data)} saved")


def _without_range(words: list[str]) -> tuple[list[str], tuple[float, float] | None]:
    """The words without ``-l LAMBDA_1 LAMBDA_2``, and the range."""
    if "-l" not in words:
        return words, None
    k = words.index("-l")
    try:
        low, high = (float(text) for text in words[k + 1 : k + 3])
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ToolError(_NO_RANGE, "the option -l needs two numbers")
    return words[:k] + words[k + 3 :], (low, high)


def _opened(path: Path) -> _Cube:
    try:
        cube = open_cube(path)
        return _Cube(cube, axes_of_cube(cube), cube_primary(cube))
    except (MuseError, OSError) as error:
        raise ToolError(_NO_CUBE, f"{path} is no cube that can be read: {error}") from error


def _chosen(arguments: Arguments) -> list[Filter]:
    path = Path(arguments.files[1])
    try:
        listed = read_filters(path)
    except (MuseError, OSError) as error:
        raise ToolError(_NO_FILTERS, f"{path} is no list of filters that can be read: {error}") from error
    if "-f" not in arguments.options:
        return list(listed.values())
    known = {WHITE.name: WHITE, **listed}
    names = [name for text in arguments.options["-f"].split(",") if (name := text.strip())]
    for name in names:
        if name not in known:
            _warn(f"{path} has no filter {name}: there is no image of it")
    return [known[name] for name in dict.fromkeys(names) if name in known]


def _images(cube: _Cube, filters: list[Filter]) -> list[tuple[Header, npt.NDArray[np.float32]]]:
    """Images of the filters that let something through, made in one pass through the cube."""
    shape = cube.grid.shape
    images = [FieldImage(cube.grid.spectral, shape, through) for through in filters]
    for through, image in zip(filters, images, strict=True):
        if not image.fraction:
            _warn(f"the filter {through.name} lets nothing of the cube through: there is no image of it")
    images = [image for image in images if image.fraction]
    step = max(1, _BYTES // (shape[1] * shape[2] * np.dtype(np.float32).itemsize))
    for z0 in range(0, shape[0], step):
        z1 = min(z0 + step, shape[0])
        data = cube.planes.read_part("DATA", z0, z1)
        if cube.planes.has_flags:
            data[cube.planes.read_part("DQ", z0, z1) != 0] = np.nan
        for image in images:
            image.add(z0, data)
    name = get_key(cube.primary, "OBJECT", str, default="")
    return [(image_header(image, cube.grid, cube.planes.unit, name), image.image()) for image in images]


def _save(cube: _Cube, header: Header, data: npt.NDArray[np.float32]) -> Path:
    source = cube.planes.path
    target = source.with_name(f"{source.name.removesuffix('.fits')}_{header['EXTNAME']}.fits")
    primary, own = image_file_headers(header, cube.primary)
    set_key(primary, "PRO.CATG", "IMAGE_FOV", "Category of pipeline product frame")
    set_key(primary, "PIPEFILE", target.name, "Filename of data product")
    extension = Header()
    extension["EXTNAME"] = ("DATA", "This extension contains data values")
    extension.extend(own.cards)
    with FitsWriter(target, datamd5=True) as writer:
        writer.primary(primary)
        writer.image(extension, data)
    return target


def _append(cube: _Cube, images: list[tuple[Header, npt.NDArray[Any]]]) -> None:
    """Write the cube anew with images behind it; the old file is there until the new one is complete."""
    path = cube.planes.path
    scan = scan_fits(path)
    replaced = {str(header["EXTNAME"]) for header, _ in images}
    with FitsWriter(path, datamd5=True) as writer:
        writer.primary(merged_header(scan.primary, Header()))
        for hdu in scan.hdus[1:]:
            if hdu.extname not in replaced:
                writer.raw_hdu(hdu.header, copy_data(path, hdu), hdu.data_bytes)
        for header, data in images:
            writer.image(header, data)


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
