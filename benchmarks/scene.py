"""What the cases of benchmarks/options.py work on: seeded raw frames of one IFU and calibrations by the reference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from runs import CALIBRATIONS, NIGHT, RAW_TAG, both_pipelines, raw_frames, run_recipe

from core.ccd.geometry import Detector
from core.instruments.muse.facts import PORT_NY
from core.simulator.night import NightPlan, simulate_night
from core.staticcal.line_catalog import write_line_catalog

__all__ = ["Frames", "Scene"]

Frames = list[tuple[Path, str]]

_MAKER = {
    "MASTER_BIAS": "bias",
    "MASTER_DARK": "dark",
    "MASTER_FLAT": "flat",
    "TRACE_TABLE": "flat",
    "WAVECAL_TABLE": "wavecal",
}


@dataclass
class Scene:
    """Frames and calibrations in a working directory, made when first asked for and found there later.

    Attributes
    ----------
    work : pathlib.Path
    ifu : int
    seed : int
    mode : str
        INS.MODE
    rows : int
        Rows of a detector port; fewer than the full number are the central cut-out.
    """

    work: Path
    ifu: int = 12
    seed: int = 1
    mode: str = "WFM-NOAO-N"
    rows: int = PORT_NY

    @property
    def height(self) -> int:
        """Rows of a trimmed image."""
        return 2 * self.rows

    @cached_property
    def raws(self) -> dict[str, list[Path]]:
        """Raw frames by tag: 5 of BIAS, DARK and FLAT, one ARC per lamp."""
        directory = self.work / "raw"
        paths = sorted(directory.glob("*.fits"))
        if not paths:
            plan = NightPlan(n_bias=5, n_dark=5, n_flat=5, n_arc=1, n_illum=0)
            detector = Detector(ny=self.rows)
            paths = simulate_night(
                directory, NIGHT, [self.ifu], plan, mode=self.mode, seed=self.seed, detector=detector
            )
        return raw_frames(paths)

    @cached_property
    def catalog(self) -> Path:
        """LINE_CATALOG."""
        return write_line_catalog(self.work / "line_catalog.fits")

    def calibration(self, tag: str) -> Path:
        """A calibration made by the reference with its default options, from all raw frames."""
        if tag == "LINE_CATALOG":
            return self.catalog
        path = self.work / "calibrations" / f"{tag}-{self.ifu:02d}.fits"
        if not path.exists():
            recipe = _MAKER[tag]
            _, reference = both_pipelines(self.work)
            reference.products = path.parent
            frames = self.frames(recipe, self.raws[RAW_TAG[recipe]])
            usage = run_recipe(reference, recipe, frames, [f"--nifu={self.ifu}"], label=f"calibration-{recipe}")
            if usage.code or not path.exists():
                raise SystemExit(f"the reference failed to make {tag}: see the log in {self.work}")
        return path

    def frames(self, recipe: str, raws: list[Path]) -> Frames:
        """A set of frames: raw ones and the calibrations that the recipe needs."""
        return [(path, RAW_TAG[recipe]) for path in raws] + [
            (self.calibration(tag), tag) for tag in CALIBRATIONS[recipe]
        ]
