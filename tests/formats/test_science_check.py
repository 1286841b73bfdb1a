"""Rules of ESO's science data products: a cube that keeps them, and one damage for each kind of rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.errors import BadFitsError
from core.formats.cube_forms import ARCHIVE_UNIT
from core.formats.science_check import check_science_cube
from core.formats.science_rules import KEYWORD_RULES, NEEDS
from core.tools.science_product import check

PRIMARY = {
    "ORIGIN": "ESO", "TELESCOP": "ESO-VLT-U4", "INSTRUME": "MUSE", "OBJECT": "a field", "RA": 150.0, "DEC": -30.0,
    "RADESYS": "FK5", "EQUINOX": 2000.0, "EXPTIME": 600.0, "TEXPTIME": 1200.0, "NCOMBINE": 2, "MJD-OBS": 61345.0,
    "MJD-END": 61345.02, "PROG_ID": "MULTI", "PROGID1": "60.A-9100(A)", "PROGID2": "60.A-9100(B)", "OBID1": 7,
    "PROV1": "MUSE.1.fits", "PROV2": "MUSE.2.fits", "ASSON1": "IMAGE_FOV_0001.fits", "PRODCATG": "SCIENCE.CUBE.IFS",
    "OBSTECH": "IFU", "FLUXCAL": "ABSOLUTE", "PROCSOFT": "muse-cascade/0.1", "REFERENC": "", "WAVELMIN": 500.0,
    "WAVELMAX": 500.375, "SPEC_RES": 1800.0, "SKY_RES": 0.8, "SKY_RERR": 0.3, "PIXNOISE": 2e-20, "ABMAGLIM": 25.0,
    "SPECSYS": "BARYCENT",
}  # fmt: skip
AXES = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "AWAV", "CUNIT1": "deg", "CUNIT2": "deg",
    "CUNIT3": "angstrom", "CRVAL1": 150.0, "CRVAL2": -30.0, "CRVAL3": 5000.0, "CRPIX1": 3.0, "CRPIX2": 2.5,
    "CRPIX3": 1.0, "CD1_1": -0.2 / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.2 / 3600, "CD3_3": 1.25,
    "CRDER3": 0.026, "CSYER1": -1.0, "CSYER2": -1.0, "HDUCLASS": "ESO", "HDUDOC": "DICD",
    "HDUVERS": "DICD version 6", "HDUCLAS1": "IMAGE",
}  # fmt: skip
Change = Callable[[fits.HDUList], Any]


def write(folder: Path, change: Change = lambda hdus: None) -> Path:
    """A cube of 4 planes of 5 x 6 pixels, changed."""
    data, errors = (fits.ImageHDU(np.ones((4, 5, 6), np.float32), name=name) for name in ("DATA", "STAT"))
    hdus = fits.HDUList([fits.PrimaryHDU(), data, errors])
    hdus[0].header.update(PRIMARY)
    for hdu in hdus[1:]:
        hdu.header.update(AXES)
    data.header.update({"HDUCLAS2": "DATA", "ERRDATA": "STAT", "BUNIT": ARCHIVE_UNIT})
    errors.header.update({"HDUCLAS2": "ERROR", "HDUCLAS3": "MSE", "SCIDATA": "DATA", "BUNIT": "1"})
    change(hdus)
    hdus.writeto(folder / "cube.fits", checksum=True, overwrite=True)
    return folder / "cube.fits"


def assign(hdu: int, key: str, value: Any) -> Change:
    return lambda hdus: hdus[hdu].header.__setitem__(key, value)


def remove(hdu: int, key: str) -> Change:
    return lambda hdus: hdus[hdu].header.remove(key)


def test_a_cube_that_keeps_all_rules(tmp_path: Path) -> None:
    assert check_science_cube(write(tmp_path)) == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (assign(0, "PRODCATG", "SCIENCE.IMAGE"), "PRODCATG"),
        (remove(0, "ABMAGLIM"), "ABMAGLIM"),
        (assign(0, "NCOMBINE", 2.5), "NCOMBINE"),
        (assign(0, "SPEC_RES", "high"), "SPEC_RES"),
        (assign(0, "SKY_RES", -1.0), "SKY_RES"),
        (remove(0, "PROGID1"), "PROGID1"),
        (remove(0, "EQUINOX"), "EQUINOX"),
        (assign(0, "PROGID2", 5), "PROGID2"),
        (remove(0, "SPECSYS"), "SPECSYS"),
        (assign(1, "BUNIT", "count"), "BUNIT"),
        (assign(1, "CTYPE3", "FREQ"), "CTYPE3"),
        (remove(1, "CRDER3"), "CRDER3"),
        (assign(2, "HDUCLAS3", "SIGMA"), "HDUCLAS3"),
        (assign(1, "EXTNAME", "CUBE"), "layout"),
        (lambda hdus: setattr(hdus[0], "data", np.ones((3, 3))), "layout"),
        (assign(1, "ERRDATA", "ERR"), "errors"),
        (lambda hdus: setattr(hdus[2], "data", np.ones((4, 5, 5), np.float32)), "errors"),
        (assign(0, "WAVELMAX", 600.0), "wavelengths"),
        (assign(0, "RA", 150.01), "place"),
        (assign(0, "MJD-END", 61345.001), "times"),
        (assign(0, "MJD-END", 61344.9), "times"),
        (assign(0, "PROV01", "MUSE.3.fits"), "provenance"),
        (assign(0, "PROV2", "MUSE.1.fits"), "provenance"),
        (assign(0, "PROV2", "MUSE.2.fits[1]"), "provenance"),
        (assign(0, "NCOMBINE", 3), "provenance"),
    ],
)
def test_a_damaged_cube_is_told_by_the_rule(tmp_path: Path, change: Change, rule: str) -> None:
    assert rule in {finding.rule for finding in check_science_cube(write(tmp_path, change))}


def test_fluxes_that_are_not_calibrated_have_no_limit(tmp_path: Path) -> None:
    def counts(hdus: fits.HDUList) -> None:
        hdus[0].header["FLUXCAL"] = "UNCALIBRATED"
        hdus[1].header["BUNIT"] = "count"
        hdus[0].header.remove("ABMAGLIM")

    assert check_science_cube(write(tmp_path, counts)) == []


def test_images_beside_the_cube_are_looked_at(tmp_path: Path) -> None:
    path = write(tmp_path)
    image = fits.PrimaryHDU()
    image.writeto(tmp_path / "IMAGE_FOV_0001.fits")
    (finding,) = check_science_cube(path)
    assert (finding.rule, finding.hdu) == ("associated files", "IMAGE_FOV_0001.fits")
    image.header["PRODCATG"] = "ANCILLARY.IMAGE.WHITELIGHT"
    image.writeto(tmp_path / "IMAGE_FOV_0001.fits", overwrite=True)
    assert check_science_cube(path) == []


def test_damaged_bytes_are_told(tmp_path: Path) -> None:
    path = write(tmp_path)
    content = bytearray(path.read_bytes())
    content[-2800] ^= 1
    path.write_bytes(content)
    assert [finding.rule for finding in check_science_cube(path)] == ["checksums"]
    (tmp_path / "text.fits").write_text("no cube")
    with pytest.raises(BadFitsError):
        check_science_cube(tmp_path / "text.fits")


def test_the_command_tells_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    assert check([str(path)]) == 0
    assert "keeps all rules" in capsys.readouterr().out
    write(tmp_path, remove(0, "PIXNOISE"))
    assert check([str(path)]) == 12
    assert "PIXNOISE (primary): missing: number" in capsys.readouterr().out
    assert (check([]), check(["-x"]), check([str(tmp_path / "none.fits")])) == (1, 9, 10)
    assert check(["-l"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(KEYWORD_RULES) + 1


def test_each_need_is_known() -> None:
    assert {rule.need for rule in KEYWORD_RULES} <= set(NEEDS)
