"""Archives with headers, dates, names and numbers at every limit: ingest, plan and pages go on, whatever lies there."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import select

from core.archive.definitions import register_definitions
from core.archive.models import Block, Frame, Product, QuarantinedFile
from core.archive.sessions import Archive
from core.archive.states import BlockState, FrameState
from core.instruments.catalogue import qc1_definitions
from core.settings import Settings
from service.app import create_app
from workers.ingest import ingest_once
from workers.ingest_examine import examine, printable, stat_file
from workers.planning import Planner
from workers.runner import run_until_idle

Build = Callable[..., bytes]

DATES = (
    "0001-01-01T00:00:00", "1999-12-31T23:59:59", "2010-01-01T00:00:00", "2026-02-30T00:00:00", "2016-12-31T23:59:60",
    "2026-11-01", "9999-12-31T23:59:59.999", "9999-12-31T23:59:60", "2026-11-01T25:00:00", "-2026-11-01T00:00:00", "",
)  # fmt: skip
NUMBERS = (
    0,
    -1,
    1,
    2**31 - 1,
    2**31,
    -(2**63),
    10**60,
    0.0,
    -1e-300,
    1e308,
    "raw:1E999",
    "raw:NaN",
    "raw:",
    "text",
    True,
)
TEXTS = (
    "",
    " ",
    "'",
    "../../etc",
    "<script>alert(1)</script>",
    "%00",
    "\x00",
    "Ã©",
    "x" * 68,
    "a/b c?d#e",
    "\\u0000",
    "=",
)
KEYS = (
    "DPR.CATG", "DPR.TYPE", "DPR.TECH", "INSTRUME", "OBJECT", "TPL.ID", "OBS.PROG.ID", "INS.MODE", "INS.OPTI1.NAME",
    "INS.OPTI2.NAME", "DET.READ.CURNAME", "EXPTIME", "MJD-OBS", "TPL.EXPNO", "TPL.NEXP", "OBS.ID", "INS.TEMP4.VAL",
    "DET.READ.CURID", "DET.BINX", "DET.BINY", "DET.CHIPS", "INS.SHUT3.ST", "ARCFILE", "PRO.CATG",
)  # fmt: skip
STRUCTURE = ("BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "EXTNAME", "DET.OUT1.NX", "DET.CHIP.LIVE")
NAMES = ("a b", "%2e%2e", "<b>", "ünïcode", "n" * 240, "'quoted'", "x;y", "#1?2", "\udcff" * 60, "-dash", "2026-11-01")


def _poison(folder: Path, build: Build, seed: int, number: int) -> None:
    """Raw files of which each has one or more things wrong."""
    random_ = random.Random(seed)
    for index in range(number):
        second = f"2026-11-01T22:{index // 60:02d}:{index % 60:02d}"
        keywords: dict[str, Any] = {"DATE-OBS": second}
        extension: dict[str, Any] = {}
        for _ in range(random_.randint(1, 3)):
            kind = random_.randrange(5)
            if kind == 0:
                keywords["DATE-OBS"] = random_.choice(DATES)
            elif kind == 1:
                keywords["TPL.START"] = random_.choice((*DATES, *TEXTS, None))
            elif kind == 2:
                extension[random_.choice(STRUCTURE)] = random_.choice(NUMBERS)
            else:
                keywords[random_.choice(KEYS)] = random_.choice((*NUMBERS, *TEXTS, None))
        try:
            content = build(keywords, extension=extension)
        except (ValueError, OverflowError, MemoryError):  # the builder itself makes the pixels that a header promises
            continue
        if random_.random() < 0.1:
            content = content[: random_.randrange(len(content))]
        name = f"{random_.choice(NAMES)}_{index}" if random_.random() < 0.3 else f"MUSE.{index}"
        (folder / f"{name}.fits").write_bytes(content)


def _with(content: bytes, key: str, value: str) -> bytes:
    """A raw frame of which the first extension has another value, and no other pixels for it."""
    start = content.index(b"XTENSION")
    at = content.index(key.ljust(8).encode() + b"=", start)
    return content[:at] + f"{key:<8}= {value:>20}".ljust(80).encode() + content[at + 80 :]


# What of an extension says how far to step, at its limits, and what becomes of the file.
STEPS = (
    ("NAXIS1", "9" * 20, "truncated"),
    ("NAXIS1", str(2**62), "truncated"),
    ("NAXIS1", "-24", "not_fits"),
    ("NAXIS1", "24.5", "not_fits"),
    ("NAXIS1", "Inf", "not_fits"),
    ("NAXIS", "999", "not_fits"),
    ("NAXIS", "1000000000", "not_fits"),
    ("NAXIS", "-3", "not_fits"),
    ("GCOUNT", str(2**40), "truncated"),
    ("GCOUNT", "-1", "not_fits"),
    ("PCOUNT", str(2**63), "truncated"),
    ("PCOUNT", "-2880", "not_fits"),
    ("BITPIX", "7", "not_fits"),
    ("BITPIX", "0", "not_fits"),
    ("BITPIX", "NaN", "not_fits"),
    ("BITPIX", "1E999", "not_fits"),
    ("XTENSION", "'FOOBAR  '", ""),
    ("XTENSION", "''", ""),
)


@pytest.mark.parametrize(("key", "value", "reason"), STEPS)
def test_no_step_through_a_file_is_endless_or_backward(
    tmp_path: Path, raw_bytes: Build, key: str, value: str, reason: str
) -> None:
    path = tmp_path / "x.fits"
    path.write_bytes(_with(raw_bytes(), key, value))
    answer = examine(str(path), stat_file(str(path)))
    assert str(getattr(answer, "reason", "")) == reason, getattr(answer, "text", "")


def _special(folder: Path, build: Build) -> None:
    """What has the name of a raw frame and is none, and headers that do not end."""
    (folder / "directory.fits").mkdir()
    os.mkfifo(folder / "pipe.fits")
    (folder / "endless.fits").symlink_to("/dev/zero")
    (folder / "loop.fits").symlink_to("loop.fits")
    (folder / "empty.fits").write_bytes(b"")
    (folder / "nothing.fits").write_bytes(b"\0" * 28800)
    content = build({"DATE-OBS": "2026-11-01T22:30:00"})
    without = content.replace(b"END".ljust(80), b" " * 80)
    (folder / "without_end.fits").write_bytes(without)
    (folder / "comments.fits").write_bytes(without[:2880] + b"COMMENT x".ljust(80) * 36 * 400)
    extension = content[content.index(b"XTENSION") :][:2880]
    many = _with(extension, "NAXIS", "0") * 2000
    (folder / "many.fits").write_bytes(content[: content.index(b"XTENSION")] + many)
    for number, (key, value, _) in enumerate(STEPS):
        (folder / f"step_{number}.fits").write_bytes(_with(content, key, value))


@pytest.fixture(params=[1, 2])
def poisoned(
    request: pytest.FixtureRequest, archive: Archive, tmp_path: Path, raw_bytes: Build
) -> tuple[Archive, Settings]:
    """An archive directory with poisoned files and three good biases, ingested."""
    raw = tmp_path / "raw"
    raw.mkdir()
    _poison(raw, raw_bytes, request.param, 100)
    _special(raw, raw_bytes)
    for index in range(3):
        (raw / f"good_{index}.fits").write_bytes(
            raw_bytes({"DATE-OBS": f"2026-10-30T09:00:0{index}", "TPL.START": "2026-10-30T09:00:00", "TPL.NEXP": 3})
        )
    # Two groups without start whose names differ in what a slug loses.
    for name, second in (("one two", 1), ("onetwo", 2), ("one+two", 3)):
        (raw / f"{name}.fits").write_bytes(raw_bytes({"DATE-OBS": f"2026-10-29T09:00:0{second}", "TPL.START": None}))
    settings = Settings(
        data_dir=tmp_path / "data",
        archive_dirs=(raw,),
        database_url=archive.database_url,
        settle_seconds=0.01,
        truncated_seconds=0.01,
        template_seconds=0.01,
    )
    settings.make_directories()
    ingest_once(archive, settings)
    return archive, settings


def test_every_file_is_a_frame_or_held_and_the_good_ones_are_planned(poisoned: tuple[Archive, Settings]) -> None:
    archive, settings = poisoned
    with archive.read() as session:
        known = {path for table in (Frame, QuarantinedFile, Product) for path in session.scalars(select(table.path))}
    assert known == {printable(str(path)) for path in settings.archive_dirs[0].iterdir()}
    Planner(archive, settings).plan_changes(wait_for_templates=False)
    with archive.read() as session:
        blocks = {block.group_key: block.n_raw for block in session.scalars(select(Block))}
    assert blocks["muse_bias-20261030T090000-WFM-NOAO-N-r1-1x1"] == 3
    assert sum("onetwo" in key for key in blocks) == 3


async def _statuses(settings: Settings, paths: list[str]) -> dict[str, int]:
    """What the service answers, also to all other addresses that name nothing."""
    app = create_app(settings)
    found = [path for path, verbs in app.openapi()["paths"].items() if "get" in verbs and "{" not in path]
    paths = [*paths, *(path for path in found if "stream" not in path)]
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        return {path: (await client.get(path)).status_code for path in paths}


def test_no_page_and_no_endpoint_fails(poisoned: tuple[Archive, Settings], run_async: Callable[..., Any]) -> None:
    archive, settings = poisoned
    Planner(archive, settings).plan_changes(wait_for_templates=False)
    with archive.read() as session:
        frames = list(session.scalars(select(Frame)))
        blocks = list(session.scalars(select(Block)))
    nights = {frame.night.isoformat() for frame in frames}
    paths = [f"{base}/{night}" for night in nights for base in ("/nights", "/api/nights")]
    paths += [f"{base}/{quote(frame.dp_id, safe='')}" for frame in frames for base in ("/frames", "/api/frames")]
    paths += [f"{base}/{quote(block.name, safe='')}" for block in blocks for base in ("/blocks", "/api/blocks")]
    paths += ["/", "/nights", "/quarantine", "/qc1", "/docs", "/search?q=2026"]
    statuses = run_async(_statuses(settings, paths))
    assert len(statuses) > len(paths) + 5
    assert {path for path, status in statuses.items() if status == 500} == set()
    assert {path for path in paths if statuses[path] >= 400} == set()


def test_when_the_bad_files_are_gone_only_the_good_are_left(poisoned: tuple[Archive, Settings]) -> None:
    archive, settings = poisoned
    for path in settings.archive_dirs[0].iterdir():
        if path.name == "directory.fits":
            path.rmdir()
        elif not path.name.startswith("good_"):
            path.unlink()
    ingest_once(archive, settings)
    Planner(archive, settings).plan_changes(wait_for_templates=False)
    with archive.read() as session:
        assert len(list(session.scalars(select(Frame).where(Frame.state == FrameState.PRESENT)))) == 3
        assert [block.n_raw for block in session.scalars(select(Block))] == [3]


# Headers that pass, and what of them a recipe meets first.
BAD_PIXELS: tuple[dict[str, object], ...] = (
    {"DET.OUT1.NX": 2**31, "DET.OUT1.GAIN": "raw:NaN"},
    {"DET.CHIP.LIVE": "raw:7", "BZERO": "raw:1E400"},
    {"NAXIS": 1, "EXTNAME": "CHAN01"},
)


def test_what_is_run_of_it_ends_and_is_shown(
    sqlite_archive: Archive, tmp_path: Path, raw_bytes: Build, run_async: Callable[..., Any]
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for number, extension in enumerate(BAD_PIXELS):
        start = f"2026-11-01T{20 + number}:00:00"
        for index in range(3):
            keywords = {"DATE-OBS": f"2026-11-01T{20 + number}:00:0{index + 1}", "TPL.START": start, "TPL.NEXP": 3}
            (raw / f"MUSE.{number}.{index}.fits").write_bytes(raw_bytes(keywords, extension=extension))
    settings = Settings(
        data_dir=tmp_path / "data",
        archive_dirs=(raw,),
        database_url=sqlite_archive.database_url,
        settle_seconds=0.01,
        truncated_seconds=0.01,
        template_seconds=0.01,
        retry_seconds=0.01,
        max_tries=1,
    )
    settings.make_directories()
    register_definitions(sqlite_archive, qc1_definitions())
    ingest_once(sqlite_archive, settings)
    Planner(sqlite_archive, settings).plan_changes(wait_for_templates=False)
    run_until_idle(sqlite_archive, settings)
    with sqlite_archive.read() as session:
        blocks = list(session.scalars(select(Block)))
        frames = list(session.scalars(select(Frame)))
        held = list(session.scalars(select(QuarantinedFile)))
    assert len(frames) + len(held) == 3 * len(BAD_PIXELS)
    assert blocks
    for block in blocks:
        assert block.state in (BlockState.DONE, BlockState.FAILED), block.name
        assert block.state is BlockState.DONE or block.error_message, block.name
    below = ("", "/progress", "/qc1", "/log")
    paths = [f"/api/blocks/{quote(block.name, safe='')}{end}" for block in blocks for end in below]
    paths += [f"/blocks/{quote(block.name, safe='')}" for block in blocks] + ["/", "/nights/2026-11-01"]
    of_frame = ("", "/file", "/preview.png?ext=CHAN01", "/levels?ext=CHAN01")
    frame_paths = [f"/api/frames/{quote(frame.dp_id, safe='')}{end}" for frame in frames for end in of_frame]
    statuses = run_async(_statuses(settings, [*paths, *frame_paths]))
    assert {path: status for path, status in statuses.items() if status == 500} == {}
    assert {path: statuses[path] for path in paths if statuses[path] >= 400} == {}
