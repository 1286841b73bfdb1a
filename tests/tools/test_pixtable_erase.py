"""A slice is erased from pixel tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.formats.pixtable_read import open_pixtable
from core.tools.pixtable_erase import erase_slice


@pytest.mark.parametrize("form", ["image", "table", "compact"])
def test_all_rows_but_those_of_the_slice_stay(
    form: str, tables: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = getattr(tables, form), tmp_path / "b.fits"
    assert erase_slice([str(source), "3", "10", str(target)]) == 0
    before, after = tables.of(form), open_pixtable(target)
    cells = before.read(0, before.n_rows)
    mask = cells["origin"] & 0x7FF != 3 << 6 | 10
    assert after.form == form
    for name, values in after.read(0, after.n_rows).items():
        np.testing.assert_array_equal(values, cells[name][mask])
    assert capsys.readouterr().out.splitlines() == [
        f'MUSE pixel table "{source}" ({len(mask)} rows) loaded',
        f"  erasing slice 10 of IFU 3: {len(mask) - after.n_rows} rows removed",
        f'MUSE pixel table "{target}" ({after.n_rows} rows) saved',
    ]


def test_a_slice_that_is_not_there_costs_nothing(tables: Any, tmp_path: Path) -> None:
    assert erase_slice([str(tables.image), "14", "10", str(tmp_path / "b.fits")]) == 0
    assert open_pixtable(tmp_path / "b.fits").n_rows == tables.of("image").n_rows


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 1),
        (["IN", "3", "10"], 1),
        (["IN", "3", "10", "OUT", "more"], 1),
        (["IN", "25", "10", "OUT"], 2),
        (["IN", "three", "10", "OUT"], 2),
        (["IN", "3", "0", "OUT"], 3),
        (["missing.fits", "3", "10", "OUT"], 10),
        (["IN", "3", "10", "NOWHERE"], 50),
    ],
)
def test_exit_codes(
    words: list[str], code: int, tables: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"IN": tables.image, "OUT": tmp_path / "b.fits", "NOWHERE": tmp_path / "none" / "b.fits"}
    assert erase_slice([str(names.get(word, word)) for word in words]) == code
    assert capsys.readouterr().err
    assert not list(tmp_path.iterdir())
