"""Masters leave under the observatory's names, whole, once, and never over another file."""

from __future__ import annotations

import errno
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from core.archive.export import ExportFile, ExportSet, export_sets
from core.errors import ProductStoreError
from core.fitsfile.digest import file_sha256
from core.instruments.registry import instrument

MUSE = instrument("MUSE")
SETUP = "WFM-NOAO-N-r1-1x1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "export"


def work(tmp_path: Path, text: str, units: tuple[int | None, ...] = (1, 2), tag: str = "MASTER_BIAS") -> ExportSet:
    files = []
    for unit in units:
        path = tmp_path / f"{text}-{unit}.fits"
        path.write_text(f"{text} {unit}")
        files.append(ExportFile(path, file_sha256(path), unit))
    return ExportSet(f"{text}_tpl", tag, date(2026, 11, 1), SETUP, MUSE, tuple(files))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_name_has_code_night_letter_setup_and_unit(tmp_path: Path, folder: Path) -> None:
    done = export_sets([work(tmp_path, "bias"), work(tmp_path, "trace", (None,), "TRACE_TABLE")], folder)
    assert names(folder) == [
        f"MU_MBIA_261101A_{SETUP}_CHAN01.fits",
        f"MU_MBIA_261101A_{SETUP}_CHAN02.fits",
        f"MU_PFTT_261101A_{SETUP}.fits",
    ]
    assert all(entry.new and entry.target is not None for entry in done)
    assert (folder / f"MU_MBIA_261101A_{SETUP}_CHAN02.fits").read_text() == "bias 2"


def test_exporting_again_changes_nothing(tmp_path: Path, folder: Path) -> None:
    export_sets([work(tmp_path, "bias")], folder)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    done = export_sets([work(tmp_path, "bias")], folder)
    assert not any(entry.new for entry in done)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_another_work_of_the_night_gets_the_next_letter_whatever_units_it_has(tmp_path: Path, folder: Path) -> None:
    export_sets([work(tmp_path, "morning", (1,)), work(tmp_path, "evening", (2,))], folder)
    assert names(folder) == [f"MU_MBIA_261101A_{SETUP}_CHAN01.fits", f"MU_MBIA_261101B_{SETUP}_CHAN02.fits"]
    (done,) = export_sets([work(tmp_path, "evening", (2,))], folder)
    assert (done.new, done.target) == (False, folder / f"MU_MBIA_261101B_{SETUP}_CHAN02.fits")


def test_what_is_damaged_or_gone_is_left_out_and_leaves_nothing_behind(tmp_path: Path, folder: Path) -> None:
    item = work(tmp_path, "bias")
    item.files[0].path.write_text("other")
    item.files[1].path.unlink()
    damaged, gone = export_sets([item], folder)
    assert (damaged.target, gone.target) == (None, None)
    assert "damaged" in damaged.reason
    assert gone.reason == "the file is gone"
    assert names(folder) == []


@pytest.mark.parametrize("tag", ["TRACE_SAMPLES", "LSF_PROFILE"])
def test_what_has_no_code_of_a_master_is_left_out(tmp_path: Path, folder: Path, tag: str) -> None:
    (done,) = export_sets([work(tmp_path, "bias", (1,), tag)], folder)
    assert done.target is None
    assert tag in done.reason


def test_a_file_that_appears_meanwhile_is_not_overwritten(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def late(source: Any, target: Path) -> None:
        target.write_text("of somebody else")
        link(source, target)

    monkeypatch.setattr("core.archive.export.os.link", late)
    with pytest.raises(ProductStoreError, match="File exists"):
        export_sets([work(tmp_path, "bias", (1,))], folder)
    assert [path.read_text() for path in folder.iterdir()] == ["of somebody else"]


def test_file_systems_without_links_serve_too(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr("core.archive.export.os.link", refuse)
    (done,) = export_sets([work(tmp_path, "bias", (1,))], folder)
    assert done.target is not None
    assert done.target.read_text() == "bias 1"
    assert len(names(folder)) == 1
