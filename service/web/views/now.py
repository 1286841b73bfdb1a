"""``/``: how it stands now."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from core.archive.models import Block, BlockInput, Qc1Parameter
from core.archive.pages import blocks as block_queries
from core.archive.pages import nights as night_queries
from core.archive.pages.frames import quarantine_count
from core.archive.pages.qc1 import last_values, qc1_tables
from core.archive.qc1_summaries import Qc1Summary
from core.archive.states import BlockState, InputKind
from core.instruments.plans import calibration_plans
from core.instruments.registry import instruments
from service.explain import waits_for
from service.places import whereabouts
from service.progress import progress_of
from service.text import age
from service.web.page import PageDep
from service.web.sentences import night_sentence

router = APIRouter()

# The trends that are looked at every morning, with the name people call them by.
RECENT_DAYS: Final = 30.0
_MJD_OF_UNIX: Final = 40587.0


@dataclass(frozen=True)
class Trend:
    """One line of the key numbers."""

    label: str
    parameter: Qc1Parameter
    last: Qc1Summary


@dataclass(frozen=True)
class TakeNext:
    """A calibration that is missing or gets old, and why it is needed."""

    tag: str
    mode: str
    urgency: str
    text: str


@router.get("/")
def now_page(page: PageDep) -> HTMLResponse:
    """Verdict of the latest night, freshness, what runs, what waits, outliers, what to take next."""
    session = page.session
    latest = night_queries.latest_night(session)
    summary = next(iter(night_queries.nights_between(session, latest, latest)), None) if latest else None
    waiting = block_queries.blocks_in_states(
        session, (BlockState.INCOMPLETE, BlockState.WAITING, BlockState.READY, BlockState.QUEUED), limit=30
    )
    failed = block_queries.last_failed(session, limit=10)
    inputs: dict[int, list[BlockInput]] = defaultdict(list)
    for item in block_queries.calibration_inputs(session, [block.id for block in waiting]):
        inputs[item.block_id].append(item)
    running = [(block, progress_of(session, block)) for block in block_queries.running_blocks(session)]
    missing = [
        item.role
        for block in waiting
        if block.night == latest
        for item in inputs[block.id]
        if item.kind is InputKind.MISSING and item.required
    ]
    return page.render(
        "now.html",
        night=latest,
        summary=summary,
        sentence=night_sentence(summary, missing),
        running=running,
        waiting=[(block, waits_for(block, inputs[block.id])) for block in waiting],
        failed=failed,
        outliers=block_queries.last_outliers(session, limit=10),
        whereabouts=whereabouts,
        trends=_trends(session),
        take_next=[*_missing(waiting, inputs), *_ageing(session, page.status.now)],
        held=quarantine_count(session),
        archive_dirs=page.settings.archive_dirs,
    )


def _trends(session: Session) -> list[Trend]:
    tables = qc1_tables(session)
    known = {(item.table_name, item.column_name): item for items in tables.values() for item in items}
    wanted = [
        (known[trend.table, trend.column], trend.label)
        for instrument in instruments()
        for trend in instrument.qc1.key_trends
        if (trend.table, trend.column) in known
    ]
    last = last_values(session, [item.id for item, _ in wanted])
    return [Trend(label, item, last[item.id]) for item, label in wanted if item.id in last]


def _missing(waiting: list[Block], inputs: dict[int, list[BlockInput]]) -> list[TakeNext]:
    lacks: dict[tuple[str, str], list[Block]] = defaultdict(list)
    for block in waiting:
        for item in inputs[block.id]:
            if item.kind is InputKind.MISSING and item.required:
                lacks[item.role, block.mode].append(block)
    source = {product: task.main for _, plan in calibration_plans() for task in plan.tasks for product in task.products}
    return [
        TakeNext(
            source.get(role, role),
            mode,
            "bad",
            f"{role} is missing for {', '.join(sorted({block.tag for block in blocks}))} of "
            f"{', '.join(sorted({block.night.isoformat() for block in blocks}))}",
        )
        for (role, mode), blocks in lacks.items()
    ]


def _ageing(session: Session, now: datetime) -> list[TakeNext]:
    """Calibrations in use whose newest block leaves the validity of the calibration plan."""
    mjd_now = now.timestamp() / 86400.0 + _MJD_OF_UNIX
    plan_days: dict[tuple[str, str], float] = {}
    for item, plan in calibration_plans():
        windows = {source.tag: source.windows for source in plan.masters if source.windows}
        for task in plan.tasks:
            for product in windows.keys() & task.products:
                days = windows[product][0][0]
                key = item.name, task.main
                plan_days[key] = min(plan_days.get(key, days), days)
    found = []
    for last in block_queries.last_done_by_tag(session, now, RECENT_DAYS):
        if (last.instrument, last.tag) not in plan_days:
            continue
        days = plan_days[last.instrument, last.tag]
        if last.done is None:
            text = f"taken in the last {RECENT_DAYS:.0f} days, but no block is done"
            found.append(TakeNext(last.tag, last.mode, "warn", text))
        elif mjd_now - last.done > days:
            text = f"last one {age((mjd_now - last.done) * 86400)} ago, the plan wants one every {days:g} d"
            found.append(TakeNext(last.tag, last.mode, "warn", text))
    return found
