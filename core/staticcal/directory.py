"""The static calibrations of a directory: what each file is, when and for which set-up it may be used, and its pair.

Everything comes from the header and the name (`static_file`); a file is read again only when its size or its time has
changed. What cannot be used is listed with the reason and keeps out nothing else.

When a file may be used is said by the first of these that says anything:

1. the keywords ``PRO.VALID.START`` and ``PRO.VALID.END`` (ISO times, UTC; the end is no part of the span);
2. the table of the instrument, for files of the reference pipeline (`DeclaredFile`), not for those built here;
3. the date in the observatory's name: from then on, until a newer version of the same tag and set-up is valid;
4. else always.

What was built from published data (``ORIGIN``, `core.staticcal.writing`) gives way: it is the oldest version of its
tag, and left out where a delivered file of the same tag and set-up is valid always (`without_replaced`).

A tag that the instrument stopped using (`StaticRules.not_after`) ends there in any case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path

from core.errors import BadFitsError, MissingKeywordError, MuseError
from core.fitsfile.cards import CardValue, parse_cards
from core.fitsfile.digest import file_sha256
from core.fitsfile.scan import FitsScan, scan_fits
from core.instruments.statics import DeclaredFile, StaticRules, stem_of
from core.staticcal.writing import BUILT_HERE

__all__ = [
    "StaticFault",
    "StaticFile",
    "StaticListing",
    "list_statics",
    "paired",
    "product_keywords",
    "static_file",
    "without_replaced",
]

ALWAYS = float("-inf")
FOR_EVER = float("inf")
_MJD_EPOCH = datetime(1858, 11, 17)
_READ = (".fits", ".fits.fz")
_PACKED = (".fits.gz", ".fits.z", ".fits.bz2")


@dataclass(frozen=True)
class StaticFile:
    """One static calibration.

    Attributes
    ----------
    tag : str
        ``PRO.CATG``.
    path : str
    valid_from, valid_until : float
        Half-open span of the data it serves, UTC [MJD]; infinite where it is open.
    version : str
        Date and letter of the observatory's name, e.g. ``141201A``; of two that are valid from the same time the later
        letter is the newer one.
    setup : tuple of (str, str)
        Set-up keywords in dot notation with values, as far as header or name say them.
    pair : str
        The same for files that must be used together; empty if the tag has no partner or nothing tells.
    md5 : str
        ``DATAMD5`` of the header.
    made_with : str
        ``DATAMD5`` of the partner that the file was made with, by its ``PRO.REC1`` keywords.
    digest : str
        SHA-256 of the content; empty until the file was hashed.
    built : bool
        Built from published data or a simulation, not delivered.
    """

    tag: str
    path: str
    valid_from: float = ALWAYS
    valid_until: float = FOR_EVER
    version: str = ""
    setup: tuple[tuple[str, CardValue], ...] = ()
    pair: str = ""
    md5: str = ""
    made_with: str = ""
    digest: str = ""
    built: bool = False


@dataclass(frozen=True)
class StaticFault:
    """A file that cannot be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class StaticListing:
    """What a directory holds."""

    files: tuple[StaticFile, ...]
    faults: tuple[StaticFault, ...]


def list_statics(
    directory: Path, rules: StaticRules, setup_keys: tuple[str, ...], instrument: str = ""
) -> StaticListing:
    """List a directory and those below it, by path.

    Parameters
    ----------
    directory : pathlib.Path
        One that does not exist holds nothing.
    rules : StaticRules
        Of the instrument.
    setup_keys : tuple of str
        Keywords in dot notation by which calibrations are matched.
    instrument : str
        Files that name another instrument (``INSTRUME``) are left out.
    """
    files: list[StaticFile] = []
    faults: list[StaticFault] = []
    for path in sorted(directory.rglob("*")):
        name = path.name.lower()
        if name.startswith(".") or not name.endswith((*_READ, *_PACKED)):
            continue
        try:
            stat = path.stat()
        except OSError as error:  # a broken link, or it was removed just now
            faults.append(StaticFault(str(path), error.strerror or str(error)))
            continue
        found = _read(path, stat.st_size, stat.st_mtime_ns, rules, setup_keys, instrument)
        if isinstance(found, StaticFault):
            faults.append(found)
        elif found is not None:
            files.append(found)
    return StaticListing(paired(files, rules), tuple(faults))


def static_file(
    path: str, keywords: Mapping[str, CardValue], rules: StaticRules, setup_keys: tuple[str, ...]
) -> StaticFile | None:
    """What a file is by its name and its header; None if the header names no kind (``PRO.CATG``).

    Parameters
    ----------
    path : str
    keywords : mapping
        Keywords in dot notation, of `product_keywords`.
    rules, setup_keys
        As for `list_statics`.

    Raises
    ------
    MissingKeywordError
        If a date of validity is none.
    """
    tag = keywords.get("PRO.CATG")
    if not isinstance(tag, str) or not tag.strip():
        return None
    tag = tag.strip().upper()
    built = keywords.get("ORIGIN") == BUILT_HERE
    declared, dated = rules.declaration(path), rules.dated(path)
    if declared is not None and (declared.tag != tag or built):
        declared = None
    start, end = _validity(path, keywords, declared, dated.date if dated else None)
    last = rules.last_day(tag)
    named = rules.setup_of_name(path)
    setup = tuple((key, value) for key in setup_keys if (value := keywords.get(key) or named.get(key)) is not None)
    paired_tags = {member for pair in rules.pairs for member in pair}
    pair = ""
    if tag in paired_tags:
        pair = declared.pair if declared is not None else dated.version if dated is not None else ""
    return StaticFile(
        tag=tag,
        path=path,
        valid_from=start,
        valid_until=end if last is None else min(end, _mjd_of_day(last)),
        version=dated.version if dated is not None else "",
        setup=setup,
        pair=pair,
        md5=_text(keywords, "DATAMD5"),
        made_with=_partner(tag, keywords, rules),
        built=built,
    )


