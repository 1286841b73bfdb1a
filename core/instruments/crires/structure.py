"""The structure of a raw CRIRES frame: one image for each of the four detectors."""

from __future__ import annotations

from collections import Counter
from typing import Final

from core.errors import ClassificationError
from core.fitsfile.keywords import get_key
from core.fitsfile.scan import FitsScan, HduScan
from core.instruments.crires.setup import UNITS

__all__ = ["live_detectors"]

DETECTOR_NX: Final = 1024  # pixels in a row; the detectors of after the upgrade of 2021 have 2048
DETECTOR_NY: Final = 1024  # of which 512 are read, or fewer in windowed read-out


def live_detectors(scan: FitsScan) -> tuple[int, ...]:
    """Numbers of the detectors in a file.

    ``DET.CHIP.NO`` of an extension says which it is, or else its name.

    Raises
    ------
    ClassificationError
        If there is no detector, one is there twice, or one is not the image its window describes.
    """
    detectors = [(_number(hdu), hdu) for hdu in scan.hdus[1:]]
    found = [(number, hdu) for number, hdu in detectors if number is not None]
    if not found:
        raise _structure("no extension is one of a detector")
    twice = [number for number, count in Counter(number for number, _ in found).items() if count > 1]
    if twice:
        raise _structure(f"{UNITS.named(twice[:1])} is there more than once")
    for number, hdu in found:
        _check(number, hdu)
    return tuple(sorted(number for number, _ in found))


def _number(hdu: HduScan) -> int | None:
    number = get_key(hdu.header, "DET.CHIP.NO", int, default=0)
    return number if 1 <= number <= UNITS.number else UNITS.of_extension(hdu.extname)


def _check(number: int, hdu: HduScan) -> None:
    name = UNITS.named([number])
    if hdu.kind == "table" or len(hdu.shape) != 2:
        raise _structure(f"{name} is not an image")
    ny, nx = hdu.shape
    wanted = tuple(get_key(hdu.header, f"DET.WIN.{axis}", int, default=size) for axis, size in (("NX", nx), ("NY", ny)))
    if (nx, ny) != wanted:
        raise _structure(f"{name} has {nx} x {ny} pixels, its window is {wanted[0]} x {wanted[1]}")
    if nx > DETECTOR_NX or ny > DETECTOR_NY:
        raise _structure(f"{name} has {nx} x {ny} pixels, more than a detector of before 2014")


def _structure(text: str) -> ClassificationError:
    return ClassificationError(f"not a raw frame of CRIRES: {text}", reason="unknown_type")
