"""What has expired is said as such, wherever it is seen, and made again by whoever wants it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, update

from core.archive.models import Block, BlockInput, Event, Frame, Product
from core.archive.sessions import Archive
from core.archive.states import BlockState, FrameState
from core.settings import Settings
from service.cli.orders import run_make_again

WHEN = datetime(2026, 11, 19, 12, tzinfo=UTC)


@pytest.fixture
def expired(own: httpx.Client, own_archive: Archive) -> int:
    """Number of a product that expired although its block is done; its raw frames are there."""
    with own_archive.write() as session:
        product = session.scalars(
            select(Product).join(Block, Block.id == Product.block_id).where(Block.state == BlockState.DONE).limit(1)
        ).one()
        product.expired_at = WHEN
        session.execute(update(Frame).values(state=FrameState.PRESENT))
        return product.id


def block_of(archive: Archive, product: int) -> Block:
    with archive.read() as session:
        return session.scalars(
            select(Block).where(Block.id == select(Product.block_id).where(Product.id == product).scalar_subquery())
        ).one()


def test_its_file_is_refused_with_the_reason_and_the_cure(own: httpx.Client, expired: int) -> None:
    for address in ("file", "header", "preview.png", "levels?ext=DATA"):
        answer = own.get(f"/api/products/{expired}/{address}")
        assert (answer.status_code, answer.json()["error_type"]) == (410, "expired"), address
        detail = answer.json()["detail"]
        assert "is an intermediate product that expired on 2026-11-19; it is made again on demand" in detail
        assert f"POST /api/products/{expired}/make-again" in detail


def test_lists_and_pages_say_when(own: httpx.Client, expired: int, own_archive: Archive) -> None:
    name = block_of(own_archive, expired).name
    detail = own.get(f"/api/products/{expired}").json()
    assert (detail["expired_at"], detail["extensions"]) == ("2026-11-19T12:00:00Z", [])
    listed = {item["id"]: item["expired_at"] for item in own.get("/api/products").json()["items"]}
    assert [number for number, when in listed.items() if when] == [expired]
    page = own.get(f"/products/{expired}").text
    assert "its file was removed on 2026-11-19" in page
    assert f'data-post="/api/products/{expired}/make-again"' in page
    assert "Download" not in page
    block = own.get(f"/blocks/{name}").text
    assert "expired 2026-11-19" in block
    assert f'href="/api/products/{expired}/file"' not in block
    assert f"/api/blocks/{name}/make-again" in block


@pytest.mark.parametrize("of_block", [False, True])
def test_it_is_made_again_on_demand(own: httpx.Client, expired: int, own_archive: Archive, of_block: bool) -> None:
    name = block_of(own_archive, expired).name
    address = f"/api/blocks/{name}" if of_block else f"/api/products/{expired}"
    answer = own.post(f"{address}/make-again", json={"reason": "a look at the sky"})
    assert answer.status_code == 200
    block = own.get(f"/api/blocks/{name}").json()
    assert (block["state"], block["remaking"], block["state_reason"]) == ("ready", True, "a look at the sky")
    assert block["events"][-1]["actor"] == "anonymous"
    assert "It is being made again." in own.get(f"/products/{expired}").text
    assert "made again: what expired" in own.get(f"/blocks/{name}").text


def test_what_did_not_expire_is_not_made_again(own: httpx.Client, expired: int) -> None:
    other = next(item["id"] for item in own.get("/api/products").json()["items"] if item["id"] != expired)
    answer = own.post(f"/api/products/{other}/make-again", json={})
    assert (answer.status_code, answer.json()["error_type"]) == (409, "state_conflict")


def test_what_was_replaced_is_not_made_again_and_says_so(own: httpx.Client, expired: int, own_archive: Archive) -> None:
    with own_archive.write() as session:
        session.execute(update(Block).values(state=BlockState.SUPERSEDED))
    assert (
        "not made again, as something else took its place" in own.get(f"/api/products/{expired}/file").json()["detail"]
    )
    page = own.get(f"/products/{expired}").text
    assert "Something else took its place" in page
    assert "make-again" not in page


def test_a_block_that_waits_for_it_tells(own: httpx.Client, expired: int, own_archive: Archive) -> None:
    source = block_of(own_archive, expired)
    with own_archive.write() as session:
        taker = session.scalars(
            select(Block)
            .join(BlockInput, BlockInput.block_id == Block.id)
            .where(BlockInput.source_block_id == source.id, Block.state == BlockState.DONE)
        ).first()
        assert taker is not None
        name = taker.name
        role = next(item.role for item in taker.inputs if item.source_block_id == source.id)
        session.execute(
            update(Product).where(Product.block_id == source.id, Product.tag == role).values(expired_at=WHEN)
        )
    assert own.post(f"/api/blocks/{name}/rerun", json={}).json()["state"] == "waiting"
    page = own.get(f"/blocks/{name}").text
    assert f"waits for {source.name}: its {role} expired on 2026-11-19 and is made again" in page
    assert f"waits for {role} from {source.tag} ready to make again what expired" in page


def test_the_terminal_makes_it_again(
    own: httpx.Client, expired: int, own_archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = block_of(own_archive, expired).name
    assert run_make_again([str(expired)], tmp_path, comment="a look", as_json=False) == 0
    assert f"{name}: ready" in capsys.readouterr().out.replace("→ ", "")
    with own_archive.read() as session:
        assert "a look" in session.scalars(select(Event.text).where(Event.subject == name)).all()


def test_the_page_of_an_intermediate_says_until_when_it_is_kept(
    own: httpx.Client, own_archive: Archive, tmp_path: Path
) -> None:
    with own_archive.write() as session:
        product = session.scalars(select(Product).limit(1)).one()
        assert product.block is not None
        product.tag, product.block.recipe, product.created_at = "PIXTABLE_STD", "muse_scibasic", WHEN
        number = product.id
    assert Settings(data_dir=tmp_path).intermediate_days == 14
    assert "<dt>kept until</dt><dd>2026-12-03" in own.get(f"/products/{number}").text
