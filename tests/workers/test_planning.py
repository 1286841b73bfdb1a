"""Planning on the archive: idempotent, incremental, and quick to see withdrawn masters and failed blocks."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from sqlalchemy import func, select, update
from sqlalchemy.orm import undefer

import workers.planning
from core.archive.definitions import register_definitions
from core.archive.finishing import finish_block
from core.archive.frame_use import exclude_frame, include_frame
from core.archive.leases import claim_work, fail_work
from core.archive.models import Block, BlockInput, Event, Frame, Product, QuarantinedFile, setup_columns
from core.archive.orders import rerun_block, set_product_state
from core.archive.planning import plan_parts, save_plan
from core.archive.records import BlockResult, NewProduct, NewQc1Value, Work
from core.archive.requests import request_of, store_request
from core.archive.sessions import ArchiveUnavailableError
from core.archive.standing import blocks_with_stale_inputs
from core.archive.states import BlockState, FrameState, InputKind, ProductState, QuarantineReason
from core.archive.turns import PlanningBusyError, planning_turn
from core.cascade.explain import explain
from core.cascade.model import Request
from core.cascade.signature import signature_with
from core.errors import ParameterError, StateConflictError
from core.instruments.catalogue import qc1_definitions, recipe_versions
from core.qc1.axes import Position
from workers.hashing import Hasher
from workers.ingest import release
from workers.outcome import Outcome
from workers.planning import Planner, plan_nights, save_nights
from workers.requests import make_request, usual_request
from workers.runner import run_until_idle

NIGHT = date(2026, 11, 1)


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, make_house: Callable[..., Any]) -> Any:
    """The small night, ingested, on both kinds of databases."""
    url = ""
    if request.param == "postgresql":
        template = request.getfixturevalue("migrated_postgres")
        url = request.getfixturevalue("postgres_database")(template)
    made = make_house(database_url=url)
    made.ingest()
    return made


@pytest.fixture
def planner(house: Any) -> Planner:
    return Planner(house.archive, house.settings)


def plan(planner: Planner) -> Any:
    return planner.plan_changes(wait_for_templates=False)


def finish(house: Any, recipe: str, tag: str, noise: float | None = None) -> Block:
    """Pretend that a block was executed, with a read-out noise perhaps: the planner looks only at rows."""
    block = house.blocks()[recipe]
    products = tuple(
        NewProduct(
            tag=tag,
            unit=unit,
            path=f"/nowhere/{block.name}/{tag}-{unit:02d}.fits",
            size=1,
            sha256=f"{unit}" * 64,
            mjd_obs=block.mjd_mid,
            mjd_mid=block.mjd_mid,
            night=block.night,
            header={"INS.MODE": block.mode, "DET.READ.CURID": int(block.readout)},
        )
        for unit in block.units
    )
    with house.archive.write() as session:
        assert claim_work(session, Work(block.id), owner="test", lease_seconds=60)
        signature = signature_with(block.plan_signature, block.parameters)
        place = Position(unit=1, quadrant=1)
        values = (
            () if noise is None else (NewQc1Value("muse_bias", "master_ron", noise, block.mjd_mid, position=place),)
        )
        result = BlockResult(products=products, qc1_values=values, signature=signature)
        finish_block(session, Work(block.id), result, owner="test")
    return block


def let_time_pass(house: Any, seconds: float) -> None:
    """The frames came in earlier than they did."""
    with house.archive.write() as session:
        for frame in session.scalars(select(Frame)):
            frame.ingested_at -= timedelta(seconds=seconds)


def fail(house: Any, recipe: str) -> None:
    with house.archive.write() as session:
        number = house.blocks()[recipe].id
        assert claim_work(session, Work(number), owner="test", lease_seconds=60)
        fail_work(session, Work(number), owner="test", error_type="data", message="all dark", retriable=False)


def test_new_frames_become_blocks_and_planning_again_changes_nothing(house: Any, planner: Planner) -> None:
    saved = plan(planner)
    assert len(saved.created) == 2
    blocks = house.blocks()
    assert (blocks["muse_bias"].state, blocks["muse_dark"].state) == (BlockState.READY, BlockState.WAITING)
    assert plan(planner) is None
    again = Planner(house.archive, house.settings)  # a dispatcher that has just started
    assert len(plan(again).unchanged) == 2
    assert plan(again) is None
    _, saved = save_nights(house.archive, house.settings, {NIGHT})
    assert len(saved.unchanged) == 2
    assert saved.created == saved.changed == saved.superseded == ()


def test_a_plan_can_be_looked_at_without_saving(house: Any) -> None:
    text = explain(plan_nights(house.archive, house.settings, {NIGHT})).text
    assert "muse_dark on 3 DARK frames" in text
    assert "not processed: 1 ILLUM frame" in text
    assert house.blocks() == {}


def test_nights_without_frames_give_an_empty_plan(house: Any) -> None:
    assert plan_nights(house.archive, house.settings, {date(2020, 1, 1)}).blocks == ()
    assert plan_nights(house.archive, house.settings, set()).blocks == ()


def test_a_done_block_is_not_planned_again_and_serves_the_next(house: Any, planner: Planner) -> None:
    plan(planner)
    done = finish(house, "muse_bias", "MASTER_BIAS")
    assert plan(planner) is None
    assert house.blocks()["muse_dark"].state is BlockState.READY
    _, saved = save_nights(house.archive, house.settings, {NIGHT})
    assert set(saved.unchanged) == {done.name, house.blocks()["muse_dark"].name}


def test_a_block_that_is_done_while_a_plan_is_made_is_not_waited_for(house: Any, planner: Planner) -> None:
    plan(planner)
    of_before = plan_nights(house.archive, house.settings, [NIGHT])
    finish(house, "muse_bias", "MASTER_BIAS")
    assert house.blocks()["muse_dark"].state is BlockState.READY
    with house.archive.write() as session:
        save_plan(session, of_before, recipe_versions=recipe_versions())
    dark = house.blocks()["muse_dark"]
    assert dark.state is BlockState.READY
    kinds = house.rows(select(BlockInput.kind).where(BlockInput.block_id == dark.id, BlockInput.role == "MASTER_BIAS"))
    assert kinds == [InputKind.PRODUCT]


def test_a_late_frame_replaces_the_done_block_and_what_depends_on_it(
    make_house: Callable[..., Any], raw_night: Path
) -> None:
    house = make_house()
    late = sorted(house.raw.iterdir())[4]  # the last bias
    late.unlink()
    house.ingest()
    planner = Planner(house.archive, house.settings)
    plan(planner)
    first = finish(house, "muse_bias", "MASTER_BIAS")
    shutil.copy(raw_night / late.name, late)
    house.ingest()
    saved = plan(planner)
    assert saved.superseded == (first.name,)
    bias = house.blocks()["muse_bias"]
    assert (bias.n_raw, bias.plan_version, bias.group_key) == (4, 2, first.group_key)
    assert house.blocks()["muse_dark"].state is BlockState.WAITING
    assert plan(planner) is None


def test_a_frame_that_comes_while_its_block_runs_is_not_forgotten(
    make_house: Callable[..., Any], raw_night: Path
) -> None:
    house = make_house()
    late = sorted(house.raw.iterdir())[4]
    late.unlink()
    house.ingest()
    planner = Planner(house.archive, house.settings)
    plan(planner)
    block = house.blocks()["muse_bias"]
    with house.archive.write() as session:
        claim_work(session, Work(block.id), owner="test", lease_seconds=60)
    shutil.copy(raw_night / late.name, late)
    house.ingest()
    assert plan(planner).postponed == (block.name,)
    assert plan(planner) is None  # it still runs
    with house.archive.write() as session:
        finish_block(session, Work(block.id), BlockResult(), owner="test")
    saved = plan(planner)
    assert saved.superseded == (block.name,)
    assert house.blocks()["muse_bias"].n_raw == 4


def write_again(house: Any, tag: str, change: bytes | None) -> None:
    """Deliver the first raw file of a tag again, with other pixels or as it was."""
    path = Path(house.scalar(select(Frame.path).where(Frame.tag == tag).order_by(Frame.id).limit(1)))
    content = path.read_bytes()
    if change is not None:
        assert content[-2880 * 3 :][: len(change)] != change
        content = content[: -2880 * 3] + change + content[-2880 * 3 + len(change) :]
    path.write_bytes(content)
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 100))
    house.ingest()


def test_hashes_that_become_known_change_no_plan(house: Any, planner: Planner) -> None:
    plan(planner)
    finish(house, "muse_bias", "MASTER_BIAS")
    Hasher(house.archive).round(threading.Event())
    assert house.scalar(select(func.count()).where(Frame.sha256.is_(None)).select_from(Frame)) == 0
    assert plan(planner) is None
    write_again(house, "BIAS", None)
    Hasher(house.archive).round(threading.Event())
    assert len(plan(planner).unchanged) == 2


def test_a_file_that_comes_again_with_other_content_is_reduced_again(house: Any, planner: Planner) -> None:
    plan(planner)
    bias = finish(house, "muse_bias", "MASTER_BIAS")
    dark = finish(house, "muse_dark", "MASTER_DARK")
    Hasher(house.archive).round(threading.Event())
    plan(planner)
    write_again(house, "BIAS", b"other pixels")
    assert len(plan(planner).unchanged) == 2  # nobody knows yet: the size is the same
    Hasher(house.archive).round(threading.Event())
    saved = plan(planner)
    assert set(saved.superseded) == {bias.name, dark.name}
    assert plan(planner) is None


def change_pixels(house: Any, tag: str) -> Path:
    """Write the first raw file of a tag again, with checksums, as it comes out of a bad transfer; it stays as long."""
    path = Path(house.scalar(select(Frame.path).where(Frame.tag == tag).order_by(Frame.id).limit(1)))
    with fits.open(path, mode="update") as hdus:
        for hdu in hdus:
            hdu.add_checksum()
    whole = path.read_bytes()
    path.write_bytes(whole[:-2880] + bytes(1440) + b"bad" * 480)
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 100))
    house.ingest()
    path.with_suffix(".whole").write_bytes(whole)
    return path


def test_a_damaged_file_is_told_left_out_and_taken_again_when_it_is_whole(house: Any, planner: Planner) -> None:
    plan(planner)
    bias = finish(house, "muse_bias", "MASTER_BIAS")
    path = change_pixels(house, "BIAS")
    Hasher(house.archive).round(threading.Event())
    frame = house.scalar(select(Frame).where(Frame.path == str(path)))
    held = house.scalar(select(QuarantinedFile))
    assert (frame.state, held.reason, held.text) == (FrameState.DAMAGED, QuarantineReason.DAMAGED, frame.state_reason)
    assert frame.state_reason.startswith("DATASUM of CHAN")
    assert bias.name in plan(planner).superseded
    assert house.blocks()["muse_bias"].n_raw == bias.n_raw - 1
    assert house.ingest().stored == 0  # neither at the next scan nor when a person asks for it
    assert release(house.archive, house.settings, path, actor="test").held == {QuarantineReason.DAMAGED: 1}
    path.write_bytes(path.with_suffix(".whole").read_bytes())
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 300))
    report = house.ingest()
    assert (report.updated, report.released) == (1, 1)
    Hasher(house.archive).round(threading.Event())
    plan(planner)
    assert house.blocks()["muse_bias"].n_raw == bias.n_raw


def test_a_whole_copy_takes_the_place_of_a_damaged_file(house: Any, planner: Planner) -> None:
    path = change_pixels(house, "BIAS")
    Hasher(house.archive).round(threading.Event())
    copy = path.with_name("again.fits")
    copy.write_bytes(path.with_suffix(".whole").read_bytes())
    assert house.ingest().moved == 1
    Hasher(house.archive).round(threading.Event())
    frame = house.scalar(select(Frame).where(Frame.path == str(copy)))
    assert (frame.state, frame.state_reason) == (FrameState.PRESENT, "")


def test_a_frame_that_a_person_excludes_is_used_no_more_until_it_is_included(house: Any, planner: Planner) -> None:
    plan(planner)
    bias = finish(house, "muse_bias", "MASTER_BIAS")
    name = house.scalar(select(Frame.dp_id).where(Frame.tag == "BIAS").order_by(Frame.id).limit(1))
    with house.archive.write() as session:
        exclude_frame(session, name, actor="Ada", comment="light leak")
    assert bias.name in plan(planner).superseded
    assert house.blocks()["muse_bias"].n_raw == bias.n_raw - 1
    write_again(house, "BIAS", b"other pixels")  # a person's word outlives the file
    frame = house.scalar(select(Frame).where(Frame.dp_id == name))
    assert (frame.state, frame.state_reason) == (FrameState.EXCLUDED, "excluded by Ada: light leak")
    with house.archive.write() as session:
        include_frame(session, name, actor="Ada", comment="it was another one")
        with pytest.raises(StateConflictError, match="only one that was set aside"):
            include_frame(session, name, actor="Ada", comment="once more")
    plan(planner)
    assert house.blocks()["muse_bias"].n_raw == bias.n_raw


def test_what_was_made_of_excluded_frames_only_is_withdrawn(house: Any, planner: Planner) -> None:
    plan(planner)
    bias = finish(house, "muse_bias", "MASTER_BIAS")
    finish(house, "muse_dark", "MASTER_DARK")
    with house.archive.write() as session:
        for name in session.scalars(select(Frame.dp_id).where(Frame.tag == "BIAS")).all():
            exclude_frame(session, name, actor="Ada", comment="all dark")
    assert house.scalar(select(Block.state).where(Block.name == bias.name)) is BlockState.SUPERSEDED
    plan(planner)
    assert house.blocks()["muse_dark"].state is BlockState.INCOMPLETE


def test_an_archive_of_an_older_program_is_planned_as_it_is(house: Any, planner: Planner) -> None:
    plan(planner)
    finish(house, "muse_bias", "MASTER_BIAS")
    signed = {name: block.plan_signature for name, block in house.blocks().items()}
    with house.archive.write() as session:
        for block in session.scalars(select(Block)):
            block.plan_signature = block.signature = f"old {block.id}"
            block.signature_scheme = 1
        session.execute(update(BlockInput).values(content=None))
    saved = plan(Planner(house.archive, house.settings))
    assert len(saved.unchanged) == 2
    assert (saved.created, saved.changed, saved.superseded) == ((), (), ())
    assert {name: block.plan_signature for name, block in house.blocks().items()} == signed


def test_what_is_requested_of_a_night_stays_with_it(
    house: Any, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(planner)
    wanted = make_request(inputs=["MASTER_DARK"], older_only=True)
    with house.archive.write() as session:
        assert store_request(session, NIGHT, wanted, actor="astronomer")
        assert not store_request(session, NIGHT, wanted, actor="astronomer")
    seen: list[Request] = []
    make_plan = workers.planning.make_plan

    def spy(rules: Any, frames: Any, products: Any, options: Any) -> Any:
        seen.append(options.wanted(NIGHT.isoformat()))
        return make_plan(rules, frames, products, options)

    monkeypatch.setattr(workers.planning, "make_plan", spy)
    assert plan(planner) is not None  # the automatic planner hears of it, and keeps to it
    assert set(seen) == {wanted}
    assert plan(planner) is None
    with house.archive.write() as session:
        store_request(session, NIGHT, make_request(), actor="astronomer")
        assert request_of(session, NIGHT) == Request()
    seen.clear()
    assert plan(planner) is not None
    assert set(seen) == {Request()}


def test_what_the_settings_want_is_wanted_of_every_night(make_house: Callable[..., Any]) -> None:
    house = make_house(with_inputs="MASTER_DARK", with_recipes="muse_lsf", older_only=True)
    assert usual_request(house.settings) == make_request(["muse_lsf"], ["MASTER_DARK"], older_only=True)
    with pytest.raises(ParameterError, match="muse_bias is no recipe on request; there are: muse_lsf"):
        make_request(["muse_bias"])
    with pytest.raises(ParameterError, match="there are: MASTER_DARK, MASTER_FLAT"):
        make_request(inputs=["MASTER_BIAS"])


def test_a_rejected_master_is_withdrawn_from_all_that_used_it(house: Any, planner: Planner) -> None:
    plan(planner)
    finish(house, "muse_bias", "MASTER_BIAS")
    dark = finish(house, "muse_dark", "MASTER_DARK")
    with house.archive.write() as session:
        number = session.scalar(select(Product.id).where(Product.tag == "MASTER_BIAS", Product.unit == 2))
        set_product_state(session, number, ProductState.REJECTED, actor="astronomer", text="light leak")
    saved = plan(planner)
    assert saved.superseded == (dark.name,)
    new = house.blocks()["muse_dark"]
    assert new.state is BlockState.INCOMPLETE
    assert "rejected" in new.state_reason
    with house.archive.read() as session:
        assert blocks_with_stale_inputs(session) == {}


@pytest.mark.parametrize(("noise", "near"), [(2.5, True), (9.0, False)])
def test_a_master_with_outliers_loses_against_a_good_one_before_it_is_taken(
    house: Any, planner: Planner, noise: float, near: bool
) -> None:
    register_definitions(house.archive, qc1_definitions())
    plan(planner)
    bias, dark = house.blocks()["muse_bias"], house.blocks()["muse_dark"]
    with house.archive.write() as session:
        for unit in bias.units:
            columns = setup_columns(bias.setup)
            name = f"M.MUSE.earlier-{unit:02d}.fits"
            older = {"mjd_obs": bias.mjd_mid - 0.1, "mjd_mid": bias.mjd_mid - 0.1, "night": bias.night}
            file = {"file_name": name, "path": f"/else/{name}", "size": 1, "sha256": f"{unit}" * 64}
            session.add(Product(tag="MASTER_BIAS", unit=unit, header={}, **older, **file, **columns))
    finish(house, "muse_bias", "MASTER_BIAS", noise)
    plan(planner)
    now = house.blocks()["muse_dark"]
    assert (now.id, now.state) == (dark.id, BlockState.READY)
    query = select(BlockInput).where(BlockInput.block_id == dark.id, BlockInput.role == "MASTER_BIAS")
    with house.archive.read() as session:
        chosen = session.scalars(query.options(undefer(BlockInput.refused))).all()[0]
        assert (chosen.source_block_id == bias.id) is near
        reasons = [entry["reason"] for entry in chosen.refused]
    doubt = "doubtful (1 outlier), and the chosen of the same level is not"
    assert (doubt in reasons) is not near


def test_a_failed_block_leaves_its_dependents_incomplete_until_it_is_run_again(house: Any, planner: Planner) -> None:
    plan(planner)
    fail(house, "muse_bias")
    plan(planner)
    dark = house.blocks()["muse_dark"]
    assert dark.state is BlockState.INCOMPLETE
    assert "all dark" in dark.state_reason
    assert plan(planner) is None
    with house.archive.write() as session:
        rerun_block(session, house.blocks()["muse_bias"].id, actor="astronomer")
    plan(planner)
    assert house.blocks()["muse_dark"].state is BlockState.WAITING
    finish(house, "muse_bias", "MASTER_BIAS")
    assert house.blocks()["muse_dark"].state is BlockState.READY


def test_other_parameters_of_a_master_renew_what_was_made_from_it(house: Any, planner: Planner) -> None:
    plan(planner)
    bias = finish(house, "muse_bias", "MASTER_BIAS")
    dark = finish(house, "muse_dark", "MASTER_DARK")
    assert plan(planner) is None
    with house.archive.write() as session:
        rerun_block(session, bias.id, actor="astronomer", parameters={"combine": "median"})
    saved = plan(planner)
    assert saved.superseded == (dark.name,)
    assert house.blocks()["muse_dark"].state is BlockState.WAITING
    finish(house, "muse_bias", "MASTER_BIAS")
    assert house.blocks()["muse_bias"].signature != bias.signature
    renewed = finish(house, "muse_dark", "MASTER_DARK")
    saved = plan(planner)
    assert saved is None or saved.superseded == ()
    # and back again
    with house.archive.write() as session:
        rerun_block(session, bias.id, actor="astronomer", parameters={})
    finish(house, "muse_bias", "MASTER_BIAS")
    assert plan(planner).superseded == (renewed.name,)


def test_templates_whose_frames_still_arrive_are_waited_for(make_house: Callable[..., Any]) -> None:
    house = make_house(frames=4, template_seconds=600)  # the illumination flat and 3 of 4 biases
    house.ingest()
    planner = Planner(house.archive, house.settings)
    planner.plan_changes()
    bias = house.blocks()["muse_bias"]
    assert bias.state is BlockState.INCOMPLETE
    assert bias.state_reason == "waits for frames: 3 of 4 exposures of the template have arrived"
    assert planner.plan_changes() is None
    let_time_pass(house, 601)
    planner.plan_changes()
    assert house.blocks()["muse_bias"].state is BlockState.READY


def test_a_dispatcher_that_was_restarted_remembers_what_waits_for_frames(
    make_house: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(frames=4, template_seconds=600)
    house.ingest()
    Planner(house.archive, house.settings).plan_changes()
    assert house.blocks()["muse_bias"].state is BlockState.INCOMPLETE
    let_time_pass(house, 601)
    monkeypatch.setattr("workers.planning._OVERLAP", timedelta(0))  # as if it had stood still for long
    Planner(house.archive, house.settings).plan_changes()
    assert house.blocks()["muse_bias"].state is BlockState.READY


@pytest.mark.parametrize("case", ["set back", "set back and restarted", "behind"])
def test_clocks_hide_no_frame(make_house: Callable[..., Any], raw_night: Path, case: str) -> None:
    house = make_house(frames=5)  # the illumination flat and the biases
    house.ingest()
    planner = Planner(house.archive, house.settings)
    plan(planner)
    assert "muse_dark" not in house.blocks()
    for path in raw_night.iterdir():
        shutil.copy(path, house.raw)
    before = house.scalar(select(func.max(Frame.id)))
    house.ingest()
    with house.archive.write() as session:
        if case == "behind":  # the clock of the machine that ingests
            for frame in session.scalars(select(Frame).where(Frame.id > before)):
                frame.ingested_at -= timedelta(minutes=10)
        else:
            for event in session.scalars(select(Event).where(Event.kind == "plan")):
                event.time += timedelta(hours=1)
    plan(Planner(house.archive, house.settings) if "restarted" in case else planner)
    assert "muse_dark" in house.blocks()


def test_an_older_plan_is_not_saved_over_a_newer_one(
    make_house: Callable[..., Any], raw_night: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house()
    late = sorted(house.raw.iterdir())[4]  # the last bias
    late.unlink()
    house.ingest()
    planner = Planner(house.archive, house.settings)
    made, go_on = threading.Event(), threading.Event()

    def slow(*arguments: Any, **options: Any) -> Any:
        result = plan_nights(*arguments, **options)
        if threading.current_thread() is person:
            made.set()
            assert go_on.wait(60)
        return result

    monkeypatch.setattr(workers.planning, "plan_nights", slow)
    person = threading.Thread(target=save_nights, args=(house.archive, house.settings, {NIGHT}))
    person.start()
    assert made.wait(60)
    shutil.copy(raw_night / late.name, late)
    house.ingest()
    plan(planner)  # beside it: it must not be undone
    go_on.set()
    person.join(60)
    plan(planner)
    assert house.blocks()["muse_bias"].n_raw == 4
    assert not planner.behind
    assert plan(planner) is None


def test_nights_are_kept_while_another_process_plans(house: Any, planner: Planner) -> None:
    with planning_turn(house.archive):
        assert plan(planner) is None
        assert planner.behind
        with pytest.raises(PlanningBusyError):
            save_nights(house.archive, house.settings, {NIGHT}, patience=0.1)
        assert house.blocks() == {}
    assert len(plan(planner).created) == 2
    assert not planner.behind


def test_the_runner_waits_for_a_person_who_plans(house: Any) -> None:
    stop, seen = threading.Event(), list[tuple[str, Outcome | None]]()

    def see(name: str, outcome: Outcome | None) -> None:
        seen.append((name, outcome))
        stop.set()  # that there is something to do is enough

    with ThreadPoolExecutor(1) as pool:
        with planning_turn(house.archive):
            run = pool.submit(run_until_idle, house.archive, house.settings, on_block=see, stop=stop)
            time.sleep(0.5)
            assert not run.done()
            assert house.blocks() == {}
        run.result()
    assert seen[0] == (house.blocks()["muse_bias"].name, None)


def test_a_plan_of_chosen_nights_says_nothing_of_the_others(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.planning._OVERLAP", timedelta(0))  # as if the frames had come long before
    save_nights(house.archive, house.settings, {date(2020, 1, 1)})
    assert len(plan(Planner(house.archive, house.settings)).created) == 2


def test_a_plan_of_which_a_part_was_saved_is_made_again(
    house: Any, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def failing(session: Any, part: Any, **options: Any) -> Any:
        sizes.append(len(part.blocks))
        if len(sizes) == 2:
            raise ArchiveUnavailableError("gone")
        return save_plan(session, part, **options)

    with monkeypatch.context() as patch:
        patch.setattr(workers.planning, "save_plan", failing)
        patch.setattr(workers.planning, "plan_parts", lambda plan: plan_parts(plan, size=1))
        with pytest.raises(ArchiveUnavailableError):
            plan(planner)
    assert set(house.blocks()) == {"muse_bias"}
    assert house.scalar(select(func.count()).select_from(Event).where(Event.kind == "plan")) == 0
    saved = plan(Planner(house.archive, house.settings))
    assert (len(saved.unchanged), len(saved.created)) == (1, 1)


def test_inputs_keep_their_reasons(house: Any, planner: Planner) -> None:
    plan(planner)
    dark = house.blocks()["muse_dark"]
    entries = house.rows(select(BlockInput).where(BlockInput.block_id == dark.id).order_by(BlockInput.position))
    assert [entry.role for entry in entries] == ["DARK"] * 3 + ["MASTER_BIAS"]
    assert entries[-1].kind is InputKind.PLANNED
    assert entries[-1].reason.startswith("MASTER_BIAS of 2026-11-02T11:10")
    assert entries[-1].rule == "bias-1"


def test_the_definitions_of_all_recipes_are_registered_once(house: Any) -> None:
    assert register_definitions(house.archive, qc1_definitions()) == len(qc1_definitions())
    assert register_definitions(house.archive, qc1_definitions()) == 0
    assert {"muse_bias", "muse_lsf", "muse_geometry", "muse_scibasic"} <= set(recipe_versions())
