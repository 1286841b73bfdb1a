"""Configuration files of recipes and of the command line, as EsoRex writes and reads them.

    # --nifu
    # IFU to handle. ...
    muse.muse_bias.nifu=0

A file of a recipe has the lines ``muse.RECIPE.PARAMETER=VALUE``, one of the program ``esorex.caller.OPTION=VALUE``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from core.errors import ParameterError
from core.formats.dicd import format_value
from core.recipes.declaration import Recipe, RecipeParameters

__all__ = ["caller_options", "config_text", "recipe_values"]

_CALLER: Final = "esorex.caller."


def recipe_values(path: Path, recipe: Recipe) -> dict[str, str]:
    """Parameters of a recipe.

    Raises
    ------
    ParameterError
        If a line is none, or names no parameter of the recipe.
    OSError
        If the file cannot be read.
    """
    values = {}
    for number, key, value in _lines(path):
        _, _, rest = key.partition(".")  # the instrument
        name, _, parameter = rest.partition(".")
        if name != recipe.name:
            raise ParameterError(f"line {number} is of {name or key}, not of {recipe.name}", file=path, parameter=key)
        recipe.Params.info(parameter)
        values[parameter] = value
    return values


def caller_options(path: Path, known: frozenset[str]) -> dict[str, str]:
    """Options of the program; those that only EsoRex has are left alone.

    Raises
    ------
    ParameterError
        If a line is no option of the program.
    OSError
        If the file cannot be read.
    """
    options = {}
    for number, key, value in _lines(path):
        if not key.startswith(_CALLER):
            raise ParameterError(f"line {number} does not begin with {_CALLER}", file=path, parameter=key)
        name = key.removeprefix(_CALLER)
        if name in known and value:
            options[name] = value
    return options


def _lines(path: Path) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        if not equals:
            raise ParameterError(f"line {number} is not NAME=VALUE: {text}", file=path)
        yield number, key.strip(), value.strip().strip("\"'")


def config_text(recipe: Recipe, params: RecipeParameters) -> str:
    """The file of a recipe with these values."""
    prefix = recipe.name.partition("_")[0]
    parts = []
    for info in recipe.Params.listing():
        comment = textwrap.fill(info.help, 80, initial_indent="# ", subsequent_indent="# ")
        value = _value(getattr(params, info.name))
        parts.append(f"# --{info.name}\n{comment}\n{prefix}.{recipe.name}.{info.name}={value}\n")
    return f"# Parameters of {recipe.name}; give the file as --recipe-config=FILE\n\n" + "\n".join(parts)


def _value(value: Any) -> str:
    return str(value).upper() if isinstance(value, bool) else format_value(value)
