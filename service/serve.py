"""The process that serves REST and pages: ``python -m service.serve --host 127.0.0.1 --port 8000``.

It logs to standard error and to ``<log_dir>/pages.log``, like the daemons.
"""

from __future__ import annotations

import argparse
import logging
import sys

import uvicorn

from core.errors import MuseError
from service.app import create_app
from service.patience import PatientProtocol
from workers.process import configure_daemon_logging, read_settings

__all__ = ["main"]

_LOG = logging.getLogger(__name__)


def _port(text: str) -> int:
    if text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 65535")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; 1 if it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m service.serve", description="Serve REST and pages.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_port, default=8000, help="port to listen on")
    options = parser.parse_args(arguments)
    settings = read_settings("pages")
    settings = settings.model_copy(update={"allowed_hosts": (*settings.allowed_hosts, options.host)})
    configure_daemon_logging("pages", settings)
    try:
        app = create_app(settings)
    except MuseError as error:
        _LOG.error("pages: %s", error)
        return 1
    except Exception:  # a defect: the log must have it, too
        _LOG.exception("pages: ended by an error")
        return 1
    # A download that is still under way is broken off: the supervisor would kill the process soon after.
    uvicorn.run(
        app,
        http=PatientProtocol,
        host=options.host,
        port=options.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
