"""A block's life at random: whatever dispatcher, workers, planner and persons do, in any order, the archive holds."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from core.archive import finishing, leases, orders, transitions
from core.archive.candidates import planning_frames, planning_products
from core.archive.leases import LeaseAnswer
from core.archive.models import Block, BlockInput, Event, Frame, Product, setup_columns
from core.archive.planning import save_plan
from core.archive.records import BlockResult, NewProduct, Work
from core.archive.sessions import Archive
from core.archive.states import BLOCK_CHANGES, BlockState, InputKind, ProductState
from core.cascade.plan import make_plan
from core.errors import StateConflictError
from core.instruments.muse.setup import SETUP
from core.instruments.plans import calibration_plan

RULES = calibration_plan("MUSE")
NIGHT = date(2026, 11, 1)
START = datetime(2026, 11, 2, 8, tzinfo=UTC)
EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
VERSIONS = {"muse_bias": "1", "muse_dark": "1", "muse_flat": "1", "muse_wavecal": "1"}
MASTERS = {"muse_bias": ("MASTER_BIAS",), "muse_flat": ("MASTER_FLAT", "TRACE_TABLE")}
LEASE = 60.0  # [s]
MAX_TRIES = 2

PICK = st.integers(0, 4)  # any block, or product, modulo how many there are
WORKER = st.sampled_from(("w1", "w2", "w3"))


class BlockLife(RuleBasedStateMachine):
    """Bias and flat templates arrive, are planned and executed; the model knows who holds which block until when."""

    make_archive: Callable[[], Archive]

    def __init__(self) -> None:
        super().__init__()
        self.archive = type(self).make_archive()
        self.now = datetime(2026, 11, 3, tzinfo=UTC)
        self.holders: dict[int, tuple[str, datetime]] = {}
        self.templates = 0
        self.runs = 0

    def teardown(self) -> None:
        self.archive.dispose()

    # -- what happens --------------------------------------------------------------------------------------------------
    @initialize()
    def a_night(self) -> None:
        self.arrive("BIAS")
        self.arrive("FLAT")
        self.plan()

    @precondition(lambda self: self.templates < 5)
    @rule(tag=st.sampled_from(("BIAS", "FLAT")))
    def arrive(self, tag: str) -> None:
        start = START + timedelta(hours=self.templates)
        self.templates += 1
        with self.archive.write() as session:
            session.add_all(_frame(tag, start, number) for number in range(3))

    @rule()
    def plan(self) -> None:
        with self.archive.read() as session:
            frames = planning_frames(session, NIGHT, NIGHT)
            products = planning_products(session, dict.fromkeys(RULES.input_tags, (61300.0, 61400.0)))
        plan = make_plan(RULES, frames, products)
        with self.archive.write() as session:
            save_plan(session, plan, recipe_versions=VERSIONS, max_tries=MAX_TRIES, now=self.now)

    @rule(seconds=st.sampled_from((1.0, LEASE / 2, 2 * LEASE)))
    def time_goes_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(pick=PICK)
    def queue(self, pick: int) -> None:
        self._change(transitions.queue_work, pick, actor="dispatch")

    @rule()
    def resend(self) -> None:
        with self.archive.write() as session:
            transitions.requeue_stale(session, older_than=LEASE, actor="dispatch", now=self.now)

    @rule(pick=PICK, worker=WORKER)
    def claim(self, pick: int, worker: str) -> None:
        number = self._block(pick)
        if self._change(leases.claim_work, pick, owner=worker, lease_seconds=LEASE):
            assert number not in self.holders, "two workers hold the block"
            self.holders[number] = (worker, self.now + timedelta(seconds=LEASE))

    @rule(pick=PICK, worker=WORKER)
    def heartbeat(self, pick: int, worker: str) -> None:
        number = self._block(pick)
        answer = self._change(leases.heartbeat, pick, owner=worker, lease_seconds=LEASE)
        assert (answer is not LeaseAnswer.LOST) == self._holds(number, worker)
        if answer is not LeaseAnswer.LOST:
            self.holders[number] = (worker, self.now + timedelta(seconds=LEASE))

    @rule(pick=PICK, worker=WORKER, retriable=st.booleans())
    def fail(self, pick: int, worker: str, retriable: bool) -> None:
        values = {"error_type": "data", "message": "no light", "retriable": retriable, "retry_seconds": 5.0}
        self._give_up(leases.fail_work, pick, worker, **values)

    @rule(pick=PICK, worker=WORKER)
    def release(self, pick: int, worker: str) -> None:
        self._give_up(leases.release_work, pick, worker, reason="told to stop")

    @rule(pick=PICK, worker=WORKER)
    def confirm_cancel(self, pick: int, worker: str) -> None:
        self._give_up(leases.confirm_cancel, pick, worker)

    @rule(pick=PICK, worker=WORKER, changed=st.booleans())
    def finish(self, pick: int, worker: str, changed: bool) -> None:
        """Sometimes with other inputs than planned, and so with another signature: that of all such runs."""
        number = self._block(pick)
        with self.archive.read() as session:
            block = session.get_one(Block, number)
        self.runs += 1
        signature = f"{block.recipe} as it came" if changed else None
        self._give_up(finishing.finish_block, pick, worker, result=_result(block, self.runs, signature))

    @rule(pick=PICK)
    def a_worker_does_it(self, pick: int) -> None:
        """The usual way, which chance alone takes too seldom."""
        self.claim(pick, "w1")
        self.finish(pick, "w1", changed=False)

    @rule()
    def expire(self) -> None:
        silent = {number for number, (_, until) in self.holders.items() if until < self.now}
        with self.archive.write() as session:
            released = leases.release_expired_leases(session, actor="dispatch", now=self.now)
        assert set(released) == {Work(number) for number in silent}
        for number in silent:
            del self.holders[number]

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        self._order(orders.cancel_block, pick)

    @rule(pick=PICK)
    def run_again(self, pick: int) -> None:
        self._order(orders.rerun_block, pick)

    @rule(pick=PICK, state=st.sampled_from((ProductState.REJECTED, ProductState.CERTIFIED)))
    def judge(self, pick: int, state: ProductState) -> None:
        """A product is withdrawn (or certified): the next plan does without it."""
        with self.archive.write() as session:
            numbers = session.scalars(
                select(Product.id).where(Product.state != ProductState.SUPERSEDED).order_by(Product.id)
            ).all()
            if numbers:
                orders.set_product_state(session, numbers[pick % len(numbers)], state, actor="astronomer")

    # -- what always holds ---------------------------------------------------------------------------------------------
    @invariant()
    def who_runs_a_block_holds_it_alone(self) -> None:
        running = {block.id: block.lease_owner for block in self._blocks() if block.state is BlockState.RUNNING}
        assert running == {number: worker for number, (worker, _) in self.holders.items()}
        assert all(block.lease_owner is None for block in self._blocks() if block.id not in running)

    @invariant()
    def work_is_done_once(self) -> None:
        signatures = Counter(block.signature for block in self._blocks() if block.state is BlockState.DONE)
        assert max(signatures.values(), default=1) == 1
        current = Counter(block.group_key for block in self._blocks() if block.state is not BlockState.SUPERSEDED)
        assert max(current.values(), default=1) == 1

    @invariant()
    def tries_are_bounded(self) -> None:
        for block in self._blocks():
            assert 0 <= block.tries <= block.max_tries
            assert block.state not in (BlockState.READY, BlockState.QUEUED) or block.tries < block.max_tries

    @invariant()
    def every_change_is_an_event(self) -> None:
        with self.archive.read() as session:
            events = session.execute(
                select(Event.subject, Event.from_state, Event.to_state)
                .where(Event.kind == "block", Event.to_state.is_not(None))
                .order_by(Event.id)
            ).all()
        last: dict[str, str] = {}
        for name, old, new in events:
            assert old == last.get(name), name
            assert old is None or BlockState(new) in BLOCK_CHANGES[BlockState(old)], (name, old, new)
            last[name] = new
        assert last == {block.name: str(block.state) for block in self._blocks()}

    @invariant()
    def blocks_are_ready_exactly_when_their_inputs_exist(self) -> None:
        with self.archive.read() as session:
            rows = session.scalars(select(BlockInput).order_by(BlockInput.id)).all()
        states = {block.id: block.state for block in self._blocks()}
        for block in self._blocks():
            inputs = [row for row in rows if row.block_id == block.id]
            planned = [row for row in inputs if row.kind is InputKind.PLANNED]
            missing = any(row.kind is InputKind.MISSING and row.required for row in inputs)
            if block.state is BlockState.WAITING:
                assert planned, block.name
                assert all(states[row.source_block_id] is not BlockState.DONE for row in planned), block.name
            elif block.state is BlockState.INCOMPLETE:
                assert missing, block.name
            elif block.state in (BlockState.READY, BlockState.QUEUED, BlockState.RUNNING):
                assert not planned, block.name
                assert not missing, block.name

    # -- helpers -------------------------------------------------------------------------------------------------------
    def _blocks(self) -> list[Block]:
        with self.archive.read() as session:
            return list(session.scalars(select(Block).order_by(Block.id)))

    def _block(self, pick: int) -> int:
        blocks = self._blocks()
        return blocks[pick % len(blocks)].id

    def _holds(self, number: int, worker: str) -> bool:
        return self.holders.get(number, ("", None))[0] == worker

    def _change(self, change: Callable[..., Any], pick: int, **values: Any) -> Any:
        """Try a change in a transaction of its own; None if it does not fit the state of the block."""
        number = self._block(pick)
        try:
            with self.archive.write() as session:
                return change(session, Work(number), now=self.now, **values)
        except StateConflictError:
            return None

    def _order(self, order: Callable[..., Any], pick: int) -> Any:
        """A person's order; None if it does not fit the state of the block."""
        number = self._block(pick)
        try:
            with self.archive.write() as session:
                return order(session, number, now=self.now, actor="astronomer")
        except StateConflictError:
            return None

    def _give_up(self, change: Callable[..., Any], pick: int, worker: str, **values: Any) -> None:
        """Let a worker end its work on a block: nobody but the holder can."""
        number = self._block(pick)
        self._change(change, pick, owner=worker, **values)
        with self.archive.read() as session:
            state = session.get_one(Block, number).state
        if state is not BlockState.RUNNING:
            assert number not in self.holders or self._holds(number, worker)
            self.holders.pop(number, None)


