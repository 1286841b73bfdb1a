"""Blocks are judged again whose verdict rests on what has changed (`core.archive.verdicts`), in small portions."""

from __future__ import annotations

import threading

from core.archive.sessions import Archive
from core.archive.verdicts import any_due, judge_due
from core.settings import Settings

__all__ = ["judge_all_due", "judge_some_due"]

_AT_ONCE = 20  # blocks in one transaction
_PORTIONS = 5  # transactions in one round of the dispatcher, which has other things to do


def judge_some_due(archive: Archive, settings: Settings, actor: str, portions: int = _PORTIONS) -> bool:
    """Judge some of the blocks that are due; returns whether others are still."""
    for _ in range(portions):
        with archive.read() as session:
            if not any_due(session):
                return False
        with archive.write() as session:
            judge_due(session, certify=settings.certify, actor=actor, limit=_AT_ONCE)
    return True


def judge_all_due(archive: Archive, settings: Settings, actor: str, stop: threading.Event) -> None:
    """Judge all that is due, and what becomes due by that."""
    while not stop.is_set() and judge_some_due(archive, settings, actor):
        pass
