"""``muse_pixtable_erase_slice``: a pixel table without one slice of an IFU, in all of its exposures.

Exit codes: 0; 1 not four arguments; 2 bad IFU number; 3 bad slice number; 10 the file cannot be read; 50 anything else,
e.g. no row is left, or the output cannot be written.
"""

from __future__ import annotations

from pathlib import Path

from core.formats.pixtable_select import choose_rows, except_slice, write_rows
from core.instruments.muse.facts import N_IFU, N_SLICES
from core.tools.commandline import NO_ARGUMENTS, ToolError, run_tool
from core.tools.pixtable import numbered, open_table, told_of, told_saved

__all__ = ["erase_slice"]

USAGE = """\
Usage: muse_pixtable_erase_slice PIXTABLE_IN IFU SLICE PIXTABLE_OUT
  SLICE is the number on the CCD. PIXTABLE_OUT may be PIXTABLE_IN."""

_BAD_IFU = 2
_BAD_SLICE = 3


def erase_slice(words: list[str] | None = None) -> int:
    """Run ``muse_pixtable_erase_slice``; returns the exit code."""
    return run_tool(_erase, words)


def _erase(words: list[str]) -> None:
    if len(words) != 4:
        raise ToolError(NO_ARGUMENTS, USAGE)
    ifu = numbered(words[1], _BAD_IFU, "the IFU", N_IFU)
    slice_no = numbered(words[2], _BAD_SLICE, "the slice", N_SLICES)
    source, target = Path(words[0]), Path(words[3])
    table = open_table(source)
    print(f"{told_of(source, table)} loaded")
    chosen = choose_rows(table, [except_slice(ifu, slice_no)])
    print(f"  erasing slice {slice_no} of IFU {ifu}: {table.n_rows - chosen.n_rows} rows removed")
    write_rows(chosen, target)
    print(told_saved(target, chosen.n_rows))
