"""Full-size frames of one IFU with a known truth, and ways to spoil them as real data are spoilt."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.ccd.geometry import Detector
from core.ccd.trace_model import Trace
from core.formats.tables import TRACE_TABLE, WAVECAL_TABLE, read_table
from core.instruments.muse.facts import chip_name
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.registry import get_recipe
from core.recipes.results import RunResult
from core.simulator.night import NightPlan, simulate_night
from core.simulator.truth import InstrumentTruth, truth_for
from core.spectral.dispersion import Dispersion
from core.staticcal import write_line_catalog

IFU = 12
ROWS = np.arange(1.0, 4113.0)
LAMPS = ("Ne", "Xe", "HgCd")  # in the order of the arc template
Pairs = list[tuple[Path, str]]
Spoil = Callable[[np.ndarray], None]


@dataclass(frozen=True)
class Night:
    """Raw frames of a night, and the truth behind them."""

    folder: Path
    truth: InstrumentTruth
    biases: list[Path]
    flats: list[Path]
    arcs: dict[str, list[Path]]
    catalogue: Path

    def lamps(self, n: int = 1, names: Sequence[str] = LAMPS) -> list[Path]:
        """The first ``n`` exposures of each lamp."""
        return [path for name in names for path in self.arcs[name][:n]]

    # -- spoilt frames -----------------------------------------------------------------------------------------------
    def spoil(self, paths: Sequence[Path], folder: Path, change: Spoil) -> list[Path]:
        """Copies of frames; ``change`` edits the adu above the bias in place, on the trimmed image."""
        folder.mkdir(parents=True, exist_ok=True)
        det = Detector()
        levels = np.empty(det.trimmed_shape, np.float32)
        for port in range(1, 5):
            levels[det.port_window(port)] = self.truth.bias(port)
        spoilt = []
        for path in paths:
            with fits.open(path) as hdus:
                hdu = hdus[chip_name(IFU)]
                raw, image = hdu.data, np.empty(det.trimmed_shape, np.float32)
                for port in range(1, 5):
                    image[det.port_window(port)] = raw[det.raw_window(port)]
                image -= levels
                change(image)
                image += levels
                for port in range(1, 5):
                    raw[det.raw_window(port)] = np.clip(np.rint(image[det.port_window(port)]), 0, 65535)
                hdus.writeto(folder / path.name, checksum=True)
            spoilt.append(folder / path.name)
        return spoilt

    # -- residuals ---------------------------------------------------------------------------------------------------
    def trace_residuals(self, path: Path) -> dict[int, np.ndarray]:
        """For each slice that has a trace: centre, left and right edge minus the truth at all rows [pix]."""
        trace = Trace.from_columns(read_table(path, TRACE_TABLE, IFU))
        return {
            number: np.stack(
                [
                    getattr(trace, what)(number, ROWS) - getattr(self.truth, f"trace_{what}")(number, ROWS)
                    for what in ("center", "left", "right")
                ]
            )
            for number in trace.valid_slices
        }

    def wave_residuals(self, path: Path, low: float = 4780.0, high: float = 9330.0) -> dict[int, np.ndarray]:
        """For each slice that has a solution: wavelength minus the truth where lines of the mode are [Angstrom]."""
        dispersion = Dispersion.from_columns(read_table(path, WAVECAL_TABLE, IFU))
        result = {}
        for number in dispersion.valid_slices:
            y = ROWS[::8, None]
            x = np.linspace(self.truth.trace_left(number, 2056) + 1, self.truth.trace_right(number, 2056) - 1, 20)
            true = self.truth.wavelength(number, x, y)
            value = dispersion.wavelength(number, x, y)
            result[number] = (value - true)[(true > low) & (true < high)]
        return result


def run(recipe_name: str, pairs: Pairs, folder: Path, **values: Any) -> RunResult:
    """Run a recipe on the IFU."""
    recipe = get_recipe(recipe_name)
    folder.mkdir(parents=True, exist_ok=True)
    frames = FrameSet(tuple(Frame(path, tag) for path, tag in pairs))
    return run_recipe(recipe, frames, recipe.Params.parse({"nifu": IFU, **values}), folder)


def product(result: RunResult, tag: str) -> Path:
    """The product of a tag; the failures of the run if it failed."""
    if result.failures:
        raise AssertionError(result.failures)
    return next(item.path for item in result.products if item.tag == tag)


def tagged(paths: Sequence[Path], tag: str) -> Pairs:
    """Frames with their tag."""
    return [(path, tag) for path in paths]


def make_night(folder: Path, mode: str = "WFM-NOAO-N", n: int = 11) -> Night:
    """Simulate ``n`` biases, flats and arcs of each lamp."""
    plan = NightPlan(n_bias=n, n_flat=n, n_arc=n, n_illum=0)
    paths = simulate_night(folder / "raw", "2026-11-01", [IFU], plan, mode=mode, seed=1)
    arcs = {lamp: paths[(2 + k) * n : (3 + k) * n] for k, lamp in enumerate(LAMPS)}
    catalogue = write_line_catalog(folder / "lines.fits")
    return Night(folder, truth_for(IFU, mode, 1), paths[:n], paths[n : 2 * n], arcs, catalogue)


@dataclass(frozen=True)
class Calibrated:
    """A night with its good calibrations: 11 frames of each."""

    night: Night
    bias: Path
    flat: Path
    trace: Path

    run = staticmethod(run)
    product = staticmethod(product)
    tagged = staticmethod(tagged)

    def flat_pairs(self, flats: Sequence[Path]) -> Pairs:
        """Set of frames of muse_flat."""
        return [*tagged(flats, "FLAT"), (self.bias, "MASTER_BIAS")]

    def arc_pairs(self, arcs: Sequence[Path], trace: Path | None = None, wavecal: Path | None = None) -> Pairs:
        """Set of frames of muse_wavecal, or of muse_lsf if there is a wavelength calibration."""
        pairs = [
            *tagged(arcs, "ARC"),
            (self.bias, "MASTER_BIAS"),
            (trace or self.trace, "TRACE_TABLE"),
            (self.night.catalogue, "LINE_CATALOG"),
        ]
        return [*pairs, (wavecal, "WAVECAL_TABLE")] if wavecal else pairs


def calibrate(night: Night) -> Calibrated:
    """Bias, flat and trace of a night."""
    bias = product(run("muse_bias", tagged(night.biases, "BIAS"), night.folder / "bias"), "MASTER_BIAS")
    result = run("muse_flat", [*tagged(night.flats, "FLAT"), (bias, "MASTER_BIAS")], night.folder / "flat")
    return Calibrated(night, bias, product(result, "MASTER_FLAT"), product(result, "TRACE_TABLE"))


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Calibrated:
    """A full-size night in nominal mode: 11 biases, 11 flats, 11 arcs of each lamp."""
    return calibrate(make_night(tmp_path_factory.mktemp("full")))


@pytest.fixture(scope="session")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Calibrated:
    """A full-size night in extended mode with 5 frames of each kind."""
    return calibrate(make_night(tmp_path_factory.mktemp("extended"), "WFM-NOAO-E", 5))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the recipes have warned of since the test began."""
    caplog.set_level(logging.WARNING)
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
