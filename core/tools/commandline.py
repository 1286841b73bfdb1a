"""Command lines of the ``muse_*`` tools: single-token options followed by a value, exit codes as documented.

Called without arguments a tool prints its usage on the error stream and exits with 1; an unknown option, or more
arguments than the tool knows, is 9.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.errors import MuseError

__all__ = ["Arguments", "ToolError", "integer", "parse", "run_tool"]

NO_ARGUMENTS = 1
UNKNOWN_OPTION = 9
FAILED = 50
BROKEN_PIPE = 141  # as a shell has it after SIGPIPE


class ToolError(Exception):
    """A tool cannot go on; carries the exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Arguments:
    """A parsed command line.

    Attributes
    ----------
    options : dict of str to str
        Values by option; flags have an empty value.
    files : list of str
        Positional arguments.
    """

    options: dict[str, str]
    files: list[str]


def parse(
    words: Sequence[str], usage: str, valued: Mapping[str, int], flags: Sequence[str] = (), *, files: tuple[int, int]
) -> Arguments:
    """Sort the words of a command line.

    Parameters
    ----------
    words : sequence of str
        Without the program name.
    usage : str
        Text shown if arguments are missing.
    valued : mapping of str to int
        Options with a value, and the exit code if the value is missing.
    flags : sequence of str
        Options without a value.
    files : tuple of int
        Smallest and largest number of positional arguments.

    Raises
    ------
    ToolError
        With the exit code.
    """
    options: dict[str, str] = {}
    found: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if word in valued:
            if not queue:
                raise ToolError(valued[word], f"the option {word} needs a value")
            options[word] = queue.pop(0)
        elif word in flags:
            options[word] = ""
        elif word.startswith("-") and len(word) > 1:
            raise ToolError(UNKNOWN_OPTION, f"unknown option {word}\n{usage}")
        else:
            found.append(word)
    least, most = files
    if len(found) < least:
        raise ToolError(NO_ARGUMENTS, usage)
    if len(found) > most:
        raise ToolError(UNKNOWN_OPTION, f"unknown argument {found[most]}\n{usage}")
    return Arguments(options, found)


def integer(text: str, code: int, what: str) -> int:
    """A whole number from the command line.

    Raises
    ------
    ToolError
        With ``code`` if it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise ToolError(code, f"{what} must be a whole number, not {text!r}") from None


def run_tool(tool: Callable[[list[str]], None], words: list[str] | None = None) -> int:
    """Run a tool on its arguments (those of the process by default); tells errors and returns the exit code."""
    try:
        tool(sys.argv[1:] if words is None else words)
        sys.stdout.flush()
    except ToolError as error:
        print(error, file=sys.stderr)
        return error.code
    except BrokenPipeError:  # who reads the output has seen enough; nor is what is left of it to be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (MuseError, OSError) as error:
        print(error, file=sys.stderr)
        return FAILED
    return 0
