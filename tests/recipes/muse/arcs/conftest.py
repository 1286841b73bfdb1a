"""A narrow detector of all 4112 rows but only three slices: real arcs at a fraction of the cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.ccd.geometry import Detector
from core.ccd.trace_model import Trace
from core.formats.tables import MuseTable, trace_table_format, write_table
from core.instruments.muse.facts import N_SLICES
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.registry import get_recipe
from core.recipes.results import RunResult
from core.simulator.night import NightPlan, simulate_night
from core.simulator.truth import InstrumentTruth, truth_for
from core.staticcal import write_line_catalog

IFU = 7
SLICES = (24, 25, 26)
DETECTOR = Detector(nx=156, ny=2056, gain=(1.1, 1.1, 1.1, 1.1), ron=(3.0, 3.0, 3.0, 3.0))


def run(name: str, pairs: list[tuple[Path, str]], folder: Path, **values: Any) -> RunResult:
    """Run a recipe on the narrow IFU (expert parameters included)."""
    recipe = get_recipe(name)
    params = recipe.Params.parse({"nifu": IFU, **values})
    folder.mkdir(parents=True, exist_ok=True)
    return run_recipe(recipe, FrameSet(tuple(Frame(path, tag) for path, tag in pairs)), params, folder)


def product(result: RunResult, tag: str) -> Path:
    """The product of a tag; the failures of the run if it failed."""
    if result.failures:
        raise AssertionError(result.failures)
    return next(item.path for item in result.products if item.tag == tag)


@dataclass(frozen=True)
class NarrowArcs:
    """Raw frames and calibrations of the narrow detector, and the truth behind them."""

    folder: Path
    biases: list[Path]
    arcs: list[Path]
    bias: Path
    trace: Path
    catalogue: Path
    truth: InstrumentTruth

    run = staticmethod(run)
    product = staticmethod(product)
    slices = SLICES
    ifu = IFU

    def pairs(self, arcs: list[Path] | None = None) -> list[tuple[Path, str]]:
        """Set of frames of muse_wavecal."""
        return [
            *((path, "ARC") for path in (arcs or self.arcs)),
            (self.bias, "MASTER_BIAS"),
            (self.trace, "TRACE_TABLE"),
            (self.catalogue, "LINE_CATALOG"),
        ]


def write_trace(path: Path, truth: InstrumentTruth) -> Path:
    """The true trace of the slices that the narrow detector holds; null rows for the others."""
    rows = np.arange(1.0, 4113)
    shape = (N_SLICES, 6)
    lines = [np.full(shape, np.nan) for _ in range(3)]
    for number in SLICES:
        for line, edge in zip(
            lines,
            (truth.trace_center(number, rows), truth.trace_left(number, rows), truth.trace_right(number, rows)),
            strict=True,
        ):
            line[number - 1] = np.polynomial.Polynomial.fit(rows, edge, 5).convert().coef
    trace = Trace.from_polynomials(range(1, N_SLICES + 1), *lines)
    return write_table(path, trace_table_format(5), MuseTable(trace.columns()), IFU)


def make_narrow_arcs(folder: Path, mode: str = "WFM-NOAO-N", **plan: Any) -> NarrowArcs:
    """Simulate biases and arcs, and prepare the calibrations."""
    truth = truth_for(IFU, mode, 1, DETECTOR)
    night = NightPlan(**{"n_bias": 3, "n_flat": 0, "n_illum": 0, "n_arc": 1, **plan})
    frames = simulate_night(folder / "raw", "2026-03-14", [IFU], night, mode=mode, detector=DETECTOR)
    biases, arcs = frames[: night.n_bias], frames[night.n_bias :]
    result = run("muse_bias", [(path, "BIAS") for path in biases], folder / "bias")
    return NarrowArcs(
        folder,
        biases,
        arcs,
        product(result, "MASTER_BIAS"),
        write_trace(folder / "trace.fits", truth),
        write_line_catalog(folder / "lines.fits"),
        truth,
    )


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> NarrowArcs:
    """One exposure of each arc lamp."""
    return make_narrow_arcs(tmp_path_factory.mktemp("narrow"))


@pytest.fixture(scope="session")
def make_narrow() -> Any:
    """Makes other narrow arcs."""
    return make_narrow_arcs
