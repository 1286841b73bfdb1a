"""What the side-by-side benchmarks share: the two pipelines, their frames, one run, one table of agreement."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import agreement
from processes import Usage, run_measured
from rich.console import Console
from rich.table import Table

from core.fitsfile.cards import parse_cards
from core.fitsfile.scan import scan_fits
from core.fitsfile.sof import format_sof
from core.instruments.classification import classify
from core.instruments.muse.facts import PORT_NY

__all__ = [
    "CALIBRATIONS",
    "FULL_HEIGHT",
    "HEAVY",
    "NIGHT",
    "OF_THE_FIELD",
    "RAW_TAG",
    "RECIPES",
    "SCIENCE",
    "Side",
    "both_pipelines",
    "print_lines",
    "product_path",
    "raw_frames",
    "run_recipe",
]

NIGHT = "2026-11-01"
FULL_HEIGHT = 2 * PORT_NY
RECIPES = ("bias", "dark", "flat", "wavecal", "lsf", "twilight", "scibasic")
HEAVY = ("geometry",)
"""Recipes that run where they are asked for: the reference takes 11 GB of memory and as much room on disk an IFU."""

SCIENCE = ("standard", "scipost", "exp_align", "exp_combine")
"""Recipes from pixel tables to cubes, which run where they are asked for."""

RAW_TAG = {
    "bias": "BIAS",
    "dark": "DARK",
    "flat": "FLAT",
    "wavecal": "ARC",
    "lsf": "ARC",
    "twilight": "SKYFLAT",
    "scibasic": "OBJECT",
    "geometry": "MASK",
    "standard": "PIXTABLE_STD",
    "scipost": "PIXTABLE_OBJECT",
    "exp_align": "IMAGE_FOV",
    "exp_combine": "PIXTABLE_REDUCED",
}
_OF_THE_SKY = ("MASTER_BIAS", "MASTER_FLAT", "TRACE_TABLE", "WAVECAL_TABLE", "GEOMETRY_TABLE")
CALIBRATIONS = {
    "bias": (),
    "dark": ("MASTER_BIAS",),
    "flat": ("MASTER_BIAS",),
    "wavecal": ("MASTER_BIAS", "TRACE_TABLE", "LINE_CATALOG"),
    "lsf": ("MASTER_BIAS", "TRACE_TABLE", "WAVECAL_TABLE", "LINE_CATALOG"),
    "twilight": _OF_THE_SKY,
    "scibasic": _OF_THE_SKY,
    "geometry": ("MASTER_BIAS", "TRACE_TABLE", "WAVECAL_TABLE", "LINE_CATALOG"),
    "standard": ("EXTINCT_TABLE", "STD_FLUX_TABLE", "FILTER_LIST"),
    "scipost": ("EXTINCT_TABLE", "STD_RESPONSE", "STD_TELLURIC", "ASTROMETRY_WCS"),
    "exp_align": (),
    "exp_combine": (),
}
"""What the recipes need."""

OF_THE_FIELD = ("twilight", *SCIENCE)
"""Recipes that take all IFUs together and have no parameter ``nifu``."""

_FIELD_PRODUCTS = (*("GEOMETRY_TABLE", "DATACUBE_SKYFLAT", "TWILIGHT_CUBE", "STD_RESPONSE_0001", "STD_TELLURIC_0001"),)


@dataclass
class Side:
    """One pipeline: how it is called and where its products are; by recipe, usage and bytes that were not kept."""

    name: str
    command: list[str]
    products: Path
    usages: dict[str, Usage] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)


def both_pipelines(work: Path) -> tuple[Side, Side]:
    """Cascade and the reference, with products in directories of their own."""
    return (
        Side("cascade", [sys.executable, "-m", "core.recipes.muserex", "--msg-level=warning"], work / "cascade"),
        Side("esorex", ["esorex", "--log-level=off", "--msg-level=warning"], work / "esorex"),
    )


def product_path(directory: Path, tag: str, ifu: int) -> Path:
    """Where a product of an IFU, or of the whole field, lies."""
    return directory / (f"{tag}.fits" if tag in _FIELD_PRODUCTS else f"{tag}-{ifu:02d}.fits")


def raw_frames(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Sort raw frames by tag."""
    raws: dict[str, list[Path]] = {}
    for path in paths:
        raws.setdefault(classify(parse_cards(scan_fits(path).hdus[0].header_bytes)).tag, []).append(path)
    return raws


def run_recipe(
    side: Side,
    recipe: str,
    frames: Iterable[tuple[Path, str]],
    options: Iterable[str],
    *,
    label: str,
    threads: int = 2,
    variables: Mapping[str, str] | None = None,
) -> Usage:
    """Run a recipe of one pipeline; its messages are appended to ``<label>-<pipeline>.log`` beside the products.

    The frames are read once before, and what the run before left to be written is written first.

    Parameters
    ----------
    side : Side
        Products are written to ``side.products``.
    recipe : str
        ``bias``, ``dark``, ...
    frames : iterable of (path, tag)
    options : iterable of str
        As on the command line, ``--nifu`` included where the recipe has it.
    label : str
        Name of the set of frames and of the log.
    threads : int
    variables : mapping of str to str, optional
        Further variables of the environment.
    """
    side.products.mkdir(parents=True, exist_ok=True)
    frames = list(frames)
    for path in {path for path, _ in frames}:
        _read_once(path)
    sof = side.products.parent / f"{label}-{side.name}.sof"
    sof.write_text(format_sof(frames))
    command = [*side.command, f"--output-dir={side.products}", f"muse_{recipe}", *options, str(sof)]
    environment = {"OMP_NUM_THREADS": str(threads), **(variables or {})}
    return run_measured(command, side.products, sof.with_suffix(".log"), environment)


def _read_once(path: Path) -> None:
    """Bring a file into the memory of the operating system, so that no run waits for the disk."""
    with path.open("rb", buffering=0) as stream:
        while stream.read(1 << 24):
            pass


def print_lines(console: Console, title: str, lines: Iterable[agreement.Line]) -> None:
    """Print the table of agreement of one run."""
    table = Table(title=title, title_justify="left")
    for heading in ("what", "measured", "asked", ""):
        table.add_column(heading, overflow="fold")
    for line in lines:
        mark = {True: "ok", False: "MISSED", None: ""}[line.ok]
        table.add_row(line.what, line.value, line.limit, mark)
    console.print(table)
