"""Compare what only the arc recipes write: residuals, wavelength maps, resampled arcs, pixel tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from agreement import COLUMNS, Line
from astropy.io import fits

__all__ = ["compare_pixtables", "compare_plane", "compare_residuals"]

_PIXELS, _GEOMETRY = COLUMNS[0], COLUMNS[3]
_SAME_LINE = 0.3  # [Angstrom]; lines of two lamps may be that near


def _columns(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Columns of a table, or of a pixel table with one image extension per column, as plain arrays."""
    with fits.open(path) as hdus:
        if isinstance(hdus[1], fits.BinTableHDU):
            columns = {name: np.asarray(hdus[1].data[name]) for name in hdus[1].columns.names}
        else:
            columns = {hdu.name.lower(): np.asarray(hdu.data).ravel() for hdu in hdus[1:]}
        return {name: values.astype(values.dtype.newbyteorder("=")) for name, values in columns.items()}


def _pairs(*keys: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], int]:
    """Rows that two lists of keys share, and how many rows are in one list only."""
    _, mine, peer = np.intersect1d(keys[0], keys[1], return_indices=True)
    return mine, peer, keys[0].size + keys[1].size - 2 * mine.size


def _rms(values: np.ndarray[Any, Any]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _alone(what: str, alone: int, total: int, limit: float, column: str) -> Line:
    percent = 100.0 * alone / max(total, 1)
    value = f"{alone} of {total} ({percent:.2g} %)"
    brief = f"{what} {percent:.2g} % of one side only"
    return Line(f"{what} of one side only", value, f"<= {limit:g} %", percent <= limit, column, brief)


def compare_residuals(ours: Path, theirs: Path) -> Iterator[Line]:
    """Points of the first iteration by slice, line and column: line centres, and residuals to the solutions."""
    a, b = ({k: v[t["iteration"] == 1] for k, v in t.items()} for t in (_columns(ours), _columns(theirs)))
    keys = [
        t["slice"].astype(np.int64) * 10**10 + np.rint(t["lambda"].astype(np.float64) * 100).astype(np.int64) * 10**4
        + t["x"]
        for t in (a, b)
    ]  # fmt: skip
    mine, peer, alone = _pairs(*keys)
    yield _alone("line centres", alone, keys[1].size, 1.0, _GEOMETRY)
    shift = _rms(a["y"][mine].astype(np.float64) - b["y"][peer])
    yield Line(
        "line centres, rms between the pipelines", f"{shift:.3g} pix", "<= 0.01 pix", shift <= 0.01, _GEOMETRY,
        f"centres {shift:.2g} pix",
    )  # fmt: skip
    residual = _rms(a["residual"][mine] - b["residual"][peer])
    yield Line(
        "residuals, rms between the pipelines", f"{residual:.3g} Angstrom", "<= 0.003 Angstrom", residual <= 0.003
    )


def _plane(path: Path) -> tuple[np.ndarray[Any, Any], fits.Header]:
    """The only image of a file; ours has it in an extension, the reference in the primary HDU."""
    with fits.open(path) as hdus:
        hdu = next(hdu for hdu in hdus if hdu.data is not None)
        return np.asarray(hdu.data, dtype=np.float32), hdu.header


def compare_plane(ours: Path, theirs: Path, limit: float, unit: str) -> Iterator[Line]:
    """An image without flags: size, axes, pixels without value; ``limit`` [unit] is for the median difference."""
    (a, header_a), (b, header_b) = _plane(ours), _plane(theirs)
    same = a.shape == b.shape and abs(header_a.get("CRVAL2", 0.0) - header_b.get("CRVAL2", 0.0)) < 0.3
    yield Line("size and first wavelength", f"{a.shape} / {b.shape}", "equal", same)
    ny, nx = np.minimum(a.shape, b.shape)
    a, b = np.nan_to_num(a[:ny, :nx]), np.nan_to_num(b[:ny, :nx])  # no value: 0 or NaN
    alone = int(((a == 0) != (b == 0)).sum())
    yield _alone("filled pixels", alone, a.size, 0.1, _PIXELS)
    difference = np.abs(a - b)[b != 0]
    median, high = (float(value) for value in np.percentile(difference, [50, 99]))
    yield Line(
        "median and 99th percentile of the differences", f"{median:.3g} and {high:.3g} {unit}",
        f"median <= {limit:g} {unit}", median <= limit, _PIXELS, f"median {median:.2g}, 99 % below {high:.2g} {unit}",
    )  # fmt: skip


def _pixels(table: Mapping[str, np.ndarray[Any, Any]], lines: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Key of each row: place on the detector and, if rows belong to lines, number of the line."""
    key = table["origin"].astype(np.int64) << 12
    if lines.size:
        key += np.searchsorted(lines, table["line_lambda"])
    return key


def _between_lines(*tables: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Wavelengths that part the lines; the fitted centre of a line moves a little from slice to slice."""
    if any("line_lambda" not in table for table in tables):
        return np.empty(0)
    centers = np.unique(np.concatenate([np.unique(table["line_lambda"]) for table in tables]).astype(np.float64))
    gaps = np.flatnonzero(np.diff(centers) > _SAME_LINE)
    return np.asarray(0.5 * (centers[gaps] + centers[gaps + 1]))


def compare_pixtables(ours: Path, theirs: Path) -> Iterator[Line]:
    """Pixels (by place on the detector, and by line), their wavelengths, original and subtracted values."""
    a, b = _columns(ours), _columns(theirs)
    yield Line("columns", ", ".join(a), ", ".join(b), list(a) == list(b))
    lines = _between_lines(a, b)
    mine, peer, alone = _pairs(_pixels(a, lines), _pixels(b, lines))
    yield _alone("pixels", alone, b["origin"].size, 1.0, _PIXELS)
    for name, limit, unit in (("lambda", 1e-3, "Angstrom"), ("xpos", 1e-3, "pix"), ("orig", 0.01, "count")):
        rms = _rms(a[name][mine].astype(np.float64) - b[name][peer])
        yield Line(f"{name}, rms", f"{rms:.3g} {unit}", f"<= {limit:g} {unit}", rms <= limit)
    level = _rms(b["orig"][peer])
    percent = 100.0 * _rms(a["data"][mine].astype(np.float64) - b["data"][peer]) / level
    yield Line(
        "subtracted values, rms", f"{percent:.3g} % of that of the values before", "<= 1 %", percent <= 1.0, _PIXELS,
        f"subtracted {percent:.2g} %",
    )  # fmt: skip
