"""HEAD for every address that is read, and tags that save an answer which the client has already.

Files have tags of their own (`service.download`). The tag of a page or of JSON is the hash of its text: weak, since it
goes out compressed or plain.
"""

from __future__ import annotations

import hashlib
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.download import has_already

__all__ = ["MAX_TAGGED_BYTES", "TAGGED", "Conditional", "not_modified"]

MAX_TAGGED_BYTES: Final = 1_000_000
"""Longest answer kept for its tag [byte]: a long series goes from its file to the client, not through memory."""

TAGGED: Final = ("text/html", "application/json")
"""Media types of the answers that get a tag here."""

_OF_304: Final = ("etag", "cache-control", "vary", "content-location", "link")


class Conditional:
    """ASGI middleware: answers HEAD as GET without the body, and 304 to ``If-None-Match``."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        answer = _Answer(send, only_head=scope["method"] == "HEAD", known=Headers(scope=scope).get("if-none-match"))
        await self.app({**scope, "method": "GET", "only_head": answer.only_head}, receive, answer.send)


class _Answer:
    """One answer on its way; a page or JSON is kept until it is whole."""

    def __init__(self, send: Send, *, only_head: bool, known: str | None) -> None:
        self._send, self.only_head, self._known = send, only_head, known
        self._start: Message | None = None
        self._parts: list[bytes] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_tagged(message):
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._send_whole(self._start, b"".join(self._parts))
        elif message["type"] == "http.response.body" and self.only_head:
            if not message.get("more_body", False):
                await self._send({"type": "http.response.body", "body": b""})
        else:
            await self._send(message)

    async def _send_whole(self, start: Message, body: bytes) -> None:
        headers = MutableHeaders(raw=list(start["headers"]))
        tag = headers["etag"] = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        headers.setdefault("Cache-Control", "no-cache")
        if has_already(self._known, tag):
            await self._send(not_modified(headers.raw))
            body = b""
        else:
            await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": b"" if self.only_head else body})


def not_modified(headers: list[tuple[bytes, bytes]]) -> Message:
    """How an answer with these headers begins for a client that has it already."""
    kept = [(name, value) for name, value in headers if name.decode() in _OF_304]
    return {"type": "http.response.start", "status": 304, "headers": kept}


def _is_tagged(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    kind = headers.get("content-type", "").partition(";")[0]
    size = int(headers.get("content-length", MAX_TAGGED_BYTES + 1))
    return start["status"] == 200 and kind in TAGGED and "etag" not in headers and size <= MAX_TAGGED_BYTES
