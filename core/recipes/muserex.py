"""``muserex``: run a recipe from the shell, with the command line of the MUSE manual (section 6.1).

    muserex [options] [recipe [recipe options] [sof [sof]...]]

Options before the recipe name are for muserex itself, options after it are recipe parameters.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import core.recipes.startup  # noqa: F401  (before all others)
from core import __version__
from core.errors import MuseError, ParameterError, ProductStoreError
from core.fitsfile.sof import read_sof
from core.formats.dicd import format_value
from core.recipes.declaration import ParameterInfo, Recipe, RecipeParameters
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.logs import LEVELS, LogSettings, configure_logging
from core.recipes.rcfiles import caller_options, config_text, recipe_values
from core.recipes.registry import get_recipe, recipe_names
from core.variables import EXPERT_VARIABLE, OTHER_VARIABLES

__all__ = ["command", "main"]

_READ_HERE = re.compile(r"MUSE_|OMP_|NUMBA_|CASCADE_RECIPES")
_ENVIRONMENT = "\n".join(
    textwrap.fill(text, 110, initial_indent=f"  {name:34s}", subsequent_indent=" " * 36)
    for name, text in OTHER_VARIABLES.items()
    if _READ_HERE.match(name)
)
USAGE = f"""\
Usage: muserex [options] [recipe [recipe options] [sof [sof]...]]

Options:
  --help [recipe]       this text, or the description, inputs, parameters and products of a recipe
  --recipes             list the recipes
  --params recipe       list the parameters of a recipe with type, default and accepted values
  --log-file=FILE       write a log file
  --log-dir=DIR         directory of the log file [.]
  --log-level=LEVEL     lowest level written to the log file: {", ".join(LEVELS)} [info]
  --msg-level=LEVEL     lowest level shown on the terminal: {", ".join(LEVELS)} [info]
  --output-dir=DIR      directory for the products [.]
  --config=FILE         options of this list from a file as EsoRex has it (esorex.caller.output-dir=...)
  --recipe-config=FILE  parameters from a file as EsoRex has it (muse.muse_bias.nifu=...); the command line goes first
  --create-config=FILE  write such a file for the recipe, with its present values
  --suppress-prefix     taken for the sake of scripts: products have the names of their tags always
  --compile             compile the modules and numerical kernels of all recipes once, after installation
  --version             show the version

Environment:
{_ENVIRONMENT}
"""


@dataclass
class _CommandLine:
    options: dict[str, str] = field(default_factory=dict)
    recipe: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    sofs: list[str] = field(default_factory=list)


_FROM_FILE = frozenset({"log-file", "log-dir", "log-level", "msg-level", "output-dir"})
_VALUED = _FROM_FILE | {"config", "recipe-config", "create-config"}
_PLAIN = {"help", "recipes", "params", "version", "compile", "suppress-prefix"}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        Exit code: 0 success, 1 the recipe or the command line failed.
    """
    try:
        return _run(_parse(sys.argv[1:] if arguments is None else arguments))
    except MuseError as error:
        print(f"muserex: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output, e.g. head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("muserex: interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"muserex: {error}", file=sys.stderr)
        return 1


def _parse(arguments: list[str]) -> _CommandLine:
    line = _CommandLine()
    words = list(arguments)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            if line.recipe is None:
                line.recipe = word
            else:
                line.sofs.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if line.recipe is None:
            if name in _VALUED:
                if not equals:
                    if not words:
                        raise ParameterError(f"--{name} needs a value", parameter=name)
                    value = words.pop(0)
                line.options[name] = value
            elif name in _PLAIN:
                line.options[name] = value
            else:
                raise ParameterError(f"there is no option --{name}; see muserex --help", parameter=name)
        elif name == "help":
            line.options["help"] = ""
        elif name in _VALUED | _PLAIN and name not in {info.name for info in get_recipe(line.recipe).Params.listing()}:
            raise ParameterError(
                f"--{name} is an option of muserex: give it before the recipe (muserex --{name}"
                f"{'=...' if name in _VALUED else ''} {line.recipe} ...)",
                parameter=name,
            )
        else:
            line.parameters[name] = _parameter_value(line.recipe, name, equals, value, words)
    return line


def _parameter_value(recipe: str, name: str, equals: str, value: str, words: list[str]) -> str:
    if equals:
        return value.strip("\"'")
    # A name that is not known must not swallow the next word: it may be the set of frames.
    if get_recipe(recipe).Params.info(name).type == "boolean":
        return "true"
    if not words:
        raise ParameterError(f"--{name} needs a value", parameter=name)
    return words.pop(0)


