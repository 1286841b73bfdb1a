"""A small field of stars before the night sky, as pixel tables in which all is known: what a science benchmark reduces.

The field is a regular grid of spaxels, refraction already corrected, so that both pipelines finish it in little memory.
Lines of the sky and telluric bands are the simulator's; stars have Moffat profiles that get sharper to the red.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.fitsfile.writer import FitsWriter
from core.formats.onsky_tables import EXTINCT_TABLE, STD_FLUX_TABLE
from core.formats.pixtable import write_pixtable
from core.formats.pixtable_header import PixtableLimits
from core.formats.pixtable_origin import PREFIX, encode_origin, set_offset
from core.formats.tables import MuseTable, write_table
from core.staticcal.filters import write_filters
from core.staticcal.night_sky import published_sky_lines
from core.staticcal.writing import Provenance, StaticTable, write_static

__all__ = [
    "BANDS",
    "EXPOSURES",
    "MISSED",
    "SPAXEL",
    "STANDARD",
    "STARS",
    "STATICS",
    "FieldStar",
    "Starfield",
    "moffat",
    "response",
    "write_statics_of_field",
]

F64 = NDArray[np.float64]

FIELD: Final = (56, 48)  # spaxels; no more than 48 rows, a slice each
SPAXEL: Final = 0.2  # [arcsec]
BETA: Final = 2.5
BANDS: Final = ((6864, 6967, 0.2), (7164, 7325, 0.1), (7590, 7700, 0.5), (8131, 8345, 0.08), (8952, 9028, 0.1))
_WAVE: Final[F64] = np.linspace(4750.0, 9350.0, 3681)
_SIGMA: Final = 1.06  # of the spectral resolution [Angstrom]
_CONTINUUM: Final = 900.0  # of the dark sky [1e-20 erg/s/cm2/Angstrom/arcsec2]
_OFFSET: Final = 20  # of the columns of a slice in the column origin
_READ_NOISE: Final = 3.0  # [count]
_MADE_UP: Final = Provenance(1, "2026-11-29", "A star of a benchmark.", ("Made up.",))
_AIRMASS: Final = (1.27, 1.275)
_PLACE: Final = (150.0, -30.0)


@dataclass(frozen=True)
class FieldStar:
    """A star.

    Attributes
    ----------
    x, y : float
        In the field [spaxel].
    flux : float
        At 7000 Angstrom, outside the atmosphere [erg/s/cm2/Angstrom].
    """

    x: float
    y: float
    flux: float

    def spectrum(self, wave: F64) -> F64:
        """Flux [erg/s/cm2/Angstrom]."""
        return np.asarray(self.flux * (wave / 7000.0) ** -2.0)


def response(wave: F64) -> F64:
    """Of the instrument [2.5 log10((count/s/Angstrom)/(erg/s/cm2/Angstrom))]."""
    return np.asarray(41.5 - 0.3 * ((wave - 7000.0) / 2500.0) ** 2)


def extinction(wave: F64) -> F64:
    """Of the air [mag per airmass]."""
    return np.interp(wave, [4000.0, 5000.0, 6000.0, 8000.0, 10000.0], [0.3, 0.15, 0.1, 0.04, 0.02])


def transmission(wave: F64) -> F64:
    """Of the telluric bands, at airmass 1."""
    found: F64 = np.ones_like(wave)
    for low, high, depth in BANDS:
        found *= 1.0 - depth * np.exp(-(((wave - 0.5 * (low + high)) / ((high - low) / 6.0)) ** 2))
    return found


def moffat(dx: F64, dy: F64, fwhm: F64) -> F64:
    """Flux in a spaxel of a star of flux 1."""
    square = (0.5 * fwhm) ** 2 / (2.0 ** (1.0 / BETA) - 1.0)
    return np.asarray((BETA - 1.0) / (np.pi * square) * (1.0 + (dx**2 + dy**2) / square) ** -BETA)


@dataclass(frozen=True)
class Starfield:
    """An exposure.

    Attributes
    ----------
    tag : str
        ``STD`` or ``OBJECT``.
    stars : sequence of FieldStar
    exptime : float
        [s]
    hour : int
        Of the night, for the date.
    shift : tuple of float
        By how much the telescope missed [spaxel]: stars stand there.
    seed : int
        Of the noise.
    """

    tag: str
    stars: Sequence[FieldStar]
    exptime: float
    hour: int
    shift: tuple[float, float] = (0.0, 0.0)
    seed: int = 1

    def write(self, path: Path) -> Path:
        """Write the pixel table of the exposure, all IFUs in one."""
        nx, ny = FIELD
        header = self._header()
        rng = np.random.default_rng(self.seed)
        x, plane = np.tile(np.arange(1, nx + 1), _WAVE.size), np.repeat(np.arange(_WAVE.size), nx)
        of_light = self.exptime * 1.25 * 10.0 ** (0.4 * response(_WAVE))
        through = 10.0 ** (-0.4 * np.mean(_AIRMASS) * extinction(_WAVE)) * transmission(_WAVE) ** np.mean(_AIRMASS)
        fwhm: F64 = 4.0 - 0.6 * (_WAVE - 4750.0) / 4600.0
        sky = (_CONTINUUM * 1e-20 * SPAXEL**2 + _lines()) * of_light
        parts: list[dict[str, Any]] = []
        for y in range(1, ny + 1):
            set_offset(header, 0, 1, y, _OFFSET)
            light = np.repeat(sky[:, None], nx, axis=1)
            for star in self.stars:
                dx: F64 = np.arange(1.0, nx + 1.0)[None, :] - star.x - self.shift[0]
                dy: F64 = np.full((1, 1), y - star.y - self.shift[1])
                light += (star.spectrum(_WAVE) * of_light * through)[:, None] * moffat(dx, dy, fwhm[:, None])
            expected = light.reshape(-1)
            stat = expected + _READ_NOISE**2
            cells = {
                "xpos": x,
                "ypos": np.full(x.size, y),
                "lambda": _WAVE[plane],
                "data": rng.normal(expected, stat**0.5),
            }
            parts.append(
                {name: values.astype(np.float32) for name, values in cells.items()}
                | {"dq": np.zeros(x.size, np.int32), "stat": stat.astype(np.float32)}
                | {"origin": encode_origin(x + _OFFSET, plane + 1, 1, y, _OFFSET)}
            )
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        PixtableLimits.of(columns).write(header)
        return write_pixtable(path, header, columns)

    def _header(self) -> Header:
        header = Header()
        day = f"2026-11-01T{self.hour:02d}:00:00.000"
        cards: Mapping[str, Any] = {
            "INSTRUME": "MUSE", "TELESCOP": "ESO-VLT-U4", "OBJECT": self.tag, "RA": _PLACE[0], "DEC": _PLACE[1],
            "EQUINOX": 2000.0, "LST": 46000.0, "DATE-OBS": day, "MJD-OBS": 61345.0 + self.hour / 24.0,
            "EXPTIME": self.exptime, "EXTNAME": "CHAN01", "INS.MODE": "WFM-NOAO-N", "INS.DROT.POSANG": 0.0,
            "INS.DROT.MODE": "SKY", "TEL.AIRM.START": _AIRMASS[0], "TEL.AIRM.END": _AIRMASS[1],
            "TEL.GEOLAT": -24.625278, "TEL.GEOLON": -70.4, "TEL.GEOELEV": 2648.0, "TEL.PARANG.START": 10.0,
            "TEL.PARANG.END": 10.1, "OBS.TARG.NAME": "GD71", "PRO.CATG": f"PIXTABLE_{self.tag}",
            f"{PREFIX}.TYPE": "GEOFULL", f"{PREFIX}.MERGED": 24, f"{PREFIX}.FFCORR": 24,
            f"{PREFIX}.DAR.CORRECT": 7000.0, "TEL.AMBI.FWHM.START": 0.8, "TEL.AMBI.FWHM.END": 0.8,
        }  # fmt: skip
        for key, value in cards.items():
            set_key(header, key, value)
        return header


STANDARD: Final = FieldStar(27.3, 24.6, 3e-13)
STARS: Final = (
    FieldStar(14.2, 12.4, 8e-17), FieldStar(41.7, 14.1, 6e-17), FieldStar(27.9, 26.3, 1.2e-16),
    FieldStar(13.5, 36.2, 5e-17), FieldStar(42.1, 35.6, 9e-17),
)  # fmt: skip
MISSED: Final = ((0.0, 0.0), (1.3, -0.85))  # of the exposures of the stars [spaxel]
EXPOSURES: Final = {
    "PIXTABLE_STD": (Starfield("STD", (STANDARD,), 40.0, 1),),
    "PIXTABLE_OBJECT": tuple(
        Starfield("OBJECT", STARS, 600.0, 3 + number, missed, 10 + number) for number, missed in enumerate(MISSED)
    ),
}
"""Exposures of the benchmarks, by tag."""

STATICS: Final = ("EXTINCT_TABLE", "STD_FLUX_TABLE", "ASTROMETRY_WCS", "FILTER_LIST")


def _lines() -> F64:
    """Lines of the sky in a spaxel, mean over each plane [erg/s/cm2/Angstrom]."""
    lines = published_sky_lines()
    found: F64 = np.zeros_like(_WAVE)
    for wave, flux in zip(lines.wave, lines.flux, strict=True):
        near = np.abs(_WAVE - wave) < 10.0
        edges = [(_WAVE[near] + half - wave) / (_SIGMA * 2.0**0.5) for half in (-0.625, 0.625)]
        found[near] += flux * 1e-20 * SPAXEL**2 * 0.5 * (erf(edges[1]) - erf(edges[0])) / 1.25
    return found


def write_statics_of_field(directory: Path, star: FieldStar) -> dict[str, Path]:
    """Extinction, flux of the standard star, filters, and a plain WCS, by tag (`STATICS`)."""
    directory.mkdir(parents=True, exist_ok=True)
    wave = np.arange(3000.0, 11000.0, 5.0)
    cards = Header()
    for key, value in {"INSTRUME": "MUSE", "RA": _PLACE[0], "DEC": _PLACE[1]}.items():
        set_key(cards, key, value)
    flux = star.spectrum(wave)
    place = (("RA", _PLACE[0], "[deg]"), ("DEC", _PLACE[1], "[deg]"))
    star_table = StaticTable(STD_FLUX_TABLE, {"lambda": wave, "flux": flux, "fluxerr": 1e-3 * flux}, "GD71", place)
    air = np.array([4000.0, 5000.0, 6000.0, 8000.0, 10000.0])
    air_table = MuseTable({"lambda": air, "extinction": extinction(air)}, cards)
    found = {
        "STD_FLUX_TABLE": write_static(directory / "star.fits", "STD_FLUX_TABLE", [star_table], _MADE_UP),
        "EXTINCT_TABLE": write_table(directory / "extinction.fits", EXTINCT_TABLE, air_table),
        "FILTER_LIST": write_filters(directory / "filters.fits"),
        "ASTROMETRY_WCS": directory / "wcs.fits",
    }
    header = Header()
    wcs = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg", "CRPIX1": 0.0, "CRPIX2": 0.0}
    step = SPAXEL / 3600.0
    for key, number in {**wcs, "CD1_1": -step, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": step}.items():
        header[key] = number
    with FitsWriter(found["ASTROMETRY_WCS"]) as writer:
        writer.primary(header)
    return found
