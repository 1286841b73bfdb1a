"""The multi-pinhole mask: its grid, where it stands in an exposure, and what a length on it is in the field of view.

The mask stands in the focal plane of the telescope, where the scale is known; so a distance of pinholes on the detector
tells how large a slice is in the field of view. Between exposures the mask moves up; the pinhole images move down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from core.errors import ParameterError
from core.instruments.muse.facts import FIELD_SLICES, FOCAL_SCALE, SPAXEL_WFM

__all__ = ["PINHOLE_DX", "PINHOLE_DY", "MaskScale", "mask_height"]

PINHOLE_DX: Final = 2.9450  # horizontal distance of the pinholes [mm]
PINHOLE_DY: Final = 0.6135  # vertical distance of the pinholes [mm]
_FIELD: Final = 60.0  # height of the field of view [arcsec]


@dataclass(frozen=True)
class MaskScale:
    """Lengths of the mask sequence.

    Attributes
    ----------
    scale : float
        Of the focal plane [arcsec/mm].
    distance : float
        Vertical distance of the pinholes as the encoder of the mask shows it [mm].
    rotation : float
        Of the mask in its holder, for masks on a diagonal [deg].
    """

    scale: float = FOCAL_SCALE
    distance: float = PINHOLE_DY
    rotation: float = 0.0

    @property
    def pix_per_mm(self) -> float:
        """Unit of the geometry table (0.2 arcsec) in the focal plane [pix/mm]."""
        return self.scale / SPAXEL_WFM[0]

    @property
    def pitch(self) -> float:
        """Horizontal distance of neighbouring pinholes [mm]."""
        return PINHOLE_DX / math.cos(math.radians(self.rotation))

    @property
    def step(self) -> float:
        """How far the mask moves until the next pinhole is where this one was [mm of the encoder]."""
        return self.distance * math.cos(math.radians(self.rotation))

    @property
    def encoder(self) -> float:
        """True length over what the encoder shows: the distance of the pinholes is known."""
        return PINHOLE_DY / self.distance

    @property
    def slice_height(self) -> float:
        """Expected distance of neighbouring slices [mm of the encoder]."""
        return _FIELD / self.scale / FIELD_SLICES / self.encoder


def mask_height(position: float, angle: float, on_sky: bool) -> float:
    """Vertical position of the mask in the field of view [mm].

    Parameters
    ----------
    position : float
        Along the stage of the mask, ``INS.POS3.POS`` [mm].
    angle : float
        Of the derotator, ``INS.DROT.POSANG`` [deg].
    on_sky : bool
        Whether the derotator follows the sky (``INS.DROT.MODE`` is ``SKY``): then its angle counts the other way.

    Raises
    ------
    ParameterError
        If the stage moves along the slices: its position tells no height.
    """
    sine = math.sin(math.radians(-angle if on_sky else angle))
    if abs(sine) < 1e-6:
        raise ParameterError(f"a derotator angle of {angle:g} deg moves the mask along the slices")
    return position / sine
