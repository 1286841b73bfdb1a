from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from sqlalchemy import insert, select
from sqlalchemy.exc import DataError

from core.archive.contents import frames_to_hash
from core.archive.models import Event, Frame, QuarantinedFile, WorkerHeartbeat
from core.archive.sessions import Archive, ArchiveUnavailableError
from core.archive.states import FrameState, QuarantineReason, QuarantineState
from core.errors import NotFoundError
from core.fitsfile.digest import file_sha256
from core.settings import Settings
from workers import ingest, ingest_daemon, ingest_scan
from workers.hashing import Hasher
from workers.ingest import Ingestor, ingest_once, release
from workers.ingest_daemon import ingest_forever
from workers.ingest_scan import SettleWatch, TreeReader

Build = Callable[..., bytes]


class Yard:
    """An archive directory with its archive."""

    def __init__(self, archive: Archive, folder: Path, build: Build) -> None:
        self.archive, self.raw, self.build = archive, folder / "raw", build
        self.raw.mkdir()
        self.settings = Settings(
            data_dir=folder / "data",
            archive_dirs=(self.raw,),
            database_url=archive.database_url,
            settle_seconds=0.05,
            truncated_seconds=0.15,
            rescan_seconds=0.5,
        )

    def write(self, second: int, name: str | None = None, **keywords: object) -> Path:
        moment = f"2026-11-01T22:00:{second:02d}.000"
        path = self.raw / (name or f"MUSE.{moment}.fits")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.build({"DATE-OBS": moment, **keywords}))
        return path

    def once(self) -> ingest.IngestReport:
        return ingest_once(self.archive, self.settings)

    def frames(self) -> dict[str, Frame]:
        with self.archive.read() as session:
            return {frame.file_name: frame for frame in session.scalars(select(Frame))}

    def held(self) -> dict[str, QuarantinedFile]:
        with self.archive.read() as session:
            return {row.file_name: row for row in session.scalars(select(QuarantinedFile))}


@pytest.fixture
def yard(archive: Archive, tmp_path: Path, raw_bytes: Build) -> Yard:
    return Yard(archive, tmp_path, raw_bytes)


def test_the_row_of_a_frame_says_what_its_header_says(yard: Yard) -> None:
    path = yard.write(
        5,
        **{
            "DPR.TYPE": "WAVE", "EXPTIME": 8.64, "INS.SHUT4.ST": True, "INS.MODE": "WFM-AO-N", "TPL.NEXP": 15,
            "INS.OPTI1.NAME": "Blue-Na2", "TPL.EXPNO": 7, "OBS.ID": -2147483648, "OBJECT": "it's an arc",
        },
    )  # fmt: skip
    yard.once()
    frame = yard.frames()[path.name]
    assert (frame.tag, frame.rule, frame.dpr_type) == ("ARC", "arc", "WAVE")
    assert frame.dp_id == "MUSE.2026-11-01T22:00:05.000"
    assert frame.night == date(2026, 11, 1)
    assert frame.date_obs == datetime(2026, 11, 1, 22, 0, 5, tzinfo=UTC)
    assert frame.mjd_mid - frame.mjd_obs == pytest.approx(8.64 / 2 / 86400, abs=1e-10)
    assert (frame.lamps, frame.units) == ("Xe", (1, 2))
    assert (frame.mode, frame.setup.get("blue"), frame.setup.get("field")) == ("WFM-AO-N", "blue", "WFM")
    assert (frame.tpl_start, frame.tpl_expno, frame.tpl_nexp) == (
        datetime(2026, 11, 1, 21, 59, tzinfo=UTC),
        7,
        15,
    )
    assert (frame.obs_id, frame.object, frame.ambient_temp) == (-2147483648, "it's an arc", 12.5)
    assert (frame.size, frame.mtime) == (path.stat().st_size, path.stat().st_mtime)
    with yard.archive.read() as session:
        header = session.scalar(select(Frame.header))
    assert header is not None
    assert (header["INS.SHUT4.ST"], header["DET.READ.CURNAME"]) == (True, "SCI1.0")