def _frame(tag: str, start: datetime, number: int) -> Frame:
    moment = start + timedelta(minutes=number)
    mjd = (moment - EPOCH) / timedelta(days=1)
    name = f"MUSE.{moment:%Y-%m-%dT%H:%M:%S}.{tag}"
    return Frame(
        dp_id=name,
        file_name=f"{name}.fits",
        path=f"/raw/{name}.fits",
        size=1,
        mtime=1.0,
        dpr_catg="CALIB",
        dpr_type=tag,
        tag=tag,
        rule=tag.lower(),
        rules_version="1",
        night=NIGHT,
        date_obs=moment,
        mjd_obs=mjd,
        mjd_mid=mjd,
        exptime=0.0,
        tpl_start=start,
        tpl_nexp=3,
        unit_mask=3,
        **setup_columns(SETUP.of_values({"mode": "WFM-NOAO-N"})),
        header={},
    )


def _result(block: Block, run: int, signature: str | None) -> BlockResult:
    header = {"INS.MODE": "WFM-NOAO-N", "INS.OPTI1.NAME": "Blue", "DET.READ.CURID": 1}
    products = tuple(
        NewProduct(tag, unit, f"/p/{run}/{tag}-{unit}", 10, "0" * 64, block.mjd_mid, block.mjd_mid, NIGHT, header)
        for tag in MASTERS[block.recipe]
        for unit in (1, 2)
    )
    return BlockResult(products=products, signature=signature)


def _live(make_archive: Callable[[], Archive], examples: int, steps: int) -> None:
    machine = type("BlockLife", (BlockLife,), {"make_archive": staticmethod(make_archive)})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None)
    )


def test_a_life_on_sqlite(tmp_path: Path, migrated_sqlite: Path) -> None:
    def fresh() -> Archive:
        return Archive(f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'life.sqlite')}")

    _live(fresh, 12, 30)


def test_a_life_on_postgresql(postgres_database: Callable[[str | None], str], migrated_postgres: str) -> None:
    _live(lambda: Archive(postgres_database(migrated_postgres)), 2, 30)
