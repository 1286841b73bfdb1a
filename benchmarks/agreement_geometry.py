"""Compare what muse_geometry writes: spots in each exposure, the table of slices, the cube; and both with the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from agreement import COLUMNS, Line, against_truth
from astropy.io import fits

from core.formats.tables import GEOMETRY_TABLE, SPOTS_TABLE, read_table
from core.simulator.truth import InstrumentTruth
from core.spatial.geometry import Geometry

__all__ = ["compare_geometry", "compare_mask_cubes", "compare_spots"]

Values = np.ndarray[Any, Any]

_PIXELS, _GEOMETRY = COLUMNS[0], COLUMNS[3]
_SPOT = ("image", "lambda", "SliceCCD", "SpotNo")
_BRIGHT = 1000.0  # flux of spots that are compared, in both [count]
_WHOLE = 0.7  # of the flux that a spot has at most: then it is not cut by the end of its slice
_SHARE = 99.0  # of the spots within a limit [%]
_QUANTITIES = {"x": "pix", "y": "pix", "angle": "deg", "width": "pix"}
_ALIKE = 0.01  # [pix, deg]
_SHARE_ALIKE = 95.0  # of the slices [%]: means over lines weigh them otherwise, by intent
_TRUE = {"x": 0.03, "y": 0.03, "angle": 0.02, "width": 0.1}


def compare_spots(ours: Path, theirs: Path, ifu: int) -> Iterator[Line]:
    """Measurements of the same pinhole in the same exposure.

    Positions and widths are compared where the light of a pinhole is not cut by the end of the slice. The reference
    counts light as background, so fluxes have a common ratio.
    """
    a, b = (read_table(path, SPOTS_TABLE, ifu).columns for path in (ours, theirs))
    keys_a, keys_b = _keys(a), _keys(b)
    _, mine, peer = np.intersect1d(keys_a, keys_b, return_indices=True)
    alone = keys_a.size + keys_b.size - 2 * mine.size
    percent = 100.0 * alone / max(keys_b.size, 1)
    yield Line(
        "spots of one side only", f"{alone} of {keys_b.size} ({percent:.2g} %)", "<= 5 %", percent <= 5.0, _GEOMETRY,
        f"{percent:.2g} % of one side only",
    )  # fmt: skip
    a, b = ({name: table[name][rows] for name in table} for table, rows in ((a, mine), (b, peer)))
    same = all(np.array_equal(a[name], b[name]) for name in ("POSENC3", "SubField"))
    worst = max(float(np.abs(a[name] - b[name]).max(initial=0.0)) for name in ("VPOS", "ScaleFOV"))
    yield Line("position of the mask, scale", f"{worst:.2g} mm, arcsec/mm", "<= 1e-9", same and worst <= 1e-9)
    bright = (a["flux"] > _BRIGHT) & (b["flux"] > _BRIGHT) & (a["flux"] > _WHOLE * _highest(a))
    for name, limit in (("xc", 0.01), ("yc", 0.01), ("xfwhm", 0.02), ("yfwhm", 0.02), ("twidth", 0.02)):
        yield _spots(name, a[name][bright] - b[name][bright], limit)
    yield from _fluxes(a["flux"][bright], b["flux"][bright])


def _keys(table: Mapping[str, Values]) -> Values:
    """One number for each row: exposure, line, slice and spot."""
    key = table["image"].astype(np.int64)
    key = key * 1_000_000 + np.rint(table["lambda"] * 10.0).astype(np.int64)
    return (key * 100 + table["SliceCCD"]) * 10 + table["SpotNo"]


def _highest(table: Mapping[str, Values]) -> Values:
    """Largest flux of each spot in all exposures, for each row."""
    spot = _keys(table) % 10**9
    places, inverse = np.unique(spot, return_inverse=True)
    highest = np.zeros(places.size)
    np.maximum.at(highest, inverse, table["flux"])
    return np.asarray(highest[inverse])


def _spots(name: str, difference: Values, limit: float) -> Line:
    median, high = (float(value) for value in np.percentile(np.abs(difference), [50.0, _SHARE]))
    return Line(
        f"{name} of {difference.size} bright spots: median and {_SHARE:g} % of the differences",
        f"{median:.2g} and {high:.2g} pix", f"{_SHARE:g} % <= {limit:g} pix", high <= limit, _GEOMETRY,
        f"{name} {high:.2g} pix",
    )  # fmt: skip


def _fluxes(mine: Values, peer: Values) -> Iterator[Line]:
    ratio = mine / peer
    typical = float(np.median(ratio))
    spread = float(np.percentile(np.abs(ratio / typical - 1.0), _SHARE))
    yield Line(
        f"flux: ratio, and what {_SHARE:g} % of the spots deviate from it", f"{typical:.3f}, {100 * spread:.2g} %",
        column=_PIXELS, brief=f"flux {typical:.3f} times",
    )  # fmt: skip


def compare_geometry(
    ours: Path, theirs: Path, truth: InstrumentTruth | None, *, smoothed: bool = False
) -> Iterator[Line]:
    """Places of the slices: against each other, and each against the truth.

    Smoothed tables may be farther from the truth, in which slices do not stand in straight lines. Zero points are set
    aside: of y, which is a convention where the central IFU is missing, and of x in each IFU. These are compared by
    themselves, as the reference takes the slices at the rims of an IFU as centred alike.
    """
    a, b = (_placed(Geometry.from_columns(read_table(path, GEOMETRY_TABLE).columns)) for path in (ours, theirs))
    keys = _slices(a), _slices(b)
    yield Line("slices with a place", f"{keys[0].size} / {keys[1].size}", "equal", np.array_equal(*keys))
    common = np.intersect1d(*keys)
    a, b = (geometry.where(np.isin(_slices(geometry), common)) for geometry in (a, b))
    for name, unit in _QUANTITIES.items():
        apart = np.abs(_centred(getattr(a, name) - getattr(b, name), name, a.ifu))
        percent, worst = 100.0 * float(np.mean(apart <= _ALIKE)), float(apart.max())
        yield Line(
            f"{name}: slices within {_ALIKE:g} {unit}, and the largest difference",
            f"{percent:.1f} %, {worst:.4f} {unit}",
            f">= {_SHARE_ALIKE:g} %", percent >= _SHARE_ALIKE, _GEOMETRY, f"{name} {percent:.3g} %, {worst:.2g} {unit}",
        )  # fmt: skip
    if truth is not None:
        true = Geometry.from_columns(truth.geometry.table())
        yield from _with_truth(a, b, true.where(np.isin(_slices(true), common)), smoothed=smoothed)


def _placed(geometry: Geometry) -> Geometry:
    """Slices that have a place, by IFU and number on the sky."""
    found = geometry.where(np.isfinite(geometry.x) & np.isfinite(geometry.y))
    return found.where(np.argsort(_slices(found)))


def _slices(geometry: Geometry) -> Values:
    return np.asarray(geometry.ifu.astype(np.int64) * 100 + geometry.slice_sky)


def _centred(difference: Values, name: str, ifu: Values) -> Values:
    """Differences without those of the zero points: of x in each IFU, of y in the field."""
    if name not in ("x", "y"):
        return difference
    groups = ifu if name == "x" else np.zeros_like(ifu)
    centred = difference.astype(np.float64)
    for group in np.unique(groups):
        centred[groups == group] -= np.median(difference[groups == group])
    return centred


def _with_truth(ours: Geometry, theirs: Geometry, true: Geometry, *, smoothed: bool) -> Iterator[Line]:
    sides = (ours, theirs)
    for name, unit in _QUANTITIES.items():
        mine, peer = (_centred(getattr(geometry, name) - getattr(true, name), name, geometry.ifu) for geometry in sides)
        yield against_truth(f"{name}, rms to the truth", _rms(mine), _rms(peer), unit)
        worst, other = (float(np.abs(values).max()) for values in (mine, peer))
        shown = f"ours {worst:.4f}, theirs {other:.4f} {unit}"
        limit, ok = ("", None) if smoothed else (f"ours <= {_TRUE[name]:g} {unit}", worst <= _TRUE[name])
        yield Line(
            f"{name}, largest deviation from the truth", shown, limit, ok, _GEOMETRY, f"{name} {worst:.2g} {unit} off"
        )
    mine, peer = (_steps(geometry, true) for geometry in sides)
    if mine.size:
        worst, other = (float(np.abs(values).max()) for values in (mine, peer))
        yield Line(
            "x of an IFU against the one before it, largest deviation from the truth",
            f"ours {worst:.4f}, theirs {other:.4f} pix", f"ours <= {_TRUE['x']:g} pix", worst <= _TRUE["x"], _GEOMETRY,
            f"IFUs {worst:.2g} pix off",
        )  # fmt: skip


def _steps(geometry: Geometry, true: Geometry) -> Values:
    """How far the zero point of x changes from an IFU to the next, but for the true step."""
    apart = geometry.x - true.x
    zero = {ifu: float(np.median(apart[geometry.ifu == ifu])) for ifu in geometry.ifus}
    return np.array([zero[ifu + 1] - zero[ifu] for ifu in geometry.ifus if ifu + 1 in zero])


def _rms(values: Values) -> float:
    return float(np.sqrt(np.mean(values**2)))


def compare_mask_cubes(ours: Path, theirs: Path) -> Iterator[Line]:
    """Size and wavelengths of two cubes of the mask, and the light in their white images."""
    found = []
    for path in (ours, theirs):
        with fits.open(path) as hdus:
            names = {hdu.name.lower(): hdu for hdu in hdus}
            header = names["data"].header
            white = np.asarray(names["white"].data, np.float64)
            found.append((header["NAXIS3"], round(float(header["CRVAL3"]), 2), white.shape, float(np.nansum(white))))
    (*shape, light), (*other, light_of_theirs) = found
    yield Line("planes, first wavelength, size", f"{shape} / {other}", "equal", shape == other, _PIXELS)
    ratio = light / light_of_theirs
    yield Line("light in the white image, ours over theirs", f"{ratio:.4f}", column=_PIXELS, brief=f"light {ratio:.3f}")
