"""Files that go out whole or in parts, each answer from one version of the file only.

When a block is run again, a product is replaced by rename while its row is still that of the old one. So nothing of an
answer comes from the row: the file is opened first, and entity tag, length and bytes are all of what is open. A client
that resumes with ``If-Range`` and this tag gets the rest of the same version, or the whole of the new one.
"""

from __future__ import annotations

import os
from pathlib import Path

from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from service.files import FileGoneError

__all__ = ["OpenFileResponse", "entity_tag", "has_already"]

_OF_304 = ("etag", "cache-control", "last-modified")


def entity_tag(stat: os.stat_result) -> str:
    """Strong entity tag of an open file; a file that is replaced or written again has another one."""
    return f'"{stat.st_ino:x}-{stat.st_size:x}-{stat.st_mtime_ns:x}"'


class OpenFileResponse(FileResponse):
    """A file, or the ranges of it that are asked for; 304 to a client that has this version.

    Parameters
    ----------
    path : pathlib.Path
        Opened when the answer is sent; `FileGoneError` if it is not there then.
    media_type : str
    filename : str, optional
        Name under which a browser stores it; shown in the browser if not given.
    cache : str
        ``Cache-Control``.
    """

    def __init__(self, path: Path, *, media_type: str, filename: str | None = None, cache: str = "no-cache") -> None:
        super().__init__(path, media_type=media_type, filename=filename, headers={"Cache-Control": cache})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; the head only where the client asked for no more (`service.conditional`)."""
        if scope.get("only_head"):
            scope = {**scope, "method": "HEAD"}
        try:
            stream = await run_in_threadpool(open, self.path, "rb")
        except FileNotFoundError as error:
            name = os.path.basename(self.path)
            raise FileGoneError(f"the file {name} is not on disk any more", file=self.path) from error
        with stream:
            self.stat_result = os.fstat(stream.fileno())
            tag = entity_tag(self.stat_result)
            self.headers["etag"] = tag
            self.set_stat_headers(self.stat_result)
            asked = Headers(scope=scope)
            if has_already(asked.get("if-none-match"), tag):
                kept = {name: value for name, value in self.headers.items() if name in _OF_304}
                await Response(status_code=304, headers=kept)(scope, receive, send)
                return
            # The name may be that of another version by now, and only a server of this process knows the descriptor.
            self.path = f"/dev/fd/{stream.fileno()}"
            extensions = {name: value for name, value in scope.get("extensions", {}).items() if "pathsend" not in name}
            scope = {**scope, "extensions": extensions}
            # A date tells versions of one second apart as little as a weak tag does.
            if asked.get("if-range", tag) != tag:
                scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"range"]
            await super().__call__(scope, receive, send)


def has_already(if_none_match: str | None, tag: str) -> bool:
    """Whether a client has a version by its ``If-None-Match``; weak tags count as the strong ones of their text."""
    if if_none_match is None:
        return False
    tags = [item.strip().removeprefix("W/") for item in if_none_match.split(",")]
    return "*" in tags or tag.removeprefix("W/") in tags
