"""Pixel tables go from each form to each other and back with all their bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import has_key, hierarch_name
from core.formats.pixtable import PixtableForm, write_pixtable
from core.formats.pixtable_compact import COMPACT
from core.formats.pixtable_convert import common_shift, write_as, write_compact
from core.formats.pixtable_header import own_cards
from core.formats.pixtable_read import PixelTable, open_pixtable
from core.formats.pixtable_slices import SliceRows
from core.spatial.positions import SliceMap
from tests.formats.slices import IFU, a_slice, some_slices, write

Headers = Callable[[int], Header]


def maps(_ifu: int) -> Mapping[int, SliceMap]:
    return {number: a_slice(number) for number in (1, 2)}


def assert_same(one: PixelTable, other: PixelTable) -> None:
    assert (one.n_rows, one.units) == (other.n_rows, other.units)
    for name, values in one.read(0, one.n_rows).items():
        found = other.read(0, other.n_rows, [name])[name]
        np.testing.assert_array_equal(values.view(np.int32), found.view(np.int32), err_msg=name)
    np.testing.assert_array_equal(np.array(one.flat_field()), np.array(other.flat_field()))
    unlike = {hierarch_name(COMPACT), "PIPEFILE"}
    mine, its = (
        {card.keyword: card.value for card in own_cards(table.header).cards if card.keyword not in unlike}
        for table in (one, other)
    )
    assert mine == its


@pytest.mark.parametrize("form", ["image", "table"])
@pytest.mark.parametrize("shift", [0.0, -0.1234567890123])
def test_there_and_back(tmp_path: Path, pixtable_header: Headers, form: PixtableForm, shift: float) -> None:
    plain = open_pixtable(write(tmp_path / "plain.fits", pixtable_header(IFU), some_slices(shift), form))
    compact = open_pixtable(write_compact(plain, tmp_path / "compact.fits", maps))
    back = open_pixtable(write_as(compact, tmp_path / "back.fits", form))
    assert (compact.form, back.form) == ("compact", form)
    assert has_key(compact.header, COMPACT)
    assert not has_key(back.header, COMPACT)
    for table in (compact, back):
        assert_same(plain, table)


def extensions(path: Path) -> list[bytes]:
    """All that follows the primary HDU, in lines, without the sums, which have a date."""
    content = path.read_bytes()
    start = content.index(b"XTENSION")
    lines = (content[k : k + 80] for k in range(start, len(content), 80))
    return [line for line in lines if not line.startswith((b"CHECKSUM", b"DATASUM"))]


def test_a_compact_table_made_anew_is_the_same_file(tmp_path: Path, pixtable_header: Headers) -> None:
    one = open_pixtable(write(tmp_path / "a.fits", pixtable_header(IFU), some_slices(0.0), "compact"))
    plain = open_pixtable(write_as(one, tmp_path / "b.fits", "image"))
    assert extensions(write_compact(plain, tmp_path / "c.fits", maps)) == extensions(one.path)


def test_what_does_not_follow_from_the_maps_is_named(tmp_path: Path, pixtable_header: Headers) -> None:
    plain = open_pixtable(write(tmp_path / "a.fits", pixtable_header(IFU), some_slices(), "image"))
    cells = plain.read(0, plain.n_rows)
    cells["lambda"][10] = np.nextafter(cells["lambda"][10], np.float32(0))
    other = open_pixtable(write_pixtable(tmp_path / "b.fits", pixtable_header(IFU), cells))
    with pytest.raises(DataError, match="IFU 7, slice 1: the column lambda is not what the tables say"):
        write_compact(other, tmp_path / "c.fits", maps)
    with pytest.raises(DataError, match="the tables have no slice 2 of IFU 7"):
        write_compact(plain, tmp_path / "c.fits", lambda _ifu: {1: a_slice(1)})
    assert not (tmp_path / "c.fits").exists()


def test_rows_of_a_slice_must_follow_each_other(tmp_path: Path, pixtable_header: Headers) -> None:
    plain = open_pixtable(write(tmp_path / "a.fits", pixtable_header(IFU), some_slices(), "image"))
    cells = {name: np.roll(values, 5) for name, values in plain.read(0, plain.n_rows).items()}
    other = open_pixtable(write_pixtable(tmp_path / "b.fits", pixtable_header(IFU), cells))
    with pytest.raises(DataError, match="in several places"):
        write_compact(other, tmp_path / "c.fits", maps)


def test_positions_on_the_sky_have_no_compact_form(tmp_path: Path, pixtable_header: Headers) -> None:
    plain = open_pixtable(write(tmp_path / "a.fits", pixtable_header(IFU), some_slices(), "image"))
    units = {**plain.units, "xpos": "deg", "ypos": "deg"}
    cells = plain.read(0, plain.n_rows)
    other = open_pixtable(write_pixtable(tmp_path / "b.fits", pixtable_header(IFU), cells, units=units))
    with pytest.raises(DataError, match=r"xpos \[deg\].* has no compact form"):
        write_compact(other, tmp_path / "c.fits", maps)


@settings(max_examples=25, deadline=None)
@given(st.floats(-5, 5, allow_nan=False))
def test_a_shift_is_found_from_the_wavelengths(shift: float) -> None:
    rows = SliceRows.whole(IFU, a_slice(1))
    shifted = SliceRows.whole(IFU, a_slice(1), shift)
    found = common_shift(iter([(rows.wavelengths(), shifted.wavelengths())]))
    assert found is not None
    again = SliceRows.whole(IFU, a_slice(1), found)
    np.testing.assert_array_equal(again.wavelengths(), shifted.wavelengths())


def test_wavelengths_that_are_no_shift_of_others_have_none() -> None:
    wave = SliceRows.whole(IFU, a_slice(1)).wavelengths()
    assert common_shift(iter([(wave, wave[::-1].copy())])) is None
