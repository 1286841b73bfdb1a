"""How much exposures count in a combination, and what becomes of their Strehl ratios (MUSE manual, 6.6)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from core.errors import DataError

__all__ = ["Seeing", "WeightType", "combined_strehl", "exposure_weights"]

WeightType = Literal["exptime", "fwhm", "header", "none"]


# In the order of preference.
_INSTRUMENTS: Final = (("guider", "autoguider"), ("active_optics", "active optics"), ("monitor", "seeing monitor"))


@dataclass(frozen=True)
class Seeing:
    """Seeing of an exposure by several instruments [arcsec]; None where it is not known.

    Attributes
    ----------
    guider : float or None
        Of the autoguider, the mean of both axes.
    active_optics : float or None
        ``TEL.IA.FWHM``.
    monitor : float or None
        Of the seeing monitor, the mean of start and end.
    """

    guider: float | None = None
    active_optics: float | None = None
    monitor: float | None = None


def exposure_weights(
    kind: WeightType, exptimes: Sequence[float], seeings: Sequence[Seeing] = (), told: Sequence[float | None] = ()
) -> tuple[tuple[float, ...], str]:
    """Weights of exposures, relative to the first.

    Parameters
    ----------
    kind : {'exptime', 'fwhm', 'header', 'none'}
        ``fwhm``: better seeing counts more, by the first instrument that measured all exposures. ``header``: times what
        headers tell, where it is positive.
    exptimes : sequence of float [s]
    seeings : sequence of Seeing
    told : sequence of float or None

    Returns
    -------
    weights : tuple of float
    rule : str
        What they were made of, in words.

    Raises
    ------
    DataError
        If an exposure time is not positive.
    """
    if kind == "none":
        return (1.0,) * len(exptimes), "no weights"
    if bad := [exptime for exptime in exptimes if not (exptime > 0 and math.isfinite(exptime))]:
        raise DataError(f"an exposure of {bad[0]} s has no weight", keyword="EXPTIME")
    weights = [exptime / exptimes[0] for exptime in exptimes]
    if kind == "fwhm":
        for name, words in (
            ("guider", "autoguider"),
            ("active_optics", "active optics"),
            ("monitor", "seeing monitor"),
        ):
            values = [getattr(seeing, name) for seeing in seeings]
            if all(value is not None and value > 0 for value in values):
                factors = (values[0] / value for value in values)
                found = tuple(weight * factor for weight, factor in zip(weights, factors, strict=True))
                return found, f"exposure time and seeing ({words})"
        return tuple(weights), "exposure time: no instrument has the seeing of all exposures"
    if kind == "header":
        factors = (value if value is not None and value > 0 else 1.0 for value in told)
        return tuple(w * f for w, f in zip(weights, factors, strict=True)), "exposure time and weights of the headers"
    return tuple(weights), "exposure time"


def combined_strehl(ratios: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean Strehl ratio of exposures and its error, from the ratio and the error of each, which must be positive."""
    inverse = [1 / (error * error) for _, error in ratios]
    total = sum(inverse)
    return sum(w * ratio for w, (ratio, _) in zip(inverse, ratios, strict=True)) / total, 1 / math.sqrt(total)
