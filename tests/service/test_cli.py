"""The command ``cascade`` as a user runs it: a process of its own, exit codes, sentences."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select

from core.archive.models import Block, Event, Qc1Parameter, Qc1Value
from core.archive.night_counts import NightCount
from core.archive.sessions import Archive
from core.archive.states import BlockState, QuarantineReason
from core.ccd.geometry import Detector
from core.simulator.night import NightPlan, simulate_night
from service.web.words import QUARANTINE_CURES

NIGHT = "2026-11-18"


@pytest.fixture
def cascade(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command with a data directory of its own."""

    def run(*arguments: str, timeout: float = 300, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "service", *arguments],
            env=environment(tmp_path, **variables),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """The environment of this process without settings of another installation, and a wide terminal."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CASCADE_")}
    root = str(Path(__file__).parents[2])
    return {
        **kept,
        "PYTHONPATH": root,
        "CASCADE_DATA_DIR": str(folder / "data"),
        "CASCADE_SETTLE_SECONDS": "0.2",
        "COLUMNS": "160",
        **variables,
    }


def test_help_names_all_commands_at_once(cascade: Callable[..., Any]) -> None:
    result = cascade("--help", PYTHONPROFILEIMPORTTIME="1")
    # the numerics are not imported for it: that alone takes seconds
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & {"numpy", "numba", "sqlalchemy", "fastapi"}
    for name in ("demo", "up", "ingest", "plan", "run", "status", "qc", "db"):
        assert f"  {name} " in result.stdout
    assert result.returncode == 0


def test_counts_of_nights_that_are_wrong_are_mended_and_told(cascade: Callable[..., Any], tmp_path: Path) -> None:
    assert cascade("init").returncode == 0
    archive = Archive(f"sqlite:///{tmp_path / 'data' / 'cascade.sqlite'}")
    with archive.write() as session:  # a night that the archive has nothing of
        names = [column.name for column in NightCount.__table__.columns if column.name != "night"]
        session.execute(insert(NightCount).values(night=date.fromisoformat(NIGHT), **dict.fromkeys(names, 7)))
    wrong = cascade("db", "recount")
    assert (wrong.returncode, wrong.stdout) == (1, "1 night summed up wrongly, mended\n")
    right = cascade("db", "recount", "--json")
    assert (right.returncode, json.loads(right.stdout)["wrong"]) == (0, {"nights": 0, "blocks": 0})
    with archive.read() as session:
        assert session.scalar(select(NightCount.frames)) is None
    archive.dispose()


def test_a_backup_is_restored_into_a_new_archive_and_told(cascade: Callable[..., Any], tmp_path: Path) -> None:
    assert cascade("init").returncode == 0
    saved = cascade("backup", str(tmp_path / "saved"))
    assert saved.returncode == 0, saved.stderr
    assert f"{tmp_path / 'data' / 'products'}" in saved.stdout  # what belongs beside it
    again = cascade("backup", str(tmp_path / "saved"))
    assert (again.returncode, "overwrites nothing" in again.stderr) == (1, True)
    restored = cascade("restore", str(tmp_path / "saved"), "--data-dir", str(tmp_path / "other"), "--json")
    assert restored.returncode == 0, restored.stderr
    told = json.loads(restored.stdout)
    assert f"schema {told['schema']}" in saved.stdout
    assert told["database"] == str(tmp_path / "other" / "cascade.sqlite")
    assert cascade("status", "--data-dir", str(tmp_path / "other")).stdout.count("Blocks:") == 1


def test_help_imports_no_numerics() -> None:
    code = (
        "import sys, service.cli.main; sys.exit(any(name in sys.modules for name in ('numpy', 'sqlalchemy', 'numba')))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("status",), "name its directory with --data-dir"),
        (("qc",), "or begin one: cascade init --data-dir "),
        (("run",), "or begin one: cascade init --data-dir "),
        (("plan",), "there is no archive in "),
        (("plan", "yesterday"), "is not a night like 2026-11-01"),
        (("plan", "--with", "muse_bias"), "muse_bias is no recipe on request; there are: muse_lsf"),
        (("plan", "--as-usual", "--older-only"), "--as-usual forgets requests: give it without"),
        (("logs",), "there is no archive in "),
        (("quarantine",), "there is no archive in "),
        (("rerun", "x"), "there is no archive in "),
        (("reject", "x", "--comment", "y"), "there is no archive in "),
        (("up", "/nowhere/at/all"), "there is no such directory of raw frames"),
        (("ingest", "/nowhere/at/all"), "there is no such file or directory"),
        (("demo", "--units", "25", "--no-serve"), "is not between 1 and 24"),
    ],
)
def test_errors_name_cause_and_cure(cascade: Callable[..., Any], arguments: tuple[str, ...], text: str) -> None:
    result = cascade(*arguments)
    assert result.returncode == 1
    assert text in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_setting_is_named(cascade: Callable[..., Any]) -> None:
    result = cascade("status", CASCADE_MAX_TRIES="many")
    assert result.returncode == 1
    assert "CASCADE_MAX_TRIES is not accepted" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("ingest", "--nonsense"),
        ("demo", "--port", "99999"),
        ("up", "--port", "0"),
        ("rerun",),
        ("make-again",),
        ("reject", "muse_bias-2026-11-18"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(cascade: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    result = cascade(*arguments)
    assert result.returncode == 2
    assert "Error: " in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments", [("demo", "FILE"), ("status", "--data-dir", "FILE"), ("init", "--data-dir", "FILE")]
)
def test_a_file_is_no_data_directory(cascade: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...]) -> None:
    file = tmp_path / "file"
    file.touch()
    result = cascade(*(str(file) if word == "FILE" else word for word in arguments))
    assert result.returncode == 1
    assert "a file" in result.stderr
    assert str(file) in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["plan", "run", "ingest", "status", "qc", "logs"])
def test_no_archive_is_begun_by_the_way(tmp_path: Path, command: str) -> None:
    variables = environment(tmp_path)
    del variables["CASCADE_DATA_DIR"]
    result = subprocess.run(
        [sys.executable, "-P", "-m", "service", command],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 1
    assert f"cascade init --data-dir {tmp_path / 'cascade-data'}" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_variable_is_told(cascade: Callable[..., Any]) -> None:
    assert "is CASCADE_MAX_TRIES meant?" in cascade("init", CASCADE_MAXTRIES="3").stderr


def test_version_short_help_and_completion(cascade: Callable[..., Any]) -> None:
    from core import __version__

    assert cascade("--version").stdout == f"cascade {__version__}\n"
    assert cascade("-h").stdout == cascade("--help").stdout
    assert "--night" in cascade("export-masters", "-h").stdout
    assert "..." not in cascade("-h", COLUMNS="300").stdout.partition("Commands:")[2].replace(
        "(MU_MBIA_261101A_...)", ""
    )
    # named, since a process without a shell above it finds none
    shown = cascade("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "_cascade_completion cascade" in shown.stdout


def test_the_database_is_made_once(cascade: Callable[..., Any]) -> None:
    assert "empty → " in cascade("init").stdout
    assert "already at " in cascade("db", "upgrade").stdout


def test_frames_are_ingested_planned_reduced_and_shown(cascade: Callable[..., Any], tmp_path: Path) -> None:
    """A night of three small biases through every command."""
    detector = Detector(nx=300, ny=256)
    plan = NightPlan(n_bias=3, n_flat=0, n_arc=0, n_illum=0)
    raw = tmp_path / "data" / "raw"
    simulate_night(raw, NIGHT, (1,), plan, detector=detector, truth_directory=tmp_path / "truth")
    (raw / "MUSE.bad.fits").write_text("no fits")

    ingested = cascade("ingest")
    assert ingested.returncode == 1  # something is in quarantine
    assert "3 new frames" in ingested.stdout
    assert "not_fits MUSE.bad.fits" in ingested.stdout
    assert QUARANTINE_CURES[QuarantineReason.NOT_FITS] in ingested.stdout

    planned = cascade("plan", NIGHT, "--explain", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "muse_bias on 3 BIAS frames" in planned.stdout
    assert "no block is planned" in cascade("status").stdout or "0 of 0" not in planned.stdout
    assert json.loads(cascade("plan", "--json", "--dry-run").stdout)["summary"]["ready"] == 1

    ran = cascade("run", NIGHT)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 done" in ran.stdout
    again = json.loads(cascade("plan", "--json", "--dry-run").stdout)
    assert again["summary"] == {"blocks": 1, "done": 1}
    assert [block["state"] for block in again["blocks"]] == ["done"]
    assert "Nothing was left to do" in cascade("run", NIGHT).stdout

    assert "master_ron" in cascade("qc", "muse_bias").stdout
    lines = cascade("qc", "muse_bias..master_ron", "--csv").stdout.splitlines()
    assert lines[0].startswith("parameter,mjd_obs,date_obs,value,value_unit,low,high,score,outlier,unit,quadrant")
    assert len(lines) == 1 + 4  # one IFU, four quadrants
    unknown = cascade("qc", "muse_bias..nothing")
    assert unknown.returncode == 1
    assert "it has: " in unknown.stderr

    status = json.loads(cascade("status", "--json").stdout)
    assert status["latest_night"] == NIGHT
    assert status["quarantine"] == 1
    assert any("cascade up" in alarm for alarm in status["alarms"])


def test_persons_order_from_the_terminal(cascade: Callable[..., Any], tmp_path: Path) -> None:
    """Reject, certify, rerun and cancel with a comment that is kept; logs and quarantine are read."""
    raw = tmp_path / "data" / "raw"
    plan = NightPlan(n_bias=3, n_flat=0, n_arc=0, n_illum=0)
    simulate_night(raw, NIGHT, (1,), plan, detector=Detector(nx=300, ny=256), truth_directory=tmp_path / "truth")
    (raw / "MUSE.bad.fits").write_text("no fits")
    assert json.loads(cascade("ingest", "--json").stdout)["new"] == 3
    held = cascade("quarantine", "--json")
    assert held.returncode == 1
    assert [row["reason"] for row in json.loads(held.stdout)] == ["not_fits"]
    assert json.loads(cascade("run", "--json").stdout) == {"stopped": False, "blocks": {"done": 1}}
    (block,) = json.loads(cascade("plan", "--json", "--dry-run").stdout)["blocks"]
    name = block["key"]

    assert "muse_bias" in cascade("logs", name, "-n", "100").stdout
    assert json.loads(cascade("logs", "--json").stdout) == []  # no daemon ran
    rejected = cascade("reject", name, "--comment", "light leak")
    assert rejected.stdout == f"{name}: rejected, 1 product\n"
    assert json.loads(cascade("certify", "1", "--comment", "it was not", "--json").stdout)[0]["state"] == "certified"
    refused = cascade("cancel", name)
    assert refused.returncode == 1
    assert "only a block that is still to be done can be cancelled" in refused.stderr
    assert "ready" in cascade("rerun", name, "--comment", "once more").stdout
    assert "cancelled" in cascade("cancel", name).stdout
    unknown = cascade("rerun", name, "no-such-block")
    assert unknown.returncode == 1
    archive = Archive(f"sqlite:///{tmp_path / 'data' / 'cascade.sqlite'}")
    with archive.read() as session:
        texts = {event.text for event in session.scalars(select(Event))}
        assert session.scalars(select(Block.state)).all() == [BlockState.CANCELLED]  # of two orders none was done
    archive.dispose()
    assert {"light leak", "it was not", "once more"} <= texts


def test_run_gives_its_block_back_on_sigterm(cascade: Callable[..., Any], tmp_path: Path) -> None:
    raw = tmp_path / "data" / "raw"
    plan = NightPlan(n_bias=3, n_flat=0, n_arc=0, n_illum=0)
    simulate_night(raw, NIGHT, (1,), plan, detector=Detector(nx=300, ny=256), truth_directory=tmp_path / "truth")
    assert cascade("ingest").returncode == 0
    archive = Archive(f"sqlite:///{tmp_path / 'data' / 'cascade.sqlite'}")

    def blocks() -> list[tuple[BlockState, int, str | None]]:
        with archive.read() as session:
            return [(row.state, row.tries, row.lease_owner) for row in session.scalars(select(Block))]

    with subprocess.Popen(
        [sys.executable, "-m", "service", "run"], env=environment(tmp_path), stdout=subprocess.PIPE, text=True
    ) as process:
        limit = time.monotonic() + 120
        while not any(state is BlockState.RUNNING for state, *_ in blocks()):  # the recipe imports numpy for a while
            assert time.monotonic() < limit
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert blocks() == [(BlockState.READY, 0, None)]
    archive.dispose()
    assert cascade("run").returncode == 0


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_up_serves_the_pages_with_living_daemons_and_stops_in_order(tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "up", "--port", str(port)],
        env=environment(tmp_path, CASCADE_DATA_DIR=str(tmp_path / "what? 50%:á #1")),  # any path will do
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        health: dict[str, Any] = {}
        limit = time.monotonic() + 180
        while time.monotonic() < limit:
            try:
                health = httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=5).json()
            except httpx.TransportError:
                time.sleep(0.3)
                continue
            if sum(item["state"] == "alive" for item in health.get("daemons", [])) >= 3:
                break
            time.sleep(0.3)
        assert {item["kind"] for item in health["daemons"] if item["state"] == "alive"} >= {
            "ingest",
            "dispatch",
            "execute",
        }
        assert health["alarms"] == []
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0
    assert process.stdout is not None
    assert f"http://127.0.0.1:{port}" in process.stdout.read()
    process.stdout.close()


def test_a_taken_port_is_said_before_anything_starts(cascade: Callable[..., Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = cascade("up", "--port", str(taken.getsockname()[1]))
    assert result.returncode == 1
    assert "choose another port with --port" in result.stderr


@pytest.mark.full
def test_the_demonstration_reduces_a_night_and_is_idempotent(cascade: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    try:
        arguments = ("demo", str(folder), "--no-serve", "--units", "1", "--nights", "1", "--night", NIGHT)
        first = cascade(*arguments, timeout=900)
        assert first.returncode == 0, first.stdout + first.stderr
        assert "22 frames of 1 full-size detector, 12 blocks" in first.stdout
        assert "12 of 12 blocks done" in first.stdout
        for name in (
            "muse_bias",
            "muse_dark",
            "muse_flat",
            "muse_wavecal",
            "muse_lsf",
            "muse_scibasic",
            "muse_scipost",
            "muse_exp_combine",
            "master_ron",
            "slice_resol",
        ):
            assert name in first.stdout
        archive = Archive(f"sqlite:///{folder / 'cascade.sqlite'}")
        with archive.read() as session:
            # all but those of frames that the night does not have
            absent = {f"muse_{name}" for name in ("geometry", "std", "sky", "astrometry", "throughput", "lingain")}
            tables = set(session.scalars(select(Qc1Parameter.table_name))) - absent
            assert set(session.scalars(select(Qc1Parameter.table_name).join(Qc1Value))) == tables
        archive.dispose()
        products = {path: path.stat().st_mtime for path in (folder / "products").rglob("*.fits")}
        said = float(re.search(r"([\d.]+) GB in all", first.stdout)[1])  # type: ignore[index]
        assert said == pytest.approx(sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e9, rel=0.1)
        second = cascade("demo", str(folder), "--no-serve", timeout=400)
        assert second.returncode == 0, second.stdout + second.stderr
        assert {path: path.stat().st_mtime for path in (folder / "products").rglob("*.fits")} == products
        assert not (tmp_path / "data").exists(), "the demonstration touched another installation"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
