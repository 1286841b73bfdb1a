"""Wavelengths of an observer at rest: the velocity of the telescope is taken out (MUSE manual, 6.5.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable
from core.onsky.velocity import SPECSYS, VelocityFrame, doppler_factor, target_velocity
from core.recipes.logs import Logger
from core.recipes.muse.steps.pointing import site_of
from core.recipes.muse.steps.table import Columns, CorrectedTable, RowStep

__all__ = ["RVCORR", "VelocityStep", "correct_velocity"]

RVCORR: Final = f"{PREFIX}.RVCORR"  # [km/s]


@dataclass(frozen=True)
class VelocityStep(RowStep):
    """Wavelengths are multiplied.

    Attributes
    ----------
    velocity : float
        Of the telescope towards the target [km/s].
    frame : str
    """

    velocity: float
    frame: VelocityFrame
    changes: ClassVar = ("lambda",)
    needs: ClassVar = ("lambda",)

    def apply(self, columns: Columns) -> Columns:
        """See `RowStep.apply`."""
        return {"lambda": self.wavelength(columns["lambda"])}

    def wavelength(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See `RowStep.wavelength`."""
        return (wave * doppler_factor(self.velocity)).astype(np.float32)

    def describe(self, header: Header) -> None:
        """See `RowStep.describe`."""
        set_key(header, RVCORR, self.velocity, f"[km/s] {self.frame}centric radial velocity correction")
        header["SPECSYS"] = SPECSYS[self.frame]


def correct_velocity(table: PixelTable, frame: VelocityFrame, log: Logger) -> PixelTable:
    """A table whose wavelengths are those of an observer at rest in a frame; unchanged if that was done before.

    Without a frame (``none``) its header tells that they are those at the telescope.

    Raises
    ------
    MissingKeywordError
        If ``RA``, ``DEC``, ``MJD-OBS`` or ``EXPTIME`` are not told.
    """
    header = table.header
    if (done := get_key(header, RVCORR, float, default=0.0)) != 0:
        log.info("the velocity of the telescope was taken out already: %.2f km/s", done)
        return table
    if frame == "none":
        here = CorrectedTable.of(table)
        here.header["SPECSYS"] = SPECSYS[frame]
        return here
    ra, dec, start, exptime = (get_key(header, key, float) for key in ("RA", "DEC", "MJD-OBS", "EXPTIME"))
    equinox = get_key(header, "EQUINOX", float, default=2000.0)
    velocity = target_velocity(ra, dec, start + exptime / 2 / 86400, frame, site_of(header), equinox)
    log.info("the velocity of the telescope is taken out: %.3f km/s (%s)", velocity, SPECSYS[frame])
    return CorrectedTable.of(table, VelocityStep(velocity, frame))
