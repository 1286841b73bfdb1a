"""Blocks of which some IFUs fail: the good ones are kept, the others named, dependants leave them out."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import undefer

import workers.attempt
from core.archive.definitions import register_definitions
from core.archive.leases import end_lease, release_expired_leases
from core.archive.models import Block, Product, Qc1Value
from core.archive.orders import rerun_block
from core.archive.queries import BlockTask
from core.archive.records import LostUnit, Work
from core.archive.states import BlockState, ProductState
from core.instruments.catalogue import qc1_definitions
from core.recipes.muse.units import ifu_part
from core.recipes.results import PartFailure, RecipeFailedError, RunResult
from workers.execute import BlockExecutor
from workers.interrupts import LeaseLost
from workers.outcome import Outcome
from workers.planning import Planner
from workers.runner import run_until_idle
from workers.verdict import judge

# A file of this test has a primary header, then one extension of about 103 kB for each of IFUs 1 and 2.
TAIL = 20_000


@pytest.fixture
def planned(house: Any) -> Any:
    """The small night, planned and not yet executed."""
    register_definitions(house.archive, qc1_definitions())
    Planner(house.archive, house.settings).plan_changes(wait_for_templates=False)
    return house


@contextmanager
def broken_ifu_2(house: Any) -> Iterator[None]:
    """The biases lack the end of their last IFU for a while."""
    paths = sorted(house.raw.iterdir())[1:5]
    whole = {path: path.read_bytes() for path in paths}
    for path, content in whole.items():
        path.write_bytes(content[:-TAIL])
    yield
    for path, content in whole.items():
        path.write_bytes(content)


def products(house: Any) -> list[tuple[str, int | None]]:
    query = select(Product).where(Product.state != ProductState.SUPERSEDED).order_by(Product.tag, Product.unit)
    return [(row.tag, row.unit) for row in house.rows(query)]


def test_the_good_ifus_are_kept_and_dependants_leave_the_failed_one_out(planned: Any) -> None:
    with broken_ifu_2(planned):
        summary = run_until_idle(planned.archive, planned.settings)
    assert list(summary.outcomes.values()) == [Outcome.PARTIAL, Outcome.DONE]
    bias, dark = planned.blocks()["muse_bias"], planned.blocks()["muse_dark"]
    assert (bias.state, bias.failed_units, bias.skipped_units, bias.tries) == (BlockState.DONE, (2,), (), 1)
    (lost,) = bias.lost_units
    assert lost["error_type"] == "bad_fits"
    assert sorted(planned.raw.iterdir())[1].name in lost["message"]
    assert (dark.state, dark.failed_units, dark.skipped_units) == (BlockState.DONE, (), (2,))
    assert (
        f"there is no MASTER_BIAS of this IFU, as of block {bias.name}: IFU 2 failed" in dark.lost_units[0]["message"]
    )
    assert products(planned) == [("MASTER_BIAS", 1), ("MASTER_DARK", 1)]
    assert set(planned.rows(select(Qc1Value.unit))) == {1}
    with planned.archive.read() as session:
        plots = session.scalars(select(Block).where(Block.id == dark.id).options(undefer(Block.plots))).one().plots
    assert [plot["name"] for plot in plots] == ["dark1", "dark0-01"]
    assert "IFU 2 failed: " in Path(bias.log_path).read_text()
    assert "IFU 2 skipped: " in Path(dark.log_path).read_text()
    # the same work is not done again, and no plan wants it otherwise
    assert run_until_idle(planned.archive, planned.settings).outcomes == {}
    assert Planner(planned.archive, planned.settings).plan_changes(wait_for_templates=False).unchanged == (
        bias.name,
        dark.name,
    )


def test_run_again_with_whole_frames_it_is_made_up_for_and_so_is_what_depends_on_it(planned: Any) -> None:
    with broken_ifu_2(planned):
        run_until_idle(planned.archive, planned.settings)
    bias = planned.blocks()["muse_bias"]
    with planned.archive.write() as session:
        assert rerun_block(session, bias.id, actor="astronomer") is BlockState.READY
    summary = run_until_idle(planned.archive, planned.settings)
    assert summary.outcomes == {block.name: Outcome.DONE for block in planned.blocks().values()}
    assert products(planned) == [("MASTER_BIAS", 1), ("MASTER_BIAS", 2), ("MASTER_DARK", 1), ("MASTER_DARK", 2)]
    assert all(block.lost_units == [] for block in planned.blocks().values())
    assert {block.name for block in planned.blocks().values()} == set(summary.outcomes)  # no new version of any


def test_an_ifu_that_a_later_run_loses_has_no_product_any_more(planned: Any) -> None:
    executor = BlockExecutor(planned.archive, planned.settings, threading.Event())
    number = planned.blocks()["muse_bias"].id
    assert executor.execute(Work(number)) is Outcome.DONE
    with planned.archive.write() as session:
        rerun_block(session, number, actor="astronomer")
    with broken_ifu_2(planned):
        assert executor.execute(Work(number)) is Outcome.PARTIAL
    assert products(planned) == [("MASTER_BIAS", 1)]


def test_a_crash_before_the_commit_keeps_what_is_known_of_the_lost_ifus(
    planned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = BlockExecutor(planned.archive, planned.settings, threading.Event())
    number = planned.blocks()["muse_bias"].id

    def die(*_: object, **__: object) -> None:
        raise LeaseLost("the machine went off")

    with broken_ifu_2(planned), monkeypatch.context() as patch:
        patch.setattr(workers.attempt, "finish_block", die)
        assert executor.execute(Work(number)) is Outcome.LOST
    with planned.archive.write() as session:
        end_lease(session, Work(number), session.get_one(Block, number).lease_owner)
        assert release_expired_leases(session, actor="test") == [Work(number)]
    assert executor.execute(Work(number)) is Outcome.PARTIAL
    block = planned.blocks()["muse_bias"]
    assert "of an earlier try are complete: adopted" in Path(block.log_path).read_text()
    assert block.failed_units == (2,)
    assert products(planned) == [("MASTER_BIAS", 1)]


def test_a_block_without_any_calibration_fails_and_names_them(planned: Any, raw_night: Path) -> None:
    with broken_ifu_2(planned):
        run_until_idle(planned.archive, planned.settings)
    dark = planned.blocks()["muse_dark"]
    with planned.archive.write() as session:
        bias = session.get_one(Block, planned.blocks()["muse_bias"].id)
        for product in bias.products:
            product.unit = 3  # none of IFUs 1 and 2 is left
        rerun_block(session, dark.id, actor="astronomer")
    assert BlockExecutor(planned.archive, planned.settings, threading.Event()).execute(Work(dark.id)) is Outcome.FAILED
    dark = planned.blocks()["muse_dark"]
    assert dark.error_type == "missing_input"
    assert "no IFU has all calibrations: IFU 1 skipped" in dark.error_message
    shutil.rmtree(planned.settings.product_dir)


# -- the verdict on a run ---------------------------------------------------------------------------------------


@pytest.fixture
def make_task(planned: Any) -> Callable[..., BlockTask]:
    """The task of the bias block with other values."""
    from dataclasses import replace

    from core.archive.queries import block_task

    with planned.archive.read() as session:
        task = block_task(session, planned.blocks()["muse_bias"].id)
    return lambda **values: replace(task, **{"tries": 1, "units": (1, 2, 3), **values})


def failure(unit: int, kind: str = "data", *, retriable: bool = False) -> PartFailure:
    return PartFailure(ifu_part(unit), kind, f"{kind} of {unit}", retriable)


def run_result(
    reduced: Iterable[int] = (), failures: Iterable[PartFailure] = (), skipped: Iterable[PartFailure] = ()
) -> RunResult:
    return RunResult(reduced=tuple(map(ifu_part, reduced)), failures=tuple(failures), skipped=tuple(skipped))


def test_good_ifus_are_kept_with_the_reason_for_each_other(make_task: Callable[..., BlockTask]) -> None:
    lacking = (LostUnit(3, failed=False, error_type="missing_input", message="no bias"),)
    task = make_task(units=(1, 2, 3, 4, 5), lacking=lacking, parameters={})
    result = run_result(
        failures=[failure(2), failure(9)], skipped=[failure(4, "chip_not_live")], reduced=[1, 7]
    )  # 7 and 9 are not in all raw frames
    verdict = judge(task, result)
    assert verdict.good == (1,)
    assert [(entry.unit, entry.failed, entry.error_type) for entry in verdict.lost] == [
        (2, True, "data"),
        (3, False, "missing_input"),
        (4, False, "chip_not_live"),
        (5, True, "missing_input"),
    ]
    assert verdict.text.startswith("IFU 2 failed: data of 2; IFU 3 skipped: no bias; ")


def test_a_failure_from_outside_is_worth_another_try_as_long_as_there_are_tries(
    make_task: Callable[..., BlockTask],
) -> None:
    result = run_result(failures=[failure(1), failure(2, "retriable", retriable=True)], reduced=[3])
    with pytest.raises(RecipeFailedError, match=r"^IFU 2 failed: retriable of 2; IFU 1") as raised:
        judge(make_task(tries=1, max_tries=2), result)
    assert (raised.value.retriable, raised.value.error_type) == (True, "retriable")
    verdict = judge(make_task(tries=2, max_tries=2), result)
    assert verdict.good == (3,)
    assert [entry.unit for entry in verdict.lost if entry.failed] == [1, 2]


def test_a_person_may_reduce_one_ifu_only(make_task: Callable[..., BlockTask]) -> None:
    verdict = judge(make_task(parameters={"nifu": 2}), run_result(reduced=[2]))
    assert verdict.good == (2,)
    assert {(entry.failed, entry.error_type) for entry in verdict.lost} == {(False, "not_asked_for")}


@pytest.mark.parametrize("retriable", [True, False])
def test_without_a_good_ifu_the_block_fails(make_task: Callable[..., BlockTask], retriable: bool) -> None:
    result = run_result(failures=[failure(unit, "x", retriable=retriable) for unit in (1, 2, 3)])
    with pytest.raises(RecipeFailedError) as raised:
        judge(make_task(tries=5, max_tries=5), result)
    assert raised.value.retriable is retriable


def test_if_all_detectors_were_off_the_block_fails_and_says_so(make_task: Callable[..., BlockTask]) -> None:
    result = run_result(skipped=[failure(unit, "chip_not_live") for unit in (1, 2, 3)])
    with pytest.raises(RecipeFailedError, match="IFU 1 skipped: chip_not_live of 1") as raised:
        judge(make_task(), result)
    assert (raised.value.error_type, raised.value.retriable) == ("chip_not_live", False)
