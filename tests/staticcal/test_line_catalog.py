"""LINE_CATALOG has the format and the balance that pattern matching and line fits need."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import DataError
from core.formats.tables import LINE_CATALOG, read_table
from core.staticcal import build_line_catalog, lamp_lines, lamp_of_ion, write_line_catalog


def test_rows_ascend_inside_the_arc_range() -> None:
    catalog = build_line_catalog()
    assert np.all(np.diff(catalog.wave) > 0.0)
    assert catalog.wave[0] >= 4600.0
    assert catalog.wave[-1] <= 9350.0
    assert catalog.wave.dtype == catalog.flux.dtype == np.float32
    assert catalog.quality.dtype == np.int32


def test_enough_lines_of_each_quality() -> None:
    catalog = build_line_catalog()
    used = catalog.quality >= 2
    # real solutions rest on 64..70 lines in the adaptive-optics mode, some more without the notch
    assert 60 <= used.sum() <= 110
    assert 90 <= (catalog.quality >= 1).sum() <= 150
    assert set(np.unique(catalog.quality)) == {0, 1, 2, 3, 5}
    lamps = Counter(lamp_of_ion(ion) for ion, fitted in zip(catalog.ion, used, strict=True) if fitted)
    assert min(lamps.values()) >= 7
    assert set(lamps) == {"Ne", "Xe", "HgCd"}


def test_used_lines_leave_no_large_hole() -> None:
    catalog = build_line_catalog()
    used = catalog.wave[catalog.quality >= 2]
    assert used[0] < 4800.0
    assert used[-1] > 9290.0
    assert np.diff(used).max() < 320.0


def test_reference_lines_are_bright_and_alone() -> None:
    catalog = build_line_catalog()
    for wave, flux, ion in zip(catalog.wave, catalog.flux, catalog.ion, strict=True):
        lines = lamp_lines(lamp_of_ion(ion))
        if catalog.quality[np.flatnonzero(catalog.wave == wave)[0]] != 5:
            continue
        near = (np.abs(lines.wave - wave) < 6.5) & (np.abs(lines.wave - wave) > 0.01)
        assert flux >= 3000.0
        assert lines.area[near].sum() < 0.08 * flux


@pytest.mark.parametrize("wave", [4678.149, 4799.912, 5085.822, 5460.750, 5769.610, 5790.670, 6438.469])
def test_the_seven_lines_seen_on_real_arcs_are_good(wave: float) -> None:
    catalog = build_line_catalog()
    k = int(np.argmin(np.abs(catalog.wave - wave)))
    assert abs(catalog.wave[k] - wave) < 0.01
    assert catalog.quality[k] >= 3


def test_multiplets_do_not_touch_each_other() -> None:
    catalog = build_line_catalog()
    for lamp in ("Ne", "Xe", "HgCd"):
        members = [
            float(wave)
            for wave, quality, ion in zip(catalog.wave, catalog.quality, catalog.ion, strict=True)
            if quality == 2 and lamp_of_ion(ion) == lamp
        ]
        gaps = np.diff(members)
        # pipelines gather all members within 40 Angstrom of the first one in a common fit
        assert np.all((gaps < 10.5) | (gaps > 40.0))


def test_file_is_what_recipes_accept(tmp_path: Path) -> None:
    path = write_line_catalog(tmp_path / "lines.fits")
    catalog = build_line_catalog()
    with fits.open(path) as hdus:
        assert hdus[0].header["VERSION"] == 3
        assert hdus[0].header["ESO PRO CATG"] == "LINE_CATALOG"
        # with PIPEFILE the reference pipeline takes a file for a product of one IFU
        assert "PIPEFILE" not in hdus[0].header
        assert [column.format for column in hdus[1].columns][:2] == ["1E", "1E"]
        assert hdus[1].columns["quality"].format == "1J"
    table = read_table(path, LINE_CATALOG)
    np.testing.assert_array_equal(table["lambda"], catalog.wave)
    np.testing.assert_array_equal(table["quality"], catalog.quality)
    for name, expected in (("ion", catalog.ion), ("comment", catalog.comment)):
        assert [text.decode() if isinstance(text, bytes) else text for text in table[name]] == list(expected)


def test_lamps_are_known_by_their_ions() -> None:
    assert [lamp_of_ion(ion) for ion in ("NeI", "XeI", "HgI", "CdI")] == ["Ne", "Xe", "HgCd", "HgCd"]
    with pytest.raises(DataError, match="ArI"):
        lamp_of_ion("ArI")
    with pytest.raises(DataError, match="ThAr"):
        lamp_lines("ThAr")


def test_measured_areas_win() -> None:
    lines = lamp_lines("HgCd")
    green = int(np.argmin(np.abs(lines.wave - 5460.750)))
    assert lines.area[green] == 99275.0
    assert lines.ion[green] == "HgI"
