"""One file, read by its headers, becomes a frame or a product for the archive, or a reason to hold it.

`examine` never raises for what is wrong with a file: the answer says it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from core.archive.intake import HeldFile, NewFrame
from core.archive.models import setup_columns, unit_mask
from core.archive.outside import NewOutside
from core.archive.states import QuarantineReason
from core.errors import BadFitsError, ClassificationError, MissingKeywordError
from core.fitsfile.cards import CardValue, foreign_cards, parse_cards
from core.fitsfile.scan import FitsScan, scan_file
from core.instruments.classification import Classification, classify
from core.instruments.declaration import Instrument
from core.instruments.exposure import BadDateError, Exposure, exposure_of, parse_date
from core.instruments.registry import instrument, is_kept
from workers.ingest_night import night_told
from workers.ingest_products import outside_product

__all__ = ["FileStat", "dp_id_of", "examine", "is_candidate", "printable", "stat_file"]

_SUFFIXES = (".fits", ".fits.fz", ".fits.gz", ".fits.z")
_NOT_READ = (".fits.bz2", ".fits.xz", ".fits.zst", ".fits.fz.gz", ".fits.fz.z")  # seen and named
_REASONS = {
    "truncated": QuarantineReason.TRUNCATED,
    "damaged": QuarantineReason.DAMAGED,
    "compressed": QuarantineReason.COMPRESSED,
}
_KEPT_KEYWORDS = 2000  # in the archive, of a header; usual are some 300
_DAY_LENGTH = len("2026-11-01")
_TEXT_LIMITS = {
    "dpr_catg": 32,
    "dpr_type": 64,
    "dpr_tech": 64,
    "archive_name": 128,
    "tpl_id": 64,
    "prog_id": 64,
    "object": 128,
}


@dataclass(frozen=True)
class FileStat:
    """What `os.stat` says of a file, as far as ingest needs it; ``problem`` if it is no regular file."""

    size: int | None
    mtime: float | None
    problem: str | None = None


def is_candidate(name: str) -> bool:
    """Whether a file name is that of a raw frame to be: ``*.fits``, also compressed in any way, not hidden."""
    return not name.startswith(".") and name.lower().endswith((*_SUFFIXES, *_NOT_READ))


def dp_id_of(name: str) -> str:
    """File name without directory and suffix: the same for a plain and a compressed file."""
    lower = name.lower()
    suffix = next((suffix for suffix in reversed(_SUFFIXES) if lower.endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def printable(path: str) -> str:
    """A path that every database can store: bytes that are not UTF-8 are written as ``\\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def stat_file(path: str) -> FileStat:
    """Look at a path, following symbolic links, without opening it."""
    try:
        info = os.stat(path)
    except OSError as error:
        return FileStat(None, None, _os_problem(error, path))
    if not stat.S_ISREG(info.st_mode):
        kind = "a directory" if stat.S_ISDIR(info.st_mode) else "a pipe, socket or device"
        return FileStat(None, info.st_mtime, f"it is {kind}, not a file")
    return FileStat(info.st_size, info.st_mtime)


def examine(path: str, file: FileStat) -> NewFrame | NewOutside | HeldFile:
    """Read a file by its headers and classify it.

    Parameters
    ----------
    path : str
        Absolute path.
    file : FileStat
        What `stat_file` gave; the answer is about that state of the file.

    Returns
    -------
    NewFrame, NewOutside or HeldFile
        A raw frame, a product, or neither. A file that shrinks or grows meanwhile is held as truncated or found to have
        another size later.
    """
    name = os.path.basename(path)

    def held(reason: QuarantineReason, text: str) -> HeldFile:
        night = None if file.problem is not None else night_told(path)
        return HeldFile(printable(path), printable(name), file.size, file.mtime, reason, text, night=night)

    if file.problem is not None:
        return held(QuarantineReason.UNREADABLE, file.problem)
    if printable(path) != path:
        return held(QuarantineReason.UNREADABLE, "the file name is not UTF-8")
    if name.lower().endswith(_NOT_READ):
        return held(QuarantineReason.COMPRESSED, f"the file is compressed as a whole ({name.rpartition('.')[2]})")
    try:
        scan = scan_file(path)
        keywords = parse_cards(scan.hdus[0].header_bytes, keep=is_kept)
        if scan.truncated:
            return held(
                QuarantineReason.TRUNCATED,
                f"the headers promise {scan.expected_size} bytes, the file has {scan.size}"
                + (" unpacked" if scan.packing else ""),
            )
        if scan.packing is not None and any(hdu.kind == "compressed" for hdu in scan.hdus):
            return held(QuarantineReason.COMPRESSED, f"compressed tiles are compressed once more ({scan.packing})")
        # Of these no raw frame has PRO.CATG, but some products keep the DPR keywords of what they were made from.
        product = outside_product(scan, file.mtime or 0.0)
        if product is not None and scan.packing is not None:
            return held(
                QuarantineReason.COMPRESSED, f"the product {product.tag} is compressed as a whole ({scan.packing})"
            )
        if product is not None:
            return product
        classification = classify(keywords)
        declared = instrument(classification.instrument)
        units = () if classification.kept_only else declared.live_units(scan)
        usable = {key: value for key, value in keywords.items() if key not in classification.unusable}
        exposure = exposure_of(usable, declared)
        start = usable.get("TPL.START")
        if start is not None and not _is_time_of(start, declared):
            raise BadDateError(f"TPL.START is {start!r}, not a date", keyword="TPL.START")
    except BadFitsError as error:
        return held(_REASONS.get(error.context.get("reason", ""), QuarantineReason.NOT_FITS), error.message)
    except ClassificationError as error:
        return held(QuarantineReason(error.context["reason"]), error.message)
    except MissingKeywordError as error:
        return held(QuarantineReason.MISSING_KEYWORD, error.message)
    except BadDateError as error:
        return held(QuarantineReason.BAD_DATE, error.message)
    except OSError as error:
        return held(QuarantineReason.UNREADABLE, _os_problem(error, path))
    frame = _frame(path, name, file, scan, usable, declared, classification, exposure, units)
    notes = "; ".join(_notes(scan, keywords, classification, declared, units))
    return replace(frame, columns={**frame.columns, "notes": notes})


