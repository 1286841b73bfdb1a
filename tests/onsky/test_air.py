"""Refraction of air, and wavelengths in air and in vacuum.

Numbers are those of the formulas as the reference pipeline evaluates them, and of published tables.
"""

from __future__ import annotations

import numpy as np
import pytest

from core.onsky.air import (
    METHODS,
    STANDARD_AIR,
    Air,
    RefractionMethod,
    refractive_index,
    saturation_pressure,
    vacuum_to_air,
)

WAVES = np.array([4650.0, 5000.0, 7000.0, 9300.0])
PARANAL = Air(11.5, 0.145, 743.0)
INDEX: dict[RefractionMethod, list[float]] = {
    "Filippenko": [1.0002077279820347, 1.0002069579463648, 1.000204600047542, 1.0002035623097185],
    "Owens": [1.000207739264844, 1.0002069704482541, 1.0002046180020028, 1.0002035835104273],
    "Ciddor": [1.0002077616208414, 1.0002069926187873, 1.0002046386546306, 1.0002036028694063],
}
IN_AIR = [4861.363, 4958.911, 5006.843, 6548.05, 6562.801, 6583.45, 6716.44, 6730.82, 6056.125]
IN_VACUUM = [4862.721, 4960.295, 5008.239, 6549.86, 6564.614, 6585.27, 6718.29, 6732.68, 6057.8019]


@pytest.mark.parametrize("method", INDEX)
def test_index_on_paranal(method: RefractionMethod) -> None:
    # The numbers of Ciddor are those of a rounded humidity.
    np.testing.assert_allclose(refractive_index(WAVES, PARANAL, method), INDEX[method], rtol=0, atol=3e-10)


def test_edlen_has_the_published_constant_of_water() -> None:
    # With 1e-9 instead of 1e-10 the index would be 7e-7 lower than that of the other formulas.
    found = refractive_index(WAVES, PARANAL, "Edlen")
    np.testing.assert_allclose(found, INDEX["Ciddor"], rtol=0, atol=4e-8)


def test_saturated_vapour() -> None:
    found = [saturation_pressure(kelvin) for kelvin in (273.15, 284.65, 288.15, 298.15)]
    np.testing.assert_allclose(found, [6.840527203099555, 14.296207686104026, 17.752850533101082, 32.49970275310625])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("temperature", [-3.0, 0.0, 15.0])
def test_formulas_agree_about_differences_of_colour(method: RefractionMethod, temperature: float) -> None:
    air = Air(temperature, 0.3, 745.0)
    blue, red = refractive_index([4650.0, 9300.0], air, method)
    standard = refractive_index([4650.0, 9300.0], air, "Ciddor")
    assert blue - red == pytest.approx(standard[0] - standard[1], rel=5e-3)


@pytest.mark.parametrize("method", METHODS)
def test_lines_of_nebulae_in_vacuum(method: RefractionMethod) -> None:
    vacuum = IN_AIR * refractive_index(IN_AIR, STANDARD_AIR, method)
    np.testing.assert_allclose(vacuum, IN_VACUUM, rtol=0, atol=5e-3)
    np.testing.assert_allclose(vacuum_to_air(vacuum), IN_AIR, rtol=0, atol=4e-3)


def test_vacuum_wavelengths_of_calibrated_spectra() -> None:
    found = vacuum_to_air([4801.254, 6564.614, 9165.1667])
    np.testing.assert_allclose(found, [4799.911277664616, 6562.797965438159, 9162.64585594112], rtol=1e-13)
