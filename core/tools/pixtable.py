"""What the tools for pixel tables have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from core.errors import MuseError
from core.formats.pixtable_read import PixelTable, open_pixtable
from core.tools.commandline import ToolError, integer

__all__ = ["UNREADABLE", "numbered", "open_table", "told_of", "told_saved"]

UNREADABLE: Final = 10


def open_table(path: Path) -> PixelTable:
    """Open a pixel table.

    Raises
    ------
    ToolError
        With the exit code 10 if it cannot be read.
    """
    try:
        return open_pixtable(path)
    except (MuseError, OSError) as error:
        raise ToolError(UNREADABLE, f"{path} cannot be read: {error}") from error


def numbered(text: str, code: int, what: str, last: int) -> int:
    """A number from 1 to ``last`` from the command line; ToolError with ``code`` if it is none."""
    number = integer(text, code, what)
    if not 1 <= number <= last:
        raise ToolError(code, f"{what} must be a number from 1 to {last}, not {number}")
    return number


def told_of(path: Path, table: PixelTable) -> str:
    """A line about the table that was opened."""
    return f'MUSE pixel table "{path}" ({table.n_rows} rows)'


def told_saved(path: Path, n_rows: int) -> str:
    """A line about the table that was written."""
    return f'MUSE pixel table "{path}" ({n_rows} rows) saved'
