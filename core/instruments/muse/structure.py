"""The structure of a raw MUSE frame, as far as the intake of files checks it."""

from __future__ import annotations

from collections import Counter

from core.errors import ClassificationError, MuseError
from core.fitsfile.keywords import get_key
from core.fitsfile.scan import FitsScan, HduScan
from core.formats.raw import detector_of_header
from core.instruments.muse.facts import RAW_SHAPE, chip_name
from core.instruments.muse.setup import UNITS

__all__ = ["live_ifus"]


def live_ifus(scan: FitsScan) -> tuple[int, ...]:
    """IFU numbers of the channels, whose structure is that of a raw frame; without those of detectors that were off.

    Other extensions (those of the slow-guiding system, of the adaptive optics) pass unseen.

    Raises
    ------
    ClassificationError
        If there is no channel, one is there twice, or one is not the image its port keywords describe.
    """
    channels = [(UNITS.of_extension(hdu.extname), hdu) for hdu in scan.hdus[1:]]
    science = [(ifu, hdu) for ifu, hdu in channels if ifu is not None]
    if not science:
        raise _structure("there is no CHANnn extension")
    twice = [ifu for ifu, count in Counter(ifu for ifu, _ in science).items() if count > 1]
    if twice:
        raise _structure(f"extension {chip_name(twice[0])} is there more than once")
    live = [(ifu, hdu) for ifu, hdu in science if not _is_off(hdu)]
    if not live:
        raise _structure("all detectors were off")
    for _, hdu in live:
        _check_channel(hdu)
    return tuple(sorted(ifu for ifu, _ in live))


def _is_off(hdu: HduScan) -> bool:
    return hdu.kind == "image" and not hdu.shape and get_key(hdu.header, "DET.CHIP.LIVE", bool, default=True) is False


def _check_channel(hdu: HduScan) -> None:
    if hdu.kind == "table" or len(hdu.shape) != 2:
        raise _structure(f"extension {hdu.extname} is not an image")
    if hdu.bitpix != 16:
        raise _structure(f"extension {hdu.extname} has BITPIX {hdu.bitpix}, raw frames have 16")
    if hdu.shape == RAW_SHAPE:
        return
    try:
        wanted = detector_of_header(hdu.header).raw_shape
    except MuseError as error:
        raise _structure(f"the ports of extension {hdu.extname} are not described: {error}") from error
    if hdu.shape != wanted:
        raise _structure(
            f"extension {hdu.extname} has {hdu.shape[1]} x {hdu.shape[0]} pixels, "
            f"its port keywords make {wanted[1]} x {wanted[0]}"
        )


def _structure(text: str) -> ClassificationError:
    return ClassificationError(f"not a MUSE raw frame: {text}", reason="unknown_type")
