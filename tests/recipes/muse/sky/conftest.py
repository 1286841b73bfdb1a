"""A small detector with five slices in the middle of their wavelengths, and the tables that are true of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.polynomial import Polynomial

from core.ccd.geometry import Detector
from core.ccd.trace_model import Trace
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.fitsfile.scan import scan_fits
from core.formats.image import MuseImage, write_image
from core.formats.tables import (
    GEOMETRY_TABLE,
    MuseTable,
    trace_table_format,
    wavecal_table_format,
    write_table,
)
from core.instruments.muse.facts import N_SLICES
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.registry import get_recipe
from core.recipes.results import RunResult
from core.simulator.geometry import make_geometry
from core.simulator.night import NightPlan, simulate_night
from core.simulator.optics import HALF_HEIGHT
from core.simulator.truth import InstrumentTruth, truth_for
from core.spectral.dispersion import Dispersion

IFU = 7
DETECTOR = Detector(nx=200, ny=300, gain=(1.1, 1.1, 1.1, 1.1), ron=(3.0, 3.0, 3.0, 3.0))
INTFLUX = 4.2e9
Pairs = list[tuple[Path, str]]


def run(name: str, pairs: Pairs, folder: Path, **values: Any) -> RunResult:
    """Run a recipe on the small IFU."""
    recipe = get_recipe(name)
    params = recipe.Params.parse({"nifu": IFU, **values})
    folder.mkdir(parents=True, exist_ok=True)
    return run_recipe(recipe, FrameSet(tuple(Frame(path, tag) for path, tag in pairs)), params, folder)


def write_flat(path: Path, mode: str) -> Path:
    """A master flat in which all pixels are alike, but for two."""
    shape = DETECTOR.trimmed_shape
    header = Header()
    for key, value in {"INSTRUME": "MUSE", "INS.MODE": mode, "QC.FLAT.MASTER.INTFLUX": INTFLUX}.items():
        set_key(header, key, value)
    data, dq = np.full(shape, 1.0, np.float32), np.zeros(shape, np.int32)
    data[100, 50], dq[200, 60] = 2.0, 64
    return write_image(path, MuseImage(data, dq, np.full(shape, 1e-6, np.float32), header, "count"), IFU)


def write_wavelengths(path: Path, truth: InstrumentTruth, shift: float = 0.0) -> Path:
    """The true wavelengths, and a shift [Angstrom]."""
    optics = truth.optics
    coefficients = np.zeros((N_SLICES, 3, 7))
    from_middle = Polynomial([-optics.y_middle, 1.0])
    for row in range(N_SLICES):
        x0, curvature = optics.x_middle[row], optics.curvature[row]
        along = Polynomial(optics.wave[row])(from_middle)
        slope = optics.tilt[row, 0] + optics.tilt[row, 1] / HALF_HEIGHT * from_middle
        in_x = [along - x0 * slope + curvature * x0**2 + shift, slope - 2 * curvature * x0, Polynomial([curvature])]
        for power, polynomial in enumerate(in_x):
            coefficients[row, power, : len(polynomial.coef)] = polynomial.coef
    numbers = np.arange(1, N_SLICES + 1, dtype=np.int32)
    solution = Dispersion(numbers, coefficients, np.full(N_SLICES, 1e-3))
    return write_table(path, wavecal_table_format(2, 6), MuseTable(solution.columns()), IFU)


def write_trace(path: Path, truth: InstrumentTruth) -> Path:
    """The true trace."""
    rows = np.arange(1.0, DETECTOR.trimmed_shape[0] + 1)
    lines = [
        np.array([Polynomial.fit(rows, edge(number, rows), 3).convert().coef for number in range(1, N_SLICES + 1)])
        for edge in (truth.trace_center, truth.trace_left, truth.trace_right)
    ]
    trace = Trace.from_polynomials(range(1, N_SLICES + 1), *lines)
    return write_table(path, trace_table_format(3), MuseTable(trace.columns()), IFU)


@dataclass(frozen=True)
class SmallSky:
    """Raw frames and calibrations of the small detector, and the truth behind them.

    The raw frames of arcs stand for exposures of the sky: a few bright lines of known wavelengths.
    """

    folder: Path
    truth: InstrumentTruth
    arcs: list[Path]
    illum: Path
    bias: Path
    flat: Path
    trace: Path
    wavelengths: Path
    geometry: Path

    run = staticmethod(run)
    ifu = IFU
    detector = DETECTOR

    def pairs(self, *exposures: tuple[Path, str]) -> Pairs:
        """Set of frames of muse_scibasic."""
        return [
            *exposures,
            (self.bias, "MASTER_BIAS"),
            (self.flat, "MASTER_FLAT"),
            (self.trace, "TRACE_TABLE"),
            (self.wavelengths, "WAVECAL_TABLE"),
            (self.geometry, "GEOMETRY_TABLE"),
        ]


def make_small_sky(folder: Path, mode: str) -> SmallSky:
    """Simulate biases, arcs and an illumination exposure, and write what is true of them."""
    truth = truth_for(IFU, mode, 1, DETECTOR)
    plan = NightPlan(n_bias=3, n_flat=0, n_illum=1, n_arc=2, arc_lamps=(3,))
    frames = simulate_night(folder / "raw", "2026-03-14", [IFU], plan, mode=mode, detector=DETECTOR)
    kinds = {path: get_key(scan_fits(path).primary, "DPR.TYPE", str) for path in frames}
    biases = [(path, "BIAS") for path in frames if kinds[path] == "BIAS"]
    (bias,) = (item.path for item in run("muse_bias", biases, folder / "bias").products)
    geometry = MuseTable(dict(make_geometry(1).table()))
    return SmallSky(
        folder,
        truth,
        [path for path in frames if kinds[path] == "WAVE"],
        next(path for path in frames if kinds[path].endswith("ILLUM")),
        bias,
        write_flat(folder / "flat.fits", mode),
        write_trace(folder / "trace.fits", truth),
        write_wavelengths(folder / "wavelengths.fits", truth),
        write_table(folder / "geometry.fits", GEOMETRY_TABLE, geometry),
    )


@pytest.fixture(scope="session")
def sky(tmp_path_factory: pytest.TempPathFactory) -> SmallSky:
    """In nominal mode."""
    return make_small_sky(tmp_path_factory.mktemp("sky"), "WFM-NOAO-N")


@pytest.fixture(scope="session")
def make_sky(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes the small detector in other modes."""
    return lambda mode: make_small_sky(tmp_path_factory.mktemp("sky"), mode)


@pytest.fixture(scope="session")
def shifted_wavelengths() -> Any:
    """Writes true wavelengths with a shift."""
    return write_wavelengths
