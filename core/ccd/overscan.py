"""Overscan strips become bias levels: options as users write them, and statistics of a port.

The options are written as the users write them (``vpoly:5,1.01``, ``dcr:128,32,3,2.5``, ``fit:3``); anything else is
refused with the list of what is accepted. Levels are in adu; the polynomial along y is in `core.ccd.vpoly`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from core.ccd.cosmics import DcrSettings, flag_cosmics
from core.ccd.geometry import Detector
from core.errors import DataError, ParameterError

__all__ = [
    "MAX_VPOLY_ORDER",
    "OverscanLevel",
    "OverscanMethod",
    "OverscanOptions",
    "OverscanReject",
    "average_levels",
    "deviating_ports",
    "measure_overscan",
    "parse_overscan",
    "parse_ovscreject",
]

MAX_VPOLY_ORDER = 30
_METHODS = (
    f'"none", "offset", "vpoly" or "vpoly:order[,frms[,fchisq]]" with an order from 0 to {MAX_VPOLY_ORDER}, '
    "frms > 1 and fchisq > 1"
)
_REJECTS = '"none", "dcr", "dcr:xbox,ybox,npass,thres" with positive numbers, "fit" or "fit:sigma" with sigma > 0'


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
    if not _is_count(order, 0) or order > MAX_VPOLY_ORDER or frms <= 1 or fchisq <= 1:
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
