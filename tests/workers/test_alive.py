from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path

import pytest

from core.archive.base import utc_now
from core.archive.events import beat, worker_stopped
from core.archive.schema import upgrade
from core.archive.sessions import Archive
from core.archive.states import WorkerKind
from core.settings import Settings
from workers.alive import main


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Archive:
    monkeypatch.setenv("CASCADE_DATA_DIR", str(tmp_path))
    settings = Settings()
    upgrade(settings.database_url)
    return Archive(settings.database_url)


def sign(archive: Archive, *, host: str, seconds_ago: float = 0.0) -> None:
    with archive.write() as session:
        now = utc_now() - timedelta(seconds=seconds_ago)
        beat(session, f"ingest-{host}", WorkerKind.INGEST, host=host, pid=1, now=now)


def test_a_daemon_that_beats_here_is_alive(archive: Archive) -> None:
    assert main(["ingest"]) == 1
    sign(archive, host=socket.gethostname())
    assert main(["ingest"]) == 0
    assert main(["execute"]) == 1
    with archive.write() as session:
        worker_stopped(session, f"ingest-{socket.gethostname()}")
    assert main(["ingest"]) == 1
    archive.dispose()


def test_a_silent_one_and_one_of_another_host_are_not(archive: Archive) -> None:
    sign(archive, host=socket.gethostname(), seconds_ago=3600)
    assert main(["ingest"]) == 1
    sign(archive, host="elsewhere")
    assert main(["ingest"]) == 1
    archive.dispose()
