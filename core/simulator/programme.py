"""The on-sky part of a simulated night: what is observed, when, and where the telescope looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final

import numpy as np

from core.errors import ParameterError
from core.simulator.atmosphere import Ambient
from core.simulator.clock import LATITUDE, sidereal_seconds
from core.simulator.clusters import CLUSTERS, cluster_stars
from core.simulator.onsky import AstrometryScene, ObjectScene, OnSkyScene, SkyFlatScene, SkyScene, StdScene
from core.simulator.pointing import Pointing
from core.simulator.seeds import stream
from core.simulator.sources import Star, galaxies_in_field, stars_in_field

__all__ = ["STANDARDS", "SkyPlan", "on_sky_templates", "temperature_at_night"]

STANDARDS: Final = ("GD71", "GD108", "EG274", "LTT7987", "Feige110", "EG21")
"""Those of the published standard stars that are observed."""

_SCIENCE: Final = "Field of galaxies"
_ASTROMETRY_EXPTIME: Final = 30.0
_NARROW_IMAGE: Final = 0.09  # FWHM in the narrow field [arcsec]
_SKYFLAT_EXPTIMES: Final = (7.63, 9.47, 11.46, 14.36)
_DITHER: Final = 0.8  # between exposures of an object [arcsec]
_SUNSET: Final = 7.0  # [h] after noon
_COOLING: Final = 0.3  # of the air in the night [K/h]


@dataclass(frozen=True)
class SkyPlan:
    """How many on-sky frames of each kind a night has.

    Attributes
    ----------
    n_skyflat, n_std, n_astrometry, n_object, n_sky : int
    object_exptime, sky_exptime, std_exptime : float
        [s]
    rotate : bool
        Turn the field by 90 deg between exposures of an object.
    pointing_error : float
        Scatter of the telescope about the coordinates in the headers of objects, along each axis [arcsec].
    """

    n_skyflat: int = 0
    n_std: int = 0
    n_astrometry: int = 0
    n_object: int = 0
    n_sky: int = 0
    object_exptime: float = 600.0
    sky_exptime: float = 120.0
    std_exptime: float = 60.0
    rotate: bool = True
    pointing_error: float = 0.0

    def __post_init__(self) -> None:
        for name in ("n_skyflat", "n_std", "n_astrometry", "n_object", "n_sky"):
            if getattr(self, name) < 0:
                raise ParameterError(f"{name} must not be negative", parameter=name)
        for name in ("object_exptime", "sky_exptime", "std_exptime"):
            if getattr(self, name) <= 0.0:
                raise ParameterError(f"{name} must be positive", parameter=name)
        if self.pointing_error < 0.0:
            raise ParameterError("pointing_error must not be negative", parameter="pointing_error")

    @property
    def n_frames(self) -> int:
        """Number of files."""
        return self.n_skyflat + self.n_std + self.n_astrometry + self.n_object + self.n_sky


def temperature_at_night(temperature: float, noon: datetime, start: datetime) -> float:
    """Ambient temperature of an exposure in a night whose calibrations of the day have ``temperature`` [Celsius]."""
    hours = (start - noon).total_seconds() / 3600.0
    return temperature + 1.0 - _COOLING * max(0.0, min(hours, 17.0) - _SUNSET)


def on_sky_templates(
    plan: SkyPlan, night: date, seed: int, mode: str, temperature: float
) -> Iterator[tuple[datetime, Sequence[OnSkyScene]]]:
    """Earliest start and scenes of each template on the sky.

    Parameters
    ----------
    plan : SkyPlan
    night : date
        At local noon before the night.
    seed : int
    mode : str
        ``INS.MODE``.
    temperature : float
        Ambient temperature of the night's calibrations [Celsius].
    """
    programme = _Programme.of(night, seed, mode, temperature)
    dark = programme.noon + timedelta(hours=_SUNSET + 1.6)
    later = dark + timedelta(hours=1)
    templates = (
        (programme.noon + timedelta(hours=_SUNSET, minutes=20), plan.n_skyflat, programme.twilight),
        (dark, plan.n_std, partial(programme.standard, plan.std_exptime)),
        (dark, plan.n_astrometry, programme.astrometry),
        (later, plan.n_object, partial(programme.objects, plan)),
        (later, plan.n_sky, partial(programme.blank, plan.sky_exptime)),
    )
    for start, count, scenes in templates:
        if count:
            yield start, scenes(start, count)


@dataclass(frozen=True)
class _Programme:
    """What a night has for its targets; each kind of template draws from a stream of its own."""

    night: date
    seed: int
    ambient: Ambient

    @classmethod
    def of(cls, night: date, seed: int, mode: str, temperature: float) -> _Programme:
        rng = stream(seed, "ambient", night.isoformat())
        seeing = float(rng.uniform(0.6, 1.0)) * (0.8 if "-AO-" in mode else 1.0)
        ambient = Ambient(
            temperature=temperature,
            pressure=round(float(rng.uniform(741.0, 746.0)), 2),
            humidity=round(float(rng.uniform(5.0, 30.0)), 1),
            seeing=_NARROW_IMAGE if mode.startswith("NFM") else seeing,
        )
        return cls(night, seed, ambient)

    @property
    def noon(self) -> datetime:
        return datetime(self.night.year, self.night.month, self.night.day, 16)

    def _stream(self, kind: str) -> np.random.Generator:
        return stream(self.seed, "programme", self.night.isoformat(), kind)

    def _field(self, target: str, at: datetime, exptime: float) -> Pointing:
        """A field that stands east of the meridian, between 20 and 50 deg from the zenith."""
        rng = self._stream(target)
        ra = (sidereal_seconds(at) / 240.0 + float(rng.uniform(5.0, 35.0))) % 360.0
        dec = LATITUDE + float(rng.choice((-1.0, 1.0))) * float(rng.uniform(18.0, 38.0))
        return Pointing(target, round(ra, 4), round(dec, 4), at, exptime, ambient=self.ambient)

    def twilight(self, at: datetime, count: int) -> list[OnSkyScene]:
        """The sky at the zenith; exposures get longer as it fades."""
        rng = self._stream("twilight")
        gradient = (float(rng.normal(0.0, 0.01)), float(rng.normal(0.0, 0.01)))
        ra = round(sidereal_seconds(at) / 240.0, 4)
        exptimes = [_SKYFLAT_EXPTIMES[k % len(_SKYFLAT_EXPTIMES)] for k in range(count)]
        return [
            SkyFlatScene(
                exptime,
                pointing=Pointing("SKY", ra, LATITUDE + 0.5, at, exptime, ambient=self.ambient),
                gradient=gradient,
            )
            for exptime in exptimes
        ]

    def standard(self, exptime: float, at: datetime, count: int) -> list[OnSkyScene]:
        """The standard that stands highest."""
        rng = self._stream("standard")
        sights = [
            Pointing(name, round(star.ra, 5), round(star.dec, 5), at, exptime, ambient=self.ambient)
            for name, star in ((name, Star.standard(name)) for name in STANDARDS)
        ]
        best = max(sights, key=Pointing.altitude)
        stars = (Star.standard(best.target),)
        return [StdScene(exptime, pointing=best, flexure=_flexure(rng), stars=stars) for _ in range(count)]

    def astrometry(self, at: datetime, count: int) -> list[OnSkyScene]:
        """The cluster that stands highest."""
        exptime = _ASTROMETRY_EXPTIME
        sights = [Pointing(name, *place, at, exptime, ambient=self.ambient) for name, place in CLUSTERS.items()]
        field = max(sights, key=Pointing.altitude)
        rng, stars = self._stream("astrometry"), cluster_stars(self.seed, field.target)
        return [AstrometryScene(exptime, pointing=field, flexure=_flexure(rng), stars=stars) for _ in range(count)]

    def objects(self, plan: SkyPlan, at: datetime, count: int) -> list[OnSkyScene]:
        """Stars and galaxies, dithered and turned."""
        exptime = plan.object_exptime
        field = self._field(_SCIENCE, at, exptime)
        stars = stars_in_field(self.seed, field.ra, field.dec, 14, (15.5, 20.0))
        galaxies = galaxies_in_field(self.seed, field.ra, field.dec, 5)
        rng, errors = self._stream("objects"), self._stream("pointing errors")
        scenes: list[OnSkyScene] = []
        for k in range(count):
            east, north = rng.uniform(-_DITHER, _DITHER, 2) / 3600.0
            ra, dec = field.ra + float(east), field.dec + float(north)
            missed = errors.normal(0.0, plan.pointing_error, 2)
            seen = replace(
                field,
                ra=ra,
                dec=dec,
                posang=90.0 * (k % 4) if plan.rotate else 0.0,
                error=(float(missed[0]), float(missed[1])),
            )
            scenes.append(ObjectScene(exptime, pointing=seen, flexure=_flexure(rng), stars=stars, galaxies=galaxies))
        return scenes

    def blank(self, exptime: float, at: datetime, count: int) -> list[OnSkyScene]:
        """Sky beside the field of the objects."""
        field = self._field(_SCIENCE, at, exptime)
        beside = replace(field, target="Sky", dec=round(field.dec + 0.05, 4))
        stars = stars_in_field(self.seed, beside.ra, beside.dec, 5, (18.0, 21.0))
        rng = self._stream("blank")
        return [SkyScene(exptime, pointing=beside, flexure=_flexure(rng), stars=stars) for _ in range(count)]


def _flexure(rng: np.random.Generator) -> float:
    """Shift of the spectra of an exposure [Angstrom]."""
    return float(np.clip(rng.normal(0.0, 0.06), -0.2, 0.2))
