"""Kill anything: nights are reduced while processes and servers die at random; the outcome must be that of a calm run.

``python benchmarks/storm.py --minutes 6 --seed 1 --database postgresql --broker redis`` delivers nights of small
detectors to an installation (`cascade up`) and kills, as long as asked for: the supervisor, the daemons, the processes
of recipes and those of their parts; Redis with all its data; PostgreSQL. Then it lets the installation finish, within a
bound of time, reduces the same raw files in a second one that nobody disturbs, and compares both: product files byte by
byte but for the cards of dates and checksums, rows of blocks, products, QC1 values and scores, plots, what is doubled
and what is left over (`storm_compare`). Linux only. The exit code is 1 at any difference.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final

from storm_compare import Difference, Leftover, clean_up, compare, contents
from storm_house import DAEMON_KINDS, Installation, Process, processes_below, running

from core.archive.schema import upgrade
from core.archive.sessions import Archive, ArchiveUnavailableError
from core.ccd.geometry import Detector
from core.settings import Settings
from core.simulator.night import NightPlan, simulate_night
from workers.ingest import ingest_once
from workers.runner import run_until_idle

__all__ = ["Report", "Storm", "main", "weather"]

FIRST: Final = date(2026, 11, 1)
UNITS: Final = (1, 2)
PLAN: Final = NightPlan(n_bias=3, n_dark=3, n_flat=3, n_arc=0, n_illum=0)
DETECTOR: Final = Detector(nx=2048, ny=120)  # flats need the width of real detectors, all else is small
SETTINGS: Final[dict[str, Any]] = {
    "settle_seconds": 0.1,
    "rescan_seconds": 2.0,
    "lease_seconds": 8.0,
    "heartbeat_seconds": 0.5,
    "dispatch_seconds": 0.3,
    "resend_seconds": 8.0,
    "template_seconds": 4.0,
    "retry_seconds": 1e-12,  # four times as much after each try, of which there are many: a second after 20
    "max_tries": 1000,
    "worker_concurrency": 2,
}
# How long a daemon lives on average from when it is awake, and a server [s]. They take some 2 to 25 s to start, and a
# supervisor starts four of them: what does not live long enough to work makes no storm, but a calm.
LIFE: Final = {
    "worker": 30.0,
    "dispatch": 30.0,
    "ingest": 30.0,
    "pages": 30.0,
    "supervisor": 90.0,
    "redis": 20.0,
    "postgresql": 30.0,
}
# The same, in units of what the work of a block takes on this machine just now, to which its process adds twice as much
# for its start and the pictures. Who lives shorter than that never draws them, and after ten deaths they are given up.
RECIPE_LIFE: Final = {"recipe": 4.0, "part": 2.0}
ASLEEP: Final = 4.0  # as long as it has not said that it lives, a daemon lives longer, by this factor
PLACING: Final = 0.2  # of the moments at which files appear in the product store, the part at which the worker dies
_TICK = 0.05
_TOLD_SECONDS = 30.0
_QUIET_LOOKS = 10  # one after the other, at which nothing is left to do: it is through
_BACKLOG = 4  # another night comes when less is left to do
_SHOWN = 10


@dataclass
class Storm:
    """Kills at random, counts it, and starts the supervisor again, which nobody else looks after.

    Attributes
    ----------
    installation : Installation
    dice : random.Random
    kills : Counter
        By kind; daemons that had not yet said that they live are counted apart.
    """

    installation: Installation
    dice: random.Random
    kills: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._awake: set[int] = set()
        self._life: dict[str, float] = dict(LIFE)
        self._asked = self._time = time.monotonic()
        self._files = 0

    def blow(self) -> None:
        """One moment of it: each process and server dies with the chance that its mean life gives."""
        now = time.monotonic()
        passed, self._time = now - self._time, now
        house = self.installation
        if now - self._asked > 1.0:
            self._look(now)
        processes = processes_below(house.supervisor.pid)
        appeared = self._files_appeared()
        for process in processes:
            if appeared and process.kind == "worker" and self.dice.random() < PLACING:
                self._kill(process, "worker that places files")
            elif self._dies(process.kind, passed, awake=self._is_awake(process)):
                self._kill(process, process.kind if self._is_awake(process) else f"{process.kind} that starts")
        daemons = [process for process in processes if process.kind not in RECIPE_LIFE]
        whole = {process.kind for process in daemons} == DAEMON_KINDS and all(map(self._is_awake, daemons))
        if self._dies("supervisor", passed, awake=whole):
            self._kill(Process(house.supervisor.pid, "supervisor"), "supervisor")
            house.supervisor.wait()
        for name, server in house.servers.items():
            if self._dies(name, passed, awake=True):
                self.kills[server.strike(self.dice.random())] += 1
        if house.supervisor.poll() is not None:
            house.start()

    def _look(self, now: float) -> None:
        """See which daemons are awake, and how long a block takes; until the first is done, no recipe dies."""
        self._asked = now
        self._awake = self.installation.awake()
        seconds = self.installation.block_seconds()
        if seconds is not None:
            self._life |= {kind: blocks * seconds for kind, blocks in RECIPE_LIFE.items()}

    def _is_awake(self, process: Process) -> bool:
        return process.kind in RECIPE_LIFE or process.pid in self._awake

    def _dies(self, kind: str, passed: float, *, awake: bool) -> bool:
        return self.dice.random() < passed / (self._life.get(kind, float("inf")) * (1.0 if awake else ASLEEP))

    def _kill(self, process: Process, name: str) -> None:
        if process.kill():
            self.kills[name] += 1

    def _files_appeared(self) -> bool:
        before, self._files = self._files, sum(1 for _ in self.installation.settings.product_dir.glob("2*/*/*"))
        return self._files > before


def weather(installation: Installation, seconds: float, dice: random.Random, staging: Path) -> tuple[Storm, int]:
    """Deliver nights and kill; answers with the storm and the number of raw files.

    Of two nights the later one comes first, so that no verdict rests on the order in which data came.
    """
    storm = Storm(installation, dice)
    raw = installation.settings.archive_dirs[0]
    numbers = (pair + place for pair in count(0, 2) for place in (1, 0))
    end, frames, told = time.monotonic() + seconds, 0, time.monotonic()
    while time.monotonic() < end:
        if _left_to_do(installation, frames) < _BACKLOG:
            night = (FIRST + timedelta(days=next(numbers))).isoformat()
            simulate_night(staging / night, night, UNITS, PLAN, detector=DETECTOR, truth_directory=staging / "truth")
            frames += sum(1 for _ in (staging / night).glob("*.fits*"))
            (staging / night).rename(raw / night)
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            time.sleep(_TICK)
            storm.blow()
        if time.monotonic() - told > _TOLD_SECONDS:
            told = time.monotonic()
            print(f"{frames} raw files, {storm.kills.total()} kills: {dict(storm.kills)}", flush=True)
    return storm, frames


def _left_to_do(installation: Installation, frames: int) -> float:
    try:
        return installation.backlog(frames)
    except ArchiveUnavailableError:
        return float("inf")


def calm_down(installation: Installation, frames: int, patience: float) -> float | None:
    """Wait until nothing is left to do; the time that it took [s], or None if it takes longer than ``patience``."""
    begin, quiet = time.monotonic(), 0
    while quiet < _QUIET_LOOKS:
        if time.monotonic() - begin > patience:
            return None
        time.sleep(0.5)
        quiet = 0 if _left_to_do(installation, frames) else quiet + 1
    return time.monotonic() - begin


def reduce_calmly(folder: Path, raw: Path) -> Archive:
    """The same raw files, reduced in this process, all nights at once."""
    settings = Settings(data_dir=folder, archive_dirs=(raw,), settle_seconds=0.05, template_seconds=0.1)
    settings.make_directories()
    upgrade(settings.database_url)
    archive = Archive(settings.database_url)
    ingest_once(archive, settings)
    run_until_idle(archive, settings)
    return archive


def tracebacks(folder: Path) -> tuple[str, ...]:
    """The last lines of the tracebacks in the logs of the daemons: what nobody had thought of."""
    found = []
    for path in sorted(folder.glob("*.log*")):
        lines = path.read_text(errors="replace").splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("Traceback")]
        for start in starts:
            last = next((line for line in lines[start + 1 :] if line and not line.startswith(" ")), "")
            found.append(f"{path.name}: {last}")
    return tuple(found)


@dataclass(frozen=True)
class Report:
    """What came out.

    Attributes
    ----------
    database, broker, seed, minutes
        What was asked for.
    kills : dict
        By kind.
    raw_files : int
    rows : dict
        Of the calm run, by kind.
    calm_seconds : float or None
        From the last kill until nothing was left to do; None if that took too long.
    open_blocks : tuple of str
        Blocks that were not through then.
    exit_code : int or None
        Of the supervisor, when it was told to stop; None if it did not.
    differences : dict
        By kind of row.
    leftover : Leftover
    tracebacks : tuple of str
    """

    database: str
    broker: str
    seed: int
    minutes: float
    kills: dict[str, int]
    raw_files: int
    rows: dict[str, int]
    calm_seconds: float | None
    open_blocks: tuple[str, ...]
    exit_code: int | None
    differences: dict[str, Difference]
    leftover: Leftover
    tracebacks: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether the storm has left no trace."""
        same = not any(self.differences.values()) and not self.leftover.after
        return same and self.calm_seconds is not None and self.exit_code == 0 and not self.tracebacks

    def text(self) -> str:
        """For people."""
        lines = [
            f"{self.database} and {self.broker}, {self.minutes:g} minutes, seed {self.seed}",
            f"kills: {sum(self.kills.values())}: {', '.join(f'{n} {kind}' for kind, n in self.kills.items())}",
            f"raw files: {self.raw_files}; the supervisor ended with code {self.exit_code}",
            f"through {self.calm_seconds:.0f} s after the last kill"
            if self.calm_seconds is not None
            else f"NOT THROUGH: {len(self.open_blocks)} blocks are open",
            *_shown(self.open_blocks),
        ]
        for kind, difference in self.differences.items():
            numbers = ", ".join(f"{len(rows)} {name}" for name, rows in vars(difference).items())
            lines.append(f"{kind}: {self.rows[kind]} in the calm run; {numbers}")
            for sign, rows in zip("-+2", vars(difference).values(), strict=True):
                lines += _shown(f"{sign} {row}" for row in rows)
        lines.append(f"files left over: {len(self.leftover.before)}, {len(self.leftover.after)} after housekeeping")
        lines += _shown(self.leftover.after)
        lines.append(f"tracebacks in the logs of daemons: {len(self.tracebacks)}")
        lines += _shown(self.tracebacks)
        lines.append("no difference" if self.good else "DIFFERENT")
        return "\n".join(lines)


