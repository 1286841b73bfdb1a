"""``muse_geo_plot`` and ``muse_geo_smooth``: look at a geometry, or make it more regular.

Exit codes: 0; 1 a file name is missing; of muse_geo_plot 2 the format is missing, 3 unknown, 4 a scale is missing, 5 no
number above 0, 11 the table lacks a column; of muse_geo_smooth 2 the limit is missing or no number; 9 unknown option or
argument; 10 the table cannot be read, or muse_geo_smooth does not find a column in it; 50 else.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from core.errors import BadFitsError, MissingInputError
from core.fitsfile.header import Header
from core.fitsfile.keywords import merged_header
from core.fitsfile.scan import scan_fits
from core.formats.tables import GEOMETRY_TABLE, MuseTable, read_table, write_table
from core.recipes.muse.geometry_products import write_smoothing, write_summary
from core.recipes.muse.muse_geometry import MuseGeometry
from core.recipes.qcwriter import QcWriter
from core.spatial.geometry import ERROR_COLUMNS, Geometry
from core.spatial.smoothing import smooth_geometry
from core.tools.commandline import ToolError, parse, run_tool
from core.tools.plots_geo import POINTS_PER_INCH, plot_geometry

__all__ = ["plot", "smooth"]

PLOT_USAGE = """\
Usage: muse_geo_plot [-f FORMAT] [-s XSCALE YSCALE] GEOMETRY_TABLE OUTPUT_PLOT
  -f  format of the plot, pdf or png (by default pdf)
  -s  units of the plot (points, pixels) per pixel of the table, in x and y (by default 4 4)"""
SMOOTH_USAGE = """\
Usage: muse_geo_smooth [-s SIGMA] [-q] GEOMETRY_TABLE FIXED_TABLE
  -s  what deviates by more than so many times the rms from the line through a stack of slices is put on it
      (by default 3, while muse_geometry itself takes 1.5)
  -q  compute the QC parameters of the whole field of view anew, too"""

_FORMATS: Final = ("pdf", "png")
_NO_FORMAT, _BAD_FORMAT, _NO_SCALE, _BAD_SCALE = 2, 3, 4, 5
_BAD_SIGMA: Final = 2
_UNREADABLE: Final = 10
_NO_COLUMN: Final = 11
_PLACES: Final = ("angle", "width")  # without which experts reduce data
_SCALE: Final = (4.0, 4.0)
_SIGMA: Final = "3"


def plot(words: list[str] | None = None) -> int:
    """Run ``muse_geo_plot``; returns the exit code."""
    return run_tool(_plot, words)


def smooth(words: list[str] | None = None) -> int:
    """Run ``muse_geo_smooth``; returns the exit code."""
    return run_tool(_smooth, words)


def _plot(words: list[str]) -> None:
    words, scale = _without_scale(words)
    arguments = parse(words, PLOT_USAGE, {"-f": _NO_FORMAT}, files=(2, 2))
    chosen = arguments.options.get("-f", _FORMATS[0])
    if chosen not in _FORMATS:
        raise ToolError(_BAD_FORMAT, f"the format must be {' or '.join(_FORMATS)}, not {chosen!r}")
    geometry = Geometry.from_columns(_read(arguments.files[0], _PLACES, _NO_COLUMN))
    figure = plot_geometry(geometry, scale)
    figure.savefig(arguments.files[1], format=chosen, dpi=POINTS_PER_INCH, facecolor=figure.get_facecolor())


def _without_scale(words: list[str]) -> tuple[list[str], tuple[float, float]]:
    """The words without ``-s XSCALE YSCALE``, and the scales."""
    if "-s" not in words:
        return words, _SCALE
    k = words.index("-s")
    texts = words[k + 1 : k + 3]
    if len(texts) < 2:
        raise ToolError(_NO_SCALE, "the option -s needs two numbers")
    try:
        x, y = (float(text) for text in texts)
    except ValueError:
        raise ToolError(_BAD_SCALE, f"the scales must be numbers, not {' and '.join(texts)}") from None
    if not (0 < x < math.inf and 0 < y < math.inf):
        raise ToolError(_BAD_SCALE, f"the scales must be above 0, not {x:g} and {y:g}")
    return words[:k] + words[k + 3 :], (x, y)


def _smooth(words: list[str]) -> None:
    arguments = parse(words, SMOOTH_USAGE, {"-s": _BAD_SIGMA}, ("-q",), files=(2, 2))
    text = arguments.options.get("-s", _SIGMA)
    try:
        sigma = float(text)
    except ValueError:
        sigma = math.nan
    if not 0 < sigma < math.inf:
        raise ToolError(_BAD_SIGMA, f"the limit must be a number above 0, not {text!r}")
    source, target = arguments.files
    table = _read(source, (*_PLACES, *ERROR_COLUMNS), _UNREADABLE)
    smoothed = smooth_geometry(Geometry.from_columns(table), sigma)
    header = merged_header(scan_fits(source).primary, Header())
    qc = QcWriter(MuseGeometry, "GEOMETRY_TABLE", header)
    write_smoothing(qc, smoothed.changed)
    if "-q" in arguments.options:
        write_summary(qc, smoothed.geometry)
    write_table(target, GEOMETRY_TABLE, MuseTable(smoothed.geometry.columns(), header))
    print(f"{target}: changed " + ", ".join(f"{number} {name}" for name, number in smoothed.changed.items()))


def _read(name: str, needed: tuple[str, ...], no_column: int) -> MuseTable:
    """A GEOMETRY_TABLE that has these columns, too; ToolError with ``no_column`` if it lacks one."""
    path = Path(name)
    try:
        table = read_table(path, GEOMETRY_TABLE)
    except BadFitsError as error:
        raise ToolError(no_column if "column" in error.message else _UNREADABLE, f"{path}: {error.message}") from error
    except (MissingInputError, OSError) as error:
        raise ToolError(_UNREADABLE, f"{path} holds no geometry that can be read: {error}") from error
    if missing := [column for column in needed if column not in table]:
        raise ToolError(no_column, f"{path}: {GEOMETRY_TABLE.name} lacks the column {', '.join(missing)}")
    return table
