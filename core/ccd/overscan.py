"""Overscan strips become bias levels: options, statistics and the vertical polynomial of a port.

The options are written as the users write them (``vpoly:5,1.01``, ``dcr:128,32,3,2.5``, ``fit:3``); anything else is
refused with the list of what is accepted. Levels are in adu; rows are raw FITS rows (1-based, scans included).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Literal, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.ccd.cosmics import DcrSettings, flag_cosmics
from core.ccd.geometry import Detector
from core.errors import DataError, ParameterError

__all__ = [
    "OverscanLevel",
    "OverscanMethod",
    "OverscanOptions",
    "OverscanReject",
    "VerticalPolynomial",
    "average_levels",
    "deviating_ports",
    "fit_vertical_overscan",
    "measure_overscan",
    "parse_overscan",
    "parse_ovscreject",
]

_METHODS = '"none", "offset", "vpoly" or "vpoly:order[,frms[,fchisq]]" with order >= 0, frms > 1 and fchisq > 1'
_REJECTS = '"none", "dcr", "dcr:xbox,ybox,npass,thres" with positive numbers, "fit" or "fit:sigma" with sigma > 0'
_MAX_ORDER = 30


# -- options ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class OverscanMethod:
    """How the bias level is corrected with the overscan.

    Attributes
    ----------
    kind : {"none", "offset", "vpoly"}
        No correction (only a check), shift by the mean level, or subtract a polynomial along y.
    order : int
        Maximum order of the polynomial.
    frms, fchisq : float
        The order is raised until both the rms and the reduced chi square improve by less than these factors.
    """

    kind: Literal["none", "offset", "vpoly"] = "vpoly"
    order: int = 15
    frms: float = 1.00001
    fchisq: float = 1.00001


@dataclass(frozen=True)
class OverscanReject:
    """How deviating overscan pixels are left out of the statistics.

    Attributes
    ----------
    kind : {"none", "dcr", "fit"}
    dcr : DcrSettings
        Settings of the cosmic-ray search (kind "dcr").
    sigma : float
        Rejection level of the iterative constant fit (kind "fit").
    """

    kind: Literal["none", "dcr", "fit"] = "dcr"
    dcr: DcrSettings = field(default_factory=DcrSettings)
    sigma: float = 5.0


@dataclass(frozen=True)
class OverscanOptions:
    """All overscan parameters of a first-stage recipe.

    Attributes
    ----------
    method : OverscanMethod
    reject : OverscanReject
    sigma : float
        ``ovscsigma``: tolerated deviation of levels ("none"), or rejection level of the polynomial fit ("vpoly").
    ignore : int
        ``ovscignore``: rows or columns next to the illuminated data that are left out [pix].
    """

    method: OverscanMethod = OverscanMethod()
    reject: OverscanReject = OverscanReject()
    sigma: float = 30.0
    ignore: int = 3

    def check_geometry(self, detector: Detector) -> None:
        """Refuse options that do not fit a detector.

        Raises
        ------
        ParameterError
            If ``ovscignore`` leaves no overscan, or if boxes of the DCR search are larger than the strips.
        """
        width = min(detector.overscan_x, detector.overscan_y)
        if not 0 <= self.ignore < width:
            raise ParameterError(
                f"ovscignore={self.ignore} is not accepted, it must be between 0 and {width - 1} pix",
                parameter="ovscignore",
            )
        dcr = self.reject.dcr
        if self.reject.kind != "dcr" or dcr == DcrSettings():
            return
        length = min(detector.nx, detector.ny)
        if dcr.ybox > width or dcr.xbox > length:
            raise ParameterError(
                f"ovscreject=dcr:{dcr.xbox},{dcr.ybox},... is not accepted, the boxes must not be larger than "
                f"the overscan strips: xbox <= {length}, ybox <= {width} pix",
                parameter="ovscreject",
            )


def _numbers(text: str, at_most: int, parameter: str, value: str, accepted: str) -> list[float]:
    parts = text.split(",")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if not numbers or len(numbers) > at_most or not np.all(np.isfinite(numbers)):
        raise ParameterError(f'{parameter}="{value}" is not accepted, use {accepted}', parameter=parameter) from None
    return numbers


def _is_count(number: float, least: int) -> bool:
    return number == int(number) and number >= least


def parse_overscan(text: str) -> OverscanMethod:
    """Read the recipe parameter ``overscan``.

    Raises
    ------
    ParameterError
        If the text is none of the accepted forms.

    Examples
    --------
    >>> parse_overscan("vpoly:5,1.01")
    OverscanMethod(kind='vpoly', order=5, frms=1.01, fchisq=1.00001)
    """
    kind, _, suffix = text.strip().partition(":")
    error = ParameterError(f'overscan="{text}" is not accepted, use {_METHODS}', parameter="overscan")
    if kind not in ("none", "offset", "vpoly") or (":" in text and kind != "vpoly"):
        raise error
    if ":" not in text:
        return OverscanMethod(cast(Literal["none", "offset", "vpoly"], kind))
    numbers = _numbers(suffix, 3, "overscan", text, _METHODS)
    defaults = OverscanMethod()
    order, frms, fchisq = numbers + [defaults.order, defaults.frms, defaults.fchisq][len(numbers) :]
    if not _is_count(order, 0) or order > _MAX_ORDER or frms <= 1 or fchisq <= 1:
        raise error
    return OverscanMethod("vpoly", int(order), frms, fchisq)


def parse_ovscreject(text: str) -> OverscanReject:
    """Read the recipe parameter ``ovscreject``.

    Raises
    ------
    ParameterError
        If the text is none of the accepted forms.
    """
    kind, _, suffix = text.strip().partition(":")
    error = ParameterError(f'ovscreject="{text}" is not accepted, use {_REJECTS}', parameter="ovscreject")
    if kind not in ("none", "dcr", "fit") or (":" in text and kind == "none"):
        raise error
    if ":" not in text:
        return OverscanReject(cast(Literal["none", "dcr", "fit"], kind))
    if kind == "fit":
        (sigma,) = _numbers(suffix, 1, "ovscreject", text, _REJECTS)
        if sigma <= 0:
            raise error
        return OverscanReject("fit", sigma=sigma)
    numbers = _numbers(suffix, 4, "ovscreject", text, _REJECTS)
    usual = DcrSettings()
    xbox, ybox, npass, thres = numbers + [usual.xbox, usual.ybox, usual.npass, usual.thres][len(numbers) :]
    if not (_is_count(xbox, 1) and _is_count(ybox, 1) and _is_count(npass, 1) and thres > 0):
        raise error
    return OverscanReject("dcr", DcrSettings(int(xbox), int(ybox), int(npass), thres))


# -- levels ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class OverscanLevel:
    """Mean level and scatter of the overscan of one port [adu]."""

    mean: float
    stdev: float


def _constant_fit(values: NDArray[np.float64], sigma: float) -> OverscanLevel:
    kept = values
    while True:
        mean = float(np.mean(kept))
        rms = max(float(np.sqrt(np.mean((kept - mean) ** 2))), float(np.finfo(np.float64).tiny))
        good = np.abs(kept - mean) < sigma * rms
        if np.all(good) or not np.any(good):
            return OverscanLevel(mean, rms)
        kept = kept[good]


def measure_overscan(
    horizontal: NDArray[np.float32],
    horizontal_dq: NDArray[np.int32],
    vertical: NDArray[np.float32],
    vertical_dq: NDArray[np.int32],
    reject: OverscanReject,
) -> OverscanLevel:
    """Level of the overscan of one port from its two strips.

    Parameters
    ----------
    horizontal, vertical : ndarray, float32, shape (ny, nx)
        The strips [adu].
    horizontal_dq, vertical_dq : ndarray, int32
        Their flags; hits found with ``dcr`` are flagged here, in place.
    reject : OverscanReject

    Raises
    ------
    DataError
        If fewer than two good pixels are left.
    """
    if reject.kind == "dcr":
        ny, nx = horizontal.shape
        settings = reject.dcr.fitted_to(nx, ny)
        flag_cosmics(horizontal, horizontal_dq, settings)
        flag_cosmics(vertical, vertical_dq, settings.turned())
    pool = np.concatenate((horizontal[horizontal_dq == 0], vertical[vertical_dq == 0])).astype(np.float64)
    if pool.size < 2:
        raise DataError("the overscan has no good pixels")
    if reject.kind == "fit":
        return _constant_fit(pool, reject.sigma)
    return OverscanLevel(float(np.mean(pool)), float(np.std(pool, ddof=1)))


def deviating_ports(levels: Sequence[OverscanLevel], reference: Sequence[OverscanLevel], nsigma: float) -> list[int]:
    """Ports (1..4) whose mean differs from the reference by more than ``nsigma`` of the reference's scatter."""
    return [
        port
        for port, (level, ref) in enumerate(zip(levels, reference, strict=True), start=1)
        if abs(level.mean - ref.mean) > nsigma * ref.stdev
    ]


