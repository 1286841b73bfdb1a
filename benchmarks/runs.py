"""What the side-by-side benchmarks share: the two pipelines, their frames, one run, one comparison of products."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import agreement
import agreement_arcs
from processes import Usage, run_measured
from rich.console import Console
from rich.table import Table

from core.fitsfile.cards import parse_cards
from core.fitsfile.scan import scan_fits
from core.fitsfile.sof import format_sof
from core.instruments.classification import classify
from core.instruments.muse.facts import PORT_NY
from core.simulator.truth import InstrumentTruth

__all__ = [
    "CALIBRATIONS",
    "FULL_HEIGHT",
    "NIGHT",
    "RAW_TAG",
    "RECIPES",
    "Side",
    "both_pipelines",
    "compare_products",
    "print_lines",
    "raw_frames",
    "run_recipe",
]

NIGHT = "2026-11-01"
FULL_HEIGHT = 2 * PORT_NY
RECIPES = ("bias", "dark", "flat", "wavecal", "lsf")
RAW_TAG = {"bias": "BIAS", "dark": "DARK", "flat": "FLAT", "wavecal": "ARC", "lsf": "ARC"}
CALIBRATIONS = {
    "bias": (),
    "dark": ("MASTER_BIAS",),
    "flat": ("MASTER_BIAS",),
    "wavecal": ("MASTER_BIAS", "TRACE_TABLE", "LINE_CATALOG"),
    "lsf": ("MASTER_BIAS", "TRACE_TABLE", "WAVECAL_TABLE", "LINE_CATALOG"),
}


@dataclass
class Side:
    """One pipeline: how it is called and where its products are."""

    name: str
    command: list[str]
    products: Path
    usages: dict[str, Usage] = field(default_factory=dict)


def both_pipelines(work: Path) -> tuple[Side, Side]:
    """Cascade and the reference, with products in directories of their own."""
    return (
        Side("cascade", [sys.executable, "-m", "core.recipes.muserex", "--msg-level=warning"], work / "cascade"),
        Side("esorex", ["esorex", "--log-level=off", "--msg-level=warning"], work / "esorex"),
    )


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
    expert: bool = False,
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
        As on the command line, ``--nifu`` included.
    label : str
        Name of the set of frames and of the log.
    threads : int
    expert : bool
        Allow parameters that are hidden otherwise.
    """
    side.products.mkdir(parents=True, exist_ok=True)
    frames = list(frames)
    for path in {path for path, _ in frames}:
        _read_once(path)
    sof = side.products.parent / f"{label}-{side.name}.sof"
    sof.write_text(format_sof(frames))
    command = [*side.command, f"--output-dir={side.products}", f"muse_{recipe}", *options, str(sof)]
    variables = {"OMP_NUM_THREADS": str(threads)} | ({"MUSE_EXPERT_USER": "1"} if expert else {})
    return run_measured(command, side.products, sof.with_suffix(".log"), variables)


def _read_once(path: Path) -> None:
    """Bring a file into the memory of the operating system, so that no run waits for the disk."""
    with path.open("rb", buffering=0) as stream:
        while stream.read(1 << 24):
            pass


def compare_products(
    ours: Path,
    theirs: Path,
    ifu: int,
    truth: InstrumentTruth | None = None,
    *,
    height: int = FULL_HEIGHT,
    traces: Path | None = None,
    tags: Sequence[str] = (),
    alone: bool = True,
) -> Iterator[agreement.Line]:
    """Compare everything that two runs of a recipe wrote.

    Parameters
    ----------
    ours, theirs : pathlib.Path
        Directories of the products.
    ifu : int
    truth : InstrumentTruth, optional
    height : int
        Rows of the trimmed images.
    traces : pathlib.Path, optional
        Trace table within which wavelengths are compared; by default the one beside our products.
    tags : sequence of str, optional
        Products that are wanted; all that there are by default.
    alone : bool
        Whether the IFU had a process of its own.
    """
    mine, peer = (_by_tag(side, ifu) for side in (ours, theirs))
    wanted = set(tags) or set(mine) | set(peer)
    for tag in sorted(wanted):
        apart = [name for name, side in (("ours", mine), ("theirs", peer)) if tag not in side]
        if apart:
            brief = f"{tag} missing: {', '.join(apart)}"
            yield agreement.Line("products", brief, "both", False, agreement.COLUMNS[0], brief)
        elif tag in _COMPARISONS:
            yield from _COMPARISONS[tag](_Pair(mine[tag], peer[tag], ifu, height, truth, traces, alone))


