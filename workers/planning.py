"""Frames in the archive become blocks: reads, calls the pure planner, saves. Doing it twice changes nothing."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy.orm import Session

from core.archive.candidates import Span, planning_frames, planning_products, rest_of_templates
from core.archive.clock import database_now
from core.archive.events import record_event
from core.archive.news import PLANNER, News, fresh_frames, last_plan_time, news, nights_changed
from core.archive.outside import outside_statics
from core.archive.planning import SavedPlan, plan_parts, save_plan
from core.archive.requests import requests_of
from core.archive.sessions import Archive, ArchiveUnavailableError
from core.archive.signing import sign_anew
from core.archive.standing import (
    blocks_with_stale_inputs,
    failed_signatures,
    nights_executed,
    nights_no_longer_running,
    nights_waiting_for_frames,
    nights_with_open_blocks,
    redone_signatures,
)
from core.archive.turns import PlanningBusyError, planning_turn
from core.cascade.model import FrameInfo, Plan, ProductInfo, Request
from core.cascade.plan import EXPOSING, PlanOptions, make_plan, merge_plans
from core.instruments.catalogue import installed_recipes, recipe_versions
from core.instruments.declaration import Instrument
from core.instruments.registry import instruments
from core.instruments.rules import Rules
from core.instruments.setup import Setup
from core.settings import Settings
from workers.requests import plans_in_use, usual_request
from workers.statics import build_statics, static_calibrations

__all__ = ["Planner", "plan_nights", "save_nights"]

_LOG = logging.getLogger(__name__)
_Template = tuple[str, str, Setup]  # tag, start, set-up
_Plans = Sequence[tuple[Instrument, Rules]]
_OVERLAP = timedelta(seconds=60)  # a frame may be committed a little after the time in its row
_SET_ASIDE = "planner, set aside"
_NAMED = 2.0  # windows
_PATIENCE = 600.0  # [s]; the first plan of an archive of ten years takes minutes


def plan_nights(
    archive: Archive,
    settings: Settings,
    nights: Collection[date],
    *,
    wait_for_templates: bool = False,
    request: Request | None = None,
) -> Plan:
    """Plan nights without saving the plan; signatures of an older form are brought up to date first.

    Parameters
    ----------
    nights : collection of date
        They are planned together with the nights next to them, and with those around them that have open blocks, so
        that masters that are still to be made there are seen.
    wait_for_templates : bool
        Leave alone templates of which exposures may still come in.
    request : Request, optional
        What is wanted of the nights, instead of what was stored with them.
    """
    plans = plans_in_use(settings)
    build_statics(settings.static_dir)
    with archive.read() as session:
        rows = outside_statics(session)
    statics = {item.name: static_calibrations(settings.static_dir, item, rows) for item in instruments()}
    digests = {product.id: product.digest for products in statics.values() for product in products}
    sign_anew(archive, [rules for _, rules in plans], digests)
    with archive.read() as session:
        frames = _frames(session, nights, plans)
        if not frames:
            return merge_plans(())
        first, last = (pick(frame.mjd_mid for frame in frames) for pick in (min, max))
        products = planning_products(session, _spans(first, last, plans))
        failed = failed_signatures(session, first, last)
        redone = redone_signatures(session, first, last)
        wanted = requests_of(session, {date.fromisoformat(frame.night) for frame in frames})
        now = database_now(session)
        fresh, recent = (
            fresh_frames(session, now - timedelta(seconds=seconds)) if wait_for_templates else frozenset[str]()
            for seconds in (settings.template_seconds, settings.observation_seconds)
        )
    options = PlanOptions(
        request=usual_request(settings),
        of_nights=wanted if request is None else wanted | {night.isoformat(): request for night in nights},
        versions=recipe_versions(),
        failed=failed,
        fresh=fresh,
        exposing=frozenset(map(_observation, _awaited(frames, recent))),
        redone=redone,
    )
    return merge_plans(
        make_plan(
            rules.installed(installed_recipes()),
            [frame for frame in frames if frame.setup.instrument == item.name],
            [*_of(products, item), *statics[item.name]],
            options,
        )
        for item, rules in plans
    )


def save_nights(
    archive: Archive,
    settings: Settings,
    nights: Collection[date],
    *,
    wait_for_templates: bool = False,
    actor: str = "person",
    patience: float = _PATIENCE,
    now: datetime | None = None,
) -> tuple[Plan, SavedPlan]:
    """Plan nights and save the plan, in parts, with an event that says so.

    Parameters
    ----------
    actor : str
        `PLANNER` only where all that had changed is planned.
    patience : float
        How long to wait for another process that plans [s].

    Raises
    ------
    PlanningBusyError
        If another process plans for longer; nothing is saved then.
    """
    now = now or archive.now()
    saved = SavedPlan()
    with planning_turn(archive, patience) as turn:
        plan = plan_nights(archive, settings, nights, wait_for_templates=wait_for_templates)
        for part in plan_parts(plan):
            turn.check()
            with archive.write() as session:
                saved += save_plan(session, part, recipe_versions=recipe_versions(), max_tries=settings.max_tries)
        text = (
            f"{len(saved.created)} blocks created, {len(saved.changed)} changed, "
            f"{len(saved.superseded)} superseded, {len(saved.unchanged)} as before"
        )
        turn.check()
        with archive.write() as session:
            record_event(session, "plan", _span(nights), actor=actor, text=text, now=now)
    return plan, saved


@dataclass
class Planner:
    """Plans what has changed since the last plan.

    Attributes
    ----------
    archive, settings
    """

    archive: Archive
    settings: Settings
    _seen: News | None = None
    _stale_seen: frozenset[int] = frozenset()
    _arriving: frozenset[date] = frozenset()
    _exposing: frozenset[date] = frozenset()
    _recent: frozenset[str] = frozenset()
    _postponed: tuple[str, ...] = ()
    _left: frozenset[date] = frozenset()

    @property
    def behind(self) -> bool:
        """Whether nights are still to be planned, since another process was planning."""
        return bool(self._left)

    def plan_changes(self, *, wait_for_templates: bool = True) -> SavedPlan | None:
        """Plan the nights with new or lost frames, withdrawn masters or failed sources.

        Returns
        -------
        SavedPlan or None
            None if nothing changed, or if another process plans now; then the nights are kept for the next time.
        """
        nights = set(self._left)
        seen, stale = self._seen, dict[int, date]()
        with self.archive.read() as session:
            now = database_now(session)
            found = news(session, None if seen is None else seen.last_event)
            if found.withdrawn:
                stale = blocks_with_stale_inputs(session)
            if seen is None or found.frames != seen.frames or found.frames_changed or found.run_again or found.redone:
                since = last_plan_time(session)
                if since is not None and since > now:  # the clock was set back
                    since = None if seen is None else now
                nights |= nights_changed(session, None if since is None else since - _OVERLAP, seen)
                if seen is None and since is not None:  # what the planner before this one had put off
                    nights |= nights_executed(session, since) | nights_waiting_for_frames(session)
            if self._postponed:
                nights |= nights_no_longer_running(session, self._postponed)
            fresh = bool(self._arriving) and bool(
                fresh_frames(session, now - timedelta(seconds=self.settings.template_seconds))
            )
            recent = self._recent_frames(session, now)
        if not stale.keys() <= self._stale_seen:
            nights |= set(stale.values())
        if not fresh:  # the templates that were waited for will get no more frames
            nights |= self._arriving
        if self._recent - recent:  # some exposures came in too long ago to wait for others
            nights |= self._exposing
        saved = None
        if nights:
            self._left = frozenset(nights)
            try:
                plan, saved = self._save(nights, wait_for_templates, now)
            except PlanningBusyError:
                self._seen = found
                return None
            self._left = frozenset()
            with self.archive.read() as session:
                # What a plan could not cure is not planned again until something changes.
                self._stale_seen = frozenset(blocks_with_stale_inputs(session))
                self._arriving, self._exposing = (_nights_waiting(plan, code) for code in ("arriving", EXPOSING))
                self._recent = self._recent_frames(session, now)
            self._postponed = saved.postponed
        self._seen = found
        return saved

    def _recent_frames(self, session: Session, now: datetime) -> frozenset[str]:
        """Frames that came in so recently that others of their observation block may follow, if any are waited for."""
        if not self._exposing:
            return frozenset()
        return fresh_frames(session, now - timedelta(seconds=self.settings.observation_seconds))

    def _save(self, nights: Collection[date], wait: bool, now: datetime) -> tuple[Plan, SavedPlan]:
        """Plan nights together; if that fails, each for itself, so that one bad night does not keep the others."""

        def save(some: Collection[date], actor: str) -> tuple[Plan, SavedPlan]:
            return save_nights(
                self.archive,
                self.settings,
                some,
                wait_for_templates=wait,
                actor=actor,
                patience=0.0,
                now=now,
            )

        try:
            return save(nights, PLANNER)
        except (PlanningBusyError, ArchiveUnavailableError):
            raise
        except Exception:
            _LOG.exception("%s cannot be planned together; night by night", _span(nights))
        plans, saved = [], SavedPlan()
        for night in sorted(nights):
            try:
                plan, one = save([night], PLANNER)
            except (PlanningBusyError, ArchiveUnavailableError):
                raise
            except Exception as error:
                # It is planned again when something of it changes, or at the next start.
                _LOG.exception("the night %s cannot be planned", night)
                text = f"cannot be planned: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
                with self.archive.write() as session:
                    record_event(session, "plan", str(night), actor=_SET_ASIDE, text=text, now=now)
            else:
                plans.append(plan)
                saved += one
        return merge_plans(plans), saved


def _observation(frame: FrameInfo) -> tuple[str, str, str]:
    return (frame.night, frame.obs, frame.target)


def _awaited(frames: Collection[FrameInfo], recent: Collection[str]) -> list[FrameInfo]:
    """Frames of templates that have not all their exposures yet, if one of them came in recently."""
    templates: dict[str, list[FrameInfo]] = {}
    for frame in frames:
        if frame.obs and frame.tpl_start:
            templates.setdefault(frame.tpl_start, []).append(frame)
    return [
        frame
        for template in templates.values()
        if len(template) < max(frame.tpl_nexp for frame in template) and any(frame.id in recent for frame in template)
        for frame in template
    ]


def _nights_waiting(plan: Plan, code: str) -> frozenset[date]:
    """Nights of the blocks that wait for frames, by the code of what they lack."""
    waiting = {block.night for block in plan.blocks if any(lack.code == code for lack in block.missing)}
    return frozenset(map(date.fromisoformat, waiting))


def _frames(session: Session, nights: Collection[date], plans: _Plans) -> list[FrameInfo]:
    """Frames of the nights; of those next to them, and of those around them with open blocks, what tasks take.

    Templates come whole, although they may run over noon. One is of the night of its first exposure: it is left out if
    that night is not among these, as the calibrations of that night are not.
    """
    if not nights:
        return []
    beside = {_days_on(night, step) for night in nights for step in (-1, 1)}
    reach = _reach(plans)
    beside |= nights_with_open_blocks(session, _days_on(min(nights), -reach), _days_on(max(nights), reach))
    taken = {tag for _, rules in plans for tag in (*rules.input_tags, *(t.main for t in rules.tasks))}
    wanted = set(nights)
    found = [
        frame
        for group, tags in ((wanted, None), (beside - wanted, taken))
        for first, last in _runs(group)
        for frame in planning_frames(session, first, last, tags)
    ]
    rest = rest_of_templates(session, found, wanted | beside)
    split = {_template(frame) for frame in rest}
    begun: dict[_Template, str] = {}
    for frame in (*found, *rest):
        if _template(frame) in split:
            begun[_template(frame)] = min(frame.night, begun.get(_template(frame), frame.night))
    loaded = {night.isoformat() for night in wanted | beside}
    elsewhere = {template for template, night in begun.items() if night not in loaded}
    return [frame for frame in (*found, *rest) if _template(frame) not in elsewhere]


def _template(frame: FrameInfo) -> _Template:
    return (frame.tag, frame.tpl_start, frame.setup)


def _days_on(night: date, days: int) -> date:
    """So many days after a night, inside the calendar."""
    return date.fromordinal(min(max(night.toordinal() + days, date.min.toordinal()), date.max.toordinal()))


def _of(products: Iterable[ProductInfo], instrument: Instrument) -> list[ProductInfo]:
    return [
        product for product in products if product.setup is not None and product.setup.instrument == instrument.name
    ]


def _spans(first: float, last: float, plans: _Plans) -> dict[str, Span]:
    """Where to look for each product tag, for data of a span of times.

    Calibrations are looked for in twice their window, so that the nearest beyond it is refused by name; products that
    start later tasks are made of the data themselves.
    """
    reach: dict[str, float] = {}
    for _, rules in plans:
        for task in rules.tasks:
            if rules.raw(task.main) is None:
                reach.setdefault(task.main, 1.0)
            for role in task.inputs:
                source = rules.source(role)
                if not source.static and rules.raw(role.tag) is None:
                    reach[role.tag] = max(reach.get(role.tag, 0.0), _NAMED * source.widest)
    return {tag: (first - days, last + days) for tag, days in reach.items()}


def _reach(plans: _Plans) -> int:
    """How far from the data a calibration may be at most, of any instrument [d]."""
    widest = [source.widest for _, rules in plans for source in rules.masters if not source.static]
    return math.ceil(max(widest))


def _runs(nights: Iterable[date]) -> list[tuple[date, date]]:
    """First and last night of each run of consecutive nights."""
    runs: list[tuple[date, date]] = []
    for night in sorted(nights):
        if runs and night - runs[-1][1] <= timedelta(days=1):
            runs[-1] = (runs[-1][0], night)
        else:
            runs.append((night, night))
    return runs


def _span(nights: Collection[date]) -> str:
    if not nights:
        return "no night"
    first, last = min(nights), max(nights)
    return str(first) if first == last else f"{first} to {last}"
