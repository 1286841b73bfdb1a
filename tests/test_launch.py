"""How the commands start."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SLOW = """
import pathlib, time
pathlib.Path("imports").touch()
time.sleep(600)
"""


def started(folder: Path, *before: str) -> subprocess.Popen[str]:
    (folder / "slow.py").write_text(SLOW)
    code = "import sys; from core.launch import launch; sys.exit(launch('muserex', 'slow:main'))"
    process = subprocess.Popen(
        [*before, sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"},
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = time.monotonic() + 60
    while not (folder / "imports").exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    return process


def test_an_interrupt_while_modules_are_imported_ends_with_a_sentence(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "muserex: interrupted\n")


def test_a_process_that_ignores_interrupts_goes_on(tmp_path: Path) -> None:
    with started(tmp_path, "env", "--ignore-signal=INT") as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.kill()


def test_each_entry_point_exists_and_starts_what_exists() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for name, reference in scripts.items():
        module, _, attribute = reference.partition(":")
        entry = getattr(importlib.import_module(module), attribute)
        assert entry.args[0] == name
        inner, _, function = entry.args[1].partition(":")
        assert callable(getattr(importlib.import_module(inner), function))
