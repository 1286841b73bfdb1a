"""Numbers, times and names as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.errors import ParameterError
from service import text
from service.selection import mjd_of_text, numbers_of_text
from service.web.timeline import make_timeline


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (2.4587312, 3, "2.46"),
        (-0.00701, 3, "−0.00701"),
        (4.2412e11, 3, "4.24·10¹¹"),
        (-9.9e-6, 3, "−9.9·10⁻⁶"),
        (3002.4, 3, "3002"),
        (26230.7, 4, "26 231"),
        (61748, 4, "61 748"),
        (0.0, 3, "0"),
        (12, 3, "12"),
        (999999.9, 3, "1 000 000"),
        (float("nan"), 3, "–"),
        (None, 3, "–"),
    ],
)
def test_numbers_have_sensible_digits(value: float | None, digits: int, shown: str) -> None:
    assert text.number(value, digits) == shown


def test_quantities_have_units() -> None:
    assert text.quantity(2.4587, "count") == "2.46 e⁻"
    assert text.quantity(7020.4, "Angstrom") == "7020 Å"
    assert text.quantity(5, "") == "5"
    assert text.unit_text("count/pix/h") == "e⁻/pix/h"
    assert text.unit_text("(count)**2") == "(e⁻)²"
    assert text.unit_text("10**(-20)*erg/s/cm**2/Angstrom") == "10⁻²⁰ erg/s/cm²/Å"
    assert text.range_text(1.0, 5.0, "count") == "1 to 5 e⁻"
    assert text.range_text(40, None) == "above 40"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(40, "40 s"), (720, "12 min"), (11520, "3.2 h"), (6.1 * 86400, "6.1 d"), (3 * 365.25 * 86400, "3.0 yr")],
)
def test_ages_take_their_largest_sensible_unit(seconds: float, shown: str) -> None:
    assert text.age(seconds) == shown
    assert text.age(timedelta(seconds=-seconds)) == shown


def test_calibrations_lie_before_or_after() -> None:
    assert text.signed_age(-3.2 / 24) == "3.2 h before"
    assert text.signed_age(2.5) == "2.5 d after"
    assert text.signed_age(1e-9) == "at the same time"


def test_times_are_ut() -> None:
    assert text.mjd_moment(61364.5) == "2026-11-20 12:00"
    assert text.moment(datetime(2026, 11, 20, 12, 0, 5, tzinfo=UTC), True) == "2026-11-20 12:00:05"
    assert text.duration(200.4) == "3 min 20 s"
    assert text.byte_count(71_680_320) == "71.7 MB"


def test_lists_of_numbers_have_ranges_and_limits() -> None:
    assert numbers_of_text("1,3-6", "unit", 24) == (1, 3, 4, 5, 6)
    assert numbers_of_text(" ", "unit", 24) == ()
    for wrong in ("25", "0", "a", "1-99999999999"):
        with pytest.raises(ParameterError, match="unit"):
            numbers_of_text(wrong, "unit", 24)


def test_the_last_day_of_a_range_is_included() -> None:
    assert mjd_of_text("2026-11-20") == 61364.0
    assert mjd_of_text("2026-11-20", end=True) == 61365.0
    assert mjd_of_text("61364.25", end=True) == 61364.25
    with pytest.raises(ParameterError, match="neither a date"):
        mjd_of_text("yesterday")


def test_an_empty_night_has_no_timeline() -> None:
    assert make_timeline(datetime(2026, 11, 20, tzinfo=UTC).date(), []) is None
