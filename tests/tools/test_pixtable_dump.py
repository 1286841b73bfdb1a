"""Rows of pixel tables as text."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.pixtable import write_pixtable
from core.formats.pixtable_header import pixtable_units
from core.formats.pixtable_origin import PREFIX, encode_origin, set_exposures, set_offset
from core.tools.pixtable_dump import dump

NAMES = (
    "#         xpos           ypos    lambda          data         dq        stat    weight  exposure IFU"
    " xCCD yCCD xRaw yRaw slice"
)
UNITS = "# pix pix Angstrom (flux) flag (flux**2) ----- No No pix pix pix pix No"


def two_exposures(path: Path) -> Path:
    """Six rows of two exposures, on the sky, with weights; the offsets of a slice are not the same in both."""
    header = Header()
    set_key(header, f"{PREFIX}.TYPE", "GEOFULL")
    set_key(header, f"{PREFIX}.WCS", "positioned (final)")
    header["CRVAL1"], header["CRVAL2"] = 150.0, -2.0
    set_exposures(header, [4, 2])
    for exposure, offset in ((1, 80), (2, 90)):
        set_offset(header, exposure, 14, 10, offset)
    y = np.full(6, 2056)
    columns = {name: np.full(6, 0.5, np.float32) for name in ("xpos", "ypos", "lambda", "data")}
    columns |= {"dq": np.full(6, -(1 << 31), np.int32), "stat": np.ones(6, np.float32)}
    columns["origin"] = encode_origin(np.full(6, 100), y, 14, 10, 80)
    columns["weight"] = np.full(6, 0.25, np.float32)
    return write_pixtable(path, header, columns, units=pixtable_units("deg"))


def test_text_is_as_in_the_manual(tables: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert dump(["-s", "9", "-c", "2", str(tables.image)]) == 0
    title, names, units, flux, variance, *rows = capsys.readouterr().out.splitlines()
    total = tables.of("image").n_rows
    assert title == f'# MUSE pixel table "{tables.image}", showing 2 rows starting at index 9 of {total}'
    assert names == NAMES
    assert units.split() == UNITS.split()
    assert (flux, variance) == ("# flux in [count]", "# flux**2 in [count**2]")
    x, y, wave, data, dq, stat = (
        tables.of("image").read(9, 10)[name][0] for name in ("xpos", "ypos", "lambda", "data", "dq", "stat")
    )
    position = f"{x:14.8f} {y:14.8f} {wave:9.3f}"
    assert rows[0] == f"{position}  {data:12.5e} 0x{dq:08x} {stat:11.5e}  0.0000e+00    0      3   12    2   44   34  1"
    assert len(rows) == 2


def test_all_forms_have_the_same_text(tables: Any, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for form in ("image", "table", "compact"):
        assert dump([str(getattr(tables, form))]) == 0
        texts.append(capsys.readouterr().out.splitlines()[1:])
    assert texts[0] == texts[1] == texts[2]
    assert len(texts[0]) == 4 + tables.of("image").n_rows


def test_exposures_are_those_of_the_whole_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = two_exposures(tmp_path / "a.fits")
    assert dump(["-s", "3", str(path)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[5:]]
    assert [row[7] for row in rows] == ["1", "2", "2"]
    assert [row[9] for row in rows] == ["100", "110", "110"]
    assert rows[0][:8] == [
        "1.5050000e+02", "-1.5000000e+00", "0.500", "5.00000e-01", "0x80000000", "1.00000e+00", "2.5000e-01", "1",
    ]  # fmt: skip


def test_beyond_the_middle_of_the_detector_the_raw_frame_has_scans(
    tables: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dump([str(tables.image)]) == 0
    rows = np.array([line.split()[9:13] for line in capsys.readouterr().out.splitlines()[5:]], int)
    x, y, raw_x, raw_y = rows.T
    np.testing.assert_array_equal(raw_x, np.where(x > 250, x + 96, x + 32))
    np.testing.assert_array_equal(raw_y, np.where(y > 20, y + 96, y + 32))


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 1, "Usage: muse_pixtable_dump"),
        (["PIX", "-s"], 2, "-s needs a value"),
        (["PIX", "-c"], 3, "-c needs a value"),
        (["-z", "PIX"], 9, "unknown option -z"),
        (["missing.fits"], 10, "cannot be read"),
        (["FITS"], 11, "is no pixel table"),
        (["-s", "100000000", "PIX"], 12, "rows, not"),
        (["-s", "-1", "PIX"], 12, "rows, not"),
        (["-c", "0", "PIX"], 12, "not 0 from row 0"),
        (["-c", "many", "PIX"], 12, "whole number"),
    ],
)
def test_exit_codes(
    words: list[str], code: int, told: str, tables: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fits.PrimaryHDU().writeto(tmp_path / "other.fits")
    names = {"PIX": str(tables.image), "FITS": str(tmp_path / "other.fits")}
    assert dump([names.get(word, word) for word in words]) == code
    assert told in capsys.readouterr().err


def test_whoever_reads_the_text_may_stop(tables: Any) -> None:
    command = [sys.executable, "-c", "from core.tools.pixtable_dump import dump; raise SystemExit(dump())"]
    with subprocess.Popen(
        [*command, str(tables.image)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(100)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141
