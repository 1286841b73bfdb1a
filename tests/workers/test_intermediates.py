"""Housekeeping removes old intermediates, and they are made again when they are needed.

Here the master bias of the small night is an intermediate, which the darks need. But for the last test nothing is
reduced: files with any content are placed where products would be.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from sqlalchemy import func, select, update

import workers.housekeeping
from core.archive.definitions import register_definitions
from core.archive.finishing import finish_block
from core.archive.leases import claim_work, fail_work
from core.archive.models import Block, Event, Product, Qc1Value, Score
from core.archive.orders import rerun_block
from core.archive.records import BlockResult, NewProduct, NewQc1Value, Work
from core.archive.remaking import make_again
from core.archive.states import BlockState, ProductState
from core.archive.store import ProductStore
from core.fitsfile.digest import file_sha256
from core.instruments.catalogue import qc1_definitions
from core.qc1.axes import Position
from workers.housekeeping import Cleaned, Housekeeping
from workers.outcome import Outcome
from workers.planning import Planner, save_nights
from workers.runner import run_until_idle

KINDS = {"muse_bias": ("MASTER_BIAS",)}
TAGS = {"muse_bias": "MASTER_BIAS", "muse_dark": "MASTER_DARK"}


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The master bias is an intermediate."""
    monkeypatch.setattr(workers.housekeeping, "intermediates", lambda: KINDS)


@pytest.fixture(params=["sqlite", "postgresql"])
def night(request: pytest.FixtureRequest, make_house: Callable[..., Any]) -> Any:
    """The small night, with the rows and files of having been reduced three weeks ago."""
    url = ""
    if request.param == "postgresql":
        template = request.getfixturevalue("migrated_postgres")
        url = request.getfixturevalue("postgres_database")(template)
    house = make_house(database_url=url)
    house.ingest()
    register_definitions(house.archive, qc1_definitions())
    plan(house)
    for recipe in TAGS:
        finish(house, recipe)
    age(house)
    return house


def plan(house: Any) -> None:
    Planner(house.archive, house.settings).plan_changes(wait_for_templates=False)


def finish(house: Any, recipe: str) -> None:
    """Pretend that a block was executed: a file of each IFU, and a read-out noise of the first."""
    block, tag = house.blocks()[recipe], TAGS[recipe]
    folder = ProductStore(house.settings.product_dir).directory(block.night, block.name)
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for unit in block.units:
        path = folder / f"{tag}-{unit:02d}.fits"
        path.write_text(f"{tag} {unit}")
        header = {"INS.MODE": block.mode, "DET.READ.CURID": int(block.readout)}
        made.append(
            NewProduct(
                tag, unit, str(path), path.stat().st_size, file_sha256(path), block.mjd_mid, block.mjd_mid, block.night,
                header, datamd5=f"{unit}" * 32,
            )
        )  # fmt: skip
    noise = NewQc1Value("muse_bias", "master_ron", 2.4, block.mjd_mid, made[0].path, Position(unit=1, quadrant=1))
    result = BlockResult(tuple(made), (noise,) if recipe == "muse_bias" else ())
    with house.archive.write() as session:
        assert claim_work(session, Work(block.id), owner="test", lease_seconds=60)
        finish_block(session, Work(block.id), result, owner="test")


def age(house: Any) -> None:
    with house.archive.write() as session:
        session.execute(update(Product).values(created_at=house.archive.now() - timedelta(days=21)))


def clean(house: Any) -> Cleaned:
    return Housekeeping(house.archive, house.settings).clean()


def rerun(house: Any, recipe: str) -> None:
    with house.archive.write() as session:
        rerun_block(session, house.blocks()[recipe].id, actor="astronomer")


def products(house: Any, tag: str = "MASTER_BIAS") -> list[Any]:
    return house.rows(select(Product).where(Product.tag == tag).order_by(Product.unit))


