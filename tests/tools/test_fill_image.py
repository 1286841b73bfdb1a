"""Images of one value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.fitsfile.header import Header
from core.fitsfile.integrity import check_file
from core.fitsfile.keywords import set_key
from core.formats.image import MuseImage, read_image, write_image
from core.tools import fill_image
from core.tools.fill_image import fill


@pytest.fixture
def source(tmp_path: Path) -> Path:
    header = Header()
    set_key(header, "PRO.CATG", "MASTER_FLAT")
    data = np.arange(12, dtype=np.float32).reshape(3, 4)
    flags = np.arange(12, dtype=np.int32).reshape(3, 4)
    return write_image(tmp_path / "IN.fits", MuseImage(data, flags, data + 1, header, "adu"), 7)


def test_data_are_one_and_variances_zero_and_flags_stay(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fill_image, "_CHUNK", 32)  # several pieces
    target = source.with_name("OUT.fits")
    assert fill([str(source), str(target)]) == 0
    image = read_image(target, 7)
    assert np.all(image.data == 1)
    assert np.all(image.stat == 0)
    np.testing.assert_array_equal(image.dq, np.arange(12).reshape(3, 4))
    assert image.unit == "adu"
    assert fits.getheader(target)["HIERARCH ESO PRO CATG"] == "MASTER_FLAT"
    assert fits.getheader(target)["PIPEFILE"] == "OUT.fits"
    assert check_file(target).faults == ()
    assert capsys.readouterr().out == f"{target}: filled DATA with 1, STAT with 0\n"


def test_values_are_those_given_and_a_missing_unit_is_count(source: Path) -> None:
    fits.delval(source, "BUNIT", "DATA")
    assert fill(["-d", "-2.5", "-q", str(1 << 31), "-s", "0.25", str(source), str(source)]) == 0
    image = read_image(source, 7)
    assert (set(image.data.flat), set(image.stat.flat), set(image.dq.flat)) == ({-2.5}, {0.25}, {-(1 << 31)})
    assert image.unit == "count"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 1, "Usage: muse_fill_image"),
        (["IN.fits"], 1, "Usage: muse_fill_image"),
        (["IN.fits", "OUT.fits", "-d"], 2, "-d needs a value"),
        (["-d", "much", "IN.fits", "OUT.fits"], 2, "must be a number"),
        (["IN.fits", "OUT.fits", "-q"], 3, "-q needs a value"),
        (["-q", "-1", "IN.fits", "OUT.fits"], 4, "the flags must be"),
        (["-q", "2147483649", "IN.fits", "OUT.fits"], 4, "the flags must be"),
        (["IN.fits", "OUT.fits", "-s"], 5, "-s needs a value"),
        (["-s", "-1", "IN.fits", "OUT.fits"], 6, "must not be negative"),
        (["-z", "IN.fits", "OUT.fits"], 9, "unknown option -z"),
        (["no.fits", "OUT.fits"], 10, "no.fits cannot be read"),
        (["other.fits", "OUT.fits"], 10, "no image DATA"),
        (["-d", "2", "IN.fits"], 20, "not named"),
        (["IN.fits", "no/OUT.fits"], 20, "cannot write"),
    ],
)
def test_exit_codes(words: list[str], code: int, told: str, source: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(source.parent)
    fits.PrimaryHDU().writeto("other.fits")
    assert fill(words) == code
    assert told in capsys.readouterr().err
    assert sorted(path.name for path in source.parent.iterdir()) == ["IN.fits", "other.fits"]
