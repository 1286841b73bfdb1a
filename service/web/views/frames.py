"""``/frames/<name>`` and ``/quarantine``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from core.archive.pages import frames as queries
from core.archive.states import QuarantineState
from core.instruments.registry import instrument
from core.previews.preview import Cuts
from service.dependencies import After
from service.web.page import PageDep
from service.web.words import QUARANTINE_CURES

router = APIRouter()
QUARANTINE_ROWS = 200


@router.get("/frames/{dp_id}")
def frame_page(
    page: PageDep, dp_id: str, ext: Annotated[str | None, Query()] = None, cuts: Cuts = "zscale"
) -> HTMLResponse:
    """Facts, preview, classification, block, descendants."""
    frame = queries.find_frame(page.session, dp_id)
    blocks = queries.blocks_of_frame(page.session, frame.id)
    declared = instrument(frame.instrument)
    names = [declared.units.extension_name(unit) for unit in frame.units]
    return page.render(
        "frame.html",
        frame=frame,
        blocks=blocks,
        products=queries.products_of_blocks(page.session, [block.id for block in blocks]),
        channels=list(zip(names, frame.units, strict=True)),
        setup=[(declared.setup.key(key).title, value) for key, value in frame.setup.values],
        ext=ext if ext in names else next(iter(names), None),
        cuts=cuts,
        on_disk=Path(frame.path).is_file(),
        events=queries.quarantine_history(page.session, frame.dp_id, "frame"),
        rule=next((rule for rule in declared.raw_rules if rule.name == frame.rule), None),
    )


@router.get("/quarantine")
def quarantine_page(page: PageDep, after: After = None) -> HTMLResponse:
    """Files that could not be ingested, with reasons and cures."""
    found = queries.list_quarantine(page.session, state=QuarantineState.HELD, after=after, limit=QUARANTINE_ROWS)
    return page.render(
        "quarantine.html",
        rows=found.rows,
        cures=QUARANTINE_CURES,
        count=queries.quarantine_count(page.session),
        older=found.next,
    )
