"""``muse_badpix_from_dq``, ``muse_badpix_from_ascii`` and ``muse_badpix_from_region``: make or extend BADPIX_TABLEs.

Exit codes: 0; 1 arguments missing; 2, 3, 6 missing value of ``-i``, ``-r``, ``-n``, or ``-n`` without ``-r`` (3);
4 bad IFU number; 5 bad region; 7 bad flag value; 8 nothing to read in the ASCII file; 9 unknown option or argument;
10 the image or the ASCII file cannot be read; 50 anything else, e.g. the output cannot be written.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.ccd.geometry import Detector
from core.errors import MuseError
from core.fitsfile.header import Header
from core.fitsfile.scan import scan_fits
from core.formats.image import open_image
from core.instruments.muse.facts import N_IFU, ifu_of_extname
from core.tools.badpix import (
    BadPixelList,
    NewTable,
    detector_from,
    headers_from,
    ifus_of_image,
    minimal_headers,
    pixels_of_image,
    reference_header,
    to_raw,
    write_bad_pixel_tables,
)
from core.tools.commandline import Arguments, ToolError, integer, parse, run_tool

__all__ = ["from_ascii", "from_dq", "from_region"]

DQ_USAGE = """\
Usage: muse_badpix_from_dq [-i INTABLE] [-n IFU] INIMAGE OUTTABLE
  -i  existing BADPIX_TABLE to add the pixels to
  -n  take only this IFU of a merged image
INIMAGE is a master calibration of one IFU, or a merged one; all pixels flagged in its DQ extensions go to OUTTABLE,
which has a table for each IFU."""
ASCII_USAGE = """\
Usage: muse_badpix_from_ascii [-i INTABLE] [-r REFIMAGE [-n EXTNAME]] [-t] ASCIIFILE IFU OUTTABLE
  -i  existing BADPIX_TABLE to add the pixels to
  -r  image to take header keywords from
  -n  its extension (by default CHANnn of the IFU)
  -t  positions were measured on trimmed data
ASCIIFILE holds three whole numbers in each row: x position, y position, Euro3D flag value."""
REGION_USAGE = """\
Usage: muse_badpix_from_region [-i INTABLE] [-r REFIMAGE [-n EXTNAME]] [-t] REGION DQVAL IFU OUTTABLE
  -i  existing BADPIX_TABLE to add the pixels to
  -r  image to take header keywords from
  -n  its extension (by default CHANnn of the IFU)
  -t  the region was measured on trimmed data
