"""What series and exports cost the service: ``python benchmarks/heavy_clients.py``.

Two measurements over an archive of 1000 nights (24 IFUs), in which a parameter of slices has 240,000 values:

* one export of 400,000 rows after the other, in each format: time, size, and the largest memory meanwhile;
* 50 clients at once for a while, who ask for exports and for series of all slices; those who are told to wait (429)
  ask again after the time that they are told, and a third of them leaves before the answer comes.

Memory is that of all processes of the pages together (Pss: what they share counts once). Exit code 1 if it exceeds
500 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from crowd import Answer, Client, database, memory, serving
from pages_ten_years import fill

from core.settings import Settings

GOAL = 500.0  # [MB]
ROWS = 399_999  # one more is the most that is served, and refused where the archive has more
EXPORT = f"/api/qc1/muse_wave/series.{{}}?y=slice_resol&y=slice_fit_rms&limit={ROWS}"
FORMATS = {"csv": EXPORT.format("csv"), "fits": EXPORT.format("fits"), "votable": EXPORT.format("vot")}
FORMATS["json"] = f"/api/qc1/muse_wave/series?y=slice_resol&y=slice_fit_rms&limit={ROWS}"
HEAVY = (
    *FORMATS.values(),
    "/api/qc1/muse_wave/series?y=slice_resol&from=2026-08-20",
    "/api/qc1/muse_wave/series?y=slice_lines_fwhm_mean&from=2026-10-20",
    "/api/qc1/muse_wave/series.csv?y=slice_fit_rms&unit=7",
)
RETRY = 10.0  # [s] that a client waits who is told to come again


class Peak:
    """The largest memory [MB] of the service since it was last asked for."""

    def __init__(self, process: int) -> None:
        self._process, self._largest, self.processes = process, 0.0, 0

    def look(self) -> None:
        """Measure."""
        found = memory(self._process)
        self.processes = len(found)
        self._largest = max(self._largest, sum(found.values()))

    def take(self) -> float:
        """The largest one; begins anew."""
        self.look()
        largest, self._largest = self._largest, 0.0
        return largest


@contextmanager
def watching(process: int) -> Iterator[Peak]:
    """Measures every 100 ms."""
    peak, stop = Peak(process), Event()

    def watch() -> None:
        while not stop.wait(0.1):
            peak.look()

    thread = Thread(target=watch)
    thread.start()
    yield peak
    stop.set()
    thread.join()


async def one(port: int, path: str) -> Answer:
    """One request over a connection of its own."""
    client = Client(port)
    answer = await client.get(path, accept="application/json")
    client.close()
    return answer


async def crowd(port: int, clients: int, seconds: float) -> tuple[Counter[int], list[float]]:
    """Number of answers by status (0: the client left), and the times of those that are whole."""
    until = time.monotonic() + seconds
    paths, statuses, times = itertools.cycle(HEAVY), Counter[int](), list[float]()
    dice = random.Random(1)

    async def look() -> None:
        while (left := until - time.monotonic()) > 0:
            patience = min(left, dice.uniform(0.2, 3.0) if dice.random() < 1 / 3 else left)
            try:
                answer = await asyncio.wait_for(one(port, next(paths)), patience)
            except TimeoutError:
                statuses[0] += 1
                continue
            statuses[answer.status] += 1
            if answer.status == 200:
                times.append(answer.seconds)
            else:
                await asyncio.sleep(min(RETRY, max(0.0, until - time.monotonic())))

    await asyncio.gather(*(look() for _ in range(clients)))
    return statuses, times


def main() -> int:
    """Fill, serve, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--processes", type=int, default=0, help="of the pages; as the setting if not given")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--directory", type=Path, help="keep or reuse the archive here")
    options = parser.parse_args()
    largest = 0.0
    kept = database(options.database, options.directory)
    with tempfile.TemporaryDirectory(prefix="cascade-load-") as temporary, kept as (url, empty):
        settings = Settings(data_dir=options.directory or Path(temporary), database_url=url)
        if empty:
            fill(settings, options.nights, lambda text: print(text, file=sys.stderr))
        with serving(settings, options.processes) as (port, process), watching(process) as peak:
            rest = peak.take()
            print(f"{peak.processes} processes at rest: {rest:.0f} MB")
            for kind, path in FORMATS.items():
                answer = asyncio.run(one(port, path))
                if answer.status != 200:
                    raise RuntimeError(f"{path}: status {answer.status}")
                most = peak.take()
                print(
                    f"{kind:8s} {answer.seconds:6.1f} s {answer.size / 1e6:7.1f} MB sent {most:6.0f} MB memory",
                    flush=True,
                )
                largest = max(largest, most)
            statuses, times = asyncio.run(crowd(port, options.clients, options.seconds))
            most = peak.take()
            middle = statistics.median(times) if times else float("nan")
            print(
                f"{options.clients} clients for {options.seconds:.0f} s: {most:.0f} MB memory, {len(times)} answers "
                f"(median {middle:.1f} s), {statuses[429]} told to wait, {statuses[0]} left"
            )
            largest = max(largest, most)
    print(f"largest: {largest:.0f} MB, limit {GOAL:.0f} MB")
    return int(largest > GOAL)


if __name__ == "__main__":
    sys.exit(main())
