"""``/nights`` and ``/nights/<date>``."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from core.archive.models import BlockInput
from core.archive.pages import blocks as block_queries
from core.archive.pages import frames as frame_queries
from core.archive.pages import nights as queries
from core.archive.pages.frames import LooseFrames
from core.archive.states import InputKind, QuarantineState
from core.errors import NotFoundError
from core.instruments.plans import calibration_plans
from service.commands import command_line
from service.dependencies import AfterNight
from service.filters import Day
from service.web.calendar import calendar_weeks
from service.web.cascade_graph import cascade_graph, cascade_order
from service.web.page import PageDep
from service.web.sentences import night_sentence, plural
from service.web.timeline import make_timeline
from service.web.words import QUARANTINE_CURES

router = APIRouter()
TABLE_ROWS = 60


@router.get("/nights")
def nights_page(
    page: PageDep,
    year: Annotated[int | None, Query(ge=1990, le=2100)] = None,
    after: AfterNight = None,
) -> HTMLResponse:
    """A calendar of the year and the last nights as a table."""
    first, last = queries.night_numbers(page.session)
    shown = year or (last.year if last else page.status.now.year)
    nights = queries.nights_between(page.session, date(shown, 1, 1), date(shown, 12, 31)) if last else []
    if after is None and year is not None:
        after = date(year + 1, 1, 1)
    table = queries.list_nights(page.session, after, TABLE_ROWS)
    blocks = sum(night.blocks for night in nights)
    bad = sum(night.verdict == "bad" for night in nights)
    sentence = (
        f"{shown}: {plural(len(nights), 'night')} with data, {plural(blocks, 'block')}, "
        f"{plural(bad, 'night')} with an outlier or a failure"
        if nights
        else f"{shown}: no night has data"
    )
    return page.render(
        "nights.html",
        year=shown,
        today=page.status.now.date(),
        years=range(first.year, last.year + 1) if first and last else range(shown, shown + 1),
        weeks=calendar_weeks(shown, {night.night: night for night in nights}),
        rows=table.rows,
        sentence=sentence,
        older=table.next,
        archive_dirs=page.settings.archive_dirs,
    )


@dataclass(frozen=True)
class Loose:
    """Frames of one tag that no block takes, and why."""

    tag: str
    number: int
    first: str
    why: str


def _loose(found: list[LooseFrames]) -> list[Loose]:
    """In words: their own reason, that of the calibration plan, or that their blocks are still to be planned."""
    plans = {item.name: plan for item, plan in calibration_plans()}
    words = []
    for item in found:
        plan = plans.get(item.instrument)
        why = dict(plan.without_task).get(item.tag) if plan is not None else None
        if why is None:
            taken = plan is not None and (item.tag in plan.input_tags or any(t.main == item.tag for t in plan.tasks))
            why = "no block takes them: plan the night to see why" if taken else "nothing is made of this type"
        words.append(Loose(item.tag, item.number, item.first, item.reason or why))
    return words


@router.get("/nights/{night}")
def night_page(page: PageDep, night: Day) -> HTMLResponse:
    """Timeline, blocks, cascade and quarantine of a night."""
    if night == date.max:  # its morning is no date
        raise NotFoundError(f"the archive has nothing of the night {night}", night=night)
    found = queries.nights_between(page.session, night, night)
    before, after = queries.neighbours(page.session, night)
    held = frame_queries.list_quarantine(page.session, night=night, state=QuarantineState.HELD).rows
    if not found and before is None and after is None:
        cure = command_line(page.settings, "cascade ingest")
        raise NotFoundError(f"the archive is empty, so it has nothing of the night {night}: run {cure}")
    blocks = block_queries.blocks_of_night(page.session, night)
    inputs: dict[int, list[BlockInput]] = defaultdict(list)
    for item in block_queries.calibration_inputs(page.session, [block.id for block in blocks]):
        inputs[item.block_id].append(item)
    missing = [
        item.role for items in inputs.values() for item in items if item.kind is InputKind.MISSING and item.required
    ]
    ordered = cascade_order(blocks, inputs)
    return page.render(
        "night.html",
        night=night,
        next_day=night + timedelta(days=1),
        summary=found[0] if found else None,
        sentence=night_sentence(found[0] if found else None, missing) if found else "nothing was taken",
        before=before,
        after=after,
        timeline=make_timeline(night, frame_queries.timeline(page.session, night)),
        blocks=ordered,
        graph=cascade_graph(ordered, inputs),
        loose=_loose(frame_queries.frames_in_no_block(page.session, night)),
        quarantine=held,
        cures=QUARANTINE_CURES,
    )
