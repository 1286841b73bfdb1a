"""Facts about verdicts: scores follow from what is there, doubt goes down the cascade, persons decide beside scores."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from core.archive import finishing, leases, orders
from core.archive.candidates import planning_products
from core.archive.definitions import register_parameters
from core.archive.models import Block, BlockInput, Event, Product, Score, setup_columns
from core.archive.records import BlockResult, NewProduct, NewQc1Value, Qc1Definition, Work
from core.archive.sessions import Archive
from core.archive.states import BlockState, InputKind, ProductState
from core.archive.verdicts import any_due, doubts, judge_due
from core.cascade.model import Quality
from core.instruments.muse.setup import SETUP
from core.qc1.axes import Position

RON = Qc1Definition("muse_bias", "master_ron", "QC.BIAS.MASTERn.RON", "count", axes=("unit", "quadrant"))
SETUP_COLUMNS = setup_columns(SETUP.of_values({"mode": "WFM-NOAO-N"}))
T0 = datetime(2026, 11, 2, 12, tzinfo=UTC)
GOOD, BAD = 2.5, 9.0  # limits of the read-out noise are 1 and 5


def add(archive: Archive, name: str, mjd: float, source: int | None = None, tag: str = "BIAS") -> int:
    recipe = {"BIAS": "muse_bias", "FLAT": "muse_flat", "ARC": "muse_wavecal"}[tag]
    with archive.write() as session:
        block = Block(
            name=name,
            group_key=name,
            recipe=recipe,
            recipe_version="1",
            tag=tag,
            night=date(2026, 11, 1),
            mjd_mid=mjd,
            n_raw=3,
            unit_mask=1,
            state=BlockState.READY,
            rules_hash="r",
            plan_signature=f"of {name}",
            signature=f"of {name}",
            **SETUP_COLUMNS,
        )
        if source is not None:
            role = "MASTER_BIAS" if tag == "FLAT" else "TRACE_TABLE"
            block.inputs = [BlockInput(role=role, kind=InputKind.PRODUCT, source_block_id=source, position=0)]
        session.add(block)
        session.flush()
        return block.id


def finish(
    archive: Archive, number: int, value: float | None, *, certify: bool = False, datamd5: str | None = None
) -> None:
    """Do a block that measures one read-out noise, or nothing."""
    with archive.write() as session:
        block = session.get_one(Block, number)
        tag = {"muse_bias": "MASTER_BIAS", "muse_flat": "TRACE_TABLE"}.get(block.recipe, "WAVECAL_TABLE")
        product = NewProduct(
            tag=tag,
            unit=1,
            path=f"/p/{block.name}.fits",
            size=1,
            sha256="0" * 64,
            mjd_obs=block.mjd_mid,
            mjd_mid=block.mjd_mid,
            night=block.night,
            header={"INS.MODE": "WFM-NOAO-N", "PRO.SCIENCE": False},
            datamd5=datamd5,
        )
        place = Position(unit=1, quadrant=1)
        measured = NewQc1Value("muse_bias", "master_ron", value or 0.0, block.mjd_mid, product.path, place)
        assert leases.claim_work(session, Work(number), owner="w", lease_seconds=60.0, now=T0)
        result = BlockResult((product,), () if value is None else (measured,))
        finishing.finish_block(session, Work(number), result, owner="w", certify=certify, now=T0)


def settle(archive: Archive, *, certify: bool = False) -> None:
    while True:
        with archive.write() as session:
            if not any_due(session):
                return
            judge_due(session, certify=certify, actor="test", limit=3, now=T0)


def verdict(archive: Archive, number: int) -> tuple[int | None, bool]:
    with archive.read() as session:
        block = session.get_one(Block, number)
        return block.score, block.doubtful


def quality(archive: Archive, tag: str, name: str) -> tuple[Quality, str]:
    with archive.read() as session:
        found = planning_products(session, {tag: (0.0, 99999.0)})
    return next((item.quality, item.doubt) for item in found if item.id == f"{name}/{tag}")


def judge(archive: Archive, name: str, state: ProductState) -> None:
    with archive.write() as session:
        block = session.scalars(select(Block).where(Block.name == name)).one()
        orders.judge_block(session, block.id, state, actor="astronomer", comment="seen")


@pytest.fixture
def ready(archive: Archive) -> Archive:
    with archive.write() as session:
        register_parameters(session, [RON])
    return archive


@contextmanager
def fresh(migrated: Path) -> Iterator[Archive]:
    with TemporaryDirectory() as folder:
        archive = Archive(f"sqlite:///{shutil.copy(migrated, folder)}")
        with archive.write() as session:
            register_parameters(session, [RON])
        try:
            yield archive
        finally:
            archive.dispose()


def all_scores(archive: Archive) -> list[tuple[Any, ...]]:
    columns = (Block.name, Block.score, Block.n_outliers, Score.rule, Score.value, Score.low, Score.high, Score.score)
    with archive.read() as session:
        rows = session.execute(select(*columns).outerjoin(Score, Score.block_id == Block.id))
        return sorted((tuple(row) for row in rows), key=repr)


VALUES = st.lists(st.sampled_from([2.4, 2.45, 2.5, 2.55, 2.6, 3.4, BAD]), min_size=9, max_size=13)


@settings(max_examples=12, deadline=None)
@given(values=VALUES, data=st.data())
def test_any_order_of_finishing_gives_the_same_scores(migrated_sqlite: Path, values: list[float], data: Any) -> None:
    numbers = range(len(values))
    order = data.draw(st.permutations(list(numbers)))
    settled_between = data.draw(st.sets(st.sampled_from(list(numbers))))
    found = []
    for way in (list(numbers), order):
        with fresh(migrated_sqlite) as archive:
            ids = {n: add(archive, f"b{n:02d}", 61000.0 + 5 * n) for n in numbers}
            for n in way:
                finish(archive, ids[n], values[n])
                if n in settled_between:
                    settle(archive)
            settle(archive)
            found.append(all_scores(archive))
    assert found[0] == found[1]
    assert any(row[3] == "statistical-1" and row[7] is not None for row in found[0])


def test_a_value_that_comes_in_late_has_later_blocks_scored_again(ready: Archive) -> None:
    ids = [add(ready, f"b{n}", 61000.0 + n) for n in range(9)]
    for number in ids[1:]:
        finish(ready, number, GOOD)
    settle(ready)
    last = select(Score.score).where(Score.block_id == ids[-1], Score.rule == "statistical-1")
    with ready.read() as session:
        assert session.scalar(last) is None  # 7 of at least 8 values
    finish(ready, ids[0], GOOD)
    settle(ready)
    with ready.read() as session:
        assert session.scalar(last) == 0


def test_doubt_goes_down_the_cascade_and_planning_knows_it(ready: Archive) -> None:
    bias = add(ready, "bias", 61000.0)
    flat = add(ready, "flat", 61000.1, bias, "FLAT")
    arc = add(ready, "arc", 61000.2, flat, "ARC")
    finish(ready, bias, BAD)
    finish(ready, flat, None)
    finish(ready, arc, None)
    assert [verdict(ready, n) for n in (bias, flat, arc)] == [(1, False), (None, True), (None, True)]
    assert quality(ready, "MASTER_BIAS", "bias") == (Quality.DOUBTFUL, "1 outlier")
    assert quality(ready, "TRACE_TABLE", "flat") == (Quality.DOUBTFUL, "made with doubtful calibrations")
    with ready.read() as session:
        (doubt,) = doubts(session, flat)
        assert doubt.source is not None
        assert (doubt.role, doubt.source.name, doubt.reason) == ("MASTER_BIAS", "bias", "1 outlier")
        assert session.scalars(select(Event.subject).where(Event.kind == "doubt").order_by(Event.id)).all() == [
            "bias",
            "flat",
            "arc",
        ]


def test_a_person_takes_the_doubt_away_and_raises_it_and_the_score_stays(ready: Archive) -> None:
    bias = add(ready, "bias", 61000.0)
    flat = add(ready, "flat", 61000.1, bias, "FLAT")
    arc = add(ready, "arc", 61000.2, flat, "ARC")
    for number, value in ((bias, BAD), (flat, None), (arc, None)):
        finish(ready, number, value)
    judge(ready, "bias", ProductState.CERTIFIED)
    settle(ready)
    assert [verdict(ready, n) for n in (bias, flat, arc)] == [(1, False), (None, False), (None, False)]
    assert quality(ready, "MASTER_BIAS", "bias") == (Quality.CERTIFIED, "")
    judge(ready, "bias", ProductState.REJECTED)
    settle(ready)
    assert [verdict(ready, n) for n in (flat, arc)] == [(None, True), (None, True)]
    with ready.read() as session:
        product = session.scalars(select(Product).where(Product.block_id == bias)).one()
        events = session.scalars(select(Event).where(Event.kind == "product").order_by(Event.id)).all()
    assert (product.state, product.judge) == (ProductState.REJECTED, "astronomer")
    assert [(e.actor, e.from_state, e.to_state, e.text) for e in events] == [
        ("astronomer", "provisional", "certified", "seen"),
        ("astronomer", "certified", "rejected", "seen"),
    ]


@pytest.mark.parametrize(
    ("value", "certify", "state", "judge_name"),
    [
        (GOOD, True, ProductState.CERTIFIED, "automatic"),
        (GOOD, False, ProductState.PROVISIONAL, None),
        (BAD, True, ProductState.PROVISIONAL, None),
        (None, True, ProductState.PROVISIONAL, None),  # nothing was scored
    ],
)
def test_good_calibrations_are_certified_by_their_scores(
    ready: Archive, value: float | None, certify: bool, state: ProductState, judge_name: str | None
) -> None:
    bias = add(ready, "bias", 61000.0)
    finish(ready, bias, value, certify=certify)
    with ready.read() as session:
        product = session.scalars(select(Product)).one()
    assert (product.state, product.judge) == (state, judge_name)


def test_scores_certify_no_less_and_no_more_than_before_in_the_eyes_of_a_plan(ready: Archive) -> None:
    finish(ready, add(ready, "bias", 61000.0), GOOD, certify=True)
    assert quality(ready, "MASTER_BIAS", "bias") == (Quality.PROVISIONAL, "")


def test_what_scores_certified_they_take_back_and_what_a_person_decided_they_leave(ready: Archive) -> None:
    history = [add(ready, f"b{n}", 61000.0 + n) for n in range(8)]
    odd, kept = add(ready, "odd", 61020.0), add(ready, "kept", 61021.0)
    for number in (odd, kept):
        finish(ready, number, 4.0, certify=True)
    judge(ready, "kept", ProductState.CERTIFIED)
    for number in history:
        finish(ready, number, GOOD, certify=True)
    settle(ready, certify=True)
    with ready.read() as session:
        states = dict(
            session.execute(select(Product.path, Product.state).where(Product.block_id.in_((odd, kept)))).all()
        )
    assert [verdict(ready, n) for n in (odd, kept)] == [(1, False), (1, False)]
    assert states == {"/p/odd.fits": ProductState.PROVISIONAL, "/p/kept.fits": ProductState.CERTIFIED}


@pytest.mark.parametrize(("again", "state"), [("a", ProductState.REJECTED), ("b", ProductState.PROVISIONAL)])
def test_what_was_rejected_stays_so_when_it_is_done_again_with_the_same_data(
    ready: Archive, again: str, state: ProductState
) -> None:
    bias = add(ready, "bias", 61000.0)
    finish(ready, bias, GOOD, datamd5="a")
    judge(ready, "bias", ProductState.REJECTED)
    with ready.write() as session:
        orders.rerun_block(session, bias, actor="astronomer")
    finish(ready, bias, GOOD, datamd5=again)
    with ready.read() as session:
        assert session.scalars(select(Product.state)).one() is state
