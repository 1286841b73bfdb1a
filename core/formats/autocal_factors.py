"""AUTOCAL_FACTORS: what slices are multiplied with, by bins of wavelength (format of the reference pipeline)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.formats.onsky_tables import AUTOCAL_FACTORS, named_tables
from core.formats.tables import MuseTable
from core.instruments.muse.facts import N_IFU, N_SLICES
from core.onsky.autocal import SliceFactors

__all__ = ["read_slice_factors", "table_of_factors"]

_LIMIT: Final = "DRS.MUSE.LAMBDA{}.{}"


def read_slice_factors(path: str | os.PathLike[str]) -> SliceFactors:
    """The factors of a file; slices that it does not name stay as they are.

    Raises
    ------
    BadFitsError
        If the file holds no such table, names slices or bins that there are not, or does not tell its bins.
    """
    path = Path(path)
    table = next(named_tables(path))
    ifu, slice_no, bins = (table.numbers(name).astype(np.int64) for name in ("ifu", "sli", "quad"))
    corr = table.numbers("corr")
    n = int(bins.max(initial=0))
    there = (bins >= 1) & (ifu >= 1) & (ifu <= N_IFU) & (slice_no >= 1) & (slice_no <= N_SLICES)
    if not n or not there.all():
        raise BadFitsError("the file names slices that there are not, or none", file=path)
    factors, rows = np.ones((n, N_IFU, N_SLICES)), np.zeros((n, N_IFU, N_SLICES), np.int32)
    at = (bins - 1, ifu - 1, slice_no - 1)
    factors[at] = np.where(np.isfinite(corr), corr, 1.0)
    if "npts" in table.columns:
        rows[at] = table.numbers("npts").astype(np.int32)
    return SliceFactors(_edges(table.header, n, path), factors, factors, rows)


def table_of_factors(factors: SliceFactors, header: Header) -> MuseTable:
    """Factors as a table; its header, to which the bins are added, is ``header``."""
    n = len(factors.factors)
    for k in range(n):
        for end, value in (("MIN", factors.edges[k]), ("MAX", factors.edges[k + 1])):
            set_key(header, _LIMIT.format(k + 1, end), float(value), f"[Angstrom] limit of bin {k + 1}")
    places = np.indices(factors.factors.shape).reshape(3, -1) + 1
    changed = factors.measured != factors.factors
    columns: dict[str, npt.NDArray[Any]] = {
        "ifu": places[1].astype(np.int32),
        "sli": places[2].astype(np.int32),
        "quad": places[0].astype(np.int32),
        "npts": factors.rows.ravel().astype(np.int32),
        "corr": factors.factors.ravel(),
        "corr_orig": np.where(changed, factors.measured, np.nan).ravel(),
    }
    return MuseTable({column.name: columns[column.name] for column in AUTOCAL_FACTORS.columns}, header)


def _edges(header: Header, n: int, path: Path) -> npt.NDArray[np.float64]:
    low = [get_key(header, _LIMIT.format(k, "MIN"), float, default=None) for k in range(1, n + 1)]
    high = [get_key(header, _LIMIT.format(k, "MAX"), float, default=None) for k in range(1, n + 1)]
    if None in low or None in high:
        raise BadFitsError("the header does not tell the wavelengths of all bins", file=path)
    edges = np.array([*low, high[-1]], np.float64)
    if not (np.diff(edges) > 0).all() or low[1:] != high[:-1]:
        raise BadFitsError("the bins do not follow each other in wavelength", file=path)
    return edges
