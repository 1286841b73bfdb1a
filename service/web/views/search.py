"""``/search``: names of nights, frames, blocks, products, quarantined files, recipes, tables and keywords."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse

from core.archive.pages.frames import find_held, find_names
from core.archive.pages.qc1 import qc1_tables
from service.web.page import PageDep
from service.web.views.now import KEY_TRENDS
from workers.definitions import installed_recipes

router = APIRouter()
LIMIT = 20


@router.get("/search")
def search_page(page: PageDep, q: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Goes to the only hit, or lists what was found."""
    text = q.strip()
    hits = _hits(page, text) if text else []
    if len(hits) == 1:
        return RedirectResponse(hits[0][2], status_code=303)
    return page.render("search.html", q=text, hits=hits, limit=LIMIT)


def _hits(page: PageDep, text: str) -> list[tuple[str, str, str]]:
    hits: list[tuple[str, str, str]] = []
    try:
        night = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return [("night", night.isoformat(), f"/nights/{night.isoformat()}")]
    folded = text.lower().replace(".", "_").replace(" ", "_")
    # A keyword of a header has its running numbers: QC.BIAS.MASTER1.RON is QC.BIAS.MASTERn.RON.
    keyword = re.sub(r"\d+", "n", text.upper()) if text.upper().startswith("QC.") else ""
    trends = {(table, column): label.lower() for table, column, label in KEY_TRENDS}
    hits += [("recipe", name, f"/docs/recipes/{name}") for name in installed_recipes() if folded in name]
    for table, parameters in qc1_tables(page.session).items():
        if folded in table:
            hits.append(("QC1 table", table, f"/qc1/{table}"))
        for item in parameters:
            hit = ("QC1", f"{table}..{item.column_name}: {item.description}", f"/qc1/{table}?y={item.column_name}")
            if keyword in (item.keyword, item.keyword.upper()):
                return [hit]
            words = f"{item.column_name} {item.keyword.lower().replace('.', '_')} {item.description.lower()}"
            words += f" {item.keyword.lower()} {trends.get((table, item.column_name), '')}"
            if any(part in words for part in (folded, text.lower(), keyword.lower()) if part):
                hits.append(hit)
    for kind, name, key in find_names(page.session, text, LIMIT):
        hits.append((kind, name, f"/{kind}s/{quote(key, safe=':+,@')}"))
    hits += [("quarantine", row.file_name, "/quarantine") for row in find_held(page.session, text, LIMIT)]
    return hits[: 4 * LIMIT]
