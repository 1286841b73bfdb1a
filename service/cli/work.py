"""``cascade ingest``, ``plan`` and ``run``: one round of what the daemons do for ever."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from core.archive.models import QuarantinedFile
from core.archive.pages.frames import list_quarantine
from core.archive.pages.nights import latest_night
from core.archive.planning import kept_states
from core.archive.queries import nights_with_frames
from core.archive.requests import store_request
from core.archive.sessions import Archive
from core.cascade import explain as explanations
from core.cascade.model import Request
from core.cascade.words import count_words
from core.errors import NotFoundError, ParameterError
from core.settings import DATA_DIR_VARIABLE, Settings
from service.cli.common import (
    console,
    is_new,
    make_installation,
    open_installation,
    parse_nights,
    print_json,
    settings_of,
    state_text,
)
from service.cli.progress import BlockProgressBars
from service.cli.tables import print_cascade
from service.commands import command_line
from service.web.words import QUARANTINE_CURES
from workers import ingest as ingest_worker
from workers.ingest import IngestReport, ingest_once
from workers.outcome import Outcome
from workers.planning import plan_nights, save_nights
from workers.requests import make_request
from workers.runner import run_until_idle

__all__ = ["run_blocks", "run_ingest", "run_plan"]


def run_ingest(paths: Sequence[Path], data_dir: Path | None, *, release: bool, as_json: bool) -> int:
    """Ingest once; 1 if files went to quarantine.

    An archive is begun only where its directory is named, and not where the command happens to be called.
    """
    settings = settings_of(data_dir)
    for path in paths:
        if not path.exists():
            raise NotFoundError("there is no such file or directory", file=path)
    begins = is_new(settings) and (data_dir is not None or DATA_DIR_VARIABLE in os.environ)
    with make_installation(settings) if begins else open_installation(settings) as archive:
        if begins and not as_json:
            console.print(f"A new archive is begun in {settings.data_dir}", soft_wrap=True)
        if release:
            report = _release(archive, settings, paths)
        else:
            report = _ingest(archive, settings, paths, quiet=as_json)
        with archive.read() as session:
            held = list_quarantine(session, limit=20).rows if report.held else []
        if as_json:
            print_json(_report_data(report))
        else:
            _print_report(report, held, settings, told_where=bool(paths))
    return int(bool(report.held))


def _ingest(archive: Archive, settings: Settings, paths: Sequence[Path], *, quiet: bool) -> IngestReport:
    if quiet:
        return ingest_once(archive, settings, paths or None, actor="cascade ingest")
    with console.status("Reading headers …") as spinner:

        def show(total: IngestReport) -> None:
            spinner.update(f"{total.sentence()} …")

        return ingest_once(archive, settings, paths or None, actor="cascade ingest", progress=show)


def _report_data(report: IngestReport) -> dict[str, Any]:
    counts = {item.name: getattr(report, item.name) for item in fields(report)}
    return counts | {
        "held": {reason.value: number for reason, number in report.held.items()},
        "nights": sorted(report.nights),
    }


def _print_report(
    report: IngestReport, held: Sequence[QuarantinedFile], settings: Settings, *, told_where: bool
) -> None:
    console.print(f"{report.sentence()} in {report.seconds:.1f} s", soft_wrap=True)
    if not told_where and not report.stored and not report.held:
        looked = ", ".join(str(path) for path in settings.archive_dirs)
        console.print(f"Looked into {looked}; other files and directories are given as arguments.", soft_wrap=True)
    for link, target in report.outward.items():
        console.print(
            f"[yellow]link[/] {link} leads to {target}, out of the archive directories, and is not followed: "
            "CASCADE_FOLLOW_LINKS=yes allows it",
            soft_wrap=True,
        )
    if report.nights:
        console.print(f"Nights: {', '.join(sorted(report.nights))}", soft_wrap=True)
    for row in held:
        console.print(f"[yellow]{row.reason.value}[/] {row.file_name}: {row.text}", soft_wrap=True)
        console.print(f"  {QUARANTINE_CURES[row.reason]}", soft_wrap=True)
    if report.held.total() > len(held):
        console.print(f"All of them: {command_line(settings, 'cascade quarantine')}", soft_wrap=True)


def _release(archive: Archive, settings: Settings, paths: Sequence[Path]) -> IngestReport:
    total = IngestReport()
    for path in paths or (None,):
        total.add(ingest_worker.release(archive, settings, path, actor="cascade ingest"))
    return total


def _no_frames(settings: Settings) -> NotFoundError:
    directories = ", ".join(str(path) for path in settings.archive_dirs)
    cure = command_line(settings, "cascade ingest")
    cure = command_line(settings, "cascade ingest")
    return NotFoundError(
        f"the archive has no frames: put them into {directories} and run {cure}, or name another installation with "
        "--data-dir"
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
        with archive.read() as session:
            kept = {key: state.value for key, state in kept_states(session, plan).items()}
        if as_json:
            print_json(explanations.explain(plan, kept).data)
        elif explain:
            console.print(explanations.explain(plan, kept).text, markup=False, soft_wrap=True)
        elif dry_run:
            for block in shown:
                state = state_text(kept.get(block.key, block.state.value))
                console.print(f"{block.key}: {block.recipe}, {state}", soft_wrap=True)
        else:
            with archive.read() as session:
                for night in wanted:
                    print_cascade(session, night)
        if not dry_run and not as_json:
            console.print(
                f"Saved: {count_words(len(saved.created), 'block')} created, {len(saved.changed)} changed, "
                f"{len(saved.superseded)} superseded, {len(saved.unchanged)} as before",
                soft_wrap=True,
            )
    return int(any(block.missing for block in shown))


def run_blocks(nights: Sequence[str], data_dir: Path | None, *, as_json: bool) -> int:
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
        with BlockProgressBars(quiet=as_json) as bars:
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
        counts = {outcome.value: number for outcome, number in summary.counts.items()}
        if as_json:
            print_json({"stopped": stop.is_set(), "blocks": counts})
        if stop.is_set():
            if not as_json:
                console.print("Stopped; what was not finished is left to the next run.")
            return 128 + signal.SIGTERM
        if not as_json:
            with archive.read() as session:
                latest = latest_night(session)
                for night in wanted or ([latest] if latest else []):
                    print_cascade(session, night)
            console.print(", ".join(f"{number} {word}" for word, number in counts.items()) or "Nothing was left to do.")
    return int(summary.counts[Outcome.FAILED] + summary.counts[Outcome.PARTIAL] > 0)
