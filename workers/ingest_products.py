"""A file that is no raw frame but says what product it is becomes a product from outside.

Masters and static calibrations of the observatory or of another installation may lie among the raw frames. They are
known by ``PRO.CATG``. Certified are static calibrations and what the archive delivers: it archives masters after their
certification, under names like ``M.MUSE.2017-06-14T11:04:02.123.fits`` (``ARCFILE`` in the header). All others are
provisional, as our own are before somebody has judged them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from core.archive.outside import NewOutside
from core.archive.states import ProductState
from core.errors import BadFitsError, ClassificationError
from core.fitsfile.cards import CardValue
from core.fitsfile.integrity import check_file, faults_told
from core.fitsfile.scan import FitsScan
from core.instruments.classification import product_tag
from core.instruments.declaration import Instrument
from core.instruments.exposure import exposure_of, night_of, parse_date
from core.instruments.registry import find_instrument, instruments
from core.instruments.setup import Setup
from core.instruments.statics import stem_of
from core.staticcal.directory import product_keywords, static_file

__all__ = ["outside_product"]

_MJD_ZERO = datetime(1858, 11, 17, tzinfo=UTC)
_TAG_LENGTH = 32
_ENDINGS = (".fits", ".fits.fz")
_TEXT_LENGTH = 32
_CATEGORY = b"PRO CATG"


def outside_product(scan: FitsScan, mtime: float) -> NewOutside | None:
    """Read a product by its headers, hash and verify it; None if the file does not say that it is one.

    Parameters
    ----------
    scan : FitsScan
        Of a file that is whole and has no ``DPR`` keywords.
    mtime : float
        [s since 1970]

    Raises
    ------
    BadFitsError
        If its bytes do not agree with the checksums that it carries (``reason=damaged``).
    ClassificationError
        If it is of another instrument, or its tag is none.
    BadDateError
        If the product of a night has no usable time.
    MissingKeywordError
        If a static calibration has a date of validity that is none.
    OSError
        If the file cannot be read.
    """
    if not any(_CATEGORY in hdu.header_bytes for hdu in scan.hdus[:2]):
        return None  # as of nearly all raw frames: their headers are not read twice for it
    keywords = product_keywords(scan)
    tag = product_tag(keywords)
    if tag is None:
        return None
    instrument = _instrument(scan.path.name, tag, keywords)
    static = instrument.statics.is_static(scan.path.name, tag)
    path = str(scan.path)
    if static:
        static_file(path, keywords, instrument.statics, instrument.setup.keywords)  # refuses dates that are none
        start = _static_time(keywords, mtime)
        night, mjd_obs = night_of(start, instrument.noon_ut), (start - _MJD_ZERO).total_seconds() / 86400
        mjd_mid = mjd_obs
    else:
        exposure = exposure_of(keywords, instrument)
        night, mjd_obs, mjd_mid = exposure.night, exposure.mjd_obs, exposure.mjd_mid
    units = _units(scan, instrument)
    header = _usable(keywords, instrument)
    setup = instrument.setup.of_keywords(header)
    found = check_file(scan.path)
    if found.faults:
        raise BadFitsError(faults_told(found.faults), file=scan.path, reason="damaged")
    alone = static or len(units) != 1
    archived = any(_is_archived(name, instrument) for name in (keywords.get("ARCFILE"), scan.path.name))
    return NewOutside(
        path=path,
        file_name=scan.path.name,
        twin_paths=tuple(f"{scan.path.parent}/{stem_of(path)}{end}" for end in _ENDINGS if not path.endswith(end)),
        size=scan.size,
        mtime=mtime,
        sha256=found.sha256,
        tag=tag,
        units=units,
        static=static,
        set_name=path if alone else _set_name(scan.path, tag, mjd_obs, setup, instrument),
        state=ProductState.CERTIFIED if static or archived else ProductState.PROVISIONAL,
        night=night,
        mjd_obs=mjd_obs,
        mjd_mid=mjd_mid,
        setup=setup,
        header=header,
    )


def _instrument(name: str, tag: str, keywords: Mapping[str, CardValue]) -> Instrument:
    """The instrument that the header names; a static calibration that names none is known by its file name or tag."""
    if len(tag) > _TAG_LENGTH:
        raise ClassificationError(f"PRO.CATG {tag} is no tag", keyword="PRO.CATG", reason="unknown_type")
    given = str(keywords.get("INSTRUME") or "").strip()
    found = find_instrument(given)
    if not given:
        static = [item for item in instruments() if item.statics.is_static(name, tag)]
        found = min(static, key=lambda item: not item.statics.knows_name(name), default=None)
    if found is None:
        whose = f"of instrument {given}, which is not known" if given else "of an unknown instrument"
        raise ClassificationError(f"the product {tag} is {whose}", keyword="INSTRUME", reason="unknown_type")
    return found


def _units(scan: FitsScan, instrument: Instrument) -> tuple[int, ...]:
    """Units that the extensions name; in a merged file the kind of data follows after a dot."""
    found = (instrument.units.of_extension(hdu.extname.partition(".")[0]) for hdu in scan.hdus)
    return tuple(sorted({unit for unit in found if unit is not None}))


def _static_time(keywords: Mapping[str, CardValue], mtime: float) -> datetime:
    """When a static calibration was made, as far as the file tells; its validity is another matter."""
    dates = (parse_date(text) for key in ("DATE-OBS", "DATE") if isinstance(text := keywords.get(key), str))
    return next((moment for moment in dates if moment is not None), datetime.fromtimestamp(mtime, UTC))


def _is_archived(name: CardValue, instrument: Instrument) -> bool:
    return isinstance(name, str) and name.upper().startswith(f"M.{instrument.name}.")


def _set_name(path: Path, tag: str, mjd_obs: float, setup: Setup, instrument: Instrument) -> str:
    """The same for the files of the units of one work: they lie together and are of the same data and version."""
    dated = instrument.statics.dated(path.name)
    return f"{path.parent}/{tag} {mjd_obs:.8f} {dated.version if dated else ''} {setup.text}"


def _usable(keywords: Mapping[str, CardValue], instrument: Instrument) -> dict[str, CardValue]:
    """The header without set-up keywords whose values are none."""
    kept = dict(keywords)
    for key in instrument.setup.keywords:
        value, wanted = kept.get(key), instrument.keyword_types.get(key, object)
        usable = isinstance(value, wanted) and isinstance(value, bool) is (wanted is bool)
        if value is not None and not (usable and len(str(value)) <= _TEXT_LENGTH):
            del kept[key]
    return kept
