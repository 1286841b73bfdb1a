"""Files appear whole under their name or not at all, with headers that everybody reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import (
    ProductStoreError,
)
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.fitsfile.scan import scan_fits
from core.fitsfile.writer import FitsWriter


def test_a_writer_that_cannot_finish_closes_its_file_once(tmp_path: Path) -> None:
    target = tmp_path / "X.fits"
    target.mkdir()
    writer = FitsWriter(target)
    writer.primary(Header())
    with pytest.raises(ProductStoreError, match="cannot finish"):
        writer.close()
    with (tmp_path / "other").open("wb") as other:  # gets the number that is free now
        writer.abort()
        other.write(b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["X.fits", "other"]


def test_a_header_that_changed_leaves_nothing_behind(tmp_path: Path) -> None:
    header = Header()
    writer = FitsWriter(tmp_path / "X.fits")
    writer.image(header, np.zeros((2, 2), np.float32))
    writer._hdus[0][2]["COMMENT"] = "x" * 60
    for number in range(40):
        writer._hdus[0][2][f"KEY{number}"] = number
    with pytest.raises(ProductStoreError, match="changed its length"):
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_nothing_half_written_has_the_final_name(tmp_path: Path) -> None:
    target = tmp_path / "X.fits"

    def fail_in_between() -> None:
        with FitsWriter(target) as writer:
            writer.primary(Header())
            assert not target.exists()
            raise RuntimeError("something fails in between")

    with pytest.raises(RuntimeError, match="in between"):
        fail_in_between()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ProductStoreError, match="cannot write"):
        FitsWriter(tmp_path / "nowhere" / "X.fits")


@pytest.mark.parametrize(
    ("value", "back"),
    [
        ("a" * 43 + ".fits", "a" * 43 + ".fits"),
        ("b" * 90 + ".fits", "b" * 90 + ".fits"),
        ("it's d'Alembert's own raw frame of the night.fits", "it's d'Alembert's own raw frame of the night.fits"),
        ("Flat_für_Müller_α.fits", "Flat_f?r_M?ller_?.fits"),
        ("tab\tand\nline", "tab?and?line"),
    ],
)
def test_texts_of_any_length_and_alphabet_give_valid_cards(tmp_path: Path, value: str, back: str) -> None:
    header = Header()
    set_key(header, "PRO.REC1.RAW1.NAME", value, "File name of raw frame, größer als Platz ist")
    set_key(header, "OBS.NAME", "next")
    with FitsWriter(tmp_path / "a.fits", datamd5=True) as writer:
        writer.primary(header)
    with fits.open(tmp_path / "a.fits", checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[0].header["ESO PRO REC1 RAW1 NAME"] == back
        assert hdus[0].header["ESO OBS NAME"] == "next"
    assert scan_fits(tmp_path / "a.fits").primary["ESO PRO REC1 RAW1 NAME"] == back


def test_an_image_may_be_in_the_primary_hdu(tmp_path: Path) -> None:
    header = Header()
    header["OBJECT"] = "a mask"
    with FitsWriter(tmp_path / "a.fits", datamd5=True) as writer:
        writer.primary(header, np.arange(6, dtype=np.int32).reshape(2, 3))
    with fits.open(tmp_path / "a.fits", checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[0].data.tolist() == [[0, 1, 2], [3, 4, 5]]
        assert hdus[0].header["OBJECT"] == "a mask"
        assert "XTENSION" not in hdus[0].header
