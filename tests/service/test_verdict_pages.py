"""Doubt is shown wherever a block or product is, and persons certify and reject from page and REST, with a comment."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, update

from core.archive.models import Block, BlockInput, QuarantinedFile
from core.archive.sessions import Archive
from core.archive.states import BlockState, InputKind, QuarantineReason
from core.archive.verdicts import judge_due, mark_due
from service.cli.look import run_status
from service.cli.orders import run_use


@pytest.fixture
def doubtful(own: httpx.Client, tmp_path: Path) -> tuple[httpx.Client, str, str]:
    """The newest flat was made with a bias that has outliers; client, name of bias and of flat."""
    archive = Archive(f"sqlite:///{tmp_path / 'cascade.sqlite'}")
    with archive.write() as session:
        flat = session.scalars(
            select(Block)
            .join(BlockInput, BlockInput.block_id == Block.id)
            .where(
                Block.tag == "FLAT",
                Block.state == BlockState.DONE,
                BlockInput.role == "MASTER_BIAS",
                BlockInput.kind == InputKind.PRODUCT,
            )
            .order_by(Block.mjd_mid.desc())
            .limit(1)
        ).one()
        bias = next(item.source_block for item in flat.inputs if item.role == "MASTER_BIAS")
        assert bias is not None
        session.execute(
            update(Block)
            .where(Block.night == flat.night, Block.id != flat.id)
            .values(score=0, n_outliers=0, failed_unit_mask=0, skipped_unit_mask=0, state=BlockState.DONE)
        )
        bias.score, bias.n_outliers = 1, 4
        flat.score, flat.n_outliers, flat.doubtful = 0, 0, True
        if bias.night == flat.night:  # else its outliers decide the night
            bias.night = date(2026, 1, 1)
        names = bias.name, flat.name
    archive.dispose()
    return own, *names


def test_the_flag_is_on_block_product_night_and_rest(doubtful: tuple[httpx.Client, str, str]) -> None:
    client, bias, flat = doubtful
    detail = client.get(f"/api/blocks/{flat}").json()
    assert detail["doubtful"]
    assert detail["doubts"] == [{"role": "MASTER_BIAS", "source_block": bias, "reason": "4 outliers"}]
    page = client.get(f"/blocks/{flat}").text
    assert "Made with doubtful calibrations" in page
    assert "4 outliers" in page
    product = detail["products"][0]["id"]
    assert "doubtful parent" in client.get(f"/products/{product}").text
    night = client.get(f"/nights/{detail['night']}").text
    assert "1 block made with doubtful calibrations" in night
    assert "done, doubtful parent" in night
    summary = client.get(f"/api/nights/{detail['night']}").json()
    assert (summary["doubtful"], summary["verdict"]) == (1, "warn")


def test_the_terminal_tells_it(
    doubtful: tuple[httpx.Client, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client, _, flat = doubtful
    night = client.get(f"/api/blocks/{flat}").json()["night"]
    archive = Archive(f"sqlite:///{tmp_path / 'cascade.sqlite'}")
    with archive.write() as session:  # its night becomes the last one
        for block in session.scalars(select(Block).where(Block.night == date.fromisoformat(night))):
            block.night = date(2026, 12, 24)
    archive.dispose()
    run_status(tmp_path, as_json=False)
    text = " ".join(capsys.readouterr().out.split())
    assert "1 block made with doubtful calibrations" in text
    assert text.count("doubtful") == 2  # in the sentence on the night, and beside the flat


def test_a_decision_needs_a_comment_and_is_kept_with_who(doubtful: tuple[httpx.Client, str, str]) -> None:
    client, bias, flat = doubtful
    product = client.get(f"/api/blocks/{bias}").json()["products"][0]["id"]
    assert client.post(f"/api/products/{product}/reject", json={}).status_code == 422
    assert client.post(f"/api/products/{product}/reject", json={"reason": ""}).status_code == 422
    answer = client.post(f"/api/products/{product}/reject", json={"reason": "light leak"})
    assert (answer.status_code, answer.json()["state"], answer.json()["judge"]) == (200, "rejected", "anonymous")
    page = client.get(f"/products/{product}").text
    assert "light leak" in page
    assert "by anonymous" in page
    doubts = client.get(f"/api/blocks/{flat}").json()["doubts"]
    assert [item["reason"] for item in doubts] == ["rejected"]
    answer = client.post(f"/api/products/{product}/certify", json={"reason": "it was another one"})
    assert answer.json()["state"] == "certified"
    assert client.post("/api/products/999999/reject", json={"reason": "x"}).status_code == 404


def test_certifying_a_block_takes_the_doubt_from_what_was_made_with_it(
    doubtful: tuple[httpx.Client, str, str], tmp_path: Path
) -> None:
    client, bias, flat = doubtful
    assert client.post(f"/api/blocks/{bias}/certify", json={"reason": "cables changed"}).status_code == 200
    states = {item["state"] for item in client.get(f"/api/blocks/{bias}").json()["products"]}
    assert states == {"certified"}
    archive = Archive(f"sqlite:///{tmp_path / 'cascade.sqlite'}")
    with archive.write() as session:
        mark_due(session, [session.scalars(select(Block.id).where(Block.name == flat)).one()])
        judge_due(session, certify=False, actor="test", limit=1000)
    archive.dispose()
    assert not client.get(f"/api/blocks/{flat}").json()["doubtful"]
    assert client.get(f"/api/blocks/{bias}").json()["score"] == 1


def test_pages_offer_both_decisions(doubtful: tuple[httpx.Client, str, str]) -> None:
    client, bias, _ = doubtful
    product = client.get(f"/api/blocks/{bias}").json()["products"][0]["id"]
    for address, page in (
        (f"/api/blocks/{bias}", f"/blocks/{bias}"),
        (f"/api/products/{product}", f"/products/{product}"),
    ):
        text = client.get(page).text
        for word in ("certify", "reject"):
            assert f'data-post="{address}/{word}" data-comment' in text


def test_a_night_of_which_all_is_in_quarantine_is_a_night(own: httpx.Client, tmp_path: Path) -> None:
    night = date(2026, 12, 26)
    archive = Archive(f"sqlite:///{tmp_path / 'cascade.sqlite'}")
    with archive.write() as session:
        for number in range(6):
            session.add(
                QuarantinedFile(
                    path=f"/raw/{number}.fits",
                    file_name=f"{number}.fits",
                    reason=QuarantineReason.TRUNCATED,
                    text="cut",
                    night=night,
                )
            )
    archive.dispose()
    found = own.get(f"/api/nights/{night}").json()
    assert (found["held"], found["verdict"]) == (6, "warn")
    assert "no frame and no block, 6 files in quarantine" in own.get(f"/nights/{night}").text
    assert str(night) in own.get("/nights").text


def test_a_raw_frame_is_excluded_and_included_with_a_comment(doubtful: tuple[httpx.Client, str, str]) -> None:
    client = doubtful[0]
    name = client.get("/api/frames?limit=1").json()["items"][0]["dp_id"]
    assert f'data-post="/api/frames/{name}/exclude" data-comment' in client.get(f"/frames/{name}").text
    assert client.post(f"/api/frames/{name}/exclude", json={"reason": ""}).status_code == 422
    answer = client.post(f"/api/frames/{name}/exclude", json={"reason": "light leak"}).json()
    assert (answer["state"], answer["state_reason"]) == ("excluded", "excluded by anonymous: light leak")
    page = client.get(f"/frames/{name}").text
    assert "excluded by anonymous: light leak" in page
    assert f'data-post="/api/frames/{name}/include" data-comment' in page
    assert client.post(f"/api/frames/{name}/include", json={"reason": "no leak"}).json()["state"] == "present"
    assert client.post(f"/api/frames/{name}/include", json={"reason": "no leak"}).status_code == 409
    assert client.post("/api/frames/nothing/exclude", json={"reason": "x"}).status_code == 404
    assert "no leak" in client.get(f"/frames/{name}").text


def test_a_raw_frame_is_excluded_and_included_from_the_terminal(
    doubtful: tuple[httpx.Client, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = doubtful[0].get("/api/frames?limit=1").json()["items"][0]["dp_id"]
    assert run_use([f"{name}.fits"], tmp_path, use=False, comment="light leak", as_json=False) == 0
    assert capsys.readouterr().out == f"{name}: excluded\n"
    assert run_use([name], tmp_path, use=True, comment="it was not", as_json=False) == 0
    assert capsys.readouterr().out == f"{name}: present\n"