def test_ingest_twice_changes_nothing(yard: Yard) -> None:
    for second in range(3):
        yard.write(second)
    assert yard.once().new == 3
    again = yard.once()
    assert (again.new, again.unchanged, again.held.total()) == (0, 3, 0)


def test_a_growing_file_is_waited_for_not_quarantined(yard: Yard) -> None:
    data = yard.build({})
    path = yard.raw / "slow.fits"
    path.write_bytes(data[:3000])
    ingestor = Ingestor(yard.archive, yard.settings.model_copy(update={"truncated_seconds": 600.0}))
    for end in range(6000, len(data), 3000):
        report = ingestor.round([yard.raw])
        assert (report.waiting, report.held.total(), report.new) == (1, 0, 0)
        with path.open("ab") as stream:
            stream.write(data[end - 3000 : end])
        time.sleep(0.08)  # longer than the settle time: only the missing bytes hold it back
    path.write_bytes(data)
    total = ingest.IngestReport()
    while ingestor.open_paths:
        total.add(ingestor.round(()))
        time.sleep(0.02)
    assert total.new == 1
    assert yard.held() == {}


def test_a_file_that_stays_short_is_truncated_and_enters_once_complete(yard: Yard) -> None:
    data = yard.build({})
    path = yard.raw / "cut.fits"
    path.write_bytes(data[:-3000])
    assert yard.once().held == {QuarantineReason.TRUNCATED: 1}
    path.write_bytes(data)
    report = yard.once()
    assert (report.new, report.released) == (1, 1)
    assert yard.held()["cut.fits"].state is QuarantineState.RELEASED
    with yard.archive.read() as session:
        events = session.scalars(select(Event.to_state).where(Event.kind == "quarantine").order_by(Event.id)).all()
    assert events == ["held", "released"]


def test_release_reads_a_held_file_again(yard: Yard) -> None:
    path = yard.write(0, name="bad.fits", **{"DPR.TYPE": "FOCUS"})
    info = path.stat()
    yard.once()
    repaired = path.read_bytes().replace(b"'FOCUS   '", b"'BIAS    '")
    path.write_bytes(repaired)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))  # repaired without a trace
    assert yard.once().new == 0
    report = release(yard.archive, yard.settings, path, actor="astronomer")
    assert (report.new, report.released) == (1, 1)
    with pytest.raises(NotFoundError, match="not in quarantine"):
        release(yard.archive, yard.settings, path, actor="astronomer")


def test_release_says_when_a_file_is_still_bad(yard: Yard) -> None:
    yard.write(0, name="bad.fits", **{"DPR.TYPE": "FOCUS"})
    yard.once()
    report = release(yard.archive, yard.settings, actor="astronomer")
    assert report.held == {QuarantineReason.UNKNOWN_TYPE: 1}
    assert yard.held()["bad.fits"].tries == 2


def test_a_young_file_with_a_name_that_is_no_text_is_held_and_done_with(yard: Yard) -> None:
    path = yard.raw / "name_\udcff.fits"
    path.write_bytes(yard.build({}))
    os.utime(path, (time.time() + 3600, time.time() + 3600))  # a clock that goes wrong makes it look young
    report = yard.once()
    assert report.held == {QuarantineReason.UNREADABLE: 1}
    assert "name_\\xff.fits" in yard.held()


def test_plain_and_compressed_of_one_name_are_duplicates(yard: Yard) -> None:
    yard.write(0)
    yard.once()
    yard.write(0, name="MUSE.2026-11-01T22:00:00.000.fits.fz")
    assert yard.once().held == {QuarantineReason.DUPLICATE: 1}
    row = yard.held()["MUSE.2026-11-01T22:00:00.000.fits.fz"]
    assert row.text.endswith("MUSE.2026-11-01T22:00:00.000.fits")


def test_two_files_of_one_exposure_are_duplicates_whatever_their_names(yard: Yard) -> None:
    yard.write(0, name="a.fits")
    yard.write(0, name="b.fits", OBJECT="other")
    report = yard.once()
    assert (report.new, report.held) == (1, {QuarantineReason.DUPLICATE: 1})
    assert set(yard.frames()) == {"a.fits"}


