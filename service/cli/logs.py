"""``cascade logs`` and ``quarantine``: what the daemons and recipes said, and what could not be ingested."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from core.archive.pages.blocks import find_block
from core.archive.pages.frames import list_quarantine
from core.archive.sessions import Archive
from core.archive.states import QuarantineState
from core.cascade.words import count_words
from core.errors import NotFoundError
from core.settings import Settings
from service.cli.common import check_archive, console, parse_nights, print_json, settings_of
from service.commands import command_line
from service.files import existing, tail_text
from service.text import byte_count, moment
from service.web.words import QUARANTINE_CURES

__all__ = ["run_logs", "run_quarantine"]

_LOOK_SECONDS = 0.5


def run_logs(name: str | None, data_dir: Path | None, *, lines: int, follow: bool, as_json: bool) -> int:
    """The last lines of the log of a block or of a daemon; without a name, the list of the logs of daemons."""
    settings = settings_of(data_dir)
    check_archive(settings)
    if name is None:
        return _list_logs(settings, as_json)
    path = _log_of(settings, name)
    if as_json:
        print_json({"log": path, "lines": tail_text(path, lines).splitlines()})
        return 0
    size = path.stat().st_size
    sys.stdout.write(tail_text(path, lines))
    if follow:
        for text in _growth(path, size):
            sys.stdout.write(text)
            sys.stdout.flush()
    return 0


def _list_logs(settings: Settings, as_json: bool) -> int:
    logs = [(path, path.stat()) for path in sorted(settings.log_dir.glob("*.log"))]
    written = {path: datetime.fromtimestamp(found.st_mtime, UTC) for path, found in logs}
    if as_json:
        print_json([{"name": p.stem, "log": p, "bytes": s.st_size, "written": written[p].isoformat()} for p, s in logs])
        return 0
    for path, found in logs:
        console.print(f"{path.stem:14s} {moment(written[path])} UT  {byte_count(found.st_size)}")
    console.print(f"Blocks have logs of their own: {command_line(settings, 'cascade logs BLOCK')}", soft_wrap=True)
    return 0


def _log_of(settings: Settings, name: str) -> Path:
    daemon = settings.log_dir / f"{name}.log"
    if "/" not in name and daemon.is_file():
        return daemon
    archive = Archive(settings.database_url)
    try:
        with archive.read() as session:
            block = find_block(session, name)
            if not block.log_path:
                raise NotFoundError(f"block {name} has no log yet: it is {block.state.value}", block=name)
            return existing(Path(block.log_path))
    finally:
        archive.dispose()


def _growth(path: Path, position: int) -> Iterator[str]:
    """What is appended to a log, until Ctrl-C; a log that was turned over is read from its beginning."""
    while True:
        if path.is_file():
            if path.stat().st_size < position:
                position = 0
            with path.open("rb") as stream:
                stream.seek(position)
                data = stream.read()
            position += len(data)
            if data:
                yield data.decode("utf-8", errors="replace")
        time.sleep(_LOOK_SECONDS)


def run_quarantine(data_dir: Path | None, *, night: str | None, every: bool, as_json: bool) -> int:
    """Files that cannot be used, with reason and cure; 1 if there are any."""
    settings = settings_of(data_dir)
    check_archive(settings)
    archive = Archive(settings.database_url)
    wanted = parse_nights([night])[0] if night else None
    with archive.read() as session:
        rows = list_quarantine(session, night=wanted, state=None if every else QuarantineState.HELD, limit=100_000).rows
    archive.dispose()
    held = sum(row.state is QuarantineState.HELD for row in rows)
    if as_json:
        print_json(
            [
                {
                    "file": row.path,
                    "reason": row.reason.value,
                    "text": row.text,
                    "cure": QUARANTINE_CURES[row.reason],
                    "night": row.night,
                    "state": row.state.value,
                    "first_seen": row.first_seen.isoformat(),
                    "last_seen": row.last_seen.isoformat(),
                }
                for row in rows
            ]
        )
        return int(held > 0)
    for row in rows:
        state = "" if row.state is QuarantineState.HELD else f" ({row.state.value})"
        console.print(f"[yellow]{row.reason.value}[/]{state} {row.path}: {row.text}", soft_wrap=True)
        console.print(f"  {QUARANTINE_CURES[row.reason]}", soft_wrap=True)
    console.print(f"{count_words(held, 'file')} in quarantine")
    return int(held > 0)
