"""``muse_image_fwhm``: the widths of the sources of an image.

Exit codes: 0; 1 no file given; 2, 4, 6 missing value of ``-s``, ``-x``, ``-n``; 3 ``-s`` is no number above 0; 5 ``-x``
is no number of an extension; 7 both ``-x`` and ``-n``; 9 unknown option or argument; 10 the file cannot be read; 11 it
holds no such image; 20 there is no source; 50 anything else.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from core.errors import MissingKeywordError, MuseError
from core.fitsfile.dataunit import map_image, scaling
from core.fitsfile.header import Header
from core.fitsfile.keywords import merged_header
from core.fitsfile.scan import FitsScan, HduScan, scan_fits
from core.formats.field_image import spatial_axes
from core.onsky.widths import SourceWidths, find_widths
from core.recipes.muse.steps.pointing import spaxel_of
from core.tools.commandline import Arguments, ToolError, integer, parse, run_tool

__all__ = ["measure"]

USAGE = """\
Usage: muse_image_fwhm [-s SIGMA] [-x INDEX | -n NAME] IMAGE
  -s  brightness of sources above the median, in mean absolute deviations from it (by default the first of 50, 30, 20,
      10, 8, 5 at which there is a source)
  -x  number of the extension, the primary HDU being 0 (by default that of the first image)
  -n  name of the extension"""

_VALUED: Final = {"-s": 2, "-x": 4, "-n": 6}
_BAD_SIGMA, _BAD_INDEX, _BOTH = 3, 5, 7
_UNREADABLE, _NO_IMAGE, _NOTHING = 10, 11, 20
_SIGMAS: Final = (50.0, 30.0, 20.0, 10.0, 8.0, 5.0)


def measure(words: list[str] | None = None) -> int:
    """Run ``muse_image_fwhm``; returns the exit code."""
    return run_tool(_measure, words)


def _measure(words: list[str]) -> None:
    arguments = parse(words, USAGE, _VALUED, files=(1, 1))
    sigmas = _sigmas(arguments)
    path = Path(arguments.files[0])
    scan, hdu = _image(path, arguments)
    zero, scale = scaling(path, hdu.header)
    image = np.asarray(map_image(path, hdu) * scale + zero, np.float64)
    sources, sigma = find_widths(image, sigmas)
    if not sources:
        raise ToolError(_NOTHING, f"{path}: there is no source above {sigma:g} sigma")
    size = _pixel_size(merged_header(scan.primary, hdu.header))
    print(f"# {path}[{hdu.extname or hdu.index}]: {len(sources)} sources above {sigma:g} sigma")
    print(f"# pixels of {size[0]:.5g} x {size[1]:.5g} arcsec")
    print("# index        x        y   direct FWHM [arcsec]   Gaussian FWHM [arcsec]")
    for number, source in enumerate(sources, 1):
        _tell(number, source, size)
    good = [source for source in sources if not source.fault]
    direct = [_mean(source.direct, size) for source in good if min(source.direct) > 0]
    for name, widths in (("direct", direct), ("Gaussian", [_mean(source.gaussian, size) for source in good])):
        if widths:
            print(f"# {name} FWHM of {len(widths)} sources: {_summary(widths)}")


def _sigmas(arguments: Arguments) -> Sequence[float]:
    if "-s" not in arguments.options:
        return _SIGMAS
    try:
        sigma = float(arguments.options["-s"])
    except ValueError:
        sigma = math.nan
    if not 0 < sigma < math.inf:
        raise ToolError(_BAD_SIGMA, f"the value of -s must be a number above 0, not {arguments.options['-s']!r}")
    return (sigma,)


def _image(path: Path, arguments: Arguments) -> tuple[FitsScan, HduScan]:
    index, name = arguments.options.get("-x"), arguments.options.get("-n")
    if index is not None and name is not None:
        raise ToolError(_BOTH, "either -x or -n is given, not both")
    number = None if index is None else integer(index, _BAD_INDEX, "the extension")
    if number is not None and number < 0:
        raise ToolError(_BAD_INDEX, f"the extension must not be negative, but is {number}")
    try:
        scan = scan_fits(path)
    except (MuseError, OSError) as error:
        raise ToolError(_UNREADABLE, f"{path} cannot be read: {error}") from error
    for hdu in scan.hdus:
        wanted = (number is None or hdu.index == number) and (name is None or hdu.extname == name)
        if wanted and hdu.kind == "image" and len(hdu.shape) == 2 and 0 not in hdu.shape:
            if hdu.data_offset + hdu.data_bytes > scan.size:
                raise ToolError(_UNREADABLE, f"{path} is cut inside its image")
            return scan, hdu
    raise ToolError(_NO_IMAGE, f"{path} holds no {'such ' if number is not None or name is not None else ''}image")


def _pixel_size(header: Header) -> tuple[float, float]:
    """Size of a pixel [arcsec]: by the world coordinates if they are on the sky, otherwise that of the field."""
    try:
        axes = spatial_axes(header)
    except MissingKeywordError:
        return spaxel_of(header)
    return (axes.scales[0] * 3600, axes.scales[1] * 3600) if axes.celestial else spaxel_of(header)


def _tell(number: int, source: SourceWidths, size: tuple[float, float]) -> None:
    place = f"{source.x:8.3f} {source.y:8.3f}"
    if source.fault:
        print(f"#bad {number:3d} {place}   {source.fault}", file=sys.stderr)
        return
    direct, gaussian = (
        " ".join(f"{width * unit if width > 0 else width:8.2f}" for width, unit in zip(widths, size, strict=True))
        for widths in (source.direct, source.gaussian)
    )
    print(f"{number:7d} {place}      {direct}        {gaussian}")


def _mean(widths: tuple[float, float], size: tuple[float, float]) -> float:
    return (widths[0] * size[0] + widths[1] * size[1]) / 2


def _summary(widths: Sequence[float]) -> str:
    values: npt.NDArray[np.float64] = np.array(widths)
    spread = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return f"{values.mean():.3f} +/- {spread:.3f} (median {np.median(values):.3f}) arcsec"
