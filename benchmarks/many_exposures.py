"""Many exposures of a field are combined: time of each, and memory that does not grow with their number.

    python benchmarks/many_exposures.py                       # 5, 10 and 20 exposures of 5 IFUs, 300 Angstrom
    python benchmarks/many_exposures.py --exposures 2,20 --ifus 1,2,3,4 --range 600 --work /somewhere

The first exposure is made of the simulated geometry, in the compact form, with noise for light; the others are that one
again, with other noise and a few arcsec beside it. All are projected to native angles, as muse_scipost leaves them, and
combined by muse_exp_combine, first few of them and then more. A slab of 5 exposures of 5 IFUs has as many pixels as one
of a whole exposure, which is what the memory for a slab is made for. An exposure of the default takes 123 MB on disk.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from runs import Side, both_pipelines, run_recipe

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_select import choose_rows, write_plain
from core.formats.pixtable_slices import SliceRows
from core.formats.pixtable_slicewise import SlicewiseTable
from core.instruments.muse.facts import N_SLICES
from core.recipes.muse.exposure_tables import list_exposures, open_exposure
from core.recipes.muse.steps.astrometry import default_astrometry, project
from core.recipes.muse.steps.table import with_limits
from core.simulator.geometry import FieldGeometry, make_geometry
from core.spatial.positions import FieldPlace, SliceMap

SEED = 1
EVERYTHING = (4000.0, 10000.0)
FIRST, STEP = 6000.0, 1.25  # [Angstrom]: the bluest wavelength, and from one line of the detector to the next
DITHER = 5.0  # [arcsec]
MEMORY, TIME = 1.05, 1.25  # what most exposures may take of that which fewest take: noise of both
LOG = logging.getLogger(__name__)
LOG.setLevel(logging.ERROR)  # that IFUs are missing is meant


def main() -> int:
    """Run the comparison; the exit code is 1 if more exposures cost more memory, or more time each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--exposures", default="5,10,20", help="numbers of exposures [5,10,20]")
    parser.add_argument("--ifus", default="10,11,12,13,14", help="numbers of IFUs [10,11,12,13,14]")
    parser.add_argument("--range", type=float, default=300.0, help="of wavelengths from 6000 Angstrom on [300]")
    parser.add_argument("--work", help="working directory, kept afterwards")
    options = parser.parse_args()
    numbers = sorted(int(text) for text in options.exposures.split(","))
    work = Path(options.work or tempfile.mkdtemp(prefix="cascade-exposures-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        ifus = [int(text) for text in options.ifus.split(",")]
        tables = [_reduced(work, exposure, ifus, round(options.range / STEP)) for exposure in range(numbers[-1])]
        table = Table("exposures", "wall [s]", "CPU [s]", "CPU an exposure [s]", "peak memory [MiB]")
        cost, peak = [], []
        for number in numbers:
            frames = [(path, "PIXTABLE_REDUCED") for path in tables[:number]]
            usage = run_recipe(_side(work, number), "exp_combine", frames, (), label=f"{number}-exposures")
            if usage.code:
                print(f"muse_exp_combine failed: see {work}")
                return 1
            cost.append(usage.cpu / number)
            peak.append(usage.peak)
            table.add_row(str(number), *(f"{x:.1f}" for x in (usage.wall, usage.cpu, cost[-1])), f"{usage.peak:.0f}")
    finally:
        if not options.work:
            shutil.rmtree(work)
    Console().print(table)
    flat = peak[-1] <= MEMORY * peak[0] and cost[-1] <= TIME * cost[0]
    print("more exposures need no more memory, and take no longer each" if flat else "MISSED")
    return 0 if flat else 1


def _side(work: Path, number: int) -> Side:
    ours, _ = both_pipelines(work)
    return Side(ours.name, ours.command, work / f"products-{number}")


def _reduced(work: Path, exposure: int, ifus: list[int], lines: int) -> Path:
    """A reduced exposure of these IFUs; those that are there are kept."""
    path = work / f"PIXTABLE_REDUCED_{exposure + 1:04d}.fits"
    if not path.exists():
        geometry = make_geometry(SEED)
        parts = [_compact(work, exposure, ifu, lines, geometry) for ifu in ifus]
        (files,) = list_exposures(parts, LOG)
        exposure_table = open_exposure(files, *EVERYTHING, LOG)
        table = project(exposure_table, default_astrometry(exposure_table.header), LOG)
        write_plain(choose_rows(table, []), path, "image", with_limits(table))
        for part in parts:
            part.unlink()
    return path


def _compact(work: Path, exposure: int, ifu: int, lines: int, geometry: FieldGeometry) -> Path:
    """The pixel table of an IFU: noise, brighter in the middle of the spectrum."""
    rng = np.random.default_rng([SEED, exposure, ifu])
    header = Header()
    values = {
        "INSTRUME": "MUSE", "RA": 53.1 + rng.normal(0, DITHER) / 3600, "DEC": -27.8 + rng.normal(0, DITHER) / 3600,
        "DATE-OBS": f"2026-11-01T{exposure // 4:02d}:{15 * (exposure % 4):02d}:00", "MJD-OBS": 61345.0 + exposure / 96,
        "EXPTIME": 600.0, "EXTNAME": f"CHAN{ifu:02d}", "INS.MODE": "WFM-NOAO-N", "INS.DROT.POSANG": 0.0,
        "INS.DROT.MODE": "SKY", "PRO.CATG": "PIXTABLE_OBJECT", f"{PREFIX}.TYPE": "GEOFULL",
        "DRS.MUSE.FLAT.FLUX.LAMP": 1.0,
    }  # fmt: skip
    for key, value in values.items():
        set_key(header, key, value)
    slices = [SliceRows.whole(ifu, _slice(geometry, ifu, number, lines)) for number in range(1, N_SLICES + 1)]
    path = work / f"PIXTABLE_OBJECT_{exposure + 1:04d}-{ifu:02d}.fits"
    with SlicewiseTable.create(path, header, slices, form="compact", flux="count") as table:
        for number, rows in enumerate(table.slices):
            columns = rows.columns()
            data = rng.normal(100 * np.exp(-(((columns["lambda"] - 7000) / 3000) ** 2)), 10).astype(np.float32)
            flags = np.where(rng.uniform(size=rows.n_rows) < 1e-3, 32, 0).astype(np.int32)
            table.put(number, columns, data, flags, np.full(rows.n_rows, 100, np.float32))
        table.describe(header)
        return table.finish(header)


def _slice(geometry: FieldGeometry, ifu: int, number: int, lines: int) -> SliceMap:
    """A slice on so many lines of the detector."""
    k = (ifu - 1, number - 1)
    left = 30.4 + 84 * (number - 1)
    wave = np.array([[FIRST + 0.3 * (number % 12), STEP], [0.01, 0.0]])
    place = FieldPlace(*(float(values[k]) for values in (geometry.x, geometry.y, geometry.angle, geometry.width)))
    return SliceMap(number, np.array([left, 1e-3]), np.array([left + 76.0, 1e-3]), wave, place, (lines, 4096))


if __name__ == "__main__":
    sys.exit(main())