def test_a_moved_file_keeps_its_frame(yard: Yard) -> None:
    path = yard.write(0)
    yard.once()
    before = yard.frames()[path.name].id
    (yard.raw / "2026").mkdir()
    path.rename(yard.raw / "2026" / path.name)
    report = yard.once()
    frame = yard.frames()[path.name]
    assert (report.new, report.moved) == (0, 1)
    assert (frame.id, frame.state) == (before, FrameState.PRESENT)
    assert frame.path == str(yard.raw / "2026" / path.name)


def test_a_deleted_file_is_missing_and_present_again_when_it_returns(yard: Yard) -> None:
    path, other = yard.write(0), yard.write(1)
    yard.once()
    content = path.read_bytes()
    path.unlink()
    assert yard.once().vanished == 1
    assert yard.frames()[path.name].state is FrameState.MISSING
    assert yard.frames()[other.name].state is FrameState.PRESENT
    path.write_bytes(content)
    assert yard.once().updated == 1
    assert yard.frames()[path.name].state is FrameState.PRESENT


def test_a_file_that_another_ingest_brought_in_meanwhile_is_not_missing(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard.write(0)
    finish = Ingestor._finish_tree

    def late(self: Ingestor, *arguments: Any) -> None:
        monkeypatch.undo()
        yard.write(1)  # after this ingest has read the directory
        yard.once()
        finish(self, *arguments)

    monkeypatch.setattr(Ingestor, "_finish_tree", late)
    assert yard.once().vanished == 0
    assert {frame.state for frame in yard.frames().values()} == {FrameState.PRESENT}
    assert len(yard.frames()) == 2


def test_an_empty_directory_makes_nothing_missing(yard: Yard) -> None:
    # A disk that is not mounted looks like this.
    path = yard.write(0)
    yard.once()
    path.unlink()
    assert yard.once().vanished == 0
    assert yard.frames()[path.name].state is FrameState.PRESENT


def test_a_directory_that_cannot_be_read_is_held_and_hides_nothing_else(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, gone, stays = yard.write(0, name="shut/a.fits"), yard.write(1), yard.write(2)
    yard.once()
    gone.unlink()
    entries = ingest_scan._entries

    def forbidden(folder: str) -> Any:
        if folder.endswith("shut"):
            raise PermissionError(13, "Permission denied", folder)
        return entries(folder)

    with monkeypatch.context() as patch:
        patch.setattr(ingest_scan, "_entries", forbidden)
        report = yard.once()
    assert report.vanished == 1
    states = {name: frame.state for name, frame in yard.frames().items()}
    assert states == {
        inside.name: FrameState.PRESENT,
        gone.name: FrameState.MISSING,
        stays.name: FrameState.PRESENT,
    }
    assert yard.held()["shut"].reason is QuarantineReason.UNREADABLE
    yard.once()
    assert yard.held()["shut"].state is QuarantineState.GONE


def test_a_tile_compressed_frame_is_read_like_a_plain_one(yard: Yard) -> None:
    plain = yard.write(0)
    with fits.open(plain) as hdus:
        packed = fits.HDUList([fits.PrimaryHDU(header=hdus[0].header)])
        for hdu in hdus[1:]:
            header = hdu.header.copy()
            packed.append(fits.CompImageHDU(np.full((24, 24), 1000, np.uint16), header, name=hdu.name))
        packed.writeto(yard.raw / "packed.fits.fz")
    plain.unlink()
    assert yard.once().new == 1
    frame = yard.frames()["packed.fits.fz"]
    assert (frame.dp_id, frame.tag, frame.units) == ("packed", "BIAS", (1, 2))


def test_a_duplicate_takes_over_when_the_original_is_deleted(yard: Yard) -> None:
    original = yard.write(0, name="a.fits")
    yard.write(0, name="b.fits")
    yard.write(1)
    yard.once()
    original.unlink()
    report = yard.once()
    assert (report.moved, report.released) == (1, 1)
    assert yard.frames()["b.fits"].state is FrameState.PRESENT
    assert yard.held()["b.fits"].state is QuarantineState.RELEASED


def test_a_held_file_that_is_deleted_is_gone(yard: Yard) -> None:
    yard.write(0)
    (yard.raw / "text.fits").write_text("hello")
    yard.once()
    (yard.raw / "text.fits").unlink()
    yard.once()
    assert yard.held()["text.fits"].state is QuarantineState.GONE


def test_a_frame_that_is_overwritten_by_rubbish_is_missing(yard: Yard) -> None:
    path = yard.write(0)
    yard.once()
    path.write_text("rubbish " * 1000)
    assert yard.once().held == {QuarantineReason.NOT_FITS: 1}
    assert yard.frames()[path.name].state is FrameState.MISSING


def test_hashes_are_computed_afterwards_and_reset_when_a_file_changes(yard: Yard) -> None:
    path = yard.write(0)
    yard.once()
    assert yard.frames()[path.name].sha256 is None
    assert Hasher(yard.archive).round(threading.Event()) == 1
    assert yard.frames()[path.name].sha256 == file_sha256(path)
    yard.write(0, OBJECT="again")
    yard.once()
    assert yard.frames()[path.name].sha256 is None


def test_newest_frames_that_cannot_be_read_do_not_keep_the_older_ones_from_being_hashed(yard: Yard) -> None:
    paths = [yard.write(second) for second in range(4)]
    yard.once()
    for path in paths[2:]:
        path.rename(f"{path}.away")
    now = [0.0]
    hasher = Hasher(yard.archive, clock=lambda: now[0])
    stop = threading.Event()
    assert [hasher.round(stop, limit=2) for _ in range(3)] == [2, 2, 0]
    assert [bool(yard.frames()[path.name].sha256) for path in paths] == [True, True, False, False]
    for path in paths[2:]:
        Path(f"{path}.away").rename(path)
    assert hasher.round(stop, limit=2) == 0
    now[0] = 3600.0
    assert hasher.round(stop, limit=2) == 2
    assert all(frame.sha256 for frame in yard.frames().values())


def test_frames_that_are_left_out_may_be_many(yard: Yard) -> None:
    for second in range(3):
        yard.write(second)
    yard.once()
    with yard.archive.write() as session:
        numbers = sorted(session.scalars(select(Frame.id)))
        first = session.execute(select(Frame.__table__).where(Frame.id == numbers[0])).mappings().one()
        copies = [{**first, "id": 1000 + k, "dp_id": f"d{k}", "path": f"/away/{k}.fits"} for k in range(1200)]
        session.execute(insert(Frame.__table__), copies)
        away = {row["id"] for row in copies}
        assert [row[0] for row in frames_to_hash(session, 2, away)] == numbers[:0:-1]
        assert [row[0] for row in frames_to_hash(session, 9, away)] == numbers[::-1]
        assert len(frames_to_hash(session, 9)) == 9


def test_equal_content_is_found_by_its_hash(yard: Yard) -> None:
    first, second = yard.write(0), yard.write(1)
    yard.once()
    with yard.archive.write() as session:  # what a race of two ingests would leave
        row = session.scalars(select(Frame).where(Frame.file_name == second.name)).one()
        row.path, row.size, row.mtime = f"{first}.copy", first.stat().st_size, first.stat().st_mtime
    shutil.copy2(first, f"{first}.copy")
    assert Hasher(yard.archive).round(threading.Event()) == 2
    states = {name: frame.state for name, frame in yard.frames().items()}
    assert states == {first.name: FrameState.PRESENT, second.name: FrameState.DUPLICATE}
    assert [row.reason for row in yard.held().values()] == [QuarantineReason.DUPLICATE]


def test_one_row_that_the_database_refuses_does_not_keep_the_others_out(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for second in range(5):
        yard.write(second)
    store = ingest.store_frames

    def picky(session: Any, frames: Any, **options: Any) -> Any:
        if any(frame.dp_id.endswith("03.000") for frame in frames):
            raise DataError("insert", {}, Exception("value out of range"))
        return store(session, frames, **options)

    monkeypatch.setattr(ingest, "store_frames", picky)
    report = yard.once()
    assert (report.new, report.held) == (4, {QuarantineReason.UNREADABLE: 1})


def test_an_unexpected_error_holds_the_file_and_no_other(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = yard.write(0), yard.write(1)
    examine = ingest.examine

    def fails(path: str, file: Any) -> Any:
        if path == str(bad):
            raise ZeroDivisionError("nobody thought of that")
        return examine(path, file)

    monkeypatch.setattr(ingest, "examine", fails)
    report = yard.once()
    assert (report.new, report.held) == (1, {QuarantineReason.UNREADABLE: 1})
    assert set(yard.frames()) == {good.name}


def test_files_stay_to_be_done_while_the_database_is_away(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    yard.write(0)
    time.sleep(0.06)
    ingestor = Ingestor(yard.archive, yard.settings)

    def away(*args: Any, **options: Any) -> Any:
        raise ArchiveUnavailableError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "store_frames", away)
        with pytest.raises(ArchiveUnavailableError):
            ingestor.round([yard.raw])
    assert ingestor.round(()).new == 1


def test_a_long_round_ends_early_when_the_daemon_is_told_to_stop(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_BATCH", 1)
    for second in range(3):
        yard.write(second)
    time.sleep(2 * yard.settings.settle_seconds)
    stop = threading.Event()
    batch = Ingestor._ingest_batch

    def told(self: Ingestor, *arguments: Any) -> None:
        batch(self, *arguments)
        stop.set()

    monkeypatch.setattr(Ingestor, "_ingest_batch", told)
    ingestor = Ingestor(yard.archive, yard.settings, stop=stop)
    report = ingestor.round([yard.raw])
    assert (report.new, report.vanished, len(yard.frames())) == (1, 0, 1)
    monkeypatch.undo()
    assert yard.once().new == 2


def test_settle_watch_trusts_no_time_in_the_future(tmp_path: Path) -> None:
    now = [1000.0]
    watch = SettleWatch(lambda: now[0])
    file = ingest.FileStat(10, 5000.0)
    assert watch.quiet_for("x", file) == 0.0
    now[0] = 1003.0
    assert watch.quiet_for("x", file) == 3.0
    assert watch.quiet_for("x", ingest.FileStat(11, 5000.0)) == 0.0
    assert watch.quiet_for("y", ingest.FileStat(10, 900.0)) == 103.0
    now[0] = 500.0  # the clock is set back
    assert watch.quiet_for("x", ingest.FileStat(11, 5000.0)) == 0.0
    now[0] = 502.0
    assert watch.quiet_for("x", ingest.FileStat(11, 5000.0)) == 2.0


def test_scan_reads_linked_directories_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.fits").write_text("x")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "y.fits").write_text("y")
    (tmp_path / "a" / ".z.fits").write_text("being written by rsync")
    assert len(TreeReader().scan(str(tmp_path)).files) == 1


def test_links_to_directories_elsewhere_are_told_and_not_followed(
    yard: Yard, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    yard.write(0).rename(elsewhere / "one.fits")
    yard.write(1).rename(elsewhere / "two.fits")
    (yard.raw / "root").symlink_to("/")
    (yard.raw / "outside").symlink_to(elsewhere)
    (yard.raw / "up").symlink_to(yard.raw.parent)
    (yard.raw / "loop").symlink_to(yard.raw)
    (yard.raw / "staged.fits").symlink_to(elsewhere / "one.fits")  # a file that lies elsewhere is one of the archive
    yard.settings = yard.settings.model_copy(update={"settle_seconds": 1e-6})
    ingestor = Ingestor(yard.archive, yard.settings)
    told = {str(yard.raw / name): os.path.realpath(yard.raw / name) for name in ("root", "outside", "up")}
    for _ in range(2):
        report = ingestor.round([yard.raw])
        assert report.outward == told
        assert "3 links out of the archive not followed" in report.sentence()
    assert list(yard.frames()) == ["staged.fits"]
    assert yard.held() == {}
    assert sum("is not followed" in record.message for record in caplog.records) == 3  # each once
    (yard.raw / "root").unlink()
    assert len(ingestor.round([yard.raw]).outward) == 2


def test_a_setting_has_them_followed(yard: Yard, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    yard.write(0).rename(elsewhere / "one.fits")
    (yard.raw / "outside").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(yard.raw)
    follows = yard.settings.model_copy(update={"follow_links": True})
    report = ingest_once(yard.archive, follows)
    assert (report.new, report.outward) == (1, {})
    # What is known stays when they are not followed any more: the file is still there.
    assert ingest_once(yard.archive, yard.settings, [yard.raw]).vanished == 0
    assert len(yard.frames()) == 1


def test_links_between_archive_directories_are_followed(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / f"{folder.name}.fits").write_text("x")
    (first / "other").symlink_to(second)
    assert len(TreeReader(within=[second]).scan(str(first)).files) == 2
    assert len(TreeReader().scan(str(first)).files) == 1


def test_directories_that_did_not_change_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet, busy = tmp_path / "quiet", tmp_path / "busy"
    for folder in (quiet, busy):
        folder.mkdir()
        (folder / "x.fits").write_text("x")
        (folder / "no use.txt").write_text("x")
    entries, read = ingest_scan._entries, list[str]()
    monkeypatch.setattr(ingest_scan, "_entries", lambda folder: read.append(folder) or entries(folder))
    now = [time.time() + 60]
    reader = TreeReader(lambda: now[0])
    for _ in range(2):
        assert len(reader.scan(str(tmp_path)).files) == 2
    assert sorted(read) == sorted(map(str, (tmp_path, quiet, busy)))
    (quiet / "x.fits").write_text("longer")  # seen although its directory did not change
    (busy / "y.fits").write_text("y")
    files = reader.scan(str(tmp_path)).files
    assert (len(files), files[str(quiet / "x.fits")].size) == (3, 6)
    assert read[3:] == [str(busy)]
    (quiet / "x.fits").unlink()
    assert len(reader.scan(str(tmp_path)).files) == 2
    now[0] += 3600  # all of them now and then
    reader.scan(str(tmp_path))
    assert len(read) == 3 + 1 + 1 + 3


def test_a_directory_that_changed_just_now_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries, read = ingest_scan._entries, list[str]()
    monkeypatch.setattr(ingest_scan, "_entries", lambda folder: read.append(folder) or entries(folder))
    reader = TreeReader()
    for _ in range(2):
        reader.scan(str(tmp_path))
    assert len(read) == 2


@pytest.fixture
def daemon(yard: Yard) -> Iterator[Yard]:
    stop = threading.Event()
    thread = threading.Thread(target=ingest_forever, args=(yard.archive, yard.settings, stop))
    thread.start()
    yield yard
    stop.set()
    thread.join(timeout=60)
    assert not thread.is_alive()
    with yard.archive.read() as session:
        row = session.scalars(select(WorkerHeartbeat)).one()
    assert row.stopped_at is not None


def test_a_link_out_of_the_archive_neither_is_watched_nor_keeps_from_watching(yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (yard.raw / "night").mkdir()
    (yard.raw / "outside").symlink_to(tmp_path / "elsewhere")
    assert set(ingest_scan.folders_of_links_out([yard.raw])) == {str(yard.raw), str(yard.raw / "night")}
    yard.settings = yard.settings.model_copy(update={"rescan_seconds": 3600.0})
    stop = threading.Event()
    thread = threading.Thread(target=ingest_forever, args=(yard.archive, yard.settings, stop))
    thread.start()
    try:
        number = 0

        def seen() -> bool:  # the watcher may not yet have begun when the first files come
            nonlocal number
            number += 1
            yard.write(number % 60, f"night/{number}.fits")
            time.sleep(0.2)
            return bool(yard.frames())

        _until(seen)
    finally:
        stop.set()
        thread.join(timeout=60)


def _until(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_the_daemon_takes_in_what_comes_and_survives_what_is_bad(daemon: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.write(0)
    _until(lambda: len(daemon.frames()) == 1)
    (daemon.raw / "bad.fits").write_text("bad")
    daemon.write(1)
    _until(lambda: len(daemon.frames()) == 2 and "bad.fits" in daemon.held())
    with monkeypatch.context() as patch:

        def broken(*args: Any, **options: Any) -> Any:
            raise RuntimeError("a bug")

        patch.setattr(Ingestor, "_select", broken)
        daemon.write(2)
        time.sleep(0.5)
    _until(lambda: len(daemon.frames()) == 3)
    _until(lambda: all(frame.sha256 for frame in daemon.frames().values()))


def test_a_database_that_is_away_is_told_in_lines_and_waited_for(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop = threading.Event()
    yard.write(0)
    monkeypatch.setattr(ingest_daemon, "_AGAIN_SECONDS", 0.05)
    with monkeypatch.context() as patch:

        def away(*_: object) -> None:
            raise ArchiveUnavailableError("the archive database does not answer")

        patch.setattr(Archive, "read", away)
        patch.setattr(Archive, "write", away)
        settings = yard.settings.model_copy(update={"heartbeat_seconds": 0.05})
        thread = threading.Thread(target=ingest_forever, args=(yard.archive, settings, stop))
        thread.start()
        words = ("a round of ingest failed", "the heartbeat could not be written", "hashing failed")
        _until(lambda: all(caplog.text.count(word) > 1 for word in words))
    _until(lambda: len(yard.frames()) == 1)
    stop.set()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert [record for record in caplog.records if record.exc_info] == []


def test_a_daemon_that_is_killed_again_and_again_loses_and_doubles_nothing(yard: Yard) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(ingest.__file__).parents[1]),
        "CASCADE_DATA_DIR": str(yard.settings.data_dir),
        "CASCADE_ARCHIVE_DIRS": str(yard.raw),
        "CASCADE_DATABASE_URL": yard.archive.database_url,
        "CASCADE_SETTLE_SECONDS": "0.05",
    }
    chance = random.Random(7)
    count = 0
    for _ in range(3):
        daemon = subprocess.Popen(
            [sys.executable, "-m", "workers.ingest_daemon"], env=environment, stderr=subprocess.DEVNULL
        )
        before = len(yard.frames())
        for _ in range(150):
            moment = datetime(2026, 11, 1, 22) + timedelta(seconds=count)
            data = yard.build({"DATE-OBS": moment.isoformat()})
            (yard.raw / f"{count:04d}.fits").write_bytes(data)
            count += 1
        _until(lambda before=before: len(yard.frames()) > before)
        time.sleep(chance.uniform(0.0, 0.2))
        daemon.kill()
        daemon.wait()
    yard.once()
    assert sorted(yard.frames()) == [f"{number:04d}.fits" for number in range(count)]
    assert yard.held() == {}


def test_the_same_file_name_in_another_year_is_another_exposure(yard: Yard) -> None:
    for year in (2024, 2025):
        folder = yard.raw / str(year)
        folder.mkdir()
        (folder / "MUSE_BIAS_0001.fits").write_bytes(yard.build({"DATE-OBS": f"{year}-11-01T09:00:00"}))
    assert yard.once().new == 2
    with yard.archive.read() as session:
        names = {frame.dp_id: frame.night.year for frame in session.scalars(select(Frame))}
    assert names == {"MUSE_BIAS_0001": 2024, "MUSE_BIAS_0001@20251101T090000.000000-MUSE": 2025}
    assert yard.held() == {}
    (yard.raw / "2025" / "MUSE_BIAS_0001.fits").rename(yard.raw / "2025" / "MUSE_BIAS_0002.fits")
    assert yard.once().moved == 1
    with yard.archive.read() as session:
        assert set(session.scalars(select(Frame.dp_id))) == {"MUSE_BIAS_0001", "MUSE_BIAS_0002"}


def test_what_a_frame_does_not_need_does_not_keep_it_out_but_is_noted(yard: Yard) -> None:
    yard.write(1, "letter.fits", OBJECT="MARIA MU\xd1OZ")
    yard.write(2, "number.fits", **{"TPL.NEXP": 2.5, "EXPTIME": "raw:NaN"})
    (yard.raw / "day.fits").write_bytes(yard.build({"DATE-OBS": "2026-10-31", "MJD-OBS": 61344.25}))
    (yard.raw / "leap.fits").write_bytes(yard.build({"DATE-OBS": "2016-12-31T23:59:60.4", "MJD-OBS": 57754.0}))
    yard.write(3, "part.fits", **{"DET.CHIPS": 24})
    yard.write(4, "good.fits")
    assert yard.once().new == 6
    notes = {name: frame.notes for name, frame in yard.frames().items()}
    assert notes == {
        "letter.fits": "bytes that are not ASCII, read as ?, in OBJECT",
        "number.fits": "EXPTIME has the unusable value 'NaN' and counts as not given; "
        "TPL.NEXP has the unusable value '2.5' and counts as not given",
        "day.fits": "DATE-OBS has no time of day: that of MJD-OBS counts",
        "leap.fits": "",
        "part.fits": "2 IFUs of 24 (DET.CHIPS) are in the file",
        "good.fits": "",
    }


def test_frames_of_which_nothing_is_made_are_frames(yard: Yard) -> None:
    kinds = {"ACQUISITION": "OBJECT", "TEST": "BIAS", "TECHNICAL": "FLAT,SKY"}
    for second, (catg, kind) in enumerate(kinds.items()):
        path = yard.raw / f"{catg}.fits"
        keywords = {"DPR.CATG": catg, "DPR.TYPE": kind, "DPR.TECH": "IMAGE", "DET.READ.CURID": None}
        path.write_bytes(yard.build({"DATE-OBS": f"2026-11-01T22:00:{second:02d}", **keywords}, ifus=()))
    assert yard.once().new == 3
    assert {frame.tag for frame in yard.frames().values()} == set(kinds)


@pytest.mark.parametrize("ending", [".gz", ".Z"])
def test_a_frame_that_is_compressed_as_a_whole_is_a_frame(
    yard: Yard, ending: str, lzw: Callable[[bytes], bytes]
) -> None:
    plain = yard.write(1)
    yard.once()
    before = yard.frames()[plain.name]
    packed = plain.with_name(plain.name + ending)
    packed.write_bytes({".gz": gzip.compress, ".Z": lzw}[ending](plain.read_bytes()))
    plain.unlink()
    report = yard.once()
    assert (report.moved, report.held) == (1, {})
    frame = yard.frames()[packed.name]
    assert (frame.id, frame.dp_id, frame.edition) == (before.id, before.dp_id, before.edition)
    assert (frame.units, frame.size, frame.tag) == (before.units, packed.stat().st_size, before.tag)
    assert "compressed as a whole" in frame.notes
    assert Hasher(yard.archive).round(threading.Event()) == 1
    assert yard.frames()[packed.name].sha256 == file_sha256(packed)


def test_what_is_compressed_in_another_way_is_named_and_not_ignored(yard: Yard) -> None:
    whole = yard.write(1).read_bytes()
    for ending, content in {
        ".bz2": b"BZh9", ".xz": b"\xfd7zXZ", ".gz": gzip.compress(whole)[:-9], "": gzip.compress(whole),
    }.items():  # fmt: skip
        (yard.raw / f"MUSE.1.fits{ending}").write_bytes(content)
    report = yard.once()
    assert report.held == {QuarantineReason.COMPRESSED: 2, QuarantineReason.TRUNCATED: 1, QuarantineReason.DUPLICATE: 1}
    assert yard.held()["MUSE.1.fits.bz2"].text == "the file is compressed as a whole (bz2)"


def test_what_takes_long_to_read_is_stored_by_and_by(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    for second in range(3):
        yard.write(second)
    monkeypatch.setattr(ingest, "_BATCH_SECONDS", 0.0)
    sizes: list[int] = []
    store = Ingestor._store
    monkeypatch.setattr(
        Ingestor, "_store", lambda self, found, *rest: (sizes.append(len(found)), store(self, found, *rest))[1]
    )
    assert yard.once().new == 3
    assert sizes == [1, 1, 1]
