"""What workers hand to the archive: plain frozen records, turned into rows in one transaction.

`BlockResult` is everything one execution of a block leaves behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from core.archive.states import ProductState
from core.qc1.axes import UNSPLIT, Position

__all__ = [
    "BlockResult",
    "LostUnit",
    "NewPart",
    "NewPlot",
    "NewProduct",
    "NewQc1Text",
    "NewQc1Value",
    "Qc1Definition",
    "Work",
]


@dataclass(frozen=True)
class Work:
    """What one worker at a time does: a block or, if ``part`` is the key of one, a part of it."""

    block_id: int
    part: str = ""


@dataclass(frozen=True)
class NewPart:
    """A part of a block that is leased by itself: its key and its name in sentences."""

    key: str
    label: str


@dataclass(frozen=True)
class NewProduct:
    """A product file that is already at its final place (see `core.archive.store`).

    Attributes
    ----------
    tag : str
        ``PRO.CATG``.
    unit : int or None
        None for merged files and those of the whole instrument.
    path : str
        Final absolute path.
    size, sha256
        As `ProductStore.place` gave them.
    header : mapping
        Primary keywords in dot notation; the set-up is read from it.
    """

    tag: str
    unit: int | None
    path: str
    size: int
    sha256: str
    mjd_obs: float
    mjd_mid: float
    night: date
    header: Mapping[str, Any]
    datamd5: str | None = None
    state: ProductState = ProductState.PROVISIONAL


@dataclass(frozen=True)
class NewQc1Value:
    """One QC1 value. ``table`` and ``column`` name a registered parameter, ``product`` a path of the same result."""

    table: str
    column: str
    value: float
    mjd_obs: float
    product: str | None = None
    position: Position = UNSPLIT
    mode: str | None = None
    readout: str | None = None


@dataclass(frozen=True)
class NewQc1Text:
    """One text of a QC1 parameter; as `NewQc1Value`."""

    table: str
    column: str
    text: str
    mjd_obs: float
    product: str | None = None
    position: Position = UNSPLIT
    mode: str | None = None


@dataclass(frozen=True)
class NewPlot:
    """A picture of a finished block, at its final place; ``unit`` is None if it shows all of them.

    With ``view_of`` it is no picture, but what pages show of the product file of that name.
    """

    name: str
    title: str
    caption: str
    path: str
    unit: int | None = None
    view_of: str = ""


@dataclass(frozen=True)
class LostUnit:
    """A unit of a block that gives no products, and why.

    Attributes
    ----------
    unit : int
    failed : bool
        True if its reduction failed; False if there was nothing to reduce (detector off) or nothing to reduce it with
        (no calibration of this unit).
    error_type, message : str
        As in `core.errors`.
    """

    unit: int
    failed: bool
    error_type: str
    message: str

    def told(self, word: str) -> str:
        """In words, with that for a unit of the instrument: ``IFU 7 failed: no slice was found``."""
        return f"{word} {self.unit} {'failed' if self.failed else 'skipped'}: {self.message}"


@dataclass(frozen=True)
class BlockResult:
    """What one execution of a block made."""

    products: tuple[NewProduct, ...] = ()
    qc1_values: tuple[NewQc1Value, ...] = ()
    signature: str | None = None  # replaces the planned signature, if given
    duration: float | None = None  # [s]; taken from the start time, if not given
    peak_mb: float | None = None  # largest memory of one process [MiB]
    text: str = ""  # goes into the event
    plots: tuple[NewPlot, ...] = ()
    lost: tuple[LostUnit, ...] = ()  # units without products
    qc1_texts: tuple[NewQc1Text, ...] = ()


@dataclass(frozen=True)
class Qc1Definition:
    """Definition of one QC1 parameter, as derived from the recipe declarations."""

    table: str
    column: str
    keyword: str
    unit: str = ""
    qc_class: str = "ENG"
    value_type: str = "float"
    axes: tuple[str, ...] = ()  # names as in `core.qc1.axes`
    description: str = ""
