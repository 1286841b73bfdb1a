"""Catalogues of users become reference fields."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import DataError
from core.formats.astrometric_field import nearest_field
from core.formats.onsky_tables import ASTROMETRY_REFERENCE
from core.staticcal.fields import write_fields

CATALOGUE = """# from Gaia
source_id,ra,dec,phot_g_mean_mag
11,359.9990,-30.0010,14.5
12,0.0010,-29.9990,12.5
13,0.0005,-30.0000,13.5
14,0.0000,-30.0005,
15,359.9995,-30.0002,15.5
"""


def test_a_catalogue_in_csv_is_a_field(tmp_path: Path) -> None:
    (tmp_path / "field7.csv").write_text(CATALOGUE)
    path = write_fields(tmp_path / "astrometry_reference.fits", [tmp_path / "field7.csv"], "2026-11-29")
    field = nearest_field(path, 0.0, -30.0)
    assert field.name == "field7"
    assert field.distance < 0.1  # across RA 0
    assert field.sky.tolist() == [[0.001, -29.999], [0.0005, -30.0], [359.999, -30.001], [359.9995, -30.0002]]
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[0].header["ESO PRO CATG"] == "ASTROMETRY_REFERENCE"
        assert hdus["field7"].columns.names == [column.name for column in ASTROMETRY_REFERENCE.columns]
        assert hdus["field7"].data["SourceID"].tolist() == ["12", "13", "11", "15"]
        assert hdus["field7"].header["REFERENC"] == "field7.csv"


def test_a_table_in_fits_is_a_field_beside_it(tmp_path: Path) -> None:
    (tmp_path / "field7.csv").write_text(CATALOGUE)
    values = np.linspace(0.0, 0.01, 6)
    columns = [
        fits.Column("RAJ2000", "D", array=80.0 + values),
        fits.Column("DEJ2000", "D", array=-10.0 + values[::-1]),
        fits.Column("mag", "E", array=12.0 + values),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "other.fits")
    path = write_fields(tmp_path / "r.fits", [tmp_path / "field7.csv", tmp_path / "other.fits"], "2026-11-29")
    assert nearest_field(path, 80.005, -9.995).name == "other"
    assert nearest_field(path, 0.0, -30.0).name == "field7"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ra,dec\n1,2\n", "has no column mag"),
        ("ra,dec,mag\n1,2,3\n", "1 stars"),
        ("ra,dec,mag\n" + "1,south,3\n" * 5, "no number"),
    ],
)
def test_a_catalogue_that_is_none_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(DataError, match=reason):
        write_fields(tmp_path / "r.fits", [tmp_path / "c.csv"], "2026-11-29")
    assert not (tmp_path / "r.fits").exists()
