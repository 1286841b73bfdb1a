"""Where the pixels of a cube come from: tables on disk or in memory, of one IFU or of many, in any state of astrometry.

A source hands out the pixels of a range of wavelengths (and of a band of the field) in a defined order; what it hands
out beyond does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.cubes.grid import Columns, TablePositions
from core.cubes.projection import Matrix, cd_scales, position_native
from core.errors import DataError, error_context
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.formats.pixtable_header import pixtable_units
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_ranges import Ranges, numbers, only_kept, portions, single
from core.formats.pixtable_read import PixelTable
from core.spread import spread_out

__all__ = ["ROW", "PixelSource", "joined_source", "source_of_columns", "source_of_table", "spatial_cd"]

Limits = tuple[float, float]
ROW: Final = "row"  # column with the numbers of the rows, if a source tells them
_MOST: Final = 0.75  # of some rows: others are handed out with them, rather than to copy all of them
_NEEDED: Final = ("xpos", "ypos", "lambda", "data", "dq", "stat")


@dataclass(frozen=True)
class PixelSource:
    """Pixels to be resampled.

    Attributes
    ----------
    header : Header
        Of the pixel table.
    unit : str
        Of the data.
    positions : TablePositions
        What their positions mean. Positions on the sky that are still native angles are put there when they are read.
    x, y, wave : pair of float
        Lowest and highest position [pix, or right ascension and declination in deg] and wavelength [Angstrom], as
        float32 has them.
    n_rows : int
    read : callable
        ``read(wave, y)``: columns of all rows between two wavelengths [Angstrom] and two values of y, among others, in
        the order of the table.
    """

    header: Header
    unit: str
    positions: TablePositions
    x: Limits
    y: Limits
    wave: Limits
    n_rows: int
    read: Callable[[Limits, Limits], Columns]


def source_of_table(table: PixelTable, *, numbered: bool = False) -> PixelSource:
    """Pixels of a table on disk, read by wavelength; its limits are those of its header, if it does not know better.

    Parameters
    ----------
    table : PixelTable
    numbered : bool
        Whether pixels come with the numbers of their rows.

    Raises
    ------
    MissingKeywordError
        If the header lacks the limits, or the place on the sky.
    DataError
        If it has no rows, or positions of another unit.
    """
    with error_context(file=table.path):
        return _source_of_table(table, numbered)


def _source_of_table(table: PixelTable, numbered: bool) -> PixelSource:
    if not table.n_rows:
        raise DataError("no pixels to resample: the table has no rows")
    names = [name for name in (*_NEEDED, "weight") if name in table.columns]
    unit = table.units.get("xpos", "pix")
    positions = _positions(table.header, unit)
    convert = _converter(unit, positions)

    kinds: dict[str, np.dtype[Any]] = {name: table.columns[name] for name in names}
    kinds |= {ROW: np.dtype(np.int64)} if numbered else {}

    def read(wave: Limits, y: Limits) -> Columns:
        low, high = np.float32(wave[0]), np.float32(wave[1])

        def portion(ranges: Ranges) -> dict[str, npt.NDArray[Any]]:
            cells = {**convert(table.gather(ranges, names))}
            if numbered:
                cells[ROW] = numbers(ranges)
            inside = (cells["lambda"] >= low) & (cells["lambda"] <= high)
            few = np.count_nonzero(inside) < _MOST * inside.size
            return only_kept(cells, inside if few else None)

        parts = spread_out(portion, portions(table.ranges_near(*wave)))
        # One column after the other, so that no more than one is there twice.
        return {
            name: np.concatenate([np.empty(0, kind), *(part.pop(name) for part in parts)])
            for name, kind in kinds.items()
        }

    if unit == "rad":
        extremes = spread_out(
            lambda portion: _extremes(convert(table.gather(portion, ("xpos", "ypos", "lambda")))),
            portions(single(0, table.n_rows)),
        )
        limits = _with_zero(reduce(_union, extremes), positions)
    elif (exact := table.exact_limits) is not None:
        limits = _with_zero((_plain(exact.x), _plain(exact.y), _plain(exact.wave)), positions)
    else:
        x, y, wave = (_limits_of(table.header, key) for key in ("X", "Y", "LAMBDA"))
        limits = x, y, wave
    return PixelSource(table.header, table.units.get("data", ""), positions, *limits, table.n_rows, read)


def source_of_columns(columns: Columns, header: Header, units: Mapping[str, str] | None = None) -> PixelSource:
    """Pixels in memory; their limits are measured.

    Parameters
    ----------
    columns : mapping of str to ndarray (n,)
        As in a pixel table; ``origin`` is not needed.
    header : Header
        Of the pixel table; positions on the sky need its WCS.
    units : mapping, optional
        Of the columns; pixels and counts unless told otherwise.

    Raises
    ------
    DataError
        If a column is missing or there are no rows.
    """
    missing = [name for name in _NEEDED if name not in columns]
    if missing or not columns["xpos"].size:
        raise DataError(f"no pixels to resample: {', '.join(missing) or 'rows'} missing")
    units = pixtable_units() if units is None else units
    positions = _positions(header, units["xpos"])
    placed = _converter(units["xpos"], positions)(columns)
    limits = _with_zero(_extremes(placed), positions)
    return PixelSource(header, units["data"], positions, *limits, placed["xpos"].size, lambda wave, y: placed)


def joined_source(sources: Sequence[PixelSource]) -> PixelSource:
    """The pixels of several sources one after the other, e.g. of the IFUs of an exposure; with the header of the first.

    A source is read only where it has pixels.

    Raises
    ------
    DataError
        If there is none, or their positions or units differ.
    """
    if not sources:
        raise DataError("no pixels to resample: no tables")
    first = sources[0]
    if any((other.positions, other.unit) != (first.positions, first.unit) for other in sources[1:]):
        raise DataError("pixel tables of different units or places on the sky do not make one cube")

    def read(wave: Limits, y: Limits) -> Columns:
        parts = [source.read(wave, y) for source in sources if _meets(source.wave, wave) and _meets(source.y, y)]
        common = set.intersection(*(set(part) for part in parts)) if parts else set(_NEEDED)
        kinds = {name: np.dtype(np.int32 if name == "dq" else np.float32) for name in (*_NEEDED, "weight")}
        return _concatenated(parts, {name: kind for name, kind in kinds.items() if name in common})

    x, y, wave = reduce(_union, [(source.x, source.y, source.wave) for source in sources])
    return replace(first, x=x, y=y, wave=wave, n_rows=sum(source.n_rows for source in sources), read=read)


def spatial_cd(header: Header) -> Matrix:
    """The CD matrix of axes 1 and 2 [deg/pix]; MissingKeywordError if a diagonal element is missing."""
    return (
        (get_key(header, "CD1_1", float), get_key(header, "CD1_2", float, default=0.0)),
        (get_key(header, "CD2_1", float, default=0.0), get_key(header, "CD2_2", float)),
    )


def _positions(header: Header, unit: str) -> TablePositions:
    if unit == "pix":
        return TablePositions()
    if unit not in ("rad", "deg"):
        raise DataError(f"positions in {unit!r} have no place in a cube")
    keys = ("CRVAL1", "CRVAL2") if unit == "deg" else ("RA", "DEC")
    zero = get_key(header, keys[0], float), get_key(header, keys[1], float)
    x, y = cd_scales(spatial_cd(header))
    return TablePositions(True, zero, (abs(x), abs(y)))


def _converter(unit: str, positions: TablePositions) -> Callable[[Columns], Columns]:
    """Puts native angles on the sky, and leaves other positions."""
    if unit != "rad":
        return lambda columns: columns

    def convert(columns: Columns) -> Columns:
        xpos, ypos = position_native(columns["xpos"], columns["ypos"], positions.zero[1])
        return {**columns, "xpos": xpos, "ypos": ypos}

    return convert


def _concatenated(parts: Sequence[Columns], kinds: Mapping[str, np.dtype[Any]]) -> Columns:
    return {
        name: np.concatenate([part[name] for part in parts]) if parts else np.empty(0, kind)
        for name, kind in kinds.items()
    }


def _extremes(columns: Columns) -> tuple[Limits, Limits, Limits]:
    x, y, wave = ((columns[name].min(), columns[name].max()) for name in ("xpos", "ypos", "lambda"))
    return x, y, wave


def _with_zero(limits: tuple[Limits, Limits, Limits], positions: TablePositions) -> tuple[Limits, Limits, Limits]:
    """Limits of rows with the zero point, rounded to the precision of a pixel table."""
    zeros = np.array([*positions.zero, 0])
    pairs = (np.array(limits) + zeros[:, None]).astype(np.float32)
    x, y, wave = (_plain(pair) for pair in pairs.tolist())
    return x, y, wave


def _plain(limits: tuple[Any, Any]) -> Limits:
    return float(limits[0]), float(limits[1])


def _limits_of(header: Header, key: str) -> Limits:
    low, high = (np.float32(get_key(header, f"{PREFIX}.LIMITS.{key}.{end}", float)) for end in ("LOW", "HIGH"))
    return _plain((low, high))


def _union(mine: tuple[Limits, Limits, Limits], its: tuple[Limits, Limits, Limits]) -> tuple[Limits, Limits, Limits]:
    x, y, wave = ((min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(mine, its, strict=True))
    return x, y, wave


def _meets(mine: Limits, its: Limits) -> bool:
    return mine[0] <= its[1] and its[0] <= mine[1]
