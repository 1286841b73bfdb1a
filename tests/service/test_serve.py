"""Several processes serve one port, and end with the one that started them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from core.settings import Settings
from service.serve import number_of_processes

LONG = 90.0  # seconds, on a machine that is busy otherwise


def wait_for(what: Callable[[], bool]) -> None:
    limit = time.monotonic() + LONG
    while not what():
        assert time.monotonic() < limit
        time.sleep(0.05)


def children(process: int) -> set[int]:
    return {int(text) for text in Path(f"/proc/{process}/task/{process}/children").read_text().split()}


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@pytest.fixture
def command(tmp_path: Path, migrated_sqlite: Path, port: int) -> Callable[[], subprocess.Popen[bytes]]:
    """Starts the pages with two processes."""
    shutil.copy(migrated_sqlite, tmp_path / "cascade.sqlite")
    environment = {**os.environ, "CASCADE_DATA_DIR": str(tmp_path), "CASCADE_PAGES_PROCESSES": "2"}

    def start() -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-P", "-m", "service.serve", "--port", str(port)]
        return subprocess.Popen(arguments, env=environment, stderr=subprocess.DEVNULL)

    return start


@pytest.fixture
def pages(command: Callable[[], subprocess.Popen[bytes]], port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = command()
    wait_for(lambda: answers(port))
    yield process
    process.kill()
    process.wait()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/nights", timeout=LONG).status_code == 200
    except httpx.TransportError:
        return False


def test_as_many_processes_as_cores_unless_it_is_said(tmp_path: Path) -> None:
    assert 1 <= number_of_processes(Settings(data_dir=tmp_path)) <= 4
    assert number_of_processes(Settings(data_dir=tmp_path, pages_processes=7)) == 7


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_that_is_killed_is_started_again_and_none_outlives_the_first(
    pages: subprocess.Popen[bytes], command: Callable[[], subprocess.Popen[bytes]], port: int
) -> None:
    wait_for(lambda: len(children(pages.pid)) == 2)
    victim = max(children(pages.pid))
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: len(children(pages.pid) - {victim}) == 2)
    assert answers(port)
    second = command()  # a second service finds the port taken and says so
    assert second.wait(LONG) > 0
    pages.kill()
    pages.wait()
    wait_for(lambda: is_free(port))


def test_it_ends_in_order(pages: subprocess.Popen[bytes], port: int) -> None:
    pages.terminate()
    assert pages.wait(LONG) == 0
    assert is_free(port)
