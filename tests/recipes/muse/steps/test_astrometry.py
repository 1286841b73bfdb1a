"""Pixels find their places on the sky."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest

from core.errors import DataError
from core.fitsfile.header import Header
from core.formats.pixtable_read import PixelTable
from core.recipes.muse.steps.astrometry import Astrometry, default_astrometry, position, project

LOG = logging.getLogger(__name__)
WAVES = [7000.0] * 4
CORNERS = {"xpos": [-150, 0, 150, 10], "ypos": [-140, 0, 140, -20]}
MEASURED = Astrometry(
    ((-5.51812632497e-05, -5.57886124193e-07), (2.67511546844e-07, 5.52566392427e-05)), (-0.01, -1.20)
)

Tables = Callable[..., PixelTable]

# By the reference pipeline: native angles of the corners [rad], then right ascension and declination [deg].
CASES = [
    (30.0, None, (0.2962685, 3.4378612, 5.2959390), (0.00384325, 0, -0.00384241, -0.00119706),
     (-0.01090236, 0, 0.01090248, -0.00068447)),
    (0.0, None, (0.8198673, 3.9614599, 5.8195376), (0.00962326, 0, -0.00962175, -0.00064151),
     (-0.00777743, 0, 0.00777813, -0.00111111)),
    (30.0, MEASURED, (0.3019273, 3.4351602, 5.2776976), (0.00390421, 0.00003707, -0.00382923, -0.00114023),
     (-0.01085493, 0.00005804, 0.01097112, -0.00062641)),
]  # fmt: skip


@pytest.mark.parametrize(("angle", "calibration", "phi", "ra", "dec"), CASES)
def test_places_are_those_of_the_reference(
    make_table: Tables,
    angle: float,
    calibration: Astrometry | None,
    phi: tuple[float, ...],
    ra: tuple[float, ...],
    dec: tuple[float, ...],
) -> None:
    table = make_table(WAVES, **CORNERS, header={"INS.DROT.POSANG": angle})
    projected = project(table, calibration or default_astrometry(table.header), LOG)
    assert projected.units["xpos"] == "rad"
    found = projected.read(0, 4, ("xpos",))["xpos"]
    np.testing.assert_allclose(found[[0, 2, 3]], phi, atol=5e-6)
    placed = position(projected)
    columns = placed.read(0, 4, ("xpos", "ypos"))
    np.testing.assert_allclose([columns["xpos"], columns["ypos"]], [ra, dec], atol=2e-8)
    assert (placed.header["CRVAL1"], placed.header["CRVAL2"]) == (150.0, -30.0)


def test_offsets_are_subtracted_and_the_zero_point_is_common(make_table: Tables) -> None:
    table = project(make_table(WAVES, **CORNERS), MEASURED, LOG)
    alone = position(table).read(0, 4, ("xpos", "ypos"))
    moved = position(table, (1e-5, 2e-5), (150.0, -30.0)).read(0, 4, ("xpos", "ypos"))
    np.testing.assert_allclose(moved["xpos"] - alone["xpos"], -1e-5, atol=3e-9)
    np.testing.assert_allclose(moved["ypos"] - alone["ypos"], -2e-5, atol=3e-9)


def test_what_is_on_the_sky_stays(make_table: Tables) -> None:
    projected = project(make_table(WAVES, **CORNERS), MEASURED, LOG)
    assert project(projected, MEASURED, LOG) is projected
    placed = position(projected)
    assert position(placed) is placed


def test_pixels_have_no_place_on_the_sky(make_table: Tables) -> None:
    with pytest.raises(DataError):
        position(make_table(WAVES))


def test_a_calibration_is_read_from_its_header() -> None:
    header = Header()
    for key, value in {
        "CRPIX1": -0.01,
        "CRPIX2": -1.2,
        "CD1_1": -5e-5,
        "CD1_2": 1e-7,
        "CD2_1": 0.0,
        "CD2_2": 5e-5,
    }.items():
        header[key] = value
    assert Astrometry.of(header) == Astrometry(((-5e-5, 1e-7), (0.0, 5e-5)), (-0.01, -1.2))