def _shown(rows: Any) -> list[str]:
    every = list(rows)
    more = [f"    ... and {len(every) - _SHOWN} more"] if len(every) > _SHOWN else []
    return [f"    {row}" for row in every[:_SHOWN]] + more


def run_storm(folder: Path, options: argparse.Namespace) -> Report:
    """The storm, the calm, the comparison; all files below ``folder``."""
    with running(folder / "stormy", options.database, options.broker, SETTINGS) as house:
        storm, frames = weather(house, 60 * options.minutes, random.Random(options.seed), folder / "staging")
        print(f"the kills end: {storm.kills.total()}", flush=True)
        seconds = calm_down(house, frames, options.patience)
        still_open = tuple(house.open_blocks())
        code = house.stop()
        print("reducing the same frames calmly", flush=True)
        calm = reduce_calmly(folder / "calm", house.settings.archive_dirs[0])
        report = Report(
            database=options.database,
            broker=options.broker,
            seed=options.seed,
            minutes=options.minutes,
            kills=dict(storm.kills.most_common()),
            raw_files=frames,
            rows={kind: rows.total() for kind, rows in contents(calm).items()},
            calm_seconds=seconds,
            open_blocks=still_open,
            exit_code=code,
            differences=compare(house.archive, calm),
            leftover=clean_up(house.archive, house.settings),
            tracebacks=tracebacks(house.settings.log_dir),
        )
        calm.dispose()
    return report


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Kill anything, and compare with a calm run.")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--broker", choices=("filesystem", "redis"), default="filesystem")
    parser.add_argument("--patience", type=float, default=300.0, help="when it must be through after the last kill [s]")
    parser.add_argument("--directory", type=Path, help="where to work, and what is kept; else a temporary directory")
    parser.add_argument("--json", type=Path, help="write the report to this file, too")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # nothing that it started outlives it
    with tempfile.TemporaryDirectory(prefix="cascade-storm-") as temporary:
        report = run_storm((options.directory or Path(temporary)).absolute(), options)
    print(report.text())
    if options.json is not None:
        options.json.write_text(json.dumps({"good": report.good, **asdict(report)}, indent=2), encoding="utf-8")
    return int(not report.good)


if __name__ == "__main__":
    sys.exit(main())
