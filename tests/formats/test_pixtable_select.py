"""Some rows of a pixel table become a table of the same form, and its header is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.errors import DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.formats.pixtable import FLAT_FIELD, PixtableFile, PixtableForm
from core.formats.pixtable_header import COLUMNS, PixtableLimits, pixtable_units
from core.formats.pixtable_origin import PREFIX, exposure_ranges, set_exposures
from core.formats.pixtable_ranges import numbers
from core.formats.pixtable_read import PixelTable, open_pixtable
from core.formats.pixtable_select import (
    RowTest,
    choose_rows,
    except_slice,
    of_unit,
    on_mask,
    within,
    write_plain,
    write_rows,
)
from tests.formats.slices import some_slices, write

Columns = dict[str, np.ndarray]
Rows = Callable[..., Columns]
Headers = Callable[[int], Header]


def exposures(path: Path, rows: Rows, header: Header, form: PixtableForm = "image", unit: str = "pix") -> PixelTable:
    """Two exposures of the IFUs 1 and 2, with weights."""
    parts = [rows(ifu, seed) for seed in (1, 2) for ifu in (1, 2)]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    whole["weight"] = np.arange(len(whole["data"]), dtype=np.float32)
    count = len(parts[0]["data"])
    set_exposures(header, [2 * count, 2 * count])
    PixtableLimits.of(whole).write(header)
    columns = {**COLUMNS, "weight": np.float32}
    units = {**pixtable_units(), "xpos": unit, "ypos": unit}
    with PixtableFile.create(path, header, [count] * 4, units, columns=columns, form=form) as file:
        file.put(0, whole)
        return open_pixtable(file.finish(header))


def everything(table: PixelTable) -> Columns:
    return table.read(0, table.n_rows)


@pytest.fixture(params=["image", "table", "compact"])
def table(request: pytest.FixtureRequest, tmp_path: Path, pixtable_header: Headers) -> PixelTable:
    return open_pixtable(write(tmp_path / "a.fits", pixtable_header(7), some_slices(), request.param))


def test_rows_within_a_range_keep_the_form_of_their_table(table: PixelTable, tmp_path: Path) -> None:
    cells = everything(table)
    low, high = float(cells["lambda"][500]), 5060.0
    tests = [within("lambda", low, high), within("ypos", -1e3, float(np.median(cells["ypos"])))]
    mask = (cells["lambda"] >= np.float32(low)) & (cells["lambda"] <= high)
    mask &= cells["ypos"] <= np.median(cells["ypos"])
    found = open_pixtable(write_rows(choose_rows(table, tests), tmp_path / "b.fits"))
    assert (found.form, found.units, list(found.columns)) == (table.form, table.units, list(table.columns))
    for name, values in everything(found).items():
        np.testing.assert_array_equal(values, cells[name][mask], err_msg=name)
    assert get_key(found.header, "PIPEFILE", str) == "b.fits"


def test_the_header_says_the_limits_of_what_is_left(table: PixelTable, tmp_path: Path) -> None:
    found = open_pixtable(write_rows(choose_rows(table, [of_unit(slice_no=2)]), tmp_path / "b.fits"))
    expected = Header()
    PixtableLimits.of(everything(found)).write(expected)
    for card in expected.cards:
        assert found.header[card.keyword] == card.value
    assert get_key(found.header, f"{PREFIX}.LIMITS.SLICE.LOW", int) == 2


def test_the_flat_field_is_kept_a_little_beyond_the_rows(table: PixelTable, tmp_path: Path) -> None:
    found = open_pixtable(write_rows(choose_rows(table, [within("lambda", 5030.0, 5050.0)]), tmp_path / "b.fits"))
    flat = found.flat_field()
    assert flat is not None
    assert (flat[0].min(), flat[0].max()) == (5027.5, 5052.5)
    other = open_pixtable(write_rows(choose_rows(table, [of_unit(slice_no=1)]), tmp_path / "c.fits")).flat_field()
    assert other is not None
    assert len(other[0]) == 112


def test_a_file_may_be_written_over_itself(table: PixelTable) -> None:
    cells = everything(table)
    found = open_pixtable(write_rows(choose_rows(table, [except_slice(7, 1)]), table.path))
    np.testing.assert_array_equal(everything(found)["data"], cells["data"][(cells["origin"] & 63) == 2])
    assert [path.name for path in table.path.parent.iterdir()] == ["a.fits"]


@pytest.mark.parametrize("form", ["image", "table"])
def test_ranges_of_exposures_follow_their_rows(
    tmp_path: Path, pixel_rows: Rows, pixtable_header: Headers, form: PixtableForm
) -> None:
    table = exposures(tmp_path / "a.fits", pixel_rows, pixtable_header(1), form)
    assert choose_rows(table, []).of_exposures() is not None
    found = open_pixtable(write_rows(choose_rows(table, [except_slice(2, 48)]), tmp_path / "b.fits"))
    assert exposure_ranges(found.header).tolist() == [[0, 3999], [4000, 7999]]
    # Where the rows of the exposures begin is told by their weights, the numbers of the rows before.
    np.testing.assert_array_equal(everything(found)["weight"][[0, 3999, 4000, 7999]], [0, 3999, 4800, 8799])


def test_an_exposure_without_rows_keeps_its_number(tmp_path: Path, pixel_rows: Rows, pixtable_header: Headers) -> None:
    table = exposures(tmp_path / "a.fits", pixel_rows, pixtable_header(1))
    second = within("weight", 4800.0, 1e9)
    found = open_pixtable(write_rows(choose_rows(table, [second]), tmp_path / "b.fits"))
    assert exposure_ranges(found.header).tolist() == [[0, -1], [0, 4799]]


def test_limits_on_the_sky_are_asked_for_with_their_zero_point(
    tmp_path: Path, pixel_rows: Rows, pixtable_header: Headers
) -> None:
    header = pixtable_header(1)
    header["CRVAL1"], header["CRVAL2"] = 150.0, -2.0
    set_key(header, f"{PREFIX}.WCS", "positioned (final)")
    table = exposures(tmp_path / "a.fits", pixel_rows, header, unit="deg")
    chosen = choose_rows(table, [within("xpos", 145.0, 155.0, zero=150.0)])
    assert chosen.n_rows == np.count_nonzero(np.abs(everything(table)["xpos"]) <= 5)
    found = open_pixtable(write_rows(chosen, tmp_path / "b.fits"))
    assert get_key(found.header, f"{PREFIX}.LIMITS.X.LOW", float) == 145.0


def test_what_is_kept_whole_keeps_its_limits(tmp_path: Path, pixel_rows: Rows, pixtable_header: Headers) -> None:
    table = exposures(tmp_path / "a.fits", pixel_rows, pixtable_header(1))
    set_key(table.header, f"{PREFIX}.LIMITS.X.LOW", -99.0)  # as after an offset: grids follow from the header
    found = open_pixtable(write_rows(choose_rows(table, [within("lambda", 0.0, 1e5)]), tmp_path / "b.fits"))
    assert get_key(found.header, f"{PREFIX}.LIMITS.X.LOW", float) == -99.0


def test_nothing_is_written_where_no_row_is_left(table: PixelTable, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row of the pixel table is left"):
        write_rows(choose_rows(table, [of_unit(ifu=3)]), tmp_path / "b.fits")
    assert [path.name for path in tmp_path.iterdir()] == ["a.fits"]


def test_what_fails_on_the_way_leaves_nothing(table: PixelTable, tmp_path: Path) -> None:
    chosen = choose_rows(table, [])
    content = table.path.read_bytes()
    table.path.write_bytes(content[: content.index(FLAT_FIELD.encode()) // 4])
    with pytest.raises(Exception, match="the file is cut"):
        write_rows(chosen, tmp_path / "b.fits")
    assert [path.name for path in tmp_path.iterdir()] == ["a.fits"]


def test_a_mask_says_which_rows_are_wanted(table: PixelTable) -> None:
    cells = everything(table)
    mask = np.zeros((4, 30), np.bool_)
    mask[1, 5:12] = True
    first, step = (0.0, -4.5), (1.0, 1.0)
    chosen = choose_rows(table, [on_mask(mask, first, step)])
    x, y = (np.floor(cells[name].astype(float) - zero + 0.5) for name, zero in (("xpos", 0.0), ("ypos", -4.5)))
    inside = (x >= 0) & (x < 30) & (y >= 0) & (y < 4)
    expected = ~inside | ((y == 1) & (x >= 5) & (x < 12))
    assert 0 < expected.sum() < len(expected)
    np.testing.assert_array_equal(chosen.read(0, chosen.n_rows, ["xpos"])["xpos"], cells["xpos"][expected])
    np.testing.assert_array_equal(chosen.read(9, 40, ["dq"])["dq"], cells["dq"][expected][9:40])


def test_ranges_of_chosen_rows_are_found(table: PixelTable) -> None:
    cells = everything(table)
    mask = np.random.default_rng(3).integers(0, 3, table.n_rows) > 0
    mask[900:1000] = False
    column = {"lambda": cells["lambda"][mask]}
    chosen = choose_rows(table, [RowTest(("lambda",), lambda columns: np.isin(columns["lambda"], column["lambda"]))])
    kept = np.isin(cells["lambda"], column["lambda"])
    ranges = np.array([[0, 3], [5, 700], [710, chosen.n_rows]], np.int64)
    rows = np.flatnonzero(kept)[numbers(ranges)]
    some = np.arange(len(rows)) % 5 != 1
    for wanted, expected in ((None, rows), (some, rows[some])):
        for name, values in chosen.gather(ranges, kept=wanted).items():
            np.testing.assert_array_equal(values, cells[name][expected], err_msg=name)


def test_the_index_of_chosen_rows_is_of_them(table: PixelTable) -> None:
    limits = np.quantile(everything(table)["ypos"], [0.2, 0.7]).tolist()
    chosen = choose_rows(table, [within("ypos", *limits)])
    cells, index = chosen.read(0, chosen.n_rows), chosen.index
    assert (index.bounds[0], index.bounds[-1]) == (0, chosen.n_rows)
    for first, last, low, high, place in zip(
        index.bounds[:-1], index.bounds[1:], index.low, index.high, index.place, strict=True
    ):
        assert first < last
        assert np.all((cells["lambda"][first:last] >= low) & (cells["lambda"][first:last] <= high))
        assert np.all(cells["origin"][first:last] & 0x7FF == place)


def test_rows_of_any_form_are_written_with_all_columns(table: PixelTable, tmp_path: Path) -> None:
    found = open_pixtable(write_plain(choose_rows(table, []), tmp_path / "b.fits", "image"))
    assert found.form == "image"
    for name, values in everything(table).items():
        np.testing.assert_array_equal(everything(found)[name], values, err_msg=name)
