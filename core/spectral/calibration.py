"""The wavelength calibration of one slice, step by step.

Central columns become identified lines (`identify_center`), these a first guess of the dispersion (`guess_rows`), the
guess becomes line centres in every column (`measure_slice` for each lamp image), and all centres become the solution
(`solve_slice`). A slice that fails raises `WavelengthError`; the caller keeps the reason and goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.trace_model import Trace
from core.errors import DataError, WavelengthError
from core.instruments.muse.facts import FWHM_PER_SIGMA, SAMPLING
from core.spectral.detection import DetectedLines, central_spectrum, detect_lines
from core.spectral.dispersion import SliceSolution, fit_dispersion
from core.spectral.iterfit import IteratedFit, iterate_fit
from core.spectral.linelist import QUALITY_BLEND, QUALITY_REFERENCE, QUALITY_SINGLE, LineList, covered
from core.spectral.matching import match_positions
from core.spectral.tracing import (
    HALF_WINDOW,
    LinePoints,
    Weighting,
    concatenate_points,
    trace_multiplet,
    trace_singlets,
)

__all__ = [
    "CentralLines",
    "FitPoints",
    "LineWidths",
    "WavecalOptions",
    "central_columns",
    "central_widths",
    "fit_points",
    "guess_rows",
    "identify_center",
    "line_widths",
    "measure_identified",
    "measure_slice",
    "odd_wavelengths",
    "solve_slice",
]

DEFAULT_LINESIGMA: Final = 2.5
DEFAULT_FITSIGMA: Final = 3.0
_GUESS_SIGMA: Final = 3.0
_PLAUSIBLE_SAMPLING: Final = (1.0, 1.5)  # [Angstrom/pix]; a guess outside has run away
_STAGGER: Final = 3  # every third slice has the same place along the dispersion
_LIKE_SLICES: Final = 50.0  # [Angstrom] from the median of like slices; real ones are within 30


@dataclass(frozen=True)
class WavecalOptions:
    """Parameters of the wavelength calibration, with the manual's names and defaults.

    Attributes
    ----------
    sigma : float
        Detection threshold.
    dres, tolerance : float
        Ranges of the pattern matching.
    xorder, yorder : int
        Orders of the solution.
    linesigma, fitsigma : float
        Rejection limits per line and of the final fit.
    weighting : Weighting
    ins_mode : str or None
        ``INS.MODE``; lines it does not cover do not enter the final fit.
    """

    sigma: float = 1.0
    dres: float = 0.05
    tolerance: float = 0.1
    xorder: int = 2
    yorder: int = 6
    linesigma: float = DEFAULT_LINESIGMA
    fitsigma: float = DEFAULT_FITSIGMA
    weighting: Weighting = Weighting.CERRSCATTER
    ins_mode: str | None = None


@dataclass(frozen=True, eq=False)
class CentralLines:
    """What was found in the centre of a slice on one image.

    Attributes
    ----------
    n_detected : int
        Lines detected.
    lines : DetectedLines
        Lines identified.
    index : ndarray of int
        Catalogue index of each identified line.
    """

    n_detected: int
    lines: DetectedLines
    index: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.lines)


@dataclass(frozen=True, eq=False)
class FitPoints:
    """Points of the final fit of a slice; arrays of equal length.

    Attributes
    ----------
    x, y : ndarray of float64
        Line centres [pix].
    wave : ndarray of float64
        Catalogue wavelength [Angstrom].
    sigma : ndarray of float64 or None
        Error [Angstrom]; None for uniform weights.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    wave: NDArray[np.float64]
    sigma: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class LineWidths:
    """Widths of reference lines: FWHM [Angstrom] and resolving power, arrays of equal length."""

    fwhm: NDArray[np.float64]
    resolution: NDArray[np.float64]


def central_columns(trace: Trace, slice_no: int, shape: tuple[int, int]) -> slice:
    """The columns (0-based, half-open) in which the lines of a slice are detected.

    Raises
    ------
    WavelengthError
        If the slice has no trace or its centre lies outside the detector.
    """
    if not trace.has(slice_no):
        raise WavelengthError(f"slice {slice_no} has no trace", slice=slice_no)
    middle = int(np.floor(float(trace.center(slice_no, 0.5 * shape[0])) + 0.5))  # 1-based
    if not 2 <= middle <= shape[1] - 2:
        raise WavelengthError(f"the centre of slice {slice_no} is at column {middle}", slice=slice_no)
    return slice(middle - 2, middle + 2)


