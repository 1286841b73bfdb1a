"""``cascade ingest``, ``plan`` and ``run``: one round of what the daemons do for ever."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.archive.pages.frames import list_quarantine
from core.archive.pages.nights import latest_night
from core.archive.queries import nights_with_frames
from core.archive.requests import store_request
from core.archive.sessions import Archive
from core.cascade import explain as explanations
from core.cascade.model import Request
from core.errors import NotFoundError, ParameterError
from core.settings import Settings
from service.cli.common import console, open_installation, parse_nights, settings_of, state_text
from service.cli.progress import BlockProgressBars
from service.cli.tables import print_cascade
from service.web.words import QUARANTINE_CURES
from workers import ingest as ingest_worker
from workers.ingest import IngestReport, ingest_once
from workers.outcome import Outcome
from workers.planning import plan_nights, save_nights
from workers.requests import make_request
from workers.runner import run_until_idle

__all__ = ["run_blocks", "run_ingest", "run_plan"]


def run_ingest(paths: Sequence[Path], data_dir: Path | None, *, release: bool) -> int:
    """Ingest once; 1 if files went to quarantine."""
    settings = settings_of(data_dir)
    for path in paths:
        if not path.exists():
            raise NotFoundError("there is no such file or directory", file=path)
    with open_installation(settings) as archive:
        if release:
            report = _release(archive, settings, paths)
        else:
            with console.status("Reading headers …") as spinner:

                def show(total: IngestReport) -> None:
                    spinner.update(f"{total.sentence()} …")

                report = ingest_once(archive, settings, paths or None, actor="cascade ingest", progress=show)
        console.print(f"{report.sentence()} in {report.seconds:.1f} s")
        if not paths and not report.stored and not report.held:
            looked = ", ".join(str(path) for path in settings.archive_dirs)
            console.print(f"Looked into {looked}; other files and directories are given as arguments.", soft_wrap=True)
        if report.nights:
            console.print(f"Nights: {', '.join(sorted(report.nights))}")
        if report.held:
            with archive.read() as session:
                for row in list_quarantine(session, limit=20):
                    console.print(f"[yellow]{row.reason.value}[/] {row.file_name}: {row.text}", soft_wrap=True)
                    console.print(f"  {QUARANTINE_CURES[row.reason]}", soft_wrap=True)
    return int(bool(report.held))


def _release(archive: Archive, settings: Settings, paths: Sequence[Path]) -> IngestReport:
    total = IngestReport()
    for path in paths or (None,):
        total.add(ingest_worker.release(archive, settings, path, actor="cascade ingest"))
    return total


def _no_frames(settings: Settings) -> NotFoundError:
    directories = ", ".join(str(path) for path in settings.archive_dirs)
    return NotFoundError(
        f"the archive has no frames: put them into {directories} and run cascade ingest, or name another installation "
        "with --data-dir"
    )


@dataclass(frozen=True)
class Wish:
    """What the command line asks of nights; see `workers.requests`."""

    recipes: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    older_only: bool = False
    as_usual: bool = False

    def request(self) -> Request | None:
        """The request; None if nothing is asked, so that what was asked before holds."""
        if self == Wish():
            return None
        if self.as_usual and self != Wish(as_usual=True):
            raise ParameterError("--as-usual forgets requests: give it without --with, --with-input and --older-only")
        return make_request(self.recipes, self.inputs, older_only=self.older_only)


def run_plan(
    nights: Sequence[str], data_dir: Path | None, wish: Wish, *, explain: bool, dry_run: bool, as_json: bool
) -> int:
    """Plan nights, save the plan, print it; 1 if a block is incomplete."""
    request = wish.request()
    settings = settings_of(data_dir)
    wanted = parse_nights(nights)
    with open_installation(settings) as archive:
        with archive.read() as session:
            known = set(nights_with_frames(session))
            latest = latest_night(session)
        if not known or latest is None:
            raise _no_frames(settings)
        for night in wanted:
            if night not in known:
                raise NotFoundError(f"the archive has no frame of the night {night}", night=night)
        wanted = wanted or [latest]
        if dry_run:
            plan = plan_nights(archive, settings, wanted, request=request)
        else:
            if request is not None:
                with archive.write() as session:
                    for night in wanted:
                        store_request(session, night, request, actor="cascade plan")
            plan, saved = save_nights(archive, settings, wanted, actor="cascade plan")
        shown = [block for block in plan.blocks if block.night in {night.isoformat() for night in wanted}]
        if as_json:
            print(json.dumps(explanations.explain(plan).data, indent=2))
        elif explain:
            console.print(explanations.explain(plan).text, markup=False, soft_wrap=True)
        elif dry_run:
            for block in shown:
                console.print(f"{block.key}: {block.recipe}, {state_text(block.state.value)}", soft_wrap=True)
        else:
            with archive.read() as session:
                for night in wanted:
                    print_cascade(session, night)
        if not dry_run and not as_json:
            console.print(
                f"Saved: {len(saved.created)} blocks created, {len(saved.changed)} changed, "
                f"{len(saved.superseded)} superseded, {len(saved.unchanged)} as before"
            )
    return int(any(block.missing for block in shown))


def run_blocks(nights: Sequence[str], data_dir: Path | None) -> int:
    """Plan and execute until idle; 1 if a block or one of its units failed, 143 if it was stopped by SIGTERM.

    A block that runs when SIGTERM comes is given back.
    """
    settings = settings_of(data_dir)
    wanted = parse_nights(nights)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    with open_installation(settings) as archive:
        with archive.read() as session:
            known = set(nights_with_frames(session))
        if not known:
            raise _no_frames(settings)
        for night in wanted:
            if night not in known:
                raise NotFoundError(f"the archive has no frame of the night {night}", night=night)
        with BlockProgressBars() as bars:
            try:
                summary = run_until_idle(
                    archive,
                    settings,
                    nights=wanted or None,
                    on_block=bars.on_block,
                    on_event=bars.on_event,
                    stop=stop,
                )
            except KeyboardInterrupt:
                stop.set()
                raise
        if stop.is_set():
            console.print("Stopped; what was not finished is left to the next run.")
            return 128 + signal.SIGTERM
        with archive.read() as session:
            latest = latest_night(session)
            for night in wanted or ([latest] if latest else []):
                print_cascade(session, night)
    counts = ", ".join(f"{number} {outcome.value}" for outcome, number in summary.counts.items())
    console.print(counts or "Nothing was left to do.")
    return int(summary.counts[Outcome.FAILED] + summary.counts[Outcome.PARTIAL] > 0)
