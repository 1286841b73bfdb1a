"""Models of the images of a merged MASTER_DARK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.ccd.darkmodel import model_dark
from core.ccd.geometry import Detector
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.image import MuseImage, read_image, write_image
from core.formats.merge import merge_products
from core.instruments.muse.facts import PORT_X, PORT_Y
from core.tools.dark_model import model

DETECTOR = Detector(nx=100, ny=100)
IFUS = (3, 12)


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    paths = []
    for ifu in IFUS:
        header = Header()
        set_key(header, "PRO.CATG", "MASTER_DARK")
        set_key(header, "QC.DARK.MASTER.DC", 1.0)
        for port in range(1, 5):
            own = {"X": PORT_X[port - 1], "Y": PORT_Y[port - 1], "NX": 100, "NY": 100, "GAIN": 1.0}
            for key, value in (own | dict.fromkeys(("PRSCX", "PRSCY", "OVSCX", "OVSCY"), 32)).items():
                set_key(header, f"DET.OUT{port}.{key}", value)
        data = np.random.default_rng(ifu).normal(ifu, 1, DETECTOR.trimmed_shape).astype(np.float32)
        image = MuseImage(data, np.zeros(data.shape, np.int32), np.ones_like(data), header, "count")
        paths.append(write_image(tmp_path / f"MASTER_DARK-{ifu:02d}.fits", image, ifu))
    return merge_products(paths, tmp_path / "MASTER_DARK.fits")


def test_each_image_has_the_model_that_muse_dark_makes(merged: Path) -> None:
    assert model([str(merged), str(merged.with_name("M.fits"))]) == 0
    assert model(["-i", "12", str(merged), str(merged.with_name("one.fits"))]) == 0
    for ifu in IFUS:
        dark, made = read_image(merged, ifu), read_image(merged.with_name(f"M-{ifu:02d}.fits"), ifu)
        for found, expected in zip(
            (made.data, made.dq, made.stat), model_dark(dark.data, dark.dq, dark.stat, DETECTOR), strict=True
        ):
            np.testing.assert_array_equal(found, expected)
        header = fits.getheader(merged.with_name(f"M-{ifu:02d}.fits"))
        assert header["HIERARCH ESO PRO CATG"] == "MODEL_DARK"
        assert not [key for key in header if " QC " in key]
    np.testing.assert_array_equal(
        read_image(merged.with_name("one.fits"), 12).data, read_image(merged.with_name("M-12.fits"), 12).data
    )


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["MASTER_DARK.fits"], 1, "Usage: muse_dark_image_model"),
        (["MASTER_DARK.fits", "M.fits", "-i"], 2, "-i needs a value"),
        (["-i", "25", "MASTER_DARK.fits", "M.fits"], 5, "from 1 to 24"),
        (["-z", "MASTER_DARK.fits", "M.fits"], 9, "unknown option -z"),
        (["no.fits", "M.fits"], 10, "no.fits cannot be read"),
        (["-i", "4", "MASTER_DARK.fits", "M.fits"], 11, "no image of IFU 4"),
        (["-i", "3", "MASTER_DARK-03.fits", "M.fits"], 11, "no image of IFU 3"),
        (["MASTER_DARK-03.fits", "M.fits"], 12, "no images of several IFUs"),
    ],
)
def test_exit_codes(words: list[str], code: int, told: str, merged: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(merged.parent)
    assert model(words) == code
    assert told in capsys.readouterr().err
    assert not list(Path().glob("M[.-]*"))
