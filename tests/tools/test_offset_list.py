"""Lists of exposures whose offsets are to be filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.tools.offset_list import create


def exposure(path: Path, date: str, day: float) -> Path:
    fits.PrimaryHDU(header=fits.Header([("DATE-OBS", date), ("MJD-OBS", day)])).writeto(path)
    return path


def test_exposures_of_files_and_of_a_set_of_frames_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = exposure(tmp_path / "one.fits", "2026-11-01T01:02:03.456", 61345.04)
    two = exposure(tmp_path / "two.fits", "2026-11-01T02:02:03.456789", 61345.08)
    bad = tmp_path / "bad.fits"
    bad.write_text("no FITS")
    sof = tmp_path / "e.sof"
    sof.write_text(f"{one} MASTER_BIAS\n{two} PIXTABLE_REDUCED\n")
    target = tmp_path / "list.fits"
    assert create(["-s", str(sof), str(target), str(one), str(bad)]) == 0
    with fits.open(target) as hdus:
        primary, table = hdus[0].header, hdus[1].data
        assert (primary["INSTRUME"], primary["HIERARCH ESO PRO CATG"]) == ("MUSE", "OFFSET_LIST")
        assert [primary[f"FILE{n}"] for n in (1, 2, 3)] == ["one.fits", "bad.fits", "two.fits"]
        assert table["DATE_OBS"].tolist() == ["2026-11-01T01:02:03.456", "", "2026-11-01T02:02:03.456789"]
        np.testing.assert_array_equal(table["MJD_OBS"], [61345.04, np.nan, 61345.08])
        for name in ("RA_OFFSET", "DEC_OFFSET", "FLUX_SCALE"):
            assert np.isnan(table[name]).all()
        assert [hdus[1].columns[n].unit for n in (1, 2, 3)] == ["d", "deg", "deg"]
    assert f"{bad} cannot be read" in capsys.readouterr().err


def test_without_files_the_list_has_ten_empty_rows(tmp_path: Path) -> None:
    assert create([str(tmp_path / "list.fits")]) == 0
    with fits.open(tmp_path / "list.fits") as hdus:
        assert hdus[0].header["FILES"] == "no files given"
        assert len(hdus[1].data) == 10
        assert set(hdus[1].data["DATE_OBS"]) == {""}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 1, "Usage: muse_offset_list_create"),
        (["-s"], 2, "-s needs a value"),
        (["new.fits", "-s"], 2, "-s needs a value"),
        (["-s", "no.sof", "new.fits"], 3, "no.sof"),
        (["-z", "new.fits"], 9, "unknown option -z"),
        (["-f"], 10, "the name of the list is missing"),
        (["old.fits"], 11, "old.fits exists already"),
        (["no/new.fits"], 12, "cannot write"),
        (["-f", "old.fits"], 0, ""),
    ],
)
def test_exit_codes(words: list[str], code: int, told: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.fits").write_text("")
    assert create(words) == code
    assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["old.fits"]
