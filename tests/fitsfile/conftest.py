"""What hostile files must not do: go on for ever, or take more memory than they have bytes for."""

from __future__ import annotations

import signal
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

import pytest

SECONDS = 10  # small files are read in milliseconds; this is for what would never end, on a busy machine
MEGABYTES = 48


@pytest.fixture(scope="session")
def bounded() -> Callable[[], AbstractContextManager[None]]:
    """Fails what runs for longer than `SECONDS` or takes more than `MEGABYTES`."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"not ready after {SECONDS} s")

    @contextmanager
    def guard() -> Iterator[None]:
        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        tracemalloc.start()
        try:
            yield
            assert tracemalloc.get_traced_memory()[1] < MEGABYTES * 2**20
        finally:
            tracemalloc.stop()
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    return guard
