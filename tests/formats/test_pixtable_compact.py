"""The compact form of pixel tables, and writing of any form slice by slice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadFitsError, DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.formats.pixtable import PixtableFile, PixtableForm
from core.formats.pixtable_compact import COMPACT, FlagRuns
from core.formats.pixtable_header import COLUMNS
from core.formats.pixtable_ranges import single
from core.formats.pixtable_read import open_pixtable
from core.formats.pixtable_slices import SliceRows
from core.formats.pixtable_slicewise import SlicewiseTable
from tests.formats.slices import IFU, a_slice, some_slices, write

Headers = Callable[[int], Header]


@pytest.fixture
def slices() -> list[SliceRows]:
    return some_slices()


def test_all_forms_have_the_same_bits(tmp_path: Path, pixtable_header: Headers, slices: list[SliceRows]) -> None:
    forms: tuple[PixtableForm, ...] = ("image", "table", "compact")
    tables = [open_pixtable(write(tmp_path / f"{form}.fits", pixtable_header(IFU), slices, form)) for form in forms]
    plain, _, compact = tables
    assert [table.form for table in tables] == list(forms)
    for table in tables:
        assert table.n_rows == plain.n_rows
        assert table.units == plain.units
        assert table.flat_field() is not None
        for first, last in ((0, table.n_rows), (100, 1700), (5, 5), (table.n_rows - 1, table.n_rows)):
            for name, values in table.read(first, last).items():
                assert values.dtype == COLUMNS[name]
                np.testing.assert_array_equal(values, plain.read(first, last, [name])[name], err_msg=name)
    for low, high in ((5020.0, 5030.0), (0.0, 1e4), (6000.0, 7000.0)):
        for expected, found in zip(plain.rows(low, high), compact.rows(low, high), strict=True):
            np.testing.assert_array_equal(expected.rows, found.rows)
            for name, cells in expected.columns.items():
                np.testing.assert_array_equal(cells, found.columns[name])


def test_the_header_says_the_limits_of_the_rows(
    tmp_path: Path, pixtable_header: Headers, slices: list[SliceRows]
) -> None:
    table = open_pixtable(write(tmp_path / "a.fits", pixtable_header(IFU), slices, "compact"))
    wave = table.read(0, table.n_rows, ["lambda"])["lambda"]
    assert get_key(table.header, "DRS.MUSE.PIXTABLE.LIMITS.LAMBDA.LOW", float) == pytest.approx(float(wave.min()))
    assert get_key(table.header, "DRS.MUSE.PIXTABLE.EXP0.IFU07.SLICE02.XOFFSET", int) == slices[1].offset
    assert get_key(table.header, COMPACT, int) == 1


def test_a_compact_file_is_valid_fits(tmp_path: Path, pixtable_header: Headers) -> None:
    rows = [SliceRows.whole(IFU, a_slice(1))]
    path = write(tmp_path / "a.fits", pixtable_header(IFU), rows, "compact")
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        names = [hdu.name for hdu in hdus[1:]]
        assert names == ["data", "stat", "PIXTABLE_SLICES", "PIXTABLE_RUNS", "PIXTABLE_FLAGS", "PIXTABLE_FLAT_FIELD"]
        assert hdus["PIXTABLE_SLICES"].data["wave"].shape == (1, 2, 3)


def test_rows_of_a_table_are_recognised(slices: list[SliceRows]) -> None:
    for rows in slices:
        whole = SliceRows.whole(IFU, rows.map, rows.shift)
        np.testing.assert_array_equal(whole.matching(rows.columns()).runs, rows.runs)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda cells: {**cells, "ypos": cells["ypos"] + np.float32(0.5)}, r"slice 1: the column ypos .* 0\.5"),
        (lambda cells: {name: values[::-1] for name, values in cells.items()}, "not in the order of the detector"),
        (lambda cells: {**cells, "origin": cells["origin"] + (60 << 24)}, "none of the slice"),
    ],
)
def test_rows_that_are_none_of_the_slice_are_refused(
    slices: list[SliceRows], change: Callable[[dict[str, Any]], dict[str, Any]], told: str
) -> None:
    whole = SliceRows.whole(IFU, slices[0].map, slices[0].shift)
    with pytest.raises(DataError, match=told):
        whole.matching(change(slices[0].columns()))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([0, 0, 0, 32, 256, -(1 << 31)]), max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_runs_of_flags_give_the_flags_back(values: list[int], one: int, other: int) -> None:
    dq = np.array(values, np.int32)
    first, last = (min(number, len(dq)) for number in sorted((one, other)))
    parts = FlagRuns.joined([FlagRuns.of(dq[:7]), FlagRuns.of(dq[7:], 7)])
    np.testing.assert_array_equal(parts.flags(single(first, last)), dq[first:last])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 60), st.integers(0, 60))
def test_any_rows_of_a_slice_are_found(wanted: list[bool], one: int, other: int) -> None:
    whole = SliceRows.whole(IFU, a_slice(1))
    chosen = np.zeros(whole.map.n_rows, np.bool_)
    chosen[: len(wanted)] = wanted
    rows = whole.only(chosen)
    first, last = (min(number, rows.n_rows) for number in sorted((one, other)))
    np.testing.assert_array_equal(rows.pixels(first, last), np.flatnonzero(chosen)[first:last])
    np.testing.assert_array_equal(rows.chosen, chosen)
    np.testing.assert_array_equal(rows.columns(first, last)["lambda"], rows.wavelengths()[first:last])


@pytest.mark.parametrize(("low", "high"), [(0.0, 9000.0), (5010.0, 5011.0), (5060.3, 5093.0), (5030.0, 5029.0)])
def test_rows_of_some_wavelengths_are_among_those_that_are_near(
    slices: list[SliceRows], low: float, high: float
) -> None:
    for rows in (*slices, slices[1].only(np.zeros(slices[1].map.n_rows, np.bool_))):
        first, last = rows.rows_near(low, high)
        wave = rows.wavelengths()
        inside = np.flatnonzero((wave >= low) & (wave <= high))
        assert 0 <= first <= last <= rows.n_rows
        assert not inside.size or first <= inside[0] <= inside[-1] < last
        np.testing.assert_equal(rows.wave_limits(), (wave.min(), wave.max()) if wave.size else None)
    assert slices[0].rows_near(4000.0, 4001.0) == (0, 0)
    assert slices[0].rows_near(5000.0, 5020.0)[1] < slices[0].n_rows


def test_slices_are_put_in_their_order(tmp_path: Path, pixtable_header: Headers, slices: list[SliceRows]) -> None:
    zeros = np.zeros(slices[1].n_rows, np.float32)
    table = SlicewiseTable.create(tmp_path / "a.fits", pixtable_header(IFU), slices, form="compact")
    with pytest.raises(DataError, match="slice 1 of the pixel table comes after slice 0"), table:
        table.put(1, slices[1].columns(), zeros, zeros.astype(np.int32), zeros)
    assert not list(tmp_path.iterdir())


def test_a_table_without_rows_is_refused(tmp_path: Path, pixtable_header: Headers, slices: list[SliceRows]) -> None:
    none = [rows.within(1.0, 2.0) for rows in slices]
    with pytest.raises(DataError, match="without rows"):
        SlicewiseTable.create(tmp_path / "a.fits", pixtable_header(IFU), none)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda hdus: hdus.pop(3), "without its extension PIXTABLE_SLICES"),
        (lambda hdus: hdus["PIXTABLE_RUNS"].data["count"].fill(3), "do not agree about entry 0"),
        (lambda hdus: hdus.pop(1), "extension data is missing"),
        (lambda hdus: hdus["PIXTABLE_SLICES"].columns.del_col("width"), "lacks width"),
        (lambda hdus: hdus["PIXTABLE_SLICES"].columns.del_col("wave"), "lacks wave"),
        (lambda hdus: hdus["PIXTABLE_FLAGS"].columns.del_col("dq"), "extension PIXTABLE_FLAGS lacks dq"),
        (lambda hdus: hdus["PIXTABLE_SLICES"].header.remove("TDIM11"), "column wave .* not 3"),
        (lambda hdus: hdus["PIXTABLE_SLICES"].data["wave"].fill(np.nan), "do not agree about entry 0"),
        (lambda hdus: hdus["PIXTABLE_SLICES"].data["left"].fill(np.nan), "do not agree about entry 0"),
        (lambda hdus: hdus["PIXTABLE_SLICES"].data["x"].fill(np.nan), "has no x of entry 0"),
        (lambda hdus: hdus["PIXTABLE_SLICES"].header.set("NY", -1), "does not say the size"),
        (lambda hdus: hdus["PIXTABLE_RUNS"].data["first"].fill(-1), "do not agree about entry 0"),
        (lambda hdus: hdus[0].header.set("HIERARCH ESO DRS MUSE PIXTABLE COMPACT", 9), "compact form 9 is not known"),
    ],
)
def test_damage_is_told(
    tmp_path: Path,
    pixtable_header: Headers,
    slices: list[SliceRows],
    damage: Callable[[fits.HDUList], Any],
    told: str,
) -> None:
    path = write(tmp_path / "a.fits", pixtable_header(IFU), slices, "compact")
    with fits.open(path, memmap=False) as hdus:
        damage(hdus)
        hdus.writeto(tmp_path / "b.fits")
    with pytest.raises(BadFitsError, match=told):
        open_pixtable(tmp_path / "b.fits")


def test_columns_alone_are_no_compact_table(tmp_path: Path, pixtable_header: Headers) -> None:
    with pytest.raises(DataError, match="written slice by slice"):
        PixtableFile.create(tmp_path / "a.fits", pixtable_header(IFU), [1], {}, form="compact")
    assert not list(tmp_path.iterdir())
