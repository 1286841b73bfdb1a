"""Answers and facts that are made once for all who ask at the same time.

What was made is given again while nothing at all was written to the archive (`core.archive.changes`), and for one
second at most, since pages also say how old things are and who is alive. So nobody ever sees what was not true after
the last commit, whichever process made it. Each process of the pages keeps for itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.archive.changes import ChangeWatch, Stamp
from core.archive.pages.health import state_counts
from core.archive.sessions import Archive
from core.archive.states import BlockState
from core.settings import Settings
from service.compression import is_file
from service.conditional import MAX_TAGGED_BYTES, TAGGED, not_modified
from service.download import has_already
from service.live import live_token
from service.status import Status, read_status

__all__ = ["KEPT_SECONDS", "Beat", "KeptAnswers", "Pulse"]

KEPT_SECONDS: Final = 1.0
_OF_THE_MOMENT: Final = ("/live", "/api/health")  # they say what time it is

_Key = tuple[bytes, bytes, bytes, bool, bool]


@dataclass(frozen=True)
class _Validity:
    """When and of what state of the archive something was made."""

    stamp: Stamp
    time: float

    @classmethod
    def now(cls, stamp: Stamp) -> _Validity:
        return cls(stamp, time.monotonic())

    def holds(self, stamp: Stamp) -> bool:
        return self.stamp == stamp and not self.ended

    @property
    def ended(self) -> bool:
        return self.age > KEPT_SECONDS

    @property
    def age(self) -> float:
        return time.monotonic() - self.time


async def _stamp(watch: ChangeWatch) -> Stamp | None:
    return watch.stamp() if watch.is_quick else await run_in_threadpool(watch.stamp)


@dataclass(frozen=True)
class Beat:
    """What all pages of a moment say.

    Attributes
    ----------
    status : Status
    token : str
        See `service.live`.
    counts : mapping of BlockState to int
        Blocks that are not quiet.
    """

    status: Status
    token: str
    counts: Mapping[BlockState, int]


class Pulse:
    """The present `Beat`, read once for all requests of a moment."""

    def __init__(self, archive: Archive, watch: ChangeWatch, settings: Settings) -> None:
        self._archive, self._watch, self._settings = archive, watch, settings
        self._lock = asyncio.Lock()  # whoever asks while it is being read waits for it, and in no thread
        self._last: tuple[_Validity, Beat] | None = None

    async def beat(self) -> Beat:
        """That of this moment; what is read afterwards is at least as new."""
        async with self._lock:
            stamp = await _stamp(self._watch)
            kept = self._kept(stamp)
            return kept if kept is not None else await run_in_threadpool(self._read, stamp)

    def _kept(self, stamp: Stamp | None) -> Beat | None:
        if self._last is not None and stamp is not None and self._last[0].holds(stamp):
            since, beat = self._last
            return replace(beat, status=replace(beat.status, now=beat.status.now + timedelta(seconds=since.age)))
        return None

    def _read(self, stamp: Stamp | None) -> Beat:
        began = None if stamp is None else _Validity.now(stamp)
        with self._archive.read() as session:
            status = read_status(session, self._settings)
            beat = Beat(status, live_token(session, status), state_counts(session))
        self._last = None if began is None else (began, beat)
        return beat


@dataclass(frozen=True)
class _Answer:
    validity: _Validity
    start: Message
    body: bytes

    async def send(self, known: str | None, send: Send) -> None:
        """Send it; only that it is still true to a client that has it."""
        tag = Headers(raw=self.start["headers"]).get("etag", "")
        if has_already(known, tag):
            await send(not_modified(self.start["headers"]))
            await send({"type": "http.response.body", "body": b""})
        else:
            # What is outside of here writes headers of its own into the list.
            await send({**self.start, "headers": list(self.start["headers"])})
            await send({"type": "http.response.body", "body": self.body})


class KeptAnswers:
    """ASGI middleware: pages and JSON that several clients ask for within a second are made once.

    Whoever asks while an answer is being made waits for it. Files, long answers and errors are not kept.
    """

    def __init__(self, app: ASGIApp, watch: ChangeWatch) -> None:
        self.app = app
        self._watch = watch
        self._kept: OrderedDict[_Key, _Answer] = OrderedDict()  # by time, oldest first
        self._making: dict[tuple[_Key, Stamp], asyncio.Future[_Answer | None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or scope["method"] != "GET" or _is_never_kept(scope["path"]):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        stamp = await _stamp(self._watch)
        if stamp is None:  # what is wrong is told by the one who tries to read
            await self.app(scope, receive, send)
            return
        answer = await self._find(_key(scope, headers), stamp)
        if answer is not None:
            await answer.send(headers.get("if-none-match"), send)
        else:
            await self._make(_key(scope, headers), stamp, scope, receive, send)

    async def _find(self, key: _Key, stamp: Stamp) -> _Answer | None:
        answer = self._kept.get(key)
        if answer is not None and answer.validity.holds(stamp):
            return answer
        making = self._making.get((key, stamp))
        return None if making is None else await asyncio.shield(making)

    async def _make(self, key: _Key, stamp: Stamp, scope: Scope, receive: Receive, send: Send) -> None:
        recorder = _Recorder(_Validity.now(stamp), send)
        future: asyncio.Future[_Answer | None] = asyncio.get_running_loop().create_future()
        self._making[key, stamp] = future
        # Others get the whole answer, also if this client knows it already.
        whole = {**scope, "headers": [item for item in scope["headers"] if item[0] != b"if-none-match"]}
        try:
            await self.app(whole, receive, recorder.send)
        finally:
            if self._making.get((key, stamp)) is future:
                del self._making[key, stamp]
            if recorder.answer is not None:
                self._keep(key, recorder.answer)
            future.set_result(recorder.answer)
        if recorder.answer is not None:
            await recorder.answer.send(Headers(scope=scope).get("if-none-match"), send)

    def _keep(self, key: _Key, answer: _Answer) -> None:
        while self._kept and next(iter(self._kept.values())).validity.ended:
            self._kept.popitem(last=False)
        self._kept[key] = answer
        self._kept.move_to_end(key)


def _is_never_kept(path: str) -> bool:
    return path in _OF_THE_MOMENT or path.startswith("/static/") or is_file(path)


def _key(scope: Scope, headers: Headers) -> _Key:
    """What an answer depends on, besides the archive."""
    return (
        scope.get("raw_path") or scope["path"].encode(),
        scope["query_string"],
        headers.get("host", "").encode("latin-1"),
        "gzip" in headers.get("accept-encoding", ""),
        "text/html" in headers.get("accept", ""),
    )


class _Recorder:
    """Takes an answer down if it can be kept, and passes it on if not."""

    def __init__(self, validity: _Validity, send: Send) -> None:
        self._validity, self._send = validity, send
        self._start: Message | None = None
        self._parts: list[bytes] = []
        self.answer: _Answer | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _may_be_kept(message):
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                self.answer = _Answer(self._validity, self._start, b"".join(self._parts))
        else:
            await self._send(message)


def _may_be_kept(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    size = int(headers.get("content-length", MAX_TAGGED_BYTES + 1))
    return (
        start["status"] == 200
        and headers.get("content-type", "").partition(";")[0] in TAGGED
        and headers.get("etag", "").startswith("W/")  # a tag of `service.conditional`
        and size <= MAX_TAGGED_BYTES
    )
