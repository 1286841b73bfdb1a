"""Run a recipe on a set of frames: everything around the flow of one IFU.

The engine checks the inputs, loops over the IFUs (serially, or spread over processes), writes the products of each IFU
with their provenance, merges them on request, logs, and reports progress as events. Arrays never cross a process
boundary: the process that reduces an IFU writes its products.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import multiprocessing as mp
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.errors import ChipNotLiveError, MissingInputError, MuseError, NonRetriableError, RetriableError
from core.fitsfile.checksum import ones_complement_sum
from core.fitsfile.dicd import Provenance, product_header
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.fitsfile.writer import FitsWriter
from core.formats.image import MuseImage, write_image
from core.formats.merge import merge_products, merged_name
from core.formats.pixtable import write_pixtable
from core.formats.raw import open_raw
from core.formats.tables import MuseTable, write_table
from core.instruments.muse.facts import N_IFU, chip_name
from core.recipes.declaration import Frame, FrameSet, Recipe, RecipeParameters
from core.recipes.flow import CubeProduct, ImageProduct, PixtableProduct, Product, RecipeContext, TableProduct
from core.recipes.logs import Logger, LogSettings, configure_logging, recipe_logger
from core.recipes.registry import get_recipe
from core.recipes.threads import thread_limit

__all__ = ["Event", "IfuFailure", "RunResult", "WrittenProduct", "run_recipe"]

Event = dict[str, Any]
EventSink = Callable[[Event], None]


@dataclass(frozen=True)
class WrittenProduct:
    """A product file.

    Attributes
    ----------
    tag : str
    path : pathlib.Path
    ifu : int or None
        None for a merged file.
    number : int or None
        Exposure number, for products of single exposures.
    """

    tag: str
    path: Path
    ifu: int | None
    number: int | None = None


@dataclass(frozen=True)
class IfuFailure:
    """Why an IFU failed or was skipped."""

    ifu: int
    error_type: str
    message: str
    retriable: bool


@dataclass
class RunResult:
    """Outcome of a recipe.

    Attributes
    ----------
    products : list of WrittenProduct
    failures : list of IfuFailure
        IFUs that failed; empty means success.
    skipped : list of IfuFailure
        IFUs whose detector was off.
    reduced : list of int
        IFUs that came to their end without failure.
    seconds : float
        Wall time [s].
    """

    products: list[WrittenProduct] = field(default_factory=list)
    failures: list[IfuFailure] = field(default_factory=list)
    skipped: list[IfuFailure] = field(default_factory=list)
    reduced: list[int] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether no IFU failed."""
        return not self.failures


@dataclass(frozen=True)
class _Task:
    recipe: str
    ifu: int
    frames: FrameSet
    params: RecipeParameters
    output_dir: Path
    logs: LogSettings
    threads: int


