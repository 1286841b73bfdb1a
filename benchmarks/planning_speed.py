"""How long planning a night takes at ten years of data: python -m benchmarks.planning_speed

Fills a database with ten years of nights: master biases and flats, and on-sky exposures with 24 pixel tables each,
their images and offsets, all done. Then plans the night after them from its raw frames, saves the plan, plans it again.
The recipes of exposures are toys: what counts is how many rows there are, and how few of them are read.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import insert

import workers.planning
from core.archive.models import Block, Frame, Product
from core.archive.schema import upgrade
from core.archive.sessions import Archive
from core.archive.states import BlockState, ProductState
from core.instruments.muse.setup import SETUP, UNITS
from core.instruments.registry import instrument
from core.instruments.rules import OBSERVATION_KEY, UNITS_KEY, GroupBy, InputRule, MasterSource, RawSource, Rules, Task
from core.settings import Settings

_FIRST = date(2016, 11, 1)
_FIRST_MJD = 57693.7
_LIMIT = 2.0  # [s]
_OBSERVATIONS, _EXPOSURES = 6, 4  # a night
_DAILY = ((1.5, 0), (7.0, 1), (30.0, 2))
_CCD = ("readout", "binning", UNITS_KEY)

PLAN = Rules(
    setup=SETUP,
    units=UNITS,
    raws=(RawSource("BIAS"), RawSource("FLAT"), RawSource("OBJECT")),
    masters=(
        MasterSource("MASTER_BIAS", "bias-1", _CCD, _DAILY),
        MasterSource("MASTER_FLAT", "flat-1", _CCD, _DAILY),
        MasterSource("ILLUM", "illum-1", ("field",), ((2 / 24, 0), (8 / 24, 1)), kelvins=((1.0, 0), (3.0, 1))),
        MasterSource("OFFSET_LIST", "offsets-1", (OBSERVATION_KEY,), ((1.0, 0),)),
    ),
    tasks=(
        Task("bias", "BIAS", (), ("MASTER_BIAS",), minimum=3),
        Task("flat", "FLAT", (InputRule("MASTER_BIAS"),), ("MASTER_FLAT",), minimum=3),
        Task(
            "scibasic",
            "OBJECT",
            (InputRule("MASTER_BIAS"), InputRule("MASTER_FLAT"), InputRule("ILLUM", 0)),
            ("PIXTABLE_OBJECT",),
            group_by=GroupBy.EXPOSURE,
        ),
        Task("scipost", "PIXTABLE_OBJECT", (), ("IMAGE_FOV", "PIXTABLE_REDUCED"), group_by=GroupBy.EXPOSURE),
        Task("align", "IMAGE_FOV", (), ("OFFSET_LIST",), group_by=GroupBy.OBSERVATION),
        Task("combine", "PIXTABLE_REDUCED", (InputRule("OFFSET_LIST"),), ("CUBE",), group_by=GroupBy.OBSERVATION),
    ),
)
_BY_UNIT = frozenset({"MASTER_BIAS", "MASTER_FLAT", "PIXTABLE_OBJECT"})


def main() -> int:
    """Run the benchmark; the exit code is 1 if planning the night takes longer than its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nights", type=int, default=3650)
    parser.add_argument("--database-url", default="", help="an empty database; an SQLite file if not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="planning-speed-") as folder:
        settings = Settings(data_dir=Path(folder), database_url=options.database_url)
        settings.make_directories()
        upgrade(settings.database_url)
        archive = Archive(settings.database_url)
        print(f"{_fill(archive, options.nights)} products of {options.nights} nights")
        night = _FIRST + timedelta(days=options.nights)
        versions = {task.recipe: "1" for task in PLAN.tasks}
        with (
            patch.object(workers.planning, "calibration_plans", lambda: ((instrument("MUSE"), PLAN),)),
            patch.object(workers.planning, "installed_recipes", lambda: tuple(versions)),
            patch.object(workers.planning, "recipe_versions", lambda: versions),
        ):
            workers.planning.plan_nights(archive, settings, [night])  # imports, the line catalogue
            spent, plan = _timed(lambda: workers.planning.plan_nights(archive, settings, [night]))
            of_night = sum(block.night == night.isoformat() for block in plan.blocks)
            print(f"plan a night            {spent:6.2f} s  (limit {_LIMIT:g} s; {of_night} blocks of that night)")
            saving, (_, saved) = _timed(lambda: workers.planning.save_nights(archive, settings, [night]))
            print(f"plan and save           {saving:6.2f} s  ({len(saved.created)} blocks created)")
            again, (_, same) = _timed(lambda: workers.planning.save_nights(archive, settings, [night]))
            print(f"plan and save again     {again:6.2f} s  ({len(same.unchanged)} as before)")
        archive.dispose()
    changed = same.created or same.changed or same.superseded
    return 1 if spent > _LIMIT or changed else 0


def _timed(act: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = act()
    return time.perf_counter() - start, result


def _fill(archive: Archive, nights: int) -> int:
    """Frames, blocks and products of all nights, and the frames of the night after them; the number of products."""
    count = number = 0
    for first in range(0, nights + 1, 20):
        frames: list[dict[str, Any]] = []
        blocks: list[dict[str, Any]] = []
        products: list[dict[str, Any]] = []
        for night in range(first, min(first + 20, nights + 1)):
            frames += _frames(night)
            for name, task, mjd in _blocks(night) if night < nights else ():
                number += 1
                blocks.append(_block(number, night, name, task, mjd))
                products += _products(number, night, name, task, mjd)
        with archive.write() as session:
            session.execute(insert(Frame), frames)
            if blocks:
                session.execute(insert(Block), blocks)
                session.execute(insert(Product), products)
        count += len(products)
    return count


def _shared(night: int) -> dict[str, Any]:
    setup = SETUP.of_values({})
    return {
        "instrument": "MUSE", "mode": setup.mode, "readout": setup.readout, "setup_text": setup.text,
        "night": _FIRST + timedelta(days=night),
    }  # fmt: skip


def _exposures(night: int) -> Iterator[tuple[int, int, float]]:
    for exposure in range(_OBSERVATIONS * _EXPOSURES):
        yield exposure, exposure // _EXPOSURES, _FIRST_MJD + night + 0.35 + exposure / 60


def _frames(night: int) -> list[dict[str, Any]]:
    taken = [(f"BIAS.{i}", "BIAS", night + 0.01 + i / 1440, 0) for i in range(5)]
    taken += [(f"FLAT.{i}", "FLAT", night + 0.05 + i / 1440, 0) for i in range(5)]
    taken += [(f"ILLUM.{i}", "ILLUM", night + 0.34 + i / 15, 0) for i in range(6)]
    taken += [(f"OBJECT.{i}", "OBJECT", mjd - _FIRST_MJD, observation) for i, observation, mjd in _exposures(night)]
    rows = []
    for name, tag, offset, observation in taken:
        moment = datetime.combine(_FIRST, datetime.min.time(), UTC) + timedelta(days=offset + 0.7)
        rows.append(
            _shared(night)
            | {
                "dp_id": f"{night}.{name}", "file_name": f"{name}.fits", "path": f"/{night}/{name}.fits", "size": 1,
                "mtime": 1.0, "dpr_catg": "", "dpr_type": "", "tag": tag, "rule": "", "rules_version": "",
                "date_obs": moment, "mjd_obs": _FIRST_MJD + offset, "mjd_mid": _FIRST_MJD + offset, "exptime": 1.0,
                "tpl_start": datetime.combine(_FIRST + timedelta(days=night), datetime.min.time(), UTC),
                "unit_mask": (1 << 24) - 1, "obs_id": observation, "object": f"field {observation}", "header": {},
                "ambient_temp": 10.0,
            }
        )  # fmt: skip
    return rows


def _blocks(night: int) -> Iterator[tuple[str, Task, float]]:
    tasks = {task.recipe: task for task in PLAN.tasks}
    yield f"bias-{night}", tasks["bias"], _FIRST_MJD + night + 0.01
    yield f"flat-{night}", tasks["flat"], _FIRST_MJD + night + 0.05
    for exposure, observation, mjd in _exposures(night):
        yield f"scibasic-{night}-{exposure}", tasks["scibasic"], mjd
        yield f"scipost-{night}-{exposure}", tasks["scipost"], mjd
        if exposure % _EXPOSURES == 0:
            yield f"align-{night}-{observation}", tasks["align"], mjd
            yield f"combine-{night}-{observation}", tasks["combine"], mjd


def _block(number: int, night: int, name: str, task: Task, mjd: float) -> dict[str, Any]:
    return _shared(night) | {
        "id": number, "name": name, "group_key": name, "recipe": task.recipe, "recipe_version": "1", "tag": task.main,
        "n_raw": 1, "mjd_mid": mjd, "unit_mask": (1 << 24) - 1, "state": BlockState.DONE, "rules_hash": "",
        "plan_signature": name, "signature": name,
    }  # fmt: skip


def _products(number: int, night: int, name: str, task: Task, mjd: float) -> Iterator[dict[str, Any]]:
    for tag in task.products:
        for unit in range(1, 25) if tag in _BY_UNIT else (None,):
            yield _shared(night) | {
                "block_id": number, "tag": tag, "unit": unit, "file_name": f"{tag}-{unit}.fits",
                "path": f"/{name}/{tag}-{unit}.fits", "size": 1, "sha256": "0" * 64, "mjd_obs": mjd, "mjd_mid": mjd,
                "state": ProductState.PROVISIONAL, "header": {},
            }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
