"""Media types of what is not JSON: how OpenAPI tells them, and the names under which such answers are stored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI

from core.instruments.setup import Setup

__all__ = [
    "BYTES",
    "FITS",
    "PNG",
    "PROBLEM",
    "TEXT",
    "answers",
    "disposition",
    "install_openapi",
    "joined_name",
    "stored_name",
]

FITS: Final = "application/fits"
PNG: Final = "image/png"
TEXT: Final = "text/plain"
BYTES: Final = "application/octet-stream"
PROBLEM: Final = "application/problem+json"

_PLAIN: Final = re.compile(r"[\w.:+@,= -]*", re.ASCII)
_ERRORS: Final = ("4XX", "5XX")
_ENDINGS: Final = (".fits.fz", ".fits", ".png", ".log", ".csv", ".vot")


def answers(*media_types: str, parts: bool = False) -> dict[int | str, dict[str, Any]]:
    """``responses`` of a route that answers with one of these types; ``parts``: it understands ``Range``."""
    content = {name: {"schema": {"type": "string", "format": "binary"}} for name in media_types}
    found: dict[int | str, dict[str, Any]] = {200: {"content": content}}
    if parts:
        found[206] = {"description": "The range that was asked for", "content": content}
        found[304] = {"description": "The client has it already"}
    return found


def install_openapi(app: FastAPI) -> None:
    """Have the OpenAPI document say that errors are problems, whatever a route answers with otherwise."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            for path in make()["paths"].values():
                for operation in path.values():
                    for status in _ERRORS:
                        answer = operation["responses"][status]
                        (schema,) = answer["content"].values()
                        answer["content"] = {PROBLEM: schema}
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def stored_name(file_name: str, night: date, setup: Setup) -> str:
    """Under which a file is stored by who downloads it: with the night and the set-up.

    Examples
    --------
    >>> stored_name("MASTER_BIAS-07.fits", date(2026, 11, 19), Setup("MUSE", (), slug="WFM-NOAO-N"))
    'MASTER_BIAS-07_2026-11-19_WFM-NOAO-N.fits'
    """
    ending = next((item for item in _ENDINGS if file_name.endswith(item)), "")
    return joined_name((file_name.removesuffix(ending), night.isoformat(), setup.slug), ending)


def disposition(name: str, *, shown: bool = False) -> str:
    """``Content-Disposition`` of a file of this name."""
    kind = "inline" if shown else "attachment"
    if _PLAIN.fullmatch(name):
        return f'{kind}; filename="{name}"'
    return f"{kind}; filename*=utf-8''{quote(name, safe='')}"


def joined_name(parts: Iterable[str | None], ending: str) -> str:
    """A file name of its parts, those that are empty left out; without what would be a path or end the header."""
    name = "_".join(part for part in parts if part)
    return "".join("-" if char in '/\\"' or ord(char) < 32 else char for char in name) + ending
