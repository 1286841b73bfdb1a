"""How bright stars of a cube are at each wavelength: by profiles that are fitted, or by sums over apertures.

Profiles: ``gaussian``, ``moffat`` (each plane for itself), ``smoffat`` (Moffat functions whose shape changes smoothly
with the wavelength). Sums: ``circle``, ``square``. Positions are those of FITS: the first pixel is 1.

Source: behaviour of the reference pipeline; MUSE manual, 6.5.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from core.errors import DataError
from core.onsky.apertures import Aperture, measure_fwhm
from core.onsky.moffat import fit_moffat
from core.onsky.profiles import FWHM_OF_SIGMA, Profile, fit_profile, moffat_radius
from core.spectral.iterfit import iterate_fit
from core.spread import Spread, in_turn

__all__ = ["NO_VARIANCE", "FluxProfile", "Planes", "StarFluxes", "integrate_stars"]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
FluxProfile = Literal["gaussian", "moffat", "smoffat", "circle", "square"]

NO_VARIANCE: Final = np.finfo(np.float32).max  # of a flux that could not be measured
_CHUNK: Final = 64  # planes that are in memory together
_EDGE: Final = 5.0  # [pix] between a window and the edge of the image
_BOX: Final = 5  # [pix] width of the boxes that show the sky
_SEVERAL: Final = 3.0  # FWHM of the reference in half a window
_SUM: Final = 1.5  # FWHM in x and in y in half a window
_LEAST_PIXELS: Final = 16  # that a profile is fitted to
_MOST_BAD: Final = 10  # pixels
_MOST_BAD_RESTRICTED: Final = 100
_CORE: Final = 20.0  # [pix] around a star where bad pixels are counted
_SHAPE: Final = ("beta", "x", "y", "width_x", "width_y", "rho")  # in the order in which they are smoothed
_SHAPE_ORDER: Final = 2
_SIGMA: Final = 3.0
_ANNULUS: Final = 10.0  # [pix] width


class Planes(Protocol):
    """A cube, from which planes are read: values and variances, NaN where there is nothing."""

    def __call__(self, first: int, last: int, /) -> tuple[F32, F32]:
        """Planes ``first`` (from 0) up to but not including ``last``."""


@dataclass(frozen=True, eq=False)
class StarFluxes:
    """Fluxes of stars.

    Attributes
    ----------
    data, stat : ndarray of float32, shape (n_stars, n_planes)
        Fluxes, in the unit of the cube, and their variances; 0 and `NO_VARIANCE` where there is none.
    """

    data: F32
    stat: F32

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which of them were measured."""
        return self.stat < NO_VARIANCE


@dataclass(frozen=True)
class _Window:
    """Where a star is looked at: its place, half the size, and whether the edge of the image made it smaller."""

    x: float
    y: float
    half: float
    restricted: bool
    fwhm: tuple[float, float]

    def pixels(self, shape: tuple[int, ...], half: float | None = None) -> tuple[slice, slice]:
        """Rows and columns."""
        size = self.half if half is None else half
        (low_y, high_y), (low_x, high_x) = (
            (max(int(at - size), 1) - 1, min(int(at + size), n)) for at, n in zip((self.y, self.x), shape, strict=True)
        )
        return slice(low_y, high_y), slice(low_x, high_x)


@dataclass(frozen=True)
class _Flux:
    value: float
    error: float
    window: _Window
    profile: Profile | None = None


Integrator = Callable[[F32, F32, _Window], _Flux]


def integrate_stars(
    planes: Planes,
    wave: F64,
    stars: Sequence[Aperture],
    fwhm: float,
    profile: FluxProfile,
    dark: tuple[float, float] | None = None,
    spread: Spread = in_turn,
) -> StarFluxes:
    """Fluxes of stars at all wavelengths.

    Parameters
    ----------
    planes : Planes
    wave : ndarray of float64, shape (n_planes,)
        [Angstrom].
    stars : sequence of Aperture
        Where they were seen.
    fwhm : float
        Usual width of a star [pix].
    profile : str
    dark : pair of float, optional
        Wavelengths at which no shape of a star can be measured [Angstrom].
    spread : Spread
        Threads of the caller.
    """
    integrator = _INTEGRATORS[profile]

    def measure(k: int, data: F32, stat: F32) -> list[_Flux | None]:
        return [_measured(data, stat, star, fwhm, integrator) for star in stars]

    found = _each_plane(planes, wave.size, spread, measure)
    if profile == "smoffat":
        inside = np.ones(wave.size, np.bool_) if dark is None else (wave < dark[0]) | (wave > dark[1])
        shapes = [_smooth_shape([row[n] for row in found], wave, inside) for n in range(len(stars))]

        def scale(k: int, data: F32, stat: F32) -> list[_Flux | None]:
            return [None if shape is None else _scaled(data, stat, shape, float(wave[k])) for shape in shapes]

        found = _each_plane(planes, wave.size, spread, scale)
    data = np.zeros((len(stars), wave.size), np.float32)
    stat = np.full(data.shape, NO_VARIANCE, np.float32)
    for k, row in enumerate(found):
        for n, flux in enumerate(row):
            if flux is not None and flux.error > 0 and math.isfinite(flux.value) and math.isfinite(flux.error):
                data[n, k], stat[n, k] = flux.value, flux.error**2
    return StarFluxes(data, stat)