def average_levels(levels: Sequence[OverscanLevel]) -> OverscanLevel:
    """Common level of the same port in several frames that agree."""
    n = len(levels)
    first = levels[0]
    square = first.stdev**2 + sum(lev.stdev**2 + (lev.mean - first.mean) ** 2 for lev in levels[1:])
    return OverscanLevel(sum(lev.mean for lev in levels) / n, float(np.sqrt(square)) / n)


# -- vertical polynomial -----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class VerticalPolynomial:
    """Bias level of a port as a function of the raw row.

    Attributes
    ----------
    legendre : tuple of float
        Legendre coefficients on ``domain`` [adu].
    domain : tuple of float
        First and last raw FITS row of the fit.
    rms : float
        Scatter of the kept pixels about it [adu].
    n_rejected : int
        Number of pixels rejected by the fit.
    """

    legendre: tuple[float, ...]
    domain: tuple[float, float]
    rms: float
    n_rejected: int

    @property
    def order(self) -> int:
        """Order of the polynomial."""
        return len(self.legendre) - 1

    def evaluate(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Level [adu] at raw FITS rows."""
        return np.asarray(np.polynomial.Legendre(self.legendre, domain=self.domain)(rows), dtype=np.float64)

    @property
    def coefficients(self) -> tuple[float, ...]:
        """Coefficients of the plain powers of the raw FITS row, as they are stored in headers."""
        # Exact arithmetic: terms of high order cancel each other in all digits of a float.
        low, high = (Fraction(limit) for limit in self.domain)
        scale, offset = 2 / (high - low), -(high + low) / (high - low)
        before, current = [Fraction(0)], [Fraction(1)]
        total = [Fraction(0)] * len(self.legendre)
        for degree, coefficient in enumerate(self.legendre):
            for power, value in enumerate(current):
                total[power] += Fraction(coefficient) * value
            # (k+1) P(k+1) = (2k+1) t P(k) - k P(k-1) with t = scale y + offset
            following = [Fraction(0)] * (len(current) + 1)
            for power, value in enumerate(current):
                following[power] += (2 * degree + 1) * offset * value
                following[power + 1] += (2 * degree + 1) * scale * value
            for power, value in enumerate(before):
                following[power] -= degree * value
            before, current = current, [value / (degree + 1) for value in following]
        return tuple(float(value) for value in total)


@njit(cache=True, nogil=True)
def _row_sums(strip, bad, count, mean, low, high):  # type: ignore[no-untyped-def]
    """Per row: number, mean and extremes of the good pixels; returns the sum of squares about the row means."""
    within = 0.0
    for y in range(strip.shape[0]):
        n = 0
        total = 0.0
        lowest = np.inf
        highest = -np.inf
        for x in range(strip.shape[1]):
            if bad[y, x]:
                continue
            value = np.float64(strip[y, x])
            n += 1
            total += value
            lowest = min(lowest, value)
            highest = max(highest, value)
        count[y] = n
        low[y] = lowest
        high[y] = highest
        mean[y] = total / n if n > 0 else 0.0
        for x in range(strip.shape[1]):
            if not bad[y, x]:
                d = np.float64(strip[y, x]) - mean[y]
                within += d * d
    return within


@lru_cache(maxsize=256)
def _unweighted_basis(n: int, order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    q, r = np.linalg.qr(np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, n), order))
    return np.asarray(q, np.float64), np.asarray(r, np.float64)


class _StripFit:
    """Weighted least squares of row means: the same solution as fitting every pixel."""

    def __init__(self, strip: NDArray[np.float32], bad: NDArray[np.bool_], first_row: int) -> None:
        ny = strip.shape[0]
        self.strip, self.bad = strip, bad
        self.rows = np.arange(first_row, first_row + ny, dtype=np.float64)
        self.domain = (self.rows[0], max(self.rows[-1], self.rows[0] + 1.0))
        self.count = np.empty(ny, dtype=np.float64)
        self.mean, self.low, self.high = np.empty(ny), np.empty(ny), np.empty(ny)
        self.recount()

    def recount(self) -> None:
        self.within = float(_row_sums(self.strip, self.bad, self.count, self.mean, self.low, self.high))
        self.n = int(self.count.sum())

    def basis(self, order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        q, r = _unweighted_basis(self.rows.size, order)
        if np.all(self.count == self.count[0]):
            return q, r * np.sqrt(self.count[0])
        weighted, triangle = np.linalg.qr(q * np.sqrt(self.count)[:, None])
        return np.asarray(weighted, np.float64), np.asarray(triangle @ r, np.float64)

    def choose_order(self, method: OverscanMethod) -> int:
        highest = min(method.order, int(np.count_nonzero(self.count)) - 1)
        q, _ = self.basis(highest)
        residual = np.sqrt(self.count) * (self.mean - np.average(self.mean, weights=self.count))
        tiny = float(np.finfo(np.float64).tiny)
        previous: tuple[float, float] | None = None
        for order in range(highest + 1):
            residual -= q[:, order] * (q[:, order] @ residual)
            rss = self.within + float(residual @ residual)
            rms = max(float(np.sqrt(rss / self.n)), tiny)
            chi = max(rss / max(self.n - order - 1, 1), tiny)
            if previous and previous[0] / rms < method.frms and previous[1] / chi < method.fchisq:
                return order
            previous = (rms, chi)
        return highest

    def solve(self, order: int) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        q, r = self.basis(order)
        coefficients = np.asarray(np.linalg.solve(r, q.T @ (np.sqrt(self.count) * self.mean)), np.float64)
        model = np.asarray(np.polynomial.Legendre(coefficients, domain=self.domain)(self.rows), np.float64)
        rss = self.within + float(np.sum(self.count * (self.mean - model) ** 2))
        return coefficients, model, max(float(np.sqrt(rss / self.n)), float(np.finfo(np.float64).tiny))


def fit_vertical_overscan(
    strip: NDArray[np.float32],
    dq: NDArray[np.int32],
    first_row: int,
    method: OverscanMethod,
    nsigma: float,
) -> VerticalPolynomial:
    """Fit the vertical overscan of a port by a polynomial of the raw row.

    The order is raised until the fit no longer improves (``frms``, ``fchisq``); the order at which that is noticed is
    taken, as in the reference. Pixels further than ``nsigma`` rms from the fit of that order are then rejected
    iteratively.

    Parameters
    ----------
    strip : ndarray, float32, shape (ny, nx)
        Vertical overscan strip [adu].
    dq : ndarray, int32, shape (ny, nx)
        Flagged pixels are left out.
    first_row : int
        Raw FITS row of the first row of the strip.
    method : OverscanMethod
    nsigma : float

    Raises
    ------
    DataError
        If no good pixels are left.
    """
    bad = dq != 0
    rejected = -int(np.count_nonzero(bad))
    fit = _StripFit(strip, bad, first_row)
    if fit.n == 0:
        raise DataError("the vertical overscan has no good pixels")
    order = fit.choose_order(method)
    while True:
        coefficients, model, rms = fit.solve(order)
        limit = nsigma * rms
        reach = np.maximum(fit.high - model, model - fit.low)  # -inf where a row has no good pixel
        beyond = reach >= limit
        if not np.any(beyond):
            break
        bad[beyond] |= ~(np.abs(strip[beyond] - model[beyond, None]) < limit)
        fit.recount()
        if np.count_nonzero(fit.count) <= order:
            raise DataError(
                f"ovscsigma={nsigma:g} rejects nearly all pixels of the vertical overscan", parameter="ovscsigma"
            )
    rejected += int(np.count_nonzero(bad))
    return VerticalPolynomial(tuple(float(c) for c in coefficients), fit.domain, rms, rejected)
