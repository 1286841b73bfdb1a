"""``muse_dark_image_model``: smooth models of a merged MASTER_DARK.

Exit codes: 0; 1 file names missing; 2 missing value of ``-i``; 5 bad IFU number; 9 unknown option or argument; 10 the
file cannot be read; 11 it does not hold the IFU; 12 it is no merged image; 50 anything else, e.g. the output cannot be
written.
"""

from __future__ import annotations

from pathlib import Path

from core.errors import MuseError
from core.fitsfile.keywords import set_key
from core.fitsfile.scan import scan_fits
from core.formats.image import read_image, write_image
from core.formats.raw import detector_of_header
from core.instruments.muse.facts import N_IFU, ifu_of_extname
from core.recipes.muse.muse_dark import model_of_dark
from core.tools.commandline import ToolError, parse, run_tool
from core.tools.pixtable import numbered

__all__ = ["model"]

USAGE = """\
Usage: muse_dark_image_model [-i IFU] MASTER_DARK MODEL
  -i  IFU whose model is written to MODEL (by default those of all, to <MODEL>-nn.fits)
  MASTER_DARK is a merged file of several IFUs."""

_NO_NUMBER, _BAD_IFU, _UNREADABLE, _NO_IFU, _NOT_MERGED = 2, 5, 10, 11, 12


def model(words: list[str] | None = None) -> int:
    """Run ``muse_dark_image_model``; returns the exit code."""
    return run_tool(_model, words)


def _model(words: list[str]) -> None:
    arguments = parse(words, USAGE, {"-i": _NO_NUMBER}, files=(2, 2))
    source, target = (Path(name) for name in arguments.files)
    found = _ifus(source)
    if "-i" in arguments.options:
        ifu = numbered(arguments.options["-i"], _BAD_IFU, "the IFU", N_IFU)
        if ifu not in found:
            raise ToolError(_NO_IFU, f"{source} holds no image of IFU {ifu}")
        _write(source, ifu, target)
    else:
        if not found:
            raise ToolError(_NOT_MERGED, f"{source} holds no images of several IFUs")
        stem = target.name.partition(".fits")[0]
        for ifu in found:
            _write(source, ifu, target.with_name(f"{stem}-{ifu:02d}.fits"))


def _ifus(path: Path) -> list[int]:
    try:
        names = [hdu.extname for hdu in scan_fits(path).hdus]
    except (MuseError, OSError) as error:
        raise ToolError(_UNREADABLE, f"{path} cannot be read: {error}") from error
    return sorted({ifu for name in names if name.endswith(".DATA") and (ifu := ifu_of_extname(name)) is not None})


def _write(source: Path, ifu: int, target: Path) -> None:
    """Model one IFU; one image is in memory at a time."""
    image = read_image(source, ifu)
    made = model_of_dark(image, detector_of_header(image.header, source))
    set_key(made.header, "PRO.CATG", "MODEL_DARK", "Category of pipeline product frame")
    write_image(target, made, ifu)
    print(f"{target}: model of IFU {ifu:02d} saved")