def run_recipe(
    recipe: Recipe,
    frames: FrameSet,
    params: RecipeParameters,
    output_dir: Path,
    *,
    ifus: Collection[int] | None = None,
    logs: LogSettings | None = None,
    on_event: EventSink | None = None,
) -> RunResult:
    """Run a recipe.

    Parameters
    ----------
    recipe : Recipe
    frames : FrameSet
    params : RecipeParameters
        ``nifu`` = 0 loops over the IFUs in the raw frames and stops at the first that fails; -1 spreads them over
        processes and tries all; 1..24 does that one.
    output_dir : pathlib.Path
        Existing directory for the products.
    ifus : collection of int, optional
        With ``nifu`` = 0 and -1: leave alone the other IFUs of the raw frames.
    logs : LogSettings, optional
        Where log lines go; handlers of this process are left alone if None.
    on_event : callable, optional
        Called with progress events, from this process and from the processes of the IFUs.

    Returns
    -------
    RunResult

    Raises
    ------
    MissingInputError
        If the set of frames is not complete.
    ParameterError
        If a parameter does not fit the frames.
    """
    start = time.perf_counter()
    logs = logs or LogSettings(msg_level="off")
    log = recipe_logger(recipe.name)
    given, frames = frames, recipe.accepted(frames)
    for frame in given:
        if frame not in frames.frames:
            why = "more than one is given" if recipe.input_spec(frame.tag) else f"{recipe.name} takes no such frames"
            log.warning("%s %s is not used: %s", frame.tag, frame.path.name, why)
    frames = _without_repeats(frames, log)
    recipe.check_inputs(frames)
    recipe.check_parameters(frames, params)
    nifu = int(getattr(params, "nifu", 0))
    chosen = [nifu] if nifu > 0 else _ifus_of(recipe, frames, ifus)
    log.info(
        "%s, version %s: %d frames, %s", recipe.name, recipe.version, len(frames), "IFU " + ", ".join(map(str, chosen))
    )
    for name, value in params.changed().items():
        log.info("parameter %s = %s", name, value)
    for name, condition in params.idle().items():
        log.warning("parameter %s does nothing without %s", name, condition)
    merge = getattr(params, "merge", False)
    if merge and len(chosen) == 1:
        log.warning("parameter merge does nothing with a single IFU (%d)", chosen[0])
    at_once = min(thread_limit(), len(chosen)) if nifu == -1 else 1
    threads = max(thread_limit() // at_once, 1)
    tasks = [_Task(recipe.name, ifu, frames, params, output_dir, logs, threads) for ifu in chosen]
    emit: EventSink = on_event or (lambda event: None)
    emit({"event": "started", "recipe": recipe.name, "ifus": chosen})
    result = RunResult()
    runner = _run_parallel if at_once > 1 else _run_serial
    for products, failure in runner(tasks, emit, stop_at_failure=nifu == 0):
        result.products += products
        if failure is not None:
            skip = failure.error_type == ChipNotLiveError.error_type and nifu <= 0
            (result.skipped if skip else result.failures).append(failure)
        else:
            result.reduced += sorted({product.ifu for product in products if product.ifu is not None})
    result.products.sort(key=lambda item: (recipe_order(recipe, item.tag), item.number or 0, item.ifu or 0))
    if merge and nifu <= 0:
        result.products = _merge(recipe, result.products, output_dir)
    result.failures.sort(key=lambda item: item.ifu)
    result.reduced.sort()
    result.seconds = time.perf_counter() - start
    log.info("%d products in %.1f s", len(result.products), result.seconds)
    return result


def recipe_order(recipe: Recipe, tag: str) -> int:
    """Place of a product tag in the recipe's declaration."""
    return next(i for i, spec in enumerate(recipe.products) if spec.tag == tag)


def _without_repeats(frames: FrameSet, log: Logger) -> FrameSet:
    """The same file twice would pass for two exposures without noise between them."""
    kept: dict[tuple[Path, str], Frame] = {}
    for frame in frames:
        if kept.setdefault((frame.path.resolve(), frame.tag), frame) is not frame:
            log.warning("%s %s is given more than once, it is used once", frame.tag, frame.path.name)
    return FrameSet(tuple(kept.values()))


def _ifus_of(recipe: Recipe, frames: FrameSet, wanted: Collection[int] | None) -> list[int]:
    found: set[int] = set()
    unreadable: MuseError | None = None
    for frame in frames.tagged(*recipe.raw_tags()):
        try:
            found |= set(open_raw(frame.path).ifus)
        except MuseError as error:  # it is told when it is to be reduced
            unreadable = unreadable or error
    if not found:
        raise unreadable or MissingInputError(f"no raw frame has an extension CHAN01..CHAN{N_IFU}", rule="CHANnn")
    if wanted is None:
        return sorted(found)
    if not found.intersection(wanted):
        names = ", ".join(map(str, sorted(wanted)))
        raise MissingInputError(f"no raw frame has the IFUs that are asked for: {names}", rule="CHANnn")
    return sorted(found.intersection(wanted))


_Outcome = tuple[list[WrittenProduct], IfuFailure | None]


def _run_serial(tasks: list[_Task], emit: EventSink, *, stop_at_failure: bool) -> Iterator[_Outcome]:
    for task in tasks:
        outcome = _run_ifu(task, emit)
        yield outcome
        failure = outcome[1]
        if stop_at_failure and failure is not None and failure.error_type != ChipNotLiveError.error_type:
            recipe_logger(task.recipe).error("stopped at IFU %d; the IFUs after it were not processed", task.ifu)
            return


def _run_parallel(tasks: list[_Task], emit: EventSink, *, stop_at_failure: bool) -> Iterator[_Outcome]:
    # Children are forked, so that compiled kernels and modules are there at once.
    context = mp.get_context("fork")  # events come back on a pipe
    reader, writer = context.Pipe(duplex=False)
    workers = min(thread_limit(), len(tasks))
    with (
        _shared_with_children(),
        ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_child, initargs=(writer,)) as pool,
    ):
        futures = {pool.submit(_run_ifu_in_child, task): task for task in tasks}
        waiting = set(futures)
        while waiting:
            done = {future for future in waiting if future.done()}
            while reader.poll(0 if done else 0.1):
                emit(reader.recv())
            for future in as_completed(done):
                try:
                    yield future.result()
                except BrokenProcessPool:
                    task = futures[future]
                    message = "the process of this IFU died (killed, or out of memory)"
                    yield [], IfuFailure(task.ifu, RetriableError.error_type, message, True)
            waiting -= done
        while reader.poll(0):
            emit(reader.recv())


@contextlib.contextmanager
def _shared_with_children() -> Iterator[None]:
    """Memory that children share with this process: the tables of the compiler, which a first kernel loads, and all
    that their garbage collectors leave alone; a collector that goes through objects copies them."""
    ones_complement_sum(b"")
    before = gc.get_freeze_count()
    gc.freeze()
    try:
        yield
    finally:
        if not before:  # else `core.recipes.startup` has frozen for good
            gc.unfreeze()


_child_events: Any = None


def _begin_child(events: Any) -> None:
    global _child_events
    _child_events = events
    die_with_parent()


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _run_ifu_in_child(task: _Task) -> _Outcome:
    configure_logging(task.logs)
    return _run_ifu(task, _child_events.send)


