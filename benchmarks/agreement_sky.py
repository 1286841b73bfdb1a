"""Compare what the recipes of the sky write: pixel tables of exposures, cubes of the twilight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from agreement import COLUMNS, Line, against_truth
from astropy.io import fits

from core.fitsfile.header import Header
from core.fitsfile.scan import scan_fits
from core.formats.pixtable_origin import CcdPositions, decode_origin, read_offsets
from core.formats.pixtable_read import PixelTable, open_pixtable
from core.instruments.muse.facts import N_SLICES
from core.simulator.truth import InstrumentTruth

__all__ = [
    "OWN_MASTERS",
    "SAME_MASTERS",
    "Limits",
    "compare_cubes",
    "compare_exposures",
    "compare_with_truth",
    "grid_line",
]

Rows = slice | np.ndarray[Any, np.dtype[np.intp]]

_PIXELS, _DQ, _STAT, _GEOMETRY, _QC = COLUMNS
_ALIKE = 1e-4  # relative difference of values
_ON_THE_SKY = {"rad": 1e-9, "deg": 1e-7}  # largest difference of places: 0.0002 and 0.0004 arcsec
_OF_CUBES = 2e-3
_SKY_LINES = (5577.339, 6300.304, 6863.955, 8399.170, 8885.850)  # bright and alone [Angstrom]
_HALF_WINDOW = 3.0  # [Angstrom] of a line, and that of the background beside it
_EVERY = 7  # of so many rows one is compared with the truth
_WCS = (
    *(f"{name}{axis}" for name in ("CTYPE", "CUNIT", "CRPIX", "CRVAL") for axis in (1, 2, 3)),
    *("CD1_1", "CD1_2", "CD2_1", "CD2_2", "CD3_3"),
)


@dataclass(frozen=True)
class Limits:
    """How far pixel tables may be apart.

    Attributes
    ----------
    alone : float
        Rows that only one has [%].
    position, wave : float
        Largest (of the same masters) or rms difference of positions [pix] and wavelengths [Angstrom].
    apart : float
        Rows whose value, or variance, differs by more than 1e-4 of it [%].
    flags : float
        Rows with other flags [%].
    largest : bool
        Whether the largest differences of positions are judged, not their rms.
    """

    alone: float
    position: float
    wave: float
    apart: float | None
    flags: float
    largest: bool


SAME_MASTERS = Limits(alone=0.0, position=1e-4, wave=1e-3, apart=0.1, flags=0.0, largest=True)
"""Both pipelines worked with the same calibrations."""

OWN_MASTERS = Limits(alone=0.1, position=0.02, wave=0.003, apart=None, flags=0.1, largest=False)
"""Each pipeline worked with its own."""


def compare_exposures(ours: Path, theirs: Path, limits: Limits) -> Iterator[Line]:
    """Rows of two pixel tables by their place on the detector: positions, wavelengths, values, flags."""
    a, b = open_pixtable(ours), open_pixtable(theirs)
    yield Line("columns", ", ".join(a.columns), ", ".join(b.columns), list(a.columns) == list(b.columns))
    mine, peer, alone = _same_rows(a, b)
    percent = 100.0 * alone / max(b.n_rows, 1)
    yield Line(
        "rows of one side only", f"{alone} of {b.n_rows} ({percent:.2g} %)", f"<= {limits.alone:g} %",
        percent <= limits.alone, _PIXELS, f"{alone} rows of one side only" if alone else "",
    )  # fmt: skip
    unit = b.units.get("xpos", "pix")
    position = unit, _ON_THE_SKY.get(unit, limits.position)
    for name, (unit, limit) in {"xpos": position, "ypos": position, "lambda": ("Angstrom", limits.wave)}.items():
        yield _places(name, unit, limit, np.subtract(*_pair(a, b, name, mine, peer), dtype=np.float64), limits.largest)
    for name, column in (("data", _PIXELS), ("stat", _STAT)):
        yield _values(name, column, limits.apart, *_pair(a, b, name, mine, peer))
    other = np.not_equal(*_pair(a, b, "dq", mine, peer))
    flags = int(np.count_nonzero(other))
    share = 100.0 * flags / max(other.size, 1)
    yield Line(
        "rows with other flags", f"{flags} ({share:.4f} %)", f"<= {limits.flags:g} %", share <= limits.flags, _DQ,
        f"{flags} rows",
    )  # fmt: skip
    if limits.largest:
        yield from _flat_fields(a, b)
        yield _headers(a.header, b.header)


def _same_rows(a: PixelTable, b: PixelTable) -> tuple[Rows, Rows, int]:
    """Rows that two tables share, in one order, and how many only one of them has."""
    keys, others = (table.read(0, table.n_rows, ("origin",))["origin"] for table in (a, b))
    if np.array_equal(keys, others):
        return slice(None), slice(None), 0
    _, mine, peer = np.intersect1d(keys, others, assume_unique=True, return_indices=True)
    return mine, peer, a.n_rows + b.n_rows - 2 * mine.size


def _pair(a: PixelTable, b: PixelTable, name: str, mine: Rows, peer: Rows) -> tuple[Any, Any]:
    return a.read(0, a.n_rows, (name,))[name][mine], b.read(0, b.n_rows, (name,))[name][peer]


def _places(name: str, unit: str, limit: float, difference: np.ndarray[Any, Any], largest: bool) -> Line:
    worst, rms = float(np.abs(difference).max(initial=0.0)), float(np.sqrt(np.mean(difference**2)))
    judged = worst if largest else rms
    return Line(
        f"{name}, largest and rms difference", f"{worst:.3g} and {rms:.3g} {unit}",
        f"{'largest' if largest else 'rms'} <= {limit:g} {unit}", judged <= limit, _GEOMETRY,
        f"{name} {judged:.2g} {unit}",
    )  # fmt: skip


def _values(name: str, column: str, limit: float | None, mine: Any, peer: Any) -> Line:
    """Share of the rows whose values differ by more than `_ALIKE` of the reference's."""
    relative = _relative(mine, peer)
    high = float(np.percentile(relative, 99.9, method="lower"))
    percent = 100.0 * float(np.count_nonzero(relative > _ALIKE)) / max(relative.size, 1)
    return Line(
        f"{name}: rows farther apart than {_ALIKE:g} of the value",
        f"{percent:.4f} %, 99.9 % of them within {high:.3g}",
        "" if limit is None else f"<= {limit:g} %", None if limit is None else percent <= limit, column,
        f"{name} {high:.2g}" + (f", {percent:.2g} % beyond {_ALIKE:g}" if percent else ""),
    )  # fmt: skip


