"""A small field with a star under a sky of three lines and a continuum, as a pixel table of fluxes."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from astropy.io import fits

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.fitsfile.writer import FitsWriter
from core.formats.pixtable import write_pixtable
from core.formats.pixtable_header import FLUX_UNIT, PixtableLimits
from core.formats.pixtable_origin import PREFIX, encode_origin, set_offset
from core.onsky.skylines import LineLight, SkyLines
from core.recipes.frames import Frame
from core.recipes.muse.sky_model import load_profiles

LOG = logging.getLogger(__name__)
IFU, SLICES, COLUMNS, ROWS = 7, 8, 16, 240
FIRST, SAMPLING = 6250.0, 1.25
SIGMA = 1.05  # of the line-spread function [Angstrom]
TRUE = SkyLines(
    np.array(["[OI]6300", "[OI]6364", "OH6498"]),
    np.array([0, 0, 1]),
    np.array([6300.304, 6363.776, 6498.729]),
    np.array([4000.0, 1300.0, 900.0]),
)
GUESS = np.array([1000.0, 325.0, 300.0])


def continuum(wave: np.ndarray) -> np.ndarray:
    return 50 + 0.02 * (wave - 6400)


def write_lsf(path: Path) -> Path:
    x = -6 + 0.1 * np.arange(121)
    plane = np.tile(np.exp(-(x**2) / 2 / SIGMA**2), (3, 1))
    header, cards = Header(), Header()
    header["EXTNAME"], cards["EXTNAME"] = f"CHAN{IFU:02d}", "LSF_PROFILE"
    for key, value in {
        "CD1_1": 0.1, "CD2_2": 1000.0, "CRPIX1": 1.0, "CRPIX2": 1.0, "CRVAL1": -6.0, "CRVAL2": 5000.0,
    }.items():  # fmt: skip
        cards[key] = value
    with FitsWriter(path) as writer:
        writer.primary(header)
        writer.image(cards, np.tile(plane, (48, 1, 1)).astype(np.float32))
    return path


def write_exposure(path: Path, date: str = "2026-11-01T01:00:00.000") -> Path:
    """A field of 16 x 8 pixels with a star, in fluxes."""
    rng = np.random.default_rng(11)
    header = Header()
    for key, value in {
        "INSTRUME": "MUSE", "RA": 150.0, "DEC": -30.0, "DATE-OBS": date, "MJD-OBS": 61345.0, "EXPTIME": 600.0,
        "EXTNAME": f"CHAN{IFU:02d}", "INS.MODE": "WFM-NOAO-N", "INS.DROT.POSANG": 0.0, "INS.DROT.MODE": "SKY",
        f"{PREFIX}.TYPE": "GEOFULL", f"{PREFIX}.DAR.CORRECT": 7000.0,
    }.items():  # fmt: skip
        set_key(header, key, value)
    y, x = (axis.ravel() for axis in np.mgrid[1 : ROWS + 1, 1 : COLUMNS + 1])
    parts = []
    light = LineLight.of(
        TRUE, next(iter(load_profiles([Frame(write_lsf(path.with_suffix(".lsf")), "")], LOG).values()))
    )
    for number in range(1, SLICES + 1):
        set_offset(header, 0, IFU, number, 0)
        wave = (FIRST + SAMPLING * (y - 1) + rng.uniform(0, SAMPLING, COLUMNS + 1)[x]).astype(np.float32)
        star = 500 * np.exp(-((x - 5) ** 2 + (number - 3) ** 2) / 4)
        data = light.at(wave) + continuum(wave) + star + rng.normal(0, 3, x.size)
        parts.append(
            {
                "xpos": x.astype(np.float32),
                "ypos": np.full(x.size, number, np.float32),
                "lambda": wave,
                "data": data.astype(np.float32),
                "dq": np.zeros(x.size, np.int32),
                "stat": np.full(x.size, 9, np.float32),
                "origin": encode_origin(x, y, IFU, number, 0),
            }
        )
    return write_fluxes(path, header, parts)


def write_fluxes(path: Path, header: Header, parts: list[dict[str, np.ndarray]]) -> Path:
    """A pixel table of fluxes from the rows of its slices; some pixels are cosmic rays."""
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns["dq"][::97] = 32
    columns["data"][::97] = 1e6
    PixtableLimits.of(columns).write(header)
    write_pixtable(path, header, columns)
    with fits.open(path, mode="update") as hdus:
        hdus["data"].header["BUNIT"] = FLUX_UNIT
        hdus["stat"].header["BUNIT"] = f"({FLUX_UNIT})**2"
    return path
