"""What every daemon process does: logging, directories, schema, and an end in order on SIGTERM and SIGINT."""

from __future__ import annotations

import fcntl
import logging
import logging.handlers
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from pydantic import ValidationError
from redis.exceptions import ConnectionError as ConnectionLost

from core.archive.schema import check_schema
from core.errors import MuseError
from core.redaction import redacted
from core.settings import Settings, setting_faults, unknown_variables

__all__ = ["UMASK", "configure_daemon_logging", "idle_name", "read_settings", "run_daemon"]

_LOG = logging.getLogger(__name__)
_FORMAT = "%(asctime)s [%(levelname)-7s] %(name)s: %(message)s"
_CELERY: Final = ("celery.", "kombu.")
UMASK: Final = 0o027  # what an installation writes is for its user and group
_NAMES: list[int] = []  # descriptors of the locks of the log names of this process, open until its end


class _UtFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """The line (and traceback), without passwords of URLs.

        That a broker went away is an event, not a fault of the program: of what Celery logs of it the line is enough.
        """
        error = record.exc_info[1] if record.exc_info else None
        if record.name.startswith(_CELERY) and isinstance(error, OSError | ConnectionLost):
            record = logging.makeLogRecord({**record.__dict__, "exc_info": None, "exc_text": None})
        return redacted(super().format(record))


def read_settings(name: str) -> Settings:
    """The settings of the environment, with their directories made.

    Raises
    ------
    SystemExit
        With code 1, after a sentence for each fault on standard error.
    """
    os.umask(UMASK)
    try:
        settings = Settings()
        settings.make_directories()
    except ValidationError as error:
        faults = setting_faults(error)
    except MuseError as error:
        faults = [str(error)]
    else:
        return settings
    for fault in faults:
        print(f"{name}: {redacted(fault)}", file=sys.stderr)
    raise SystemExit(1)


def configure_daemon_logging(name: str, settings: Settings, *, to_terminal: bool = True) -> None:
    """Log in UT to standard error (if ``to_terminal``) and to ``<log_dir>/<name>.log`` (five files of 10 MB are kept).

    A second daemon of the same name that runs at the same time has ``<name>-2.log``, and so on: two processes cannot
    turn over one file. A name is free again when its process ends, so that starts do not add up to files.
    """
    settings.make_directories()
    file = logging.handlers.RotatingFileHandler(
        settings.log_dir / f"{_free_name(name, settings.log_dir)}.log",
        maxBytes=10_000_000,
        backupCount=4,
        encoding="utf-8",
    )
    handlers: list[logging.Handler] = [file, *([logging.StreamHandler()] if to_terminal else [])]
    for handler in handlers:
        handler.setFormatter(_UtFormatter(_FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    for sentence in unknown_variables(os.environ):
        _LOG.warning("%s", sentence)


def _free_name(name: str, folder: Path) -> str:
    """The first of name, name-2, name-3 ... that no living process has; it is this process's until its end."""
    number = 1
    while True:
        candidate = name if number == 1 else f"{name}-{number}"
        try:
            descriptor = _lock(folder, candidate)
        except OSError:  # a network file system without locks
            return f"{name}-{os.getpid()}"
        if descriptor is not None:
            _NAMES.append(descriptor)
            return candidate
        number += 1


@contextmanager
def idle_name(name: str, folder: Path) -> Iterator[bool]:
    """Whether no living process logs under a name; while the block lasts, none begins to."""
    try:
        descriptor = _lock(folder, name)
    except OSError:
        yield True  # no locks here: age alone has to tell
        return
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(folder: Path, name: str) -> int | None:
    """Descriptor that keeps a name, or None if another process has it."""
    descriptor = os.open(folder / f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def run_daemon(name: str, settings: Settings, work: Callable[[threading.Event], None]) -> int:
    """Run ``work(stop)``; ``stop`` is set by SIGTERM or SIGINT.

    Returns
    -------
    int
        Exit code: 0 after an end in order, 1 after an error, which is logged.
    """
    configure_daemon_logging(name, settings)
    stop = threading.Event()

    def end(number: int, _frame: FrameType | None) -> None:
        _LOG.info("%s: told to stop by %s", name, signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        check_schema(settings.database_url)
        _LOG.info("%s: started", name)
        work(stop)
    except MuseError as error:
        _LOG.error("%s: %s", name, error)
        return 1
    except Exception:  # a defect: the log must have it, too
        _LOG.exception("%s: ended by an error", name)
        return 1
    _LOG.info("%s: stopped", name)
    return 0
