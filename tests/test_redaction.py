"""No password of a URL is logged or shown."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from core.redaction import redacted

ROOT = Path(__file__).parents[1]
SECRET = "s3cr/e@t"


@pytest.mark.parametrize(
    "text",
    [
        f"redis://cascade:{SECRET}@host/0",
        f"see amqp://{SECRET}@host and postgresql://u:{SECRET}@h/d.",
        f"broker_url=amqp://guest:{SECRET}@host",
    ],
)
def test_user_and_password_go_the_rest_stays(text: str) -> None:
    assert SECRET not in redacted(text)
    assert "host" in redacted(text)


@pytest.mark.parametrize("text", ["", "mail a@b", "https://host/path", "sqlite:////data/a b.sqlite"])
def test_texts_without_a_password_stay(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    "variables",
    [
        {"CASCADE_BROKER_URL": f"amqp://guest:{SECRET}@127.0.0.1:1/"},
        {"CASCADE_DATABASE_URL": f"mysql://guest:{SECRET}@127.0.0.1:1/d"},
        {"CASCADE_DATABASE_URL": f"postgresql://guest:{SECRET}@127.0.0.1:1/d"},
    ],
    ids=["broker", "scheme", "silent"],
)
def test_a_daemon_that_cannot_start_says_why_without_the_password_and_its_files_are_for_its_group(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CASCADE_DATA_DIR": str(tmp_path / "data"), **variables}
    if "CASCADE_DATABASE_URL" not in variables:
        subprocess.run([sys.executable, "-m", "service", "init"], env=environment, check=False, capture_output=True)
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "workers.dispatch"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    written = ended.stdout + ended.stderr
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert ended.returncode == 1
    assert written.strip()
    assert "Traceback" not in written
    assert not any(SECRET.encode() in path.read_bytes() for path in files)
    assert SECRET not in written
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o027 == 0 for path in (tmp_path / "data").rglob("*"))


def test_the_log_of_a_daemon_leaves_the_password_out_of_tracebacks() -> None:
    from workers.process import _UtFormatter

    try:
        raise OSError(f"redis://u:{SECRET}@host does not answer")
    except OSError:
        record = logging.LogRecord("x", logging.ERROR, "x", 1, "failed", (), sys.exc_info())
    line = _UtFormatter("%(message)s").format(record)
    assert SECRET not in line
    assert "redis://***@host does not answer" in line
