"""``muse_offset_list_create``: a list of exposures whose offsets are to be filled in.

Exit codes: 0; 1 arguments missing; 2 missing value of ``-s``; 3 the set of frames cannot be read; 9 unknown option;
10 no name of the output; 11 the output exists; 12 it cannot be written; 50 anything else.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from core.errors import MuseError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.fitsfile.scan import first_header
from core.fitsfile.sof import read_sof
from core.formats.onsky_tables import OFFSET_LIST
from core.formats.tables import MuseTable, write_table
from core.tools.commandline import NO_ARGUMENTS, ToolError, parse, run_tool

__all__ = ["create"]

USAGE = """\
Usage: muse_offset_list_create [-f] [-s SOF] OFFSET_LIST_OUT [FILE ...]
  -f  write the list even if a file of that name exists
  -s  take the pixel tables (tags PIXTABLE_...) of this set of frames, too, after the files
  Without files the list has ten empty rows."""

_NO_SOF, _BAD_SOF, _NO_NAME, _EXISTS, _UNWRITABLE = 2, 3, 10, 11, 12
_EMPTY_ROWS: Final = 10


def create(words: list[str] | None = None) -> int:
    """Run ``muse_offset_list_create``; returns the exit code."""
    return run_tool(_create, words)


def _create(words: list[str]) -> None:
    if not words:
        raise ToolError(NO_ARGUMENTS, USAGE)
    arguments = parse(words, USAGE, {"-s": _NO_SOF}, ("-f",), files=(0, sys.maxsize))
    if not arguments.files:
        raise ToolError(_NO_NAME, f"the name of the list is missing\n{USAGE}")
    target, *files = (Path(name) for name in arguments.files)
    if "-s" in arguments.options:
        files += _pixel_tables(arguments.options["-s"])
    if target.exists() and "-f" not in arguments.options:
        raise ToolError(_EXISTS, f"{target} exists already: -f writes it anew")
    try:
        _write(target, files)
    except (MuseError, OSError) as error:
        raise ToolError(_UNWRITABLE, str(error)) from error
    print(f"{target}: {len(files) or _EMPTY_ROWS} rows saved")


def _pixel_tables(sof: str) -> list[Path]:
    try:
        return [path for path, tag in read_sof([sof]) if tag.startswith("PIXTABLE_")]
    except MuseError as error:
        raise ToolError(_BAD_SOF, str(error)) from error


def _write(target: Path, files: Sequence[Path]) -> None:
    rows = [_exposure(path) for path in files] or [("", math.nan)] * _EMPTY_ROWS
    header = Header()
    set_key(header, "INSTRUME", "MUSE", "Instrument used")
    set_key(header, "PRO.CATG", OFFSET_LIST.name, "Category of pipeline product frame")
    for number, path in enumerate(files, 1):
        set_key(header, f"FILE{number}", path.name, "file of which an exposure is")
    if not files:
        set_key(header, "FILES", "no files given")
    unknown = np.full(len(rows), np.nan)
    columns = {
        "DATE_OBS": np.array([date for date, _ in rows], np.bytes_),
        "MJD_OBS": np.array([day for _, day in rows]),
        **dict.fromkeys(("RA_OFFSET", "DEC_OFFSET", "FLUX_SCALE"), unknown),
    }
    date, *others = OFFSET_LIST.columns
    width = max(date.repeat, *(len(text) for text, _ in rows))
    wide = replace(OFFSET_LIST, columns=(replace(date, form=f"{width}A"), *others))
    write_table(target, wide, MuseTable(columns, header))


def _exposure(path: Path) -> tuple[str, float]:
    """DATE-OBS and MJD-OBS of a file; none of one that cannot be read."""
    try:
        header = first_header(path)
        return (get_key(header, "DATE-OBS", str, default=""), get_key(header, "MJD-OBS", float, default=math.nan))
    except (MuseError, OSError) as error:
        print(f"warning: {path} cannot be read, its row is empty: {error}", file=sys.stderr)
        return "", math.nan
