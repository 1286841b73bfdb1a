"""An installation that knows the recipes of `tests.workers.toy_recipes` and the raw frames that they start from.

Child processes find recipes and pictures in the environment, as those of a user would be; the calibration plan is
changed in this process, which is that of a worker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import core.instruments.muse.declaration as muse
from core.archive.models import Block, BlockInput, Frame
from core.archive.sessions import Archive
from core.archive.states import BlockState, InputKind
from core.fitsfile.header import Header
from core.fitsfile.writer import FitsWriter
from core.instruments import catalogue
from core.instruments.declaration import RawRule
from core.instruments.plans import calibration_plan
from core.instruments.registry import instruments
from core.instruments.rules import RawSource, Task
from core.procedures.run import ENVIRONMENT as PROCEDURES
from core.recipes.registry import ENVIRONMENT as RECIPES

MODULE = "tests.workers.toy_recipes"
ENVIRONMENT = {
    RECIPES: f"slab_cube={MODULE}:SlabCube,slab_lossy={MODULE}:SlabLossy,whole_cube={MODULE}:WholeCube",
    PROCEDURES: ",".join(f"{name}={MODULE}:PICTURES" for name in ("slab_cube", "whole_cube")),
}


@contextmanager
def installed() -> Iterator[None]:
    """MUSE with raw frames of the type TOY and a calibration plan that runs the toys on them."""
    plain = muse.INSTRUMENT
    tasks = tuple(
        Task(name, "TOY", (), ("TOY_CUBE",), asked=name == "slab_lossy")
        for name in ("slab_cube", "slab_lossy", "whole_cube")
    )
    caches = (
        instruments, calibration_plan,
        catalogue.installed_recipes, catalogue.qc1_definitions, catalogue.recipe_versions,
    )  # fmt: skip
    muse.INSTRUMENT = replace(  # type: ignore[misc]
        plain,
        raw_rules=(*plain.raw_rules, RawRule("toy", "TOY", "CALIB", "TOY", tech="IFU")),
        plan=replace(plain.plan, raws=(*plain.plan.raws, RawSource("TOY")), tasks=plain.plan.tasks + tasks),
    )
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        for cached in caches:
            cached.cache_clear()
        yield
    finally:
        muse.INSTRUMENT = plain  # type: ignore[misc]
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        for cached in caches:
            cached.cache_clear()


def write_frame(path: Path) -> Path:
    """A frame with nothing but a header."""
    header = Header()
    for key, value in (("INSTRUME", "MUSE"), ("MJD-OBS", 61345.9), ("EXPTIME", 1.0)):
        header[key] = value
    with FitsWriter(path) as writer:
        writer.primary(header)
    return path


def add_toy_block(archive: Archive, folder: Path, recipe: str = "slab_cube", max_tries: int = 3, **params: Any) -> int:
    """A block of one frame that is READY; answers its number."""
    path = write_frame(folder / f"{recipe}.fits")
    night = date(2026, 11, 1)
    with archive.write() as session:
        frame = Frame(
            dp_id=recipe, file_name=path.name, path=str(path), size=path.stat().st_size, mtime=1.0, instrument="MUSE",
            dpr_catg="CALIB", dpr_type="TOY", tag="TOY", rule="toy", rules_version="1", night=night,
            date_obs=datetime(2026, 11, 1, 22, tzinfo=UTC), mjd_obs=61345.9, exptime=1.0, mjd_mid=61345.9,
            unit_mask=0, header={},
        )  # fmt: skip
        block = Block(
            name=f"{recipe}-block", group_key=recipe, recipe=recipe, recipe_version="1", tag="TOY", night=night,
            instrument="MUSE", mjd_mid=61345.9, n_raw=1, unit_mask=0, state=BlockState.READY, rules_hash="r",
            plan_signature=f"signature of {recipe}", signature=f"signature of {recipe}", parameters=params,
            max_tries=max_tries,
        )  # fmt: skip
        block.inputs = [BlockInput(role="TOY", kind=InputKind.RAW, frame=frame, position=0)]
        session.add_all([frame, block])
        session.flush()
        return block.id
