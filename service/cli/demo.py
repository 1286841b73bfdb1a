"""``cascade demo``: a night from the simulator through the real daemons to the pages."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import FrameType
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from core.archive.base import utc_now
from core.archive.models import Block
from core.archive.pages.blocks import blocks_of_night, list_blocks, running_blocks
from core.archive.pages.health import state_counts
from core.archive.pages.nights import nights_between
from core.archive.sessions import Archive
from core.archive.states import BLOCK_OPEN_STATES, BlockState
from core.errors import RetriableError
from core.instruments.declaration import PARANAL_NOON_UT
from core.settings import Settings
from core.simulator.night import NightPlan, simulate_night
from core.sqliteurl import sqlite_url
from service.cli.common import console, environment_of, make_installation, parse_nights, unit_list
from service.cli.progress import BlockProgressBars
from service.cli.tables import print_cascade, print_qc1
from service.cli.up import api_command, check_port
from workers.supervisor import DAEMONS, Supervisor

__all__ = ["DEMO_PLAN", "run_demo"]

DEMO_PLAN: Final = NightPlan(n_bias=5, n_flat=5, n_arc=1, n_illum=1)
EARLIER_PLAN: Final = NightPlan(n_bias=5, n_flat=0, n_arc=0, n_illum=0)
_HOST: Final = "127.0.0.1"
_QUIET_SECONDS: Final = 6.0  # nothing open for so long: everything is reduced
_SILENT_SECONDS: Final = 180.0  # no sign of progress for so long: something is broken


class DemoStalledError(RetriableError):
    """The daemons make no progress."""

    error_type = "demo_stalled"


@dataclass(frozen=True)
class _Simulated:
    """What was simulated; kept beside the frames so that a repeated demo continues with the same night."""

    night: str
    units: tuple[int, ...]
    files: tuple[str, ...]

    @classmethod
    def from_json(cls, text: str) -> _Simulated:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(str(values["night"]), tuple(values["units"]), tuple(values["files"]))

    def to_json(self) -> str:
        """As a file beside the frames."""
        return json.dumps({"night": self.night, "units": self.units, "files": self.files})


def run_demo(directory: Path, *, port: int, serve: bool, units: str, night: str | None, nights: int) -> int:
    """Simulate, ingest, reduce, print, serve; 1 if a block failed."""
    began = time.monotonic()
    settings = _own_settings(directory.expanduser().absolute())
    if serve:
        check_port(_HOST, port)
    chosen = parse_nights([night])[0] if night else _last_night()
    made = _simulate(settings, chosen, unit_list(units), nights)
    with make_installation(settings) as archive:
        supervisor = Supervisor(DAEMONS, {**environment_of(settings), "CASCADE_SETTLE_SECONDS": "1"}, quiet=True)
        stop = threading.Event()
        _stop_on_signals(stop)
        thread = threading.Thread(target=supervisor.run, args=(stop,), name="supervisor")
        thread.start()
        try:
            _wait_until_reduced(archive, settings.log_dir, date.fromisoformat(made.night), len(made.files), stop)
            failed = _report(archive, date.fromisoformat(made.night), began)
            if serve and not stop.is_set():
                _serve(settings, port, stop)
        finally:
            stop.set()
            thread.join()
    return 1 if failed else 0


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
    )


def _last_night() -> date:
    """The last night that is over: the one before the night that has begun last."""
    return (utc_now() - PARANAL_NOON_UT).date() - timedelta(days=1)


def _stop_on_signals(stop: threading.Event) -> None:
    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def _simulate(settings: Settings, night: date, units: Sequence[int], nights: int) -> _Simulated:
    settings.make_directories()
    note = settings.data_dir / "demo.json"
    raw = settings.archive_dirs[0]
    if note.is_file():
        made = _Simulated.from_json(note.read_text())
        if all((raw / name).is_file() for name in made.files):
            console.print(f"Night {made.night} is simulated already: {len(made.files)} frames in {raw}", soft_wrap=True)
            return made
        night, units = date.fromisoformat(made.night), made.units
    plans = [(night - timedelta(days=back), EARLIER_PLAN) for back in range(nights - 1, 0, -1)]
    plans.append((night, DEMO_PLAN))
    total = sum(_frames_of(plan) for _, plan in plans)
    earlier = f" and {nights - 1} before" if nights > 1 else ""
    size = f"{total} frames of {len(units)} full-size detectors"
    console.print(f"Simulating night {night}{earlier}: {size} in {raw}", soft_wrap=True)
    files: list[Path] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for day, plan in plans:
                files.extend(simulate_night(raw, day, units, plan, truth_directory=settings.data_dir / "truth"))
        except BaseException as error:  # handed over to the thread that waits
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    with _bar() as bar:
        task = bar.add_task("simulating", total=total)
        thread.start()
        while thread.is_alive():
            thread.join(0.3)
            bar.update(task, completed=len(list(raw.glob("*.fits"))))
    if errors:
        raise errors[0]
    made = _Simulated(night.isoformat(), tuple(units), tuple(path.name for path in files))
    note.write_text(made.to_json())
    return made


def _frames_of(plan: NightPlan) -> int:
    return plan.n_bias + plan.n_dark + plan.n_flat + len(plan.arc_lamps) * plan.n_arc + plan.n_illum


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


def _wait_until_reduced(archive: Archive, log_dir: Path, night: date, frames: int, stop: threading.Event) -> None:
    """Watch the daemons until no block is open any more."""
    console.print("Ingesting, planning and reducing with the daemons ...")
    quiet_since: float | None = None
    last_change, last_seen = time.monotonic(), None
    known: dict[str, BlockState] = {}
    with BlockProgressBars() as bars:
        while not stop.is_set():
            with archive.read() as session:
                found = list_blocks(session, limit=10_000)
                running = running_blocks(session)
                counts = state_counts(session)
                seen_frames = sum(item.frames for item in nights_between(session, date.min, night))
            blocks = [block for block in found if block.state is not BlockState.SUPERSEDED]
            _show(bars, blocks, running, known)
            seen = ([(block.name, block.state) for block in blocks], [block.progress for block in running])
            if seen != last_seen:
                last_change, last_seen = time.monotonic(), seen
            working = any(counts.get(state, 0) for state in BLOCK_OPEN_STATES - {BlockState.INCOMPLETE})
            ingested = seen_frames >= frames
            if blocks and ingested and not working:
                quiet_since = quiet_since or time.monotonic()
                if time.monotonic() - quiet_since > _QUIET_SECONDS or all(b.state is BlockState.DONE for b in blocks):
                    return
            else:
                quiet_since = None
            if time.monotonic() - last_change > _SILENT_SECONDS:
                raise DemoStalledError(
                    f"nothing has moved for {_SILENT_SECONDS:.0f} s; the logs tell why", file=log_dir
                )
            stop.wait(0.5)


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


def _report(archive: Archive, night: date, began: float) -> bool:
    with archive.read() as session:
        print_cascade(session, night)
        print_qc1(session, only_important=True)
        blocks = blocks_of_night(session, night)
    done = sum(block.state is BlockState.DONE for block in blocks)
    console.print(f"{done} of {len(blocks)} blocks done after {time.monotonic() - began:.0f} s")
    return done < len(blocks)


def _serve(settings: Settings, port: int, stop: threading.Event) -> None:
    pages = Supervisor({"pages": api_command(_HOST, port)}, environment_of(settings), quiet=True)
    console.print(f"Pages: [bold]http://{_HOST}:{port}[/]   Ctrl-C ends")
    pages.run(stop)
