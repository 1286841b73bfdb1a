"""Sets of frames: text files of ``path tag`` lines, as ESO's recipes take them (MUSE manual, section 6.1)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from core.errors import MissingInputError, ParameterError

__all__ = ["format_sof", "read_sof"]

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def read_sof(paths: Iterable[str | os.PathLike[str]]) -> list[tuple[Path, str]]:
    """Read one or more sets of frames, concatenated in order.

    A ``#`` in the first column comments a line out; ``$NAME`` and ``${NAME}`` are replaced by environment variables.

    Returns
    -------
    list of (path, tag)

    Raises
    ------
    ParameterError
        If a line has no tag or names an unset environment variable; the message names file and line.
    MissingInputError
        If the set of frames or a file in it does not exist.
    """
    frames: list[tuple[Path, str]] = []
    for sof in map(Path, paths):
        try:
            text = sof.read_text(encoding="utf-8")
        except OSError as error:
            raise MissingInputError(f"the set of frames cannot be read: {error.strerror}", file=sof) from error
        except UnicodeDecodeError as error:
            raise ParameterError("the set of frames is not a text file", file=sof) from error
        for number, line in enumerate(text.splitlines(), 1):
            if line.startswith("#") or not line.strip():
                continue
            fields = line.split()
            if len(fields) < 2:
                raise ParameterError(f"line {number} has no frame tag: {line.strip()!r}", file=sof)
            path = Path(_VARIABLE.sub(lambda match, n=number, s=sof: _expand(match, n, s), fields[0]))  # type: ignore[misc]
            if not path.is_file():
                raise MissingInputError(f"line {number} names a file that does not exist: {path}", file=sof)
            frames.append((path, fields[1].upper()))
    return frames


def _expand(match: re.Match[str], number: int, sof: Path) -> str:
    name = match.group(1) or match.group(2)
    value = os.environ.get(name)
    if value is None:
        raise ParameterError(f"line {number} uses the environment variable {name}, which is not set", file=sof)
    return value


def format_sof(frames: Iterable[tuple[str | os.PathLike[str], str]]) -> str:
    """Text of a set of frames."""
    return "".join(f"{os.fspath(path)} {tag}\n" for path, tag in frames)
