"""A directory of static calibrations tells of each file what it is, when it applies, for which set-up, and its pair."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time

from core.fitsfile.digest import file_sha256
from core.instruments.muse.statics import MUSE_STATICS
from core.staticcal import StaticFile, StaticListing, directory, list_statics

WriteStatic = Callable[..., Path]
KEYS = ("INS.MODE", "INS.OPTI2.NAME")


def listing(folder: Path) -> StaticListing:
    return list_statics(folder, MUSE_STATICS, KEYS)


def by_name(folder: Path) -> dict[str, StaticFile]:
    return {Path(file.path).name: file for file in listing(folder).files}


def mjd(day: str) -> float:
    return float(Time(day).mjd)


def test_a_dated_file_is_valid_from_the_date_in_its_name(tmp_path: Path, write_static: WriteStatic) -> None:
    path = write_static("MU_GBPT_140101A_badpix_table.fits", "BADPIX_TABLE")
    (file,) = listing(tmp_path).files
    assert (file.tag, file.version) == ("BADPIX_TABLE", "140101A")
    assert (file.valid_from, file.valid_until) == (mjd("2014-01-01"), float("inf"))
    assert file.digest == file_sha256(path)


def test_keywords_of_validity_go_before_the_name(tmp_path: Path, write_static: WriteStatic) -> None:
    write_static(
        "MU_GBPT_140101A_badpix_table.fits", "BADPIX_TABLE", PRO_VALID_START="2013-06-01", PRO_VALID_END="2015-01-01"
    )
    (file,) = listing(tmp_path).files
    assert (file.valid_from, file.valid_until) == (mjd("2013-06-01"), mjd("2015-01-01"))


def test_times_with_a_zone_are_converted(tmp_path: Path, write_static: WriteStatic) -> None:
    write_static("a.fits", "BADPIX_TABLE", PRO_VALID_START="2015-01-01T02:00:00+02:00")
    assert listing(tmp_path).files[0].valid_from == mjd("2015-01-01")


def test_a_file_of_which_nothing_tells_is_valid_always(tmp_path: Path, write_static: WriteStatic) -> None:
    write_static("below/my_table.fits", "EXTINCT_TABLE")
    (file,) = listing(tmp_path).files
    assert (file.valid_from, file.valid_until) == (float("-inf"), float("inf"))


@pytest.mark.parametrize(
    ("geometry", "astrometry", "start", "end"),
    [
        ("geometry_table_wfm_comm1", "astrometry_wcs_wfm_comm1", None, "2014-02-22"),
        ("geometry_table_wfm_comm2a", "astrometry_wcs_wfm_comm2", "2014-02-22", "2014-07-15"),
        ("geometry_table_wfm_comm2b", "astrometry_wcs_wfm_comm2b", "2014-07-15", "2014-12-01"),
        ("geometry_table_wfm", "astrometry_wcs_wfm", "2014-12-01", None),
    ],
)
def test_the_pairs_of_the_manual_have_their_spans(
    tmp_path: Path, write_static: WriteStatic, geometry: str, astrometry: str, start: str | None, end: str | None
) -> None:
    write_static(f"{geometry}.fits", "GEOMETRY_TABLE")
    write_static(f"{astrometry}.fits", "ASTROMETRY_WCS")
    first, second = listing(tmp_path).files
    assert first.pair == second.pair != ""
    for file in (first, second):
        assert file.valid_from == (mjd(start) if start else float("-inf"))
        assert file.valid_until == (mjd(end) if end else float("inf"))
        assert ("INS.OPTI2.NAME", "WFM") in file.setup


def test_geometry_and_astrometry_of_one_version_are_a_pair(tmp_path: Path, write_static: WriteStatic) -> None:
    for day in ("140906A", "171001A"):
        write_static(f"MU_GEOT_{day}_geometry_table_wfm.fits", "GEOMETRY_TABLE")
        write_static(f"MU_GASW_{day}_astrom_wcs_wfm.fits", "ASTROMETRY_WCS")
    write_static("MU_GEXT_140101A_extinct_table.fits", "EXTINCT_TABLE")
    found = by_name(tmp_path)
    assert found["MU_GEOT_140906A_geometry_table_wfm.fits"].pair == found["MU_GASW_140906A_astrom_wcs_wfm.fits"].pair
    assert found["MU_GEOT_171001A_geometry_table_wfm.fits"].pair == found["MU_GASW_171001A_astrom_wcs_wfm.fits"].pair
    assert len({file.pair for file in found.values()}) == 3  # two pairs, and the table without partner
    assert found["MU_GEXT_140101A_extinct_table.fits"].pair == ""


def test_the_header_of_an_astrometry_knows_its_geometry_better_than_the_name(
    tmp_path: Path, write_static: WriteStatic
) -> None:
    write_static("MU_GEOT_171001A_geometry_table_wfm.fits", "GEOMETRY_TABLE", DATAMD5="aaa")
    write_static("MU_GEOT_180101A_geometry_table_wfm.fits", "GEOMETRY_TABLE", DATAMD5="bbb")
    write_static("my_geometry.fits", "GEOMETRY_TABLE", DATAMD5="ccc")
    rec = {"PRO_REC1_CAL1_CATG": "MASTER_BIAS", "PRO_REC1_CAL1_DATAMD5": "bbb", "PRO_REC1_CAL2_CATG": "GEOMETRY_TABLE"}
    write_static("MU_GASW_180101A_astrom_wcs_wfm.fits", "ASTROMETRY_WCS", **rec, PRO_REC1_CAL2_DATAMD5="aaa")
    write_static("my_wcs.fits", "ASTROMETRY_WCS", **rec, PRO_REC1_CAL2_DATAMD5="ccc")
    found = by_name(tmp_path)
    assert found["MU_GASW_180101A_astrom_wcs_wfm.fits"].pair == "171001A"
    assert found["my_wcs.fits"].pair == found["my_geometry.fits"].pair == "my_geometry"


def test_the_vignetting_mask_is_not_used_after_10_march_2017(tmp_path: Path, write_static: WriteStatic) -> None:
    write_static("MU_GVIM_140906A_vignetting_mask.fits", "VIGNETTING_MASK", PRO_VALID_END="2030-01-01")
    (file,) = listing(tmp_path).files
    assert file.valid_until == mjd("2017-03-11")


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("lsf_profile_slow_wfm-n", "WFM-NOAO-N"),
        ("lsf_profile_slow_wfm-e", "WFM-NOAO-E"),
        ("MU_GSDR_170601A_std_response_wfm-e", "WFM-NOAO-E"),
        ("MU_GSDR_190601A_std_response_nfm-ao-n", "NFM-AO-N"),
    ],
)
def test_the_mode_comes_from_the_name_if_the_header_does_not_tell(
    tmp_path: Path, write_static: WriteStatic, name: str, mode: str
) -> None:
    write_static(f"{name}.fits", "LSF_PROFILE")
    assert dict(listing(tmp_path).files[0].setup)["INS.MODE"] == mode


def test_the_mode_of_the_header_goes_first(tmp_path: Path, write_static: WriteStatic) -> None:
    write_static("lsf_profile_slow_wfm-n.fits", "LSF_PROFILE", INS_MODE="WFM-AO-N")
    assert dict(listing(tmp_path).files[0].setup)["INS.MODE"] == "WFM-AO-N"


def test_a_packed_image_is_read_and_a_packed_primary_header_too(tmp_path: Path) -> None:
    header = fits.Header()
    header["HIERARCH ESO PRO CATG"] = "VIGNETTING_MASK"
    image = fits.CompImageHDU(np.ones((40, 40), np.float32), header=header)
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(tmp_path / "MU_GVIM_140906A_vignetting_mask.fits.fz")
    (file,) = listing(tmp_path).files
    assert (file.tag, file.version) == ("VIGNETTING_MASK", "140906A")


def test_what_cannot_be_used_is_told_and_keeps_out_nothing_else(tmp_path: Path, write_static: WriteStatic) -> None:
    good = write_static("good.fits", "BADPIX_TABLE")
    write_static("date.fits", "BADPIX_TABLE", PRO_VALID_START="soon")
    write_static("no_kind.fits", None)
    (tmp_path / "cut.fits").write_bytes(good.read_bytes()[:1000])
    (tmp_path / "link.fits").symlink_to(tmp_path / "nowhere")
    (tmp_path / "packed.fits.gz").write_bytes(gzip.compress(good.read_bytes()))
    (tmp_path / "text.fits").write_text("no FITS")
    (tmp_path / ".hidden.fits").write_text("no FITS")
    (tmp_path / "README").write_text("no FITS")
    found = listing(tmp_path)
    assert [Path(file.path).name for file in found.files] == ["good.fits"]
    reasons = {Path(fault.path).name: fault.reason for fault in found.faults}
    assert set(reasons) == {"cut.fits", "date.fits", "link.fits", "packed.fits.gz", "text.fits"}
    assert "'soon'" in reasons["date.fits"]
    assert "unpack" in reasons["packed.fits.gz"]


def test_a_file_is_read_again_only_when_it_changed(
    tmp_path: Path, write_static: WriteStatic, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_static("a.fits", "BADPIX_TABLE")
    before = listing(tmp_path)
    scans: list[Path] = []
    scan = directory.scan_fits
    monkeypatch.setattr(directory, "scan_fits", lambda item: (scans.append(item), scan(item))[1])
    assert listing(tmp_path) == before
    assert scans == []
    path.unlink()
    write_static("a.fits", "SKY_LINES")
    os.utime(path, (1, 1))
    assert listing(tmp_path).files[0].tag == "SKY_LINES"
    assert scans == [path]


def test_a_directory_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    assert listing(tmp_path / "nowhere") == StaticListing((), ())
