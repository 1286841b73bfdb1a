"""What is refused before anything is done for a request: foreign names, foreign pages, bodies without end.

A page of another site can reach a service on this machine through the browser of somebody who may: under a name that
its owner points to an address of this network ("DNS rebinding"), or by sending a form. The first shows in ``Host``,
the second in ``Origin`` and ``Sec-Fetch-Site``, which pages cannot set. A literal address in ``Host`` is no name that
somebody else could point here, and is always accepted.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import NonRetriableError

__all__ = [
    "MAX_BODY_BYTES",
    "BodyLimit",
    "ForeignRequestError",
    "OwnSourcesOnly",
    "UnknownHostError",
    "check_origin",
    "host_is_known",
]

MAX_BODY_BYTES: Final = 1_000_000
"""Longest body of a request [byte]."""

# Everything comes from here: no other host is asked for anything.
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_SAFE: Final = ("GET", "HEAD", "OPTIONS")


class UnknownHostError(NonRetriableError):
    """The service is asked for under a name that is not its own."""

    error_type = "unknown_host"
    http_status = 421


class ForeignRequestError(NonRetriableError):
    """A page of another site sent the order through the browser of somebody who may reach this one."""

    error_type = "foreign_request"
    http_status = 403


def host_is_known(host: str, allowed: Collection[str]) -> bool:
    """Whether a ``Host`` header is an address, this machine, or one of the names that are allowed.

    Parameters
    ----------
    host : str
        With or without port; empty if there is none, as in HTTP/1.0.
    allowed : collection of str
        Further names, in small letters; ``*`` accepts any.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    own = ("", "localhost", socket.gethostname().lower())
    return "*" in allowed or name in own or name.endswith(".localhost") or name in allowed or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def check_origin(request: Request, allowed: Collection[str]) -> None:
    """Refuse what comes from elsewhere.

    Raises
    ------
    UnknownHostError
        If the request is for a name that is not the service's.
    ForeignRequestError
        If a page of another origin sends an order.
    """
    host = request.headers.get("host", "")
    if not host_is_known(host, allowed):
        raise UnknownHostError(
            f"this service is not asked for as {host[:80]!r}: use its address, or add the name to CASCADE_ALLOWED_HOSTS"
        )
    if request.method in _SAFE:
        return
    site, origin = request.headers.get("sec-fetch-site", "none"), request.headers.get("origin")
    if site not in ("none", "same-origin") or (origin is not None and urlsplit(origin).netloc != host):
        raise ForeignRequestError("orders are taken from the pages of this service only, not from those of another")


class BodyLimit:
    """ASGI middleware: bodies that are longer than `MAX_BODY_BYTES` are refused before they are read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request whose body is counted while it is read."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        whole = int(declared) if declared.isdigit() and len(declared) < 20 else MAX_BODY_BYTES + 1
        read = 0

        async def counted() -> Message:
            nonlocal read
            if max(whole, read) <= MAX_BODY_BYTES:
                message = await receive()
                read += len(message.get("body", b""))
            if max(whole, read) > MAX_BODY_BYTES:
                raise HTTPException(413, f"The body is longer than {MAX_BODY_BYTES} bytes.")
            return message

        await self.app(scope, counted, send)


class OwnSourcesOnly:
    """ASGI middleware: tells browsers to load nothing from elsewhere, and not to guess media types."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request with these headers, where an answer has none of its own."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, with_headers)