def _each_plane(
    planes: Planes, n_planes: int, spread: Spread, function: Callable[[int, F32, F32], list[_Flux | None]]
) -> list[list[_Flux | None]]:
    rows: list[list[_Flux | None]] = []
    for first in range(0, n_planes, _CHUNK):
        last = min(first + _CHUNK, n_planes)
        data, stat = planes(first, last)
        rows += spread(lambda k, f=first, d=data, s=stat: function(k, d[k - f], s[k - f]), range(first, last))  # type: ignore[misc]
    return rows


def _measured(data: F32, stat: F32, star: Aperture, fwhm: float, integrator: Integrator) -> _Flux | None:
    window = _window(data, star, fwhm, integrator is _circle)
    if window is None:
        return None
    try:
        return integrator(data, stat, window)
    except DataError:
        return None


def _window(data: F32, star: Aperture, fwhm: float, wide: bool) -> _Window | None:
    """The window of a star in a plane; None where it has no width, or is at the edge."""
    widths = measure_fwhm(data, *star.nearest)
    if min(widths) <= 0:
        return None
    half = max(_SUM * sum(widths), _SEVERAL * fwhm, math.sqrt(star.n_pixels) / 2)
    ny, nx = data.shape
    room = min(star.x - 1, nx - star.x, star.y - 1, ny - star.y) - _EDGE
    if room < 1:
        return None
    restricted = (4 / 3 * half if wide else half) > room
    return _Window(star.x, star.y, room if restricted else half, restricted, widths)


def _gaussian(data: F32, stat: F32, window: _Window) -> _Flux:
    ny, nx = data.shape
    column, row = round(window.x) - 1, round(window.y) - 1
    half = math.floor(min(window.half, column, nx - 1 - column, row, ny - 1 - row))
    pixels = (slice(row - half, row + half + 1), slice(column - half, column + half + 1))
    x, y, values, variances = _good_pixels(data, stat, window, pixels)
    level, _ = _sky_of_boxes(data, window)
    widths = [width / FWHM_OF_SIGMA for width in window.fwhm]
    start = Profile(level, float((values - level).sum()), window.x, window.y, widths[0], widths[1])
    fit = fit_profile("gaussian", x, y, values, np.sqrt(variances), start)
    return _Flux(fit.profile.volume, fit.errors.volume, window, fit.profile)


def _moffat(data: F32, stat: F32, window: _Window) -> _Flux:
    x, y, values, variances = _good_pixels(data, stat, window, window.pixels(data.shape))
    level, _ = _sky_of_boxes(data, window)
    widths = [moffat_radius(width) for width in window.fwhm]
    start = Profile(level, float((values - level).sum()), window.x, window.y, widths[0], widths[1])
    profile, error = fit_moffat(x, y, values, variances, start)
    return _Flux(profile.volume, error, window, profile)


def _good_pixels(data: F32, stat: F32, window: _Window, pixels: tuple[slice, slice]) -> tuple[F64, F64, F64, F64]:
    """Places, values and variances of the pixels of a window; DataError if too many are bad."""
    values, variances = data[pixels].astype(np.float64), stat[pixels].astype(np.float64)
    good = np.isfinite(values) & np.isfinite(variances) & (variances > 0)
    y, x = np.mgrid[pixels] + 1.0
    near = np.hypot(x - window.x, y - window.y) < _CORE
    if np.count_nonzero(good) < _LEAST_PIXELS or np.count_nonzero(near & ~good) > _MOST_BAD:
        raise DataError("the star has too many bad pixels")
    return x[good], y[good], values[good], variances[good]


def _sky_of_boxes(data: F32, window: _Window) -> tuple[float, float]:
    """Level of the sky around a window, and its error; that of the window itself if the image goes no further."""
    rows, columns = window.pixels(data.shape)
    ny, nx = data.shape
    boxes = []
    for low, high, n, across in (
        (columns.start, columns.stop, nx, False),
        (rows.start, rows.stop, ny, True),
    ):
        for first, last in ((low - _BOX, low), (high, high + _BOX)):
            if first >= 0 and last <= n:
                boxes.append(data[first:last, columns] if across else data[rows, first:last])
    known = [box[np.isfinite(box)].astype(np.float64) for box in boxes or [data[rows, columns]]]
    known = [box for box in known if box.size]
    if not known:
        raise DataError("the star has no sky around it")
    medians = [float(np.median(box)) for box in known]
    deviations = [float(np.abs(box - median).mean()) for box, median in zip(known, medians, strict=True)]
    return float(np.mean(medians)), math.sqrt(sum(value**2 for value in deviations)) / len(known)


