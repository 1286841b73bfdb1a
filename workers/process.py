"""What every daemon process does: logging, directories, schema, and an end in order on SIGTERM and SIGINT."""

from __future__ import annotations

import logging
import logging.handlers
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from core.archive.schema import check_schema
from core.errors import MuseError
from core.settings import Settings

__all__ = ["configure_daemon_logging", "run_daemon"]

_LOG = logging.getLogger(__name__)
_FORMAT = "%(asctime)s [%(levelname)-7s] %(name)s: %(message)s"


class _UtFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)


def configure_daemon_logging(name: str, settings: Settings) -> None:
    """Log in UT to standard error and to ``<log_dir>/<name>.log`` (five files of 10 MB are kept)."""
    settings.make_directories()
    file = logging.handlers.RotatingFileHandler(
        settings.log_dir / f"{name}.log", maxBytes=10_000_000, backupCount=4, encoding="utf-8"
    )
    handlers: tuple[logging.Handler, ...] = (logging.StreamHandler(), file)
    for handler in handlers:
        handler.setFormatter(_UtFormatter(_FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)


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
    _LOG.info("%s: stopped", name)
    return 0