def paired(files: Sequence[StaticFile], rules: StaticRules) -> tuple[StaticFile, ...]:
    """Give those that were made from a file of the list, by their headers, the pair of that file.

    The header knows better than the name; a partner without a pair gets its own name for one.
    """
    seconds = {second for _, second in rules.pairs}
    partners = {file.md5: file for file in files if file.md5 and file.tag in {first for first, _ in rules.pairs}}
    names = {file.path: file.pair or stem_of(file.path) for file in partners.values()}
    used = {partners[file.made_with].path for file in files if file.tag in seconds and file.made_with in partners}
    answer = []
    for file in files:
        if file.tag in seconds and file.made_with in partners:
            file = replace(file, pair=names[partners[file.made_with].path])
        elif file.path in used:
            file = replace(file, pair=names[file.path])
        answer.append(file)
    return tuple(answer)


def without_replaced(files: Sequence[StaticFile]) -> tuple[StaticFile, ...]:
    """Leave out what was built where a delivered file of the same tag and set-up is valid always."""
    delivered = {
        (file.tag, file.setup)
        for file in files
        if not file.built and (file.valid_from, file.valid_until) == (ALWAYS, FOR_EVER)
    }
    return tuple(file for file in files if not file.built or (file.tag, file.setup) not in delivered)


def product_keywords(scan: FitsScan) -> dict[str, CardValue]:
    """Keywords that say what a product is, in dot notation.

    Those of the primary header; a packed image keeps its primary header in the first extension.
    """
    keywords = parse_cards(scan.hdus[0].header_bytes)
    if "PRO.CATG" not in keywords and len(scan.hdus) > 1 and scan.hdus[1].kind == "compressed":
        keywords |= parse_cards(scan.hdus[1].header_bytes)
    return keywords


@lru_cache(maxsize=4096)
def _read(
    path: Path, size: int, mtime_ns: int, rules: StaticRules, setup_keys: tuple[str, ...], instrument: str
) -> StaticFile | StaticFault | None:
    """One file; size and time are part of the key, so that a changed file is read again."""
    if path.name.lower().endswith(_PACKED):
        return StaticFault(str(path), "it is packed as a whole, which is not read: unpack it with gunzip or the like")
    try:
        scan = scan_fits(path)
        if scan.truncated:
            return StaticFault(str(path), f"its headers promise {scan.expected_size} bytes, it has {scan.size}")
        keywords = product_keywords(scan)
        if instrument and keywords.get("INSTRUME", instrument) != instrument:
            return None
        found = static_file(str(path), keywords, rules, setup_keys)
        if found is None:
            return None
        for hdu in scan.hdus[1:]:
            if parse_cards(hdu.header_bytes, keep=lambda key: key == "ZTABLE").get("ZTABLE") is True:
                raise BadFitsError("its table is packed, which is not read: unpack it with funpack", file=path)
        return replace(found, digest=file_sha256(path))
    except MuseError as error:
        return StaticFault(str(path), error.message)
    except OSError as error:
        return StaticFault(str(path), error.strerror or str(error))


def _validity(
    path: str, keywords: Mapping[str, CardValue], declared: DeclaredFile | None, day: date | None
) -> tuple[float, float]:
    start, end = (_moment(path, keywords, f"PRO.VALID.{word}") for word in ("START", "END"))
    if start is None and end is None:
        if declared is not None:
            start, end = _mjd_or_none(declared.valid_from), _mjd_or_none(declared.valid_until)
        elif day is not None:
            start = _mjd_of_day(day)
    return ALWAYS if start is None else start, FOR_EVER if end is None else end


def _moment(path: str, keywords: Mapping[str, CardValue], key: str) -> float | None:
    text = keywords.get(key)
    if text is None or text == "":
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise MissingKeywordError(
            f"{key} is {text!r}, which is no ISO time; correct or remove it", file=path, keyword=key
        ) from error
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return (moment - _MJD_EPOCH).total_seconds() / 86400


def _mjd_or_none(day: date | None) -> float | None:
    return None if day is None else _mjd_of_day(day)


def _mjd_of_day(day: date) -> float:
    return float((day - _MJD_EPOCH.date()).days)


def _partner(tag: str, keywords: Mapping[str, CardValue], rules: StaticRules) -> str:
    """``DATAMD5`` of the calibration of the partner's tag among those the file was made with."""
    wanted = {first for first, second in rules.pairs if second == tag}
    for key, value in keywords.items():
        if key.startswith("PRO.REC1.CAL") and key.endswith(".CATG") and value in wanted:
            return _text(keywords, f"{key.removesuffix('.CATG')}.DATAMD5")
    return ""


def _text(keywords: Mapping[str, CardValue], key: str) -> str:
    value = keywords.get(key)
    return value.strip() if isinstance(value, str) else ""
