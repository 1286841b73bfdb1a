"""Texts of any length and with any character are kept by both databases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from core.archive.events import record_event
from core.archive.intake import HeldFile, hold_files
from core.archive.models import Event, QuarantinedFile
from core.archive.sessions import Archive
from core.archive.states import QuarantineReason


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec=None), max_size=600))
def test_any_text_is_stored_within_its_column_and_found_again(archive: Archive, text: str) -> None:
    with archive.write() as session:
        record_event(session, "plan", text, actor=text, now=datetime(2026, 11, 1, tzinfo=UTC))
        session.flush()
        rows = session.execute(select(Event.subject, Event.actor).where(Event.subject == text)).all()
        session.rollback()
    assert len(rows) == 1
    assert len(rows[0].subject) <= 255
    assert len(rows[0].actor) <= 128


def test_a_text_that_fits_is_kept_as_it_is_and_two_long_ones_stay_two(archive: Archive) -> None:
    texts = ["é" * 255, "x" * 300, "x" * 301]
    with archive.write() as session:
        for text in texts:
            record_event(session, "plan", text, actor="test")
    with archive.read() as session:
        stored = list(session.scalars(select(Event.subject).order_by(Event.id)))
    assert stored[0] == texts[0]
    assert stored[1][:246] == "x" * 246
    assert len(set(stored)) == 3


@pytest.mark.parametrize("name", ["\udcff" * 200 + ".fits", "x" * 400 + ".fits"], ids=["bytes", "long"])
def test_a_file_with_a_long_name_of_any_bytes_is_held(archive: Archive, name: str) -> None:
    path = f"/raw/{name}".encode("utf-8", "backslashreplace").decode()
    held = HeldFile(path, name, 1, 1.0, QuarantineReason.NOT_FITS, "x")
    with archive.write() as session:
        hold_files(session, [held])
    with archive.read() as session:
        assert len(session.scalars(select(QuarantinedFile.file_name)).one()) == 255
