"""A recipe of the whole and one of slabs, from a raw frame to the pages: archive, log, plots, QC1 of no unit, texts."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from astropy.io.votable import parse_single_table
from sqlalchemy import select

from core.archive.models import Block, Product, Qc1Parameter, Qc1Text, Qc1Value
from core.archive.sessions import Archive
from core.recipes.events import Event, PartProgress, RunProgress
from core.settings import Settings
from tests.workers.toys import installed
from workers.ingest import ingest_once
from workers.planning import Planner
from workers.runner import run_until_idle

RECIPES = {"whole_cube": "whole", "slab_cube": "toy"}  # and what their QC1 columns begin with
SUM = 100 * 2 * 2 * 48  # two slabs of two planes of 48 voxels with 100 counts each


@dataclass(frozen=True)
class Done:
    """What is left when the toys have run: archive, a client of the service, and what was told on the way."""

    settings: Settings
    archive: Archive
    client: httpx.Client
    events: list[tuple[str, Event]]

    def block(self, recipe: str) -> Block:
        with self.archive.read() as session:
            return session.scalars(select(Block).where(Block.recipe == recipe)).one()


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory,
    migrated_sqlite: Path,
    raw_bytes: Callable[..., bytes],
    serve: Callable[..., AbstractContextManager[str]],
) -> Iterator[Done]:
    """A raw frame is ingested, planned and reduced; the process of slab 2 is killed once in each block."""
    folder = tmp_path_factory.mktemp("toys")
    shutil.copy(migrated_sqlite, folder / "cascade.sqlite")
    settings = Settings(data_dir=folder, settle_seconds=0.02, retry_seconds=0.05)
    settings.make_directories()
    (settings.archive_dirs[0] / "MUSE.2026-11-01T22:00:00.000.fits").write_bytes(raw_bytes({"DPR.TYPE": "TOY"}))
    archive = Archive(settings.database_url)
    events: list[tuple[str, Event]] = []
    with installed():
        ingest_once(archive, settings)
        Planner(archive, settings).plan_changes(wait_for_templates=False)
        with archive.write() as session:
            for block in session.scalars(select(Block)):
                block.parameters = {"slabs": 2, "kill": 2}
        run_until_idle(archive, settings, on_event=lambda block, event: events.append((block, event)))
        with serve(settings) as address, httpx.Client(base_url=address, timeout=120) as client:
            yield Done(settings, archive, client, events)
    archive.dispose()


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_block_is_done_although_a_process_was_killed(done: Done, recipe: str) -> None:
    block = done.client.get(f"/api/blocks/{done.block(recipe).name}").json()
    assert (block["state"], block["score"]) == ("done", None)
    if recipe == "whole_cube":
        assert (block["tries"], block["parts"]) == (2, [])
    else:
        assert [(part["key"], part["state"], part["tries"]) for part in block["parts"]] == [
            ("slab-001", "done", 1), ("slab-002", "done", 2), ("finish", "done", 1),
        ]  # fmt: skip
    (product,) = block["products"]
    assert (product["tag"], product["unit"]) == ("TOY_CUBE", None)


def test_progress_is_told_by_part_and_of_the_run(done: Done, recipe: str) -> None:
    name = done.block(recipe).name
    own = [event for block, event in done.events if block == name]
    parts = {event.part.key for event in own if isinstance(event, PartProgress)}
    assert parts == ({"whole"} if recipe == "whole_cube" else {"slab-001", "slab-002"})
    assert any(isinstance(event, RunProgress) and event.phase == "prepare" for event in own)
    assert done.client.get(f"/api/blocks/{name}/progress").json()["fraction"] == 1.0


def test_the_log_tells_of_the_tries_and_the_plot_is_served(done: Done, recipe: str) -> None:
    name = done.block(recipe).name
    log = done.client.get(f"/api/blocks/{name}/log").text
    tries = f"of block {name}" if recipe == "whole_cube" else "a try of slab-002 of"
    assert sum(tries in line for line in log.splitlines()) == 2
    assert "done: 1 products" in log
    assert done.client.get(f"/api/blocks/{name}").json()["plots"] == ["cube.png"]
    assert done.client.get(f"/api/blocks/{name}/plots/cube.png").content.startswith(b"\x89PNG")


def test_qc1_of_a_primary_header_has_no_unit_in_the_database(done: Done, recipe: str) -> None:
    with done.archive.read() as session:
        of_block = (Product.id == Qc1Value.product_id, Product.block_id == done.block(recipe).id)
        (value,) = session.scalars(select(Qc1Value).join(Product, of_block[0]).where(of_block[1]))
        (text,) = session.scalars(select(Qc1Text).where(Qc1Text.block_id == done.block(recipe).id))
        keywords = [session.get_one(Qc1Parameter, row.parameter_id).keyword for row in (value, text)]
    word = RECIPES[recipe].upper()
    assert keywords == [f"QC.GEO.{word}SUM", f"QC.STANDARD.{word}STAR"]
    assert (value.unit, text.unit) == (None, None)
    assert value.value == pytest.approx(SUM, rel=0.03)  # noise of 10 a voxel
    assert text.text == "Feige 110"


def test_the_page_of_the_block_shows_it_all(done: Done, recipe: str) -> None:
    page = done.client.get(f"/blocks/{done.block(recipe).name}").text
    for words in ("TOY_CUBE.fits", f"{RECIPES[recipe]}star", "Feige 110", f"{RECIPES[recipe]}sum"):
        assert words in page
    product = done.client.get(f"/api/blocks/{done.block(recipe).name}").json()["products"][0]
    assert "Feige 110" in done.client.get(f"/products/{product['id']}").text


def test_a_text_goes_to_rest_csv_votable_fits_and_the_page_of_its_table(done: Done) -> None:
    client = done.client
    table = {item["column"]: item for item in client.get("/api/qc1/muse_std").json()["parameters"]}
    assert table["toystar"]["last_texts"] == ["Feige 110"]
    assert client.get("/api/qc1/muse_std/series", params={"y": "toystar"}).json()["v"] == ["Feige 110"]
    (row,) = csv.DictReader(io.StringIO(client.get("/api/qc1/muse_std/series.csv", params={"y": "toystar"}).text))
    assert (row["parameter"], row["value"], row["unit"]) == ("toystar", "Feige 110", "")
    votable = client.get("/api/qc1/muse_std/series.vot", params={"y": "toystar"}).content
    assert list(parse_single_table(io.BytesIO(votable)).to_table()["text"]) == ["Feige 110"]
    assert client.get("/api/qc1/muse_std/series.fits", params={"y": "toystar"}).content.count(b"Feige 110") == 1
    for page in ("/qc1", "/qc1/muse_std?y=toystar"):
        assert "Feige 110" in client.get(page).text
