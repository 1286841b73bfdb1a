"""What the comparison of QC parameters judges, and what it counts apart."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.image import MuseImage, write_image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def product(path: Path, current: float, median: float) -> Path:
    header = Header()
    set_key(header, "QC.DARK.MASTER.DC", current)
    set_key(header, "QC.DARK.MASTER.MEDIAN", median)
    small = np.zeros((2, 2), np.float32)
    return write_image(path, MuseImage(small, small.astype(np.int32), small, header, "count"), 5)


@pytest.mark.parametrize(
    ("alone", "median", "judged", "intended"),
    [(True, 30.0, False, 0), (False, 30.0, True, 1), (False, 33.0, False, 1)],
)
def test_windows_at_random_places_are_judged_where_both_take_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: bool, median: float, judged: bool, intended: int
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    agreement = importlib.import_module("agreement")
    ours = product(tmp_path / "ours.fits", 1.10, 30.0)
    theirs = product(tmp_path / "theirs.fits", 1.00, median)
    lines = list(agreement.compare_qc(ours, theirs, 5, alone=alone))
    (verdict,) = [line.ok for line in lines if line.what == "QC parameters beyond 2 % and their noise"]
    assert verdict is judged
    assert sum(line.what == "QC parameters that differ by intent" for line in lines) == intended
