"""Whether a daemon of this host lives, for the health check of a container: ``python -m workers.alive ingest``."""

from __future__ import annotations

import argparse
import socket
import sys

from core.archive.clock import database_now
from core.archive.pages.health import daemons
from core.archive.sessions import Archive
from core.archive.states import WorkerKind
from core.errors import MuseError
from workers.process import read_settings

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """0 if a daemon of the kind gave a sign of life on this host lately, else 1."""
    parser = argparse.ArgumentParser(prog="python -m workers.alive", description="Does a daemon of this host live.")
    parser.add_argument("kind", choices=[kind.value for kind in WorkerKind])
    options = parser.parse_args(arguments)
    settings = read_settings("alive")
    archive = Archive(settings.database_url)
    try:
        with archive.read() as session:
            limit = database_now(session) - settings.silent_after
            ours = [row for row in daemons(session) if row.kind == options.kind and row.host == socket.gethostname()]
    except MuseError as error:
        print(f"alive: {error}", file=sys.stderr)
        return 1
    finally:
        archive.dispose()
    return 0 if any(row.stopped_at is None and row.last_seen > limit for row in ours) else 1


if __name__ == "__main__":
    sys.exit(main())
