"""Axes of wavelengths by a header."""

from __future__ import annotations

import pytest

from core.cubes.wcs import WaveAxis
from core.errors import BadFitsError
from core.fitsfile.header import Header
from core.formats.cube_axes import wave_axis


def header(kind: str) -> Header:
    cards = Header()
    for key, value in {"CTYPE3": kind, "CRVAL3": 4750.0, "CRPIX3": 2.0, "CD3_3": 1.25}.items():
        cards[key] = value
    return cards


@pytest.mark.parametrize("axis", [WaveAxis(4750.0, 2.0, 1.25, log, vacuum) for log in (0, 1) for vacuum in (0, 1)])
def test_an_axis_is_the_one_whose_type_it_tells(axis: WaveAxis) -> None:
    assert wave_axis(header(axis.ctype)) == axis


def test_a_header_may_tell_no_axis_or_one_that_is_not_of_wavelengths() -> None:
    assert wave_axis(Header()) is None
    with pytest.raises(BadFitsError, match="CTYPE3 is VRAD"):
        wave_axis(header("VRAD"))
