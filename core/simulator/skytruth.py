"""What a perfect reduction of an exposure on the sky would find, as arrays and as columns of tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import ParameterError
from core.instruments.muse.facts import N_SLICES
from core.simulator import light_kernels
from core.simulator.atmosphere import extinction, molecular_depth
from core.simulator.clusters import Columns, star_catalogue
from core.simulator.light import WAVE_GRID
from core.simulator.onsky import ObjectScene, OnSkyScene
from core.simulator.photometry import (
    TELESCOPE_AREA,
    efficiency,
    night_continuum,
    night_lines,
    photons_per_erg,
    raman_lines,
)
from core.simulator.pointing import View
from core.simulator.sources import Galaxy, Moffats, Star
from core.simulator.truth import InstrumentTruth

__all__ = ["SkyTruth"]

F64 = NDArray[np.float64]

_LINE_REACH: Final = 6.0  # of a line: half a slit and seven times the Gaussian [Angstrom]


@dataclass(frozen=True)
class SkyTruth:
    """An exposure on the sky, seen by an IFU.

    Wavelengths are in Angstrom in air. Fluxes are those outside the atmosphere, the night sky as it arrives.

    Attributes
    ----------
    scene : OnSkyScene
        One of `core.simulator.night.scenes_of_night`.
    instrument : InstrumentTruth
    """

    scene: OnSkyScene
    instrument: InstrumentTruth

    @property
    def view(self) -> View:
        """The sky in the field of view."""
        return self.scene.pointing.view(self.instrument.geometry, self.instrument.mode)

    # -- where ---------------------------------------------------------------------------------------------------------
    def coordinates(self, slice_no: int, x: ArrayLike, y: ArrayLike) -> tuple[F64, F64]:
        """RA and DEC [deg] of what FITS pixels ``x``, ``y`` of the trimmed image show in a slice, refraction undone."""
        return self.view.celestial(*self.instrument.position(slice_no, x, y), self.wavelength(slice_no, x, y))

    def wavelength(self, slice_no: int, x: ArrayLike, y: ArrayLike) -> F64:
        """Wavelength of the light on FITS pixels in a slice, flexure undone."""
        return self.instrument.wavelength(slice_no, x, y) - self.scene.flexure

    @property
    def offset(self) -> tuple[float, float]:
        """How far the telescope looked east and north of the coordinates in the header [arcsec]."""
        return self.scene.pointing.error

    # -- what ----------------------------------------------------------------------------------------------------------
    @property
    def sources(self) -> tuple[Star | Galaxy, ...]:
        """Stars and galaxies; none in a twilight."""
        return self.scene.sources if isinstance(self.scene, ObjectScene) else ()

    @property
    def stars(self) -> tuple[Star, ...]:
        """Stars alone."""
        return tuple(source for source in self.sources if isinstance(source, Star))

    def fwhm(self, wave: ArrayLike) -> F64:
        """FWHM of a star [arcsec], of a Moffat profile of beta 2.5."""
        return Moffats.of(self.view, self.stars[:1], np.ones(1)).fwhm(np.asarray(wave, np.float64))

    def catalogue(self) -> Columns:
        """Columns of an ASTROMETRY_REFERENCE of the stars of the field, the brightest first."""
        return star_catalogue(self.stars)

    def standard(self) -> Columns:
        """Columns of a STD_FLUX_TABLE of the brightest star of the field.

        Raises
        ------
        ParameterError
            If there is no star.
        """
        if not self.stars:
            raise ParameterError("there is no star in the field", parameter="scene")
        star = min(self.stars, key=lambda star: star.magnitude)
        return {"lambda": WAVE_GRID.copy(), "flux": star.flux(WAVE_GRID)}

    def spectrum(self, source: Star | Galaxy, wave: ArrayLike, slice_no: int | None = None) -> F64:
        """Flux of a source [erg/s/cm2/Angstrom] at the resolution of a slice, or of the mean of the slices."""
        lines = source.lines() if isinstance(source, Galaxy) else (np.zeros(0), np.zeros(0))
        return self._resolved(source.flux(WAVE_GRID), *lines, np.asarray(wave, np.float64), slice_no)

    # -- the sky -------------------------------------------------------------------------------------------------------
    def sky_lines(self) -> tuple[F64, F64]:
        """Lines of the night sky, with those of lasers in adaptive modes: wavelengths, flux [erg/s/cm2/arcsec2]."""
        parts = [night_lines(), *([raman_lines()] if "-AO-" in self.instrument.mode else [])]
        wave, flux = (np.concatenate(of_all) for of_all in zip(*parts, strict=True))
        order = np.argsort(wave, kind="stable")
        return wave[order], flux[order]

    def sky_continuum(self, wave: ArrayLike) -> F64:
        """Continuum of the night sky [erg/s/cm2/Angstrom/arcsec2]."""
        return night_continuum(np.asarray(wave, np.float64))

    def sky_spectrum(self, wave: ArrayLike, slice_no: int | None = None) -> F64:
        """Night sky [erg/s/cm2/Angstrom/arcsec2] at the resolution of a slice, or of the mean of the slices."""
        return self._resolved(self.sky_continuum(WAVE_GRID), *self.sky_lines(), np.asarray(wave, np.float64), slice_no)

    # -- on the way ----------------------------------------------------------------------------------------------------
    def extinction(self, wave: ArrayLike) -> F64:
        """Continuous extinction [mag/airmass]."""
        return extinction(np.asarray(wave, np.float64), self.scene.pointing.ambient.pressure)

    def telluric(self, wave: ArrayLike) -> F64:
        """Part of the light that molecules let through at airmass 1, not yet at the resolution of the instrument."""
        return np.interp(np.asarray(wave, np.float64), WAVE_GRID, np.exp(-molecular_depth(WAVE_GRID)))

    def response(self, wave: ArrayLike) -> F64:
        """Response of telescope and instrument: 2.5 log10 of electron/s/Angstrom over erg/s/cm2/Angstrom.

        A slice of mean throughput has it. Pixel tables have less by what their flat field was divided by.
        """
        at = np.asarray(wave, np.float64)
        rate = TELESCOPE_AREA * efficiency(at, self.instrument.mode) * photons_per_erg(at) * self.scene.brightness
        return np.asarray(2.5 * np.log10(rate), np.float64)

    def line_profile(self, wave: float, offset: ArrayLike, slice_no: int | None = None) -> F64:
        """LSF of a slice, or the mean of the slices, ``offset`` from a line [1/Angstrom]."""
        optics = self.instrument.optics
        return np.asarray(np.mean([optics.line_profile(s, wave, offset) for s in _slices(slice_no)], axis=0))

    def _resolved(self, continuum: F64, line_wave: F64, line_flux: F64, wave: F64, slice_no: int | None) -> F64:
        optics = self.instrument.optics
        total = np.zeros_like(wave)
        step = float(WAVE_GRID[1] - WAVE_GRID[0])
        slices = _slices(slice_no)
        for s in slices:
            _, density = light_kernels.spread(
                float(WAVE_GRID[0]), step, continuum, np.zeros(0), np.zeros(0), optics.lsf_sigma[s - 1],
                0.5 * optics.slit_width,
            )  # fmt: skip
            total += np.interp(wave, WAVE_GRID, density)
            for line, flux in zip(line_wave, line_flux, strict=True):
                near = np.abs(wave - line) < _LINE_REACH
                total[near] += flux * optics.line_profile(s, line, wave[near] - line)
        return np.asarray(total / len(slices), np.float64)


def _slices(slice_no: int | None) -> Sequence[int]:
    return range(1, N_SLICES + 1) if slice_no is None else (slice_no,)
