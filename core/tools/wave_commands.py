"""``muse_wave_plot_residuals`` and ``muse_wave_plot_column``: look at a wavelength calibration in detail.

Exit codes: 0; 1 no file given; 2, 3, 4, 5, 7 missing value of ``-s``, ``-i``, ``-c``, ``-n``, ``-o``; 6 bad IFU number;
9 unknown option or argument; 10 a file cannot be read; 11 it holds another table; 12 no such iteration; 13 no such
slice or column; 21 no window can be opened; 50 else.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.errors import BadFitsError, MissingInputError, NotFoundError, WavelengthError
from core.formats.tables import WAVECAL_RESIDUALS, WAVECAL_TABLE, MuseTable, TableFormat, read_table
from core.instruments.muse.facts import N_IFU, N_SLICES, ifu_of_extname
from core.spectral.dispersion import Dispersion
from core.tools.commandline import Arguments, ToolError, integer, parse, run_tool
from core.tools.display import present
from core.tools.plots_wave import plot_wave_column, plot_wave_residuals, select_iteration

__all__ = ["plot_column", "plot_residuals"]

RESIDUALS_USAGE = """\
Usage: muse_wave_plot_residuals [-n IFU] [-s SLICE] [-i ITERATION] [-l] [-c CUT1 CUT2] [-o FILE] WAVECAL_RESIDUALS
  -n  IFU to plot, if the file holds several (by default the first)
  -s  slice to plot (by default 0: all)
  -i  iteration of the fit (by default 0: the last one of each slice)
  -l  wavelength instead of the CCD row on the vertical axis
  -c  residuals that the first and the last colour stand for (by default the extremes)
  -o  write the plot to this file (PNG, PDF, SVG) instead of opening a window"""
COLUMN_USAGE = """\
Usage: muse_wave_plot_column [-n IFU] [-s SLICE] [-i ITERATION] [-c COLUMN] [-r] [-o FILE]
                             WAVECAL_TABLE WAVECAL_RESIDUALS
  -n  IFU to plot, if the files hold several (by default the first)
  -s  slice to plot (by default 24, or that of the column)
  -i  iteration of the fit (by default 0: the last one)
  -c  CCD column to plot (by default all columns of the slice)
  -r  residuals against wavelength, instead of wavelength against CCD row
  -o  write the plot to this file (PNG, PDF, SVG) instead of opening a window
  Both tables must come from the same run and IFU."""

_VALUED = {"-s": 2, "-i": 3, "-n": 5, "-o": 7}
_MISSING_CUTS = 4
_BAD_IFU = 6
_UNREADABLE = 10
_WRONG_TABLE = 11
_NO_ITERATION = 12
_NO_SLICE = 13


def plot_residuals(words: list[str] | None = None) -> int:
    """Run ``muse_wave_plot_residuals``; returns the exit code."""
    return run_tool(_plot_residuals, words)


def plot_column(words: list[str] | None = None) -> int:
    """Run ``muse_wave_plot_column``; returns the exit code."""
    return run_tool(_plot_column, words)


def _plot_residuals(words: list[str]) -> None:
    words, cuts = _without_cuts(words)
    arguments = parse(words, RESIDUALS_USAGE, _VALUED, flags=("-l",), files=(1, 1))
    table, title, _ = _read(Path(arguments.files[0]), WAVECAL_RESIDUALS, arguments)
    slice_no, iteration = _number(arguments, "-s", 0), _number(arguments, "-i", 0)
    _check(table, slice_no, iteration)
    present(
        lambda figure: plot_wave_residuals(
            table, slice_no, iteration, use_wavelength="-l" in arguments.options, cuts=cuts, title=title, figure=figure
        ),
        arguments.options.get("-o"),
    )


def _plot_column(words: list[str]) -> None:
    arguments = parse(words, COLUMN_USAGE, {**_VALUED, "-c": 4}, flags=("-r",), files=(2, 2))
    slice_no, iteration = _number(arguments, "-s", 24), _number(arguments, "-i", 0)
    if not 1 <= slice_no <= N_SLICES:
        raise ToolError(_NO_SLICE, f"the slice must be a number from 1 to {N_SLICES}, not {slice_no}")
    column = _number(arguments, "-c", 0) if "-c" in arguments.options else None
    solution, _, ifu = _read(Path(arguments.files[0]), WAVECAL_TABLE, arguments)
    table, title, _ = _read(Path(arguments.files[1]), WAVECAL_RESIDUALS, arguments, ifu)
    try:
        dispersion = Dispersion.from_columns(solution)
    except WavelengthError as error:
        raise ToolError(_WRONG_TABLE, f"{arguments.files[0]}: {error.message}") from error
    if column is not None and "-s" not in arguments.options:
        slice_no = _slice_of(table, column) or slice_no
    _check(table, slice_no, iteration)
    if not dispersion.has(slice_no):
        raise ToolError(_NO_SLICE, f"{arguments.files[0]} has no solution of slice {slice_no}")
    if column is not None and column not in table["x"][select_iteration(table, slice_no, iteration)]:
        raise ToolError(_NO_SLICE, f"there are no residuals of column {column} in slice {slice_no}")
    present(
        lambda figure: plot_wave_column(
            table,
            dispersion,
            slice_no,
            iteration,
            column=column,
            show_residuals="-r" in arguments.options,
            title=title,
            figure=figure,
        ),
        arguments.options.get("-o"),
    )


def _slice_of(table: MuseTable, column: int) -> int | None:
    """The slice with most points in a CCD column; None if there are none."""
    slices = table["slice"][table["x"] == column]
    return int(np.bincount(slices).argmax()) if slices.size else None


def _without_cuts(words: list[str]) -> tuple[list[str], tuple[float, float] | None]:
    """The words without ``-c CUT1 CUT2``, and the cuts: the only option with two values."""
    if "-c" not in words:
        return words, None
    k = words.index("-c")
    try:
        low, high = (float(text) for text in words[k + 1 : k + 3])
    except ValueError:
        raise ToolError(_MISSING_CUTS, "the option -c needs two numbers") from None
    if not low < high:
        raise ToolError(_MISSING_CUTS, f"the first cut must be less than the second, not {low:g} and {high:g}")
    return words[:k] + words[k + 3 :], (low, high)


def _number(arguments: Arguments, option: str, default: int) -> int:
    text = arguments.options.get(option)
    code = {**_VALUED, "-c": 4}[option]
    value = default if text is None else integer(text, code, option)
    if value < 0:
        raise ToolError(code, f"{option} must not be negative")
    return value


def _read(
    path: Path, fmt: TableFormat, arguments: Arguments, ifu: int | None = None
) -> tuple[MuseTable, str, int | None]:
    """Table, start of the title, and its IFU; ``ifu`` is wanted if the command line names none."""
    if "-n" in arguments.options:
        ifu = integer(arguments.options["-n"], _BAD_IFU, "the IFU")
        if not 1 <= ifu <= N_IFU:
            raise ToolError(_BAD_IFU, f"the IFU must be a number from 1 to {N_IFU}, not {ifu}")
    try:
        table = read_table(path, fmt, ifu)
    except BadFitsError as error:
        code = _WRONG_TABLE if "column" in error.message else _UNREADABLE
        raise ToolError(code, f"{path}: {error.message}") from error
    except (MissingInputError, OSError) as error:
        raise ToolError(_UNREADABLE, f"{path} holds no {fmt.name} that can be read: {error}") from error
    shown = ifu or ifu_of_extname(str(table.header.get("EXTNAME", "")))
    return table, path.name + (f", IFU {shown:02d}," if shown else ","), shown


def _check(table: MuseTable, slice_no: int, iteration: int) -> None:
    try:
        select_iteration(table, slice_no)
    except NotFoundError as error:
        raise ToolError(_NO_SLICE, error.message) from error
    try:
        select_iteration(table, slice_no, iteration)
    except NotFoundError as error:
        raise ToolError(_NO_ITERATION, error.message) from error
