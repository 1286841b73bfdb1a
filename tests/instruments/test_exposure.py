from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from core.instruments.exposure import BadDateError, exposure_of, night_of
from core.instruments.muse.declaration import INSTRUMENT


def test_the_calibrations_of_a_morning_belong_to_the_night_before() -> None:
    assert night_of(datetime(2026, 11, 1, 16, 0, tzinfo=UTC)) == date(2026, 11, 1)
    assert night_of(datetime(2026, 11, 2, 0, 0, tzinfo=UTC)) == date(2026, 11, 1)
    assert night_of(datetime(2026, 11, 2, 15, 59, 59, tzinfo=UTC)) == date(2026, 11, 1)


def test_the_middle_of_an_exposure_counts_from_its_start() -> None:
    # The header of a real exposure of 16 June 2017.
    header = {"DATE-OBS": "2017-06-16T01:34:56.000", "MJD-OBS": 57920.06593596, "EXPTIME": 30.0}
    exposure = exposure_of(header, INSTRUMENT)
    assert exposure.mjd_mid == pytest.approx(57920.06593596 + 15 / 86400, abs=1e-9)
    assert exposure.night == date(2017, 6, 15)


def test_mjd_follows_from_the_date_if_it_is_not_given() -> None:
    # MJD 51544 is 2000-01-01; 2026-11-01 is 9801 days later.
    exposure = exposure_of({"DATE-OBS": "2026-11-01T12:00:00"}, INSTRUMENT)
    assert (exposure.mjd_obs, exposure.exptime) == (61345.5, 0.0)


def test_single_precision_mjd_of_early_headers_is_accepted() -> None:
    # Bias of 6 June 2013: MJD-OBS is off by 57 s.
    header = {"DATE-OBS": "2013-06-06T22:23:25.898", "MJD-OBS": 56449.93359375}
    assert exposure_of(header, INSTRUMENT).mjd_obs == 56449.93359375


@pytest.mark.parametrize(
    "header",
    [
        {"DATE-OBS": "NaN"},
        {"DATE-OBS": float("nan")},
        {"DATE-OBS": None},
        {"DATE-OBS": "2026-13-45T00:00:00"},
        {"DATE-OBS": "1998-05-25T00:00:00"},
        {"DATE-OBS": "0001-01-01T00:00:00+14:00"},
        {"DATE-OBS": "9999-12-31T23:59:59"},
        {"DATE-OBS": "9999-12-31T23:59:60"},
        {"DATE-OBS": "9999-12-31T23:59:59-11:00"},
        {"DATE-OBS": "2026-11-01"},
        {"DATE-OBS": "2026-11-01", "MJD-OBS": 61344.9},
        {"DATE-OBS": "2026-11-01", "MJD-OBS": 1e300},
        {"DATE-OBS": "2026-11-01T12:00:00", "MJD-OBS": True},
        {"DATE-OBS": "2026-11-01T12:00:00", "MJD-OBS": float("nan")},
        {"DATE-OBS": "2026-11-01T12:00:00", "MJD-OBS": "NaN"},
        {"DATE-OBS": "2026-11-01T12:00:00", "MJD-OBS": 61345.6},
        {"DATE-OBS": "2026-11-01T12:00:00", "EXPTIME": -1.0},
        {"DATE-OBS": "2026-11-01T12:00:00", "EXPTIME": float("inf")},
    ],
)
def test_bad_dates_are_refused(header: dict[str, Any]) -> None:
    with pytest.raises(BadDateError):
        exposure_of(header, INSTRUMENT)


def test_no_frame_is_more_than_a_day_ahead_of_the_clock() -> None:
    now = datetime(2026, 11, 1, 12, tzinfo=UTC)
    assert exposure_of({"DATE-OBS": "2026-11-02T11:59:59"}, INSTRUMENT, now).night == date(2026, 11, 1)
    with pytest.raises(BadDateError, match="in the future"):
        exposure_of({"DATE-OBS": "2026-11-02T12:00:01"}, INSTRUMENT, now)


def test_a_date_without_time_of_day_gets_that_of_mjd() -> None:
    exposure = exposure_of({"DATE-OBS": "2017-06-16", "MJD-OBS": 57920.25}, INSTRUMENT)
    assert exposure.date_obs == datetime(2017, 6, 16, 6, tzinfo=UTC)
    assert (exposure.mjd_obs, exposure.night) == (57920.25, date(2017, 6, 15))


def test_a_leap_second_is_a_time() -> None:
    # The last one, at the end of 2016; MJD 57754 is 2017-01-01.
    exposure = exposure_of({"DATE-OBS": "2016-12-31T23:59:60.400", "MJD-OBS": 57754.0}, INSTRUMENT)
    assert exposure.date_obs == datetime(2017, 1, 1, 0, 0, 0, 400_000, tzinfo=UTC)
