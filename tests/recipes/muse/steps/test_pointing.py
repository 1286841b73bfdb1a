"""What the header of an exposure says of the telescope."""

from __future__ import annotations

import logging

import pytest

from core.errors import MissingKeywordError
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.recipes.muse.steps.pointing import airmass_of, parallactic_angle_of, position_angle_of, spaxel_of

LOG = logging.getLogger(__name__)
POINTING = {"RA": 292.242371, "DEC": -41.57659, "LST": 63552.4, "EXPTIME": 900.0, "TEL.GEOLAT": -24.6268}
AIRMASS = {"TEL.AIRM.START": 1.137, "TEL.AIRM.END": 1.112}


def header(**values: object) -> Header:
    cards = Header()
    for key, value in values.items():
        set_key(cards, key, value)
    return cards


def test_the_airmass_is_computed(caplog: pytest.LogCaptureFixture) -> None:
    found = airmass_of(header(**POINTING, **AIRMASS), LOG)
    assert 1.112 < found < 1.137
    assert airmass_of(header(**POINTING), LOG) == found
    assert not caplog.records


def test_another_airmass_in_the_header_is_told_and_not_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = airmass_of(header(**POINTING), LOG)
    other = {"TEL.AIRM.START": found + 0.1, "TEL.AIRM.END": found + 0.2}
    assert airmass_of(header(**POINTING, **other), LOG) == found
    assert "the header has" in caplog.text


def test_without_a_place_it_is_that_of_the_header() -> None:
    lost = {key: value for key, value in POINTING.items() if key not in ("LST", "DEC")}
    assert airmass_of(header(**lost, **AIRMASS), LOG) == pytest.approx((1.137 + 1.112) / 2)
    with pytest.raises(MissingKeywordError, match="no airmass"):
        airmass_of(header(**lost), LOG)


def test_angles_and_pixels() -> None:
    turned = {"INS.DROT.POSANG": 150.0, "INS.DROT.MODE": "SKY", "TEL.PARANG.START": -179.0, "TEL.PARANG.END": 178.0}
    cards = header(**turned, **{"INS.MODE": "NFM-AO-N"})
    assert (position_angle_of(cards), parallactic_angle_of(cards)) == (-150, 179.5)
    assert spaxel_of(cards) == (0.02519, 0.02542)
