"""The process that serves REST and pages: ``python -m service.serve --host 127.0.0.1 --port 8000``.

It logs to standard error and to ``<log_dir>/pages.log``, like the daemons.
"""

from __future__ import annotations

import argparse
import sys

import uvicorn

from core.errors import MuseError
from core.settings import Settings
from service.app import create_app
from workers.process import configure_daemon_logging

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; 1 if it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m service.serve", description="Serve REST and pages.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args(arguments)
    settings = Settings()
    configure_daemon_logging("pages", settings)
    try:
        app = create_app(settings)
    except MuseError as error:
        print(f"cascade: {error}", file=sys.stderr)
        return 1
    # A download that is still under way is broken off: the supervisor would kill the process soon after.
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
