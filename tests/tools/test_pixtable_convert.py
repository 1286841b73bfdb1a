"""Pixel tables are converted by their calibrations, or the reason is told why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.formats.pixtable_read import open_pixtable
from core.tools.pixtable_convert import convert


@pytest.mark.parametrize("source", ["image", "table", "compact"])
@pytest.mark.parametrize("form", ["image", "table", "compact"])
def test_each_form_becomes_each_other(source: str, form: str, tables: Any, tmp_path: Path) -> None:
    target = tmp_path / "b.fits"
    words = ["-f", form, getattr(tables, source), target, *(tables.calibrations if form == "compact" else ())]
    assert convert([str(word) for word in words]) == 0
    before, after = tables.of(source), open_pixtable(target)
    assert after.form == form
    for name, values in after.read(0, after.n_rows).items():
        np.testing.assert_array_equal(values.view(np.int32), before.read(0, before.n_rows)[name].view(np.int32))


def test_the_column_that_other_tables_would_change_is_named(
    tables: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace, waves, geometry = tables.calibrations
    with fits.open(geometry) as hdus:
        hdus[1].data["y"] += 0.5
        hdus.writeto(tmp_path / "g.fits")
    words = ["-f", "compact", tables.image, tmp_path / "b.fits", trace, waves, tmp_path / "g.fits"]
    assert convert([str(word) for word in words]) == 50
    assert "IFU 3, slice 1: the column ypos is not what the tables say, by up to 0.5" in capsys.readouterr().err
    assert not (tmp_path / "b.fits").exists()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 1, "Usage: muse_pixtable_convert"),
        (["IN", "OUT", "-f"], 2, "needs a value"),
        (["-f", "ascii", "IN", "OUT"], 2, "not 'ascii'"),
        (["-f", "compact", "IN", "OUT"], 3, "needs its TRACE_TABLE"),
        (["-f", "compact", "IN", "OUT", "TRACE", "WAVE"], 3, "needs its GEOMETRY_TABLE"),
        (["-q", "IN", "OUT"], 9, "unknown option"),
        (["missing.fits", "OUT"], 10, "cannot be read"),
        (["-f", "compact", "IN", "OUT", "IN"], 10, "it is a PIXTABLE_OBJECT"),
    ],
)
def test_exit_codes(
    words: list[str], code: int, told: str, tables: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"IN": tables.image, "OUT": tmp_path / "b.fits"}
    names |= dict(zip(("TRACE", "WAVE"), tables.calibrations, strict=False))
    assert convert([str(names.get(word, word)) for word in words]) == code
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