def _run_ifu(task: _Task, emit: EventSink) -> _Outcome:
    recipe = get_recipe(task.recipe)
    log = recipe_logger(task.recipe, task.ifu)
    start = time.perf_counter()
    emit({"event": "ifu_started", "ifu": task.ifu})
    one_at_a_time = threading.Lock()

    def progress(fraction: float, text: str) -> None:
        with one_at_a_time:
            emit({"event": "progress", "ifu": task.ifu, "fraction": round(fraction, 3), "text": text})

    context = RecipeContext(log, progress, task.threads)
    failure: IfuFailure | None = None
    products: list[Product] = []
    try:
        products = recipe.process(task.ifu, task.frames, task.params, context)
    except MuseError as error:
        log.error("%s", error)
        failure = IfuFailure(task.ifu, error.error_type, str(error), error.retriable)
        products = context.kept
    except (MemoryError, OSError) as error:
        # The machine, not the data: it may go better another time.
        log.exception("IFU %d was broken off", task.ifu)
        failure = IfuFailure(task.ifu, RetriableError.error_type, f"{type(error).__name__}: {error}", True)
        products = context.kept
    except Exception as error:
        log.exception("unexpected error in IFU %d", task.ifu)
        failure = IfuFailure(task.ifu, NonRetriableError.error_type, f"{type(error).__name__}: {error}", False)
        products = context.kept
    written: list[WrittenProduct] = []
    try:
        for product in products:
            written.append(_write(product, task))
            log.info("saved %s", written[-1].path.name)
    except MuseError as error:
        log.error("%s", error)
        failure = IfuFailure(task.ifu, error.error_type, str(error), error.retriable)
    except (MemoryError, OSError) as error:
        log.exception("the products of IFU %d cannot be written", task.ifu)
        failure = IfuFailure(task.ifu, RetriableError.error_type, f"{type(error).__name__}: {error}", True)
    seconds = round(time.perf_counter() - start, 3)
    if failure is None:
        emit({"event": "ifu_done", "ifu": task.ifu, "seconds": seconds})
    else:
        emit({"event": "ifu_failed", "seconds": seconds, **asdict(failure)})
    return written, failure


def _write(product: Product, task: _Task) -> WrittenProduct:
    number = "" if product.number is None else f"_{product.number:04d}"
    path = task.output_dir / f"{product.tag}{number}-{task.ifu:02d}.fits"
    header = product_header(_base_header(product), provenance_of(product, task.recipe, task.params))
    if isinstance(product, ImageProduct):
        image = product.image
        write_image(path, MuseImage(image.data, image.dq, image.stat, header, image.unit), task.ifu)
    elif isinstance(product, CubeProduct):
        set_key(header, "EXTNAME", chip_name(task.ifu), "extension name")
        set_key(header, "PIPEFILE", path.name, "Filename of data product")
        own = Header()
        own["EXTNAME"] = product.extension
        own.extend(product.extension_header.cards)
        with FitsWriter(path, datamd5=True) as writer:
            writer.primary(header)
            writer.image(own, product.data)
    elif isinstance(product, PixtableProduct):
        write_pixtable(path, header, product.columns, task.ifu)
    else:
        table = MuseTable(product.table.columns, header)
        write_table(path, product.fmt, table, task.ifu, extension=product.extension)
    return WrittenProduct(product.tag, path, task.ifu, product.number)


def _base_header(product: Product) -> Header:
    if isinstance(product, ImageProduct):
        return product.image.header
    return product.table.header if isinstance(product, TableProduct) else product.header


def provenance_of(product: Product, recipe: str, params: RecipeParameters) -> Provenance:
    """Provenance of a product from the frames it used and the parameters."""
    return Provenance(
        tag=product.tag,
        recipe=recipe,
        raws=[_pair(frame) for frame in product.raws],
        calibs=[_pair(frame) for frame in product.calibs],
        parameters=[(info.name, getattr(params, info.name), info.default, info.help) for info in params.listing()],
    )


def _pair(frame: Frame) -> tuple[Path, str]:
    return frame.path, frame.tag


def _merge(recipe: Recipe, products: list[WrittenProduct], output_dir: Path) -> list[WrittenProduct]:
    merged: list[WrittenProduct] = []
    groups: dict[tuple[str, int | None], list[WrittenProduct]] = {}
    for product in products:
        groups.setdefault((product.tag, product.number), []).append(product)
    for (tag, number), members in groups.items():
        if len(members) < 2 or recipe.product_spec(tag).kind == "pixtable":
            merged += members
            continue
        target = output_dir / merged_name(members[0].path)
        merge_products([member.path for member in members], target)
        for member in members:
            member.path.unlink()
        recipe_logger(recipe.name).info("merged %d files into %s", len(members), target.name)
        merged.append(WrittenProduct(tag, target, None, number))
    return merged


def event_line(event: Event) -> str:
    """An event as one line of JSON."""
    return json.dumps(event, default=str, ensure_ascii=False)
