"""Where the telescope looks at a time: angles, airmass, the way of the field of view over the sky, their keywords.

Position angles, parallactic angles and derotator angles have the signs of real headers: the position angle on the
sky is ``-INS.DROT.POSANG`` (mode SKY), and the derotator stands at (POSANG - parallactic angle - altitude) / 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.instruments.muse.facts import SPAXEL_NFM, SPAXEL_WFM
from core.simulator.atmosphere import Ambient, refraction
from core.simulator.clock import LATITUDE, sidereal_seconds
from core.simulator.geometry import FieldGeometry

__all__ = ["Pointing", "View"]

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Pointing:
    """An exposure on the sky.

    Attributes
    ----------
    target : str
    ra, dec : float
        Of the field of view's axis of rotation [deg, J2000].
    start : datetime
        UTC.
    exptime : float
        [s]
    posang : float
        ``INS.DROT.POSANG`` [deg].
    ambient : Ambient
    error : tuple of float
        How far east and north [arcsec] of ``ra`` and ``dec``, which headers have, the axis really lies.
    """

    target: str
    ra: float
    dec: float
    start: datetime
    exptime: float
    posang: float = 0.0
    ambient: Ambient = field(default_factory=Ambient)
    error: tuple[float, float] = (0.0, 0.0)

    @property
    def axis(self) -> tuple[float, float]:
        """Where the axis of rotation really lies [deg]."""
        east, north = self.error
        dec = self.dec + north / 3600.0
        return self.ra + east / 3600.0 / math.cos(math.radians(dec)), dec

    def _moment(self, part: float) -> datetime:
        return self.start + timedelta(seconds=part * self.exptime)

    def hour_angle(self, part: float = 0.5) -> float:
        """Hour angle [deg] after a part of the exposure time."""
        return (sidereal_seconds(self._moment(part)) / 240.0 - self.ra + 180.0) % 360.0 - 180.0

    def altitude(self, part: float = 0.5) -> float:
        """Altitude [deg]."""
        ha, dec, lat = np.deg2rad((self.hour_angle(part), self.dec, LATITUDE))
        return float(np.rad2deg(np.arcsin(np.sin(lat) * np.sin(dec) + np.cos(lat) * np.cos(dec) * np.cos(ha))))

    def azimuth(self, part: float = 0.5) -> float:
        """Azimuth from the south over the west [deg]."""
        ha, dec, lat = np.deg2rad((self.hour_angle(part), self.dec, LATITUDE))
        west = np.arctan2(np.sin(ha), np.cos(ha) * np.sin(lat) - np.tan(dec) * np.cos(lat))
        return float(np.rad2deg(west) % 360.0)

    def airmass(self, part: float = 0.5) -> float:
        """Airmass after Hardie (1962)."""
        s = 1.0 / math.sin(math.radians(self.altitude(part)))
        return s - 0.0018167 * (s - 1.0) - 0.002875 * (s - 1.0) ** 2 - 0.0008083 * (s - 1.0) ** 3

    def parallactic_angle(self, part: float = 0.5) -> float:
        """Position angle of the zenith, from north to east [deg]."""
        ha, dec, lat = np.deg2rad((self.hour_angle(part), self.dec, LATITUDE))
        angle = np.arctan2(np.sin(ha), np.tan(lat) * np.cos(dec) - np.sin(dec) * np.cos(ha))
        return float(np.rad2deg(angle))

    def derotator(self, part: float) -> float:
        """Angle of the derotator [deg]."""
        return 0.5 * (self.posang - self.parallactic_angle(part) - self.altitude(part)) % 360.0 - 360.0

    def cards(self) -> Iterator[tuple[str, Any, str]]:
        """Header cards of telescope, site and derotator."""
        yield "OBJECT", self.target, "Original target."
        yield "RA", round(self.ra, 6), "[deg] RA (J2000) pointing"
        yield "DEC", round(self.dec, 5), "[deg] DEC (J2000) pointing"
        yield "OBS.TARG.NAME", self.target, "OB target name"
        for name, part in (("START", 0.0), ("END", 1.0)):
            when = name.lower()
            yield f"TEL.AIRM.{name}", round(self.airmass(part), 3), f"Airmass at {when}"
            yield f"TEL.PARANG.{name}", round(self.parallactic_angle(part), 3), f"[deg] Parallactic angle at {when}"
            yield f"INS.DROT.{name}", round(self.derotator(part), 3), f"[deg] Derotator position angle at {when}"
            yield f"TEL.AMBI.FWHM.{name}", round(self.ambient.seeing, 2), "[arcsec] Observatory Seeing"
            yield f"TEL.AMBI.PRES.{name}", round(self.ambient.pressure, 2), "[hPa] Observatory ambient air pressure"
        yield "TEL.ALT", round(self.altitude(0.0), 3), "[deg] Alt angle at start"
        yield "TEL.AZ", round(self.azimuth(0.0), 3), "[deg] Az angle at start S=0,W=90"
        yield "TEL.AMBI.RHUM", self.ambient.humidity, "[%] Observatory ambient relative humidity"
        yield "TEL.AMBI.TEMP", round(self.ambient.temperature, 2), "[deg C] Observatory ambient temperature"
        yield "TEL.AMBI.TAU0", 0.0045, "[s] Average coherence time"
        yield "TEL.IA.FWHM", round(self.ambient.seeing, 2), "[arcsec] Delivered seeing corrected by airmass"
        yield "TEL.IA.FWHMLIN", round(self.ambient.seeing, 2), "[arcsec] Delivered seeing on IA detector, linear fit"
        yield "TEL.DOME.STATUS", "FULLY-OPEN", "Dome status"
        yield "TEL.TRAK.STATUS", "NORMAL", "Tracking status"
        yield "INS.DROT.MODE", "SKY", "Instrument derotator mode"
        yield "INS.DROT.POSANG", self.posang, "[deg] Derotator position angle"
        for axis in "XY":
            yield f"OCS.SGS.AG.FWHM{axis}.AVG", round(self.ambient.seeing, 3), f"[arcsec] AG FWHM {axis} mean value"

    def view(self, geometry: FieldGeometry, mode: str) -> View:
        """The sky in the field of view."""
        angle = np.deg2rad(-self.posang)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        narrow = mode.startswith("NFM")
        zoom = np.array(SPAXEL_NFM) / np.array(SPAXEL_WFM) if narrow else np.ones(2)
        zenith = np.deg2rad(self.parallactic_angle())
        ra, dec = self.axis
        return View(
            ra=ra,
            dec=dec,
            axis=geometry.axis,
            plate=rotation @ (geometry.plate * zoom),
            zenith=np.array([np.sin(zenith), np.cos(zenith)]),
            airmass=self.airmass(),
            ambient=self.ambient,
            refracts=not narrow,  # the narrow field has a corrector
        )


@dataclass(frozen=True, eq=False)
class View:
    """Sky coordinates of the field of view during an exposure.

    Attributes
    ----------
    ra, dec : float
        Of the axis of rotation [deg].
    axis : ndarray of float64, shape (2,)
        The axis in the field [0.2 arcsec of the wide field].
    plate : ndarray of float64, shape (2, 2)
        Offsets to the east and north for a step along x and y of the field [arcsec].
    zenith : ndarray of float64, shape (2,)
        Unit vector to the zenith, east and north.
    airmass : float
    ambient : Ambient
    refracts : bool
        Whether light of other wavelengths is displaced.
    """

    ra: float
    dec: float
    axis: F64
    plate: F64
    zenith: F64
    airmass: float
    ambient: Ambient
    refracts: bool

    @property
    def area(self) -> float:
        """Area of a unit square of the field [arcsec2]."""
        return abs(float(np.linalg.det(self.plate)))

    def offsets(self, x: F64, y: F64) -> tuple[F64, F64]:
        """Offsets east and north [arcsec] in the tangent plane, of places in the field, at 7000 Angstrom."""
        dx, dy = x - self.axis[0], y - self.axis[1]
        return self.plate[0, 0] * dx + self.plate[0, 1] * dy, self.plate[1, 0] * dx + self.plate[1, 1] * dy

    def lifted(self, wave: F64) -> F64:
        """Displacement of the image of a source towards the zenith against that at 7000 Angstrom [arcsec]."""
        return refraction(wave, self.airmass, self.ambient) if self.refracts else np.zeros_like(wave)

    def projected(self, ra: F64, dec: F64) -> tuple[F64, F64]:
        """Offsets east and north [arcsec] in the tangent plane (TAN), of celestial coordinates [deg]."""
        a, d, d0 = np.deg2rad(ra - self.ra), np.deg2rad(dec), np.deg2rad(self.dec)
        down = np.sin(d0) * np.sin(d) + np.cos(d0) * np.cos(d) * np.cos(a)
        east = np.cos(d) * np.sin(a) / down
        north = (np.cos(d0) * np.sin(d) - np.sin(d0) * np.cos(d) * np.cos(a)) / down
        return np.rad2deg(east) * 3600.0, np.rad2deg(north) * 3600.0

    def celestial(self, x: F64, y: F64, wave: F64 | float = 7000.0) -> tuple[F64, F64]:
        """Celestial coordinates [deg] of what light of a wavelength shows at places in the field."""
        east, north = self.offsets(x, y)
        lifted = self.lifted(np.asarray(wave, np.float64))
        xi = np.deg2rad((east - self.zenith[0] * lifted) / 3600.0)
        eta = np.deg2rad((north - self.zenith[1] * lifted) / 3600.0)
        d0 = np.deg2rad(self.dec)
        along = np.cos(d0) - eta * np.sin(d0)
        ra = self.ra + np.rad2deg(np.arctan2(xi, along))
        return ra % 360.0, np.rad2deg(np.arctan2(np.sin(d0) + eta * np.cos(d0), np.hypot(xi, along)))

    def field_position(self, ra: F64, dec: F64, wave: float = 7000.0) -> tuple[F64, F64]:
        """Where the image of celestial coordinates [deg] lies in the field [0.2 arcsec of the wide field]."""
        east, north = self.projected(ra, dec)
        lifted = self.lifted(np.array(wave))
        offset = np.stack((east + self.zenith[0] * lifted, north + self.zenith[1] * lifted))
        x, y = np.tensordot(np.linalg.inv(self.plate), offset, axes=1)
        return x + self.axis[0], y + self.axis[1]
