"""Run whole processes and measure them by the operating system's own account."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Usage", "median_usage", "run_measured"]


@dataclass(frozen=True)
class Usage:
    """What a process used.

    Attributes
    ----------
    wall, cpu : float
        [s]
    peak : float
        Largest resident set of any single process of it [MiB].
    code : int
        Exit code.
    """

    wall: float
    cpu: float
    peak: float
    code: int


def run_measured(command: Sequence[str], cwd: Path, log: Path, env: Mapping[str, str]) -> Usage:
    """Run a command, its output going to a file.

    Parameters
    ----------
    command : sequence of str
    cwd : pathlib.Path
    log : pathlib.Path
    env : mapping
        Variables set on top of the environment.
    """
    with log.open("ab") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            list(command), cwd=cwd, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **env}
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, process.returncode)


def median_usage(usages: Sequence[Usage]) -> Usage:
    """Median of each figure; the worst exit code."""

    def middle(values: list[float]) -> float:
        ordered = sorted(values)
        half = len(ordered) // 2
        return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2

    return Usage(
        middle([usage.wall for usage in usages]),
        middle([usage.cpu for usage in usages]),
        max(usage.peak for usage in usages),
        max(abs(usage.code) for usage in usages),
    )
