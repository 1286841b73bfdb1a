"""Pictures are part of the work: who is killed while drawing does not leave a block without them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import undefer

import workers.attempt
from core.archive.definitions import register_definitions
from core.archive.models import Block
from core.archive.records import Work
from core.instruments.catalogue import qc1_definitions
from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.procedures.run import ENVIRONMENT, make_plots, procedure_of
from workers.execute import BlockExecutor
from workers.outcome import Outcome
from workers.planning import Planner

KILLS = "CASCADE_TEST_KILLS"  # a directory: the number of its entries is how often somebody was killed
VICTIM = "CASCADE_TEST_VICTIM"  # child or drawer
TIMES = "CASCADE_TEST_TIMES"


def _of_all(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    """A picture; the first drawers are killed, or the child whose they are (the first of its group)."""
    kills = Path(os.environ[KILLS])
    count = len(list(kills.iterdir()))
    if count < int(os.environ[TIMES]):
        (kills / str(count)).touch()
        os.kill(os.getpgrp() if os.environ[VICTIM] == "child" else os.getpid(), signal.SIGKILL)
        signal.pause()
    path = folder / "all.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    return [PlotFile("all", "all", "", str(path), view_of="CUBE.fits")]


def _of_unit(block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    path = folder / f"unit-{unit}.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    return [PlotFile(f"unit-{unit}", "unit", "", str(path), unit)]


DYING = Procedure("MASTER_BIAS", _of_all, _of_unit)


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    kills = tmp_path / "kills"
    kills.mkdir()
    monkeypatch.setenv(KILLS, str(kills))
    monkeypatch.setenv(ENVIRONMENT, f"muse_bias={__name__}:DYING")
    procedure_of.cache_clear()
    yield monkeypatch
    procedure_of.cache_clear()


@pytest.mark.parametrize(("kills", "names"), [(1, ["all", "unit-1", "unit-2"]), (9, [])])
def test_a_child_that_is_killed_while_drawing_is_followed_by_one_that_draws(
    house: Any, dying: pytest.MonkeyPatch, kills: int, names: list[str]
) -> None:
    dying.setenv(VICTIM, "child")
    dying.setenv(TIMES, str(kills))
    dying.setattr(workers.attempt, "_DRAWINGS", 2)
    register_definitions(house.archive, qc1_definitions())
    Planner(house.archive, house.settings).plan_changes(wait_for_templates=False)
    bias = house.blocks()["muse_bias"]
    executor = BlockExecutor(house.archive, house.settings, threading.Event(), None)
    assert executor.execute(Work(bias.id)) is Outcome.DONE
    with house.archive.read() as session:
        block = session.scalars(select(Block).where(Block.id == bias.id).options(undefer(Block.plots))).one()
        assert [plot["name"] for plot in block.plots] == names, block.state_reason
        assert all(Path(plot["path"]).is_file() for plot in block.plots)
        assert [plot["view_of"] for plot in block.plots] == ["CUBE.fits", "", ""][: len(names)]
        assert block.tries == 1  # nothing was reduced again
        assert ("plots are missing" in block.state_reason) is not bool(names)


def test_a_drawer_that_is_killed_takes_no_picture_with_it(dying: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dying.setenv(VICTIM, "drawer")
    dying.setenv(TIMES, "2")
    products = {("MASTER_BIAS", unit): tmp_path / f"MASTER_BIAS-{unit:02d}.fits" for unit in (1, 2)}
    pictures = make_plots(ProcedureInput("b", "muse_bias", (), products, {}), tmp_path, 2)
    assert [plot.name for plot in pictures.plots] == ["all", "unit-1", "unit-2"]
    assert pictures.missing == ()
