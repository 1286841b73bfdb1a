"""What illuminates the instrument: a scene becomes the expected electrons on the detector of an IFU.

A scene knows its classification (``DPR``), its template, its lamps and its exposure time; `Scene.light` gives the
light on the trimmed image. Noise, dark current, sensitivity and read-out are not its business, so that another kind
of frame is another subclass here and nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from core.errors import ParameterError
from core.instruments.muse.facts import LAMPS
from core.simulator import kernels
from core.simulator.geometry import LAMP_TEMPERATURE
from core.simulator.optics import EDGE_SIGMA, HALF_HEIGHT, OpticsTruth
from core.simulator.truth import InstrumentTruth
from core.staticcal.lamps import LAMP_EXPTIME, lamp_lines

__all__ = [
    "ArcScene",
    "BiasScene",
    "DarkScene",
    "FlatScene",
    "IllumScene",
    "Scene",
    "field_prefix",
    "flat_lamp",
    "transmission",
]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_FLAT_PEAK: Final = 50000.0  # electrons per pixel in the standard exposure, brightest wavelength
_FLAT_EXPTIME: Final = 1.155
_FLAT_WAVE: Final = 7250.0
_FLAT_WIDTH: Final = 1250.0
_GRID: Final = np.arange(4100.0, 9900.0, 1.0)  # [Angstrom]

_LEAK: Final = 0.015  # of the filters below the cut-off

# mode -> (cut-off wavelength, its width, notch) [Angstrom]
_FILTERS: Final[dict[str, tuple[float, float, tuple[float, float] | None]]] = {
    "WFM-NOAO-E": (4450.0, 60.0, None),
    "WFM-NOAO-N": (4735.0, 12.0, None),
    "WFM-AO-E": (4450.0, 60.0, (5755.0, 6008.0)),
    "WFM-AO-N": (4680.0, 10.0, (5805.0, 5966.0)),
    "NFM-AO-N": (4735.0, 12.0, (5780.0, 6050.0)),
}


def transmission(mode: str, wave: NDArray[np.float64]) -> F64:
    """Transmission of the filters of a mode at wavelengths ``wave`` [Angstrom]: blue cut-off and sodium notch.

    Raises
    ------
    ParameterError
        If the mode is unknown.
    """
    if mode not in _FILTERS:
        raise ParameterError(f"unknown mode {mode!r}; known are {', '.join(_FILTERS)}", parameter="mode")
    cut, width, notch = _FILTERS[mode]
    through: F64 = _LEAK + (1.0 - _LEAK) * 0.5 * (1.0 + erf((wave - cut) / width))
    if notch is not None:
        inside = 0.5 * (erf((wave - notch[0] - 8.0) / 6.0) - erf((wave - notch[1] + 8.0) / 6.0))
        through = through * (1.0 - 0.998 * inside)
    return through


def flat_lamp(wave: F64) -> F64:
    """Spectrum of the continuum lamps in the standard exposure [electron/pix], before the filters of the mode."""
    lamp: F64 = _FLAT_PEAK * np.exp(-0.5 * ((wave - _FLAT_WAVE) / _FLAT_WIDTH) ** 2)
    return lamp


@dataclass(frozen=True)
class Scene(ABC):
    """Base of all scenes.

    Attributes
    ----------
    exptime : float
        Exposure time [s].
    brightness : float
        Lamp or sky relative to the standard, for lamps that age.
    """

    exptime: float
    brightness: float = 1.0

    tag: ClassVar[str]
    dpr_catg: ClassVar[str] = "CALIB"
    dpr_type: ClassVar[str]
    dpr_tech: ClassVar[str] = "IFU"
    file_tag: ClassVar[str]
    exposure_type: ClassVar[str] = "Normal"
    at_night: ClassVar[bool] = False

    @property
    def lamps(self) -> tuple[int, ...]:
        """Numbers of the lamps that are on with their shutter open."""
        return ()

    @abstractmethod
    def template(self, mode: str) -> tuple[str, str, str]:
        """Identifier, name and sequencer script of the template."""

    def at(self, start: datetime, temperature: float) -> Self:
        """The scene when the exposure begins at a time (UTC), at an ambient temperature [Celsius]."""
        return self

    def tables(self, mode: str) -> Mapping[str, Mapping[str, F32]]:
        """Columns of the tables that a raw file has besides its channels, by name of the extension."""
        return {}

    def cards(self, mode: str) -> Iterable[tuple[str, Any, str]]:
        """Header cards (name, value, comment) that differ from those of calibrations with lamps, or come besides."""
        return ()

    @abstractmethod
    def light(self, truth: InstrumentTruth) -> F32 | None:
        """Expected electrons of the whole exposure before pixel sensitivity, trimmed shape; None without light."""


def field_prefix(mode: str) -> str:
    """``wfm`` or ``nfm``, as the templates of a mode are named."""
    return "nfm" if mode.startswith("NFM") else "wfm"


@dataclass(frozen=True)
class BiasScene(Scene):
    """Read-out without exposure."""

    exptime: float = 0.0
    tag: ClassVar[str] = "BIAS"
    dpr_type: ClassVar[str] = "BIAS"
    file_tag: ClassVar[str] = "CAL_BIAS"
    exposure_type: ClassVar[str] = "Bias"

    def template(self, mode: str) -> tuple[str, str, str]:
        return "MUSE_cal_bias", "Perform bias exposures", "MUSE_cal_biasdark.seq"

    def light(self, truth: InstrumentTruth) -> F32 | None:
        return None


@dataclass(frozen=True)
class DarkScene(Scene):
    """Long exposure with the shutter closed."""

    exptime: float = 1800.0
    tag: ClassVar[str] = "DARK"
    dpr_type: ClassVar[str] = "DARK"
    file_tag: ClassVar[str] = "CAL_DARK"
    exposure_type: ClassVar[str] = "Dark"

    def template(self, mode: str) -> tuple[str, str, str]:
        return "MUSE_cal_dark", "Perform dark exposures", "MUSE_cal_biasdark.seq"

    def light(self, truth: InstrumentTruth) -> F32 | None:
        return None


@dataclass(frozen=True)
class FlatScene(Scene):
    """Both continuum lamps."""

    exptime: float = _FLAT_EXPTIME
    tag: ClassVar[str] = "FLAT"
    dpr_type: ClassVar[str] = "FLAT,LAMP"
    file_tag: ClassVar[str] = "WFM_FLAT"

    @property
    def lamps(self) -> tuple[int, ...]:
        return (1, 2)

    def template(self, mode: str) -> tuple[str, str, str]:
        return f"MUSE_{field_prefix(mode)}_cal_specflat", "Perform lamp flat exposures", "MUSE_cal_specflat.seq"

    def light(self, truth: InstrumentTruth) -> F32 | None:
        lamp = flat_lamp(_GRID)
        scale = self.brightness * self.exptime / _FLAT_EXPTIME
        return continuum_image(truth, lamp * transmission(truth.mode, _GRID) * scale, self.illumination(truth))

    def illumination(self, truth: InstrumentTruth) -> F64 | None:
        """Brightness of the slices, shape (48,), relative to that of the optics; None if it is the same."""
        return None


@dataclass(frozen=True)
class IllumScene(FlatScene):
    """Continuum lamps in the night, between science exposures.

    Attributes
    ----------
    temperature : float
        Ambient temperature, with which the brightness of the slices changes [Celsius].
    """

    temperature: float = LAMP_TEMPERATURE
    at_night: ClassVar[bool] = True
    tag: ClassVar[str] = "ILLUM"
    dpr_type: ClassVar[str] = "FLAT,LAMP,ILLUM"
    file_tag: ClassVar[str] = "WFM_ILLUM"

    def template(self, mode: str) -> tuple[str, str, str]:
        return f"MUSE_{field_prefix(mode)}_cal_illum", "Perform illumination exposure", "MUSE_cal_specflat.seq"

    def at(self, start: datetime, temperature: float) -> Self:
        return replace(self, temperature=temperature)

    def illumination(self, truth: InstrumentTruth) -> F64 | None:
        return truth.geometry.illumination(truth.ifu, self.temperature)


@dataclass(frozen=True)
class ArcScene(Scene):
    """One arc lamp.

    Attributes
    ----------
    lamp : int
        Number of the lamp: 3 Ne, 4 Xe, 5 HgCd, 6 Ne.
    """

    lamp: int = 3
    tag: ClassVar[str] = "ARC"
    dpr_type: ClassVar[str] = "WAVE"
    file_tag: ClassVar[str] = "WFM_WAVE"

    @classmethod
    def standard(cls, lamp: int, brightness: float = 1.0) -> ArcScene:
        """Standard exposure of a lamp.

        Raises
        ------
        ParameterError
            If the number is not that of an arc lamp.
        """
        if LAMPS.get(lamp) not in LAMP_EXPTIME:
            raise ParameterError(f"lamp {lamp} is no arc lamp; arc lamps are 3, 4, 5, 6", parameter="lamp")
        return cls(exptime=LAMP_EXPTIME[LAMPS[lamp]], brightness=brightness, lamp=lamp)

    @property
    def lamps(self) -> tuple[int, ...]:
        return (self.lamp,)

    def template(self, mode: str) -> tuple[str, str, str]:
        return f"MUSE_{field_prefix(mode)}_cal_wavespec", "Perform arc exposures", "MUSE_cal_wavespec.seq"

    def light(self, truth: InstrumentTruth) -> F32 | None:
        lines = lamp_lines(LAMPS[self.lamp])
        scale = self.brightness * self.exptime / LAMP_EXPTIME[lines.lamp]
        return line_image(truth, lines.wave, lines.area * transmission(truth.mode, lines.wave) * scale)


def _slices(optics: OpticsTruth, illumination: F64 | None = None) -> tuple[F64, F64, F64, F64, F64, F64, F64, F64]:
    throughput = optics.throughput if illumination is None else optics.throughput * illumination
    return (
        optics.left, optics.right, optics.x_middle, optics.wave, optics.tilt, optics.curvature,
        throughput, optics.slit,
    )  # fmt: skip


def continuum_image(truth: InstrumentTruth, spectrum: F64, illumination: F64 | None = None) -> F32:
    """Light of a lamp with a continuous spectrum that fills all slices.

    Parameters
    ----------
    truth : InstrumentTruth
    spectrum : ndarray of float64
        Electrons per pixel on the wavelength grid 4100, 4101, ... 9899 Angstrom.
    illumination : ndarray of float64, shape (48,), optional
        Brightness of the slices relative to that of the optics.

    Returns
    -------
    ndarray of float32, trimmed shape
    """
    image = np.zeros(truth.detector.trimmed_shape, np.float32)
    kernels.render_continuum(
        image, truth.optics.y_middle, HALF_HEIGHT, *_slices(truth.optics, illumination), EDGE_SIGMA,
        float(_GRID[0]), float(_GRID[1] - _GRID[0]), spectrum,
    )  # fmt: skip
    return image


def line_image(truth: InstrumentTruth, wave: F64, area: F64) -> F32:
    """Light of emission lines that fill all slices.

    Parameters
    ----------
    truth : InstrumentTruth
    wave, area : ndarray of float64, shape (n,)
        Wavelengths [Angstrom, air] and electrons per detector column.

    Returns
    -------
    ndarray of float32, trimmed shape
    """
    image = np.zeros(truth.detector.trimmed_shape, np.float32)
    kernels.render_lines(
        image, truth.optics.y_middle, HALF_HEIGHT, *_slices(truth.optics), EDGE_SIGMA,
        truth.optics.lsf_sigma, 0.5 * truth.optics.slit_width, wave, area,
    )  # fmt: skip
    return image
