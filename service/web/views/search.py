"""``/search``: names of nights, frames, blocks, products, quarantined files, recipes, tables and keywords."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse

from core.archive.pages.frames import find_held, find_names
from core.archive.pages.qc1 import qc1_tables
from core.instruments.catalogue import qc1_definitions
from core.instruments.registry import instruments
from core.qc1.names import NamedParameter, find_named
from service.declarations import recipe_names_in_order
from service.web.page import PageDep

router = APIRouter()
LIMIT = 20


@router.get("/search")
def search_page(page: PageDep, q: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Goes to the only hit, or lists what was found."""
    text = q.strip()
    hits = _hits(page, text) if text else []
    kinds = Counter(kind for kind, _, _ in hits)
    cut = any(kinds[kind] > LIMIT for kind in kinds)
    hits = [hit for number, hit in _numbered(hits) if number <= LIMIT]
    if len(hits) == 1:
        return RedirectResponse(hits[0][2], status_code=303)
    return page.render("search.html", q=text, hits=hits, cut=cut, limit=LIMIT)


def _numbered(hits: list[tuple[str, str, str]]) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """Hits with their running number within their kind."""
    seen: Counter[str] = Counter()
    for hit in hits:
        seen[hit[0]] += 1
        yield seen[hit[0]], hit


def _hits(page: PageDep, text: str) -> list[tuple[str, str, str]]:
    hits: list[tuple[str, str, str]] = []
    try:
        night = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return [("night", night.isoformat(), f"/nights/{night.isoformat()}")]
    folded = text.lower().replace(".", "_").replace(" ", "_")
    named = find_named(text, qc1_definitions())
    if named and (named[0].indices or ".." in text or not _is_column(text)):
        return [_named_hit(item) for item in named]
    trends = {trend.parameter: trend.label.lower() for item in instruments() for trend in item.qc1.key_trends}
    hits += [("recipe", name, f"/docs/recipes/{name}") for name in recipe_names_in_order() if folded in name]
    for table, parameters in qc1_tables(page.session).items():
        if folded in table:
            hits.append(("QC1 table", table, f"/qc1/{table}"))
        for item in parameters:
            keyword = item.keyword.lower()
            words = f"{item.column_name} {keyword.replace('.', '_')} {item.description.lower()} {keyword} "
            words += trends.get(f"{table}..{item.column_name}", "")
            if folded in words or text.lower() in words:
                hits.append(
                    ("QC1", f"{table}..{item.column_name}: {item.description}", f"/qc1/{table}?y={item.column_name}")
                )
    for kind, name, key in find_names(page.session, text, LIMIT + 1):
        hits.append((kind, name, f"/{kind}s/{quote(key, safe=':+,@')}"))
    hits += [("quarantine", row.file_name, "/quarantine") for row in find_held(page.session, text, LIMIT + 1)]
    return hits


def _is_column(text: str) -> bool:
    return re.fullmatch(r"\w+", text) is not None


def _named_hit(named: NamedParameter) -> tuple[str, str, str]:
    parameter = named.parameter
    address = urlencode({"y": parameter.column, **named.fixed})
    return "QC1", f"{parameter.table}..{named.column}: {parameter.description}", f"/qc1/{parameter.table}?{address}"
