"""Cropped pixel tables hold the rows of the ranges, and say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.formats.pixtable_read import open_pixtable
from core.tools.pixtable_crop import crop


@pytest.mark.parametrize("form", ["image", "table", "compact"])
def test_rows_of_the_ranges_are_kept(
    form: str, tables: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = getattr(tables, form), tmp_path / "b.fits"
    assert crop(["-x1", "-30", "-x2", "+30", "-l1", "5020", "-l2", "5033", str(source), str(target)]) == 0
    before, after = tables.of(form), open_pixtable(target)
    cells = before.read(0, before.n_rows)
    mask = (np.abs(cells["xpos"]) <= 30) & (cells["lambda"] >= 5020) & (cells["lambda"] <= 5033)
    assert 0 < after.n_rows < before.n_rows
    assert after.form == form
    for name, values in after.read(0, after.n_rows).items():
        np.testing.assert_array_equal(values, cells[name][mask])
    first, wave, x, y, last = capsys.readouterr().out.splitlines()
    assert first == f'MUSE pixel table "{source}" ({before.n_rows} rows)'
    assert wave == "  cropping to lambda = 5020.00..5033.00 Angstrom"
    assert x == "                xpos = -3.000e+01..3.000e+01 pix"
    low, high = cells["ypos"].min(), cells["ypos"].max()
    assert y == f"                ypos = {low:.3e}..{high:.3e} pix"
    assert last == f'MUSE pixel table "{target}" ({after.n_rows} rows) saved'


def test_one_slice_is_kept(tables: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "b.fits"
    assert crop(["-i", "3", "-s", "17", str(tables.compact), str(target)]) == 0
    found = open_pixtable(target)
    assert set(found.read(0, found.n_rows)["origin"] & 0x7FF) == {3 << 6 | 17}
    total = tables.of("compact").n_rows
    told = f"restricting to IFU 3, slice 17: {total - found.n_rows} of {total} rows dropped"
    assert told in capsys.readouterr().out


def test_the_last_digits_of_the_limits_cost_no_row(tables: Any, tmp_path: Path) -> None:
    # The limits of the header are rounded; who asks for no limit gets all rows.
    assert crop(["-l1", "0", str(tables.image), str(tmp_path / "b.fits")]) == 0
    assert open_pixtable(tmp_path / "b.fits").n_rows == tables.of("image").n_rows


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 1),
        (["IN"], 1),
        (["IN", "OUT", "-x1"], 2),
        (["-x2", "wide", "IN", "OUT"], 2),
        (["IN", "OUT", "-y2"], 3),
        (["IN", "OUT", "-l1"], 4),
        (["-l2", "nan", "IN", "OUT"], 4),
        (["IN", "OUT", "-i"], 5),
        (["-i", "25", "IN", "OUT"], 5),
        (["IN", "OUT", "-s"], 6),
        (["-s", "49", "IN", "OUT"], 6),
        (["-q", "IN", "OUT"], 9),
        (["missing.fits", "OUT"], 10),
        (["-l1", "9000", "IN", "OUT"], 50),
        (["IN", "NOWHERE"], 50),
    ],
)
def test_exit_codes(
    words: list[str], code: int, tables: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"IN": tables.image, "OUT": tmp_path / "b.fits", "NOWHERE": tmp_path / "none" / "b.fits"}
    assert crop([str(names.get(word, word)) for word in words]) == code
    assert capsys.readouterr().err
    assert not list(tmp_path.iterdir())
