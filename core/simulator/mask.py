"""The multi-pinhole mask moves up through the field: the sequence that muse_geometry measures the slices with.

The holes form a regular grid. From exposure to exposure the mask moves by a part of a slice, over more than the
distance of two rows of holes, so that every hole passes the middle of every slice at least once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from core.errors import ParameterError
from core.instruments.muse.facts import FOCAL_SCALE, LAMPS, SAMPLING, SPAXEL_WFM
from core.simulator.light import WAVE_GRID, Light, Spectrum, light_image
from core.simulator.scenes import Scene, field_prefix, flat_lamp, transmission
from core.simulator.truth import InstrumentTruth
from core.staticcal.lamps import lamp_lines

__all__ = ["PINHOLE_DX", "PINHOLE_DY", "MaskCheckScene", "MaskScene", "mask_sequence"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

PINHOLE_DX: Final = 2.9450
"""Horizontal distance of the holes of the mask [mm]."""
PINHOLE_DY: Final = 0.6135
"""Vertical distance of the holes of the mask [mm]."""

_PER_MM: Final = FOCAL_SCALE / SPAXEL_WFM[0]  # [0.2 arcsec/mm]
_X0: Final = 0.5 * PINHOLE_DX * _PER_MM  # holes in the middle of the slices and near both ends
_Y0: Final = 0.4
_DIAMETER: Final = 1.3  # of a hole: a little more than the height of a slice [0.2 arcsec]
_BLUR: Final = 0.2  # of its edge
_GAIN: Final = 1.5  # light of a hole, relative to that of a detector column in an arc exposure
_EXPTIME: Final = 15.0
_RANGE: Final = 1.15  # of the sequence [mm]: two rows of holes and the height of their images
_FIRST: Final = 12.85  # [mm]
_STEPS_PER_MM: Final = {1: 57343.0, 2: 48596.0, 3: 48596.0, 4: 48596.0}  # encoders of INS.POSn


def stage_cards(positions: dict[int, float]) -> list[tuple[str, Any, str]]:
    """Header cards of the focusing stage (1) and the stages of the focal-plane mask (2..4) at positions [mm]."""
    names = {
        1: "Focusing stage position",
        2: "Focal Mask Alignment X position",
        3: "Focal Mask Alignment Y Position",
        4: "Focal Mask Alignment Z Position",
    }
    cards: list[tuple[str, Any, str]] = []
    for stage, position in sorted(positions.items()):
        cards.append((f"INS.POS{stage}.ENC", round(position * _STEPS_PER_MM[stage]), "[Enc] Absolute position"))
        cards.append((f"INS.POS{stage}.POS", round(position, 4), f"[mm] {names[stage]}"))
    return cards


@dataclass(frozen=True)
class MaskScene(Scene):
    """Neon and HgCd lamps through the multi-pinhole mask.

    Attributes
    ----------
    vpos : float
        Vertical position of the mask as the encoder has it [mm].
    encoder_scale : float
        Millimetres of the encoder per millimetre of the mask. Real sequences give 1.05 .. 1.08; muse_geometry takes
        it out by the known distance of the holes.
    """

    exptime: float = _EXPTIME
    vpos: float = _FIRST
    encoder_scale: float = 1.066
    tag: ClassVar[str] = "MASK"
    dpr_type: ClassVar[str] = "WAVE,MASK"
    file_tag: ClassVar[str] = "WFM_MASK"

    @property
    def lamps(self) -> tuple[int, ...]:
        return (3, 5)

    def template(self, mode: str) -> tuple[str, str, str]:
        return f"MUSE_{field_prefix(mode)}_cal_mask", "Perform geometrical calibration", "MUSE_cal_mask.seq"

    def cards(self, mode: str) -> Iterable[tuple[str, Any, str]]:
        yield "INS.DROT.POSANG", 90.0, "[deg] Derotator position angle"
        yield from stage_cards({1: 13.0, 2: 13.0, 3: self.vpos, 4: 11.9})
        yield "INS.OPTI4.NAME", "Pinholes", "CU Focal Plan mask Wheel mask name"

    def holes(self, x: F64, y: F64, wave: F64 | None = None) -> F64:
        """Light of the holes at places in the field [0.2 arcsec]."""
        dx, dy = PINHOLE_DX * _PER_MM, PINHOLE_DY * _PER_MM
        row = y - (_Y0 - self.vpos / self.encoder_scale * _PER_MM)
        column = x - _X0
        distance = np.hypot(column - dx * np.round(column / dx), row - dy * np.round(row / dy))
        inside: F64 = ndtr((0.5 * _DIAMETER - distance) / _BLUR)
        return inside

    def light(self, truth: InstrumentTruth) -> F32 | None:
        lines = [lamp_lines(LAMPS[lamp]) for lamp in self.lamps]
        wave = np.concatenate([of_lamp.wave for of_lamp in lines])
        area = np.concatenate([of_lamp.area for of_lamp in lines]) * transmission(truth.mode, wave)
        spectrum = Spectrum(wave=wave, area=_GAIN * self.brightness * self.exptime / _EXPTIME * area)
        return light_image(truth, [Light(spectrum, self.holes)])


@dataclass(frozen=True)
class MaskCheckScene(Scene):
    """Continuum lamps through a mask with smooth features, to look at the geometry with."""

    exptime: float = 1.155
    tag: ClassVar[str] = "MASK_CHECK"
    dpr_type: ClassVar[str] = "FLAT,LAMP,MASK"
    file_tag: ClassVar[str] = "WFM_MASK"

    @property
    def lamps(self) -> tuple[int, ...]:
        return (1, 2)

    def template(self, mode: str) -> tuple[str, str, str]:
        return f"MUSE_{field_prefix(mode)}_cal_maskcheck", "Check geometrical calibration", "MUSE_cal_mask.seq"

    def cards(self, mode: str) -> Iterable[tuple[str, Any, str]]:
        yield from stage_cards({1: 13.0, 2: 13.0, 3: _FIRST, 4: 11.9})
        yield "INS.OPTI4.NAME", "Trace", "CU Focal Plan mask Wheel mask name"

    @staticmethod
    def pattern(x: F64, y: F64, wave: F64 | None = None) -> F64:
        """Light at places in the field [0.2 arcsec]: waves of 10 arcsec along both axes."""
        waves: F64 = 0.5 + 0.25 * np.cos(2.0 * np.pi * x / 50.0) + 0.25 * np.cos(2.0 * np.pi * y / 50.0)
        return waves

    def light(self, truth: InstrumentTruth) -> F32 | None:
        lamp = flat_lamp(WAVE_GRID) * transmission(truth.mode, WAVE_GRID) * self.brightness
        return light_image(truth, [Light(Spectrum(continuum=lamp / SAMPLING), self.pattern)])


def mask_sequence(count: int = 60) -> list[MaskScene]:
    """Exposures of a geometrical calibration.

    Parameters
    ----------
    count : int
        Number of exposures: muse_geometry wants 50 or more, and with fewer than 14 the image of a hole has not the
        three samples that a peak needs.

    Raises
    ------
    ParameterError
        If there are fewer than 14.
    """
    if count < 14:
        raise ParameterError(f"{count} exposures do not sample the holes of the mask; 14 would", parameter="count")
    return [MaskScene(vpos=float(vpos)) for vpos in np.round(np.linspace(_FIRST, _FIRST + _RANGE, count), 4)]
