"""Sets of frames as in the manual, section 6.1."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import MissingInputError, ParameterError
from core.fitsfile.sof import format_sof, read_sof


@pytest.fixture
def raws(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"MUSE.2014-02-21T09:5{i}:00.000.fits" for i in range(3)]
    for path in paths:
        path.touch()
    return paths


def test_comments_variables_and_several_files(
    tmp_path: Path, raws: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAW_DATA", str(tmp_path))
    first, second = tmp_path / "a.sof", tmp_path / "b.sof"
    first.write_text(f"{raws[0]} BIAS\n#{raws[1]} BIAS\n\n$RAW_DATA/{raws[1].name}   bias\n")
    second.write_text(f"${{RAW_DATA}}/{raws[2].name} MASTER_BIAS\n")
    assert read_sof([first, second]) == [(raws[0], "BIAS"), (raws[1], "BIAS"), (raws[2], "MASTER_BIAS")]


def test_round_trip(tmp_path: Path, raws: list[Path]) -> None:
    frames = [(path, "DARK") for path in raws]
    sof = tmp_path / "dark.sof"
    sof.write_text(format_sof(frames))
    assert read_sof([sof]) == frames


@pytest.mark.parametrize(
    ("line", "error", "text"),
    [
        ("/nowhere/x.fits BIAS", MissingInputError, "line 1 names a file that does not exist"),
        ("x.fits", ParameterError, "line 1 has no frame tag"),
        ("$CASCADE_NOT_SET/x.fits BIAS", ParameterError, "CASCADE_NOT_SET, which is not set"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, line: str, error: type[Exception], text: str) -> None:
    sof = tmp_path / "bad.sof"
    sof.write_text(line + "\n")
    with pytest.raises(error, match=text) as caught:
        read_sof([sof])
    assert str(sof) in str(caught.value)


def test_a_missing_set_of_frames_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="cannot be read"):
        read_sof([tmp_path / "none.sof"])
