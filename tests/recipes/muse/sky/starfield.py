"""A field of stars of known places as the pixel table of an exposure, and the catalogue of the stars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.pixtable import write_pixtable
from core.formats.pixtable_header import PixtableLimits
from core.formats.pixtable_origin import PREFIX, encode_origin, set_offset
from core.onsky.pointing import angular_distance
from core.simulator.atmosphere import Ambient
from core.simulator.clock import sidereal_seconds
from core.simulator.geometry import make_geometry
from core.simulator.pointing import Pointing, View
from core.simulator.sources import Moffats, Star, stars_in_field

RA, DEC = 156.3, -46.4
WAVES = np.arange(6800.0, 7200.0, 25.0)
SKY, NOISE = 20.0, 2.0


@dataclass(frozen=True)
class StarField:
    """What is seen, and where it is.

    Attributes
    ----------
    half : int
        Of the side of the field [pix].
    pointing : Pointing
    stars : tuple of Star
    """

    half: int
    pointing: Pointing
    stars: tuple[Star, ...]

    @property
    def view(self) -> View:
        """The sky in the field of view."""
        return self.pointing.view(make_geometry(1), "WFM-NOAO-N")

    def write(self, path: Path, number: int = 1) -> Path:
        """The pixel table of an exposure, in counts."""
        rng = np.random.default_rng(number)
        side = slice(-self.half, self.half + 1)
        y, x = np.mgrid[side, side].astype(float)
        x, y = x + 0.3 * np.sin(y), y + 0.3 * np.sin(x)
        weight = 10 ** (-0.4 * (np.array([star.magnitude for star in self.stars]) - 20)) * 1000
        light = Moffats.of(self.view, self.stars, weight)(x, y, WAVES)
        data = light + SKY + rng.normal(0, NOISE, light.shape)
        header = Header()
        for key, value in {
            "INSTRUME": "MUSE", "DATE-OBS": f"2026-02-01T0{number}:00:00.000", "MJD-OBS": 61072.0, "EQUINOX": 2000.0,
            "EXPTIME": self.pointing.exptime, "LST": sidereal_seconds(self.pointing.start), "INS.MODE": "WFM-NOAO-N",
            "TEL.GEOLAT": -24.625278, "TEL.GEOLON": -70.402222,
            **{key: value for key, value, _ in self.pointing.cards()},
            f"{PREFIX}.TYPE": "GEOFULL", f"{PREFIX}.MERGED": 1,
        }.items():  # fmt: skip
            set_key(header, key, value)
        set_offset(header, 0, 1, 1, 0)
        n = x.size
        row = np.tile(1 + np.arange(n) % 4000, WAVES.size)
        columns: dict[str, Any] = {
            "xpos": np.tile(x.ravel(), WAVES.size).astype(np.float32),
            "ypos": np.tile(y.ravel(), WAVES.size).astype(np.float32),
            "lambda": np.repeat(WAVES, n).astype(np.float32),
            "data": data.ravel().astype(np.float32),
            "dq": np.zeros(data.size, np.int32),
            "stat": np.full(data.size, NOISE**2, np.float32),
            "origin": encode_origin(np.ones(row.size, int), row, 1, 1, 0),
        }
        PixtableLimits.of(columns).write(header)
        return write_pixtable(path, header, columns)

    def write_catalogue(self, path: Path) -> Path:
        """The reference table of the stars."""
        stars = sorted(self.stars, key=lambda star: star.magnitude)
        columns = [
            fits.Column("SourceID", "20A", array=[f"S{number:04d}" for number in range(len(stars))]),
            fits.Column("RA", "D", "deg", array=[star.ra for star in stars]),
            fits.Column("DEC", "D", "deg", array=[star.dec for star in stars]),
            fits.Column("filter", "10A", array=["Johnson_V"] * len(stars)),
            fits.Column("mag", "D", "mag", array=[star.magnitude for star in stars]),
        ]
        table = fits.BinTableHDU.from_columns(columns, name="field")
        table.header["RA"], table.header["DEC"] = RA, DEC
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
        return path


def star_field(half: int, count: int, apart: float = 0.0) -> StarField:
    """Stars over the field and a little beyond, none nearer to another than ``apart`` [arcsec]."""
    pointing = Pointing("field", RA, DEC, datetime(2026, 2, 1, 5, tzinfo=UTC), 30.0, 0.0, Ambient(), error=(0.8, -0.5))
    kept: list[Star] = []
    for star in stars_in_field(3, RA, DEC, count, (14.0, 19.0), radius=0.22 * half):
        if all(3600 * angular_distance(star.ra, star.dec, other.ra, other.dec) > apart for other in kept):
            kept.append(star)
    return StarField(half, pointing, tuple(kept))
