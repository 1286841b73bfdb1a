"""Deterministic raw frames: anyone can make them again, pixel by pixel, from integers alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.ccd.geometry import Detector
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.raw import write_raw
from core.instruments.muse.facts import PORT_X, PORT_Y

_BASE = (1200, 1210, 1190, 1205)
_GAIN = (1.0, 1.1, 1.2, 1.3)


def integer_noise(ny: int, nx: int, seed: int) -> np.ndarray:
    """Noise of mean 0 and standard deviation sqrt(10), hashed from raw FITS coordinates and a seed."""
    y, x = np.mgrid[1 : ny + 1, 1 : nx + 1].astype(np.uint32)
    h = x * np.uint32(374761393) + y * np.uint32(668265263) + np.uint32(2246822519 * seed % 2**32)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(1274126177)
    h ^= h >> np.uint32(16)
    noise = np.full((ny, nx), -12, np.int64)
    for shift in range(0, 16, 2):
        noise += (h >> np.uint32(shift)) & np.uint32(3)
    return noise


class FrameMaker:
    """Writes raw frames of one IFU with 320 x 400 pix per port (or another size)."""

    def __init__(self, folder: Path, nx: int = 320, ny: int = 400) -> None:
        self.folder = folder
        self.detector = Detector(nx=nx, ny=ny, gain=_GAIN)

    def pixels(self, seed: int, extra: np.ndarray | float = 0) -> np.ndarray:
        """Raw pixels; ``extra`` is added to the data sections (trimmed coordinates)."""
        det = self.detector
        ny, nx = det.raw_shape
        raw = integer_noise(ny, nx, seed) + (np.arange(ny) // 200)[:, None]
        added = np.broadcast_to(extra, det.trimmed_shape)
        for port, base in enumerate(_BASE, start=1):
            raw[det.quarter(port)] += base
            raw[det.raw_window(port)] += added[det.port_window(port)].astype(np.int64)
        return np.clip(raw, 0, 65535).astype(np.uint16)

    def headers(self, exptime: float, **changes: Any) -> tuple[Header, Header]:
        """Primary and channel header; ``changes`` are dot names with underscores for dots."""
        primary, channel = Header(), Header()
        det = self.detector
        for key, value in {
            "INSTRUME": "MUSE",
            "DATE-OBS": "2015-01-01T00:00:00.000",
            "MJD-OBS": 57023.0,
            "EXPTIME": exptime,
            "INS.MODE": "WFM-NOAO-N",
            "DET.BINX": 1,
            "DET.BINY": 1,
            "DET.READ.CURID": 1,
            "DET.READ.CURNAME": "SCI1.0",
        }.items():
            set_key(primary, key, value)
        for key, chip in {"DET.CHIP.NAME": "CHAN01", "DET.CHIP.ID": "test", "DET.CHIP.LIVE": True}.items():
            set_key(channel, key, chip)
        for port in range(1, 5):
            for key, number in {
                "X": PORT_X[port - 1],
                "Y": PORT_Y[port - 1],
                "NX": det.nx,
                "NY": det.ny,
                "PRSCX": 32,
                "PRSCY": 32,
                "OVSCX": 32,
                "OVSCY": 32,
                "GAIN": _GAIN[port - 1],
                "RON": 3.2,
            }.items():
                set_key(channel, f"DET.OUT{port}.{key}", number)
        for name, value in changes.items():
            key = name.replace("_", ".")
            set_key(channel if key.startswith(("DET.CHIP", "DET.OUT")) else primary, key, value)
        return primary, channel

    def write(
        self,
        name: str,
        seed: int,
        exptime: float = 0.0,
        extra: np.ndarray | float = 0,
        *,
        ifu: int = 1,
        raw: np.ndarray | None = None,
        compress: bool = False,
        **changes: Any,
    ) -> Path:
        """Write one raw frame."""
        primary, channel = self.headers(exptime, **changes)
        pixels = self.pixels(seed, extra) if raw is None else raw
        return write_raw(self.folder / name, primary, [(ifu, channel, pixels)], compress=compress)

    def trimmed_noise(self, seed: int) -> np.ndarray:
        """`integer_noise` of the trimmed image."""
        return integer_noise(*self.detector.trimmed_shape, seed)

    def gains(self) -> np.ndarray:
        """Gain of each trimmed pixel."""
        det = self.detector
        result = np.zeros(det.trimmed_shape)
        for port, gain in enumerate(det.gain, start=1):
            result[det.port_window(port)] = gain
        return result

    def column_pattern(self) -> np.ndarray:
        """A bright and a dark piece of a column."""
        extra = np.zeros(self.detector.trimmed_shape)
        extra[100:301, 49] = 20
        extra[500:601, 400] = -300
        return extra


@pytest.fixture
def frame_maker(tmp_path: Path) -> FrameMaker:
    """Writer of deterministic raw frames into a temporary folder."""
    return FrameMaker(tmp_path)


@pytest.fixture(scope="session")
def reference_biases(tmp_path_factory: pytest.TempPathFactory) -> tuple[FrameMaker, list[Path]]:
    """Five biases with a bright and a dark column, and their maker."""
    maker = FrameMaker(tmp_path_factory.mktemp("biases"))
    pattern = maker.column_pattern()
    return maker, [maker.write(f"bias{k}.fits", k, extra=pattern) for k in range(1, 6)]


@pytest.fixture(scope="session")
def reference_darks(tmp_path_factory: pytest.TempPathFactory) -> tuple[FrameMaker, list[Path]]:
    """Three darks of 900, 1800 and 2700 s with hot pixels, and their maker."""
    maker = FrameMaker(tmp_path_factory.mktemp("darks"))
    extra = maker.column_pattern() + 5
    extra[9::40, 19::50] += 500
    return maker, [maker.write(f"dark{k}.fits", k, 900.0 * (k - 10), extra) for k in (11, 12, 13)]


@pytest.fixture
def run_one(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Run a recipe on (path, tag) pairs for IFU 1; returns the product files by tag."""
    from core.recipes.engine import run_recipe
    from core.recipes.frames import Frame, FrameSet
    from core.recipes.registry import get_recipe

    def run(name: str, pairs: list[tuple[Path, str]], **values: Any) -> dict[str, Path]:
        recipe = get_recipe(name)
        params = recipe.Params.parse({"nifu": 1, **values})
        frames = FrameSet(tuple(Frame(path, tag) for path, tag in pairs))
        folder = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
        folder.mkdir()
        result = run_recipe(recipe, frames, params, folder)
        if result.failures:
            raise AssertionError(result.failures)
        return {item.tag: item.path for item in result.products}

    return run
