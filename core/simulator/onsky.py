"""Scenes under the open dome: twilight, science fields, standard stars, astrometric fields, blank sky.

What a comparison needs to know of such a frame is here: `OnSkyScene.sources` (coordinates, magnitudes, spectra),
`Pointing.view` (where they lie in the field, at any wavelength), `OnSkyScene.lights` (every component of the light with
its spectrum in electrons), ``flexure``, and the response of the field in `core.simulator.geometry.FieldGeometry`.
`core.simulator.night.scenes_of_night` gives the scene of each file of a simulated night.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from core.errors import ParameterError
from core.instruments.muse.facts import SPAXEL_NFM
from core.simulator.light import WAVE_GRID, Brightness, Light, Spectrum, light_image
from core.simulator.mask import stage_cards
from core.simulator.photometry import (
    absorption,
    electrons,
    night_continuum,
    night_lines,
    raman_lines,
    twilight,
)
from core.simulator.pointing import Pointing, View
from core.simulator.scenes import Scene, field_prefix
from core.simulator.seeds import stream
from core.simulator.sources import STAR_KINDS, Galaxy, Moffats, Star
from core.simulator.truth import InstrumentTruth

__all__ = [
    "VIGNETTED_CORNER",
    "VIGNETTED_SIZE",
    "VIGNETTED_UNTIL",
    "AstrometryScene",
    "ObjectScene",
    "OnSkyScene",
    "SkyFlatScene",
    "SkyScene",
    "StdScene",
]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

VIGNETTED_UNTIL: Final = datetime(2017, 3, 11)
"""When the vignetting of the lower right corner in lamp flats was cured."""

VIGNETTED_CORNER: Final = (150.0, -150.0)
"""Of the wide field [0.2 arcsec]."""
VIGNETTED_SIZE: Final = 50.0
"""Radius of what is vignetted there [0.2 arcsec]."""
_CORNER_EXCESS: Final = 0.3  # of the sky over the lamp flats in it
_DARK_ROWS: Final = (128.0, 150.0)  # at the top of the narrow field
_DARK_LOSS: Final = 0.5
_REFERENCE_MAGNITUDE: Final = 15.0
_TELEMETRY: Final = 30.0  # between samples of the adaptive optics [s]
_STEP: Final = 0.5  # places along a slice, and their number across: no source is sharper than 3 pix [pix]
_ACROSS: Final = 3


@dataclass(frozen=True, eq=False)
class _Seen:
    """Brightness behind the response of telescope and field."""

    truth: InstrumentTruth
    vignetted: bool
    of_sky: Brightness | None = None

    def __call__(self, x: F64, y: F64, wave: F64) -> F64:
        if self.of_sky is None:
            return self.response(x, y)[None]
        light = self.of_sky(x, y, wave)
        return light * self.response(x, y) if light.any() else light

    def response(self, x: F64, y: F64) -> F64:
        """Brightness of an even sky, relative to that of the lamp flats."""
        response = self.truth.geometry.sky_response(self.truth.ifu, x, y)
        if self.truth.mode.startswith("NFM"):
            low, high = _DARK_ROWS
            return np.asarray(response * (1.0 - _DARK_LOSS * np.clip((y - low) / (high - low), 0.0, 1.0)))
        if self.vignetted:
            inside = np.clip(
                1.0 - np.hypot(x - VIGNETTED_CORNER[0], y - VIGNETTED_CORNER[1]) / VIGNETTED_SIZE, 0.0, None
            )
            return np.asarray(response * (1.0 + _CORNER_EXCESS * inside**2))
        return response


@dataclass(frozen=True)
class OnSkyScene(Scene):
    """Base of what is seen under the open dome.

    Attributes
    ----------
    pointing : Pointing
    flexure : float
        Shift of the spectra to the red against the arc exposures of the day [Angstrom].
    """

    pointing: Pointing = field(kw_only=True)
    flexure: float = field(default=0.0, kw_only=True)
    at_night: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.pointing.exptime != self.exptime:
            raise ParameterError(
                f"the telescope points for {self.pointing.exptime:g} s and the exposure has {self.exptime:g} s",
                parameter="exptime",
            )

    def at(self, start: datetime, temperature: float) -> Self:
        ambient = replace(self.pointing.ambient, temperature=temperature)
        return replace(self, pointing=replace(self.pointing, start=start, ambient=ambient))

    @property
    def vignetted(self) -> bool:
        """Whether the corner of the field differs from the lamp flats."""
        return self.pointing.start < VIGNETTED_UNTIL

    def cards(self, mode: str) -> Iterable[tuple[str, Any, str]]:
        narrow = mode.startswith("NFM")
        yield from self.pointing.cards()
        yield from stage_cards({1: 13.1, 2: 13.9, 3: 14.5, 4: 13.9})
        yield "INS.OPTI3.ID", "1", "Optical function unique ID"
        yield "INS.OPTI3.NAME", "NFM" if narrow else "WFM", "Calibration Unit Pickup Mirror Status"
        yield "INS.OPTI3.NO", 1, "Calibration Pickup Element position"
        yield "INS.OPTI3.TYPE", "FREE", "Calibration Pickup Element type"
        yield "OCS.IPS.PIXSCALE", round(SPAXEL_NFM[0], 3) if narrow else 0.2, "[arcsec/pixel] Pixel scale"

    @abstractmethod
    def lights(self, truth: InstrumentTruth) -> Sequence[Light]:
        """Components of the light on an IFU; spectra in electrons of the whole exposure."""

    def light(self, truth: InstrumentTruth) -> F32 | None:
        illumination = truth.geometry.illumination(truth.ifu, self.pointing.ambient.temperature)
        return light_image(truth, self.lights(truth), flexure=self.flexure, illumination=illumination)


@dataclass(frozen=True)
class SkyFlatScene(OnSkyScene):
    """Twilight.

    Attributes
    ----------
    gradient : tuple of float
        Change of the sky's brightness over the half field, towards the east and the north.
    """

    gradient: tuple[float, float] = (0.012, -0.008)
    tag: ClassVar[str] = "SKYFLAT"
    dpr_type: ClassVar[str] = "FLAT,SKY"
    file_tag: ClassVar[str] = "WFM_SKYFLAT"

    def template(self, mode: str) -> tuple[str, str, str]:
        return f"MUSE_{field_prefix(mode)}_cal_skyflat", "Perform sky flat exposures", "MUSE_cal_skyflat.seq"

    def lights(self, truth: InstrumentTruth) -> Sequence[Light]:
        view = self.pointing.view(truth.geometry, truth.mode)
        half = 30.0 * (view.area**0.5 / 0.2)

        def sky(x: F64, y: F64, wave: F64) -> F64:
            east, north = view.offsets(x, y)
            return np.asarray(1.0 + (self.gradient[0] * east + self.gradient[1] * north) / half)[None]

        spectrum = self.brightness * twilight(truth.mode, view.airmass, view.ambient)
        return [Light(Spectrum(continuum=spectrum), _Seen(truth, self.vignetted, sky), step=_STEP, across=_ACROSS)]


@dataclass(frozen=True)
class ObjectScene(OnSkyScene):
    """Stars and galaxies before the night sky.

    Attributes
    ----------
    stars : tuple of Star
    galaxies : tuple of Galaxy
    """

    stars: tuple[Star, ...] = ()
    galaxies: tuple[Galaxy, ...] = ()
    tag: ClassVar[str] = "OBJECT"
    dpr_catg: ClassVar[str] = "SCIENCE"
    dpr_type: ClassVar[str] = "OBJECT"
    file_tag: ClassVar[str] = "WFM_OBS"
    reach: ClassVar[float] = 6.0

    @property
    def sources(self) -> tuple[Star | Galaxy, ...]:
        """All sources."""
        return (*self.stars, *self.galaxies)

    def template(self, mode: str) -> tuple[str, str, str]:
        adaptive = "ao" if "-AO-" in mode and field_prefix(mode) == "wfm" else "noao"
        which = "nfm-ao" if field_prefix(mode) == "nfm" else f"wfm-{adaptive}"
        return f"MUSE_{which}_obs_genericoffset", "Observation with user defined offset", "MUSE_obs_offset.seq"

    def tables(self, mode: str) -> Mapping[str, Mapping[str, F32]]:
        return _telemetry(self.pointing) if "-AO-" in mode else {}

    def lights(self, truth: InstrumentTruth) -> Sequence[Light]:
        view = self.pointing.view(truth.geometry, truth.mode)
        seen = _Seen(truth, self.vignetted)
        return [
            *self._sky(truth.mode, view, seen),
            *self._stars(truth.mode, view, seen),
            *self._galaxies(truth.mode, view, seen),
        ]

    def _electrons(self, flux: F64, wave: F64, mode: str) -> F64:
        return electrons(flux, wave, self.exptime, mode) * self.brightness

    def _absorbed(self, flux: F64, wave: F64, mode: str, view: View) -> F64:
        return self._electrons(flux, wave, mode) * absorption(wave, view.airmass, view.ambient)

    def _sky(self, mode: str, view: View, seen: _Seen) -> Iterable[Light]:
        wave, flux = night_lines()
        spectrum = Spectrum(
            continuum=self._electrons(night_continuum(WAVE_GRID), WAVE_GRID, mode) * view.area,
            wave=wave,
            area=self._electrons(flux, wave, mode) * view.area,
        )
        yield Light(spectrum, seen, step=_STEP, across=_ACROSS)
        if "-AO-" in mode:
            wave, flux = raman_lines()
            area = self._electrons(flux, wave, mode) * view.area
            yield Light(
                Spectrum(wave=wave, area=area), replace(seen, of_sky=_raman_brightness), step=_STEP, across=_ACROSS
            )

    def _stars(self, mode: str, view: View, seen: _Seen) -> Iterable[Light]:
        for kind in dict.fromkeys((*STAR_KINDS, *(star.kind for star in self.stars))):
            stars = [star for star in self.stars if star.kind == kind]
            if stars:
                weight = 10.0 ** (-0.4 * (np.array([star.magnitude for star in stars]) - _REFERENCE_MAGNITUDE))
                flux = replace(stars[0], magnitude=_REFERENCE_MAGNITUDE).flux(WAVE_GRID)
                spectrum = Spectrum(continuum=self._absorbed(flux, WAVE_GRID, mode, view))
                images = Moffats.of(view, stars, weight, reach=self.reach)
                yield Light(spectrum, replace(seen, of_sky=images), True, _STEP, _ACROSS)

    def _galaxies(self, mode: str, view: View, seen: _Seen) -> Iterable[Light]:
        for galaxy in self.galaxies:
            wave, flux = galaxy.lines()
            spectrum = Spectrum(
                continuum=self._absorbed(galaxy.flux(WAVE_GRID), WAVE_GRID, mode, view),
                wave=wave,
                area=self._absorbed(flux, wave, mode, view),
            )
            images = Moffats.of(view, [galaxy], np.ones(1), size=galaxy.size)
            yield Light(spectrum, replace(seen, of_sky=images), True, _STEP, _ACROSS)


@dataclass(frozen=True)
class SkyScene(ObjectScene):
    """A field with next to nothing in it, beside an extended object."""

    tag: ClassVar[str] = "SKY"
    dpr_type: ClassVar[str] = "SKY"
    file_tag: ClassVar[str] = "WFM_SKY"


@dataclass(frozen=True)
class StdScene(ObjectScene):
    """A standard star."""

    tag: ClassVar[str] = "STD"
    dpr_catg: ClassVar[str] = "CALIB"
    dpr_type: ClassVar[str] = "STD"
    file_tag: ClassVar[str] = "WFM_STD"
    reach: ClassVar[float] = 15.0

    def template(self, mode: str) -> tuple[str, str, str]:
        return f"MUSE_{field_prefix(mode)}_cal_specphot", "Spectro-photometric standard", "MUSE_cal_specphot.seq"


@dataclass(frozen=True)
class AstrometryScene(ObjectScene):
    """A field with many stars of known places."""

    tag: ClassVar[str] = "ASTROMETRY"
    dpr_catg: ClassVar[str] = "CALIB"
    dpr_type: ClassVar[str] = "ASTROMETRY"
    file_tag: ClassVar[str] = "WFM_ASTROMETRY"

    def template(self, mode: str) -> tuple[str, str, str]:
        return f"MUSE_{field_prefix(mode)}_cal_astrom", "Astrometric calibration", "MUSE_cal_astrom.seq"


def _raman_brightness(x: F64, y: F64, wave: F64) -> F64:
    """Light of the laser guide stars over the field: it comes from low layers, and unevenly."""
    u, v = x / 150.0, y / 150.0
    return np.asarray(1.0 + 0.10 * u - 0.06 * v - 0.08 * u**2 + 0.03 * u * v - 0.05 * v**2)[None]


def _telemetry(pointing: Pointing) -> Mapping[str, Mapping[str, F32]]:
    """What the adaptive optics tell of the air during an exposure; Strehl ratios in per cent."""
    rng = stream(0, "telemetry", pointing.start.isoformat(), pointing.target)
    count = max(2, round(pointing.exptime / _TELEMETRY))
    air: dict[str, F32] = {}
    for laser in range(1, 5):
        for name, mean, scatter in (
            ("R0", 0.14, 0.01),
            ("SEEING", pointing.ambient.seeing, 0.05),
            ("STREHL", 14.0, 2.0),
        ):
            air[f"LGS{laser}_{name}"] = rng.normal(mean, scatter, count).astype(np.float32)
    layers = {
        f"L{layer}_{name}": rng.normal(mean, 0.05 * mean, count).astype(np.float32)
        for layer in range(1, 5)
        for name, mean in (("CN2", 0.25), ("ALT", 2000.0 * layer))
    }
    return {"SPARTA_ATM_DATA": air, "SPARTA_CN2_DATA": layers}
