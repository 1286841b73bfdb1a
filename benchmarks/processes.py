"""Run whole processes and measure them by the operating system's own account."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Usage", "median_usage", "run_measured", "seconds_to_write"]


@dataclass(frozen=True)
class Usage:
    """What a process and its children used.

    Attributes
    ----------
    wall, cpu : float
        [s]
    peak : float
        Largest sum over all its processes of the memory in use, shared pages counted once [MiB].
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
        Variables set on top of the environment. Python's own cache of compiled modules is used in any case.
    """
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    os.sync()  # nobody waits for what the command before left to be written
    with log.open("ab") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            list(command), cwd=cwd, stdout=output, stderr=subprocess.STDOUT, env={**variables, **env}
        )
        watch = _MemoryWatch(process.pid)
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    watch.stop()
    process.returncode = os.waitstatus_to_exitcode(status)
    # Of a process without children its own high-water mark is more exact than samples. (Not ru_maxrss, in which the
    # memory of the benchmark itself counts, from before the command was executed.)
    peak = watch.peak if watch.had_children else watch.high_water
    return Usage(wall, usage.ru_utime + usage.ru_stime, peak, process.returncode)


class _MemoryWatch(threading.Thread):
    """Samples the proportional set size of a process tree, and the high-water mark of its root."""

    def __init__(self, pid: int, interval: float = 0.02) -> None:
        super().__init__(daemon=True)
        self._pid, self._interval = pid, interval
        self._end = threading.Event()
        self.peak = self.high_water = 0.0
        self.had_children = False

    def run(self) -> None:
        while not self._end.wait(self._interval):
            pids = list(_tree(self._pid))
            self.had_children |= len(pids) > 1
            self.high_water = max(self.high_water, _memory(self._pid, "status", "VmHWM:"))
            if self.had_children:
                self.peak = max(self.peak, sum(_memory(pid, "smaps_rollup", "Pss:") for pid in pids))

    def stop(self) -> None:
        self._end.set()
        self.join()


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))
    except OSError:  # it has ended meanwhile
        return


def _memory(pid: int, file: str, label: str) -> float:
    """A line of what the kernel tells of a process [MiB]."""
    try:
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(label):
                return int(line.split()[1]) / 1024
    except OSError:  # it has ended meanwhile
        pass
    return 0.0


def median_usage(usages: Sequence[Usage]) -> Usage:
    """Median of the times; the largest memory; the worst exit code."""

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


def seconds_to_write(path: Path, n_bytes: int) -> float:
    """Wall time that it takes to write a file of so many bytes, as a recipe does; the file is removed [s]."""
    block = bytes(1 << 24)
    os.sync()
    start = time.perf_counter()
    with path.open("wb", buffering=0) as stream:
        for first in range(0, n_bytes, len(block)):
            stream.write(block[: n_bytes - first])
    seconds = time.perf_counter() - start
    path.unlink()
    return seconds
