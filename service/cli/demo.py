"""``cascade demo``: a night from the simulator through the real daemons to the pages."""

from __future__ import annotations

import shlex
import signal
import threading
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from types import FrameType
from typing import Final

from core.archive.base import utc_now
from core.archive.models import Block
from core.archive.pages.blocks import list_blocks, running_blocks
from core.archive.pages.health import state_counts
from core.archive.pages.nights import nights_between
from core.archive.sessions import Archive
from core.archive.states import BLOCK_OPEN_STATES, BlockState
from core.cascade.words import count_words
from core.errors import RetriableError
from core.instruments.declaration import PARANAL_NOON_UT
from core.instruments.rules import CLOSEST
from core.recipes.kernels import kernels_compiled
from core.settings import Settings
from core.simulator.night import ON_REQUEST
from core.sqliteurl import sqlite_url
from service.cli.common import console, environment_of, make_installation, parse_nights, unit_list
from service.cli.demo_frames import DemoNights, Simulation, demo_nights
from service.cli.progress import BlockProgressBars
from service.cli.tables import print_cascade, print_qc1
from service.cli.up import api_command, check_port, tell
from service.text import byte_count
from workers.process import configure_daemon_logging
from workers.supervisor import DAEMONS, Supervisor

__all__ = ["run_demo"]

_HOST: Final = "127.0.0.1"
_QUIET_SECONDS: Final = 20.0  # nothing open for so long: no more will come
_SILENT_SECONDS: Final = 600.0  # no sign of progress for so long, on a busy machine too: something is broken


class DemoStalledError(RetriableError):
    """The daemons make no progress."""

    error_type = "demo_stalled"


def run_demo(directory: Path, *, port: int, serve: bool, units: str, night: str | None, nights: int) -> int:
    """Serve the pages, simulate, ingest, reduce, print; 1 if a block failed."""
    began = time.monotonic()
    settings = _own_settings(directory.expanduser().absolute())
    chosen = parse_nights([night])[0] if night else _last_night()
    wanted_units = unit_list(units)
    if serve:
        check_port(_HOST, port)
    commands = {**DAEMONS, "pages": api_command(_HOST, port)} if serve else DAEMONS
    with make_installation(settings) as archive:
        wanted = demo_nights(settings.data_dir, chosen, wanted_units, nights)
        configure_daemon_logging("supervisor", settings, to_terminal=False)
        supervisor = Supervisor(
            commands, {**environment_of(settings), "CASCADE_SETTLE_SECONDS": "1"}, on_change=_tell_ends, quiet=True
        )
        stop = threading.Event()
        _stop_on_signals(stop)
        thread = threading.Thread(target=supervisor.run, args=(stop,), name="supervisor")
        thread.start()
        simulation = Simulation(settings.data_dir, settings.archive_dirs[0], wanted, stop)
        try:
            if serve:
                console.print(f"Pages: [bold]http://{_HOST}:{port}[/]   they fill while it goes on; Ctrl-C ends")
            _say_what_comes(wanted, settings)
            simulation.start()
            _wait_until_reduced(archive, settings.log_dir, wanted, simulation, stop)
            if stop.is_set():
                console.print(f"Stopped; cascade demo {shlex.quote(str(directory))} goes on from here.", soft_wrap=True)
                return 128 + signal.SIGINT
            failed = _report(archive, settings, wanted, began)
            if serve:
                console.print(f"Pages: [bold]http://{_HOST}:{port}[/]   Ctrl-C ends")
                stop.wait()
        finally:
            stop.set()
            thread.join()
    return 1 if failed else 0


def _tell_ends(name: str, text: str) -> None:
    if "starts again" in text or "killed" in text:
        tell(name, text)


def _say_what_comes(wanted: DemoNights, settings: Settings) -> None:
    earlier = f" and the biases of {count_words(wanted.nights - 1, 'night')} before" if wanted.nights > 1 else ""
    units = count_words(len(wanted.units), "full-size detector")
    console.print(
        f"Night {wanted.night}{earlier}: {wanted.frames} frames of {units}, {wanted.blocks} blocks, "
        f"{wanted.gigabytes:.1f} GB in all in {settings.data_dir}",
        soft_wrap=True,
    )
    if not kernels_compiled():
        console.print(
            "The numerical kernels are compiled now, at their first use: bars stand still meanwhile, up to a minute in "
            "each recipe. It happens once; muserex --compile does it beforehand.",
            soft_wrap=True,
        )