def _is_time_of(value: CardValue, declared: Instrument) -> bool:
    moment = parse_date(value) if isinstance(value, str) else None
    return moment is not None and declared.first_light <= moment < datetime.now(UTC) + timedelta(days=2)


def _notes(
    scan: FitsScan,
    keywords: dict[str, CardValue],
    classification: Classification,
    declared: Instrument,
    units: tuple[int, ...],
) -> Iterator[str]:
    """What a reader should know of a frame that was taken although something of it is not as it should be."""
    if scan.packing is not None:
        yield f"compressed as a whole ({scan.packing}): it is unpacked each time it is read"
    foreign = foreign_cards(scan.hdus[0].header_bytes)
    if foreign:
        yield f"bytes that are not ASCII, read as ?, in {', '.join(foreign[:5])}"
    for key in classification.unusable:
        yield f"{key} has the unusable value {str(keywords[key])[:40]!r} and counts as not given"
    if len(str(keywords.get("DATE-OBS")).strip()) == _DAY_LENGTH:
        yield "DATE-OBS has no time of day: that of MJD-OBS counts"
    chips = keywords.get(declared.chips)
    if isinstance(chips, int) and units and len(units) < chips <= declared.units.number:
        yield f"{declared.units.counted(len(units))} of {chips} ({declared.chips}) are in the file"


def _frame(
    path: str,
    name: str,
    file: FileStat,
    scan: FitsScan,
    keywords: dict[str, CardValue],
    declared: Instrument,
    classification: Classification,
    exposure: Exposure,
    units: tuple[int, ...],
) -> NewFrame:
    start = keywords.get("TPL.START")
    columns = {
        "file_name": name,
        "archive_name": _text(keywords, "ARCFILE"),
        "dpr_catg": classification.catg,
        "dpr_type": classification.type,
        "dpr_tech": classification.tech,
        "tag": classification.tag,
        "rule": classification.rule,
        "rules_version": classification.rules_version,
        "night": exposure.night,
        "mjd_obs": exposure.mjd_obs,
        "exptime": exposure.exptime,
        "mjd_mid": exposure.mjd_mid,
        "lamps": "+".join(declared.lamps_of(keywords)),
        "tpl_id": _text(keywords, "TPL.ID"),
        "tpl_start": parse_date(start) if isinstance(start, str) else None,
        "tpl_expno": keywords.get("TPL.EXPNO"),
        "tpl_nexp": keywords.get("TPL.NEXP"),
        "obs_id": keywords.get("OBS.ID"),
        "prog_id": _text(keywords, "OBS.PROG.ID"),
        "object": _text(keywords, "OBJECT"),
        "unit_mask": unit_mask(units),
        "ambient_temp": _number(keywords, declared.ambient),
        "header": dict(islice(keywords.items(), _KEPT_KEYWORDS)),
        **setup_columns(declared.setup.of_keywords(keywords)),
    }
    for column, limit in _TEXT_LIMITS.items():
        value = columns[column]
        if isinstance(value, str):
            columns[column] = value[:limit]
    return NewFrame(
        path=path,
        dp_id=dp_id_of(name),
        size=file.size or 0,
        mtime=file.mtime or 0.0,
        instrument=declared.name,
        date_obs=exposure.date_obs,
        columns=columns,
    )


def _text(keywords: dict[str, CardValue], key: str) -> str | None:
    value = keywords.get(key)
    return None if value is None else str(value)


def _number(keywords: dict[str, CardValue], key: str) -> float | None:
    value = keywords.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _os_problem(error: OSError, path: str) -> str:
    if os.path.islink(path):
        return f"symbolic link to {printable(str(Path(path).readlink()))}: {error.strerror or error}"
    return f"it cannot be read: {error.strerror or error}"
