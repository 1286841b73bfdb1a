"""Units, limits and merged headers of pixel tables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from core.errors import DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, has_key, set_key
from core.formats.pixtable_header import (
    FLUX_UNIT,
    PixtableLimits,
    merged_header_of_ifus,
    pixtable_units,
)
from core.formats.pixtable_origin import PREFIX, read_offsets

Columns = dict[str, np.ndarray]


def test_units_follow_the_state() -> None:
    assert pixtable_units() == {
        "xpos": "pix", "ypos": "pix", "lambda": "Angstrom", "data": "count", "stat": "count**2"
    }  # fmt: skip
    sky = pixtable_units("deg", FLUX_UNIT)
    assert (sky["xpos"], sky["data"]) == ("deg", "10**(-20)*erg/s/cm**2/Angstrom")
    assert sky["stat"] == "(10**(-20)*erg/s/cm**2/Angstrom)**2"


def test_limits_of_parts_join_to_those_of_the_whole(pixel_rows: Callable[[int], Columns]) -> None:
    parts = [pixel_rows(ifu) for ifu in (3, 11)]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    joined = PixtableLimits.of(parts[0]) | PixtableLimits.of(parts[1])
    assert joined == PixtableLimits.of(whole)
    assert (joined.ifu, joined.slice_no) == ((3, 11), (1, 48))
    header = Header()
    joined.write(header)
    assert get_key(header, f"{PREFIX}.LIMITS.LAMBDA.LOW", float) == float(f"{whole['lambda'].min():.7g}")
    assert get_key(header, f"{PREFIX}.LIMITS.IFU.HIGH", int) == 11


def test_positions_in_degrees_get_their_zero_point_in_float32() -> None:
    values = np.float32(-0.001), np.float32(0.001)
    header = Header()
    PixtableLimits(values, values, values, (1, 1), (1, 1)).write(header, (150.1231234, -2.0))
    low = get_key(header, f"{PREFIX}.LIMITS.X.LOW", float)
    assert low == float(f"{np.float32(-0.001) + np.float32(150.1231234):.7g}")
    assert get_key(header, f"{PREFIX}.LIMITS.LAMBDA.LOW", float) == -0.001  # has none


def test_no_rows_have_no_limits(pixel_rows: Callable[[int], Columns]) -> None:
    with pytest.raises(DataError, match="no rows"):
        PixtableLimits.of({name: values[:0] for name, values in pixel_rows(1).items()})


def test_merged_ifus_keep_all_offsets_and_nothing_of_one_ifu(
    pixel_rows: Callable[[int], Columns], pixtable_header: Callable[[int], Header]
) -> None:
    limits = [PixtableLimits.of(pixel_rows(ifu)) for ifu in (1, 2)]
    merged = merged_header_of_ifus([pixtable_header(1), pixtable_header(2)], limits)
    assert get_key(merged, f"{PREFIX}.MERGED", int) == 2
    assert not [key for key in ("EXTNAME", "DET.CHIP.NAME", f"{PREFIX}.ILLUM1") if has_key(merged, key)]
    assert (read_offsets(merged)[0, 1:3, 1] == 80).all()
    assert get_key(merged, f"{PREFIX}.LIMITS.IFU.HIGH", int) == 2


def test_tables_with_and_without_geometry_are_not_merged(
    pixel_rows: Callable[[int], Columns], pixtable_header: Callable[[int], Header]
) -> None:
    other = pixtable_header(2)
    set_key(other, f"{PREFIX}.TYPE", "SIMPLE")
    with pytest.raises(DataError, match="different types"):
        merged_header_of_ifus([pixtable_header(1), other], [PixtableLimits.of(pixel_rows(1))] * 2)
