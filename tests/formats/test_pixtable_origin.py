"""The column ``origin`` and the exposures of a combined table."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataError
from core.fitsfile.header import Header
from core.formats.pixtable_origin import (
    decode_origin,
    encode_origin,
    exposure_of,
    exposure_ranges,
    origin_offset,
    read_offsets,
    set_exposures,
    set_offset,
)


@pytest.mark.parametrize(
    ("x", "y", "ifu", "slice_no"),
    list(product((1, 2077, 4224, 8191), (1, 2199, 4240, 8191), (1, 13, 24), (1, 27, 48))),
)
def test_what_is_packed_is_unpacked(x: int, y: int, ifu: int, slice_no: int) -> None:
    offset = max(x - 100, 0)
    header = Header()
    set_offset(header, 0, ifu, slice_no, offset)
    packed = encode_origin(np.array([x]), np.array([y]), ifu, slice_no, offset)
    assert packed.dtype == np.int32
    assert packed[0] >= 0  # the top bit is unused
    places = decode_origin(packed, read_offsets(header))
    assert [int(values[0]) for values in (places.x, places.y, places.ifu, places.slice_no)] == [x, y, ifu, slice_no]


def test_the_bits_are_those_of_the_reference() -> None:
    packed = encode_origin(np.array([105]), np.array([3]), 7, 48, 100)
    assert packed[0] == (5 << 24) | (3 << 11) | (7 << 6) | 48


@pytest.mark.parametrize(
    ("x", "y", "ifu", "slice_no", "offset"),
    [(228, 1, 1, 1, 100), (99, 1, 1, 1, 100), (100, 0, 1, 1, 100), (100, 8192, 1, 1, 100), (0, 1, 1, 1, 0),
     (100, 1, 25, 1, 100), (100, 1, 0, 1, 100), (100, 1, 1, 49, 100), (100, 1, 1, 0, 100)],
)  # fmt: skip
def test_what_does_not_fit_its_bits_is_refused(x: int, y: int, ifu: int, slice_no: int, offset: int) -> None:
    with pytest.raises(DataError, match=f"slice {slice_no} do not fit"):
        encode_origin(np.array([x]), np.array([y]), ifu, slice_no, offset)


def test_offsets_leave_room_for_an_edge_that_moves() -> None:
    assert origin_offset(132.7) == 112


def test_each_exposure_has_offsets_of_its_own() -> None:
    header = Header()
    set_offset(header, 1, 3, 5, 100)
    set_offset(header, 2, 3, 5, 90)
    origin = np.repeat(encode_origin(np.array([110]), np.array([7]), 3, 5, 100), 2)
    places = decode_origin(origin, read_offsets(header), np.array([1, 2], np.int32))
    assert places.x.tolist() == [110, 100]


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="IFUs or slices"):
        decode_origin(np.array([31 << 6 | 1], np.int32), read_offsets(Header()))
    header = Header()
    set_offset(header, 0, 25, 1, 10)
    with pytest.raises(DataError, match="IFU 25, slice 1"):
        read_offsets(header)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_rows_belong_to_the_exposure_whose_range_holds_them(counts: list[int]) -> None:
    header = Header()
    set_exposures(header, counts)
    ranges = exposure_ranges(header)
    assert (ranges[:, 1] - ranges[:, 0] + 1).tolist() == counts
    expected = np.repeat(np.arange(1, len(counts) + 1), counts)
    np.testing.assert_array_equal(exposure_of(np.arange(sum(counts)), ranges), expected)


def test_a_single_exposure_has_no_number() -> None:
    ranges = exposure_ranges(Header())
    assert ranges.shape == (0, 2)
    assert exposure_of(np.arange(3), ranges).tolist() == [0, 0, 0]


def test_ranges_with_a_gap_are_refused() -> None:
    header = Header()
    set_exposures(header, [5, 5])
    header["ESO DRS MUSE PIXTABLE EXP2 FIRST"] = 6
    with pytest.raises(DataError, match="exposure 2 do not follow"):
        exposure_ranges(header)
