"""What is built tells where it comes from, and is the same each time."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name

import pytest
from astropy.io import fits

from core.instruments.muse.statics import MUSE_STATICS
from core.instruments.statics import BuiltFile

BUILT = MUSE_STATICS.built


@pytest.mark.parametrize("built", BUILT, ids=[built.tag for built in BUILT])
def test_each_built_file_has_its_provenance_and_is_reproducible(tmp_path: Path, built: BuiltFile) -> None:
    write = resolve_name(built.builder)
    first, second = (write(tmp_path / f"{number}.fits") for number in (1, 2))
    assert first.read_bytes() == second.read_bytes()
    with fits.open(first, checksum=True) as hdus:
        hdus.verify("exception")
        header = hdus[0].header
        assert (header["ESO PRO CATG"], header["ORIGIN"], header["INSTRUME"]) == (built.tag, "cascade-muse", "MUSE")
        assert header["ESO DRS STATIC VERSION"] >= 1
        assert header["DATE"] >= "2026"
        assert len(header["DATAMD5"]) == 32
        assert "Source: " in str(header["COMMENT"])
        assert all({"CHECKSUM", "DATASUM"} <= set(hdu.header) for hdu in hdus)
