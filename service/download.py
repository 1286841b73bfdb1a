"""Files that go out whole or in parts, each answer from one version of the file only.

When a block is run again, a product is replaced by rename while its row is still that of the old one. So nothing of an
answer comes from the row: the file is opened first, and entity tag, length and bytes are all of what is open. A client
that resumes with ``If-Range`` and this tag gets the rest of the same version, or the whole of the new one.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO, Final

from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from service.files import FileGoneError
from service.media import disposition

__all__ = ["OpenFileResponse", "entity_tag", "has_already"]

_OF_304 = ("etag", "cache-control", "last-modified")
_GONE: Final = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE)
_REFUSED: Final = {
    400: "The header Range is not understood: it is like bytes=0-2879.",
    416: "The range begins behind the end of the file.",
}


def entity_tag(found: os.stat_result) -> str:
    """Strong entity tag of an open file; a file that is replaced or written again has another one."""
    return f'"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"'


class OpenFileResponse(FileResponse):
    """A file, or the ranges of it that are asked for; 304 to a client that has this version.

    Parameters
    ----------
    path : pathlib.Path
        Opened when the answer is sent; `FileGoneError` if it is not there then.
    media_type : str
    filename : str
        Name under which a browser stores it.
    shown : bool
        In the browser, and stored only when its reader wishes.
    cache : str
        ``Cache-Control``.
    """

    def __init__(
        self,
        path: Path,
        *,
        media_type: str,
        filename: str,
        shown: bool = False,
        cache: str = "no-cache",
    ) -> None:
        headers = {"Cache-Control": cache, "Content-Disposition": disposition(filename, shown=shown)}
        super().__init__(path, media_type=media_type, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; the head only where the client asked for no more (`service.conditional`)."""
        if scope.get("only_head"):
            scope = {**scope, "method": "HEAD"}
        with await run_in_threadpool(_open, Path(self.path)) as stream:
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
            await super().__call__(scope, receive, _Sender(send).send)


class _Sender:
    """Passes an answer on: refused ranges as problems, and of a file that grows meanwhile what was announced."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._left: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            if message["status"] in _REFUSED:
                extra = {"Content-Range": headers["content-range"]} if "content-range" in headers else None
                raise HTTPException(message["status"], _REFUSED[message["status"]], extra)
            self._left = int(headers["content-length"])
        elif self._left is not None:
            body = message.get("body", b"")[: self._left]
            self._left -= len(body)
            message = {**message, "body": body}
        await self._send(message)


def _open(path: Path) -> IO[bytes]:
    """Open a regular file; whatever else has its name now (a pipe would never open) is not that file."""
    try:
        stream = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
        if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return stream
        stream.close()
    except PermissionError as error:
        raise FileGoneError(f"the service may not read the file {path.name}", file=path) from error
    except OSError as error:
        if error.errno not in _GONE:
            raise
        raise FileGoneError(f"the file {path.name} is not on disk any more", file=path) from error
    raise FileGoneError(f"{path.name} is no file any more", file=path)


def has_already(if_none_match: str | None, tag: str) -> bool:
    """Whether a client has a version by its ``If-None-Match``; weak tags count as the strong ones of their text."""
    if if_none_match is None:
        return False
    tags = [item.strip().removeprefix("W/") for item in if_none_match.split(",")]
    return "*" in tags or tag.removeprefix("W/") in tags