def measured(house: Any) -> list[Any]:
    """What was measured and judged, row by row."""
    with house.archive.read() as session:
        values = select(Qc1Value.id, Qc1Value.value, Qc1Value.product_id).order_by(Qc1Value.id)
        scores = select(Score.id, Score.value, Score.score, Score.created_at).order_by(Score.id)
        verdicts = select(Product.id, Product.path, Product.state, Product.judge, Product.datamd5).order_by(Product.id)
        return [session.execute(query).all() for query in (values, scores, verdicts)]


def nothing_moves(house: Any) -> bool:
    """Whether a plan of the night leaves all as it is."""
    _, saved = save_nights(house.archive, house.settings, {house.blocks()["muse_dark"].night})
    return (len(saved.unchanged), saved.created, saved.changed, saved.superseded) == (2, (), (), ())


def test_what_expires_moves_no_plan_and_is_waited_for(night: Any) -> None:
    before = measured(night)
    assert clean(night) == Cleaned(intermediates=2)
    assert clean(night) == Cleaned()
    for row in products(night):
        assert row.expired_at is not None
        assert not Path(row.path).exists()
    assert measured(night) == before
    assert nothing_moves(night)  # what is finished stays finished
    assert {block.state for block in night.blocks().values()} == {BlockState.DONE}

    rerun(night, "muse_dark")
    blocks = night.blocks()
    assert (blocks["muse_bias"].state, blocks["muse_dark"].state) == (BlockState.READY, BlockState.WAITING)
    assert blocks["muse_dark"].state_reason.startswith(f"waits for {blocks['muse_bias'].name}: its MASTER_BIAS expired")
    assert nothing_moves(night)  # also while it is made again
    finish(night, "muse_bias")
    assert nothing_moves(night)
    assert night.blocks()["muse_dark"].state is BlockState.READY
    finish(night, "muse_dark")
    kept = (before[0], before[2])
    assert (measured(night)[0], measured(night)[2]) == kept
    assert clean(night) == Cleaned()  # it is young now


def test_what_cannot_be_made_again_leaves_all_as_it_was_and_the_plan_says_what_lacks(night: Any) -> None:
    before = measured(night)
    clean(night)
    planner = Planner(night.archive, night.settings)
    planner.plan_changes(wait_for_templates=False)
    rerun(night, "muse_dark")
    number = night.blocks()["muse_bias"].id
    with night.archive.write() as session:
        assert claim_work(session, Work(number), owner="w", lease_seconds=60)
        fail_work(session, Work(number), owner="w", error_type="data", message="all dark", retriable=False)
    for _ in range(3):  # not again and again
        planner.plan_changes(wait_for_templates=False)
    blocks = night.blocks()
    assert (blocks["muse_bias"].state, blocks["muse_dark"].state) == (BlockState.DONE, BlockState.INCOMPLETE)
    assert " expired on " in blocks["muse_dark"].state_reason
    assert blocks["muse_dark"].state_reason.endswith("could not be made again: all dark")
    assert measured(night)[0] == before[0]
    assert not any(row.state is ProductState.SUPERSEDED for row in products(night))
    made = select(func.count()).where(Event.text.startswith("made again, since"))
    assert night.scalar(made) == 1
    with night.archive.write() as session:  # the cause is cured
        make_again(session, number, actor="astronomer")
    planner.plan_changes(wait_for_templates=False)
    finish(night, "muse_bias")
    planner.plan_changes(wait_for_templates=False)
    assert night.blocks()["muse_dark"].state is BlockState.READY


