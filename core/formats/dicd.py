"""Headers of products after ESO's data interface control document (DICD): provenance in ``PRO.*``.

A product that is made of products carries the chain of recipes: ``PRO.REC1`` is the first, and each recipe takes the
next free number (as ``cpl_dfs_setup_product_header`` of CPL 7.2.3 does). The chain and ``PRO.ANCESTOR`` come from the
frame whose header the product has.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import __version__
from core.fitsfile.header import Card, Header
from core.fitsfile.keywords import dot_name, get_key, set_key
from core.fitsfile.scan import scan_fits

__all__ = ["PIPELINE", "Provenance", "format_value", "product_header"]

_DROPPED = (
    "HDRVER",
    "ORIGFILE",
    "CHECKSUM",
    "DATASUM",
    "DATAMD5",
    "PIPEFILE",
    "DATE",
    "BUNIT",
    "COMMENT",
    "HISTORY",
    "",
)
_LAST_GROUPS = ("QC.", "DRS.")
# The reference pipeline reads parameters only of products whose pipeline name starts with "muse".
PIPELINE = f"muse-cascade/{__version__}"
_REC = re.compile(r"PRO\.REC(\d+)\.")


@dataclass(frozen=True)
class Provenance:
    """Who made a product of what.

    Attributes
    ----------
    tag : str
        ``PRO.CATG``.
    recipe : str
    raws, calibs : sequence of (path, tag)
        The frames really used, in the order of the set of frames.
    parameters : sequence of (name, value, default, help)
        All recipe parameters in order of definition.
    science : bool
        ``PRO.SCIENCE``: made of science data, no calibration.
    """

    tag: str
    recipe: str
    raws: Sequence[tuple[Path, str]]
    calibs: Sequence[tuple[Path, str]]
    parameters: Sequence[tuple[str, Any, Any, str]]
    science: bool = False


def format_value(value: Any) -> str:
    """A parameter value as text: ``true``/``false``, ``%g`` floats, plain strings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def product_header(base: Header, provenance: Provenance) -> Header:
    """Primary header of a product.

    Parameters
    ----------
    base : Header
        Header of the main input, the first raw frame (primary merged with the channel) or product, plus ``QC.*`` and
        ``DRS.*``.
    provenance : Provenance

    Returns
    -------
    Header
        Standard keywords, ESO keywords of the raw, ``PRO.*``, ``QC.*``, ``DRS.*``; ``DPR.*``, keywords that no
        longer hold and cards that not every reader accepts are left out, ``RADECSYS`` is renamed to ``RADESYS``.
    """
    base = base.sound()
    header = Header()
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    header["DATE"] = (now, "file creation date (YYYY-MM-DDThh:mm:ss UT)")
    last: list[Card] = []
    eso: list[Card] = []
    for card in base.cards:
        name = dot_name(card.keyword)
        if name in _DROPPED or name.startswith(("DPR.", "PRO.")):
            continue
        if name.startswith(_LAST_GROUPS):
            last.append(card)
        elif card.keyword.startswith("ESO "):
            eso.append(card)
        elif name == "RADECSYS":
            set_key(header, "RADESYS", card.value, card.comment)
        else:
            header.append(card)
    for card in eso:
        header.append(card)
    _add_provenance(header, provenance, base)
    for group in _LAST_GROUPS:
        for card in last:
            if dot_name(card.keyword).startswith(group):
                header.append(card)
    return header


def _add_provenance(header: Header, provenance: Provenance, base: Header) -> None:
    set_key(header, "PRO.DID", "PRO-1.16", "Data dictionary for PRO")
    ancestor = get_key(base, "PRO.ANCESTOR", str, default=base.get("ARCFILE"))
    if ancestor:
        set_key(header, "PRO.ANCESTOR", ancestor, "Header inherited from this frame")
    set_key(header, "PRO.CATG", provenance.tag, "Category of pipeline product frame")
    set_key(header, "PRO.TYPE", "REDUCED", "Product type")
    set_key(header, "PRO.TECH", "IFU", "Observation technique")
    set_key(header, "PRO.SCIENCE", provenance.science, "Scientific product if T")
    before = 0
    for card in base.cards:
        if match := _REC.match(dot_name(card.keyword)):
            header.append(card)
            before = max(before, int(match[1]))
    rec = f"PRO.REC{before + 1}"
    set_key(header, f"{rec}.ID", provenance.recipe, "Pipeline recipe (unique) identifier")
    set_key(header, f"{rec}.DRS.ID", f"cascade-{__version__}", "Data reduction system identifier")
    set_key(header, f"{rec}.PIPE.ID", PIPELINE, "Pipeline (unique) identifier")
    for number, (path, tag) in enumerate(provenance.raws, 1):
        set_key(header, f"{rec}.RAW{number}.NAME", path.name, "File name of raw frame")
        set_key(header, f"{rec}.RAW{number}.CATG", tag, "Category of raw frame")
    set_key(header, "PRO.DATANCOM", len(provenance.raws), "Number of combined frames")
    for number, (path, tag) in enumerate(provenance.calibs, 1):
        set_key(header, f"{rec}.CAL{number}.NAME", path.name, "File name of calibration frame")
        set_key(header, f"{rec}.CAL{number}.CATG", tag, "Category of calibration frame")
        md5 = scan_fits(path).hdus[0].value("DATAMD5")
        if md5:
            set_key(header, f"{rec}.CAL{number}.DATAMD5", md5, "MD5 signature of calib frame")
    for number, (name, value, default, text) in enumerate(provenance.parameters, 1):
        set_key(header, f"{rec}.PARAM{number}.NAME", name, text)
        shown = f"'{default}'" if isinstance(default, str) else format_value(default)
        set_key(header, f"{rec}.PARAM{number}.VALUE", format_value(value), f"Default: {shown}")
