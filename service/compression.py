"""Compression of pages and JSON; files and pictures go out as they are, so that ranges keep their meaning."""

from __future__ import annotations

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["GzipPages", "is_file"]

_AS_THEY_ARE = ("/file", "/series.csv", "/series.fits", "/series.vot", "/preview.png", "/pixels", "/log")


def is_file(path: str) -> bool:
    """Whether an address is that of a file or picture."""
    return path.endswith(_AS_THEY_ARE) or "/plots/" in path


class GzipPages:
    """Gzip for everything that is not a file."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain = app
        self._gzip = GZipMiddleware(app, minimum_size=1024, compresslevel=4)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Choose by the path."""
        plain = scope["type"] != "http" or is_file(scope["path"])
        await (self._plain if plain else self._gzip)(scope, receive, send)
