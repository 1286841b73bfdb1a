"""AUTOCAL_FACTORS: what was measured is read again, and what is no such file is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import BadFitsError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key
from core.formats.autocal_factors import read_slice_factors, table_of_factors
from core.formats.onsky_tables import AUTOCAL_FACTORS
from core.formats.tables import MuseTable, write_table
from core.onsky.autocal import SliceFactors


@pytest.fixture
def factors() -> SliceFactors:
    measured = 1 + 0.01 * np.random.default_rng(1).normal(size=(3, 24, 48))
    replaced = measured.copy()
    replaced[1, 4, 6] = 1.0
    return SliceFactors(np.array([0.0, 5000.0, 6000.0, 7000.0]), replaced, measured, np.full((3, 24, 48), 9, np.int32))


def test_factors_are_read_as_they_were(factors: SliceFactors, tmp_path: Path) -> None:
    table = table_of_factors(factors, Header())
    found = read_slice_factors(write_table(tmp_path / "f.fits", AUTOCAL_FACTORS, table))
    np.testing.assert_array_equal(found.factors, factors.factors)
    np.testing.assert_array_equal(found.edges, factors.edges)
    assert (found.rows == 9).all()


def test_rows_go_by_bin_unit_and_slice(factors: SliceFactors) -> None:
    table = table_of_factors(factors, Header())
    row = 1152 * 1 + 48 * 4 + 6
    assert [table[name][row] for name in ("quad", "ifu", "sli", "corr")] == [2, 5, 7, 1.0]
    assert table["corr_orig"][row] == factors.measured[1, 4, 6]
    assert np.isnan(table["corr_orig"]).sum() == table.n_rows - 1
    assert get_key(table.header, "DRS.MUSE.LAMBDA2.MAX", float) == 6000


def test_the_order_of_rows_does_not_matter(factors: SliceFactors, tmp_path: Path) -> None:
    table = table_of_factors(factors, Header())
    turned = MuseTable({name: table[name][::-1] for name in table}, table.header)
    found = read_slice_factors(write_table(tmp_path / "f.fits", AUTOCAL_FACTORS, turned))
    np.testing.assert_array_equal(found.factors, factors.factors)


@pytest.mark.parametrize("what", ["corr", "bins", "gap", "ifu", "empty"])
def test_what_is_no_such_table_is_refused(factors: SliceFactors, tmp_path: Path, what: str) -> None:
    table = table_of_factors(factors, Header())
    if what == "corr":
        del table.columns["corr"]
    elif what == "ifu":
        table.columns["ifu"][5] = 25
    elif what == "empty":
        table = MuseTable({name: table[name][:0] for name in table}, table.header)
    else:
        del_keys(table.header, rf"DRS\.MUSE\.LAMBDA2\.{'MAX' if what == 'bins' else 'M'}")
        if what == "gap":
            table = table_of_factors(factors, Header())
            table.header["HIERARCH ESO DRS MUSE LAMBDA2 MIN"] = 5100.0
    fmt = AUTOCAL_FACTORS
    if what == "corr":
        fmt = type(fmt)(fmt.name, tuple(column for column in fmt.columns if column.name != "corr"))
    with pytest.raises(BadFitsError):
        read_slice_factors(write_table(tmp_path / "f.fits", fmt, table))
