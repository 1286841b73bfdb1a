"""Tables of products, written and read after their declaration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import (
    BadFitsError,
    MissingInputError,
)
from core.fitsfile.scan import scan_fits
from core.formats.tables import (
    LINE_CATALOG,
    TRACE_TABLE,
    MuseTable,
    read_table,
    trace_table_format,
    write_table,
)


def _columns() -> dict[str, np.ndarray]:
    return {column.name: np.zeros(48) for column in trace_table_format(2).columns}


def test_tables_round_trip_with_null_cells(tmp_path: Path) -> None:
    fmt = trace_table_format(5)
    columns = {column.name: np.arange(48.0) for column in fmt.columns}
    columns["tc0_00"][9] = np.nan  # a slice that failed
    path = write_table(tmp_path / "TRACE_TABLE-01.fits", fmt, MuseTable(columns), 1)
    back = read_table(path, TRACE_TABLE, 1)
    assert list(back) == [column.name for column in fmt.columns]
    assert np.isnan(back["tc0_00"][9])
    np.testing.assert_array_equal(back["SliceNo"], np.arange(48))
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[0].header["EXTNAME"] == "CHAN01"
        assert hdus[1].name == ""
        assert hdus[1].columns["Width"].format == "1E"
        assert hdus[1].columns["tc2_05"].unit == "pix"
    with pytest.raises(MissingInputError):
        read_table(path, TRACE_TABLE, 2)


def test_a_table_of_text_does_not_hide_a_binary_one(tmp_path: Path) -> None:
    path = write_table(tmp_path / "T-01.fits", trace_table_format(2), MuseTable(_columns()), 1)
    with fits.open(path) as hdus:
        text = fits.TableHDU.from_columns([fits.Column("n", "I6", array=np.arange(3), ascii=True)])
        fits.HDUList([hdus[0], text, hdus[1]]).writeto(tmp_path / "both.fits")
    assert [hdu.kind for hdu in scan_fits(tmp_path / "both.fits").hdus[1:]] == ["ascii", "table"]
    assert read_table(tmp_path / "both.fits", TRACE_TABLE, 1).n_rows == 48


def test_a_table_lacking_a_column_is_refused_by_name(tmp_path: Path) -> None:
    path = write_table(tmp_path / "T-01.fits", trace_table_format(2), MuseTable(_columns()), 1)
    with pytest.raises(BadFitsError, match="LINE_CATALOG lacks the column lambda"):
        read_table(path, LINE_CATALOG)
