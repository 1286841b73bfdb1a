"""``cascade up``: all daemons and the pages on one machine."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from core.errors import NonRetriableError, NotFoundError
from core.settings import Settings
from service.cli.common import console, environment_of, make_installation, settings_of
from workers.process import configure_daemon_logging
from workers.supervisor import DAEMONS, Supervisor

__all__ = ["PortTakenError", "api_command", "check_port", "run_up", "tell"]


class PortTakenError(NonRetriableError):
    """Another program listens on the port."""

    error_type = "port_taken"


def api_command(host: str, port: int) -> tuple[str, ...]:
    """Arguments of the interpreter that serve the pages."""
    return ("-m", "service.serve", "--host", host, "--port", str(port))


def check_port(host: str, port: int) -> None:
    """Refuse a port on which somebody listens.

    Raises
    ------
    PortTakenError
        Saying how to choose another.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTakenError(
                f"the pages cannot listen on {host}:{port} ({error.strerror}); choose another port with --port",
                parameter="port",
            ) from error


def run_up(archive_dirs: Sequence[Path], data_dir: Path | None, *, host: str, port: int) -> int:
    """Run until SIGINT or SIGTERM.

    Raises
    ------
    NotFoundError
        If a named archive directory does not exist; a directory that is not mounted must not be made by us.
    """
    for path in archive_dirs:
        if not path.is_dir():
            raise NotFoundError("there is no such directory of raw frames: mount or make it first", file=path)
    settings = settings_of(data_dir, archive_dirs)
    check_port(host, port)
    with make_installation(settings):
        pass
    configure_daemon_logging("supervisor", settings, to_terminal=False)
    _say(settings, host, port)
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    commands = {**DAEMONS, "pages": api_command(host, port)}
    supervisor = Supervisor(
        commands,
        environment_of(settings),
        on_change=tell,
        quiet=True,
    )
    supervisor.run(stop)
    return 0


def tell(name: str, text: str) -> None:
    """Print what became of a daemon; also what it said before it ended, as it is."""
    console.print(f"[dim]{name}:[/]", end=" ")
    console.print(text, markup=False, soft_wrap=True)


def _say(settings: Settings, host: str, port: int) -> None:
    console.print(f"Pages   http://{host}:{port}")
    console.print(f"Frames  {', '.join(str(path) for path in settings.archive_dirs)}", soft_wrap=True)
    console.print(f"Logs    {settings.log_dir}", soft_wrap=True)
    console.print("Ctrl-C stops everything in order.")