def _square(data: F32, stat: F32, window: _Window) -> _Flux:
    half = window.half - 10 if window.restricted else window.half
    if half < 1:
        raise DataError("the star is too near to the edge")
    own = replace(window, half=half)
    level, sigma = _sky_of_boxes(data, own)
    rows, columns = own.pixels(data.shape)
    values, variances = _mended(data[rows, columns], stat[rows, columns], None, _MOST_BAD)
    n = values.size
    n_sky = 2 * _BOX * (columns.stop - columns.start + rows.stop - rows.start)
    return _Flux(
        float(values.sum()) - level * n, math.sqrt(float(variances.sum()) + n * sigma**2 * (1 + n / n_sky)), own
    )


def _circle(data: F32, stat: F32, window: _Window) -> _Flux:
    radius = window.half if window.restricted else 4 / 3 * window.half
    inner = radius + 1 if window.restricted else 1.25 * radius
    rows, columns = window.pixels(data.shape, inner + _ANNULUS)
    y, x = np.mgrid[rows, columns] + 1.0
    distance = np.hypot(x - window.x, y - window.y)
    around = data[rows, columns][(distance > inner) & (distance <= inner + _ANNULUS)]
    around = around[np.isfinite(around)].astype(np.float64)
    sky = iterate_fit(np.arange(around.size), around, 0, _SIGMA)
    inside = distance <= radius
    most = _MOST_BAD_RESTRICTED if window.restricted else _MOST_BAD
    values, variances = _mended(data[rows, columns], stat[rows, columns], inside, most)
    n, level = np.count_nonzero(inside), float(sky.coefficients[0])
    n_sky = np.count_nonzero(sky.kept)
    error = math.sqrt(float(variances.sum()) + n * sky.rms**2 * (1 + n / n_sky))
    return _Flux(float(values.sum()) - level * n, error, window)


def _mended(data: F32, stat: F32, inside: npt.NDArray[np.bool_] | None, most: int) -> tuple[F64, F64]:
    """Values and variances of pixels, bad ones by the mean of their neighbours; DataError if there are too many."""
    values, variances = data.astype(np.float64), stat.astype(np.float64)
    wanted = np.ones(data.shape, np.bool_) if inside is None else inside
    good = np.isfinite(values) & np.isfinite(variances)
    bad = np.argwhere(wanted & ~good).tolist()
    if len(bad) > most:
        raise DataError("the star has too many bad pixels")
    mended = values.copy(), variances.copy()
    for y, x in bad:
        for reach in range(1, max(data.shape)):
            near = (slice(max(y - reach, 0), y + reach + 1), slice(max(x - reach, 0), x + reach + 1))
            if good[near].any():
                for array, source in zip(mended, (values, variances), strict=True):
                    array[y, x] = source[near][good[near]].mean()
                break
        else:
            raise DataError("the star has no good pixel")
    return mended[0][wanted], mended[1][wanted]


@dataclass(frozen=True)
class _SmoothShape:
    """The shape of a star as polynomials of the wavelength, and the largest of its windows."""

    polynomials: dict[str, Callable[[F64], F64]]
    window: _Window

    def at(self, wave: float) -> Profile:
        values = {name: float(fit(np.array([wave]))[0]) for name, fit in self.polynomials.items()}
        return Profile(background=0.0, volume=1.0, **values)


def _smooth_shape(fluxes: Sequence[_Flux | None], wave: F64, inside: npt.NDArray[np.bool_]) -> _SmoothShape | None:
    """The smooth shape of a star; None if it was seen too rarely."""
    seen = [k for k, flux in enumerate(fluxes) if inside[k] and flux is not None and flux.profile is not None]
    if not seen:
        return None
    profiles = [fluxes[k].profile for k in seen]  # type: ignore[union-attr]
    windows = [fluxes[k].window for k in seen]  # type: ignore[union-attr]
    waves, kept = wave[seen], np.ones(len(seen), np.bool_)
    polynomials: dict[str, Callable[[F64], F64]] = {}
    for name in _SHAPE:
        values = np.array([getattr(profile, name) for profile in profiles])
        try:
            fit = iterate_fit(waves[kept], values[kept], _SHAPE_ORDER, _SIGMA)
        except DataError:
            return None
        kept[np.flatnonzero(kept)[~fit.kept]] = False
        polynomials[name] = fit
    return _SmoothShape(polynomials, max(windows, key=lambda window: window.half))


def _scaled(data: F32, stat: F32, shape: _SmoothShape, wave: float) -> _Flux | None:
    """Flux of a star of known shape, by linear least squares; None where it has none."""
    try:
        x, y, values, variances = _good_pixels(data, stat, shape.window, shape.window.pixels(data.shape))
    except DataError:
        return None
    model, weights = shape.at(wave).at("moffat", x, y), 1 / variances
    matrix = np.array([[weights.sum(), weights @ model], [weights @ model, weights @ (model * model)]])
    determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] ** 2
    if not determinant > 0:
        return None
    volume = (matrix[0, 0] * (weights @ (model * values)) - matrix[0, 1] * (weights @ values)) / determinant
    return _Flux(float(volume), math.sqrt(matrix[0, 0] / determinant), shape.window) if volume > 0 else None


_INTEGRATORS: Final[dict[FluxProfile, Integrator]] = {
    "gaussian": _gaussian,
    "moffat": _moffat,
    "smoffat": _moffat,
    "circle": _circle,
    "square": _square,
}
