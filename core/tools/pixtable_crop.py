"""``muse_pixtable_crop``: the rows of a pixel table that lie in a range of positions or wavelengths, or in one slice.

Exit codes: 0; 1 file names missing; 2, 3, 4 missing or bad value of ``-x1`` or ``-x2``, of ``-y1`` or ``-y2``, of
``-l1`` or ``-l2``; 5, 6 missing or bad value of ``-i``, ``-s``; 9 unknown option or argument; 10 the file cannot be
read; 50 anything else, e.g. no row is left, or the output cannot be written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.fitsfile.keywords import get_key
from core.formats.pixtable_header import zero_point
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable
from core.formats.pixtable_select import RowTest, choose_rows, of_unit, within, write_rows
from core.instruments.muse.facts import N_IFU, N_SLICES
from core.tools.commandline import Arguments, ToolError, parse, run_tool
from core.tools.pixtable import numbered, open_table, told_of, told_saved

__all__ = ["crop"]

USAGE = """\
Usage: muse_pixtable_crop [-x1 X] [-x2 X] [-y1 Y] [-y2 Y] [-l1 LAMBDA] [-l2 LAMBDA] [-i IFU] [-s SLICE]
                          PIXTABLE_IN PIXTABLE_OUT
  -x1, -x2  lowest and highest xpos, in the unit of the table (by default all)
  -y1, -y2  lowest and highest ypos
  -l1, -l2  lowest and highest wavelength [Angstrom]
  -i        keep this IFU only
  -s        keep this slice only (numbering on the CCD)
PIXTABLE_OUT may be PIXTABLE_IN."""


@dataclass(frozen=True)
class _Axis:
    """An axis that can be cropped."""

    column: str
    key: str  # of the limits in the header
    options: tuple[str, str]
    code: int
    form: str


_AXES: Final = (
    _Axis("lambda", "LAMBDA", ("-l1", "-l2"), 4, "%.2f..%.2f"),
    _Axis("xpos", "X", ("-x1", "-x2"), 2, "%.3e..%.3e"),
    _Axis("ypos", "Y", ("-y1", "-y2"), 3, "%.3e..%.3e"),
)
_IFU, _SLICE = 5, 6
_VALUED: Final = {option: axis.code for axis in _AXES for option in axis.options} | {"-i": _IFU, "-s": _SLICE}


def crop(words: list[str] | None = None) -> int:
    """Run ``muse_pixtable_crop``; returns the exit code."""
    return run_tool(_crop, words)


def _crop(words: list[str]) -> None:
    arguments = parse(words, USAGE, _VALUED, files=(2, 2))
    limits = [tuple(_number(arguments, option, axis.code) for option in axis.options) for axis in _AXES]
    ifu = numbered(arguments.options["-i"], _IFU, "the IFU", N_IFU) if "-i" in arguments.options else None
    slice_no = numbered(arguments.options["-s"], _SLICE, "the slice", N_SLICES) if "-s" in arguments.options else None
    source, target = (Path(name) for name in arguments.files)
    table = open_table(source)
    print(told_of(source, table))
    zeros = dict(zip(("xpos", "ypos"), zero_point(table.header), strict=True))
    tests: list[RowTest] = []
    for axis, (low, high) in zip(_AXES, limits, strict=True):
        print(_range(axis, table, low, high))
        if low is not None or high is not None:
            low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
            tests.append(within(axis.column, low, high, zeros.get(axis.column, 0.0)))
    of_range = choose_rows(table, tests)
    chosen = of_range
    if ifu is not None or slice_no is not None:
        chosen = choose_rows(table, [*tests, of_unit(ifu, slice_no)])
        told = [f"{name} {number}" for name, number in (("IFU", ifu), ("slice", slice_no)) if number is not None]
        dropped = of_range.n_rows - chosen.n_rows
        print(f"  restricting to {', '.join(told)}: {dropped} of {of_range.n_rows} rows dropped")
    write_rows(chosen, target)
    print(told_saved(target, chosen.n_rows))


def _number(arguments: Arguments, option: str, code: int) -> float | None:
    text = arguments.options.get(option)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise ToolError(code, f"the value of {option} must be a number, not {text!r}")
    return number


def _range(axis: _Axis, table: PixelTable, low: float | None, high: float | None) -> str:
    """A line with the range that is kept, as asked for or else that of the table."""
    ends = [
        get_key(table.header, f"{PREFIX}.LIMITS.{axis.key}.{end}", float, default=math.nan) if asked is None else asked
        for end, asked in (("LOW", low), ("HIGH", high))
    ]
    word = "  cropping to " if axis is _AXES[0] else ""
    return f"{word + axis.column:>20} = {axis.form % (ends[0], ends[1])} {table.units.get(axis.column, '')}"
