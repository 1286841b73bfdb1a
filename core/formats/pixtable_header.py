"""What the header of a pixel table says of its rows: units, limits, and what merging IFUs makes of it.

The unit of ``xpos`` and ``ypos`` is the state of the astrometry: ``pix`` as the geometry table has it, ``rad`` in the
plane of the sky, ``deg`` on the sky, less ``CRVAL1`` and ``CRVAL2`` of the header.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt

from core.errors import DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, dot_name, get_key, merged_header, set_key
from core.formats.pixtable_origin import PREFIX

__all__ = [
    "COLUMNS",
    "FLUX_UNIT",
    "PixtableLimits",
    "PositionUnit",
    "merged_header_of_ifus",
    "own_cards",
    "pixtable_units",
    "zero_point",
]

PositionUnit = Literal["pix", "rad", "deg"]
FLUX_UNIT: Final = "10**(-20)*erg/s/cm**2/Angstrom"

# Columns that every pixel table has, in the order of the file; ``weight`` (float32) may follow.
COLUMNS: Final[dict[str, npt.DTypeLike]] = {
    "xpos": np.float32,
    "ypos": np.float32,
    "lambda": np.float32,
    "data": np.float32,
    "dq": np.int32,
    "stat": np.float32,
    "origin": np.int32,
}

# What holds for one IFU only.
_OF_ONE_IFU: Final = r"(EXTNAME\Z|DET\.CHIP|DET\.OUT|DET2\.|DRS\.MUSE\.PIXTABLE\.ILLUM)"

T = TypeVar("T", np.float32, int)


def pixtable_units(position: PositionUnit = "pix", flux: str = "count") -> dict[str, str]:
    """Units of the columns that have one; ``flux`` is that of ``data``: ``count`` or `FLUX_UNIT`."""
    variance = f"{flux}**2" if flux.isalnum() else f"({flux})**2"
    return {"xpos": position, "ypos": position, "lambda": "Angstrom", "data": flux, "stat": variance}


@dataclass(frozen=True)
class PixtableLimits:
    """Extremes of a set of rows: pairs of the lowest and highest value.

    Limits of parts are joined by ``|``, so that a table which nobody ever holds in memory has right ones.
    """

    x: tuple[np.float32, np.float32]
    y: tuple[np.float32, np.float32]
    wave: tuple[np.float32, np.float32]
    ifu: tuple[int, int]
    slice_no: tuple[int, int]

    @classmethod
    def of(cls, columns: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Limits of rows, of which there must be one at least."""
        origin = columns["origin"]
        if not origin.size:
            raise DataError("no rows, no limits")
        ifu, slice_no = (origin >> 6) & 31, origin & 63
        extremes = (int(ifu.min()), int(ifu.max())), (int(slice_no.min()), int(slice_no.max()))
        return cls(*_places(columns), *extremes)

    @classmethod
    def of_slice(cls, columns: Mapping[str, npt.NDArray[Any]], ifu: int, slice_no: int) -> Self:
        """Limits of rows of one slice, of which there must be one at least."""
        return cls(*_places(columns), (ifu, ifu), (slice_no, slice_no))

    def __or__(self, other: PixtableLimits) -> PixtableLimits:
        return PixtableLimits(
            _joined(self.x, other.x),
            _joined(self.y, other.y),
            _joined(self.wave, other.wave),
            _joined(self.ifu, other.ifu),
            _joined(self.slice_no, other.slice_no),
        )

    def write(self, header: Header, crval: tuple[float, float] = (0.0, 0.0)) -> None:
        """Write the limits into a header; ``crval`` is added to positions in degrees."""
        zeros = crval[0], crval[1], 0.0
        for key, pair, zero in zip(("X", "Y", "LAMBDA"), (self.x, self.y, self.wave), zeros, strict=True):
            for end, value in zip(("LOW", "HIGH"), pair, strict=True):
                set_key(header, f"{PREFIX}.LIMITS.{key}.{end}", np.float32(float(value) + zero))
        for key, numbers in (("IFU", self.ifu), ("SLICE", self.slice_no)):
            for end, number in zip(("LOW", "HIGH"), numbers, strict=True):
                set_key(header, f"{PREFIX}.LIMITS.{key}.{end}", number)


def merged_header_of_ifus(headers: Sequence[Header], limits: Sequence[PixtableLimits]) -> Header:
    """Header of the table of one exposure in which the rows of several IFUs follow each other.

    Parameters
    ----------
    headers, limits : sequences
        Of the IFUs, in order.

    Returns
    -------
    Header
        That of the first IFU without what holds for one IFU only, with all offsets of slices, the limits of all rows,
        and the number of IFUs. ``CRVAL`` is added to the limits of a table that is on the sky.

    Raises
    ------
    DataError
        If an IFU was made with or without a geometry table, unlike the first.
    """
    merged = headers[0].copy()
    del_keys(merged, _OF_ONE_IFU)
    for header in headers[1:]:
        if get_key(header, f"{PREFIX}.TYPE", str) != get_key(headers[0], f"{PREFIX}.TYPE", str):
            raise DataError("the pixel tables of the IFUs are of different types", keyword=f"{PREFIX}.TYPE")
        for card in header.cards:
            if dot_name(card.keyword).endswith(".XOFFSET"):
                merged.put(card)
    reduce(lambda mine, its: mine | its, limits).write(merged, zero_point(merged))
    set_key(merged, f"{PREFIX}.MERGED", len(headers), "number of merged IFUs")
    return merged


def own_cards(header: Header) -> Header:
    """Cards of a primary header, as a copy, without those that are of the file they were read from."""
    own = merged_header(header, Header())
    own.remove("DATAMD5")
    return own


def zero_point(header: Header) -> tuple[float, float]:
    """What is to be added to ``xpos`` and ``ypos``: CRVAL1 and CRVAL2 of a table on the sky [deg], else 0."""
    if not get_key(header, f"{PREFIX}.WCS", str, default="").startswith("positioned"):
        return 0.0, 0.0
    return get_key(header, "CRVAL1", float), get_key(header, "CRVAL2", float)


def _places(columns: Mapping[str, npt.NDArray[Any]]) -> tuple[Any, Any, Any]:
    x, y, wave = ((columns[name].min(), columns[name].max()) for name in ("xpos", "ypos", "lambda"))
    return x, y, wave


def _joined(mine: tuple[T, T], its: tuple[T, T]) -> tuple[T, T]:
    return min(mine[0], its[0]), max(mine[1], its[1])
