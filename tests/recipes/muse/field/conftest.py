"""A small field of view: three IFUs of 48 narrow slices on small detectors, and a twilight sky on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.ccd.trace_model import Trace
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.image import MuseImage, write_image
from core.formats.raw import write_raw
from core.formats.tables import GEOMETRY_TABLE, MuseTable, trace_table_format, wavecal_table_format, write_table
from core.instruments.muse.facts import N_SLICES, SLICE_SKY, chip_name
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.registry import get_recipe
from core.recipes.results import RunResult
from core.spatial.positions import FieldPlace, SliceMap
from core.spectral.dispersion import Dispersion
from tests.recipes.conftest import FrameMaker

IFUS = (1, 2, 3)
WIDTH = 9.25  # [pix] of a slice, on the detector and in the field
THROUGHPUT = {1: 1.0, 2: 0.8, 3: 1.25}
SLICE_THROUGHPUT = 1 + 0.1 * np.sin(np.arange(N_SLICES))
_ROWS = 12  # slices on top of each other in an IFU

Pairs = list[tuple[Path, str]]


def left_edge(number: int) -> float:
    """Left edge of a slice on the detector, numbered from 1."""
    return 30.3 + 12.25 * (number - 1)


def dispersion() -> np.ndarray:
    """Wavelengths of a slice: powers of x, then of y."""
    return np.array([[4700.0, 6.0, 0.0], [0.05, 0.0, 0.0]])


def places(ifu: int) -> dict[int, FieldPlace]:
    """Places of the slices in the field, by their number on the detector."""
    found = {}
    for number, sky in enumerate(SLICE_SKY, start=1):
        stack, row = divmod(sky - 1, _ROWS)
        found[number] = FieldPlace((1.5 - stack) * WIDTH, _ROWS * (ifu - 1) + row - 17.5, 0.3, WIDTH)
    return found


def twilight(x: np.ndarray, y: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """The sky over the field: a gradient that changes with wavelength. All IFUs see the same of it."""
    u = x / 20
    return 1 + (0.05 + 0.02 * (wave - 7000) / 2000) * u - 0.03 * u * u + 0 * y


def light(ifu: int, maker: FrameMaker, sky: Callable[..., np.ndarray]) -> np.ndarray:
    """Counts of a sky on the detector of an IFU, (ny, nx)."""
    shape = maker.detector.trimmed_shape
    image = np.zeros(shape)
    for number, place in places(ifu).items():
        left = np.array([left_edge(number)])
        rows = SliceMap(number, left, left + WIDTH, dispersion(), place, shape).places()
        counts = 20000 * sky(rows.xpos.astype(float), rows.ypos.astype(float), rows.wave.astype(float))
        image[rows.y - 1, rows.x - 1] = counts * THROUGHPUT[ifu] * SLICE_THROUGHPUT[number - 1]
    return image


@dataclass(frozen=True)
class SmallField:
    """Raw frames and calibrations of the small field, and the truth behind them."""

    folder: Path
    maker: FrameMaker
    skies: list[Path]
    illum: Path
    calibs: Pairs
    ifus: Sequence[int] = IFUS

    twilight = staticmethod(twilight)
    throughput = THROUGHPUT

    def pairs(self, *others: tuple[Path, str], illum: bool = True) -> Pairs:
        """Set of frames of muse_twilight."""
        lamp = [(self.illum, "ILLUM")] if illum else []
        return [*((path, "SKYFLAT") for path in self.skies), *lamp, *self.calibs, *others]

    def run(self, pairs: Pairs, folder: Path, **values: Any) -> RunResult:
        """Run muse_twilight."""
        recipe = get_recipe("muse_twilight")
        folder.mkdir(parents=True, exist_ok=True)
        frames = FrameSet(tuple(Frame(path, tag) for path, tag in pairs))
        return run_recipe(recipe, frames, recipe.Params.parse(values), folder, at_once=1)

    def expose(self, name: str, seed: int, sky: Callable[..., np.ndarray], **changes: Any) -> Path:
        """Write a raw frame of all IFUs that looks at a sky."""
        return expose(self.maker, name, seed, sky, **changes)


def expose(maker: FrameMaker, name: str, seed: int, sky: Callable[..., np.ndarray], **changes: Any) -> Path:
    """Write a raw frame of all IFUs that looks at a sky."""
    channels = []
    for ifu in IFUS:
        primary, channel = maker.headers(10.0, DET_CHIP_NAME=chip_name(ifu), **changes)
        gains = np.empty(maker.detector.trimmed_shape)
        for port, gain in enumerate(maker.detector.gain, start=1):
            gains[maker.detector.port_window(port)] = gain
        channels.append((ifu, channel, maker.pixels(seed + ifu, np.rint(light(ifu, maker, sky) / gains))))
    return write_raw(maker.folder / name, primary, channels)


def write_flat(path: Path, ifu: int, shape: tuple[int, int]) -> Path:
    """A master flat of ones, with a few bad pixels."""
    header = Header()
    for key, value in {"INSTRUME": "MUSE", "INS.MODE": "WFM-NOAO-N", "QC.FLAT.MASTER.INTFLUX": 1e9}.items():
        set_key(header, key, value)
    data, dq = np.ones(shape, np.float32), np.zeros(shape, np.int32)
    data[300:360, 33:37], dq[300:360, 33:37] = 5.0, 256
    return write_image(path, MuseImage(data, dq, np.full(shape, 1e-9, np.float32), header, "count"), ifu)


def write_calibrations(maker: FrameMaker) -> Pairs:
    """Masters and tables of all IFUs."""
    shape, folder = maker.detector.trimmed_shape, maker.folder
    left = np.array([[left_edge(number), 0.0] for number in range(1, N_SLICES + 1)])
    width = np.array([WIDTH, 0.0])
    trace = Trace.from_polynomials(range(1, N_SLICES + 1), left + width / 2, left, left + width)
    numbers = np.arange(1, N_SLICES + 1, dtype=np.int32)
    waves = Dispersion(numbers, np.repeat(dispersion()[None], N_SLICES, axis=0), np.full(N_SLICES, 1e-3))
    pairs: Pairs = []
    rows: dict[str, list[float]] = {
        name: [] for name in ("SubField", "SliceCCD", "SliceSky", "x", "y", "angle", "width")
    }
    bias = get_recipe("muse_bias")
    biases = [expose(maker, f"bias{k}.fits", 100 * k, lambda x, y, wave: 0 * x) for k in (1, 2, 3)]
    for ifu in IFUS:
        own = folder / f"ifu{ifu}"
        own.mkdir()
        frames = FrameSet(tuple(Frame(path, "BIAS") for path in biases))
        (product,) = run_recipe(bias, frames, bias.Params.parse({"nifu": ifu}), own).products
        pairs += [
            (product.path, "MASTER_BIAS"),
            (write_flat(own / "flat.fits", ifu, shape), "MASTER_FLAT"),
            (write_table(own / "trace.fits", trace_table_format(1), MuseTable(trace.columns()), ifu), "TRACE_TABLE"),
            (
                write_table(own / "waves.fits", wavecal_table_format(1, 2), MuseTable(waves.columns()), ifu),
                "WAVECAL_TABLE",
            ),
        ]
        for number, place in places(ifu).items():
            cells = (ifu, number, SLICE_SKY[number - 1], place.x, place.y, place.angle, place.width)
            for name, value in zip(rows, cells, strict=True):
                rows[name].append(value)
    columns = {name: np.array(cells, np.int32 if name.startswith("S") else np.float64) for name, cells in rows.items()}
    return [*pairs, (write_table(folder / "geometry.fits", GEOMETRY_TABLE, MuseTable(columns)), "GEOMETRY_TABLE")]


@pytest.fixture(scope="session")
def field(tmp_path_factory: pytest.TempPathFactory) -> SmallField:
    """The small field in wide field mode."""
    maker = FrameMaker(tmp_path_factory.mktemp("field"))
    skies = [expose(maker, f"sky{k}.fits", 10 * k, twilight, DPR_TYPE="FLAT,SKY") for k in (1, 2, 3)]
    illum = expose(maker, "illum.fits", 50, lambda x, y, wave: 0.8 + 0 * x, DPR_TYPE="FLAT,LAMP,ILLUM")
    return SmallField(maker.folder, maker, skies, illum, write_calibrations(maker))


@pytest.fixture(scope="session")
def made(field: SmallField, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run with the defaults."""
    result = field.run(field.pairs(), tmp_path_factory.mktemp("made"))
    assert not result.failures, result.failures
    return result
