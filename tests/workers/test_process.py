"""Logs of daemons."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as ConnectionLost

from core.settings import Settings
from workers.process import configure_daemon_logging


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    settings = Settings(data_dir=tmp_path)
    configure_daemon_logging("worker", settings, to_terminal=False)
    yield settings.log_dir / "worker.log"
    for handler in set(root.handlers) - set(before):
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)


def log(name: str, error: Exception) -> None:
    try:
        raise error
    except Exception:
        logging.getLogger(name).critical("couldn't ack: %r", error, exc_info=True)


@pytest.mark.parametrize("error", [ConnectionLost("closed by server"), ConnectionRefusedError(111, "refused")])
def test_a_broker_that_went_away_is_one_line(log_file: Path, error: Exception) -> None:
    log("celery.worker.request", error)
    (line,) = log_file.read_text().splitlines()
    assert "couldn't ack" in line


@pytest.mark.parametrize(
    ("name", "error"), [("celery.worker.request", ValueError("a fault")), ("workers.execute", OSError("a fault"))]
)
def test_faults_come_with_their_traceback(log_file: Path, name: str, error: Exception) -> None:
    log(name, error)
    assert "Traceback" in log_file.read_text()
