"""Small cubes as recipes make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.cube import CubeFile

STEP = 1.25


def make_cube(
    path: Path,
    data: npt.NDArray[np.float32],
    first: float,
    *,
    limits: tuple[str, str] | None = None,
    flags: npt.NDArray[np.int32] | None = None,
    unit: str = "count",
    images: Any = (),
    **axes: Any,
) -> Path:
    """A cube whose planes begin at a wavelength [Angstrom]; the variances are ten times the data."""
    header = Header()
    for key, value in {"OBJECT": "field", "PRO.CATG": "DATACUBE_FINAL", "QC.EXPCOMB.NDET": 3}.items():
        set_key(header, key, value)
    for number, (name, value) in enumerate(zip(("lambdamin", "lambdamax"), limits or (), strict=False), 4):
        set_key(header, f"PRO.REC1.PARAM{number}.NAME", name)
        set_key(header, f"PRO.REC1.PARAM{number}.VALUE", value, "Default: 0")
    wcs = Header()
    values = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL1": 10.0,
        "CRVAL2": -30.0, "CRPIX1": 2.5, "CRPIX2": 1.5, "CD1_1": -5e-5, "CD2_2": 5e-5, "CRVAL3": first, "CRPIX3": 1.0,
        "CD3_3": STEP, "CD1_3": 0.0,
    }  # fmt: skip
    for key, value in {**values, **axes}.items():
        wcs[key] = value
    with CubeFile.create(path, data.shape, header, wcs, unit=unit, dq=flags is not None) as cube:  # type: ignore[arg-type]
        cube.put(0, data, data * np.float32(10), flags)
        return cube.finish(images=images)


def values(n_planes: int, start: float = 0) -> npt.NDArray[np.float32]:
    """Planes of 3 x 4 spaxels that are filled with their number."""
    return np.broadcast_to(np.arange(start, start + n_planes, dtype=np.float32)[:, None, None], (n_planes, 3, 4)).copy()