def _run(line: _CommandLine) -> int:
    if "version" in line.options:
        print(f"muserex (Cascade) {__version__}")
        return 0
    if "compile" in line.options:
        from core.recipes.compile import compile_kernels  # the simulator is needed here only

        compile_kernels(lambda text: print(f"muserex: {text}", flush=True))
        return 0
    if "recipes" in line.options:
        for name in recipe_names():
            print(f"  {name:20s} {get_recipe(name).summary}")
        return 0
    if line.recipe is None:
        print(USAGE)
        return 0 if "help" in line.options or not line.options else 1
    recipe = get_recipe(line.recipe)
    if "config" in line.options:
        line.options = caller_options(Path(line.options["config"]), _FROM_FILE) | line.options
    params = _parameters(recipe, line)
    if "params" in line.options:
        print(_parameter_list(recipe, params))
        return 0
    if "help" in line.options:
        print(_recipe_help(recipe, params))
        return 0
    if "create-config" in line.options:
        return _create_config(Path(line.options["create-config"]), recipe, params)
    return _execute(recipe, params, line)


def _parameters(recipe: Recipe, line: _CommandLine) -> RecipeParameters:
    file = line.options.get("recipe-config")
    return recipe.Params.parse((recipe_values(Path(file), recipe) if file else {}) | line.parameters)


def _create_config(path: Path, recipe: Recipe, params: RecipeParameters) -> int:
    if path.exists():
        raise ParameterError("the file exists: name another for --create-config, or remove it", file=path)
    path.write_text(config_text(recipe, params), encoding="utf-8")
    print(f"{path} written")
    return 0


def _execute(recipe: Recipe, params: RecipeParameters, line: _CommandLine) -> int:
    if not line.sofs:
        raise ParameterError(f"{recipe.name} needs a set of frames: muserex {recipe.name} [parameters] frames.sof")
    logs = LogSettings(line.options.get("msg-level", "info"), line.options.get("log-level", "info"))
    frames = FrameSet(tuple(Frame(path, tag) for path, tag in read_sof(line.sofs)))
    output = _directory(line.options.get("output-dir", "."), "output-dir")
    if "log-file" in line.options:
        logs.log_file = _new_log(_directory(line.options.get("log-dir", "."), "log-dir") / line.options["log-file"])
    configure_logging(logs)
    result = run_recipe(recipe, frames, params, output, logs=logs)
    for product in result.products:
        print(f"{product.path.name} {product.tag}")
    for failure in result.failures:
        print(f"muserex: {failure.part.label} failed: {failure.message}", file=sys.stderr)
    return 0 if result.ok else 1


def _directory(name: str, option: str) -> Path:
    """A directory that can be written to, made if need be: found out before anything runs."""
    path = Path(name)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProductStoreError(f"the directory of --{option} cannot be made: {error.strerror}", file=path) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ProductStoreError(f"the directory of --{option} cannot be written to", file=path)
    return path


def _new_log(path: Path) -> Path:
    try:
        path.write_text("")
    except OSError as error:
        raise ProductStoreError(f"the log cannot be written: {error.strerror}", file=path) from error
    return path


def _parameter_line(info: ParameterInfo, value: Any) -> str:
    head = f"  --{info.name}"
    expert = "hidden; " if info.hidden else ""
    only = f"only with {info.only}; " if info.only else ""
    default = "" if value == info.default else f"; else {_shown(info, info.default)}"
    text = f"{info.help} ({expert}{only}{info.type}; {info.accepts}) [{_shown(info, value)}{default}]"
    return textwrap.fill(text, 110, initial_indent=f"{head:24s}", subsequent_indent=" " * 24)


def _shown(info: ParameterInfo, value: Any) -> str:
    text = format_value(value) if value != "" else "''"
    return f"{text} {info.unit}" if info.unit else text


def _parameter_list(recipe: Recipe, params: RecipeParameters) -> str:
    """All parameters with their present values: of the command line, of a configuration file, or the defaults."""
    every = bool(os.environ.get(EXPERT_VARIABLE))
    return "\n".join(
        _parameter_line(info, getattr(params, info.name))
        for info in recipe.Params.listing()
        if every or not info.hidden
    )


def _recipe_help(recipe: Recipe, params: RecipeParameters) -> str:
    inputs = "\n".join(
        f"  {spec.tag:20s} {spec.kind:6s} {f'min {spec.min}' if spec.min else 'optional':9s} {spec.description}"
        for spec in recipe.inputs
    )
    products = "\n".join(f"  {spec.tag:20s} {spec.description}" for spec in recipe.products)
    qc = "\n".join(f"  {spec.keyword:38s} [{spec.unit or '-'}] {spec.description}" for spec in recipe.qc)
    description = "\n\n".join(textwrap.fill(part, 110) for part in recipe.description.split("\n\n"))
    return (
        f"{recipe.name}: {recipe.summary}\n\n{description}\n\nInput frames:\n{inputs}\n\n"
        f"Parameters:\n{_parameter_list(recipe, params)}\n\nProducts:\n{products}\n\nQC parameters:\n{qc}"
    )


def _terminate(number: int, frame: object) -> NoReturn:
    """End as if interrupted, so that no file is left half-written."""
    raise KeyboardInterrupt


def command() -> NoReturn:
    """The command ``muserex``: `main`, and then the end at once, without taking the compiler to pieces."""
    signal.signal(signal.SIGTERM, _terminate)
    code = main()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it is if the shell closed it
            with contextlib.suppress(BrokenPipeError):  # the reader has enough
                stream.flush()
    os._exit(code)


if __name__ == "__main__":
    command()
