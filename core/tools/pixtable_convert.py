"""``muse_pixtable_convert``: a pixel table in another form, bit for bit.

Exit codes: 0; 1 arguments missing; 2 missing or bad value of ``-f``; 3 a table that is needed is not given; 9 unknown
option; 10 a file cannot be read; 50 anything else, e.g. the table has no compact form, or the output cannot be written.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from core.errors import BadFitsError, MissingInputError, MuseError
from core.fitsfile.keywords import get_key
from core.fitsfile.scan import scan_fits
from core.formats.pixtable import PixtableForm
from core.formats.pixtable_convert import write_as, write_compact
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.slice_maps import load_slice_maps
from core.spatial.positions import SliceMap
from core.tools.badpix import detector_from
from core.tools.commandline import ToolError, parse, run_tool
from core.tools.pixtable import UNREADABLE, open_table, told_of, told_saved

__all__ = ["convert"]

USAGE = """\
Usage: muse_pixtable_convert [-f FORM] PIXTABLE_IN PIXTABLE_OUT [TABLE ...]
  -f  form of the output: image (by default), table (a binary table), compact
  TABLE  for the compact form: the TRACE_TABLEs and WAVECAL_TABLEs of all IFUs of the pixel table, and the
         GEOMETRY_TABLE if it was made with one, in any order"""

_BAD_FORM = 2
_NO_TABLE = 3
_FORMS: Final[dict[str, PixtableForm]] = {"image": "image", "table": "table", "compact": "compact"}
_MANY: Final = 1 << 10
_TAGS: Final = ("TRACE_TABLE", "WAVECAL_TABLE", "GEOMETRY_TABLE")


def convert(words: list[str] | None = None) -> int:
    """Run ``muse_pixtable_convert``; returns the exit code."""
    return run_tool(_convert, words)


def _convert(words: list[str]) -> None:
    arguments = parse(words, USAGE, {"-f": _BAD_FORM}, files=(2, _MANY))
    source, target, *tables = (Path(name) for name in arguments.files)
    form = arguments.options.get("-f", "image")
    if form not in _FORMS:
        raise ToolError(_BAD_FORM, f"the form is one of {', '.join(_FORMS)}, not {form!r}")
    table = open_table(source)
    print(f"{told_of(source, table)}, form {table.form}")
    if form == "compact":
        write_compact(table, target, _Maps(table, tables).of_ifu)
    else:
        write_as(table, target, _FORMS[form])
    print(told_saved(target, table.n_rows))


class _Maps:
    """Maps of slices from the tables given."""

    def __init__(self, table: PixelTable, tables: Sequence[Path]) -> None:
        self._shape = detector_from(table.header, table.path).trimmed_shape
        self._frames = FrameSet(tuple(_frame(path) for path in tables))
        simple = get_key(table.header, f"{PREFIX}.TYPE", str) == "SIMPLE"
        for tag in _TAGS[:2] if simple else _TAGS:
            if not self._frames.tagged(tag):
                raise ToolError(_NO_TABLE, f"the compact form of {table.path} needs its {tag}")
        self._simple = simple

    def of_ifu(self, ifu: int) -> Mapping[int, SliceMap]:
        """Maps of the slices of an IFU, by number."""
        try:
            found = load_slice_maps(ifu, self._frames, self._shape, logging.getLogger(__name__))
        except MissingInputError as error:
            raise ToolError(_NO_TABLE, str(error)) from error
        maps = found.side_by_side() if self._simple else found
        return {slice_map.slice_no: slice_map for slice_map in maps.maps}


def _frame(path: Path) -> Frame:
    try:
        tag = get_key(scan_fits(path).primary, "PRO.CATG", str)
        if tag not in _TAGS:
            raise BadFitsError(f"it is a {tag}, not one of {', '.join(_TAGS)}", file=path, keyword="PRO.CATG")
    except (MuseError, OSError) as error:
        raise ToolError(UNREADABLE, f"{path} cannot be used: {error}") from error
    return Frame(path, tag)