def identify_center(
    data: NDArray[np.float32],
    stat: NDArray[np.float32],
    dq: NDArray[np.int32],
    catalogue: LineList,
    lamps: Collection[str] | None,
    options: WavecalOptions,
) -> CentralLines:
    """Detect the lines in the central columns of a slice and identify them.

    Parameters
    ----------
    data, stat, dq : ndarray (ny, 4)
        Central columns.
    catalogue : LineList
    lamps : collection of str or None
        Lamps that were on; None takes all lines of the catalogue.
    options : WavecalOptions

    Raises
    ------
    WavelengthError
        If the columns cannot be used.
    """
    try:
        lines = detect_lines(*central_spectrum(data, stat, dq), sigma=options.sigma)
    except DataError as error:
        raise WavelengthError(error.message) from error
    if len(lines) == 0:
        return CentralLines(0, lines, np.empty(0, dtype=np.intp))
    candidates = catalogue.for_matching(lamps, float(lines.flux.min()))
    peaks, found = match_positions(
        lines.center, catalogue.wave[candidates], dres=options.dres, tolerance=options.tolerance
    )
    return CentralLines(len(lines), lines.select(peaks), candidates[found])


def guess_rows(centers: Sequence[CentralLines], catalogue: LineList, options: WavecalOptions) -> IteratedFit:
    """First guess ``y(lambda)`` of a slice from the identified lines of all lamps.

    Raises
    ------
    WavelengthError
        If there are fewer lines than coefficients.
    """
    index = np.concatenate([np.empty(0, dtype=np.intp), *(part.index for part in centers)])
    rows = np.concatenate([np.empty(0), *(part.lines.center for part in centers)])
    if index.size < options.yorder + 1:
        raise WavelengthError(f"{index.size} identified lines are too few for a solution of order {options.yorder}")
    order = np.argsort(rows, kind="stable")
    try:
        return iterate_fit(catalogue.wave[index[order]], rows[order], options.yorder, _GUESS_SIGMA)
    except DataError as error:
        raise WavelengthError(f"no first guess: {error.message}") from error


def measure_slice(
    data: NDArray[np.float32],
    stat: NDArray[np.float32],
    bad: NDArray[np.bool_],
    trace: Trace,
    slice_no: int,
    guess: IteratedFit,
    catalogue: LineList,
    lamps: Collection[str],
    options: WavecalOptions,
) -> LinePoints:
    """Centres of all lines of some lamps that the instrument mode covers, across a slice of their image.

    Parameters
    ----------
    data, stat, bad : ndarray (ny, nx)
        Image of the lamps [count], variance, and mask of the pixels to leave out.
    trace : Trace
    slice_no : int
    guess : IteratedFit
        Row in the middle of the slice as a function of wavelength.
    catalogue : LineList
    lamps : collection of str
        Lamps that were on. Lines of an absent lamp are never looked for (the reference fits them on the image of
        another lamp).
    options : WavecalOptions

    Returns
    -------
    LinePoints
        ``line`` is the catalogue index.
    """
    rows = guess(catalogue.wave)
    sampling = 1.0 / guess.derivative(catalogue.wave)
    usable = (
        catalogue.of_lamps(lamps)
        & covered(catalogue.wave, options.ins_mode)
        & (sampling > _PLAUSIBLE_SAMPLING[0])
        & (sampling < _PLAUSIBLE_SAMPLING[1])
        & (rows - HALF_WINDOW >= 1)
        & (rows + HALF_WINDOW <= data.shape[0])
    )
    single = np.flatnonzero(usable & (catalogue.quality >= QUALITY_SINGLE))
    points = trace_singlets(
        data,
        stat,
        bad,
        rows[single],
        trace.left(slice_no, rows[single]),
        trace.right(slice_no, rows[single]),
        catalogue.quality[single] >= QUALITY_REFERENCE,
        order=options.xorder,
        k_sigma=options.linesigma,
        weighting=options.weighting,
    )
    parts = [_renumbered(points, single)]
    blends = np.flatnonzero(usable & (catalogue.quality == QUALITY_BLEND))
    for group in catalogue.select(blends).multiplets():
        members = blends[group]
        middle = float(0.5 * (rows[members[0]] + rows[members[-1]]))
        points = trace_multiplet(
            data,
            stat,
            bad,
            rows[members],
            catalogue.flux[members],
            float(trace.left(slice_no, middle)),
            float(trace.right(slice_no, middle)),
            order=options.xorder,
            k_sigma=options.linesigma,
            weighting=options.weighting,
        )
        parts.append(_renumbered(points, members))
    return concatenate_points(parts)