def _by_tag(directory: Path, ifu: int) -> dict[str, Path]:
    """Products of an IFU, or merged ones, by tag."""
    found = {}
    for path in sorted(directory.glob("*.fits")):
        tag, _, number = path.stem.partition("-")
        if number in ("", f"{ifu:02d}"):
            found[tag] = path
    # a number that counts one product only: the reference writes it, ours does not
    return {tag.removesuffix("_0001") if f"{tag[:-1]}2" not in found else tag: path for tag, path in found.items()}


@dataclass(frozen=True)
class _Pair:
    """A product of both pipelines and what its comparison may need."""

    ours: Path
    theirs: Path
    ifu: int
    height: int
    truth: InstrumentTruth | None
    traces: Path | None
    alone: bool

    def quality(self) -> Iterator[agreement.Line]:
        full_size = self.height == FULL_HEIGHT
        return agreement.compare_qc(self.ours, self.theirs, self.ifu, full_size=full_size, alone=self.alone)


def _images(tolerance: float, unit: str, pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement.compare_images(pair.ours, pair.theirs, pair.ifu, tolerance, unit)
    yield from pair.quality()


def _traces(pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement.compare_traces(pair.ours, pair.theirs, pair.ifu, pair.height, pair.truth)
    yield from pair.quality()


def _samples(pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement.compare_samples(pair.ours, pair.theirs, pair.ifu)


def _wavelengths(pair: _Pair) -> Iterator[agreement.Line]:
    within = pair.traces or pair.ours.with_name(f"TRACE_TABLE-{pair.ifu:02d}.fits")
    yield from agreement.compare_wavelengths(pair.ours, pair.theirs, within, pair.ifu, pair.height, pair.truth)
    yield from pair.quality()


def _profiles(pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement.compare_lsf(pair.ours, pair.theirs, pair.ifu)
    yield from pair.quality()


def _residuals(pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement_arcs.compare_residuals(pair.ours, pair.theirs)


def _planes(limit: float, unit: str, pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement_arcs.compare_plane(pair.ours, pair.theirs, limit, unit)


def _pixtables(pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement_arcs.compare_pixtables(pair.ours, pair.theirs)


_ARC_IMAGES = ("ARC_RED", "ARC_RED_LAMP", *(f"ARC_RED_LAMP_{number:04d}" for number in range(1, 7)))
_COMPARISONS: dict[str, Callable[[_Pair], Iterator[agreement.Line]]] = {
    "MASTER_BIAS": partial(_images, 0.05, "adu"),
    "MASTER_DARK": partial(_images, 0.2, "count"),
    "MODEL_DARK": partial(_images, 0.05, "count"),
    "MASTER_FLAT": partial(_images, 1e-4, agreement.OF_THE_MEAN),
    "TRACE_TABLE": _traces,
    "TRACE_SAMPLES": _samples,
    "WAVECAL_TABLE": _wavelengths,
    "WAVECAL_RESIDUALS": _residuals,
    "WAVE_MAP": partial(_planes, 0.003, "Angstrom"),
    "ARC_RESAMPLED": partial(_planes, 1.0, "count"),
    "LSF_PROFILE": _profiles,
    "PIXTABLE_SUBTRACTED": _pixtables,
    **dict.fromkeys(_ARC_IMAGES, partial(_images, 0.05, "count")),
}


def print_lines(console: Console, title: str, lines: Iterable[agreement.Line]) -> None:
    """Print the table of agreement of one run."""
    table = Table(title=title, title_justify="left")
    for heading in ("what", "measured", "asked", ""):
        table.add_column(heading, overflow="fold")
    for line in lines:
        mark = {True: "ok", False: "MISSED", None: ""}[line.ok]
        table.add_row(line.what, line.value, line.limit, mark)
    console.print(table)
