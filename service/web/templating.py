"""Jinja2 environment of the pages: filters, static file versions, state words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from core.archive.models import Block
from core.archive.states import BlockState, FrameState, ProductState
from service import text
from service.commands import command_line
from service.web.words import lost_words

__all__ = ["STATES", "STATIC_DIR", "VERDICTS", "block_mark", "environment", "render", "static_url"]

HERE: Final = Path(__file__).parent
STATIC_DIR: Final = HERE / "static"
_MARKS: Final = 4096  # of each kind that are kept

# What is shown of a state: (colour class, glyph, word). Never the colour alone.
STATES: Final[dict[str, tuple[str, str, str]]] = {
    BlockState.INCOMPLETE: ("warn", "▲", "incomplete"),
    BlockState.WAITING: ("none", "◷", "waiting"),
    BlockState.READY: ("none", "○", "ready"),
    BlockState.QUEUED: ("none", "◔", "queued"),
    BlockState.RUNNING: ("run", "▶", "running"),
    BlockState.DONE: ("good", "✓", "done"),
    BlockState.FAILED: ("bad", "✕", "failed"),
    BlockState.CANCELLED: ("none", "⊘", "cancelled"),
    BlockState.SUPERSEDED: ("none", "↷", "superseded"),
    ProductState.PROVISIONAL: ("none", "○", "provisional"),
    ProductState.CERTIFIED: ("good", "✓", "certified"),
    ProductState.REJECTED: ("bad", "✕", "rejected"),
    FrameState.PRESENT: ("good", "✓", "present"),
    FrameState.MISSING: ("none", "▲", "missing"),
    FrameState.DUPLICATE: ("none", "⊘", "duplicate"),
    FrameState.DAMAGED: ("bad", "✕", "damaged"),
    FrameState.EXCLUDED: ("warn", "⊘", "excluded"),
    "alive": ("good", "✓", "alive"),
    "stopped": ("none", "■", "stopped"),
    "dead": ("bad", "✕", "silent"),
}
SCORES: Final[dict[int | None, tuple[str, str, str]]] = {
    0: ("good", "✓", "good"),
    1: ("bad", "✕", "outlier"),
    None: ("none", "–", "not scored"),
}
VERDICTS: Final = {
    "good": ("good", "✓", "good"),
    "warn": ("warn", "▲", "to check"),
    "bad": ("bad", "✕", "outlier or failed"),
    "run": ("run", "▶", "in work"),
    "none": ("none", "–", "not scored"),
}


@cache
def _digest(path: str) -> str:
    return hashlib.sha256((STATIC_DIR / path).read_bytes()).hexdigest()[:10]


def static_url(path: str) -> str:
    """Address of a static file that changes with its content, so that browsers may keep it for ever."""
    return f"/static/{path}?v={_digest(path)}"


def block_mark(block: Block) -> tuple[str, str, str]:
    """Colour class, glyph and word of the state of a block.

    One that is done but for some units, or with doubtful calibrations, is not good.
    """
    words = lost_words(block)
    if not words:
        doubtful = block.doubtful and block.state is BlockState.DONE
        return ("warn", "▲", "done, doubtful parent") if doubtful else STATES[block.state]
    return ("bad", "✕", f"done, {words}") if block.failed_units else ("warn", "▲", f"done, {words}")


@lru_cache(4096, typed=True)
def _segment(value: Any) -> str:
    return quote(str(value), safe=":+,@")


class _Marks:
    """The macros of ``marks.html``: what they make depends on nothing but their arguments, so it is made once."""

    def __getattr__(self, name: str) -> Callable[..., Markup]:
        macro = getattr(environment().get_template("marks.html").module, name)
        made = lru_cache(_MARKS, typed=True)(macro)
        setattr(self, name, made)
        return made


@cache
def environment() -> Environment:
    """The environment, made once."""
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,  # no look at the files of templates for each page
    )
    env.filters.update(
        {
            "age": text.age,
            "bytes": text.byte_count,
            "mebibytes": text.mebibytes,
            "clock": text.clock,
            "duration": text.duration,
            "moment": text.moment,
            "mjd": text.mjd_moment,
            "num": text.number,
            "qc1": text.qc1_number,
            "quantity": text.quantity,
            "range": text.range_text,
            "signed_age": text.signed_age,
            "unit": text.unit_text,
            "word": text.word,
            "seg": _segment,
        }
    )
    env.globals.update(
        {
            "block_mark": block_mark,
            "marks": _Marks(),
            "static": static_url,
            "STATES": STATES,
            "SCORES": SCORES,
            "VERDICTS": VERDICTS,
        }
    )
    return env


def _with_data_dir(request: Request) -> Callable[[str], str]:
    return partial(command_line, request.app.state.settings)


def render(request: Request, template: str, context: Mapping[str, Any], status_code: int = 200) -> HTMLResponse:
    """Render a page; ``status`` (the alarms of the installation) may be missing, e.g. on error pages."""
    html = (
        environment()
        .get_template(template)
        .render({"request": request, "status": None, "now": None, "here": _with_data_dir(request), **context})
    )
    return HTMLResponse(html, status_code=status_code)
