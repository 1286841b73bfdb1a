"""Static calibrations reach the planner; what cannot be used is said once in the log, and on the pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from astropy.time import Time

from core.cascade.model import FrameInfo, Origin, Quality
from core.cascade.plan import make_plan
from core.instruments.muse.declaration import INSTRUMENT
from core.instruments.rules import InputRule, MasterSource, RawSource, Rules, Task
from service.status import read_status
from workers.statics import build_statics, static_calibrations


def write(path: Path, tag: str, **keywords: str) -> None:
    header = fits.Header()
    header["HIERARCH ESO PRO CATG"] = tag
    for name, value in keywords.items():
        header[f"HIERARCH ESO {name.replace('_', ' ')}"] = value
    fits.PrimaryHDU(header=header).writeto(path)


def test_what_is_published_is_built_once(tmp_path: Path) -> None:
    build_statics(tmp_path)
    found = {Path(item.id).name: item.tag for item in static_calibrations(tmp_path, INSTRUMENT)}
    assert found == {
        "line_catalog.fits": "LINE_CATALOG",
        "extinct_table.fits": "EXTINCT_TABLE",
        "sky_lines.fits": "SKY_LINES",
        "raman_lines.fits": "RAMAN_LINES",
        "std_flux_table.fits": "STD_FLUX_TABLE",
        "filter_list.fits": "FILTER_LIST",
        "telluric_regions.fits": "TELLURIC_REGIONS",
    }
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in found}
    build_statics(tmp_path)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in found} == before


def test_files_of_the_observatory_are_taken_instead(tmp_path: Path) -> None:
    write(tmp_path / "MU_GEXT_140101A_extinct_table.fits", "EXTINCT_TABLE")
    build_statics(tmp_path)
    found = [Path(item.id).name for item in static_calibrations(tmp_path, INSTRUMENT) if item.tag == "EXTINCT_TABLE"]
    assert found == ["MU_GEXT_140101A_extinct_table.fits"]


@pytest.mark.parametrize("name", ["own/extinct_table.fits", "MU_GEXT_140101A_extinct_table.fits"])
def test_files_that_come_later_replace_what_was_built(tmp_path: Path, name: str) -> None:
    build_statics(tmp_path)
    (tmp_path / "own").mkdir()
    write(tmp_path / name, "EXTINCT_TABLE")
    rules = replace(
        PAIRED, masters=(MasterSource("EXTINCT_TABLE", "extinction-1"),), tasks=(NEEDS_EXTINCTION,), pairs=()
    )
    for day, dated in (("2013-06-01", "extinct_table"), ("2015-06-01", "MU_GEXT_140101A_extinct_table")):
        frame = FrameInfo("frame", "OBJECT", INSTRUMENT.setup.of_values({}), Time(day).mjd, units=(1,), night=day)
        (block,) = make_plan(rules, [frame], static_calibrations(tmp_path, INSTRUMENT)).blocks
        (choice,) = block.inputs
        wanted = tmp_path / name if name.startswith("own") else tmp_path / f"{dated}.fits"
        assert choice.product.id == str(wanted)


def test_a_candidate_has_setup_version_and_pair(tmp_path: Path) -> None:
    write(tmp_path / "MU_GEOT_171001B_geometry_table_wfm.fits", "GEOMETRY_TABLE")
    write(tmp_path / "MU_GSDR_190601A_std_response_nfm-ao-n.fits", "STD_RESPONSE")
    write(tmp_path / "MU_GSKL_140101A_sky_lines.fits", "SKY_LINES")
    geometry, response, lines = static_calibrations(tmp_path, INSTRUMENT)
    assert (geometry.version, geometry.pair) == ("171001B", "171001B")
    assert response.setup is not None
    assert response.setup.label.startswith("NFM-AO-N")
    assert lines.setup is None
    assert {item.origin for item in (geometry, response, lines)} == {Origin.STATIC}
    assert {item.quality for item in (geometry, response, lines)} == {Quality.CERTIFIED}
    assert len({item.digest for item in (geometry, response, lines)}) == 3


def test_a_file_that_cannot_be_used_is_named_once_in_the_log_and_on_the_pages(
    make_house: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    house = make_house(frames=0)
    folder = house.settings.static_dir
    write(folder / "date.fits", "BADPIX_TABLE", PRO_VALID_START="soon")
    (folder / "text.fits").write_text("no FITS")
    write(folder / "good.fits", "BADPIX_TABLE")
    for _ in range(2):
        assert [Path(found.id).name for found in static_calibrations(folder, INSTRUMENT)] == ["good.fits"]
    assert sorted(Path(record.message.split()[3]).name for record in caplog.records) == ["date.fits", "text.fits"]
    with house.archive.read() as session:
        alarms = [alarm.text for alarm in read_status(session, house.settings).alarms]
    assert sum("date.fits cannot be used: PRO.VALID.START is 'soon'" in text for text in alarms) == 1
    assert sum("text.fits cannot be used" in text for text in alarms) == 1
    assert not any("good.fits" in text for text in alarms)


def test_each_mode_has_the_static_calibration_of_its_name(tmp_path: Path) -> None:
    for word in ("wfm-e", "wfm-n", "nfm-ao-n"):
        write(tmp_path / f"std_response_{word}.fits", "STD_RESPONSE")
    key = INSTRUMENT.setup.key("mode")
    for mode, wanted in (("WFM-NOAO-E", "wfm-e"), ("WFM-NOAO-N", "wfm-n"), ("NFM-AO-N", "nfm-ao-n")):
        fitting = [
            Path(item.id).stem
            for item in static_calibrations(tmp_path, INSTRUMENT)
            if item.setup is not None and not key.difference(item.setup.mode, mode)
        ]
        assert fitting == [f"std_response_{wanted}"]


def test_a_static_calibration_that_does_not_tell_its_mode_serves_any(tmp_path: Path) -> None:
    write(tmp_path / "geometry_table_wfm.fits", "GEOMETRY_TABLE")
    (geometry,) = static_calibrations(tmp_path, INSTRUMENT)
    assert geometry.setup is not None
    assert geometry.setup.values == (("field", "WFM"),)
    nfm = INSTRUMENT.setup.of_keywords({"INS.MODE": "NFM-AO-N"})
    assert INSTRUMENT.setup.key("mode").difference(geometry.setup.mode, nfm.mode) == ""
    assert INSTRUMENT.setup.key("field").difference(geometry.setup.get("field"), nfm.get("field")) != ""


NEEDS_EXTINCTION = Task("toy", "OBJECT", (InputRule("EXTINCT_TABLE"),), ("DATACUBE_FINAL",))
PAIRED = Rules(
    setup=INSTRUMENT.setup,
    units=INSTRUMENT.units,
    raws=(RawSource("OBJECT"),),
    masters=(
        MasterSource("GEOMETRY_TABLE", "geometry-1", ("field",)),
        MasterSource("ASTROMETRY_WCS", "wcs-1", ("field",)),
    ),
    tasks=(Task("toy", "OBJECT", (InputRule("GEOMETRY_TABLE"), InputRule("ASTROMETRY_WCS")), ("DATACUBE_FINAL",)),),
    pairs=INSTRUMENT.statics.pairs,
)


@pytest.mark.parametrize(
    ("day", "geometry", "astrometry"),
    [
        ("2014-02-21", "geometry_table_wfm_comm1", "astrometry_wcs_wfm_comm1"),
        ("2014-05-01", "geometry_table_wfm_comm2a", "astrometry_wcs_wfm_comm2"),
        ("2014-11-30", "geometry_table_wfm_comm2b", "astrometry_wcs_wfm_comm2b"),
        ("2015-01-01", "geometry_table_wfm", "astrometry_wcs_wfm"),
        ("2018-01-01", "MU_GEOT_171001A_geometry_table_wfm", "MU_GASW_171001A_astrom_wcs_wfm"),
        ("2020-01-01", "MU_GEOT_171001A_geometry_table_wfm", "MU_GASW_171001A_astrom_wcs_wfm"),
    ],
)
def test_geometry_and_astrometry_are_the_pair_of_their_time(
    tmp_path: Path, day: str, geometry: str, astrometry: str
) -> None:
    for word in ("_comm1", "_comm2a", "_comm2b", ""):
        write(tmp_path / f"geometry_table_wfm{word}.fits", "GEOMETRY_TABLE")
    for word in ("_comm1", "_comm2", "_comm2b", ""):
        write(tmp_path / f"astrometry_wcs_wfm{word}.fits", "ASTROMETRY_WCS")
    write(tmp_path / "MU_GEOT_171001A_geometry_table_wfm.fits", "GEOMETRY_TABLE")
    write(tmp_path / "MU_GASW_171001A_astrom_wcs_wfm.fits", "ASTROMETRY_WCS")
    write(tmp_path / "MU_GEOT_190101A_geometry_table_wfm.fits", "GEOMETRY_TABLE")  # of which the astrometry is missing
    frame = FrameInfo("frame", "OBJECT", INSTRUMENT.setup.of_values({}), Time(day).mjd, units=(1,), night=day)
    (block,) = make_plan(PAIRED, [frame], static_calibrations(tmp_path, INSTRUMENT)).blocks
    chosen = {choice.role: Path(choice.product.id).stem for choice in block.inputs}
    assert chosen == {"GEOMETRY_TABLE": geometry, "ASTROMETRY_WCS": astrometry}
