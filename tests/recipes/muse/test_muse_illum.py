"""muse_illum: the channels of a raw illumination flat are copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.errors import BadFitsError, MissingInputError
from core.formats.raw import open_raw, write_raw
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.registry import get_recipe


def run(pairs: list[tuple[Path, str]], folder: Path) -> Path:
    """Run the recipe; the product."""
    recipe = get_recipe("muse_illum")
    frames = FrameSet(tuple(Frame(path, tag) for path, tag in pairs))
    (product,) = run_recipe(recipe, frames, recipe.Params(), folder).products
    return product.path


def write_exposure(frame_maker: Any, path: Path) -> Path:
    """A raw exposure of IFU 7 and 3, with another extension."""
    primary, channel = frame_maker.headers(1.5, DPR_TYPE="FLAT,LAMP,ILLUM")
    primary["RADECSYS"] = "FK5"
    write_raw(path, primary, [(ifu, channel, frame_maker.pixels(ifu, 60000.0 * (ifu == 7))) for ifu in (7, 3)])
    fits.append(path, np.zeros((3, 3), np.float32), fits.Header({"EXTNAME": "SGS_IMG"}))
    return path


def test_channels_are_copied_in_their_order(frame_maker: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    raw = write_exposure(frame_maker, tmp_path / "raw.fits")
    with caplog.at_level("WARNING"):
        product = run([(raw, "ILLUMFLAT")], tmp_path)
    assert product.name == "ILLUM_0001.fits"
    assert "CHAN24" in caplog.text
    with fits.open(product, checksum=True) as hdus, fits.open(raw) as raws:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "CHAN03", "CHAN07"]
        assert hdus[0].header["ESO PRO CATG"] == "ILLUM"
        assert hdus[0].header["RADESYS"] == "FK5"
        assert not any("ESO DPR" in key or key == "RADECSYS" for key in hdus[0].header)
        for hdu in hdus[1:]:
            np.testing.assert_array_equal(hdu.data, raws[hdu.name].data)
            assert hdu.data.dtype == ">i4"
            assert "BZERO" not in hdu.header
            assert hdu.header["ESO DET OUT1 GAIN"] == raws[hdu.name].header["ESO DET OUT1 GAIN"]


def test_the_copy_is_read_as_the_raw_frame(frame_maker: Any, tmp_path: Path) -> None:
    raw = write_exposure(frame_maker, tmp_path / "raw.fits")
    product = run([(raw, "ILLUMFLAT")], tmp_path)
    for ifu in (3, 7):
        np.testing.assert_array_equal(open_raw(product).channel(ifu).read(), open_raw(raw).channel(ifu).read())
    with fits.open(product, mode="update") as hdus:
        hdus["CHAN07"].data[5, 5] = 70000
    with pytest.raises(BadFitsError, match="none of a raw frame"):
        open_raw(product).channel(7).read()


def test_one_exposure_is_taken(frame_maker: Any, tmp_path: Path) -> None:
    raw = frame_maker.write("raw.fits", 1)
    with pytest.raises(MissingInputError, match="takes one ILLUMFLAT"):
        run([(raw, "ILLUMFLAT"), (frame_maker.write("other.fits", 2), "ILLUMFLAT")], tmp_path)
    with pytest.raises(MissingInputError, match="ILLUMFLAT"):
        run([(raw, "ILLUM")], tmp_path)


def test_an_exposure_without_channels_is_refused(tmp_path: Path) -> None:
    fits.PrimaryHDU().writeto(tmp_path / "raw.fits")
    with pytest.raises(Exception, match="no channel"):
        run([(tmp_path / "raw.fits", "ILLUMFLAT")], tmp_path)
