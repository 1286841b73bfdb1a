"""``muserex``: run a recipe from the shell, with the command line of the MUSE manual (section 6.1).

    muserex [options] [recipe [recipe options] [sof [sof]...]]

Options before the recipe name are for muserex itself, options after it are recipe parameters.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import core.recipes.startup  # noqa: F401  (before all others)
from core import __version__
from core.errors import MuseError, ParameterError, ProductStoreError
from core.fitsfile.sof import read_sof
from core.formats.dicd import format_value
from core.recipes.declaration import ParameterInfo, Recipe
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.logs import LEVELS, LogSettings, configure_logging
from core.recipes.registry import ENVIRONMENT as EXTRA_RECIPES
from core.recipes.registry import get_recipe, recipe_names

__all__ = ["command", "main"]

EXPERT_VARIABLE = "MUSE_EXPERT_USER"
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
  --compile             compile the modules and numerical kernels of all recipes once, after installation
  --version             show the version

Environment:
  OMP_NUM_THREADS       cores to use: parts at once (IFUs with --nifu=-1), threads of one part else [all]
  {EXPERT_VARIABLE}      set to show hidden parameters, too; they are accepted always
  {EXTRA_RECIPES}       further recipes: name=module:Class,name=module:Class
"""


@dataclass
class _CommandLine:
    options: dict[str, str] = field(default_factory=dict)
    recipe: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    sofs: list[str] = field(default_factory=list)


_VALUED = {"log-file", "log-dir", "log-level", "msg-level", "output-dir"}
_PLAIN = {"help", "recipes", "params", "version", "compile"}


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
    if "params" in line.options:
        print(_parameter_list(recipe))
        return 0
    if "help" in line.options:
        print(_recipe_help(recipe))
        return 0
    return _execute(recipe, line)


def _execute(recipe: Recipe, line: _CommandLine) -> int:
    if not line.sofs:
        raise ParameterError(f"{recipe.name} needs a set of frames: muserex {recipe.name} [parameters] frames.sof")
    params = recipe.Params.parse(dict(line.parameters))
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


def _parameter_line(info: ParameterInfo) -> str:
    head = f"  --{info.name}"
    expert = "hidden; " if info.hidden else ""
    default = format_value(info.default) if info.default != "" else "''"
    if info.unit:
        default += f" {info.unit}"
    only = f"only with {info.only}; " if info.only else ""
    text = f"{info.help} ({expert}{only}{info.type}; {info.accepts}) [{default}]"
    return textwrap.fill(text, 110, initial_indent=f"{head:24s}", subsequent_indent=" " * 24)


def _parameter_list(recipe: Recipe) -> str:
    every = bool(os.environ.get(EXPERT_VARIABLE))
    return "\n".join(_parameter_line(info) for info in recipe.Params.listing() if every or not info.hidden)


def _recipe_help(recipe: Recipe) -> str:
    inputs = "\n".join(
        f"  {spec.tag:20s} {spec.kind:6s} {f'min {spec.min}' if spec.min else 'optional':9s} {spec.description}"
        for spec in recipe.inputs
    )
    products = "\n".join(f"  {spec.tag:20s} {spec.description}" for spec in recipe.products)
    qc = "\n".join(f"  {spec.keyword:38s} [{spec.unit or '-'}] {spec.description}" for spec in recipe.qc)
    description = "\n\n".join(textwrap.fill(part, 110) for part in recipe.description.split("\n\n"))
    return (
        f"{recipe.name}: {recipe.summary}\n\n{description}\n\nInput frames:\n{inputs}\n\n"
        f"Parameters:\n{_parameter_list(recipe)}\n\nProducts:\n{products}\n\nQC parameters:\n{qc}"
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