REGION has the form [x1:x2,y1:y2], limits included; DQVAL is a Euro3D flag value."""

_VALUED = {"-i": 2, "-r": 3, "-n": 6}
_MISSING_REFERENCE = _VALUED["-r"]
_BAD_IFU = 4
_BAD_REGION = 5
_BAD_FLAG = 7
_EMPTY = 8
_UNREADABLE = 10
_FAR = 1 << 32  # larger than any position, and no smaller than a flag
_REGION = re.compile(r"^\s*\[?\s*(\d+)\s*:\s*(\d+)\s*,\s*(\d+)\s*:\s*(\d+)\s*\]?\s*$")


def from_dq(words: list[str] | None = None) -> int:
    """Run ``muse_badpix_from_dq``; returns the exit code."""
    return run_tool(_from_dq, words)


def from_ascii(words: list[str] | None = None) -> int:
    """Run ``muse_badpix_from_ascii``; returns the exit code."""
    return run_tool(_from_ascii, words)


def from_region(words: list[str] | None = None) -> int:
    """Run ``muse_badpix_from_region``; returns the exit code."""
    return run_tool(_from_region, words)


def _from_dq(words: list[str]) -> None:
    arguments = parse(words, DQ_USAGE, {"-i": _VALUED["-i"], "-n": _VALUED["-n"]}, files=(2, 2))
    wanted = _ifu(arguments.options["-n"]) if "-n" in arguments.options else None
    path, output = (Path(name) for name in arguments.files)
    tables = []
    try:
        ifus = ifus_of_image(scan_fits(path))
        if not ifus:
            raise ToolError(
                _UNREADABLE, f"{path} holds neither EXTNAME CHANnn nor extensions CHANnn.DQ: no master image"
            )
        if wanted is not None and wanted not in ifus:
            present = ", ".join(str(ifu) for ifu in ifus)
            raise ToolError(_UNREADABLE, f"{path} does not hold IFU {wanted}, but {present}")
        for ifu in ifus if wanted is None else (wanted,):
            image = open_image(path, ifu)
            pixels = to_raw(pixels_of_image(image.read_part("DQ")), detector_from(image.header, path))
            tables.append(NewTable(ifu, pixels, headers_from(image.header)))
    except (MuseError, OSError) as error:
        raise ToolError(_UNREADABLE, f"{path} cannot be read: {error}") from error
    _write(tables, arguments, output)


def _from_ascii(words: list[str]) -> None:
    arguments = parse(words, ASCII_USAGE, _VALUED, ["-t"], files=(3, 3))
    path, ifu, output = arguments.files
    number = _ifu(ifu)
    header = _reference(arguments, number)
    rows = _read_rows(Path(path))
    _finish(BadPixelList.of(*rows.T), header, number, arguments, Path(output))


def _from_region(words: list[str]) -> None:
    arguments = parse(words, REGION_USAGE, _VALUED, ["-t"], files=(4, 4))
    region, flag, ifu, output = arguments.files
    number = _ifu(ifu)
    match = _REGION.match(region)
    if match is None:
        raise ToolError(_BAD_REGION, f"{region!r} is no region [x1:x2,y1:y2]")
    x1, x2, y1, y2 = (int(limit) for limit in match.groups())
    if x1 > x2 or y1 > y2:
        raise ToolError(_BAD_REGION, f"the region {region} is empty: the second limits must not be below the first")
    status = integer(flag, _BAD_FLAG, "DQVAL")
    _check_flag(status, "DQVAL")
    header = _reference(arguments, number)
    ny, nx = _frame_shape(detector_from(header), arguments)
    if x1 > nx or y1 > ny or x2 < 1 or y2 < 1:
        raise ToolError(_BAD_REGION, f"the region {region} lies outside of the image of {nx} x {ny} pixels")
    # Clipped before it is made: a mistyped limit must not fill the memory.
    y, x = np.mgrid[max(y1, 1) : min(y2, ny) + 1, max(x1, 1) : min(x2, nx) + 1]
    outside = (x2 - x1 + 1) * (y2 - y1 + 1) - x.size
    if outside:
        print(f"{outside} pixels of the region lie outside of the image and are left out", file=sys.stderr)
    pixels = BadPixelList.of(x.ravel(), y.ravel(), np.full(x.size, status))
    _finish(pixels, header, number, arguments, Path(output))


def _check_flag(flag: int, what: str) -> None:
    if not 0 < flag < 1 << 32:
        raise ToolError(_BAD_FLAG, f"{what} must be a Euro3D flag value from 1 to 2^32 - 1, not {flag}")


def _read_rows(path: Path) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Rows of three whole numbers, up to the first line that is none (as in the reference, but it is told)."""
    rows: list[list[int]] = []
    try:
        with path.open(encoding="ascii", errors="replace") as lines:
            for number, line in enumerate(lines, start=1):
                match = re.match(r"\s*([+-]?\d+)\s+([+-]?\d+)\s+([+-]?\d+)(?=\s|$)", line)
                if match is None:
                    if rows and (line.strip() or any(rest.strip() for rest in lines)):
                        print(f"{path}: line {number} is not 'x y flag', what follows is not read", file=sys.stderr)
                    break
                row = [int(text) for text in match.groups()]
                _check_flag(row[2], f"the flag of pixel {row[0]}, {row[1]}")
                rows.append([min(max(number, -_FAR), _FAR) for number in row])
    except OSError as error:
        raise ToolError(_UNREADABLE, f"{path} cannot be read: {error.strerror}") from error
    if not rows:
        raise ToolError(_EMPTY, f"the first line of {path} holds no three whole numbers: x, y, flag value")
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _ifu(text: str) -> int:
    ifu = integer(text, _BAD_IFU, "the IFU")
    if not 1 <= ifu <= N_IFU:
        raise ToolError(_BAD_IFU, f"the IFU must be a number from 1 to {N_IFU}, not {ifu}")
    return ifu


def _reference(arguments: Arguments, ifu: int) -> Header | None:
    if "-r" not in arguments.options:
        if "-n" in arguments.options:
            raise ToolError(_MISSING_REFERENCE, "-n names an extension of the image of -r, which is not given")
        return None
    path, named = Path(arguments.options["-r"]), arguments.options.get("-n")
    if named is not None and ifu_of_extname(named) not in (None, ifu):
        raise ToolError(_VALUED["-n"], f"the extension {named} is not of IFU {ifu}")
    try:
        return reference_header(path, ifu, named)
    except (MuseError, OSError) as error:
        raise ToolError(_UNREADABLE, f"{path} cannot be read: {error}") from error


def _frame_shape(detector: Detector, arguments: Arguments) -> tuple[int, int]:
    return detector.trimmed_shape if "-t" in arguments.options else detector.raw_shape


def _finish(pixels: BadPixelList, header: Header | None, ifu: int, arguments: Arguments, output: Path) -> None:
    """Leave out what lies outside of the image, convert to raw positions, and write."""
    detector = detector_from(header)
    ny, nx = _frame_shape(detector, arguments)
    inside = (pixels.x >= 1) & (pixels.x <= nx) & (pixels.y >= 1) & (pixels.y <= ny)
    for x, y in zip(pixels.x[~inside], pixels.y[~inside], strict=True):
        print(f"position ({x}, {y}) lies outside of the image of {nx} x {ny} pixels and is left out", file=sys.stderr)
    kept = BadPixelList(pixels.x[inside], pixels.y[inside], pixels.status[inside], pixels.value[inside])
    if "-t" in arguments.options:
        kept = to_raw(kept, detector)
    headers = minimal_headers(ifu) if header is None else headers_from(header)
    _write([NewTable(ifu, kept, headers)], arguments, output)


def _write(tables: Sequence[NewTable], arguments: Arguments, output: Path) -> None:
    existing = arguments.options.get("-i")
    counts = write_bad_pixel_tables(output, tables, Path(existing) if existing else None)
    for ifu, count in sorted(counts.items()):
        print(f"{output}: {count} bad pixels of IFU {ifu}")