def _relative(mine: Any, peer: Any) -> np.ndarray[Any, Any]:
    """Relative differences; infinite where only one of the two is a number."""
    a, b = (np.asarray(values, np.float64) for values in (mine, peer))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.abs(a - b) / np.abs(b)
    relative[(a == b) | (np.isnan(a) & np.isnan(b))] = 0.0
    relative[np.isnan(relative)] = np.inf
    return relative


def _flat_fields(a: PixelTable, b: PixelTable) -> Iterator[Line]:
    """Spectra of the flat field, if either has one."""
    mine, peer = a.flat_field(), b.flat_field()
    if mine is None or peer is None:
        same = mine is None and peer is None
        shown = ", ".join(
            f"{name} {'none' if spectrum is None else 'has one'}"
            for name, spectrum in (("ours", mine), ("theirs", peer))
        )
        brief = "" if same else f"flat-field spectrum: {shown}"
        yield Line("spectrum of the flat field", shown, "both or none", same, _GEOMETRY, brief)
        return
    if mine[0].shape != peer[0].shape:
        sizes = f"{mine[0].size} and {peer[0].size} bins"
        yield Line("spectrum of the flat field", sizes, "equal", False, _GEOMETRY, f"flat-field spectrum {sizes}")
        return
    shift = float(np.abs(mine[0] - peer[0]).max())
    worst = float(_relative(mine[1], peer[1]).max())
    yield Line(
        "spectrum of the flat field, wavelengths and values", f"{shift:.2g} Angstrom, {worst:.2g}",
        "<= 0.001 Angstrom, 1e-4", shift <= 1e-3 and worst <= _ALIKE, _GEOMETRY, f"flat-field spectrum {worst:.1g}",
    )  # fmt: skip


def _headers(a: Header, b: Header) -> Line:
    """Cards that say what the rows are: limits, offsets of the slices, corrections, fluxes."""
    mine, peer = (
        {card.keyword: card.value for card in header.cards if card.keyword.startswith("ESO DRS MUSE")}
        for header in (a, b)
    )
    others = [key for key in peer if not _same_card(mine.get(key), peer[key])] + sorted(mine.keys() - peer.keys())
    names = ", ".join(key.removeprefix("ESO DRS MUSE ") for key in others[:4])
    shown = f"{len(others)} of {len(peer)}" + (f": {names}" if others else "")
    return Line(
        "keywords DRS.MUSE with another value", shown, "0", not others, _GEOMETRY, f"keywords {shown}" if others else ""
    )


def _same_card(a: object, b: object) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float):
        return abs(a - b) <= 2e-6 * max(abs(a), abs(b))  # written with seven digits
    return a == b


def compare_cubes(ours: Path, theirs: Path) -> Iterator[Line]:
    """Cubes of the twilight: grid, voxels without value, values, images, fluxes of the IFUs."""
    with fits.open(ours) as mine, fits.open(theirs) as peer:
        names = [hdu.name for hdu in peer if hdu.data is not None]
        lacking = [name for name in names if name not in mine]
        yield Line(
            "extensions ours lack", ", ".join(lacking) or "none", "none", not lacking, _PIXELS, ", ".join(lacking)
        )
        yield grid_line(mine["DATA"], peer["DATA"])
        for name in names:
            if name in mine and mine[name].shape == peer[name].shape:
                yield from _planes(name, mine[name].data, peer[name].data)
    yield _headers(scan_fits(ours).primary, scan_fits(theirs).primary)


