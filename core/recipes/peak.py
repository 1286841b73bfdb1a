"""Peak of the resident memory of a process, phase by phase.

``ru_maxrss`` is no measure of a phase: it never falls, and a process takes over that of the one it was forked from. The
kernel's high-water mark (``VmHWM``) can be set back, so that each phase has its own.
"""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from core.recipes.results import Cost

__all__ = ["Meter"]

_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")
_RESET_PEAK: Final = "5"  # see proc(5)


class Meter:
    """Measures a phase from now on."""

    def __init__(self) -> None:
        with suppress(OSError):  # not on this kernel, or not allowed: the peak includes what came before
            _CLEAR.write_text(_RESET_PEAK)
        self._start = time.perf_counter()

    def read(self) -> Cost:
        """Cost until now."""
        return Cost(round(time.perf_counter() - self._start, 3), round(_high_water_mb(), 1))


def _high_water_mb() -> float:
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