def _own_settings(folder: Path) -> Settings:
    """Everything below one directory, whatever the environment says of another installation."""
    return Settings(
        data_dir=folder,
        archive_dirs=(folder / "raw",),
        database_url=sqlite_url(folder / "cascade.sqlite"),
        broker_url="filesystem://",
        product_dir=folder / "products",
        log_dir=folder / "logs",
        static_dir=folder / "static",
        settle_seconds=1.0,
        with_recipes=ON_REQUEST,
        with_inputs=(),
        older_only=False,
        policy=CLOSEST,
    )


def _last_night() -> date:
    """The last night that is over: the one before the night that has begun last."""
    return (utc_now() - PARANAL_NOON_UT).date() - timedelta(days=1)


def _stop_on_signals(stop: threading.Event) -> None:
    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def _wait_until_reduced(
    archive: Archive, log_dir: Path, wanted: DemoNights, simulation: Simulation, stop: threading.Event
) -> None:
    """Watch simulation and daemons until no block is open any more."""
    quiet_since: float | None = None
    last_change, last_seen = time.monotonic(), None
    known: dict[str, BlockState] = {}
    with BlockProgressBars() as bars:
        while not stop.is_set():
            simulated = _show_simulation(bars, simulation, wanted)
            with archive.read() as session:
                found = list_blocks(session, limit=10_000).rows
                running = running_blocks(session)
                counts = state_counts(session)
                ingested = sum(item.frames for item in nights_between(session, date.min, wanted.last))
            blocks = [block for block in found if block.state is not BlockState.SUPERSEDED]
            _show(bars, blocks, running, known)
            seen = ([(b.name, b.state) for b in blocks], [b.progress for b in running], ingested, simulation.done)
            if seen != last_seen:
                last_change, last_seen = time.monotonic(), seen
            working = any(counts.get(state, 0) for state in BLOCK_OPEN_STATES - {BlockState.INCOMPLETE})
            if simulated and ingested >= wanted.frames and not working:
                quiet_since = quiet_since or time.monotonic()
                if sum(block.state is BlockState.DONE for block in blocks) >= wanted.blocks:
                    return
                if time.monotonic() - quiet_since > _QUIET_SECONDS:
                    return
            else:
                quiet_since = None
            if time.monotonic() - last_change > _SILENT_SECONDS:
                raise DemoStalledError(
                    f"nothing has moved for {_SILENT_SECONDS:.0f} s; the logs tell why", file=log_dir
                )
            stop.wait(0.5)


def _show_simulation(bars: BlockProgressBars, simulation: Simulation, wanted: DemoNights) -> bool:
    """Draw how far it is; whether it has ended. What it raised is raised here."""
    if not simulation.is_alive():
        if simulation.error is not None:
            raise simulation.error
        if bars.shows("simulation"):
            bars.finish("simulation", "done")
        return True
    bars.show("simulation", simulation.done / wanted.frames, f"{simulation.done} of {wanted.frames} frames")
    return False


def _show(
    bars: BlockProgressBars, blocks: Sequence[Block], running: Sequence[Block], known: dict[str, BlockState]
) -> None:
    for block in running:
        parts = [step.get("fraction", 0.0) for step in (block.progress or {}).values()]
        phases = [str(step.get("phase", "")) for step in (block.progress or {}).values()]
        fraction = sum(parts) / max(len(block.units), 1)
        bars.show(f"{block.night} {block.tag} {block.recipe}", fraction, next(iter(phases), "starts"))
    for block in blocks:
        before = known.get(block.name)
        if block.state in (BlockState.DONE, BlockState.FAILED) and before is not block.state:
            bars.finish(f"{block.night} {block.tag} {block.recipe}", block.state.value)
        known[block.name] = block.state


def _report(archive: Archive, settings: Settings, wanted: DemoNights, began: float) -> bool:
    with archive.read() as session:
        print_cascade(session, wanted.last)
        print_qc1(session, only_important=True)
        blocks = [
            block for block in list_blocks(session, limit=10_000).rows if block.state is not BlockState.SUPERSEDED
        ]
    done = sum(block.state is BlockState.DONE for block in blocks)
    size = sum(path.stat().st_size for path in settings.data_dir.rglob("*") if path.is_file())
    console.print(
        f"{done} of {count_words(len(blocks), 'block')} done after {time.monotonic() - began:.0f} s; "
        f"{byte_count(size)} in {settings.data_dir}",
        soft_wrap=True,
    )
    return done < len(blocks) or done < wanted.blocks
