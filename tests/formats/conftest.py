"""Product images, and pixel tables of a few rows as their columns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.image import MuseImage
from core.formats.pixtable_origin import PREFIX, encode_origin, set_offset

Columns = dict[str, np.ndarray]
SLICES = (1, 2, 48)
OFFSET = 80


@pytest.fixture
def pixel_rows() -> Callable[..., Columns]:
    """Rows of three slices of an IFU: 40 rows and 20 columns of the CCD each, 1.25 Angstrom per row."""

    def rows(ifu: int, seed: int = 0) -> Columns:
        rng = np.random.default_rng((ifu, seed))
        parts = []
        for slice_no in SLICES:
            y, x = (axis.ravel() for axis in np.mgrid[1:41, 100:120])
            wave = 6000 + 1.25 * y + 0.02 * (x - 110) + rng.uniform(-0.1, 0.1)  # lines are tilted
            values = {
                "xpos": x - 110,
                "ypos": np.full(x.size, ifu + slice_no / 50),
                "lambda": wave,
                "data": rng.normal(100, 10, x.size),
                "dq": rng.integers(0, 2, x.size) * 32,
                "stat": rng.uniform(90, 110, x.size),
                "origin": encode_origin(x, y, ifu, slice_no, OFFSET),
            }
            kinds = {"dq": np.int32, "origin": np.int32}
            parts.append({name: cells.astype(kinds.get(name, np.float32)) for name, cells in values.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return rows


@pytest.fixture
def pixtable_header() -> Callable[[int], Header]:
    """Primary header of the table of an IFU, enough for the reference pipeline."""

    def header(ifu: int) -> Header:
        cards = Header()
        for key, value in {
            "INSTRUME": "MUSE", "RA": 10.0, "DEC": -20.0, "DATE-OBS": "2026-11-01T01:00:00.000", "MJD-OBS": 61345.04,
            "EXPTIME": 100.0, "EXTNAME": f"CHAN{ifu:02d}",
        }.items():  # fmt: skip
            cards[key] = value
        for key, value in {
            "INS.MODE": "WFM-NOAO-N", "INS.DROT.POSANG": 0.0, "INS.DROT.MODE": "SKY", "PRO.CATG": "PIXTABLE_OBJECT",
            "DET.CHIP.NAME": "a chip", f"{PREFIX}.ILLUM1": 1.0, f"{PREFIX}.TYPE": "GEOFULL",
        }.items():  # fmt: skip
            set_key(cards, key, value)
        for slice_no in SLICES:
            set_offset(cards, 0, ifu, slice_no, OFFSET)
        return cards

    return header


@pytest.fixture
def make_image() -> Callable[[int], MuseImage]:
    """A small product image of an IFU, other pixels for each."""

    def image(ifu: int) -> MuseImage:
        rng = np.random.default_rng(ifu)
        header = Header()
        set_key(header, "INSTRUME", "MUSE")
        set_key(header, "DET.CHIP.NAME", f"CHAN{ifu:02d}")
        set_key(header, "QC.BIAS.MASTER1.RON", np.float32(2.4567891), "[count] read-out noise")
        set_key(header, "PRO.CATG", "MASTER_BIAS")
        return MuseImage(
            rng.normal(size=(40, 50)).astype(np.float32),
            rng.integers(0, 8192, (40, 50)).astype(np.int32),
            rng.random((40, 50)).astype(np.float32),
            header,
            "adu",
        )

    return image
