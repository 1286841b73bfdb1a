"""Large products filled in random order by several processes: time, memory, and whether others can read them.

    python benchmarks/products_on_disk.py                       # a cube of 4 GB, pixel tables of 2.3 GB in both forms
    python benchmarks/products_on_disk.py --planes 370 --ifus 1

Every file is written by `--processes` processes, finished, verified in astropy and in CFITSIO, and removed. Memory is
the high-water mark of each process above what it had after its imports.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from astropy.io import fits
from cfitsio import cfitsio_sums
from rich.console import Console
from rich.table import Table

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.cube import CubeFile, open_cube
from core.formats.pixtable import PixtableFile, PixtableForm
from core.formats.pixtable_header import pixtable_units
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import open_pixtable

SIDE = 300  # spaxels
SLAB = 50  # planes put at a time
ROWS = 13_500_000  # of an IFU
PIECE = 500_000  # rows appended at a time
MEMORY = 500.0  # MiB that a process may take beyond its imports


@dataclass(frozen=True)
class Step:
    """What a step took: wall time [s] and memory of its hungriest process [MiB]."""

    seconds: float
    memory: float


def main() -> int:
    """Run the comparison; the exit code is 1 if a file is wrong or a process takes too much memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--planes", type=int, default=3700)
    parser.add_argument("--ifus", type=int, default=6, help="of the pixel tables [6]")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--work", help="working directory; files are removed from it")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="cascade-disk-", dir=options.work))
    table = Table("file", "GB", "step", "wall [s]", "memory [MiB]")
    good = True
    try:
        for name, size, steps, right in (
            _cube(work, options.planes, options.processes),
            *(_pixtable(work, options.ifus, options.processes, form) for form in ("image", "table")),
        ):
            for step, taken in steps.items():
                table.add_row(name, f"{size:.2f}", step, f"{taken.seconds:.1f}", f"{taken.memory:.0f}")
                good &= taken.memory < MEMORY
            good &= right
    finally:
        shutil.rmtree(work)
    Console().print(table)
    print("all files are right, at bounded memory" if good else "MISSED")
    return 0 if good else 1


def _cube(work: Path, planes: int, processes: int) -> tuple[str, float, dict[str, Step], bool]:
    path = work / "cube.fits"
    starts = np.random.default_rng(1).permutation(np.arange(0, planes, SLAB)).tolist()
    steps = {
        "reserve": _spread(1, _reserve_cube, [(path, planes)]),
        "fill": _spread(processes, _put_slab, [(path, z0, min(z0 + SLAB, planes)) for z0 in starts]),
        "finish": _spread(1, _finish_cube, [(path,)]),
    }
    right = _verified(path)
    cube = open_cube(path)
    for z0 in starts[:5]:
        z1 = min(z0 + SLAB, planes)
        right &= all(
            a is not None and np.array_equal(a, b) for a, b in zip(cube.read(z0, z1), _slab(z0, z1), strict=True)
        )
    return f"cube, {processes} processes", _gigabytes_and_remove(path), steps, right


def _pixtable(work: Path, ifus: int, processes: int, form: PixtableForm) -> tuple[str, float, dict[str, Step], bool]:
    path = work / "table.fits"
    order = np.random.default_rng(2).permutation(ifus).tolist()
    steps = {
        "reserve": _spread(1, _reserve_table, [(path, ifus, form)]),
        "fill": _spread(processes, _fill_part, [(path, number) for number in order]),
        "finish": _spread(1, _finish_table, [(path,)]),
    }
    right = _verified(path)
    steps["index"] = _spread(1, _index, [(path,)])
    steps["a slab of 231 Angstrom"] = _spread(1, _read_slab, [(path, 6000.0, 6231.0)])
    return f"pixel table, {form}", _gigabytes_and_remove(path), steps, right


def _slab(z0: int, z1: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    data = np.random.default_rng(z0).standard_normal((z1 - z0, SIDE, SIDE), np.float32)
    return data, data + np.float32(10), (data > 3).astype(np.int32)


def _reserve_cube(path: Path, planes: int) -> None:
    CubeFile.create(path, (planes, SIDE, SIDE), Header(), Header(), unit="count", dq=True).close()


def _finish_cube(path: Path) -> None:
    CubeFile.open(path).finish()


def _reserve_table(path: Path, ifus: int, form: PixtableForm) -> None:
    header = Header()
    set_key(header, f"{PREFIX}.TYPE", "GEOFULL")
    PixtableFile.create(path, header, [ROWS] * ifus, pixtable_units(), form=form).close()


def _finish_table(path: Path) -> None:
    PixtableFile.open(path).finish()


def _put_slab(path: Path, z0: int, z1: int) -> None:
    with CubeFile.open(path) as cube:
        cube.put(z0, *_slab(z0, z1))


def _fill_part(path: Path, number: int) -> None:
    rng = np.random.default_rng(number)
    with PixtableFile.open(path) as table, table.part(number) as part:
        for start in range(0, ROWS, PIECE):
            row = np.arange(start, min(start + PIECE, ROWS))
            slice_no, inside = row * 48 // ROWS + 1, row % (ROWS // 48)
            noise = rng.standard_normal(len(row), np.float32)
            wave = (4650 + 1.15 * (inside // 68)).astype(np.float32)  # 68 columns of each row of the CCD
            origin = ((number + 1) << 6 | slice_no).astype(np.int32)
            part.append(
                {"xpos": noise, "ypos": noise, "lambda": wave, "data": noise, "dq": np.zeros(len(row), np.int32),
                 "stat": noise * noise, "origin": origin}
            )  # fmt: skip


def _index(path: Path) -> None:
    _ = open_pixtable(path).index


def _read_slab(path: Path, low: float, high: float) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    for part in open_pixtable(path).rows(low, high):
        digest.update(np.ascontiguousarray(part.columns["data"]).tobytes())


def _verified(path: Path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a wrong checksum astropy warns
        with fits.open(path, checksum=True, memmap=True) as hdus:
            hdus.verify("exception")
            number = len(hdus)
    sums = cfitsio_sums(path)
    print(f"{path.name}: astropy verifies {number} HDUs; CFITSIO: {'not installed' if sums is None else sums}")
    return sums in (None, [(1, 1)] * number)


def _gigabytes_and_remove(path: Path) -> float:
    size = path.stat().st_size / 1e9
    path.unlink()
    return size


def _spread(processes: int, work: Callable[..., None], jobs: list[tuple[object, ...]]) -> Step:
    start = time.perf_counter()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        memory = max(pool.map(_measured, [work] * len(jobs), jobs))
    return Step(time.perf_counter() - start, memory)


_AT_START: list[float] = []


def _measured(work: Callable[..., None], job: tuple[object, ...]) -> float:
    if not _AT_START:
        _AT_START.append(_peak())
    work(*job)
    return _peak() - _AT_START[0]


def _peak() -> float:
    """High-water mark of the memory of this process [MiB]."""
    status = Path(f"/proc/{os.getpid()}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main())
