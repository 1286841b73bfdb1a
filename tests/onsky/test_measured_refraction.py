"""Stars that were measured on the sky lie at one place at all wavelengths when refraction is taken out.

Standard stars seen by PMAS on Calar Alto and a star seen by MUSE; the limits are those of the reference's own tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from core.onsky.air import Air
from core.onsky.pointing import airmass, parallactic_angle
from core.onsky.refraction import Refraction

DATA = Path(__file__).parent / "data" / "refraction.txt"


@dataclass(frozen=True)
class Star:
    """How a star was seen, and what is left of its way: limits of |mean|, |median|, scatter in x and y [pix]."""

    pointing: tuple[float, float, float, float, float]  # RA, DEC [deg], LST, EXPTIME [s], latitude [deg]
    airmass: float
    angles: tuple[float, float]  # parallactic, at start and end [deg]
    air: Air
    wave: float  # of reference
    signs: tuple[float, float]  # of x and y of the measurement, in pixels of 0.2 arcsec
    x: tuple[float, float, float]
    y: tuple[float, float, float]


STARS = {
    "Std1": Star((122.994945, 74.95304, 25407.072748, 120, 37.2236), 1.27803, (-157.90507882793,) * 2,
                 Air(-6.2, 0.65, 768.4), 5275.644, (-5, -5), (0.045, 0.045, 0.068), (0.0472, 0.0632, 0.085)),
    "Std2": Star((238.071555, 32.92533, 60515.584209, 300, 37.2236), 1.02529, (65.577407,) * 2,
                 Air(-5.7, 0.81, 768.4), 5273.996, (-5, -5), (0.020, 0.0171, 0.039), (0.015, 0.014, 0.024)),
    "Muse1": Star((0.125, -30, 69446.2765265328, 3600, -24.625278), 1.79364, (-103.902972667158, -98.0532592699559),
                  Air(10.0, 0.10, 775.0), 7100.0, (-1, 1), (0.27, 0.13, 0.58), (0.15, 0.12, 0.24)),
}  # fmt: skip


def measured(name: str) -> np.ndarray:
    """Wavelengths and positions of a star, shape (3, n)."""
    text = DATA.read_text("ascii").split(f"\n{name}\n")[1]
    found = []
    for word in text.split():
        if word in STARS:
            break
        found.append([float(number) for number in word.split(":")])
    return np.array(found).T


@pytest.mark.parametrize("name", STARS)
def test_a_star_stays_where_it_is(name: str) -> None:
    star = STARS[name]
    wave, x, y = measured(name)
    at = airmass(*star.pointing)
    assert at == pytest.approx(star.airmass, abs=1e-5)
    shifts = Refraction(at, parallactic_angle(*star.angles), star.wave, star.air).shift(wave, (0.2, 0.2))
    for measurement, sign, shift, limits in zip((x, y), star.signs, shifts, (star.x, star.y), strict=True):
        left = sign * measurement + shift
        for found, limit in zip((np.mean(left), np.median(left), np.std(left, ddof=1)), limits, strict=True):
            assert abs(found) < limit
        assert max(abs(np.mean(left)), abs(np.median(left))) < np.std(left) < 0.5 * np.std(sign * measurement)
