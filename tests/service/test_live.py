"""Pages that are left open: they follow the archive in place, and say when they have lost the service."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from core.archive.base import utc_now
from core.archive.events import beat, record_event, worker_stopped
from core.archive.models import Block
from core.archive.sessions import Archive
from core.archive.states import BlockState, WorkerKind
from core.settings import Settings
from service.live import daemon_key, live_state, live_token
from service.status import read_status

LAST = date(2026, 11, 19)
Serve = Callable[..., AbstractContextManager[str]]
FOREVER = 60_000  # ms; what is waited for comes in a second or two


@dataclass
class Living:
    """An installation whose archive a test changes while pages are open; heartbeats are one second apart."""

    settings: Settings
    archive: Archive

    def beat(self) -> None:
        """A sign of life of each daemon."""
        with self.archive.write() as session:
            for kind in (WorkerKind.INGEST, WorkerKind.DISPATCH, WorkerKind.EXECUTE):
                beat(session, f"{kind.value}@obs1", kind, host="obs1", pid=4242, doing="idle")

    def change(self, name: str, state: BlockState) -> None:
        """A block goes into another state."""
        with self.archive.write() as session:
            block = session.query(Block).filter(Block.name == name).one()
            before, block.state, block.started_at = block.state, state, utc_now()
            record_event(session, "block", name, actor="test", from_state=before, to_state=state)

    def names(self, state: BlockState) -> list[str]:
        """Blocks in a state."""
        with self.archive.read() as session:
            return [block.name for block in session.query(Block).filter(Block.state == state).order_by(Block.id)]


@pytest.fixture
def living(tmp_path: Path, migrated_sqlite: Path, factory: ModuleType) -> Iterator[Living]:
    shutil.copy(migrated_sqlite, tmp_path / "cascade.sqlite")
    settings = Settings(data_dir=tmp_path, heartbeat_seconds=1.0)
    archive = Archive(settings.database_url)
    factory.fill_story(archive, LAST, nights=2, units=(1,), slices=1)
    living = Living(settings, archive)
    living.beat()
    yield living
    archive.dispose()


def test_the_next_look_is_when_a_daemon_would_be_silent_for_two_heartbeats(living: Living) -> None:
    settings = living.settings.model_copy(update={"heartbeat_seconds": 2.0})
    with living.archive.read() as session:
        status = read_status(session, settings)
        state = live_state(settings, status, "", 0)
    left = 2 * 2.0 - max((status.now - item.last_seen).total_seconds() for item in status.daemons)
    assert state.wait <= max(left, 0.0) + 0.2
    assert state.times[daemon_key("ingest@obs1")]


def test_the_token_changes_with_what_pages_show_and_with_nothing_else(living: Living) -> None:
    def token() -> str:
        with living.archive.read() as session:
            status = read_status(session, living.settings.model_copy(update={"heartbeat_seconds": 600.0}))
            return live_token(session, status)

    first = token()
    living.beat()
    assert token() == first
    living.change(living.names(BlockState.WAITING)[0], BlockState.READY)
    second = token()
    assert second != first
    with living.archive.write() as session:
        worker_stopped(session, "ingest@obs1")
    assert token() != second


@pytest.mark.browser
def test_blocks_begin_and_end_while_one_types_and_the_page_stays(browser: Any, living: Living, serve: Serve) -> None:
    with serve(living.settings) as address:
        page = browser.new_page(base_url=address, viewport={"width": 1400, "height": 500})
        visits: list[str] = []
        page.on("framenavigated", lambda frame: visits.append(frame.url))
        page.goto("/")
        flat, arc = living.names(BlockState.RUNNING)[0], living.names(BlockState.WAITING)[0]
        page.wait_for_selector(f'#running [data-name="{flat}"]')
        page.evaluate("document.querySelector('#running').dataset.mine = 'kept'; scrollTo(0, 150)")
        page.evaluate("document.querySelector('#main a[href^=\"/qc1/\"]').focus()")
        page.fill("#search", "2026-11")
        page.evaluate("document.querySelector('#main a[href^=\"/qc1/\"]').focus({preventScroll: true})")
        living.change(flat, BlockState.DONE)
        living.change(arc, BlockState.RUNNING)
        page.wait_for_selector(f'#running [data-name="{arc}"]', timeout=FOREVER)
        assert page.locator(f'#running [data-name="{flat}"]').count() == 0
        living.change(arc, BlockState.DONE)
        page.wait_for_function(
            "() => document.querySelector('#running').innerText.includes('Nothing runs')", timeout=FOREVER
        )
        assert "3 of 3 blocks done" in page.inner_text("h1")
        assert page.input_value("#search") == "2026-11"
        assert page.evaluate("document.querySelector('#running').dataset.mine") is None  # attributes follow the service
        assert page.evaluate("document.activeElement.getAttribute('href')").startswith("/qc1/")
        assert page.evaluate("scrollY") > 100  # what is above may have grown: the browser keeps what one reads in place
        assert visits == [f"{address}/"]
        page.close()


@pytest.mark.browser
def test_the_page_of_a_block_follows_it_with_open_details(browser: Any, living: Living, serve: Serve) -> None:
    name = living.names(BlockState.WAITING)[0]
    with serve(living.settings) as address:
        page = browser.new_page(base_url=address)
        page.goto(f"/blocks/{name}")
        page.locator("details summary").first.click()
        living.change(name, BlockState.RUNNING)
        page.wait_for_selector(".run[data-name] .progress", state="attached", timeout=FOREVER)
        assert "running" in page.inner_text("h1")
        assert page.locator("details").first.get_attribute("open") is not None
        page.close()


@pytest.mark.browser
def test_a_daemon_that_falls_silent_is_told_when_nothing_runs(browser: Any, living: Living, serve: Serve) -> None:
    living.change(living.names(BlockState.RUNNING)[0], BlockState.DONE)
    with serve(living.settings) as address:
        page = browser.new_page(base_url=address)
        living.beat()
        page.goto("/")
        told = "document.querySelector('#alarms').innerText.includes('fell silent')"
        page.wait_for_function(f"() => {told}", timeout=FOREVER)
        living.beat()
        page.wait_for_function(f"() => !{told}", timeout=FOREVER)
        with living.archive.write() as session:
            worker_stopped(session, "execute@obs1")
        page.wait_for_function(
            "() => document.querySelector('#alarms').innerText.includes('No daemon runs for execute')"
            " || document.querySelector('#main').innerText.includes('stopped')",
            timeout=FOREVER,
        )
        page.close()


@pytest.mark.browser
def test_clock_and_ages_move_by_themselves(browser: Any, living: Living, serve: Serve) -> None:
    with serve(living.settings) as address:
        page = browser.new_page(base_url=address)
        page.goto("/")
        first = page.inner_text("[data-clock]")
        page.wait_for_function(f"() => document.querySelector('[data-clock]').innerText !== '{first}'", timeout=FOREVER)
        living.beat()
        page.wait_for_function(
            "() => /^[1-9]/.test(document.querySelector('time[data-ago^=daemon]').innerText)",
            timeout=FOREVER,
        )
        page.close()


@pytest.mark.browser
def test_a_page_says_that_it_has_lost_the_service_and_goes_on(
    browser: Any, living: Living, serve: Serve, port: int
) -> None:
    with serve(living.settings, port) as address:
        page = browser.new_page(base_url=address)
        page.goto("/")
        assert not page.locator("#lost-service").is_visible()
    page.locator("#lost-service").wait_for(state="visible", timeout=FOREVER)
    assert "The service is lost" in page.inner_text("#lost-service")
    name = living.names(BlockState.WAITING)[0]
    living.change(name, BlockState.RUNNING)
    with serve(living.settings, port):
        page.locator("#lost-service").wait_for(state="hidden", timeout=FOREVER)
        page.wait_for_selector(f'#running [data-name="{name}"]', timeout=FOREVER)
        page.close()


def test_the_state_of_a_page_is_cheap(living: Living, serve: Serve) -> None:
    with serve(living.settings) as address, httpx.Client(base_url=address) as client:
        answer = client.get("/live")
        assert answer.headers["cache-control"] == "no-store"
        assert len(answer.content) < 1000
        assert answer.json()["now"] == pytest.approx(utc_now().timestamp(), abs=timedelta(minutes=5).total_seconds())
