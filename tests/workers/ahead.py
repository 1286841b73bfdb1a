"""A daemon of a host whose clock is ten minutes ahead: ``python -m tests.workers.ahead workers.dispatch``."""

from __future__ import annotations

import runpy
import sys
import time
from datetime import datetime, timedelta, tzinfo

from core.archive import base

AHEAD = timedelta(minutes=10)
_true_time = time.time


class ClockAhead(datetime):
    """What `datetime` is there."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        """Ten minutes ahead."""
        return datetime.now(tz) + AHEAD


if __name__ == "__main__":
    base.datetime = ClockAhead
    setattr(time, "time", lambda: _true_time() + AHEAD.total_seconds())  # noqa: B010
    runpy.run_module(sys.argv[1], run_name="__main__", alter_sys=True)
