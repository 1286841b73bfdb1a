"""Spectra on places in the field become light on the detector.

The light of a scene is a sum of components; each is a spectrum times a brightness that varies over the field and
slowly with wavelength. That keeps the work small: for each slice the spectrum is convolved once with the slice's
line-spread function, the brightness is taken at a few wavelengths along the slice, and every pixel is the integral
of the one times the interpolated other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Final, Protocol

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy.ndimage import convolve1d
from scipy.special import ndtr

from core.instruments.muse.facts import N_SLICES, SAMPLING
from core.simulator import light_kernels
from core.simulator.geometry import SLICE_PITCH
from core.simulator.optics import EDGE_SIGMA, HALF_HEIGHT
from core.simulator.truth import InstrumentTruth

__all__ = ["NODES", "WAVE_GRID", "Brightness", "Light", "Spectrum", "light_image"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

WAVE_GRID: Final = np.arange(4100.0, 9900.125, 0.25)
"""Where spectra are given [Angstrom, air]; beyond there is no light."""

NODES: Final = np.arange(4300.0, 9751.0, 109.0)
"""Where the brightness of what varies with wavelength is given [Angstrom]; linear between."""

_REACH: Final = 0.58  # of the columns around the middle of a slice, in units of its width
_DARK: Final = 1e-3  # nothing is rendered below [electron/pix]


class Brightness(Protocol):
    """Brightness of places in the field, relative to that which the spectrum is given for."""

    def __call__(self, x: F64, y: F64, wave: F64) -> F64:
        """Brightness at places and wavelengths.

        Parameters
        ----------
        x, y : ndarray of float64, shape (across, along)
            Field coordinates [0.2 arcsec].
        wave : ndarray of float64, shape (nodes, 1, 1)
            [Angstrom]

        Returns
        -------
        ndarray of float64
            Of a shape that broadcasts to (nodes, across, along); all zero where nothing is to be rendered.
        """


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Light of one detector column of a slice, of throughput 1, in the whole exposure.

    Attributes
    ----------
    continuum : ndarray of float64, shape of `WAVE_GRID`
        [electron/Angstrom]
    wave, area : ndarray of float64, shape (n,)
        Lines that no width but the instrument's: wavelength [Angstrom, air] and light [electron].
    """

    continuum: F64 = field(default_factory=lambda: np.zeros_like(WAVE_GRID))
    wave: F64 = field(default_factory=lambda: np.zeros(0))
    area: F64 = field(default_factory=lambda: np.zeros(0))

    @cached_property
    def peak(self) -> float:
        """What the brightest pixel can have where the brightness is 1 [electron]; more than nothing."""
        return SAMPLING * float(self.continuum.max()) + float(self.area.sum()) + 1e-30


@dataclass(frozen=True, eq=False)
class Light:
    """One component of a scene.

    Attributes
    ----------
    spectrum : Spectrum
    brightness : Brightness
    chromatic : bool
        Whether the brightness varies with wavelength: it is taken at `NODES` then.
    step : float
        Distance of the places along a slice at which it is taken; linear between [pix].
    across : int
        Number of places across a slice.
    """

    spectrum: Spectrum
    brightness: Brightness
    chromatic: bool = False
    step: float = 0.25
    across: int = 6

    @property
    def nodes(self) -> F64:
        """Wavelengths at which the brightness is taken [Angstrom]."""
        return NODES if self.chromatic else NODES[:1]


def light_image(
    truth: InstrumentTruth, lights: Sequence[Light], *, flexure: float = 0.0, illumination: F64 | None = None
) -> F32:
    """Light of the components on the detector of an IFU.

    Parameters
    ----------
    truth : InstrumentTruth
    lights : sequence of Light
    flexure : float
        How far the spectra are shifted to the red against the wavelengths of the truth [Angstrom].
    illumination : ndarray of float64, shape (48,), optional
        Brightness of the slices relative to that of the lamp flats.

    Returns
    -------
    ndarray of float32, trimmed shape
        Electrons per pixel of the whole exposure. A pixel has the mean of its spectrum over its wavelengths, times
        the nominal sampling of 1.25 Angstrom, as the lamp flats have: flat-fielded pixels of all slices agree.
    """
    image = np.zeros(truth.detector.trimmed_shape, np.float32)
    for s in range(N_SLICES):
        if not _on_detector(truth, s):
            continue
        factor = SAMPLING if illumination is None else SAMPLING * float(illumination[s])
        profiles: dict[int, list[tuple[Spectrum, F64]]] = {}
        for light in lights:
            profile = _profile(truth, s, light)
            if profile.max() > 0.0:
                profiles.setdefault(profile.shape[1], []).append((light.spectrum, profile * factor))
        for components in profiles.values():
            _render(image, truth, s, components, flexure)
    return image


