"""``Link`` headers (RFC 8288): pieces of a list, the page of an answer and back, what describes a file.

What belongs together is read off the routes: ``/frames/{name}`` is the page of ``/api/frames/{name}``, which describes
whatever lies below it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.archive.pages.slices import Slice
from service.schemas import Page

__all__ = ["Links", "Pager", "PagerDep", "add_alternates", "addresses", "link_header"]

Row = TypeVar("Row")
Key = TypeVar("Key")
Out = TypeVar("Out")

_API: Final = "/api"
_HTML, _JSON = "text/html", "application/json"
_NAME: Final = re.compile(r"\\{\w+\\}")  # in an escaped template


class _Link(NamedTuple):
    target: str
    rel: str
    media_type: str | None = None


def link_header(links: Iterable[_Link]) -> str:
    """The value of the header."""
    return ", ".join(
        f'<{target}>; rel="{rel}"' + (f'; type="{media_type}"' if media_type else "")
        for target, rel, media_type in links
    )


class Pager:
    """Makes the answer of a list: an envelope, and the same in the header for whoever follows links."""

    def __init__(self, request: Request, response: Response) -> None:
        self._request, self._response = request, response

    def page(self, found: Slice[Row, Key], make: Callable[[Row], Out]) -> Page[Out, Key]:
        """The piece of a list that was found."""
        links = [_Link(self._address(None), "first")]
        if found.has_previous:
            links.append(_Link(self._address(found.previous), "prev"))
        if found.next is not None:
            links.append(_Link(self._address(found.next), "next"))
        self._response.headers.append("Link", link_header(links))
        return Page(items=[make(row) for row in found.rows], next=found.next)

    def _address(self, after: Any | None) -> str:
        query = [(name, value) for name, value in self._request.query_params.multi_items() if name != "after"]
        if after is not None:
            query.append(("after", str(after)))
        return _quoted(self._request.url.path) + (f"?{urlencode(query)}" if query else "")


PagerDep = Annotated[Pager, Depends(Pager)]


def add_alternates(request: Request, response: Response, kinds: Mapping[str, str]) -> None:
    """Say that the same is to be had as files with these endings, of these media types."""
    path, query = _quoted(request.url.path), request.url.query
    links = (_Link(f"{path}.{kind}?{query}", "alternate", media_type) for kind, media_type in kinds.items())
    response.headers.append("Link", link_header(links))


def addresses(routers: Iterable[APIRouter]) -> Iterator[str]:
    """Path templates of what is read."""
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
                yield route.path


def _quoted(path: str) -> str:
    return quote(path, safe="/:")


class Links:
    """ASGI middleware: says with each answer what belongs to it.

    Parameters
    ----------
    app
    pages, rest : iterable of str
        Path templates of what is read, ``/frames/{dp_id}``; those of REST without ``/api``.
    """

    def __init__(self, app: ASGIApp, pages: Iterable[str], rest: Iterable[str]) -> None:
        self.app = app
        self._pages = _Addresses(pages)
        self._rest = _Addresses(rest)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""

        async def linked(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (200, 206):
                links = self._links(scope["path"])
                if links:
                    MutableHeaders(scope=message).append("Link", link_header(links))
            await send(message)

        await self.app(scope, receive, linked if scope["type"] == "http" else send)

    def _links(self, path: str) -> list[_Link]:
        if not path.startswith(f"{_API}/"):
            return (
                [_Link(_quoted(_API + path), "alternate", _JSON)] if path in self._pages and path in self._rest else []
            )
        path = path.removeprefix(_API)
        if path not in self._rest:
            return []
        links = [_Link(_quoted(path), "alternate", _HTML)] if path in self._pages else []
        while path := path.rpartition("/")[0]:
            if path in self._rest:
                rel = "describedby" if self._rest.is_named(path) else "collection"
                links.append(_Link(_quoted(_API + path), rel, _JSON))
                break
        return links


class _Addresses:
    """Which paths there are, by their templates."""

    def __init__(self, templates: Iterable[str]) -> None:
        # Written out parts go before names: "/running" is no name of a block.
        self._known = [
            (re.compile(_NAME.sub("[^/]+", re.escape(template))), template.endswith("}"))
            for template in sorted(templates)
        ]

    def __contains__(self, path: str) -> bool:
        return any(pattern.fullmatch(path) for pattern, _ in self._known)

    def is_named(self, path: str) -> bool:
        """Whether a path ends with the name of a thing."""
        return next((named for pattern, named in self._known if pattern.fullmatch(path)), False)
