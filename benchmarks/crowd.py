"""Many clients of the pages: the service as processes of its own, and a client that costs little itself."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.engine import make_url

from core.settings import PREFIX, Settings

__all__ = ["Answer", "Client", "database", "memory", "serving"]

_BEGINNING = 120.0  # [s] until the service must answer


@contextmanager
def database(kind: str, directory: Path | None = None) -> Iterator[tuple[str, bool]]:
    """URL of a database, and whether it is empty.

    That of the settings for SQLite, of a server of our own for PostgreSQL; its files are kept in ``directory`` if one
    is given.
    """
    if kind == "sqlite":
        yield "", directory is None or not (directory / "cascade.sqlite").exists()
        return
    pgserver = importlib.import_module("pgserver")  # only needed for this
    with tempfile.TemporaryDirectory(prefix="cascade-pg-") as temporary:
        os.chmod(temporary, 0o755)  # the server runs as another user than root
        data = (directory or Path(temporary)) / "postgresql"
        empty = not data.exists()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about runtime directories, from a library of a library
            server = pgserver.get_server(data, cleanup_mode="stop")
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        yield url.render_as_string(hide_password=False), empty
        server.cleanup()


@contextmanager
def serving(settings: Settings, processes: int = 0) -> Iterator[tuple[int, int]]:
    """The pages as ``cascade up`` starts them; port and number of the first process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        f"{PREFIX}DATA_DIR": str(settings.data_dir),
        f"{PREFIX}PAGES_PROCESSES": f"{processes}",
    }
    environment[f"{PREFIX}DATABASE_URL"] = settings.database_url
    command = [sys.executable, "-P", "-m", "service.serve", "--port", str(port)]
    server = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        yield port, server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def _wait(port: int) -> None:
    until = time.monotonic() + _BEGINNING
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/api/nights", timeout=_BEGINNING).raise_for_status()
        except httpx.TransportError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return


def memory(process: int) -> dict[int, float]:
    """Memory [MB] of a process and its children, by number; what they share is shared out."""
    found: dict[int, float] = {}
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except FileNotFoundError:
        return found
    for number in (process, *map(int, children)):
        try:
            status = Path(f"/proc/{number}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        line = next((line for line in status.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
        found[number] = int(line.split()[1]) / 1e3
    return found


@dataclass(frozen=True)
class Answer:
    """What came back, and how long it took [s]."""

    status: int
    seconds: float
    size: int
    tag: str


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, tag: str = "", accept: str = "text/html") -> Answer:
        """Ask, and read the whole answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        reader, writer = self._streams
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", f"Accept: {accept}", "Accept-Encoding: gzip"]
        if tag:
            lines.append(f"If-None-Match: {tag}")
        began = time.perf_counter()
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        status = int(head[0].split()[1])
        size = 0 if status == 304 else await _body(reader, headers)
        if headers.get("connection") == "close":
            self.close()
        return Answer(status, time.perf_counter() - began, size, headers.get("etag", ""))

    def close(self) -> None:
        """Leave, whatever is still to come."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _body(reader: asyncio.StreamReader, headers: dict[str, Any]) -> int:
    if "content-length" in headers:
        return await _skip(reader, int(headers["content-length"]))
    size = 0
    while length := int(await reader.readline(), 16):
        size += await _skip(reader, length)
        await reader.readline()
    await reader.readline()
    return size


async def _skip(reader: asyncio.StreamReader, length: int) -> int:
    left = length
    while left:
        left -= len(await reader.readexactly(min(left, 1 << 18)))
    return length
