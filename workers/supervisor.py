"""All daemons under one roof: starts them as child processes, starts again what dies, stops them in order.

For one machine (``cascade up``, ``cascade demo``); on many machines each daemon runs under the system's supervisor.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from core.processes import die_with_parent

__all__ = ["DAEMONS", "Supervisor"]

_LOG = logging.getLogger(__name__)

# name -> command after the interpreter
DAEMONS: Mapping[str, tuple[str, ...]] = {
    "ingest": ("-m", "workers.ingest_daemon"),
    "dispatch": ("-m", "workers.dispatch"),
    "worker": ("-m", "workers.worker"),
}
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
_STEADY_SECONDS = 60.0  # after this a daemon counts as healthy again
_STOP_SECONDS = 20.0
_LAST_LINES = 12  # of standard error, told when a daemon ends with an error
# Without the working directory in the path of modules: a `core` or `service` that lies there is not ours.
_INTERPRETER = (sys.executable, "-P")


@dataclass
class _Child:
    name: str
    command: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = _FIRST_PAUSE
    next_start: float = 0.0
    starts: int = 0
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    reader: threading.Thread | None = None

    def listen(self, *, quiet: bool) -> None:
        """Keep the last lines of standard error; without ``quiet`` pass them on."""
        if self.process is not None and self.process.stderr is not None:
            self.last_lines.clear()
            self.reader = threading.Thread(target=self._read, args=(self.process.stderr, quiet), daemon=True)
            self.reader.start()

    def _read(self, stream: IO[bytes], quiet: bool) -> None:
        with stream:
            for line in stream:
                text = line.decode(errors="replace")
                self.last_lines.append(text.rstrip())
                if not quiet:
                    sys.stderr.write(text)

    def last_words(self) -> str:
        """What it wrote last, an indented line each; empty if nothing."""
        if self.reader is not None:
            self.reader.join(timeout=1.0)  # its children may hold the pipe open
        return "".join(f"\n    {line}" for line in tuple(self.last_lines) if line)


@dataclass
class Supervisor:
    """Keeps daemons running.

    Attributes
    ----------
    commands : mapping
        Name to the arguments of the Python interpreter; `DAEMONS` plus the API of the service, for instance.
    environment : mapping
        Added to the environment of the daemons (``CASCADE_...``).
    on_change : callable, optional
        Called with name and text when a daemon starts, dies or stops.
    quiet : bool
        Do not show the output of the daemons; their log files have it, and what a daemon said last before it ended
        with an error is told with its end.
    descriptors : tuple of int
        Open files that the daemons inherit, such as the socket that they share.
    """

    commands: Mapping[str, Sequence[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    on_change: Callable[[str, str], None] | None = None
    quiet: bool = False
    descriptors: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self._children = [_Child(name, (*_INTERPRETER, *command)) for name, command in self.commands.items()]

    @property
    def pids(self) -> dict[str, int]:
        """Process numbers of the daemons that run."""
        return {
            child.name: child.process.pid
            for child in self._children
            if child.process is not None and child.process.poll() is None
        }

    def starts(self, name: str) -> int:
        """How often a daemon was started."""
        return next(child.starts for child in self._children if child.name == name)

    def run(self, stop: threading.Event, look_seconds: float = 0.2) -> None:
        """Keep all running until ``stop`` is set, then stop them."""
        try:
            while True:
                self.look()
                if stop.wait(look_seconds):
                    break
        finally:
            self.stop()

    def look(self) -> None:
        """Start what is not running, when its pause is over."""
        now = time.monotonic()
        for child in self._children:
            if child.process is None:
                if now >= child.next_start:
                    self._start(child, now)
                continue
            code = child.process.poll()
            if code is None:
                continue
            steady = now - child.started > _STEADY_SECONDS
            child.pause = _FIRST_PAUSE if steady else min(2 * child.pause, _LONGEST_PAUSE)
            child.process, child.next_start = None, now + child.pause
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            said = child.last_words() if code > 0 else ""
            last = f"; its last words:{said}" if said else ""
            self._tell(child.name, f"{how}, starts again in {child.pause:g} s{last}", unexpected=True)

    def stop(self) -> None:
        """SIGTERM to all, SIGKILL to those that do not end in time."""
        running = [child for child in self._children if child.process is not None and child.process.poll() is None]
        for child in running:
            if child.process is not None:
                child.process.send_signal(signal.SIGTERM)
        limit = time.monotonic() + _STOP_SECONDS
        for child in running:
            process = child.process
            if process is None:
                continue
            try:
                process.wait(timeout=max(limit - time.monotonic(), 0.1))
                self._tell(child.name, "stopped")
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self._tell(child.name, f"killed: it did not stop within {_STOP_SECONDS:g} s")
            child.process = None

    def _start(self, child: _Child, now: float) -> None:
        child.process = subprocess.Popen(
            child.command,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if self.quiet else None,
            stderr=subprocess.PIPE,
            pass_fds=self.descriptors,
            start_new_session=True,  # Ctrl-C in the terminal reaches the supervisor alone, which stops them in order
            preexec_fn=die_with_parent,  # and should the supervisor be killed, the daemons do not outlive it
        )
        child.listen(quiet=self.quiet)
        child.started, child.starts = now, child.starts + 1
        self._tell(child.name, f"started, process {child.process.pid}")

    def _tell(self, name: str, text: str, *, unexpected: bool = False) -> None:
        _LOG.log(logging.ERROR if unexpected else logging.INFO, "%s: %s", name, text)
        if self.on_change is not None:
            self.on_change(name, text)