def grid_line(mine: Any, peer: Any) -> Line:
    """Shapes and world coordinates."""
    others = [key for key in _WCS if not _same_card(mine.header.get(key), peer.header.get(key))]
    shown = f"{mine.shape} / {peer.shape}" + (f", {', '.join(others)}" if others else "")
    ok = mine.shape == peer.shape and not others
    return Line("grid", shown, "equal", ok, _GEOMETRY, "same grid" if ok else f"grid {shown}")


def _planes(name: str, mine: Any, peer: Any) -> Iterator[Line]:
    if name.endswith("DQ"):
        flags = int(np.count_nonzero(mine != peer))
        yield Line(f"{name}: other flags", str(flags), "0", flags == 0, _DQ, f"{flags} of {name}" if flags else "")
        return
    alone = int(np.count_nonzero(np.isnan(mine) != np.isnan(peer)))
    both = ~(np.isnan(mine) | np.isnan(peer))
    relative = _relative(mine[both], peer[both])
    worst = float(relative.max(initial=0.0))
    high = float(np.percentile(relative, 99.9, method="lower")) if relative.size else 0.0
    column = _STAT if name == "STAT" else _PIXELS
    yield Line(f"{name}: values of one side only", f"{alone} of {peer.size}", "0", alone == 0, column,
               f"{name} {alone} of one side only" if alone else "")  # fmt: skip
    yield Line(
        f"{name}: largest relative difference, and of 99.9 %", f"{worst:.2g} and {high:.2g}",
        f"99.9 % within {_OF_CUBES:g}", high <= _OF_CUBES, column, f"{name} {worst:.1g}",
    )  # fmt: skip


def compare_with_truth(ours: Path, theirs: Path, truth: InstrumentTruth, flexure: float) -> Iterator[Line]:
    """Positions and wavelengths of the rows of two pixel tables, and the sky lines in them, each against the truth.

    Parameters
    ----------
    ours, theirs : pathlib.Path
    truth : InstrumentTruth
        Of the IFU.
    flexure : float
        Shift of the spectra of the exposure to the red [Angstrom].
    """
    tables = [open_pixtable(path) for path in (ours, theirs)]
    mine, peer = (_deviations(table, truth, flexure) for table in tables)
    for name, unit in (("xpos", "pix"), ("ypos", "pix"), ("lambda", "Angstrom")):
        yield against_truth(f"{name}, rms to the truth", mine[name], peer[name], unit)
    own, others = (_line_offsets(table) for table in tables)
    yield against_truth("sky lines of the slices, rms to their wavelengths", own, others, "Angstrom")


def _deviations(table: PixelTable, truth: InstrumentTruth, flexure: float) -> dict[str, float]:
    """Rms of the positions and wavelengths of some rows of each slice, to those of the light in these pixels."""
    rows = table.read(0, table.n_rows, ("xpos", "ypos", "lambda", "origin"))
    rows = {name: values[::_EVERY] for name, values in rows.items()}
    places: CcdPositions = decode_origin(rows["origin"], read_offsets(table.header))
    squares = dict.fromkeys(("xpos", "ypos", "lambda"), 0.0)
    for number in range(1, N_SLICES + 1):
        of_slice = places.slice_no == number
        x, y = places.x[of_slice], places.y[of_slice]
        true = dict(zip(("xpos", "ypos"), truth.position(number, x, y), strict=True))
        true["lambda"] = truth.wavelength(number, x, y) - flexure
        for name in squares:
            squares[name] += float(np.sum((rows[name][of_slice] - true[name]) ** 2))
    return {name: float(np.sqrt(total / len(rows["origin"]))) for name, total in squares.items()}


def _line_offsets(table: PixelTable) -> float:
    """Rms of the centres of sky lines in the slices from where they should be [Angstrom]."""
    offsets: list[float] = []
    for line in _SKY_LINES:
        parts = list(table.rows(line - 2 * _HALF_WINDOW, line + 2 * _HALF_WINDOW, ("lambda", "data", "dq", "origin")))
        columns = {
            name: np.concatenate([part.columns[name] for part in parts]) for name in ("lambda", "data", "dq", "origin")
        }
        for number in range(1, N_SLICES + 1):
            use = (columns["origin"] % 64 == number) & (columns["dq"] == 0)
            wave, data = columns["lambda"][use].astype(np.float64) - line, columns["data"][use].astype(np.float64)
            inside = np.abs(wave) <= _HALF_WINDOW
            light = data[inside] - np.median(data[~inside])
            offsets.append(float(np.sum(light * wave[inside]) / np.sum(light)))
    return float(np.sqrt(np.mean(np.square(offsets))))
