"""Facts about the night of a file that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from workers.ingest_examine import examine, stat_file
from workers.ingest_night import night_told

NIGHT = date(2026, 11, 1)
NOW = datetime(2026, 11, 29, tzinfo=UTC)
Bytes = Callable[..., bytes]


def test_what_is_held_for_another_reason_than_its_date_has_its_night(tmp_path: Path, raw_bytes: Bytes) -> None:
    whole = raw_bytes({"DATE-OBS": "2026-11-02T03:00:00"})
    cases = {
        "cut.fits": whole[:-3000],
        "cut-in-the-header.fits": whole[:2880],
        "unknown.fits": raw_bytes({"DATE-OBS": "2026-11-02T03:00:00", "DPR.TYPE": "NEVER,SEEN"}),
    }
    for name, content in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        held = examine(str(path), stat_file(str(path)))
        assert (name, getattr(held, "reason", None) is not None, getattr(held, "night", None)) == (name, True, NIGHT)


@pytest.mark.parametrize(
    ("name", "night"),
    [
        ("MUSE.2026-11-02T03:00:00.000.fits", NIGHT),
        ("MUSE.2026-11-02T03_00_00.000.fits.gz", NIGHT),
        ("MUSE.9999-11-02T03:00:00.000.fits", None),
        ("MUSE.2026-13-02T03:00:00.000.fits", None),
        ("bias.fits", None),
    ],
)
def test_a_file_without_a_header_has_the_night_of_its_name(tmp_path: Path, name: str, night: date | None) -> None:
    path = tmp_path / name
    path.write_bytes(b"no FITS")
    assert night_told(str(path), NOW) == night


@pytest.mark.parametrize("keywords", [{"DATE-OBS": "9999-12-31T23:00:00", "MJD-OBS": None}, {"DATE-OBS": "nonsense"}])
def test_an_impossible_date_is_no_night(tmp_path: Path, raw_bytes: Bytes, keywords: dict[str, object]) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(raw_bytes({"MJD-OBS": "raw:1E300", **keywords}))
    assert night_told(str(path), NOW) is None
