"""What the comparison of pixel tables and cubes judges: rows by their place on the detector, and the truth."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.pixtable import write_pixtable
from core.formats.pixtable_origin import encode_origin, set_offset
from core.simulator.truth import truth_for

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
IFU, SLICE, ROWS = 5, 20, 400

Columns = dict[str, np.ndarray]


def offset() -> int:
    """Of the columns of the slice in ``origin``."""
    return int(truth_for(IFU).trace_center(SLICE, 500)) - 50


@pytest.fixture
def agreement(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("agreement_sky")


@pytest.fixture
def columns() -> Columns:
    """Pixels of a slice as the simulated instrument has them, and the light of two sky lines and a continuum."""
    truth = truth_for(IFU)
    y = np.arange(500, 500 + ROWS)
    x = np.round(truth.trace_center(SLICE, y)).astype(int)
    xpos, ypos = truth.position(SLICE, x, y)
    wave = truth.wavelength(SLICE, x, y)
    return {
        "xpos": xpos.astype(np.float32),
        "ypos": ypos.astype(np.float32),
        "lambda": wave.astype(np.float32),
        "data": np.linspace(100, 200, ROWS, dtype=np.float32),
        "dq": np.zeros(ROWS, np.int32),
        "stat": np.full(ROWS, 9, np.float32),
        "origin": encode_origin(x, y, IFU, SLICE, offset()),
    }


def written(path: Path, columns: Columns, *, limit: float = 1.0) -> Path:
    header = Header()
    set_key(header, "DRS.MUSE.PIXTABLE.TYPE", "GEOFULL")
    set_offset(header, 0, IFU, SLICE, offset())
    set_key(header, "DRS.MUSE.PIXTABLE.LIMITS.X.LOW", limit)
    return write_pixtable(path, header, columns, IFU)


def changed(name: str, rows: slice, value: Callable[[np.ndarray], np.ndarray]) -> Callable[[Columns], Columns]:
    def change(columns: Columns) -> Columns:
        values = columns[name].copy()
        values[rows] = value(values[rows])
        return {**columns, name: values}

    return change


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("xpos, largest and rms difference", changed("xpos", slice(7, 8), lambda v: v + 2e-4)),
        ("lambda, largest and rms difference", changed("lambda", slice(7, 8), lambda v: v + 2e-3)),
        ("data: rows farther apart than 0.0001 of the value", changed("data", slice(0, 1), lambda v: v * 1.001)),
        ("stat: rows farther apart than 0.0001 of the value", changed("stat", slice(0, 1), lambda v: v * np.nan)),
        ("rows with other flags", changed("dq", slice(3, 4), lambda v: v | 32)),
        ("rows of one side only", lambda columns: {name: values[1:] for name, values in columns.items()}),
    ],
)
def test_each_column_is_judged(
    agreement: Any, columns: Columns, tmp_path: Path, what: str, change: Callable[[Columns], Columns]
) -> None:
    theirs = written(tmp_path / "theirs.fits", columns)
    ours = written(tmp_path / "ours.fits", change(columns))
    lines = list(agreement.compare_exposures(ours, theirs, agreement.SAME_MASTERS))
    assert [line.what for line in lines if line.ok is False] == [what]


def test_rows_agree_whatever_their_order(agreement: Any, columns: Columns, tmp_path: Path) -> None:
    theirs = written(tmp_path / "theirs.fits", columns)
    ours = written(tmp_path / "ours.fits", {name: np.roll(values, 9) for name, values in columns.items()})
    assert all(line.ok for line in agreement.compare_exposures(theirs, theirs, agreement.SAME_MASTERS))
    offsets = [line for line in agreement.compare_exposures(ours, theirs, agreement.OWN_MASTERS) if line.ok is False]
    assert offsets == []


def test_a_keyword_with_another_value_is_named(agreement: Any, columns: Columns, tmp_path: Path) -> None:
    theirs = written(tmp_path / "theirs.fits", columns)
    ours = written(tmp_path / "ours.fits", columns, limit=1.1)
    (line,) = [line for line in agreement.compare_exposures(ours, theirs, agreement.SAME_MASTERS) if line.ok is False]
    assert "PIXTABLE LIMITS X LOW" in line.value


def test_positions_and_wavelengths_are_compared_with_those_of_the_light(
    agreement: Any, columns: Columns, tmp_path: Path
) -> None:
    """Spectra that are shifted by 0.1 Angstrom to the red hold light of shorter wavelengths."""
    light = {**columns, "lambda": columns["lambda"] - np.float32(0.1)}
    found = agreement._deviations(agreement.open_pixtable(written(tmp_path / "table.fits", light)), truth_for(IFU), 0.1)
    assert found["lambda"] < 1e-3
    assert max(found["xpos"], found["ypos"]) < 1e-4


@pytest.mark.parametrize(("factor", "agrees"), [(1.001, True), (1.003, False)])
def test_cubes_agree_within_a_fifth_of_a_per_cent(agreement: Any, tmp_path: Path, factor: float, agrees: bool) -> None:
    planes = np.full((2, 3, 4), 5, np.float32)
    planes[:, 0, 0] = np.nan
    for name, values in (("theirs", planes), ("ours", planes * np.float32(factor))):
        data = fits.ImageHDU(values, name="DATA")
        data.header["CRVAL1"] = 150.0
        fits.HDUList([fits.PrimaryHDU(), data]).writeto(tmp_path / f"{name}.fits")
    lines = agreement.compare_cubes(tmp_path / "ours.fits", tmp_path / "theirs.fits")
    assert all(line.ok for line in lines) is agrees
