"""Which arc lines show the pinholes: bright, alone, and of the lamps that shine on the mask."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import WavelengthError
from core.spectral.linelist import QUALITY_BLEND, QUALITY_MATCH, LineList

__all__ = ["pinhole_lines"]

_SHORTEST: Final = 4650.0  # [Angstrom]
_FAINTEST: Final = 5000.0  # [count]
_FAINTEST_NEON: Final = 10000.0  # of its many lines the brightest will do [count]
_NEEDED: Final = 6
_ABSENT: Final = "Xe"


def pinhole_lines(catalogue: LineList) -> NDArray[np.float64]:
    """Wavelengths of the arc lines to look for on exposures of the mask.

    Parameters
    ----------
    catalogue : LineList

    Returns
    -------
    ndarray of float64
        Ascending [Angstrom, air].

    Raises
    ------
    WavelengthError
        If there are too few.
    """
    neon = catalogue.lamp == "Ne"
    usable = (
        (catalogue.lamp != _ABSENT)
        & (catalogue.flux >= np.where(neon, _FAINTEST_NEON, _FAINTEST))
        & (catalogue.wave >= _SHORTEST)
        & (catalogue.quality >= np.where(neon, QUALITY_BLEND, QUALITY_MATCH))
    )
    lines: NDArray[np.float64] = catalogue.wave[usable]
    if lines.size < _NEEDED:
        raise WavelengthError(f"the line catalogue has {lines.size} lines to show the pinholes, {_NEEDED} are needed")
    return lines
