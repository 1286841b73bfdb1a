"""A block that is done in parts shows them: on its page, in REST, in the terminal, and what memory they took."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from core.archive.models import Block, BlockPart
from core.archive.sessions import Archive
from core.archive.states import BlockState
from service.cli.look import run_status


@pytest.fixture
def divided(own: httpx.Client, tmp_path: Path) -> tuple[httpx.Client, str]:
    """The running block has two slabs, of which one is done, and a last step."""
    archive = Archive(f"sqlite:///{tmp_path / 'cascade.sqlite'}")
    with archive.write() as session:
        block = session.scalars(select(Block).where(Block.state == BlockState.RUNNING)).one()
        block.peak_mb = 5000.0
        block.lease_owner, block.progress = None, {}
        more = {"tries": 1, "started_at": datetime.now(UTC), "lease_owner": "execute@abc:123:7f"}
        step = {"slab-002": {"phase": "resampling", "fraction": 0.5}}
        block.parts = [
            BlockPart(
                key="slab-001", label="4750-4850 Angstrom", position=0, state=BlockState.DONE, tries=2, duration=61.0,
                peak_mb=432.1,
            ),
            BlockPart(
                key="slab-002", label="4850-4950 Angstrom", position=1, state=BlockState.RUNNING, progress=step, **more
            ),
            BlockPart(key="finish", label="last step", position=2, state=BlockState.WAITING),
        ]  # fmt: skip
        name = block.name
    archive.dispose()
    return own, name


def test_the_page_shows_parts_with_progress(divided: tuple[httpx.Client, str]) -> None:
    client, name = divided
    for page in (client.get(f"/blocks/{name}").text, client.get("/").text):
        assert '<div class="small" data-part="slab-002">4850-4950 Angstrom <span class="muted phase">resampling' in page
        assert 'aria-valuenow="50"' in page
    page = client.get(f"/blocks/{name}").text
    assert "432 MiB" in page
    assert "execute@abc:123" in page
    assert "a process took 5000 MiB; muse_flat is declared to need" in page


def test_rest_tells_the_same(divided: tuple[httpx.Client, str]) -> None:
    client, name = divided
    progress = client.get(f"/api/blocks/{name}/progress").json()
    assert progress["fraction"] == pytest.approx((1 + 0.5 + 0) / 3, abs=1e-4)
    assert progress["parts"]["slab-001"]["state"] == "done"
    assert progress["parts"]["finish"] == {
        "label": "last step", "state": "waiting", "phase": "waiting", "fraction": 0.0,
    }  # fmt: skip
    block = client.get(f"/api/blocks/{name}").json()
    assert block["peak_mb"] == 5000.0
    assert block["memory_note"].startswith("a process took 5000 MiB")
    assert [(part["key"], part["tries"], part["peak_mb"]) for part in block["parts"]] == [
        ("slab-001", 2, 432.1), ("slab-002", 1, None), ("finish", 0, None),
    ]  # fmt: skip


def test_the_terminal_shows_the_memory(
    divided: tuple[httpx.Client, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_status(tmp_path, as_json=False)
    assert "5000 MiB" in capsys.readouterr().out.replace("\n", " ")
