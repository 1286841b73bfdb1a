"""Errors over HTTP: problem+json for programs, a page with cause, cure and request id for browsers."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import MuseError
from service.guard import ForeignRequestError, UnknownHostError, check_origin
from service.media import PROBLEM
from service.web.templating import render

__all__ = ["PROBLEM_RESPONSES", "Problem", "install_error_handlers"]

log = logging.getLogger(__name__)

TITLES: Final = {
    400: "The request cannot be understood",
    403: "This is not allowed",
    404: "There is no such thing",
    405: "This cannot be done here",
    410: "It is not here any more",
    409: "It does not fit the present state",
    413: "The request is too large",
    416: "The range lies outside the file",
    421: "The service has another name",
    422: "The request is not valid",
    429: "Too much is asked for at once",
    500: "The service made an error",
    503: "The service cannot answer now",
}
CURES: Final = {
    "not_found": "Check the name, or search for it with the key /.",
    "archive_unavailable": "Check that the database runs (cascade status), then load the page again.",
    "schema_version": "Run: cascade db upgrade",
    "validation": "Correct the values named above; the REST documentation at /api/docs says what is accepted.",
    "file_gone": "The archive knows the file, but it is not on the disk of this machine: mount the directory or run "
    "the block again.",
    "internal": "Look for the request id in the log of the service and report it with the traceback.",
}


class Problem(BaseModel):
    """An error as RFC 9457 wants it, with the type of the project's own taxonomy."""

    type: str = Field("about:blank", description="Always about:blank; error_type tells errors apart")
    title: str
    status: int
    detail: str = Field(description="One sentence with the cause and, where there is one, the cure")
    error_type: str = Field(description="Stable name of the error class, see core/errors.py")
    context: dict[str, str] = Field(default_factory=dict, description="The things concerned: file, keyword, block ...")
    request_id: str


PROBLEM_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"model": Problem, "description": "Problem"},
    "5XX": {"model": Problem, "description": "Problem"},
}


class _Answering:
    """ASGI middleware: a request id for every response, and an answer whatever happens."""

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str]) -> None:
        self.app, self._allowed_hosts = app, allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        given = request.headers.get("X-Request-ID", "")
        usable = given.isascii() and given.replace("-", "").isalnum() and len(given) <= 64
        request.state.request_id = given if usable else uuid.uuid4().hex[:12]
        begun = False

        async def named(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message)["X-Request-ID"] = request.state.request_id
            await send(message)

        try:
            if "\0" in scope["path"] or b"%00" in scope["query_string"]:
                response = _answer(request, 400, "The address contains a zero byte.", "validation", {})
            else:
                check_origin(request, self._allowed_hosts)
                await self.app(scope, receive, named)
                return
        except (UnknownHostError, ForeignRequestError) as error:
            response = _answer(request, error.http_status, error.message, error.error_type, error.context)
        except Exception:  # the last line of defence: the client gets an answer, the log the traceback
            log.exception("request %s %s failed [%s]", request.method, request.url.path, request.state.request_id)
            if begun:  # the server breaks the connection off, so that half an answer is not taken for a whole one
                raise
            response = _answer(request, 500, "An unexpected error; nothing was changed.", "internal", {})
        await response(scope, receive, named)


def install_error_handlers(app: FastAPI, allowed_hosts: Collection[str] = ()) -> None:
    """Give every response a request id, and every error the same shape; refuse requests that come from elsewhere.

    Parameters
    ----------
    app : fastapi.FastAPI
    allowed_hosts : collection of str
        See `service.guard.host_is_known`.
    """

    app.add_middleware(_Answering, allowed_hosts=allowed_hosts)

    @app.exception_handler(MuseError)
    def _muse_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, MuseError)
        if error.http_status >= 500:
            log.error("request %s failed: %s [%s]", request.url.path, error, request.state.request_id)
        wait = getattr(error, "retry_after", None)
        headers = None if wait is None else {"Retry-After": str(wait)}
        return _answer(request, error.http_status, error.message, error.error_type, error.context, headers)

    @app.exception_handler(HTTPException)
    def _http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = error.status_code
        kind = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 416: "range"}.get(status, "http")
        detail = str(error.detail)
        if status == 404 and detail == "Not Found":
            detail = f"There is no page {request.url.path}."
        return _answer(request, status, detail, kind, {"path": request.url.path}, dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        context = {".".join(str(part) for part in item["loc"][1:]): str(item["msg"]) for item in error.errors()}
        detail = "; ".join(f"{name or 'request'}: {text}" for name, text in context.items())
        return _answer(request, 422, detail, "validation", context)


def _answer(
    request: Request,
    status: int,
    detail: str,
    error_type: str,
    context: dict[str, str],
    headers: dict[str, str] | None = None,
) -> Response:
    problem = Problem(
        title=TITLES.get(status, "The request failed"),
        status=status,
        detail=detail,
        error_type=error_type,
        context=context,
        request_id=request.state.request_id,
    )
    if request.url.path.startswith("/api") or "text/html" not in request.headers.get("accept", ""):
        return JSONResponse(problem.model_dump(), status_code=status, media_type=PROBLEM, headers=headers)
    # No session here: the error may be that the database does not answer.
    return render(request, "error.html", {"problem": problem, "cure": CURES.get(error_type, "")}, status_code=status)
