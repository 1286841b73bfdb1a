"""``muse_fill_image``: an image of the same value everywhere.

Exit codes: 0; 1 arguments missing; 2, 3, 5 missing value of ``-d``, ``-q``, ``-s``, or ``-d`` or ``-s`` is no number;
4 bad value of ``-q``; 6 ``-s`` is negative; 9 unknown option or argument; 10 the image cannot be read; 20 the output is
not named or cannot be written; 50 anything else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError, MuseError, ProductStoreError
from core.fitsfile.header import Header
from core.fitsfile.keywords import has_key, merged_header, set_key
from core.fitsfile.scan import FitsScan, scan_fits
from core.fitsfile.writer import FitsWriter
from core.formats.image import PARTS
from core.formats.merge import copy_data
from core.tools.commandline import NO_ARGUMENTS, Arguments, ToolError, integer, parse, run_tool

__all__ = ["fill"]

USAGE = """\
Usage: muse_fill_image [-d VALUE] [-q FLAGS] [-s VARIANCE] IMAGE_IN IMAGE_OUT
  -d  value of DATA (by default 1)
  -q  flags of DQ (by default they stay as they are)
  -s  variance of STAT (by default 0)"""

_VALUED: Final = {"-d": 2, "-q": 3, "-s": 5}
_BAD_FLAGS, _NEGATIVE, _UNREADABLE, _UNWRITABLE = 4, 6, 10, 20
_MAX_FLAGS: Final = 1 << 31
_CHUNK: Final = 1 << 20


def fill(words: list[str] | None = None) -> int:
    """Run ``muse_fill_image``; returns the exit code."""
    return run_tool(_fill, words)


def _fill(words: list[str]) -> None:
    if len(words) < 2:
        raise ToolError(NO_ARGUMENTS, USAGE)
    arguments = parse(words, USAGE, _VALUED, files=(1, 2))
    values: dict[str, float | int | None] = {
        "DATA": _number(arguments, "-d", 1.0),
        "DQ": _flags(arguments),
        "STAT": _number(arguments, "-s", 0.0),
    }
    if (variance := values["STAT"]) is not None and variance < 0:
        raise ToolError(_NEGATIVE, "the variance must not be negative")
    if len(arguments.files) < 2:
        raise ToolError(_UNWRITABLE, "the output is not named")
    source, target = (Path(name) for name in arguments.files)
    scan = _opened(source)
    try:
        _write(scan, target, values)
    except ProductStoreError as error:
        raise ToolError(_UNWRITABLE, str(error)) from error
    filled = ", ".join(f"{part} with {value:g}" for part, value in values.items() if value is not None)
    print(f"{target}: filled {filled}")


def _number(arguments: Arguments, option: str, default: float) -> float:
    text = arguments.options.get(option)
    try:
        number = default if text is None else float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ToolError(_VALUED[option], f"the value of {option} must be a number, not {text!r}")
    return number


def _flags(arguments: Arguments) -> int | None:
    if "-q" not in arguments.options:
        return None
    flags = integer(arguments.options["-q"], _BAD_FLAGS, "the flags")
    if not 0 <= flags <= _MAX_FLAGS:
        raise ToolError(_BAD_FLAGS, f"the flags must be 0 to {_MAX_FLAGS}, not {flags}")
    return flags


def _opened(path: Path) -> FitsScan:
    """An image of an IFU with all three extensions; ToolError if it is none."""
    try:
        scan = scan_fits(path)
        if scan.truncated:
            raise BadFitsError("the file is cut", file=path)
    except (MuseError, OSError) as error:
        raise ToolError(_UNREADABLE, f"{path} cannot be read: {error}") from error
    for part, (code, *_) in PARTS.items():
        hdu = scan.extension(part)
        bitpix = 32 if code[0] == "i" else -32
        if hdu is None or hdu.kind != "image" or len(hdu.shape) != 2 or hdu.bitpix != bitpix:
            raise ToolError(_UNREADABLE, f"{path} has no image {part} of BITPIX {bitpix}")
    return scan


def _write(scan: FitsScan, target: Path, values: dict[str, float | int | None]) -> None:
    primary = merged_header(scan.primary, Header())
    set_key(primary, "PIPEFILE", target.name, "Filename of data product")
    with FitsWriter(target, datamd5=True) as writer:
        writer.primary(primary)
        for hdu in scan.hdus[1:]:
            header, value, chunks = hdu.header.copy(), values.get(hdu.extname), copy_data(scan.path, hdu)
            if hdu.extname == "DATA" and not has_key(header, "BUNIT"):
                header["BUNIT"] = "count"
            if value is not None:
                chunks = _constant(value, PARTS[hdu.extname][0], hdu.data_bytes)
            writer.raw_hdu(header, chunks, hdu.data_bytes)


def _constant(value: float, code: str, nbytes: int) -> Callable[[], Iterator[npt.NDArray[np.uint8]]]:
    """Chunks of a data unit that holds one value only."""
    # Flags are bit patterns: 2^31 is the sign bit.
    cell: Any = np.array(value, np.int64).astype(np.uint32) if code[0] == "i" else np.array(value, code)
    chunk = np.full(min(_CHUNK, nbytes) // 4, cell, cell.dtype.newbyteorder(">")).view(np.uint8)

    def chunks() -> Iterator[npt.NDArray[np.uint8]]:
        for start in range(0, nbytes, _CHUNK):
            yield chunk[: min(_CHUNK, nbytes - start)]

    return chunks
