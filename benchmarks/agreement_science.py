"""Compare what the recipes from pixel tables to cubes write: cubes, responses, spectra of the sky, offsets; and the
stars of a cube with the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from agreement import COLUMNS, Line
from agreement_sky import grid_line
from astropy.io import fits

from core.fitsfile.dataunit import read_columns
from core.fitsfile.scan import scan_fits

__all__ = ["OWN_INPUTS", "SAME_INPUTS", "TABLES", "Voxels", "compare_science_cubes", "compare_tables"]

Values = np.ndarray[Any, Any]

_PIXELS, _DQ, _STAT, _GEOMETRY, _QC = COLUMNS
_FLOOR = 0.1  # of the typical value of a plane: what is nearer to 0 is the rounding of larger numbers
_TINY = 1e-30  # of a mask, most of which is 0
_SHARE = 99.9  # of the voxels within a limit [%]
_ALONE = 1.0  # rows of tables that only one side has [%]: places where bands begin are rounded
_MEASURED = (4750.0, 9350.0)  # [Angstrom]; beyond, a response is extrapolated


@dataclass(frozen=True)
class Voxels:
    """How far cubes may be apart.

    Attributes
    ----------
    relative : float or None
        Relative difference of 99.9 % of the voxels; None asks nothing.
    alone : float or None
        Voxels that only one of them has [%].
    """

    relative: float | None
    alone: float | None


SAME_INPUTS = Voxels(relative=1e-5, alone=0.0)
"""Both pipelines worked with the same pixel tables and calibrations."""

OWN_INPUTS = Voxels(relative=None, alone=None)
"""Each pipeline worked with its own: masters, geometry and sky differ by what is asked of them."""


_ALL = (-np.inf, np.inf)
TABLES: tuple[tuple[str, str, tuple[float, float], tuple[tuple[str, float, str], ...]], ...] = (
    ("STD_RESPONSE", "lambda", _MEASURED, (("response", 0.005, "mag"), ("response_unsmoothed", 0.02, "mag"))),
    ("STD_TELLURIC", "lambda", _MEASURED, (("ftelluric", 0.005, ""),)),
    ("SKY_SPECTRUM", "lambda", _ALL, (("data", -1e-3, ""),)),
    ("SKY_CONTINUUM", "lambda", _ALL, (("flux", -1e-2, ""),)),
    ("SKY_LINES", "lambda", _ALL, (("flux", -1e-2, ""),)),
    (
        "OFFSET_LIST", "MJD_OBS", _ALL,
        (("RA_OFFSET", 5e-6, "deg"), ("DEC_OFFSET", 5e-6, "deg"), ("FLUX_SCALE", 0.005, "")),
    ),
)  # fmt: skip
"""Tables by tag: the column that names a row, its values that are compared, and how far other columns may be apart (a
limit below 0 is relative).

