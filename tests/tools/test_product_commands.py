"""Products of IFUs are merged, split and signed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.fitsfile.header import Header
from core.fitsfile.integrity import check_file
from core.fitsfile.keywords import set_key
from core.formats.image import MuseImage, read_image, write_image
from core.formats.tables import BADPIX_TABLE, MuseTable, read_table, write_table
from core.tools.product_commands import merge, sign, split


def header(ifu: int, tag: str) -> Header:
    cards = Header()
    for key, value in {"OBJECT": "BIAS", "PRO.CATG": tag, "DET.CHIP.NAME": f"CHAN{ifu:02d}", "QC.BIAS.X": ifu}.items():
        set_key(cards, key, value)
    return cards


def image(folder: Path, ifu: int, tag: str = "MASTER_BIAS") -> Path:
    data = np.full((3, 4), ifu, np.float32)
    return write_image(
        folder / f"{tag}-{ifu:02d}.fits",
        MuseImage(data, np.full((3, 4), ifu, np.int32), data / 10, header(ifu, tag), "count"),
        ifu,
    )


def table(folder: Path, ifu: int) -> Path:
    columns = {name: np.array([ifu], np.int32) for name in ("xpos", "ypos", "status")}
    columns["value"] = np.array([1.5], np.float32)
    return write_table(
        folder / f"BADPIX-{ifu:02d}.fits", BADPIX_TABLE, MuseTable(columns, header(ifu, "BADPIX_TABLE")), ifu
    )


def test_products_are_merged_by_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, tables = [image(tmp_path, ifu) for ifu in (2, 1)], [table(tmp_path, ifu) for ifu in (1, 2)]
    alone, pixels = image(tmp_path, 3, "MASTER_DARK"), image(tmp_path, 1, "PIXTABLE_OBJECT")
    assert merge([str(path) for path in (*images, *tables, alone, pixels)]) == 0
    streams = capsys.readouterr()
    assert f"{images[0]}: MASTER_BIAS" in streams.out
    assert "Merging 5 products, keeping the input files" in streams.out
    assert f"{tmp_path / 'MASTER_BIAS.fits'}: 6 extensions" in streams.out
    assert f"{alone}: nothing to merge" in streams.err
    assert f"{pixels}: pixel tables are not merged" in streams.err
    np.testing.assert_array_equal(read_image(tmp_path / "MASTER_BIAS.fits", 2).dq, np.full((3, 4), 2))
    assert read_table(tmp_path / "BADPIX.fits", BADPIX_TABLE, 2)["xpos"].tolist() == [2]
    primary = fits.getheader(tmp_path / "MASTER_BIAS.fits")
    assert primary["PIPEFILE"] == "MASTER_BIAS-01.fits"
    assert not {"DATAMD5", "CHECKSUM"} & set(primary)
    assert all(path.exists() for path in (*images, *tables, alone, pixels))


def test_merged_products_are_signed_and_their_inputs_deleted_if_asked_for(tmp_path: Path) -> None:
    paths = [image(tmp_path, ifu) for ifu in (1, 2)]
    assert merge(["-s", "-d", *map(str, paths)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["MASTER_BIAS.fits"]
    assert fits.getheader(tmp_path / "MASTER_BIAS.fits")["PIPEFILE"] == "MASTER_BIAS.fits"
    assert check_file(tmp_path / "MASTER_BIAS.fits").faults == ()


@pytest.mark.parametrize("make", [image, table])
def test_a_merged_product_that_is_split_gives_its_parts(make: Any, tmp_path: Path) -> None:
    paths = [make(tmp_path, ifu) for ifu in (1, 24)]
    before = {path: path.read_bytes() for path in paths}
    merged = paths[0].with_name(paths[0].name.replace("-01", ""))
    assert merge(["-s", "-d", *map(str, paths)]) == 0
    assert split(["-d", "-s", str(merged)]) == 0
    assert sorted(tmp_path.iterdir()) == paths
    for path in paths:
        with fits.open(path) as hdus, fits.HDUList.fromstring(before[path]) as old:
            for hdu, other in zip(hdus, old, strict=True):
                assert {**hdu.header} == {**other.header}
                assert hdu.name == other.name
        assert check_file(path).faults == ()


def test_extensions_without_data_and_of_other_names_are_split_too(tmp_path: Path) -> None:
    def named(name: str) -> fits.Header:
        return fits.Header([("EXTNAME", name), ("HIERARCH ESO QC AMPL THRU1", 3.5)])

    image_of = np.ones((2, 2), np.float32)
    hdus = [fits.ImageHDU(None, named("CHAN01")), fits.ImageHDU(image_of, named("CHAN02.PHOTONS"))]
    hdus += [fits.ImageHDU(image_of, named("CHAN02.ENERGY")), fits.ImageHDU(image_of, named("OTHER"))]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "A.fits")
    assert split([str(tmp_path / "A.fits")]) == 0
    with fits.open(tmp_path / "A-01.fits") as one, fits.open(tmp_path / "A-02.fits") as two:
        assert [hdu.name for hdu in one] == ["CHAN01", ""]
        assert [hdu.name for hdu in two] == ["CHAN02", "PHOTONS", "ENERGY"]
        assert two[0].header["HIERARCH ESO QC AMPL THRU1"] == 3.5


def test_any_file_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    data = np.arange(6, dtype=np.int16).reshape(2, 3)
    fits.HDUList([fits.PrimaryHDU(data), fits.ImageHDU(data + 1, name="X")]).writeto("a.fits")
    for _ in range(2):
        assert sign(["a.fits", "MASTER_BIAS"]) == 0
    with fits.open("a.fits", checksum=True) as hdus:
        np.testing.assert_array_equal(hdus[0].data, data)
        np.testing.assert_array_equal(hdus["X"].data, data + 1)
        assert hdus[0].header["PIPEFILE"] == "a.fits"
        assert len(hdus[0].header["DATAMD5"].strip("0")) > 8
        assert all({"CHECKSUM", "DATASUM"} <= set(hdu.header) for hdu in hdus)
    assert check_file(Path("a.fits")).faults == ()
    assert b"MASTER_BIAS" not in Path("a.fits").read_bytes()


@pytest.mark.parametrize(
    ("tool", "words", "code", "told"),
    [
        (merge, ["B-01.fits", "B-02.fits"], 1, "Usage: muse_products_merge"),
        (merge, ["-s", "-z", "B-01.fits"], 9, "unknown option -z"),
        (merge, ["-s", "-d", "MASTER_BIAS-01.fits"], 10, "fewer than two"),
        (merge, ["-s", "MASTER_BIAS-01.fits", "MASTER_BIAS-02.fits"], 50, "and so is"),
        (merge, ["-s", "MASTER_BIAS-01.fits", "no.fits"], 50, "no.fits"),
        (split, [], 1, "Usage: muse_product_split"),
        (split, ["-z", "MASTER_BIAS-01.fits"], 9, "unknown option -z"),
        (split, ["empty.fits"], 10, "nothing to split"),
        (split, ["MASTER_BIAS-01.fits"], 50, "no extension is of an IFU"),
        (sign, ["MASTER_BIAS-01.fits"], 1, "Usage: muse_product_sign"),
        (sign, ["no.fits", "MASTER_BIAS"], 50, "no.fits"),
    ],
)
def test_exit_codes(
    tool: Any, words: list[str], code: int, told: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    path = image(Path(), 1)
    Path("MASTER_BIAS-02.fits").write_bytes(path.read_bytes())
    fits.PrimaryHDU().writeto("empty.fits")
    before = sorted(item.name for item in Path().iterdir())
    assert tool(words) == code
    assert told in capsys.readouterr().err
    assert sorted(item.name for item in Path().iterdir()) == before
