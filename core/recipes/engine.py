"""Run a recipe on a set of frames: everything around what the recipe itself does.

Three functions, which may be called by different processes on different hosts that share the output directory::

    run = prepare_run(recipe, frames, params, output_dir)    # once: check, list the parts, Recipe.prepare
    outcome = run_part(run, part)                            # for each part, anywhere: Recipe.process, write
    result = finish_run(run, outcomes)                       # once: Recipe.finish, write, merge

What goes between them is small and picklable (`core.recipes.rundir` keeps it in a directory). `run_recipe` is the three
in one process, or with a process for each of several parts. Arrays never cross a process boundary: the process that
reduces a part writes its products.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from core.errors import (
    DISK_FULL,
    BadFitsError,
    ChipNotLiveError,
    MissingInputError,
    MuseError,
    NonRetriableError,
    RetriableError,
    error_kind,
)
from core.fitsfile.keywords import dot_name
from core.fitsfile.scan import first_header
from core.recipes.declaration import Recipe, RecipeParameters
from core.recipes.events import (
    EventSink,
    PartDone,
    PartFailed,
    PartProgress,
    PartStarted,
    RunProgress,
    RunStarted,
    ignore,
)
from core.recipes.flow import PartOutput, Product, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.logs import Logger, LogSettings, configure_logging, recipe_logger
from core.recipes.parts import Part, PartKind, words_for
from core.recipes.peak import Meter
from core.recipes.pool import run_on_processes
from core.recipes.registry import get_recipe
from core.recipes.results import NO_COST, Cost, PartFailure, PartOutcome, RecipeFailedError, RunResult, WrittenProduct
from core.recipes.threads import thread_limit
from core.recipes.writing import in_order, merge_units, write_product
from core.spread import offered

__all__ = ["Run", "finish_run", "prepare_run", "run_part", "run_recipe"]

_QUIET: Final = LogSettings(msg_level="off")
_NAMES_TOLD: Final = 10


@dataclass(frozen=True)
class Run:
    """A run that is prepared: all that its parts need to know; picklable.

    Attributes
    ----------
    recipe : str
    frames : FrameSet
        Those that the recipe takes, without repeats.
    params : RecipeParameters
    parts : tuple of Part
        What is to be done, ascending.
    output_dir : pathlib.Path
        Directory of the products, the same for all parts.
    prepared : object
        What `Recipe.prepare` returned.
    cost : Cost
        Of the preparation.
    unsound : frozenset of str
        Keywords of cards of the primary headers that are not copied into products; the log has them.
    """

    recipe: str
    frames: FrameSet
    params: RecipeParameters
    parts: tuple[Part, ...]
    output_dir: Path
    prepared: Any = None
    cost: Cost = NO_COST
    unsound: frozenset[str] = frozenset()


def run_recipe(
    recipe: Recipe,
    frames: FrameSet,
    params: RecipeParameters,
    output_dir: Path,
    *,
    units: Collection[int] | None = None,
    at_once: int | None = None,
    logs: LogSettings = _QUIET,
    on_event: EventSink = ignore,
) -> RunResult:
    """Run a recipe.

    Parameters
    ----------
    recipe : Recipe
    frames : FrameSet
    params : RecipeParameters
        They say how the parts follow each other (`RecipeParameters.schedule`): one after the other up to the first that
        fails, or spread over processes.
    output_dir : pathlib.Path
        Existing directory for the products.
    units : collection of int, optional
        Leave alone the other units of the raw frames.
    at_once : int, optional
        Parts that may run at once, if memory allows no more; else as many as there are cores.
    logs : LogSettings, optional
        Where log lines of the processes of the parts go.
    on_event : callable, optional
        Called with progress events, from this process and from the processes of the parts.

    Returns
    -------
    RunResult

    Raises
    ------
    MissingInputError
        If the set of frames is not complete.
    ParameterError
        If a parameter does not fit the frames.
    RecipeFailedError
        If a part failed of a recipe that does not survive it.
    """
    start = time.perf_counter()
    run = prepare_run(recipe, frames, params, output_dir, units=units, emit=on_event)
    schedule = params.schedule()
    cores = min(thread_limit(), len(run.parts), at_once or len(run.parts)) if schedule.parallel else 1
    threads = max(thread_limit() // cores, 1)

    def runner(part: Part, emit: EventSink) -> PartOutcome:
        return run_part(run, part, threads=threads, emit=emit)

    stream = (
        run_on_processes(runner, run.parts, cores, on_event, begin=lambda: configure_logging(logs))
        if cores > 1
        else (runner(part, on_event) for part in run.parts)
    )
    try:
        with contextlib.closing(stream):
            outcomes = list(_up_to_failure(run, stream))
        result = finish_run(run, outcomes, threads=thread_limit(), emit=on_event)
    except BaseException:
        recipe.abandon(run.prepared)
        raise
    return replace(result, seconds=round(time.perf_counter() - start, 3))


def prepare_run(
    recipe: Recipe,
    frames: FrameSet,
    params: RecipeParameters,
    output_dir: Path,
    *,
    units: Collection[int] | None = None,
    emit: EventSink = ignore,
) -> Run:
    """Check the inputs, list the parts, and let the recipe prepare; see `run_recipe` for parameters and errors."""
    meter = Meter()
    log = recipe_logger(recipe.name)
    frames = _accepted(recipe, frames, log)
    recipe.check_inputs(frames)
    recipe.check_parameters(frames, params)
    parts = _chosen(recipe, recipe.list_parts(frames, params), units)
    log.info("%s, version %s: %d frames, %s", recipe.name, recipe.version, len(frames), words_for(parts))
    for frame in frames:
        log.info("input %s: %s", frame.tag, frame.path)
    unsound = _tell_unsound_cards(frames, log)
    _tell_parameters(params, parts, log)
    emit(RunStarted(recipe.name, parts))
    context = RecipeContext(log, _run_progress("prepare", emit), thread_limit(), output_dir)
    with _as_muse_error(log, "the preparation"), offered(context.spread):
        prepared = recipe.prepare(frames, params, context)
    return Run(recipe.name, frames, params, parts, output_dir, prepared, meter.read(), unsound)


def run_part(run: Run, part: Part, *, threads: int = 1, emit: EventSink = ignore) -> PartOutcome:
    """Reduce one part and write its products.

    Parameters
    ----------
    run : Run
    part : Part
    threads : int
        Threads that the part may use.
    emit : callable
        Called with the events of this part.

    Returns
    -------
    PartOutcome
        Also of a part that failed: then it says why.
    """
    meter = Meter()
    recipe = get_recipe(run.recipe)
    log = recipe_logger(run.recipe, part)
    emit(PartStarted(part))
    written: list[WrittenProduct] = []
    failure: PartFailure | None = None
    output = PartOutput()

    def save(product: Product) -> None:
        if part.kind is PartKind.SLAB:
            raise NonRetriableError("a slab has no product files of its own", rule=run.recipe)
        written.append(_write(run, product, part, log))

    context = RecipeContext(log, _part_progress(part, emit, log), threads, run.output_dir, run.prepared, save=save)
    try:
        with _as_muse_error(log, part.label), offered(context.spread):
            output = recipe.process(part, run.frames, run.params, context)
    except MuseError as error:
        failure = _failure(part, error)
        output = PartOutput(context.kept)
    try:
        with _as_muse_error(log, f"the products of {part.label}"):
            for product in output.products:
                save(product)
    except MuseError as error:
        failure = _failure(part, error)
    names = {name for product in output.products for name in product.header.unsound()}
    _tell_unsound("the header of the data", names - run.unsound, log)
    cost = meter.read()
    emit(PartDone(part, cost.seconds) if failure is None else PartFailed(failure, cost.seconds))
    return PartOutcome(part, tuple(written), output.measured if failure is None else None, failure, cost)


def finish_run(run: Run, outcomes: Sequence[PartOutcome], *, threads: int = 1, emit: EventSink = ignore) -> RunResult:
    """Let the recipe finish, write the products of the whole, and merge the files of units on request.

    Parameters
    ----------
    run : Run
    outcomes : sequence of PartOutcome
        In any order; parts without outcome are neither reduced nor failed.
    threads : int
    emit : callable

    Returns
    -------
    RunResult

    Raises
    ------
    RecipeFailedError
        If a part failed of a recipe that does not survive it.
    """
    meter = Meter()
    recipe = get_recipe(run.recipe)
    log = recipe_logger(run.recipe)
    outcomes = sorted(outcomes, key=lambda outcome: outcome.part)
    failures = tuple(outcome.failure for outcome in outcomes if outcome.failure and _failed(run, outcome))
    skipped = tuple(outcome.failure for outcome in outcomes if outcome.failure and not _failed(run, outcome))
    if failures and not recipe.survives_loss:
        first = min(failures, key=lambda failure: failure.retriable)  # what another try cannot cure decides
        raise RecipeFailedError(
            f"{first.part.label} failed: {first.message}", kind=first.error_type, again=first.retriable
        )
    products = [product for outcome in outcomes for product in outcome.products]
    measured = {outcome.part: outcome.measured for outcome in outcomes if outcome.failure is None}
    if measured:
        context = RecipeContext(log, _run_progress("finish", emit), threads, run.output_dir, run.prepared)
        with _as_muse_error(log, "the last step"), offered(context.spread):
            products += [
                _write(run, product, None, log) for product in recipe.finish(run.frames, run.params, context, measured)
            ]
    products = in_order(recipe, products)
    schedule = run.params.schedule()
    if schedule.merge and schedule.skip_dead:
        products = merge_units(recipe, products, run.output_dir)
    cost = meter.read()
    seconds = run.cost.seconds + cost.seconds + sum(outcome.cost.seconds for outcome in outcomes)
    log.info("%d products, %.1f s of work", len(products), seconds)
    return RunResult(
        products=tuple(products),
        failures=failures,
        skipped=skipped,
        reduced=tuple(measured),
        prepare=run.cost,
        finish=cost,
        parts=tuple((outcome.part, outcome.cost) for outcome in outcomes),
        seconds=round(seconds, 3),
    )


# -- before the parts --------------------------------------------------------------------------------------------------
def _accepted(recipe: Recipe, given: FrameSet, log: Logger) -> FrameSet:
    """Frames that the recipe takes, each once: the same file twice would pass for two exposures without noise."""
    frames = recipe.accepted(given)
    for frame in given:
        if frame not in frames.frames:
            why = "more than one is given" if recipe.input_spec(frame.tag) else f"{recipe.name} takes no such frames"
            log.warning("%s %s is not used: %s", frame.tag, frame.path.name, why)
    kept: dict[tuple[Path, str], Frame] = {}
    for frame in frames:
        if kept.setdefault((frame.path.resolve(), frame.tag), frame) is not frame:
            log.warning("%s %s is given more than once, it is used once", frame.tag, frame.path.name)
    return FrameSet(tuple(kept.values()))


def _chosen(recipe: Recipe, listed: Sequence[Part], units: Collection[int] | None) -> tuple[Part, ...]:
    if not listed or any(part.kind is not recipe.parts for part in listed):
        raise NonRetriableError(f"{recipe.name} lists no parts, or some that are no {recipe.parts}", rule=recipe.name)
    if units is None or recipe.parts is not PartKind.UNIT:
        return tuple(sorted(listed))
    chosen = tuple(sorted(part for part in listed if part.number in units))
    if not chosen:
        names = ", ".join(map(str, sorted(units)))
        raise MissingInputError(f"no frame has the {listed[0].word}s that are asked for: {names}")
    return chosen


def _tell_unsound_cards(frames: FrameSet, log: Logger) -> frozenset[str]:
    """Say once what of the headers is not copied, not with each product; which file cannot be read is told later."""
    found: dict[str, list[str]] = {}
    for frame in frames:
        with contextlib.suppress(BadFitsError, OSError):
            if names := first_header(frame.path).unsound():
                found[frame.path.name] = names
    unsound = frozenset(name for names in found.values() for name in names)
    if found:
        first, *others = found
        _tell_unsound(f"{first} and {len(others)} more files" if others else first, unsound, log)
    return unsound


def _tell_unsound(where: str, names: Collection[str], log: Logger) -> None:
    if names:
        shown = ", ".join(dot_name(name) for name in sorted(names)[:_NAMES_TOLD])
        more = f" and {len(names) - _NAMES_TOLD} more" if len(names) > _NAMES_TOLD else ""
        log.warning("%s: cards that not every reader accepts are not copied into products: %s%s", where, shown, more)


def _tell_parameters(params: RecipeParameters, parts: Sequence[Part], log: Logger) -> None:
    for name, value in params.changed().items():
        log.info("parameter %s = %s", name, value)
    for name, condition in params.idle().items():
        log.warning("parameter %s does nothing without %s", name, condition)
    if params.schedule().merge and len(parts) == 1:
        log.warning("parameter merge does nothing with a single part (%s)", parts[0].label)


def _up_to_failure(run: Run, stream: Iterable[PartOutcome]) -> Iterator[PartOutcome]:
    """Outcomes up to the first failure, if the parts after it need not be tried."""
    stop = run.params.schedule().stop_at_failure or not get_recipe(run.recipe).survives_loss
    for number, outcome in enumerate(stream, start=1):
        yield outcome
        if stop and _failed(run, outcome):
            if number < len(run.parts):
                recipe_logger(run.recipe).error(
                    "stopped at %s; the parts after it were not processed", outcome.part.label
                )
            return


# -- around a part -----------------------------------------------------------------------------------------------------
def _run_progress(phase: Literal["prepare", "finish"], emit: EventSink) -> Callable[[float, str], None]:
    lock = threading.Lock()

    def progress(fraction: float, text: str) -> None:
        with lock:
            emit(RunProgress(phase, round(fraction, 3), text))

    return progress


def _part_progress(part: Part, emit: EventSink, log: Logger) -> Callable[[float, str], None]:
    """Tells each step as an event, and once in the log."""
    lock = threading.Lock()
    told: set[str] = set()

    def progress(fraction: float, text: str) -> None:
        with lock:
            if text not in told:
                told.add(text)
                log.info("%s", text)
            emit(PartProgress(part, round(fraction, 3), text))

    return progress


@contextlib.contextmanager
def _as_muse_error(log: Logger, what: str) -> Iterator[None]:
    """Log what goes wrong, and tell data and machine and program apart: the machine may do better another time."""
    try:
        yield
    except MuseError as error:
        log.error("%s", error)
        raise
    except (MemoryError, OSError) as error:
        log.exception("%s was broken off", what)
        raise RetriableError(f"{type(error).__name__}: {error}") from error
    except Exception as error:
        log.exception("unexpected error in %s", what)
        raise NonRetriableError(f"{type(error).__name__}: {error}") from error


def _failure(part: Part, error: MuseError) -> PartFailure:
    kind = error_kind(error)
    return PartFailure(part, kind, str(error), error.retriable or kind == DISK_FULL)


def _failed(run: Run, outcome: PartOutcome) -> bool:
    """Whether a part failed, and not only had its detector off."""
    if outcome.failure is None:
        return False
    return not (run.params.schedule().skip_dead and outcome.failure.error_type == ChipNotLiveError.error_type)


def _write(run: Run, product: Product, part: Part | None, log: Logger) -> WrittenProduct:
    unit = part.unit if part is not None else None
    written = write_product(product, get_recipe(run.recipe), run.params, run.output_dir, unit)
    log.info("saved %s: %s", product.tag, written.path.name)
    return written
