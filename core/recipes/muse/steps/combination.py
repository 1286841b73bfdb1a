"""Exposures become one pixel table: weights, offsets, scales of their fluxes (MUSE manual, 6.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError, CalibrationMismatchError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key, has_key, set_key
from core.formats.onsky_tables import named_tables
from core.formats.pixtable_header import PixtableLimits, own_cards
from core.formats.pixtable_origin import PREFIX, read_offsets, set_exposures, set_offset
from core.formats.pixtable_ranges import Kept, Ranges, cut, joined
from core.formats.pixtable_read import PixelTable, WaveIndex
from core.onsky.weights import Seeing, WeightType, combined_strehl, exposure_weights
from core.recipes.logs import Logger
from core.recipes.muse.steps.astrometry import position
from core.recipes.muse.steps.table import Columns, CorrectedTable, RowStep, measure_limits

__all__ = [
    "CombinedTable",
    "ExposureOffset",
    "FluxScaleStep",
    "WeightStep",
    "combine_exposures",
    "offset_of",
    "read_offset_list",
]

_DATE_LENGTH: Final = 23  # characters that are compared
_STREHL: Final = "DRS.MUSE.RTC.STREHL"
_STREHL_ERROR: Final = "DRS.MUSE.RTC.STREHLERR"
_OFFSETS: Final = r"DRS\.MUSE\.PIXTABLE\.EXP\d+\.IFU"


@dataclass(frozen=True)
class ExposureOffset:
    """What an OFFSET_LIST says of an exposure.

    Attributes
    ----------
    ra, dec : float
        Measured less true [deg], without a cosine.
    scale : float or None
        What its fluxes are multiplied with.
    """

    ra: float = 0.0
    dec: float = 0.0
    scale: float | None = None


def read_offset_list(path: Path) -> dict[str, ExposureOffset]:
    """Offsets of exposures, by ``DATE-OBS``.

    Raises
    ------
    BadFitsError
        If the file is no OFFSET_LIST.
    """
    table = next(named_tables(path))
    if "DATE_OBS" not in table.columns:
        raise BadFitsError("an OFFSET_LIST has a column DATE_OBS", file=path, keyword="DATE_OBS")
    dates = [_text(cell) for cell in table.columns["DATE_OBS"].tolist()]
    ra, dec = (table.numbers(name) for name in ("RA_OFFSET", "DEC_OFFSET"))
    scales = table.numbers("FLUX_SCALE") if "FLUX_SCALE" in table.columns else np.full(len(dates), np.nan)
    found = {}
    for date, x, y, scale in zip(dates, ra.tolist(), dec.tolist(), scales.tolist(), strict=True):
        known = np.isfinite(x) and np.isfinite(y)
        if date:
            found[date[:_DATE_LENGTH]] = ExposureOffset(
                x if known else 0.0, y if known else 0.0, scale if np.isfinite(scale) and scale != 0 else None
            )
    return found


def offset_of(header: Header, offsets: dict[str, ExposureOffset] | None, log: Logger) -> ExposureOffset:
    """The offset of an exposure; none, with a warning, if the list does not have it."""
    date = get_key(header, "DATE-OBS", str)
    if offsets is None:
        return ExposureOffset()
    if date[:_DATE_LENGTH] not in offsets:
        log.warning("the OFFSET_LIST has no exposure of %s: it gets no offset", date)
        return ExposureOffset()
    return offsets[date[:_DATE_LENGTH]]


@dataclass(frozen=True)
class WeightStep(RowStep):
    """All pixels of an exposure get a weight.

    Attributes
    ----------
    weight : float
    """

    weight: float
    changes: ClassVar = ("weight",)
    needs: ClassVar = ("data",)

    def apply(self, columns: Columns) -> Columns:
        """See `RowStep.apply`."""
        return {"weight": np.full(columns["data"].shape, self.weight, np.float32)}

    def columns(self, columns: Mapping[str, np.dtype[Any]]) -> dict[str, np.dtype[Any]]:
        """See `RowStep.columns`."""
        return {**columns, "weight": np.dtype(np.float32)}

    def describe(self, header: Header) -> None:
        """See `RowStep.describe`."""
        set_key(header, f"{PREFIX}.WEIGHTED", True, "Pixel table was weighted relative to other exposures")


@dataclass(frozen=True)
class FluxScaleStep(RowStep):
    """Fluxes are multiplied.

    Attributes
    ----------
    scale : float
    """

    scale: float
    changes: ClassVar = ("data", "stat")
    needs: ClassVar = ("data", "stat")

    def apply(self, columns: Columns) -> Columns:
        """See `RowStep.apply`."""
        return {
            "data": (columns["data"] * self.scale).astype(np.float32),
            "stat": (columns["stat"] * self.scale**2).astype(np.float32),
        }

    def describe(self, header: Header) -> None:
        """See `RowStep.describe`; which exposure it is stands in the table of all."""


@dataclass(frozen=True)
class CombinedTable(PixelTable):
    """The rows of several exposures, one after the other.

    Attributes
    ----------
    parts : tuple of PixelTable
    """

    parts: tuple[PixelTable, ...]

    @cached_property
    def exact_limits(self) -> PixtableLimits | None:
        """See `PixelTable.exact_limits`."""
        return measure_limits(self)

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        return np.cumsum([0, *(part.n_rows for part in self.parts)])

    @cached_property
    def bounds(self) -> npt.NDArray[np.int64]:
        """See `PixelTable.bounds`."""
        pieces = [part.bounds[:-1] + start for part, start in zip(self.parts, self._starts[:-1].tolist(), strict=True)]
        return np.concatenate([*pieces, [self.n_rows]])

    @cached_property
    def index(self) -> WaveIndex:
        """See `PixelTable.index`."""
        found = [part.index for part in self.parts]
        bounds = [index.bounds[:-1] + start for index, start in zip(found, self._starts[:-1].tolist(), strict=True)]
        return WaveIndex(
            np.concatenate([*bounds, [self.n_rows]]),
            np.concatenate([index.low for index in found]),
            np.concatenate([index.high for index in found]),
            np.concatenate([index.place for index in found]),
        )

    def gather(self, ranges: Ranges, names: Sequence[str] | None = None, kept: Kept = None) -> Columns:
        """See `PixelTable.gather`."""
        wanted = list(self.columns) if names is None else list(names)
        pieces = cut(ranges, self._starts, kept)
        cells = [self.parts[number].gather(inside, wanted, chosen) for number, inside, chosen in pieces]
        return joined(cells, {name: self.columns[name] for name in wanted})

    def flat_field(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """None: exposures of several flat fields have no common spectrum."""
        return None


def combine_exposures(
    tables: Sequence[PixelTable], kind: WeightType, offsets: dict[str, ExposureOffset] | None, log: Logger
) -> PixelTable:
    """One table of several exposures (or one): weighted, scaled, and put on the sky.

    Parameters
    ----------
    tables : sequence of PixelTable
        In native angles; one alone may be on the sky already.
    kind : {'exptime', 'fwhm', 'header', 'none'}
        Of weights.
    offsets : dict, optional
        Of an OFFSET_LIST.
    log : logger

    Raises
    ------
    CalibrationMismatchError
        If exposures differ in units or in the state of their astrometry.
    DataError
        If an exposure time is none.
    """
    first = tables[0]
    for table in tables[1:]:
        for name in ("xpos", "data"):
            if table.units.get(name) != first.units.get(name):
                raise CalibrationMismatchError(
                    f"{name} is in {table.units.get(name)!r}, that of the first exposure in {first.units.get(name)!r}",
                    file=table.path,
                )
    moves = [offset_of(table.header, offsets, log) for table in tables]
    placed = [_scaled(table, move) for table, move in zip(tables, moves, strict=True)]
    if len(tables) > 1:
        placed = _weighted(placed, kind, log)
    if first.units.get("xpos") == "rad":
        centre = (get_key(first.header, "RA", float) - moves[0].ra, get_key(first.header, "DEC", float) - moves[0].dec)
        placed = [position(table, (move.ra, move.dec), centre) for table, move in zip(placed, moves, strict=True)]
    elif len(tables) > 1:
        raise CalibrationMismatchError(
            f"exposures are combined in native angles, these are in {first.units.get('xpos')}", file=first.path
        )
    for number, (table, move) in enumerate(zip(tables, moves, strict=True), start=1):
        ra = (get_key(table.header, "RA", float, default=0.0) - get_key(first.header, "RA", float, default=0.0)) * 3600
        log.debug("exposure %d: %s, %.3f arcsec of right ascension from the first", number, table.path.name, ra)
        if move.ra or move.dec:
            log.info("exposure %d: offsets %.3f, %.3f arcsec", number, move.ra * 3600, move.dec * 3600)
    if len(placed) == 1:
        _describe_offsets(placed[0].header, tables, moves)
        return placed[0]
    return _joined(placed, tables, moves)


def _scaled(table: PixelTable, move: ExposureOffset) -> PixelTable:
    return table if move.scale is None else CorrectedTable.of(table, FluxScaleStep(move.scale))


def _weighted(tables: Sequence[PixelTable], kind: WeightType, log: Logger) -> list[PixelTable]:
    headers = [table.header for table in tables]
    if kind == "none":
        if len({"weight" in table.columns for table in tables}) > 1:
            raise CalibrationMismatchError("some of the exposures have weights, and others have not")
        return list(tables)
    weights, rule = exposure_weights(
        kind,
        [get_key(header, "EXPTIME", float, default=0.0) for header in headers],
        [_seeing(header) for header in headers],
        [get_key(header, "DRS.MUSE.WEIGHT", float, default=None) for header in headers],
    )
    log.info("weights by %s: %s", rule, ", ".join(f"{weight:.4f}" for weight in weights))
    return [CorrectedTable.of(table, WeightStep(weight)) for table, weight in zip(tables, weights, strict=True)]


def _seeing(header: Header) -> Seeing:
    def mean(*keys: str) -> float | None:
        values = [get_key(header, key, float, default=None) for key in keys]
        known = [value for value in values if value is not None and value > 0]
        return sum(known) / len(known) if known else None

    guider = mean("OCS.SGS.AG.FWHMX.AVG", "OCS.SGS.AG.FWHMY.AVG")
    return Seeing(guider, mean("TEL.IA.FWHM"), mean("TEL.AMBI.FWHM.START", "TEL.AMBI.FWHM.END"))


def _joined(
    placed: Sequence[PixelTable], tables: Sequence[PixelTable], moves: Sequence[ExposureOffset]
) -> CombinedTable:
    first = placed[0]
    header = own_cards(first.header)
    del_keys(header, _OFFSETS)
    for exposure, table in enumerate(tables, start=1):
        offsets = read_offsets(table.header)[0]
        for ifu, slice_no in np.argwhere(offsets).tolist():
            set_offset(header, exposure, ifu, slice_no, int(offsets[ifu, slice_no]))
    set_exposures(header, [table.n_rows for table in placed])
    _describe_offsets(header, tables, moves)
    ratios = [
        (get_key(table.header, _STREHL, float), get_key(table.header, _STREHL_ERROR, float))
        for table in tables
        if has_key(table.header, _STREHL) and get_key(table.header, _STREHL_ERROR, float, default=0.0) > 0
    ]
    if ratios:
        strehl, error = combined_strehl(ratios)
        set_key(header, _STREHL, strehl, "[%] weighted mean Strehl ratio")
        set_key(header, _STREHL_ERROR, error, "[%] error of the mean Strehl ratio")
    return CombinedTable(
        first.path,
        header,
        first.form,
        sum(table.n_rows for table in placed),
        first.columns,
        first.units,
        tuple(placed),
    )


def _describe_offsets(header: Header, tables: Sequence[PixelTable], moves: Sequence[ExposureOffset]) -> None:
    for number, (table, move) in enumerate(zip(tables, moves, strict=True), start=1):
        if move == ExposureOffset():
            continue
        key = f"DRS.MUSE.OFFSET{number}"
        set_key(header, f"{key}.DATE-OBS", get_key(table.header, "DATE-OBS", str), f"Date of exposure {number}")
        set_key(header, f"{key}.DRA", move.ra, f"[deg] right ascension offset ({move.ra * 3600:.4f} arcsec)")
        set_key(header, f"{key}.DDEC", move.dec, f"[deg] declination offset ({move.dec * 3600:.4f} arcsec)")
        if move.scale is not None:
            set_key(header, f"DRS.MUSE.FLUX.SCALE{number}", move.scale, f"applied flux scale of exposure {number}")


def _text(cell: Any) -> str:
    return (cell.decode("ascii", "replace") if isinstance(cell, bytes) else str(cell)).strip()
