"""Tables of exposures of the sky are read as curves and by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import BadFitsError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.formats.onsky_tables import EXTINCT_TABLE, ONSKY_FORMATS, STD_RESPONSE, named_tables, read_curve
from core.formats.tables import MuseTable, TableFormat, write_table

WAVE = np.array([4000.0, 5000.0, 6000.0])


def written(path: Path, fmt: TableFormat, **columns: np.ndarray) -> Path:
    header = Header()
    set_key(header, "PRO.CATG", fmt.name)
    return write_table(path, fmt, MuseTable(dict(columns), header))


def test_a_curve_comes_with_its_errors_and_header(tmp_path: Path) -> None:
    path = written(
        tmp_path / "response.fits", STD_RESPONSE, **{"lambda": WAVE, "response": WAVE / 100, "resperr": WAVE / 1e4}
    )
    header, curve = read_curve(path, STD_RESPONSE)
    assert get_key(header, "PRO.CATG", str) == "STD_RESPONSE"
    np.testing.assert_array_equal([curve.wave, curve.values, curve.errors], [WAVE, WAVE / 100, WAVE / 1e4])


def test_a_curve_without_errors_has_none(tmp_path: Path) -> None:
    path = written(tmp_path / "extinction.fits", EXTINCT_TABLE, **{"lambda": WAVE, "extinction": np.ones(3)})
    assert not read_curve(path, EXTINCT_TABLE)[1].errors.any()


def test_tables_are_told_apart_by_name(tmp_path: Path) -> None:
    hdus = [fits.PrimaryHDU()]
    for name, position in (("GD71", 88.1), ("GD153", 194.2)):
        columns = [fits.Column("lambda", "D", "Angstrom", array=WAVE), fits.Column("flux", "E", array=WAVE)]
        hdu = fits.BinTableHDU.from_columns(columns, name=name)
        hdu.header["RA"] = position
        hdus.append(hdu)
    fits.HDUList(hdus).writeto(tmp_path / "stars.fits")
    found = list(named_tables(tmp_path / "stars.fits"))
    assert [(table.name, table.header["RA"], table.units) for table in found] == [
        ("GD71", 88.1, {"lambda": "Angstrom"}),
        ("GD153", 194.2, {"lambda": "Angstrom"}),
    ]
    assert found[0].numbers("flux").dtype == np.float64


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ({"lambda": WAVE}, "extinction"),
        ({"lambda": WAVE[::-1], "extinction": WAVE}, "ascend"),
        ({"lambda": WAVE, "extinction": np.array(["a", "b", "c"])}, "no numbers"),
    ],
)
def test_what_is_no_curve_is_told_with_its_file(tmp_path: Path, columns: dict[str, np.ndarray], word: str) -> None:
    path = tmp_path / "bad.fits"
    cells = [
        fits.Column(name, "D" if values.dtype.kind == "f" else "4A", array=values) for name, values in columns.items()
    ]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(cells)]).writeto(path)
    with pytest.raises(BadFitsError, match=word) as caught:
        read_curve(path, EXTINCT_TABLE)
    assert caught.value.context["file"] == str(path)


def test_a_file_without_tables_is_told(tmp_path: Path) -> None:
    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "empty.fits")
    with pytest.raises(BadFitsError, match="no binary table"):
        next(named_tables(tmp_path / "empty.fits"))


@pytest.mark.parametrize("fmt", ONSKY_FORMATS.values(), ids=ONSKY_FORMATS)
def test_all_formats_can_be_written(tmp_path: Path, fmt: TableFormat) -> None:
    cells = {
        column.name: np.array(["a", "b"]) if column.form[-1] == "A" else np.arange(2).astype(column.dtype)
        for column in fmt.columns
    }
    path = written(tmp_path / "table.fits", fmt, **cells)
    (table,) = named_tables(path)
    assert list(table.columns) == [column.name for column in fmt.columns]
    assert table.units == {column.name: column.unit for column in fmt.columns if column.unit}
