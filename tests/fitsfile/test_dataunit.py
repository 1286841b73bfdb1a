from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import BadFitsError
from core.fitsfile.dataunit import INT_NULL, column_cards, map_image, read_columns, scaling
from core.fitsfile.scan import scan_fits


def table(tmp_path: Path, *columns: fits.Column) -> Path:
    path = tmp_path / "table.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(list(columns))]).writeto(path)
    return path


def test_columns_are_those_that_astropy_reads(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        fits.Column("byte", "B", array=np.arange(3)),
        fits.Column("short", "I", array=[-1, 0, 1]),
        fits.Column("long", "J", "pix", array=[5, -6, 7]),
        fits.Column("huge", "K", array=[2**40, 0, -1]),
        fits.Column("float", "E", "Angstrom", array=[1.5, np.nan, -2]),
        fits.Column("double", "D", array=[1e300, 0, 1]),
        fits.Column("text", "8A", array=["Ne", "HgCd", ""]),
        fits.Column("flag", "L", array=[True, False, True]),
        fits.Column("three", "3D", array=np.arange(9.0).reshape(3, 3)),
        fits.Column("plane", "6E", dim="(3,2)", array=np.arange(18.0).reshape(3, 2, 3)),
        fits.Column("unsigned", "I", bzero=32768, array=np.array([0, 40000, 65535], np.uint16)),
    )
    hdu = scan_fits(path).hdus[1]
    columns = read_columns(path, hdu)
    with fits.open(path) as hdus:
        theirs = hdus[1].data
        assert list(columns) == theirs.names
        for name, values in columns.items():
            wanted = np.asarray(theirs[name])
            found = np.char.decode(values) if values.dtype.kind == "S" else values
            np.testing.assert_array_equal(found, wanted, err_msg=name)
            assert values.dtype.isnative
    assert columns["float"].dtype == np.float32
    assert columns["plane"].shape == (3, 2, 3)
    assert column_cards(hdu.header, "TUNIT")[2:5] == ["pix", "", "Angstrom"]


def test_scaled_columns_are_physical_values(tmp_path: Path) -> None:
    path = table(tmp_path, fits.Column("n", "I", array=[0, 1, -2]))
    content = path.read_bytes()
    assert content.count(b"END".ljust(80)) == 2
    scaled = b"TSCAL1  =                  0.5".ljust(80) + b"TZERO1  =                 10.0".ljust(80)
    before, _, after = content.rpartition(b"END".ljust(80))
    path.write_bytes(before + scaled + b"END".ljust(80) + after[160:])
    assert read_columns(path, scan_fits(path).hdus[1])["n"].tolist() == [10.0, 10.5, 9.0]


def test_the_first_rows_only(tmp_path: Path) -> None:
    path = table(tmp_path, fits.Column("n", "J", array=np.arange(100)))
    hdu = scan_fits(path).hdus[1]
    assert read_columns(path, hdu, 4)["n"].tolist() == [0, 1, 2, 3]
    assert len(read_columns(path, hdu, 1000)["n"]) == 100


def test_null_cells_are_told_by_one_number(tmp_path: Path) -> None:
    path = table(tmp_path, fits.Column("n", "J", null=-99, array=[1, -99, 3]))
    assert read_columns(path, scan_fits(path).hdus[1])["n"].tolist() == [1, INT_NULL, 3]


def test_null_cells_of_scaled_columns(tmp_path: Path) -> None:
    path = table(tmp_path, fits.Column("n", "J", bzero=2**31, null=-5, array=np.array([1, 2**31 - 5], np.uint32)))
    assert read_columns(path, scan_fits(path).hdus[1])["n"].tolist() == [1, INT_NULL]


def test_unsigned_64_bit_columns_keep_all_digits(tmp_path: Path) -> None:
    numbers = [0, 2**53 + 1, 2**63, 2**64 - 1]
    path = table(tmp_path, fits.Column("n", "K", bzero=2**63, array=np.array(numbers, np.uint64)))
    assert read_columns(path, scan_fits(path).hdus[1])["n"].tolist() == numbers


@pytest.mark.parametrize("zero", ["1E300", "9223372036854775807"])
def test_offsets_beyond_all_integers_make_numbers(tmp_path: Path, zero: str) -> None:
    path = table(tmp_path, fits.Column("n", "J", array=[1, 2]))
    before, _, after = path.read_bytes().rpartition(b"END".ljust(80))
    path.write_bytes(before + f"TZERO1  = {zero}".encode().ljust(80) + b"END".ljust(80) + after[80:])
    assert read_columns(path, scan_fits(path).hdus[1])["n"].tolist() == [float(zero) + 1, float(zero) + 2]


