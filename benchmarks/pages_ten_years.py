"""How fast are the pages with ten years of data: first byte, whole page, bytes.

``python -m benchmarks.pages_ten_years [--nights 3650] [--directory DIR]`` fills an SQLite archive with nights of
24 IFUs (all slices in the last 100 nights, fewer before, to bound the time of filling), serves it on a local port and
measures every kind of page after one warming request. Exit code 1 if a page misses the goal on a quiet machine: first
byte under 50 ms, whole under 300 ms, under 150 kB as it goes over the wire without compression.
"""

from __future__ import annotations

import argparse
import importlib.util
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType

import httpx
import uvicorn

from core.archive.schema import upgrade
from core.archive.sessions import Archive
from core.settings import Settings
from service.app import create_app
from service.kept import KEPT_SECONDS
from service.server import PagesServer

LAST = date(2026, 11, 19)
FULL_NIGHTS = 100
SLICES_BEFORE = 6
REPEATS = 7
FIRST_BYTE, WHOLE, SIZE = 0.050, 0.300, 150_000


def load_factory() -> ModuleType:
    """The row factory of the tests."""
    path = Path(__file__).parents[1] / "tests/service/factory.py"
    spec = importlib.util.spec_from_file_location("factory", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["factory"] = module
    spec.loader.exec_module(module)
    return module


def fill(settings: Settings, nights: int, say: Callable[[str], None]) -> None:
    """Write the rows."""
    settings.make_directories()
    upgrade(settings.database_url)
    archive = Archive(settings.database_url)
    factory = load_factory()
    began = time.monotonic()
    before = nights - FULL_NIGHTS
    filler = factory.Filler(archive, units=range(1, 25), slices=SLICES_BEFORE, outlier_rate=0.0002)
    step = 200
    for done in range(0, before, step):
        number = min(step, before - done)
        filler.nights(LAST - timedelta(days=FULL_NIGHTS + before - done - number), number)
        say(f"{done + number} of {nights} nights, {time.monotonic() - began:.0f} s")
    factory.fill_story(archive, LAST, nights=FULL_NIGHTS - 1, units=range(1, 25), slices=48, outlier_rate=0.0002)
    with archive.engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE")
    archive.dispose()


def serve(settings: Settings) -> tuple[PagesServer, threading.Thread, str]:
    """The service on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = PagesServer(uvicorn.Config(create_app(settings), host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    return server, thread, f"http://127.0.0.1:{port}"


def measure(client: httpx.Client, address: str) -> tuple[float, float, int]:
    """Median time to the first byte, median time to the last, bytes."""
    first, whole, size = [], [], 0
    for _ in range(REPEATS + 1):
        time.sleep(KEPT_SECONDS * 1.05)  # what was made for the last request is kept no longer
        began = time.perf_counter()
        with client.stream("GET", address, headers={"Accept": "text/html", "Accept-Encoding": "identity"}) as response:
            if response.status_code >= 400:
                raise RuntimeError(f"{address}: status {response.status_code}")
            size = 0
            for number, chunk in enumerate(response.iter_raw()):
                if number == 0:
                    first.append(time.perf_counter() - began)
                size += len(chunk)
        whole.append(time.perf_counter() - began)
    return statistics.median(first[1:]), statistics.median(whole[1:]), size


def addresses(client: httpx.Client) -> dict[str, str]:
    """One address of each kind."""
    blocks = client.get("/api/blocks", params={"state": "done", "limit": 6}).json()["items"]
    by_recipe = {block["recipe"]: block["name"] for block in blocks}
    frame = client.get("/api/frames", params={"limit": 1}).json()["items"][0]["dp_id"]
    product = client.get("/api/products", params={"limit": 1, "tag": "WAVECAL_TABLE"}).json()["items"][0]["id"]
    old = LAST - timedelta(days=1800)
    return {
        "Now": "/",
        "Nights": "/nights",
        "Nights, five years ago": f"/nights?year={old.year}",
        "Night": f"/nights/{LAST - timedelta(days=1)}",
        "Night, five years ago": f"/nights/{old}",
        "Frame": f"/frames/{frame}",
        "Block, bias": f"/blocks/{by_recipe['muse_bias']}",
        "Block, arc": f"/blocks/{by_recipe['muse_wavecal']}",
        "Product": f"/products/{product}",
        "QC1": "/qc1",
        "QC1 plot page": "/qc1/muse_bias?y=master_ron",
        "QC1 browse": "/qc1/muse_bias?y=master_ron&view=browse",
        "QC1 browse, 100 000 values": "/qc1/muse_wave?y=slice_resol&view=browse",
        "Docs": "/docs/recipes/muse_bias",
        "Search": "/search?q=2021-03-01T11",
    }


def data_addresses() -> dict[str, str]:
    """What the plots ask for; measured, without a goal of their own."""
    return {
        "series, 3 months, per quadrant": "/api/qc1/muse_bias/series?y=master_ron&from=2026-08-20&to=2026-11-20",
        "series, 3 months, 100 000 values": "/api/qc1/muse_wave/series?y=slice_resol&from=2026-08-20&to=2026-11-20",
        "series, 10 years, one IFU": "/api/qc1/muse_lampflat/series?y=flat_intflux&unit=7",
        "sparkline, per quadrant": "/api/qc1/muse_bias/master_ron/sparkline",
        "sparkline, per slice": "/api/qc1/muse_wave/slice_resol/sparkline",
    }


def main() -> int:
    """Fill, serve, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=3650)
    parser.add_argument("--directory", type=Path, help="keep or reuse the archive here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cascade-pages-") as temporary:
        settings = Settings(data_dir=options.directory or Path(temporary))
        database = settings.data_dir / "cascade.sqlite"
        if not database.exists():
            fill(settings, options.nights, lambda text: print(text, file=sys.stderr))
        print(f"archive of {options.nights} nights, {database.stat().st_size / 1e9:.2f} GB")
        server, thread, base = serve(settings)
        missed = 0
        with httpx.Client(base_url=base, timeout=120) as client:
            print(f"{'page':36s} {'first byte':>10s} {'whole':>10s} {'size':>9s}")
            for name, address in addresses(client).items():
                first, whole, size = measure(client, address)
                bad = first > FIRST_BYTE or whole > WHOLE or size > SIZE
                missed += bad
                mark = "  MISSED" if bad else ""
                print(f"{name:36s} {first * 1e3:7.0f} ms {whole * 1e3:7.0f} ms {size / 1e3:6.0f} kB{mark}")
            for name, address in data_addresses().items():
                first, whole, size = measure(client, address)
                print(f"{name:36s} {first * 1e3:7.0f} ms {whole * 1e3:7.0f} ms {size / 1e3:6.0f} kB")
        server.should_exit = True
        thread.join(10)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