def measure_identified(
    data: NDArray[np.float32],
    stat: NDArray[np.float32],
    bad: NDArray[np.bool_],
    trace: Trace,
    slice_no: int,
    center: CentralLines,
    options: WavecalOptions,
) -> LinePoints:
    """Centres of the identified lines only, on an image of several lamps (``lampwise`` off).

    Every column starts from the centre of the slice, all widths are free, and blends are not separated.
    """
    rows = center.lines.center
    points = trace_singlets(
        data,
        stat,
        bad,
        rows,
        trace.left(slice_no, rows),
        trace.right(slice_no, rows),
        np.ones(rows.size, dtype=np.bool_),
        half_window=(2.0 * center.lines.fwhm).astype(np.int64),
        order=options.xorder,
        k_sigma=options.linesigma,
        weighting=options.weighting,
        track=False,
    )
    return _renumbered(points, center.index)


def _renumbered(points: LinePoints, index: NDArray[np.intp]) -> LinePoints:
    return LinePoints(index[points.line].astype(np.int64), points.x, points.y, points.error, points.sigma)


def fit_points(
    points: LinePoints, catalogue: LineList, guess: IteratedFit | None, options: WavecalOptions
) -> FitPoints:
    """Points of the lines that the instrument mode covers, with errors in Angstrom.

    ``guess`` gives the local dispersion; without it the nominal one is taken.
    """
    wave = catalogue.wave[points.line]
    use = covered(catalogue.wave, options.ins_mode)[points.line]
    sigma = None
    if options.weighting is not Weighting.UNIFORM:
        sampling = np.full(wave.size, SAMPLING) if guess is None else np.abs(1.0 / guess.derivative(wave))
        sigma = (points.error * sampling)[use]
    return FitPoints(points.x[use].astype(np.float64), points.y[use], wave[use], sigma)


def solve_slice(points: FitPoints, options: WavecalOptions) -> SliceSolution:
    """Final fit of a slice.

    Raises
    ------
    WavelengthError
        If there are too few points.
    """
    return fit_dispersion(
        points.x,
        points.y,
        points.wave,
        points.sigma,
        xorder=options.xorder,
        yorder=options.yorder,
        k_sigma=options.fitsigma,
    )


def line_widths(points: LinePoints, catalogue: LineList, guess: IteratedFit) -> LineWidths:
    """Widths of the reference lines (quality 5) in all columns.

    The points are those of lines that the instrument mode covers: where there is no light, noise is fitted with any
    width (the reference counts those fits too, which makes its mean a few per cent too large and its maximum some
    30 Angstrom).
    """
    use = (catalogue.quality >= QUALITY_REFERENCE)[points.line] & np.isfinite(points.sigma)
    wave = catalogue.wave[points.line[use]]
    fwhm = points.fwhm[use] * np.abs(1.0 / guess.derivative(wave))
    return LineWidths(fwhm, wave / fwhm)


def central_widths(center: CentralLines, catalogue: LineList) -> LineWidths:
    """Widths of the identified lines in the centre of a slice, sampled by their neighbours.

    The resolving power only comes from isolated reference lines.
    """
    wave, row = catalogue.wave[center.index], center.lines.center
    if wave.size < 2:
        return LineWidths(np.empty(0), np.empty(0))
    slope = np.diff(wave) / np.diff(row)
    sampling = 0.5 * (np.r_[slope[0], slope] + np.r_[slope, slope[-1]])
    fwhm = center.lines.sigma * FWHM_PER_SIGMA * sampling
    isolated = catalogue.reference()[center.index]
    return LineWidths(fwhm, (wave / fwhm)[isolated])


def odd_wavelengths(wavelengths: Mapping[int, float]) -> dict[int, float]:
    """Slices whose wavelength is not that of slices like them: their lines are probably misidentified.

    The 48 slices are staggered along the dispersion in three steps that repeat, so that every third slice sees nearly
    the same wavelength in the middle of the detector.

    Parameters
    ----------
    wavelengths : mapping of int to float
        Wavelength in the middle of the detector by number of the slice [Angstrom].

    Returns
    -------
    dict of int to float
        Difference from the median of the slices alike, of at least three [Angstrom].
    """
    odd: dict[int, float] = {}
    for step in range(_STAGGER):
        alike = {number: wave for number, wave in wavelengths.items() if number % _STAGGER == step}
        if len(alike) > 2:
            middle = float(np.median(list(alike.values())))
            odd |= {number: wave - middle for number, wave in alike.items() if abs(wave - middle) > _LIKE_SLICES}
    return dict(sorted(odd.items()))
