"""Files of several IFUs in one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import (
    MissingInputError,
)
from core.fitsfile.header import Card
from core.fitsfile.scan import scan_fits
from core.formats.image import MuseImage, read_image, write_image
from core.formats.merge import merge_products, merged_name
from core.formats.tables import (
    TRACE_TABLE,
    MuseTable,
    read_table,
    trace_table_format,
    write_table,
)


def test_merged_products_hold_the_same_pixels_and_split_the_keywords(
    tmp_path: Path, make_image: Callable[[int], MuseImage]
) -> None:
    paths = [write_image(tmp_path / f"MASTER_BIAS-{ifu:02d}.fits", make_image(ifu), ifu) for ifu in (12, 3)]
    assert merged_name(paths[0]) == "MASTER_BIAS.fits"
    merged = merge_products(paths, tmp_path / "MASTER_BIAS.fits")
    for ifu in (3, 12):
        back = read_image(merged, ifu)
        np.testing.assert_array_equal(back.stat, make_image(ifu).stat)
        assert back.header["ESO DET CHIP NAME"] == f"CHAN{ifu:02d}"
        assert "ESO QC BIAS MASTER1 RON" in back.header
    with fits.open(merged, checksum=True) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus[1:4]] == ["CHAN03.DATA", "CHAN03.DQ", "CHAN03.STAT"]
        assert hdus["CHAN12.DATA"].header["ERRDATA"] == "CHAN12.STAT"
        assert "ESO QC BIAS MASTER1 RON" not in hdus[0].header
        assert "EXTNAME" not in hdus[0].header
        assert hdus[0].header["ESO PRO CATG"] == "MASTER_BIAS"
    with pytest.raises(MissingInputError, match=r"CHAN05\.DATA"):
        read_image(merged, 5)


def test_merging_copies_cards_that_we_would_not_write(tmp_path: Path, make_image: Callable[[int], MuseImage]) -> None:
    odd = ["HIERARCH ESO DET CHIP NAME#1 = 1.50 / of another writer", "HIERARCH ESO QC NAN = NaN"]
    paths = []
    for ifu in (3, 12):
        image = make_image(ifu)
        image.header.extend(Card.from_image(text.ljust(80)) for text in odd)
        paths.append(write_image(tmp_path / f"MASTER_BIAS-{ifu:02d}.fits", image, ifu))
    merged = scan_fits(merge_products(paths, tmp_path / "MASTER_BIAS.fits"))
    cards = {card.image.rstrip() for card in merged.hdus[4].header.cards}
    assert cards >= set(odd)


def test_merged_tables_are_found_by_ifu(tmp_path: Path) -> None:
    fmt = trace_table_format(2)
    paths = []
    for ifu in (4, 9):
        columns = {column.name: np.full(48, float(ifu)) for column in fmt.columns}
        paths.append(write_table(tmp_path / f"TRACE_TABLE-{ifu:02d}.fits", fmt, MuseTable(columns), ifu))
    merged = merge_products(paths, tmp_path / "TRACE_TABLE.fits")
    assert read_table(merged, TRACE_TABLE, 9)["Width"][0] == 9.0
    with pytest.raises(MissingInputError, match="no table of IFU 5"):
        read_table(merged, TRACE_TABLE, 5)
