from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from astropy.io import fits

WriteStatic = Callable[..., Path]


@pytest.fixture
def write_static(tmp_path: Path) -> WriteStatic:
    """Writes a FITS file below the test's directory; keywords are given in dot notation."""

    def write(name: str, tag: str | None, **keywords: object) -> Path:
        header = fits.Header()
        if tag is not None:
            header["HIERARCH ESO PRO CATG"] = tag
        for key, value in keywords.items():
            header[f"HIERARCH ESO {key.replace('_', ' ')}" if "_" in key else key] = value
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        fits.PrimaryHDU(header=header).writeto(path)
        return path

    return write
