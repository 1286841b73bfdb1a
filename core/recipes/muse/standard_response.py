"""The response of the instrument by a standard star, and how well it sees: throughput, zero points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from core.cubes.collapse import Filter
from core.errors import BadFitsError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, has_key
from core.formats.onsky_tables import named_tables
from core.instruments.muse.facts import (
    EFFECTIVE_AREA,
    EXTREME_RANGE,
    FLAT_BLUE_END,
    NOTCH,
    RESPONSE_BLUE_END,
    SAMPLING,
    TELLURIC_BANDS,
    mode_class,
)
from core.onsky.fluxcal import Curve
from core.onsky.sensitivity import (
    Band,
    correct_bands,
    extend,
    flag_bands,
    measure_sensitivity,
    smooth_response,
    telluric_curve,
)
from core.onsky.throughput import mean_throughput, throughput, zero_point
from core.recipes.logs import Logger
from core.recipes.muse.exposure_tables import FFCORR
from core.recipes.muse.steps.pointing import airmass_of

__all__ = ["Response", "ResponseSmoothing", "StarCounts", "derive_response", "telluric_bands"]

F64 = npt.NDArray[np.float64]
ResponseSmoothing = Literal["none", "median", "ppoly"]

# Width of the ends by which a response is extrapolated [Angstrom], by whether the flat field's spectrum is in the data.
_END_WIDTH: Final = {False: 150.0, True: 15.0}


@dataclass(frozen=True, eq=False)
class StarCounts:
    """Counts of a star, their variances, at wavelengths [Angstrom]."""

    wave: F64
    data: npt.NDArray[np.float32]
    stat: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Response:
    """What a standard star says of instrument and air.

    Attributes
    ----------
    curve : Curve
        2.5 log10((count/s/Angstrom) / (erg/s/cm**2/Angstrom)).
    rough : Curve, optional
        Before it was smoothed.
    throughput : ndarray of float64
        At the wavelengths of the curve.
    telluric : Curve, optional
        Transmission of the air at airmass 1, in its absorption bands.
    reference : Curve
        Flux of the star.
    """

    curve: Curve
    rough: Curve | None
    throughput: F64
    telluric: Curve | None
    reference: Curve

    def throughput_at(self, wave: float) -> float:
        """Mean throughput around a wavelength [Angstrom]."""
        return mean_throughput(self.curve.wave, self.throughput, wave)

    def zero_point(self, through: Filter) -> float:
        """Throughput in a filter [mag]."""
        return zero_point(self.curve.wave, self.throughput, self.reference, through.response(self.curve.wave))


def derive_response(
    counts: StarCounts,
    header: Header,
    reference: Curve,
    extinction: Curve,
    bands: Sequence[Band],
    smooth: ResponseSmoothing,
    log: Logger,
) -> Response:
    """Response, throughput and telluric absorption from the counts of a star.

    Parameters
    ----------
    counts : StarCounts
    header : Header
        Of the pixel table of the exposure.
    reference : Curve
        Flux of the star [erg/s/cm**2/Angstrom].
    extinction : Curve
        [mag/airmass].
    bands : sequence of Band
    smooth : {'none', 'median', 'ppoly'}
    log : logger

    Raises
    ------
    DataError
        If the star has no flux, or the airmass is below 1.
    MissingKeywordError
        If the header tells neither airmass nor exposure time.
    """
    mode = mode_class(get_key(header, "INS.MODE", str, default=None))
    flat = has_key(header, FFCORR)
    airmass = airmass_of(header, log)
    found = measure_sensitivity(
        counts.wave,
        counts.data.astype(np.float64),
        counts.stat.astype(np.float64),
        reference,
        extinction,
        airmass=airmass,
        exptime=get_key(header, "EXPTIME", float),
        step=SAMPLING,
        first=RESPONSE_BLUE_END.get(mode, 0.0),
    )
    log.info("response at %d wavelengths, airmass %.4f", found.wave.size, airmass)
    found = correct_bands(flag_bands(found, bands), bands, airmass, log.warning)
    found = extend(found, EXTREME_RANGE, _END_WIDTH[flat])
    curve, rough = Curve.of(found.wave, found.values, found.errors), None
    if smooth != "none":
        edges = (FLAT_BLUE_END[mode], NOTCH.get(mode)) if flat else (0.0, None)
        curve, rough = smooth_response(curve, smooth, *edges), curve
    part = throughput(curve.wave, curve.values, EFFECTIVE_AREA)
    return Response(curve, rough, part, telluric_curve(found), reference)


def telluric_bands(path: Path | None) -> list[Band]:
    """The bands of a TELLURIC_REGIONS table, or those that are known.

    Raises
    ------
    BadFitsError
        If the file has no such table.
    """
    if path is None:
        return [Band(*limits) for limits in TELLURIC_BANDS]
    table = next(named_tables(path))
    try:
        columns = [table.numbers(name).tolist() for name in ("lmin", "lmax", "bgmin", "bgmax")]
    except BadFitsError as error:
        raise BadFitsError(f"the file is no TELLURIC_REGIONS: {error.message}", file=path) from error
    return [Band(*limits) for limits in zip(*columns, strict=True)]
