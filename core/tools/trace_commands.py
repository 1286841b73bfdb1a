"""``muse_trace_plot_samples`` and ``muse_trace_plot_widths``: plot what the tracing found, to a window or a file.

Exit codes: 0; 1 no file given; 2, 3, 4, 6 missing value of ``-s1``, ``-s2``, ``-n``, ``-o``; 5 bad IFU number;
9 unknown option or argument; 10 the samples cannot be read; 11 the file holds no samples; 21 no window can be opened;
50 else.
"""

from __future__ import annotations

import sys
from pathlib import Path

from core.ccd.trace_model import Trace
from core.errors import BadFitsError, MissingInputError, MuseError
from core.fitsfile.scan import scan_fits
from core.formats.image import open_image
from core.formats.tables import TRACE_SAMPLES, TRACE_TABLE, MuseTable, read_table
from core.instruments.muse.facts import N_IFU, N_SLICES, ifu_of_extname
from core.tools.commandline import Arguments, ToolError, integer, parse, run_tool
from core.tools.display import present
from core.tools.plots_trace import plot_trace_samples, plot_trace_widths

__all__ = ["plot_samples", "plot_widths"]

SAMPLES_USAGE = """\
Usage: muse_trace_plot_samples [-s1 FIRST] [-s2 LAST] [-n IFU] [-o FILE] TRACE_SAMPLES [TRACE_TABLE] [MASTER_FLAT]
  -s1, -s2  first and last slice to plot (by default the two central ones, 24 and 25)
  -n        IFU to plot, if the files hold several
  -o        write the plot to this file (PNG, PDF, SVG) instead of opening a window"""
WIDTHS_USAGE = """\
Usage: muse_trace_plot_widths [-s1 FIRST] [-s2 LAST] [-n IFU] [-o FILE] TRACE_SAMPLES
  -s1, -s2  first and last slice to plot (by default all)
  -n        IFU to plot, if the file holds several
  -o        write the plot to this file (PNG, PDF, SVG) instead of opening a window"""

_VALUED = {"-s1": 2, "-s2": 3, "-n": 4, "-o": 6}
_BAD_IFU = 5
_UNREADABLE = 10
_NO_SAMPLES = 11
_MANY_SLICES = 11


def plot_samples(words: list[str] | None = None) -> int:
    """Run ``muse_trace_plot_samples``; returns the exit code."""
    return run_tool(_plot_samples, words)


def plot_widths(words: list[str] | None = None) -> int:
    """Run ``muse_trace_plot_widths``; returns the exit code."""
    return run_tool(_plot_widths, words)


def _plot_samples(words: list[str]) -> None:
    arguments = parse(words, SAMPLES_USAGE, _VALUED, files=(1, 3))
    samples, title, ifu = _read_samples(arguments)
    slices = _slices(arguments, (24, 25))
    if slices[1] - slices[0] + 1 > _MANY_SLICES:
        _warn(f"more than {_MANY_SLICES} slices are plotted, the points will be hard to tell apart")
    table, flat = None, None
    for name in arguments.files[1:]:
        try:
            kinds = {hdu.kind for hdu in scan_fits(name).hdus[1:]}
            if "table" in kinds:
                table = Trace.from_columns(read_table(name, TRACE_TABLE, ifu))
            else:
                flat = open_image(name, ifu or _ifu_of(Path(name)) or 1).read_part("DATA")
        except (MuseError, OSError) as error:
            _warn(f"{name} is left out: {error}")
    present(lambda figure: plot_trace_samples(samples, table, flat, slices, title, figure), arguments.options.get("-o"))


def _plot_widths(words: list[str]) -> None:
    arguments = parse(words, WIDTHS_USAGE, _VALUED, files=(1, 1))
    samples, title, _ = _read_samples(arguments)
    slices = _slices(arguments, (1, N_SLICES))
    present(lambda figure: plot_trace_widths(samples, slices, title, figure), arguments.options.get("-o"))


def _read_samples(arguments: Arguments) -> tuple[MuseTable, str, int | None]:
    """Samples, start of the title, and their IFU: what is drawn with them must be of the same."""
    ifu = None
    if "-n" in arguments.options:
        ifu = integer(arguments.options["-n"], _BAD_IFU, "the IFU")
        if not 1 <= ifu <= N_IFU:
            raise ToolError(_BAD_IFU, f"the IFU must be a number from 1 to {N_IFU}, not {ifu}")
    path = Path(arguments.files[0])
    try:
        samples = read_table(path, TRACE_SAMPLES, ifu)
    except BadFitsError as error:
        code = _NO_SAMPLES if "column" in error.message else _UNREADABLE
        raise ToolError(code, f"{path}: {error.message}") from error
    except (MissingInputError, OSError) as error:
        raise ToolError(_UNREADABLE, f"{path} holds no samples that can be read: {error}") from error
    shown = ifu or ifu_of_extname(str(samples.header.get("EXTNAME", "")))
    return samples, path.name + (f", IFU {shown:02d}," if shown else ","), shown


def _slices(arguments: Arguments, default: tuple[int, int]) -> tuple[int, int]:
    first, last = (
        integer(arguments.options[option], _VALUED[option], option) if option in arguments.options else fallback
        for option, fallback in zip(("-s1", "-s2"), default, strict=True)
    )
    if not 1 <= first <= last <= N_SLICES:
        _warn(f"slices {first} to {last} are no range within 1 to {N_SLICES}; using {default[0]} to {default[1]}")
        return default
    return first, last


def _ifu_of(path: Path) -> int | None:
    scan = scan_fits(path)
    found = (ifu_of_extname(hdu.extname) for hdu in scan.hdus[1:])
    return ifu_of_extname(str(scan.primary.get("EXTNAME", ""))) or min(filter(None, found), default=None)


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
