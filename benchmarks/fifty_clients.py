"""How fast are pages and lists when many look at once: ``python benchmarks/fifty_clients.py``.

Fills an archive of 1000 nights (24 IFUs), serves it as ``cascade up`` does, and lets 50 clients ask for one page after
the other without a pause, each kind of page for some seconds. Three ways: all ask for the same address (*same*), the
same and each says what it has (*ETag*), and, where a page exists for each night, block or frame, each asks for another
one every time (*other*), so that nothing that was made before serves. Exit code 1 if a page misses the goal: 95 of 100
answers within 300 ms. The clients run on the same machine, and their work is part of the numbers.

``--database postgresql`` measures on a PostgreSQL of its own (package pgserver); ``--directory`` keeps the archive for
another time.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
from crowd import Answer, Client, database, serving
from pages_ten_years import LAST, addresses, fill

from core.settings import Settings

GOAL = 0.300  # [s] of 95 of 100 answers


@dataclass(frozen=True)
class Kind:
    """A kind of page: one address, or one for each of many things."""

    name: str
    one: str
    others: Sequence[str] = ()


def kinds(client: httpx.Client, nights: int) -> list[Kind]:
    """All pages and lists."""
    days = [LAST - timedelta(days=back) for back in range(1, nights)]
    blocks = {
        recipe: client.get("/api/blocks", params={"state": "done", "recipe": recipe, "limit": 1000}).json()["items"]
        for recipe in ("muse_wavecal", "muse_bias")
    }
    frames = client.get("/api/frames", params={"limit": 1000}).json()["items"]
    products = client.get("/api/products", params={"limit": 1000}).json()["items"]
    others = {
        "Nights": [f"/nights?after={day}" for day in days],
        "Night": [f"/nights/{day}" for day in days],
        "Frame": [f"/frames/{frame['dp_id']}" for frame in frames],
        "Block, arc": [f"/blocks/{block['name']}" for block in blocks["muse_wavecal"]],
        "Block, bias": [f"/blocks/{block['name']}" for block in blocks["muse_bias"]],
        "Product": [f"/products/{product['id']}" for product in products],
        "QC1 browse": [f"/qc1/muse_bias?y=master_ron&view=browse&offset={start}" for start in range(1000)],
    }
    pages = {name: text for name, text in addresses(client).items() if "years ago" not in name}
    lists = {
        "GET /live": Kind("GET /live", "/live"),
        "GET /api/health": Kind("GET /api/health", "/api/health"),
        "GET /api/nights": Kind("GET /api/nights", "/api/nights?limit=100"),
        "GET /api/frames": Kind(
            "GET /api/frames", "/api/frames", [f"/api/frames?night={day}&limit=200" for day in days]
        ),
        "GET /api/blocks": Kind("GET /api/blocks", "/api/blocks", [f"/api/blocks?night={day}" for day in days]),
        "GET /api/products": Kind(
            "GET /api/products", "/api/products", [f"/api/products?night={day}&limit=100" for day in days]
        ),
        "GET /api/qc1": Kind("GET /api/qc1", "/api/qc1"),
        "quarantine": Kind("Quarantine", "/quarantine"),
    }
    return [*(Kind(name, text, others.get(name, ())) for name, text in pages.items()), *lists.values()]


async def ask(port: int, clients: int, seconds: float, paths: Iterator[str], *, with_tag: bool) -> list[Answer]:
    """All clients at once, each one request after the other; the answers of the time after the first ones."""
    until = time.perf_counter() + seconds
    answers: list[Answer] = []

    async def one() -> None:
        client, tag = Client(port), ""
        while time.perf_counter() < until:
            path = next(paths)
            answer = await client.get(path, tag, "application/json" if path.startswith("/api") else "text/html")
            if answer.status not in (200, 304, 503 if path == "/api/health" else 200):
                raise RuntimeError(f"{path}: status {answer.status}")
            tag = answer.tag if with_tag else ""
            answers.append(answer)
        client.close()

    await asyncio.gather(*(one() for _ in range(clients)))
    return answers


def told(answers: Sequence[Answer], seconds: float) -> tuple[str, bool]:
    """Median, 95 of 100, answers per second; and whether the goal is met."""
    times = sorted(answer.seconds for answer in answers)
    high = times[min(len(times) - 1, int(0.95 * len(times)))]
    mark = " " if high <= GOAL else "!"
    return f"{statistics.median(times) * 1e3:6.0f} {high * 1e3:6.0f}{mark} {len(times) / seconds:6.0f}", high <= GOAL


def measure(port: int, kind: Kind, clients: int, seconds: float) -> tuple[str, int]:
    """One line of the table, and how many of its numbers miss the goal."""
    cells, missed = [], 0
    ways: list[tuple[Iterator[str], bool]] = [(itertools.repeat(kind.one), False), (itertools.repeat(kind.one), True)]
    if kind.others:
        ways.append((itertools.cycle(kind.others), False))
    for paths, with_tag in ways:
        cell, good = told(asyncio.run(ask(port, clients, seconds, paths, with_tag=with_tag)), seconds)
        cells.append(cell)
        missed += not good
    return f"{kind.name:28s} {'   '.join(cells)}", missed


def main() -> int:
    """Fill, serve, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each number")
    parser.add_argument("--processes", type=int, default=0, help="of the pages; as the setting if not given")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--directory", type=Path, help="keep or reuse the archive here")
    parser.add_argument("--only", default="", help="pages whose name has this text")
    options = parser.parse_args()
    missed = 0
    kept = database(options.database, options.directory)
    with tempfile.TemporaryDirectory(prefix="cascade-load-") as temporary, kept as (url, empty):
        settings = Settings(data_dir=options.directory or Path(temporary), database_url=url)
        if empty:
            fill(settings, options.nights, lambda text: print(text, file=sys.stderr))
        with serving(settings, options.processes) as (port, _):
            print(
                f"{options.nights} nights, {options.clients} clients, {options.database}; p50 [ms], p95 [ms], answers/s"
            )
            print(f"{'':28s} {'same':>20s}   {'ETag':>20s}   {'other':>20s}")
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
                pages = [kind for kind in kinds(client, options.nights) if options.only in kind.name]
            for kind in pages:
                line, number = measure(port, kind, options.clients, options.seconds)
                print(line, flush=True)
                missed += number
    print(f"{missed} above {GOAL * 1e3:.0f} ms (!)")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
