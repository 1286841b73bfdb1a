"""What serves REST and pages: ``python -m service.serve --host 127.0.0.1 --port 8000``.

With more than one process (``CASCADE_PAGES_PROCESSES``) the first one opens the port and keeps the others running,
which share it. Each logs to standard error and to a file of ``<log_dir>``: ``pages.log``, ``pages-2.log`` and so on.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import Final

import uvicorn

from core.archive.schema import check_schema
from core.errors import MuseError
from core.settings import Settings
from service.patience import PatientProtocol
from service.server import PagesServer, SharingServer
from workers.process import configure_daemon_logging, read_settings
from workers.supervisor import Supervisor

__all__ = ["main", "number_of_processes"]

_LOG = logging.getLogger(__name__)
_MOST: Final = 4  # processes, where nothing is set: each takes memory, and the other cores have recipes to run
# M_MMAP_THRESHOLD: 128 kB, which otherwise grows with what is freed; M_ARENA_MAX: one for all threads.
_MALLOPT: Final = {-3: 1 << 17, -8: 1}
_WAITING: Final = 2048  # connections that nobody took yet


def number_of_processes(settings: Settings) -> int:
    """How many processes serve the pages of a port."""
    return settings.pages_processes or min(len(os.sched_getaffinity(0)), _MOST)


def _port(text: str) -> int:
    if text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 65535")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; 1 if it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m service.serve", description="Serve REST and pages.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_port, default=8000, help="port to listen on")
    parser.add_argument("--socket", type=int, help="descriptor of an open port that is shared with others")
    options = parser.parse_args(arguments)
    settings = read_settings("pages")
    _return_memory()
    settings = settings.model_copy(update={"allowed_hosts": (*settings.allowed_hosts, options.host)})
    configure_daemon_logging("pages", settings)
    number = number_of_processes(settings)
    try:
        if options.socket is None and number > 1:
            check_schema(settings.database_url)  # told once, not by each of them again and again
            _keep_running(options.host, options.port, number)
        else:
            return 0 if _serve(settings, options.host, options.port, options.socket) else 1
    except MuseError as error:
        _LOG.error("pages: %s", error)
        return 1
    except Exception:  # a defect: the log must have it, too
        _LOG.exception("pages: ended by an error")
        return 1
    return 0


def _return_memory() -> None:
    """Have glibc give back what large requests took, also when threads took it; other systems do as they like."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for what, value in _MALLOPT.items():
            libc.mallopt(what, value)


def _keep_running(host: str, port: int, number: int) -> None:
    """Open the port and keep processes running that share it."""
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, end)
    with uvicorn.Config("", host=host, port=port, backlog=_WAITING, log_config=None).bind_socket() as shared:
        shared.listen(_WAITING)  # who asks before the first of them is ready waits
        command = ("-m", "service.serve", "--host", host, "--port", str(port), "--socket", str(shared.fileno()))
        commands = {f"pages {count}": command for count in range(1, number + 1)}
        Supervisor(commands, descriptors=(shared.fileno(),)).run(stop)


def _serve(settings: Settings, host: str, port: int, descriptor: int | None) -> bool:
    """Serve in this process; false if that could not begin."""
    from service.app import create_app  # much memory, and the process that only keeps others running needs none of it

    config = uvicorn.Config(
        create_app(settings),
        http=PatientProtocol,
        host=host,
        port=port,
        backlog=_WAITING,
        log_config=None,
        access_log=False,
        # A download that is still under way is broken off: the supervisor would kill the process soon after.
        timeout_graceful_shutdown=10,
    )
    server = PagesServer(config) if descriptor is None else SharingServer(config)
    with suppress(KeyboardInterrupt):  # which uvicorn raises again after it has ended in order
        server.run(None if descriptor is None else [socket.socket(fileno=descriptor)])
    return server.started


if __name__ == "__main__":
    sys.exit(main())