def _render(
    image: F32, truth: InstrumentTruth, s: int, components: Sequence[tuple[Spectrum, F64]], flexure: float
) -> None:
    """Add the light of spectra with profiles of the same places in a slice."""
    optics = truth.optics
    seen = _waves_seen(truth, s, flexure)
    start, step = float(WAVE_GRID[seen][0]), float(WAVE_GRID[1] - WAVE_GRID[0])
    spread = [
        light_kernels.spread(
            start, step, spectrum.continuum[seen], spectrum.wave, spectrum.area, optics.lsf_sigma[s],
            0.5 * optics.slit_width,
        )
        for spectrum, _ in components
    ]  # fmt: skip
    cumulative, density = (np.stack(of_all, axis=-1) for of_all in zip(*spread, strict=True))
    nodes = max(len(profile) for _, profile in components)
    profiles = [np.broadcast_to(profile, (nodes, profile.shape[1])) for _, profile in components]
    light_kernels.render_slice(
        image, optics.y_middle, HALF_HEIGHT, optics.left[s], optics.right[s], float(optics.x_middle[s]),
        optics.wave[s], optics.tilt[s], float(optics.curvature[s]), EDGE_SIGMA, flexure,
        start, step, cumulative, density,
        float(NODES[0]), float(NODES[1] - NODES[0]), np.stack(profiles, axis=-1), _REACH,
    )  # fmt: skip


def _on_detector(truth: InstrumentTruth, s: int) -> bool:
    ny, nx = truth.detector.trimmed_shape
    rows = np.linspace(1.0, ny, 9)
    return bool(truth.trace_right(s + 1, rows).max() > -5.0 and truth.trace_left(s + 1, rows).min() < nx + 5.0)


def _waves_seen(truth: InstrumentTruth, s: int, flexure: float) -> slice:
    """Part of `WAVE_GRID` that falls on the detector in a slice, and what the line-spread function brings there."""
    rows = np.array([0.0, truth.detector.trimmed_shape[0] + 1.0])
    waves = [
        truth.wavelength(s + 1, edge, rows) for edge in (truth.trace_left(s + 1, rows), truth.trace_right(s + 1, rows))
    ]
    low, high = np.searchsorted(WAVE_GRID, (np.min(waves) - flexure - 20.0, np.max(waves) - flexure + 20.0))
    return slice(int(low), int(high))


def _profile(truth: InstrumentTruth, s: int, light: Light) -> F64:
    """Brightness along a slice as its pixels see it, shape (nodes, places), places -_REACH .. +_REACH."""
    optics = truth.optics
    width = float(optics.right[s, 0] - optics.left[s, 0])
    count = 2 * round(_REACH * width / light.step) + 1
    along = np.linspace(-_REACH, _REACH, count)
    roots, weights = _across(light.across)
    x, y = truth.geometry.place(truth.ifu, s + 1, along[None, :], 0.5 * SLICE_PITCH * roots[:, None])
    brightness = light.brightness(x, y, light.nodes.reshape(-1, 1, 1))
    brightness = np.broadcast_to(brightness, (len(light.nodes), *x.shape))
    profile = np.einsum("a,nai->ni", 0.5 * weights, brightness)
    dark = profile < _DARK / light.spectrum.peak
    if dark.all():
        return np.zeros((1, 1))
    profile[:, dark.all(axis=0)] = 0.0
    seen: F64 = convolve1d(profile, _pixel_response(2.0 * _REACH * width / (count - 1)), axis=1, mode="nearest")
    slit = 1.0 + along * (optics.slit[s, 0] + along * optics.slit[s, 1])
    return seen * (optics.throughput[s] * slit)


@cache
def _across(count: int) -> tuple[F64, F64]:
    """Places across a slice, in halves of its height, and their weights."""
    roots, weights = leggauss(count)
    return roots, weights


def _pixel_response(step: float) -> F64:
    """What a pixel sees of the places around it, ``step`` [pix] apart: its width, and the image of a point."""
    reach = int(np.ceil((0.5 + 5.0 * EDGE_SIGMA) / step))
    places = np.arange(-reach, reach + 1) * step
    response = ndtr((places + 0.5) / EDGE_SIGMA) - ndtr((places - 0.5) / EDGE_SIGMA)
    return np.asarray(response / response.sum(), np.float64)
