"""A frame that is delivered again: the same content changes nothing, other content is another edition."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from core.archive.contents import frames_to_hash, store_hash
from core.archive.intake import NewFrame, Outcome, store_frames
from core.archive.models import Event, Frame
from core.archive.news import news, nights_changed
from core.archive.sessions import Archive

START = datetime(2026, 11, 1, 22, tzinfo=UTC)
COLUMNS: dict[str, Any] = {
    "file_name": "a.fits",
    "dpr_catg": "CALIB",
    "dpr_type": "BIAS",
    "tag": "BIAS",
    "rule": "bias",
    "rules_version": "1",
    "night": START.date(),
    "mjd_obs": 61345.9,
    "exptime": 0.0,
    "mjd_mid": 61345.9,
    "unit_mask": 3,
    "header": {},
}


def deliver(archive: Archive, size: int = 100, mtime: float = 1.0) -> Outcome:
    frame = NewFrame("/raw/a.fits", "a", size, mtime, "MUSE", START, COLUMNS)
    with archive.write() as session:
        (stored,) = store_frames(session, [frame], exists={})
    return stored.outcome


def hashed(archive: Archive, digest: str) -> None:
    with archive.write() as session:
        ((number, _, size, mtime),) = frames_to_hash(session)
        assert store_hash(session, number, digest, size=size, mtime=mtime) is None


def frame(archive: Archive) -> Frame:
    with archive.read() as session:
        return session.scalars(select(Frame)).one()


def test_the_first_hash_is_no_new_edition(archive: Archive) -> None:
    assert deliver(archive) is Outcome.NEW
    hashed(archive, "one")
    assert (frame(archive).edition, frame(archive).sha256) == (1, "one")
    with archive.read() as session:
        assert session.scalars(select(Event)).all() == []


def test_a_file_that_was_only_copied_anew_is_the_same_edition(archive: Archive) -> None:
    deliver(archive)
    hashed(archive, "one")
    assert deliver(archive, mtime=2.0) is Outcome.UPDATED
    assert (frame(archive).edition, frame(archive).sha256) == (1, None)
    deliver(archive, mtime=3.0)  # once more, before it was hashed
    hashed(archive, "one")
    row = frame(archive)
    assert (row.edition, row.sha256, row.former_sha256) == (1, "one", None)


def test_other_content_of_the_same_size_is_another_edition_when_the_hash_tells(archive: Archive) -> None:
    deliver(archive)
    hashed(archive, "one")
    deliver(archive, mtime=2.0)
    with archive.read() as session:
        seen = news(session, None)
    hashed(archive, "two")
    row = frame(archive)
    assert (row.edition, row.former_sha256) == (2, None)
    with archive.read() as session:  # and the planner hears of it
        found = news(session, seen.last_event)
        assert found.frames_changed
        assert nights_changed(session, datetime(2100, 1, 1, tzinfo=UTC), seen) == {START.date()}


@pytest.mark.parametrize("first", ["one", None], ids=["hashed", "not hashed yet"])
def test_a_file_of_another_size_is_another_edition_at_once(archive: Archive, first: str | None) -> None:
    deliver(archive)
    if first:
        hashed(archive, first)
    deliver(archive, size=101, mtime=2.0)
    assert frame(archive).edition == 2
    hashed(archive, "two")
    assert frame(archive).edition == 2


def test_a_file_that_changed_before_it_was_ever_hashed_is_another_edition(archive: Archive) -> None:
    deliver(archive)
    deliver(archive, mtime=2.0)
    assert frame(archive).edition == 2