def test_a_scale_that_is_no_number_names_the_file(tmp_path: Path) -> None:
    path = table(tmp_path, fits.Column("n", "J", array=[1, 2]))
    before, _, after = path.read_bytes().rpartition(b"END".ljust(80))
    path.write_bytes(before + b"TZERO1  = 'abc'".ljust(80) + b"END".ljust(80) + after[80:])
    with pytest.raises(BadFitsError, match="TZERO1 is 'abc', not a number") as failure:
        read_columns(path, scan_fits(path).hdus[1])
    assert failure.value.context["file"] == str(path)


def test_strings_have_dimensions_and_no_length(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        fits.Column("two", "12A", dim="(6,2)", array=np.array([["ab", "cd"], ["ef", ""]])),
        fits.Column("plain", "8A", dim="(8)", array=["Ne", "Xe"]),
        fits.Column("none", "4A", array=["", ""]),
        fits.Column("last", "J", array=[5, 6]),
    )
    columns = read_columns(path, scan_fits(path).hdus[1])
    assert columns["two"].tolist() == [[b"ab", b"cd"], [b"ef", b""]]
    assert columns["plain"].tolist() == [b"Ne", b"Xe"]
    content = path.read_bytes().replace(b"'4A      '", b"'0A      '").replace(b"'J       '", b"'2J      '")
    path.write_bytes(content)
    columns = read_columns(path, scan_fits(path).hdus[1])
    assert columns["none"].tolist() == [b"", b""]
    assert columns["last"].shape == (2, 2)


def test_other_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ascii.fits"
    columns = [fits.Column("n", "I6", array=np.arange(3), ascii=True)]
    fits.HDUList([fits.PrimaryHDU(), fits.TableHDU.from_columns(columns)]).writeto(path)
    with pytest.raises(BadFitsError, match="HDU 1 is no binary table"):
        read_columns(path, scan_fits(path).hdus[1])
    twice = table(tmp_path, fits.Column("a", "J", array=[1]), fits.Column("b", "J", array=[2]))
    twice.write_bytes(twice.read_bytes().replace(b"'b       '", b"'a       '"))
    with pytest.raises(BadFitsError, match="the same name: a, a"):
        read_columns(twice, scan_fits(twice).hdus[1])


def test_an_empty_table(tmp_path: Path) -> None:
    path = table(tmp_path, fits.Column("n", "J", array=[]))
    assert read_columns(path, scan_fits(path).hdus[1])["n"].shape == (0,)


@pytest.mark.parametrize("column", [fits.Column("x", "PE()", array=[[1.0], [1.0, 2.0]]), fits.Column("x", "3X")])
def test_forms_that_are_not_read_are_named(tmp_path: Path, column: fits.Column) -> None:
    path = table(tmp_path, column)
    with pytest.raises(BadFitsError, match="column x has the form"):
        read_columns(path, scan_fits(path).hdus[1], needed=["x"])


@pytest.mark.parametrize("form", ["PJ()", "11X", "C", "M", "QE()"])
def test_columns_of_other_forms_are_left_out(tmp_path: Path, form: str) -> None:
    values = {"PJ()": [[1], [2, 3]], "QE()": [[1.0], []], "11X": np.ones((2, 11), bool)}.get(form, [1j, 2j])
    other = fits.Column("why", form, array=np.array(values, dtype=object) if "(" in form else values)
    path = table(tmp_path, fits.Column("a", "I", array=[1, 2]), other, fits.Column("b", "J", array=[7, 8]))
    columns = read_columns(path, scan_fits(path).hdus[1])
    assert {name: values.tolist() for name, values in columns.items()} == {"a": [1, 2], "b": [7, 8]}


def test_a_row_count_beyond_the_file_is_told_before_memory_is_taken(tmp_path: Path) -> None:
    path = table(tmp_path, fits.Column("n", "J", array=[1, 2]))
    old, new = (f"NAXIS2  = {rows:20d}".encode() for rows in (2, 99999999999999))
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(BadFitsError, match="cut inside a table of 99999999999999 rows"):
        read_columns(path, scan_fits(path).hdus[1])


def test_a_row_that_is_longer_than_its_columns_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, fits.Column("n", "J", array=[1, 2]))
    path.write_bytes(path.read_bytes().replace(b"TFORM1  = 'J       '", b"TFORM1  = 'I       '"))
    with pytest.raises(BadFitsError, match="add up to 2 bytes, a row has 4"):
        read_columns(path, scan_fits(path).hdus[1])


def test_a_cut_table_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, fits.Column("n", "J", array=np.arange(5000)))
    path.write_bytes(path.read_bytes()[: -4 * 2880])
    with pytest.raises(BadFitsError, match="cut inside a table of 5000 rows"):
        read_columns(path, scan_fits(path).hdus[1])


def test_images_are_mapped_as_they_are_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "image.fits"
    pixels = np.array([[0, 1, 65535]], np.uint16)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(pixels)]).writeto(path)
    hdu = scan_fits(path).hdus[1]
    zero, scale = scaling(path, hdu.header)
    assert (map_image(path, hdu) * scale + zero).tolist() == pixels.tolist()
