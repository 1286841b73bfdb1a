"""The queries of the pages give the same answers on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from statistics import median
from types import ModuleType

import numpy as np
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.archive.models import Block, Score
from core.archive.pages import blocks, frames, health, nights, products, qc1
from core.archive.pages.qc1_rows import ReadingStopped, ValueReader
from core.archive.sessions import Archive
from core.archive.states import BlockState, InputKind, QuarantineReason
from core.errors import NotFoundError

LAST = date(2026, 11, 19)


@pytest.fixture
def session(archive: Archive, factory: ModuleType) -> Iterator[Session]:
    """Five nights and one in work, two IFUs, two slices."""
    factory.fill_story(archive, LAST, nights=5, units=(1, 2), slices=2, outlier_rate=0.03)
    with archive.read() as session:
        yield session


def newest(session: Session, recipe: str) -> Block:
    return blocks.list_blocks(session, recipe=recipe, state=BlockState.DONE, limit=1).rows[0]


def test_nights(session: Session) -> None:
    assert nights.night_numbers(session) == (LAST - timedelta(days=5), LAST)
    found = nights.list_nights(session, None, 3).rows
    assert [item.night for item in found] == [LAST, LAST - timedelta(days=1), LAST - timedelta(days=2)]
    assert (found[0].frames, found[0].blocks, found[0].done, found[0].open, found[0].held) == (37, 3, 1, 2, 2)
    assert found[0].verdict == "warn"
    assert nights.neighbours(session, LAST) == (LAST - timedelta(days=1), None)


def test_verdicts(session: Session) -> None:
    for item in nights.list_nights(session, LAST, 10).rows:
        outliers = [block for block in blocks.blocks_of_night(session, item.night) if block.score == 1]
        assert item.outliers == len(outliers)
        assert item.verdict == ("bad" if outliers else "good")


def test_frames_and_quarantine(session: Session) -> None:
    page = frames.list_frames(session, frames.FrameFilter(night=LAST, tag="BIAS"), None, 4).rows
    rest = frames.list_frames(session, frames.FrameFilter(night=LAST, tag="BIAS"), page[-1].id, 100).rows
    assert len(page) + len(rest) == 11
    assert frames.find_frame(session, page[0].dp_id).header["DPR.CATG"] == "CALIB"
    assert [block.tag for block in frames.blocks_of_frame(session, page[0].id)] == ["BIAS"]
    assert {row.reason for row in frames.list_quarantine(session).rows} == {
        QuarantineReason.NOT_FITS,
        QuarantineReason.TRUNCATED,
    }
    assert [tick.mjd_obs for tick in frames.timeline(session, LAST)] == sorted(
        tick.mjd_obs for tick in frames.timeline(session, LAST)
    )
    with pytest.raises(NotFoundError, match="nothing"):
        frames.find_frame(session, "nothing")


def test_names_are_found_by_their_beginning(session: Session) -> None:
    block = newest(session, "muse_bias")
    kinds = {(kind, name) for kind, name, _ in frames.find_names(session, block.name[:20], 50)}
    assert ("block", block.name) in kinds
    assert all(name.startswith(block.name[:20]) for _, name in kinds)
    without_prefix = frames.find_names(session, block.name.removeprefix("MUSE.")[:16], 50)
    assert ("block", block.name) in {(kind, name) for kind, name, _ in without_prefix}
    assert frames.find_names(session, "100%_sure", 5) == []


def test_blocks_and_what_they_wait_for(session: Session) -> None:
    (waiting,) = blocks.blocks_in_states(session, [BlockState.WAITING], 10)
    kinds = {item.role: item.kind for item in blocks.calibration_inputs(session, [waiting.id])}
    assert kinds == {"MASTER_BIAS": InputKind.PRODUCT, "TRACE_TABLE": InputKind.PLANNED}
    (running,) = blocks.running_blocks(session)
    assert running.progress["01"]["fraction"] == 0.75
    expected = blocks.expected_seconds(session, "muse_flat", 2)
    assert expected is not None
    assert 35 <= expected <= 60
    assert blocks.expected_seconds(session, "muse_flat", 24) is None


def test_who_uses_a_block(session: Session) -> None:
    bias = newest(session, "muse_bias")
    users = blocks.blocks_using(session, bias.id)
    assert {(block.tag, role) for block, role in users} == {("FLAT", "MASTER_BIAS"), ("ARC", "MASTER_BIAS")}
    product = blocks.block_products(session, bias.id)[0]
    assert {block.id for block in products.used_by(session, product)} == {block.id for block, _ in users}
    assert len(products.product_qc1(session, product.id)) == 5 * 4  # five columns in four quadrants


def test_series_last_values_and_summaries_agree(session: Session) -> None:
    (ron,) = [row for row in qc1.parameters_of_table(session, "muse_bias") if row.column_name == "master_ron"]
    reader = ValueReader(session, 10_000)
    reader.read({ron.id: 0}, qc1.SeriesFilter())
    rows = reader.rows
    assert len(rows) == 6 * 2 * 4
    assert not reader.truncated
    assert list(rows["mjd"]) == sorted(rows["mjd"])
    last = qc1.last_values(session, [ron.id])[ron.id]
    of_last = rows["block"] == last.block_id
    values = rows["value"][of_last].tolist()
    assert (last.low, last.high, last.number) == (min(values), max(values), 8)
    summary = next(item for parameter, item in qc1.block_qc1(session, last.block_id) if parameter.id == ron.id)
    assert summary is last
    assert summary.median == median(values)
    assert (summary.limit_low, summary.limit_high) == (1.0, 5.0)
    assert (set(rows["low"]), set(rows["high"])) == ({1.0}, {5.0})
    assert list(rows["score"] == 1) == list(rows["value"] > 5.0)
    quick = ValueReader(session, 10_000, with_limits=False)
    quick.read({ron.id: 0}, qc1.SeriesFilter())
    assert list(quick.rows["score"] == 1) == list(rows["score"] == 1)
    assert np.all(np.isnan(quick.rows["low"]))
    assert summary.outliers == last.outliers == (rows["score"][of_last] == 1).sum()
    assert len(qc1.bands(session, [ron.id], list(reader.blocks), qc1.SeriesFilter())) == len(reader.blocks) == 6


def test_of_too_many_values_the_newest_are_kept_also_of_several_parameters(session: Session) -> None:
    names = ("master_ron", "master_median")
    ids = [row.id for row in qc1.parameters_of_table(session, "muse_bias") if row.column_name in names]
    whole, newest = ValueReader(session, 10_000), ValueReader(session, 11)
    for reader in (whole, newest):
        for number, identity in enumerate(ids):
            reader.read({identity: number}, qc1.SeriesFilter())
    assert newest.truncated
    assert list(newest.rows["mjd"]) == list(whole.rows["mjd"][-11:])


def test_reading_ends_when_nobody_waits(session: Session) -> None:
    (ron,) = [row for row in qc1.parameters_of_table(session, "muse_bias") if row.column_name == "master_ron"]
    with pytest.raises(ReadingStopped):
        ValueReader(session, 10_000, lambda: True).read({ron.id: 0}, qc1.SeriesFilter())


def test_limits_that_are_not_the_same_for_all_elements_are_no_band() -> None:
    assert qc1._band(1, 2, "fixed-1", 1.0, 1.0, None, None) == qc1.Band(1, 2, "fixed-1", 1.0, None, False)
    assert qc1._band(1, 2, "sigma", 1.0, 1.2, 5.0, 5.0) == qc1.Band(1, 2, "sigma", None, None, True)
    assert qc1._band(1, 2, "sigma", 1.0, 1.0, 5.0, 5.2) == qc1.Band(1, 2, "sigma", None, None, True)


def test_browsing_pages_without_gaps(session: Session) -> None:
    rows = qc1.parameters_of_table(session, "muse_bias")
    two = [row for row in rows if row.column_name in ("master_ron", "master_median")]
    wanted = qc1.SeriesFilter(mode="WFM-NOAO-N")
    seen = []
    for offset in range(0, 48, 16):
        page, keys = qc1.browse_rows(session, two, wanted, offset, 16)
        seen += [(row.block_id, row.position) for row in page]
        assert all(set(row.values) == {item.id for item in two} and row.block_id in keys for row in page)
    assert len(seen) == len(set(seen)) == 48


def test_sparkline_and_modes(session: Session) -> None:
    (ron,) = [row for row in qc1.parameters_of_table(session, "muse_bias") if row.column_name == "master_ron"]
    mode, until = qc1.series_modes(session, ron)
    assert mode == "WFM-NOAO-N"
    assert until is not None
    months = qc1.SeriesFilter(until - 91, until, mode)
    points = qc1.block_medians(session, ron.id, months)
    assert len(points) == 6
    everything = {"unit": (1, 2), "quadrant": (1, 2, 3, 4)}
    assert qc1.block_medians(session, ron.id, replace(months, positions=everything)) == points
    assert qc1.block_medians(session, ron.id, replace(months, positions={"unit": (9,)})) == []
    assert qc1.block_medians(session, ron.id, replace(months, mode="NFM-AO-N")) == []
    assert qc1.modes_of_table(session, ["muse_bias"]) == ["WFM-NOAO-N"]
    with pytest.raises(NotFoundError, match="muse_lampflat"):
        qc1.parameters_of_table(session, "muse_nothing")


def test_signs_of_life(session: Session) -> None:
    assert len(health.daemons(session)) == 3
    fresh = health.freshness(session)
    assert fresh.file is not None
    assert fresh.product is not None
    assert fresh.score is not None
    assert health.state_counts(session) == {BlockState.RUNNING: 1, BlockState.WAITING: 1}
    recent = blocks.last_done_by_tag(session, datetime(2026, 11, 20, 17, tzinfo=UTC), 30)
    done = {last.tag: last.done for last in recent}
    assert set(done) == {"BIAS", "FLAT", "ARC"}
    # the newest flat is still running: the one of the night before counts
    assert done["BIAS"] is not None
    assert done["FLAT"] is not None
    assert done["BIAS"] - done["FLAT"] > 0.9


def test_outliers_come_newest_first(session: Session) -> None:
    found = blocks.last_outliers(session, 5)
    assert found, "the story has outliers"
    times = [item.worst.created_at for item in found]
    assert times == sorted(times, reverse=True)
    assert all(item.worst.value > (item.worst.high or 0) for item in found)
    assert len({(item.block.id, item.parameter.id) for item in found}) == len(found)  # one line each
    every = blocks.last_outliers(session, 10_000)
    flagged = session.scalar(select(func.count()).select_from(Score).where(Score.score == 1))
    assert sum(len(item.positions) for item in every) == flagged
