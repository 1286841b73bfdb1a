"""``cascade statics`` builds what is missing, takes what users bring, and lists all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from astropy.io import fits

from core.errors import ProductStoreError
from core.formats.astrometric_field import nearest_field
from core.instruments.muse.statics import MUSE_STATICS
from service.cli.statics import run_statics

BUILT = {built.file_name: built.tag for built in MUSE_STATICS.built}


def statics(folder: Path, *fields: Path, again: bool = False, as_json: bool = True) -> int:
    return run_statics(folder, simulated=False, seed=1, fields=fields, again=again, as_json=as_json)


def test_what_is_missing_is_built_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert statics(tmp_path) == 0
    first = json.loads(capsys.readouterr().out)
    assert {Path(path).name for path in first["written"]} == set(BUILT)
    assert {file["tag"] for file in first["files"]} == set(BUILT.values())
    assert all(file["built"] for file in first["files"])
    assert statics(tmp_path) == 0
    assert json.loads(capsys.readouterr().out)["written"] == []


def test_built_files_are_built_again_and_delivered_ones_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    statics(tmp_path)
    delivered = tmp_path / "static" / "filter_list.fits"
    header = fits.Header()
    header["HIERARCH ESO PRO CATG"] = "FILTER_LIST"
    fits.PrimaryHDU(header=header).writeto(delivered, overwrite=True)
    before = delivered.read_bytes()
    capsys.readouterr()
    statics(tmp_path, again=True)
    found = json.loads(capsys.readouterr().out)
    assert {Path(path).name for path in found["written"]} == set(BUILT) - {"filter_list.fits"}
    assert delivered.read_bytes() == before
    statics(tmp_path, as_json=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["filter_list.fits", "FILTER_LIST", "any", "always", "delivered"] in lines
    assert ["extinct_table.fits", "EXTINCT_TABLE", "any", "always", "built"] in lines


def test_a_catalogue_becomes_the_reference_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalogue = tmp_path / "omega.csv"
    catalogue.write_text("ra,dec,mag\n" + "".join(f"201.{k},-47.5,1{k}\n" for k in range(1, 7)))
    assert statics(tmp_path, catalogue) == 0
    target = tmp_path / "static" / "astrometry_reference.fits"
    assert nearest_field(target, 201.35, -47.5).name == "omega"
    assert str(target) in json.loads(capsys.readouterr().out)["written"]
    fits.setval(target, "ORIGIN", value="ESO")
    with pytest.raises(ProductStoreError, match="delivered"):
        statics(tmp_path, catalogue)


def test_a_file_that_cannot_be_used_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    statics(tmp_path)
    (tmp_path / "static" / "text.fits").write_text("no FITS")
    capsys.readouterr()
    assert statics(tmp_path) == 1
    assert [Path(fault["path"]).name for fault in json.loads(capsys.readouterr().out)["faults"]] == ["text.fits"]
