"""``muse_pixtable_dump``: rows of a pixel table as text, with exposure, IFU, slice and place on the detector.

Exit codes: 0; 1 no file given; 2, 3 missing value of ``-s``, ``-c``; 9 unknown option or argument; 10 the file cannot
be read; 11 it is no pixel table; 12 the table has no such rows; 50 anything else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.ccd.geometry import Detector
from core.errors import BadFitsError
from core.fitsfile.keywords import has_key
from core.fitsfile.scan import scan_fits
from core.formats.pixtable_header import zero_point
from core.formats.pixtable_origin import PREFIX, decode_origin, exposure_of, exposure_ranges, read_offsets
from core.formats.pixtable_read import PixelTable
from core.tools.badpix import detector_from
from core.tools.commandline import ToolError, integer, parse, run_tool
from core.tools.pixtable import UNREADABLE, open_table

__all__ = ["dump"]

USAGE = """\
Usage: muse_pixtable_dump [-s STARTIDX] [-c COUNT] PIXTABLE
  -s  first row to show, from 0 (by default 0)
  -c  number of rows to show (by default all that follow)"""

_VALUED = {"-s": 2, "-c": 3}
_NO_PIXTABLE = 11
_NO_SUCH_ROWS = 12
_ROWS: Final = 1 << 14  # brought into text at a time


@dataclass(frozen=True)
class _Field:
    """A column of the text: its title, unit, and the format of a number with the blanks around it."""

    title: str
    unit: str
    form: str

    def aligned(self, text: str) -> str:
        """A text as wide as the values, or wider if it must be."""
        return text.rjust(len(self.form % 0))


def _fields(unit: str) -> tuple[_Field, ...]:
    position = "%14.8f" if unit == "pix" else "%14.7e"
    return (
        _Field("xpos", unit, position),
        _Field("ypos", unit, " " + position),
        _Field("lambda", "Angstrom", " %9.3f"),
        _Field("data", "(flux)", "  %12.5e"),
        _Field("dq", "flag", " 0x%08x"),
        _Field("stat", "(flux**2)", " %11.5e"),
        _Field("weight  ", "-----  ", "  %10.4e"),
        _Field("exposure", "No   ", "   %2u   "),
        _Field("IFU", "No", "  %2d"),
        _Field("xCCD", "pix", " %4d"),
        _Field("yCCD", "pix", " %4d"),
        _Field("xRaw", "pix", " %4d"),
        _Field("yRaw", "pix", " %4d"),
        _Field(" slice", "No", " %2d"),
    )


def dump(words: list[str] | None = None) -> int:
    """Run ``muse_pixtable_dump``; returns the exit code."""
    return run_tool(_dump, words)


def _dump(words: list[str]) -> None:
    arguments = parse(words, USAGE, _VALUED, files=(1, 1))
    path = Path(arguments.files[0])
    table = _opened(path)
    first = integer(arguments.options.get("-s", "0"), _NO_SUCH_ROWS, "the first row")
    told = arguments.options.get("-c")
    count = table.n_rows - first if told is None else integer(told, _NO_SUCH_ROWS, "the number of rows")
    if not (0 <= first < table.n_rows and 1 <= count <= table.n_rows - first):
        raise ToolError(_NO_SUCH_ROWS, f"{path} has {table.n_rows} rows, not {count} from row {first} on")
    fields = _fields(table.units.get("xpos", "pix"))
    print(f'# MUSE pixel table "{path}", showing {count} rows starting at index {first} of {table.n_rows}')
    for words_of in ([field.title for field in fields], [field.unit for field in fields]):
        print("#" + "".join(field.aligned(word) for field, word in zip(fields, words_of, strict=True))[1:])
    print(f"# flux in [{table.units.get('data', '')}]")
    print(f"# flux**2 in [{table.units.get('stat', '')}]")
    form = "".join(field.form for field in fields) + "\n"
    for values in _values(table, first, first + count):
        sys.stdout.writelines(map(form.__mod__, zip(*values, strict=True)))


def _opened(path: Path) -> PixelTable:
    try:
        known = has_key(scan_fits(path).primary, f"{PREFIX}.TYPE")
    except (BadFitsError, OSError) as error:
        raise ToolError(UNREADABLE, f"{path} cannot be read: {error}") from error
    if not known:
        raise ToolError(_NO_PIXTABLE, f"{path} is no pixel table: the header has no {PREFIX}.TYPE")
    return open_table(path)


def _values(table: PixelTable, first: int, last: int) -> Iterator[list[list[Any]]]:
    """Values of the fields, some rows at a time."""
    ranges, offsets, zeros = exposure_ranges(table.header), read_offsets(table.header), zero_point(table.header)
    detector = detector_from(table.header, table.path)
    for start in range(first, last, _ROWS):
        stop = min(start + _ROWS, last)
        cells = table.read(start, stop)
        exposure = exposure_of(np.arange(start, stop), ranges)
        yield [column.tolist() for column in _columns(cells, exposure, offsets, zeros, detector)]


def _columns(
    cells: dict[str, npt.NDArray[Any]],
    exposure: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int32],
    zeros: tuple[float, float],
    detector: Detector,
) -> list[npt.NDArray[Any]]:
    # An exposure that the header tells no offsets of has none.
    known = np.pad(offsets, ((0, max(int(exposure.max()) + 1 - len(offsets), 0)), (0, 0), (0, 0)))
    places = decode_origin(cells["origin"], known, exposure)
    return [
        cells["xpos"] + np.float64(zeros[0]),
        cells["ypos"] + np.float64(zeros[1]),
        cells["lambda"],
        cells["data"],
        cells["dq"].view(np.uint32),
        cells["stat"],
        cells.get("weight", np.zeros(len(exposure), np.float32)),
        exposure,
        places.ifu,
        places.x,
        places.y,
        *detector.raw_places(places.x, places.y),
        places.slice_no,
    ]
