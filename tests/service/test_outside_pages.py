"""A product from outside has a page that says where it came from, and what is not known of it."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
from astropy.io import fits

from core.archive.sessions import Archive
from core.settings import Settings
from workers.ingest import ingest_once


@pytest.fixture
def outside(own: httpx.Client, tmp_path: Path) -> int:
    """Number of a product that ingest took in from outside."""
    header = fits.Header()
    header["INSTRUME"], header["DATE-OBS"], header["EXTNAME"] = "MUSE", "2026-11-01T22:00:00.000", "CHAN07"
    header["ARCFILE"] = "M.MUSE.2026-11-02T11:00:00.123.fits"
    header["HIERARCH ESO PRO CATG"] = "MASTER_BIAS"
    settings = Settings(data_dir=tmp_path, settle_seconds=0.02)
    settings.make_directories()
    path = settings.archive_dirs[0] / "M.MUSE.2026-11-02T11:00:00.123.fits"
    image = fits.ImageHDU(np.zeros((8, 8), np.float32), name="DATA")
    fits.HDUList([fits.PrimaryHDU(header=header), image]).writeto(path)
    archive = Archive(settings.database_url)
    assert ingest_once(archive, settings).products == 1
    archive.dispose()
    items = own.get("/api/products", params={"tag": "MASTER_BIAS", "unit": 7}).json()["items"]
    (number,) = [item["id"] for item in items]
    return int(number)


def test_its_page_says_that_it_came_from_outside(own: httpx.Client, outside: int) -> None:
    page = own.get(f"/products/{outside}")
    assert page.status_code == 200
    for words in ("came from outside", "certified", "no QC1 values are measured", "→ present"):
        assert words in page.text


def test_the_rest_interface_has_it_without_a_block(own: httpx.Client, outside: int) -> None:
    product = own.get(f"/api/products/{outside}").json()
    assert (product["tag"], product["unit"], product["block"], product["state"]) == (
        "MASTER_BIAS",
        7,
        None,
        "certified",
    )
    assert own.get(f"/api/products/{outside}/file").status_code == 200
