"""Lines of the night sky tell by how much the wavelengths of an exposure are off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import ParameterError
from core.recipes.logs import Logger
from core.recipes.muse.slice_pixels import PixelsOfSlices
from core.spatial.positions import SliceMap
from core.spatial.spectrum import binned_with_rejection
from core.spectral.linefit import CONVERGED, GaussFit, fit_gaussian

__all__ = ["SkyLineOptions", "parse_lines", "parse_rejection", "sky_line_shift"]

_NONE: Final = "none"
_NEAR: Final = 0.01  # [Angstrom] that rounding may move a limit
_REJECTION: Final = ("15", "15", "1")


@dataclass(frozen=True)
class SkyLineOptions:
    """How the shift is measured.

    Attributes
    ----------
    lines : tuple of float
        Wavelengths [Angstrom]; negative for lines in absorption.
    half_width : float
        Of the wavelengths around a line that are used [Angstrom].
    bin_size : float
        Of the spectrum that the line is fitted in [Angstrom].
    high_sigma, low_sigma : float
        Rejection of pixels against that spectrum; see `binned_with_rejection`.
    iterations : int
    """

    lines: tuple[float, ...]
    half_width: float
    bin_size: float
    high_sigma: float
    low_sigma: float
    iterations: int


def parse_lines(text: str) -> tuple[float, ...]:
    """Wavelengths from ``5577.339,6300.304``; none from ``none``.

    Raises
    ------
    ParameterError
        If something is no number.
    """
    if text.strip().lower() == _NONE:
        return ()
    return tuple(_number(part, "skylines") for part in text.split(","))


def parse_rejection(text: str) -> tuple[float, float, int]:
    """High and low limit [sigma] and number of iterations from ``15.,15.,1``; what is left out keeps these values.

    Raises
    ------
    ParameterError
        If there are more than three numbers, or something is no number.
    """
    parts = text.split(",")
    if len(parts) > 3:
        raise ParameterError(f"{text!r} has more than three numbers", parameter="skyreject")
    high, low, count = (_number(part, "skyreject") for part in [*parts, *_REJECTION[len(parts) :]])
    return high, low, int(count)


def _number(text: str, parameter: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ParameterError(f"{text.strip()!r} is no number", parameter=parameter)
    return value


def sky_line_shift(maps: Sequence[SliceMap], pixels: PixelsOfSlices, options: SkyLineOptions, log: Logger) -> float:
    """What is to be added to the wavelengths [Angstrom]; 0 if no line can be measured.

    Parameters
    ----------
    maps : sequence of SliceMap
    pixels : PixelsOfSlices
        [count]
    options : SkyLineOptions
    log : logger

    Notes
    -----
    The shifts of several lines are averaged with weights of one over the error, as the reference does.
    """
    near = _PixelsNear(maps, pixels)
    total = weights = 0.0
    for line in options.lines:
        if not near.low < abs(line) < near.high:
            log.warning("sky line %.3f Angstrom is not among %.1f to %.1f", abs(line), near.low, near.high)
            continue
        fit = _fit(near, line, options)
        error = _error(fit) if fit else math.nan
        shift = abs(line) - fit.center if fit else math.nan
        if fit is None or not (error > 0 and math.isfinite(shift / error) and abs(shift) < options.half_width):
            log.warning("sky line %.3f Angstrom cannot be measured", abs(line))
            continue
        log.info("sky line %.3f Angstrom lies at %.4f +- %.4f Angstrom", abs(line), fit.center, error)
        total += shift / error
        weights += 1.0 / error
    return total / weights if weights else 0.0


class _PixelsNear:
    """Rows of all slices, by wavelength.

    Attributes
    ----------
    low, high : float
        Wavelengths of all rows [Angstrom].
    """

    def __init__(self, maps: Sequence[SliceMap], pixels: PixelsOfSlices) -> None:
        self._maps, self._pixels = maps, pixels
        self._waves = [slice_map.wavelengths for slice_map in maps]
        self.low = float(min(wave.min() for wave in self._waves))
        self.high = float(max(wave.max() for wave in self._waves))

    def near(
        self, centre: float, half_width: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Wavelength, value and variance of the unflagged pixels around a wavelength."""
        parts: list[tuple[NDArray[np.float32], ...]] = []
        for slice_map, wave in zip(self._maps, self._waves, strict=True):
            first, last = slice_map.pixels_near(centre - half_width - _NEAR, centre + half_width + _NEAR)
            inside = np.flatnonzero(np.abs(wave[first:last].astype(np.float64) - centre) <= half_width)
            if not inside.size:
                continue
            rows = inside + first
            data, stat, dq = self._pixels.at(slice_map, rows)
            good = dq == 0
            parts.append((wave[rows][good], data[good], stat[good]))
        if not parts:
            none = np.empty(0, np.float32)
            return none, none, none
        of_all = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return of_all[0], of_all[1], of_all[2]


def _fit(pixels: _PixelsNear, line: float, options: SkyLineOptions) -> GaussFit | None:
    """Fit to the spectrum around a line; None if there is none."""
    bins = (pixels.low, pixels.high, options.bin_size)
    rejection = (options.high_sigma, options.low_sigma, options.iterations)
    spectrum = binned_with_rejection(*pixels.near(abs(line), options.half_width), bins, *rejection)
    if not spectrum.wave.size:
        return None
    return fit_gaussian(spectrum.wave, math.copysign(1.0, line) * spectrum.data, spectrum.stat)


def _error(fit: GaussFit) -> float:
    """Error of the centre [Angstrom]; of a fit that did not converge what its width and area tell."""
    if fit.status == CONVERGED and math.isfinite(fit.center_error):
        return fit.center_error
    return fit.sigma / math.sqrt(fit.area) if fit.area > 0 else math.nan
