"""CRIRES, declared, as far as flats and darks go."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from core.instruments.crires.classification import KEPT, KEYWORD_TYPES, RAW_RULES, REQUIRED
from core.instruments.crires.plan import RULES
from core.instruments.crires.setup import SETUP, UNITS
from core.instruments.declaration import Instrument
from core.instruments.statics import ProductCode, StaticRules

__all__ = ["INSTRUMENT"]

INSTRUMENT: Final = Instrument(
    name="CRIRES",
    first_light=datetime(2006, 6, 1, tzinfo=UTC),
    units=UNITS,
    setup=SETUP,
    raw_rules=RAW_RULES,
    required=REQUIRED,
    keyword_types=KEYWORD_TYPES,
    kept=KEPT,
    structure="core.instruments.crires.structure:live_detectors",
    plan=RULES,
    statics=StaticRules(prefix="CR", codes=(ProductCode("PDRK", "CALPRO_DARK"),)),
)