A response of 0.005 mag is half a per cent of the flux, half of what is asked of the fluxes of stars; 5e-6 deg are 0.02
arcsec, what is asked of their places; a part in a thousand of the spectrum of the sky is below the noise of a spaxel.
"""


def compare_science_cubes(ours: Path, theirs: Path, limits: Voxels) -> Iterator[Line]:
    """Grid, voxels without value, values and variances of two cubes or images of the field."""
    with fits.open(ours) as mine, fits.open(theirs) as peer:
        if "DATA" not in peer:  # a mask
            yield from _voxels("primary", _PIXELS, mine[0].data, peer[0].data, limits)
            return
        yield grid_line(mine["DATA"], peer["DATA"])
        if mine["DATA"].shape != peer["DATA"].shape:
            return
        for name, column in (("DATA", _PIXELS), ("STAT", _STAT)):
            if name in mine and name in peer:
                yield from _voxels(name, column, mine[name].data, peer[name].data, limits)


def _voxels(name: str, column: str, mine: Values, peer: Values, limits: Voxels) -> Iterator[Line]:
    planes = [(mine[None], peer[None])] if mine.ndim == 2 else [(mine, peer)]
    (a, b) = planes[0]
    alone = total = 0
    apart: list[Values] = []
    for plane, other in zip(a, b, strict=True):
        known, theirs = np.isfinite(plane), np.isfinite(other)
        alone += int(np.count_nonzero(known != theirs))
        both = known & theirs
        total += int(np.count_nonzero(theirs))
        if both.any():
            x, y = plane[both].astype(np.float64), other[both].astype(np.float64)
            apart.append(np.abs(x - y) / np.maximum(np.abs(y), max(_FLOOR * float(np.median(np.abs(y))), _TINY)))
    percent = 100.0 * alone / max(total, 1)
    asked = "" if limits.alone is None else f"<= {limits.alone:g} %"
    yield Line(
        f"{name}: voxels of one side only", f"{alone} of {total}", asked,
        None if limits.alone is None else percent <= limits.alone, column,
        f"{name} {alone} of one side only" if alone else "",
    )  # fmt: skip
    if not apart:
        return
    relative = np.concatenate(apart)
    high, worst = float(np.percentile(relative, _SHARE, method="lower")), float(relative.max())
    yield Line(
        f"{name}: relative difference of {_SHARE:g} %, and the largest", f"{high:.2g} and {worst:.2g}",
        "" if limits.relative is None else f"{_SHARE:g} % <= {limits.relative:g}",
        None if limits.relative is None else high <= limits.relative, column, f"{name} {high:.1g}",
    )  # fmt: skip


def compare_tables(
    ours: Path,
    theirs: Path,
    key: str,
    limits: Sequence[tuple[str, float, str]],
    *,
    judged: bool = True,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Iterator[Line]:
    """Columns of two tables in the rows that both have.

    Parameters
    ----------
    ours, theirs : pathlib.Path
    key : str
        Column that names a row; empty if rows are compared in their order.
    limits : sequence of (column, limit, unit)
        Largest difference of 99.9 % of the rows; of a limit below 0 its value is that of the relative difference.
    judged : bool
        Whether the limits are asked for.
    within : tuple of float
        Values of the key that are compared.
    """
    a, b = (_columns(path) for path in (ours, theirs))
    rows: tuple[Any, Any] = (slice(None), slice(None))
    if key:
        a, b = (_within(table, key, within) for table in (a, b))
        _, mine, peer = np.intersect1d(np.round(a[key], 4), np.round(b[key], 4), return_indices=True)
        rows = mine, peer
        alone = len(a[key]) + len(b[key]) - 2 * mine.size
        percent = 100.0 * alone / max(len(b[key]), 1)
        brief = f"{alone} rows of one side only" if alone else ""
        yield Line("rows of one side only", f"{alone} of {len(b[key])}", f"<= {_ALONE:g} %" if judged else "",
                   percent <= _ALONE if judged else None, _PIXELS, brief)  # fmt: skip
    for name, limit, unit in limits:
        x, y = a[name][rows[0]].astype(np.float64), b[name][rows[1]].astype(np.float64)
        if x.shape != y.shape:
            yield Line(name, f"{x.size} and {y.size} rows", "equal", False, _GEOMETRY, f"{name} other rows")
            continue
        difference = np.abs(x - y) / (np.maximum(np.abs(y), 1e-30) if limit < 0 else 1.0)
        difference[np.isnan(x) & np.isnan(y)] = 0.0
        high = float(np.percentile(difference, _SHARE, method="lower")) if difference.size else 0.0
        unit = "" if limit < 0 else unit
        shown = f"{high:.3g} {unit}".strip()
        asked = f"<= {abs(limit):g} {unit}".strip()
        yield Line(f"{name}: difference of {_SHARE:g} % of the rows", shown, asked if judged else "",
                   high <= abs(limit) if judged else None, _GEOMETRY, f"{name} {shown}")  # fmt: skip


def _within(table: dict[str, Values], key: str, limits: tuple[float, float]) -> dict[str, Values]:
    use = (table[key] >= limits[0]) & (table[key] <= limits[1])
    return {name: values[use] for name, values in table.items()}


def _columns(path: Path) -> dict[str, Values]:
    """Columns of the first table of a file."""
    scan = scan_fits(path)
    hdu = next(item for item in scan.hdus if item.kind == "table")
    return dict(read_columns(path, hdu))
