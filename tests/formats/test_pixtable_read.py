"""Pixel tables read by wavelength."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadFitsError
from core.fitsfile.header import Header
from core.formats.pixtable import PixtableFile, PixtableForm
from core.formats.pixtable_header import pixtable_units
from core.formats.pixtable_ranges import Ranges, count
from core.formats.pixtable_read import PixelTable, WaveIndex, _blocks, open_pixtable

Columns = dict[str, np.ndarray]
Rows = Callable[..., Columns]


@pytest.fixture(params=["image", "table"])
def table(
    request: pytest.FixtureRequest, tmp_path: Path, pixel_rows: Rows, pixtable_header: Callable[[int], Header]
) -> tuple[PixelTable, Columns]:
    form: PixtableForm = request.param
    parts = [pixel_rows(ifu) for ifu in (1, 2)]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    counts = [len(part["data"]) for part in parts]
    with PixtableFile.create(tmp_path / "a.fits", pixtable_header(1), counts, pixtable_units(), form=form) as file:
        file.put(0, whole)
        return open_pixtable(file.finish()), whole


def test_some_rows_are_read(table: tuple[PixelTable, Columns]) -> None:
    found, columns = table
    assert found.n_rows == len(columns["data"])
    rows = found.read(10, 20)
    for name, values in columns.items():
        np.testing.assert_array_equal(rows[name], values[10:20])
        assert rows[name].dtype == values.dtype


@pytest.mark.parametrize("limits", [(6010.0, 6012.5), (0.0, 1e5), (6040.0, 6040.0), (7000.0, 8000.0)])
@pytest.mark.parametrize("max_rows", [50, 1 << 20])
def test_a_slab_has_exactly_the_rows_of_its_wavelengths(
    table: tuple[PixelTable, Columns], limits: tuple[float, float], max_rows: int
) -> None:
    found, columns = table
    expected = np.flatnonzero((columns["lambda"] >= limits[0]) & (columns["lambda"] <= limits[1]))
    parts = list(found.rows(*limits, max_rows=max_rows))
    assert all(0 < len(part.rows) <= max_rows for part in parts)
    np.testing.assert_array_equal(np.concatenate([np.zeros(0, int), *(part.rows for part in parts)]), expected)
    for name, values in columns.items():
        got = np.concatenate([values[:0], *(part.columns[name] for part in parts)])
        np.testing.assert_array_equal(got, values[expected])


def test_only_columns_that_are_asked_for_are_given(table: tuple[PixelTable, Columns]) -> None:
    found, columns = table
    (part,) = found.rows(6010.0, 6011.0, ["stat", "origin"])
    assert list(part.columns) == ["stat", "origin"]
    np.testing.assert_array_equal(part.columns["stat"], columns["stat"][part.rows])


def test_only_blocks_of_the_wavelengths_are_touched(
    table: tuple[PixelTable, Columns], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, columns = table
    monkeypatch.setattr("core.formats.pixtable_read._BLOCK_ROWS", 40)  # two rows of the CCD, 2.5 Angstrom
    found.index  # noqa: B018 - made before reading is counted
    read = 0
    plain = type(found).gather

    def counted(self: PixelTable, ranges: Ranges, names: Any = None) -> Any:
        nonlocal read
        read += count(ranges) if names is None or "data" in names else 0
        return plain(self, ranges, names)

    monkeypatch.setattr(type(found), "gather", counted)
    wanted = sum(len(part.rows) for part in found.rows(6020.0, 6024.0))
    # Of each of six slices at most a block of 40 rows too many at either end.
    assert wanted <= read <= wanted + 6 * 80 < len(columns["data"]) / 4


def test_the_index_goes_with_the_table_to_other_processes(table: tuple[PixelTable, Columns]) -> None:
    found, _ = table
    index = found.index
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.__dict__["index"].bounds, index.bounds)


def test_blocks_belong_to_one_slice(table: tuple[PixelTable, Columns]) -> None:
    found, columns = table
    slices = columns["origin"] & 0x7FF
    for first, last in zip(found.index.bounds[:-1], found.index.bounds[1:], strict=True):
        assert 0 < last - first <= 512
        assert len(set(slices[first:last].tolist())) == 1
        wave = columns["lambda"][first:last]
        place = np.searchsorted(found.index.bounds, first)
        assert (found.index.low[place], found.index.high[place]) == (wave.min(), wave.max())


@given(
    st.lists(st.tuples(st.integers(1, 3), st.floats(4000, 9000, width=32) | st.just(float("nan"))), max_size=60),
    st.integers(1, 7),
    st.floats(4000, 9000, width=32),
)
def test_no_row_of_a_range_is_missed(rows: list[tuple[int, float]], block: int, low: float) -> None:
    wave = np.array([row[1] for row in rows], np.float32)
    starts, lowest, highest, place = _blocks(wave, np.array([row[0] for row in rows], np.int32), block)
    index = WaveIndex(np.append(starts, len(rows)), lowest, highest, place)
    covered = np.zeros(len(rows), bool)
    for first, last in index.ranges(low, low + 500):
        covered[first:last] = True
    assert covered[(wave >= low) & (wave <= low + 500)].all()


def test_a_row_without_wavelength_is_in_no_slab(
    tmp_path: Path, pixel_rows: Rows, pixtable_header: Callable[[int], Header]
) -> None:
    columns = pixel_rows(1)
    columns["lambda"][5] = np.nan
    with PixtableFile.create(tmp_path / "a.fits", pixtable_header(1), [2400], pixtable_units()) as file:
        file.put(0, columns)
        found = open_pixtable(file.finish())
    rows = np.concatenate([part.rows for part in found.rows(0.0, 1e6)])
    assert sorted(set(range(2400)) - set(rows.tolist())) == [5]


def hdus_of(columns: Columns, **changed: np.ndarray) -> fits.HDUList:
    primary = fits.PrimaryHDU()
    primary.header["HIERARCH ESO DRS MUSE PIXTABLE TYPE"] = "SIMPLE"
    images = [fits.ImageHDU(values.reshape(-1, 1), name=name) for name, values in (columns | changed).items()]
    for image, name in zip(images, columns | changed, strict=True):
        image.header["EXTNAME"] = name
    return fits.HDUList([primary, *images])


def test_what_is_no_pixel_table_is_refused_with_the_reason(tmp_path: Path, pixel_rows: Rows) -> None:
    columns, path = pixel_rows(1), tmp_path / "a.fits"
    fits.HDUList([fits.PrimaryHDU()]).writeto(path)
    with pytest.raises(BadFitsError, match=r"no DRS\.MUSE\.PIXTABLE\.TYPE"):
        open_pixtable(path)
    hdus_of({}).writeto(path, overwrite=True)
    with pytest.raises(BadFitsError, match="no extensions"):
        open_pixtable(path)
    hdus_of(columns, dq=columns["data"]).writeto(path, overwrite=True)
    with pytest.raises(BadFitsError, match="column dq is missing or not of the type int32"):
        open_pixtable(path)
    hdus_of(columns, data=columns["data"][1:]).writeto(path, overwrite=True)
    with pytest.raises(BadFitsError, match="one length"):
        open_pixtable(path)
    hdus_of(columns).writeto(path, overwrite=True)
    path.write_bytes(path.read_bytes()[:-2880])
    with pytest.raises(BadFitsError, match="the file is cut"):
        open_pixtable(path)


def test_a_binary_table_of_other_forms_is_refused(tmp_path: Path, pixel_rows: Rows) -> None:
    primary = hdus_of({})[0]
    columns = [
        fits.Column(name, "D" if name == "data" else "J", array=values) for name, values in pixel_rows(1).items()
    ]
    fits.HDUList([primary, fits.BinTableHDU.from_columns(columns)]).writeto(tmp_path / "a.fits")
    with pytest.raises(BadFitsError, match="column data of a pixel table has the form 'D'"):
        open_pixtable(tmp_path / "a.fits")
