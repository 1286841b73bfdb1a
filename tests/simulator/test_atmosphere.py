"""The air over the simulated telescope is that of Paranal."""

from __future__ import annotations

import numpy as np
import pytest

from core.simulator.atmosphere import Ambient, extinction, molecular_depth, refraction


@pytest.mark.parametrize(
    ("wave", "pixels"),
    [
        (4650.0, 2.6465753),
        (4800.0, 2.3489276),
        (5500.0, 1.2799526),
        (6000.0, 0.7421285),
        (7000.0, 0.0),
        (8000.0, -0.4764664),
        (9300.0, -0.8780401),
    ],
)
def test_refraction_is_what_the_reference_takes_out(wave: float, pixels: float) -> None:
    """Shifts of the reference pipeline for the default air at airmass 1.29347, in pixels of 0.2 arcsec."""
    assert float(refraction(wave, 1.293473927582162, Ambient())) / 0.2 == pytest.approx(pixels, abs=2e-6)


def test_refraction_grows_with_the_zenith_distance() -> None:
    blue = [float(refraction(4750.0, airmass, Ambient())) for airmass in (1.0, 1.2, 2.0)]
    assert blue[0] == 0.0 < blue[1] < blue[2]
    assert float(refraction(9300.0, 1.2, Ambient())) < 0.0 == float(refraction(7000.0, 1.2, Ambient()))


@pytest.mark.parametrize(
    ("wave", "magnitude"), [(4725.0, 0.185), (5025.0, 0.156), (5525.0, 0.129), (7000.0, 0.058), (9000.0, 0.027)]
)
def test_extinction_is_that_of_paranal(wave: float, magnitude: float) -> None:
    """Patat et al. (2011), and the observatory's sky model in the red."""
    assert extinction(np.array([wave]))[0] == pytest.approx(magnitude, abs=0.015)


def test_molecules_absorb_in_their_bands_only() -> None:
    wave = np.arange(4600.0, 9400.0, 0.25)
    through = np.exp(-molecular_depth(wave))

    def deepest(low: float, high: float) -> float:
        return float(through[(wave > low) & (wave < high)].min())

    assert deepest(7592.0, 7700.0) < 0.3  # O2 A
    assert 0.4 < deepest(6866.0, 6950.0) < 0.75  # O2 B
    assert 0.85 < deepest(6274.0, 6306.0) < 0.97
    for low, high in ((4700.0, 6260.0), (6320.0, 6850.0), (7340.0, 7580.0), (8320.0, 8930.0)):
        assert deepest(low, high) > 0.999
