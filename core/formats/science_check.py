"""Whether a cube is one of ESO's science data products: the keyword rules, and what its parts must be to each other."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.cubes.projection import plane_to_sky
from core.cubes.wcs import SpatialAxes
from core.errors import BadFitsError, MissingKeywordError
from core.fitsfile.header import Header
from core.fitsfile.integrity import check_file
from core.fitsfile.keywords import merged_header
from core.fitsfile.scan import FitsScan, HduScan, scan_fits
from core.formats.cube_axes import wave_axis
from core.formats.field_image import spatial_axes
from core.formats.science_rules import KEYWORD_RULES, NEEDS, KeywordRule, Values

__all__ = ["STRUCTURE_RULES", "Finding", "check_science_cube"]

_TYPES: Final[dict[str, tuple[type, ...]]] = {"text": (str,), "integer": (int,), "number": (int, float)}
_IMAGES: Final = ("ANCILLARY.IMAGE", "ANCILLARY.IMAGE.WHITELIGHT")
_NUMBERED: Final = re.compile(r"(PROV|ASSON|OBID|PROGID)(\d+)\Z")
_SAME_PLACE: Final = 1.0  # pixels between RA, DEC and the middle of the field


@dataclass(frozen=True)
class Finding:
    """A rule that a file does not keep.

    Attributes
    ----------
    rule : str
        A keyword, or the name of one of `STRUCTURE_RULES`.
    hdu : str
        ``primary``, or the name of an extension.
    message : str
    """

    rule: str
    hdu: str
    message: str

    def __str__(self) -> str:
        return f"{self.rule} ({self.hdu}): {self.message}"


@dataclass(frozen=True)
class _Cube:
    """A file, its HDU with the cube and that with its errors, if there are such."""

    path: Path
    scan: FitsScan
    data: HduScan | None
    errors: HduScan | None

    @property
    def primary(self) -> Header:
        return self.scan.primary

    def header(self, hdu: str) -> Header | None:
        """Cards of an HDU, with those that it inherits."""
        if hdu == "primary":
            return self.primary
        found = self.data if hdu == "data" else self.errors
        return None if found is None else merged_header(self.primary, found.header)

    def name(self, hdu: str) -> str:
        found = {"data": self.data, "errors": self.errors}.get(hdu)
        return hdu if found is None else found.extname

    @property
    def values(self) -> Values:
        header = self.header("data") or self.primary
        return {card.keyword: card.value for card in header.cards}


def check_science_cube(path: str | os.PathLike[str]) -> list[Finding]:
    """All rules that a cube does not keep; empty if it is a science data product.

    Raises
    ------
    BadFitsError
        If the file cannot be read as FITS.
    """
    path = Path(path)
    try:
        scan = scan_fits(path)
    except OSError as error:
        raise BadFitsError(f"cannot be read as FITS: {error}", file=path) from error
    data = scan.extension("DATA")
    pointed = None if data is None else data.header.get("ERRDATA")
    cube = _Cube(path, scan, data, None if pointed is None else scan.extension(str(pointed)))
    found = [finding for rule in KEYWORD_RULES for finding in _keyword(rule, cube)]
    for name, rule in STRUCTURE_RULES.items():
        try:
            found += [Finding(name, hdu, message) for hdu, message in rule(cube)]
        except (MissingKeywordError, BadFitsError) as error:  # its keyword has a rule of its own
            if not any(error.message and finding.rule in error.message for finding in found):
                found.append(Finding(name, "primary", error.message))
    return found


def _keyword(rule: KeywordRule, cube: _Cube) -> Iterator[Finding]:
    header, name = cube.header(rule.hdu), cube.name(rule.hdu)
    if header is None:  # a rule of structure tells that
        return
    values = cube.values
    if rule.need == "if calibrated" and rule.values and not NEEDS[rule.need](values):
        return
    key = rule.key.replace("{n}", "1")
    value = header.get(key)
    if value is None:
        if NEEDS[rule.need](values):
            yield Finding(key, name, f"missing: {rule.asked}")
        return
    numbered = "{n}" in rule.key
    while value is not None:
        if told := _wrong(rule, value):
            yield Finding(key, name, told)
        if not numbered:
            return
        key = f"{rule.key[:-3]}{int(key[len(rule.key) - 3 :]) + 1}"
        value = header.get(key)


def _wrong(rule: KeywordRule, value: Any) -> str:
    """What is wrong with a value, or nothing."""
    right = isinstance(value, _TYPES[rule.kind]) and not isinstance(value, bool)
    if right and rule.values:
        right = value in rule.values
    if right and rule.kind != "text":
        low, high = (-math.inf if rule.low is None else rule.low), (math.inf if rule.high is None else rule.high)
        right = low < value <= high
    return "" if right else f"is {value!r}, not {rule.asked}"


Told = Iterator[tuple[str, str]]


def _layout(cube: _Cube) -> Told:
    if cube.scan.hdus[0].shape:
        yield "primary", "has data: a cube is in an extension"
    if cube.data is None:
        yield "primary", "there is no extension DATA"
    elif len(cube.data.shape) != 3 or cube.data.bitpix not in (-32, -64):
        yield "DATA", f"is no cube of floating-point numbers: shape {cube.data.shape}, BITPIX {cube.data.bitpix}"
    if cube.data is not None and {"BSCALE", "BZERO"} & {card.keyword for card in cube.data.header.cards}:
        yield "DATA", "BSCALE and BZERO are not for cubes"
    if cube.scan.truncated:
        yield "primary", "the file is cut"


def _errors(cube: _Cube) -> Told:
    if cube.data is None:
        return
    if cube.errors is None:
        yield "DATA", "ERRDATA points to no extension"
        return
    if cube.errors.shape != cube.data.shape:
        yield cube.errors.extname, f"has shape {cube.errors.shape}, DATA {cube.data.shape}"
    if cube.errors.header.get("SCIDATA") != cube.data.extname:
        yield cube.errors.extname, "SCIDATA does not point to DATA"
    quality = cube.data.header.get("QUALDATA")
    if quality is not None and cube.scan.extension(str(quality)) is None:
        yield "DATA", "QUALDATA points to no extension"


def _wavelengths(cube: _Cube) -> Told:
    header = cube.header("data")
    axis = None if header is None else wave_axis(header)
    if axis is None or cube.data is None or len(cube.data.shape) != 3:
        return
    ends = (axis.wave([0, cube.data.shape[0] - 1]) / 10).tolist()
    for key, wave in zip(("WAVELMIN", "WAVELMAX"), ends, strict=True):
        told = cube.primary.get(key)
        if isinstance(told, float) and abs(told - wave) > abs(axis.cd) / 10:
            yield "primary", f"{key} is {told:.3f}, axis 3 ends at {wave:.3f} nm"


def _place(cube: _Cube) -> Told:
    header = cube.header("data")
    if header is None or cube.data is None or len(cube.data.shape) != 3:
        return
    axes = spatial_axes(header)
    told = cube.primary.get("RA"), cube.primary.get("DEC")
    if not axes.celestial or not all(isinstance(value, float) for value in told):
        return
    _, ny, nx = cube.data.shape
    away = _pixels_away(axes, (nx / 2, ny / 2), (float(told[0]), float(told[1])))
    if away > _SAME_PLACE:
        yield "primary", f"RA and DEC are {away:.1f} pixels from the middle of the field"


def _pixels_away(axes: SpatialAxes, pixel: tuple[float, float], place: tuple[float, float]) -> float:
    dx, dy = pixel[0] - axes.crpix[0], pixel[1] - axes.crpix[1]
    (cd11, cd12), (cd21, cd22) = axes.cd
    east, dec = plane_to_sky(np.float64(cd11 * dx + cd12 * dy), np.float64(cd21 * dx + cd22 * dy), axes.crval)
    offset = (place[0] - axes.crval[0] - float(east) + 180) % 360 - 180
    return math.hypot(offset * math.cos(math.radians(place[1])), place[1] - float(dec)) / min(axes.scales)


def _times(cube: _Cube) -> Told:
    start, end, total = (cube.primary.get(key) for key in ("MJD-OBS", "MJD-END", "TEXPTIME"))
    if isinstance(start, float) and isinstance(end, float):
        if end <= start:
            yield "primary", "MJD-END is not after MJD-OBS"
        elif isinstance(total, float | int) and (end - start) * 86400 < 0.99 * total:
            yield "primary", f"TEXPTIME {total:g} s is more than the {(end - start) * 86400:.0f} s from start to end"


def _provenance(cube: _Cube) -> Told:
    names: dict[str, list[str]] = {}
    for card in cube.primary.cards:
        match = _NUMBERED.match(card.keyword)
        if match is None:
            continue
        if match[2].startswith("0"):
            yield "primary", f"{card.keyword} counts with leading zeros"
        names.setdefault(match[1], []).append(str(card.value))
    for key, found in names.items():
        if len(set(found)) != len(found):
            yield "primary", f"{key}n tell the same twice"
    for name in names.get("PROV", []):
        if name.endswith("]") or "/" in name:
            yield "primary", f"PROVn is {name!r}, not the name of a file"
    count = cube.primary.get("NCOMBINE")
    if isinstance(count, int) and len(names.get("PROV", [])) < count:
        yield "primary", f"{len(names.get('PROV', []))} PROVn for {count} exposures"


def _associated(cube: _Cube) -> Told:
    """Files beside the cube, if they are there."""
    for card in cube.primary.cards:
        if not card.keyword.startswith("ASSON") or not isinstance(card.value, str):
            continue
        other = cube.path.with_name(card.value)
        if other.is_file():
            category = scan_fits(other).primary.get("PRODCATG")
            if category not in _IMAGES:
                yield card.value, f"PRODCATG is {category!r}, not one of {', '.join(_IMAGES)}"


def _checksums(cube: _Cube) -> Told:
    for hdu in cube.scan.hdus:
        keys = {card.keyword for card in hdu.header.cards}
        if missing := {"CHECKSUM", "DATASUM"} - keys:
            yield hdu.extname or "primary", f"{' and '.join(sorted(missing))} missing"
    for fault in check_file(cube.path).faults:
        yield "primary", fault


STRUCTURE_RULES: Final[dict[str, Callable[[_Cube], Told]]] = {
    "layout": _layout,
    "errors": _errors,
    "wavelengths": _wavelengths,
    "place": _place,
    "times": _times,
    "provenance": _provenance,
    "associated files": _associated,
    "checksums": _checksums,
}
"""Rules that are not of a single keyword, by name."""
