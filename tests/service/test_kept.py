"""Answers that are made once for several clients, and never after they ceased to be true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import service.kept
from core.archive.changes import ChangeWatch
from core.archive.pages.blocks import find_block
from core.archive.sessions import Archive
from service.kept import KeptAnswers

LONG = 1000.0  # no entry ends by its age in a test of anything else


class App:
    """An application that counts how often it is asked, and answers when it is told."""

    def __init__(self, status: int = 200, kind: str = "application/json") -> None:
        self.asked, self.status, self.kind = 0, status, kind
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        body = str(self.asked).encode()
        await self.go.wait()
        tag = b'W/"%d"' % self.asked
        headers = [(b"content-type", self.kind.encode()), (b"content-length", b"%d" % len(body)), (b"etag", tag)]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def ask(kept: KeptAnswers, path: str = "/x", **headers: str) -> tuple[int, bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": given}
    await kept(scope, None, send)  # type: ignore[arg-type]
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


@pytest.fixture
def watch(sqlite_archive: Archive) -> ChangeWatch:
    return ChangeWatch(sqlite_archive.engine)


@pytest.fixture(autouse=True)
def long_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.kept, "KEPT_SECONDS", LONG)


def test_those_who_ask_at_the_same_time_get_one_answer(run_async: Callable[..., Any], watch: ChangeWatch) -> None:
    async def story() -> list[tuple[int, bytes]]:
        app = App()
        kept = KeptAnswers(app, watch)
        asking = [asyncio.create_task(ask(kept)) for _ in range(20)]
        while not app.asked:
            await asyncio.sleep(0)
        app.go.set()
        return [*await asyncio.gather(*asking), await ask(kept), await ask(kept, "/other")]

    *same, other = run_async(story())
    assert same == [(200, b"1")] * 21
    assert other == (200, b"2")


def test_after_a_commit_it_is_made_again(
    run_async: Callable[..., Any], watch: ChangeWatch, sqlite_archive: Archive
) -> None:
    async def story() -> list[tuple[int, bytes]]:
        app = App()
        kept = KeptAnswers(app, watch)
        early = asyncio.create_task(ask(kept))
        while not app.asked:
            await asyncio.sleep(0)
        with sqlite_archive.write() as session:  # while the first is made: nobody may get it who asks from now on
            session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = version_num")
        late = asyncio.create_task(ask(kept))
        while app.asked < 2:
            await asyncio.sleep(0)
        app.go.set()
        return [await early, await late]

    early, late = run_async(story())
    assert (early[0], late) == (200, (200, b"2"))


def test_it_is_made_again_after_its_time(
    run_async: Callable[..., Any], watch: ChangeWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.kept, "KEPT_SECONDS", 0.0)

    async def story() -> list[tuple[int, bytes]]:
        app = App()
        app.go.set()
        kept = KeptAnswers(app, watch)
        return [await ask(kept), await ask(kept)]

    assert run_async(story()) == [(200, b"1"), (200, b"2")]


@pytest.mark.parametrize(("status", "kind"), [(404, "application/json"), (200, "image/png"), (499, "text/html")])
def test_errors_and_files_are_not_kept(
    run_async: Callable[..., Any], watch: ChangeWatch, status: int, kind: str
) -> None:
    async def story() -> list[tuple[int, bytes]]:
        app = App(status, kind)
        app.go.set()
        kept = KeptAnswers(app, watch)
        return [await ask(kept), await ask(kept)]

    assert run_async(story()) == [(status, b"1"), (status, b"2")]


def test_who_has_it_is_told_so_and_who_compresses_gets_his_own(
    run_async: Callable[..., Any], watch: ChangeWatch
) -> None:
    async def story() -> list[tuple[int, bytes]]:
        app = App()
        app.go.set()
        kept = KeptAnswers(app, watch)
        first = await ask(kept, if_none_match='W/"1"')
        return [first, await ask(kept), await ask(kept, accept_encoding="gzip"), await ask(kept, accept="text/html")]

    assert run_async(story()) == [(304, b""), (200, b"1"), (200, b"2"), (200, b"3")]


def test_when_the_maker_fails_those_who_wait_try_themselves(run_async: Callable[..., Any], watch: ChangeWatch) -> None:
    class Failing(App):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if self.asked == 0:
                self.asked += 1
                await self.go.wait()
                raise KeyError("first")
            await super().__call__(scope, receive, send)

    async def story() -> list[Any]:
        app = Failing()
        kept = KeptAnswers(app, watch)
        asking = [asyncio.create_task(ask(kept)) for _ in range(3)]
        while not app.asked:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        app.go.set()
        return await asyncio.gather(*asking, return_exceptions=True)

    answers = run_async(story())
    assert sum(isinstance(item, KeyError) for item in answers) == 1
    assert [item[0] for item in answers if not isinstance(item, KeyError)] == [200, 200]


def test_what_another_process_writes_is_seen_at_once(own: httpx.Client, own_archive: Archive) -> None:
    name = own.get("/api/blocks").json()["items"][0]["name"]
    page = {"Accept": "text/html"}
    for number in range(5):
        assert own.get(f"/blocks/{name}", headers=page).status_code == 200
        with own_archive.write() as session:
            find_block(session, name).state_reason = f"reason {number}"
        assert own.get(f"/api/blocks/{name}").json()["state_reason"] == f"reason {number}"