@pytest.mark.parametrize("night", ["sqlite"], indirect=True)
def test_what_is_killed_between_row_and_file_loses_nothing(night: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(Housekeeping, "_remove_expired", _killed)
        with pytest.raises(KeyboardInterrupt):
            clean(night)
    rows = products(night)
    assert all(row.expired_at is not None and Path(row.path).exists() for row in rows)
    for row in rows:
        os.utime(row.path, (1e9, 1e9))
    assert clean(night) == Cleaned(orphans=2)  # the next start finds what nobody knows any more
    assert not any(Path(row.path).exists() for row in rows)
    assert [row.expired_at for row in products(night)] == [row.expired_at for row in rows]
    told = select(func.count()).where(Event.kind == "block", Event.text.startswith("files of intermediates expired"))
    assert night.scalar(told) == 1


def _killed(_self: Housekeeping, _numbers: list[int]) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("night", ["sqlite"], indirect=True)
def test_what_is_placed_again_is_not_removed_by_who_was_late(night: Any) -> None:
    clean(night)
    keeper = Housekeeping(night.archive, night.settings)
    numbers = [row.id for row in products(night)]
    with night.archive.write() as session:
        make_again(session, night.blocks()["muse_bias"].id, actor="astronomer")
    place = Path(products(night)[0].path)
    place.write_text("being placed")
    keeper._remove_expired(numbers)  # the block is open
    assert place.exists()
    finish(night, "muse_bias")
    keeper._remove_expired(numbers)  # the block is done
    assert all(Path(row.path).exists() for row in products(night))


@pytest.mark.parametrize("night", ["sqlite"], indirect=True)
def test_they_are_kept_as_long_as_the_setting_says_and_a_block_needs_them(night: Any) -> None:
    longer = night.settings.model_copy(update={"intermediate_days": 30.0})
    assert Housekeeping(night.archive, longer).clean() == Cleaned()
    rerun(night, "muse_dark")
    assert clean(night) == Cleaned()
    finish(night, "muse_dark")
    assert clean(night) == Cleaned(intermediates=2)


@pytest.mark.parametrize("night", ["sqlite"], indirect=True)
def test_what_only_the_next_step_takes_is_kept_for_less_long(night: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    longer = night.settings.model_copy(update={"intermediate_days": 30.0})
    monkeypatch.setattr(workers.housekeeping, "passing", lambda: KINDS)
    assert Housekeeping(night.archive, longer.model_copy(update={"passing_days": 25.0})).clean() == Cleaned()
    assert Housekeeping(night.archive, longer).clean() == Cleaned(intermediates=2)


def test_real_recipes_make_the_same_content_again(house: Any) -> None:
    run_until_idle(house.archive, house.settings)
    before, content = measured(house), {row.path: _pixels(row.path) for row in products(house)}
    drawn = {path.name for path in house.settings.product_dir.rglob("*.png")}
    age(house)
    assert clean(house) == Cleaned(intermediates=2)
    assert {path.name for path in house.settings.product_dir.rglob("*.png")} == drawn  # plots stay
    rerun(house, "muse_dark")
    ended = run_until_idle(house.archive, house.settings).outcomes
    blocks = house.blocks()
    assert list(ended.items()) == [(blocks[name].name, Outcome.DONE) for name in ("muse_bias", "muse_dark")]

    rows = products(house)
    assert {row.path: _pixels(row.path) for row in rows} == content
    assert all((Path(row.path).stat().st_size, file_sha256(Path(row.path))) == (row.size, row.sha256) for row in rows)
    assert all(row.expired_at is None for row in rows)
    numbers = {row.id for row in rows}
    values, scores, verdicts = measured(house)
    assert [row for row in values if row.product_id in numbers] == [
        row for row in before[0] if row.product_id in numbers
    ]
    assert (len(values), len(scores), verdicts) == (len(before[0]), len(before[1]), before[2])
    assert {path.name for path in house.settings.product_dir.rglob("*.png")} == drawn
    assert house.scalar(select(func.count()).select_from(Block)) == 2


def _pixels(path: str) -> bytes:
    """All of a product but the headers, which have dates."""
    with fits.open(path) as hdus:
        return b"".join(hdu.data.tobytes() for hdu in hdus if hdu.data is not None)
