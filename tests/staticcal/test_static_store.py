"""Static calibrations are written once and know when they apply."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from astropy.io import fits

from core.errors import MissingInputError
from core.staticcal import StaticCal, choose_static, ensure_static, static_calibrations


def test_first_call_writes_and_later_calls_reuse(tmp_path: Path) -> None:
    first = ensure_static(tmp_path / "static")
    stamp = first["LINE_CATALOG"].stat().st_mtime_ns
    second = ensure_static(tmp_path / "static", datetime(2026, 11, 20))
    assert first == second
    assert second["LINE_CATALOG"].stat().st_mtime_ns == stamp
    assert fits.getheader(first["LINE_CATALOG"])["ESO PRO CATG"] == "LINE_CATALOG"
    assert [path.name for path in (tmp_path / "static").iterdir()] == [first["LINE_CATALOG"].name]


def test_spans_are_half_open(tmp_path: Path) -> None:
    old = StaticCal("X", tmp_path / "old", datetime(2014, 1, 1), datetime(2017, 1, 1))
    new = StaticCal("X", tmp_path / "new", datetime(2017, 1, 1), datetime(2020, 1, 1))
    assert choose_static((old, new), "X", datetime(2016, 12, 31, 23, 59)) is old
    assert choose_static((old, new), "X", datetime(2017, 1, 1)) is new
    with pytest.raises(MissingInputError, match="2014-01-01 to 2017-01-01"):
        choose_static((old, new), "X", datetime(2020, 1, 1))
    with pytest.raises(MissingInputError, match="spans: none"):
        choose_static((old, new), "Y", datetime(2016, 1, 1))


def test_catalogue_applies_to_all_of_muse(tmp_path: Path) -> None:
    (catalog,) = static_calibrations(tmp_path)
    assert catalog.covers(datetime(2014, 2, 1))
    assert catalog.covers(datetime(2030, 1, 1))
