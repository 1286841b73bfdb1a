"""Everything that is known about a simulated channel, in one object, on disk beside the frames."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.ccd.geometry import Detector
from core.errors import BadFitsError, ParameterError
from core.instruments.muse.facts import MODES
from core.simulator.channel import ChannelTruth, make_channel
from core.simulator.geometry import FieldGeometry, make_geometry
from core.simulator.optics import OpticsTruth, make_optics

__all__ = ["InstrumentTruth", "load_truth", "save_truth", "truth_for"]


@dataclass(frozen=True, eq=False)
class InstrumentTruth:
    """One simulated IFU: its detector, its optics, its place in the field and the instrument mode.

    Attributes
    ----------
    ifu : int
    mode : str
        ``INS.MODE``.
    seed : int
    channel : ChannelTruth
    optics : OpticsTruth
    geometry : FieldGeometry
        Slices of all IFUs in the field of view.
    """

    ifu: int
    mode: str
    seed: int
    channel: ChannelTruth
    optics: OpticsTruth
    geometry: FieldGeometry

    @property
    def detector(self) -> Detector:
        """Geometry with the true gain [electron/adu] and read noise [electron]."""
        return self.channel.detector

    @property
    def gain(self) -> tuple[float, float, float, float]:
        """Gain of ports 1..4 [electron/adu]."""
        return self.channel.detector.gain

    @property
    def ron(self) -> tuple[float, float, float, float]:
        """Read noise of ports 1..4 before night-to-night changes [electron]; digitisation adds 0.29 adu."""
        return self.channel.detector.ron

    def trace_left(self, slice_no: int, y: ArrayLike) -> NDArray[np.float64]:
        """Left edge of a slice at rows ``y`` [FITS pix of the trimmed image]."""
        return self.optics.trace_left(slice_no, y)

    def trace_center(self, slice_no: int, y: ArrayLike) -> NDArray[np.float64]:
        """Middle of a slice at rows ``y`` [FITS pix of the trimmed image]."""
        return self.optics.trace_center(slice_no, y)

    def trace_right(self, slice_no: int, y: ArrayLike) -> NDArray[np.float64]:
        """Right edge of a slice at rows ``y`` [FITS pix of the trimmed image]."""
        return self.optics.trace_right(slice_no, y)

    def wavelength(self, slice_no: int, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Wavelength at FITS pixels ``x``, ``y`` of the trimmed image in a slice [Angstrom, air]."""
        return self.optics.wavelength(slice_no, x, y)

    def position(self, slice_no: int, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where FITS pixels ``x``, ``y`` of the trimmed image lie in the field, as a GEOMETRY_TABLE has it [pix]."""
        left, right = self.optics.trace_left(slice_no, y), self.optics.trace_right(slice_no, y)
        along = (np.asarray(x, np.float64) - 0.5 * (left + right)) / (right - left)
        return self.geometry.place(self.ifu, slice_no, along)

    def bias(self, port: int) -> NDArray[np.float32]:
        """Noise-free bias of the data section of a port, shape (ny, nx) [adu]."""
        return self.channel.bias(port)

    def flat(self) -> NDArray[np.float32]:
        """Pixel-to-pixel sensitivity, trimmed shape."""
        return self.channel.flat()

    def dark_rate(self) -> NDArray[np.float32]:
        """Dark current, trimmed shape [electron/hour]."""
        return self.channel.dark_rate()

    def hot_mask(self, limit: float = 0.0) -> NDArray[np.bool_]:
        """Hot pixels with more than ``limit`` electron/hour, trimmed shape."""
        return self.channel.hot_mask(limit)

    def dead_mask(self, limit: float = 0.2) -> NDArray[np.bool_]:
        """Pixels with a sensitivity below ``limit``, trimmed shape."""
        return self.channel.dead_mask(limit)


@lru_cache(maxsize=4)
def _geometry(seed: int) -> FieldGeometry:
    return make_geometry(seed)


@lru_cache(maxsize=48)
def _truth_for(ifu: int, mode: str, seed: int, detector: Detector | None) -> InstrumentTruth:
    return InstrumentTruth(
        ifu=ifu,
        mode=mode,
        seed=seed,
        channel=make_channel(ifu, seed, detector),
        optics=make_optics(ifu, seed, detector),
        geometry=_geometry(seed),
    )


def truth_for(ifu: int, mode: str = "WFM-NOAO-N", seed: int = 1, detector: Detector | None = None) -> InstrumentTruth:
    """Truth of an IFU; the same arguments always give the same instrument.

    Parameters
    ----------
    ifu : int
        1..24.
    mode : str
        ``INS.MODE``, one of `core.instruments.muse.facts.MODES`.
    seed : int
        Seed of the whole simulation, not negative.
    detector : Detector, optional
        Geometry only: gain and read noise are always those of the channel. A detector smaller than the real one
        is its central cut-out. Full size by default.

    Raises
    ------
    ParameterError
        If the IFU or the mode does not exist, or the seed is negative.
    """
    if mode not in MODES:
        raise ParameterError(f"unknown mode {mode!r}; known are {', '.join(MODES)}", parameter="mode")
    if seed < 0:
        raise ParameterError(f"seed {seed} must not be negative", parameter="seed")
    return _truth_for(ifu, mode, seed, detector)


_OPTICS = (
    "left", "right", "x_middle", "wave", "tilt", "curvature", "lsf_sigma", "throughput", "slit",
)  # fmt: skip
_FIELD = ("x", "y", "angle", "width", "temperature", "response", "shading", "plate", "axis")
_GEOMETRY = ("nx", "ny", "prescan_x", "prescan_y", "overscan_x", "overscan_y")


def _fields(truth: InstrumentTruth) -> Iterator[tuple[str, Any]]:
    det, channel = truth.detector, truth.channel
    yield "identity", np.array([truth.ifu, truth.seed])
    yield "mode", np.array(truth.mode)
    yield "geometry", np.array([getattr(det, name) for name in _GEOMETRY])
    yield "gain", np.array(det.gain)
    yield "ron", np.array(det.ron)
    yield "level", channel.level
    yield "row_bias", channel.row_bias
    yield "column_bias", channel.column_bias
    yield "bad_columns", np.array([(c.x, c.y0, c.y1, c.charge) for c in channel.bad_columns]).reshape(-1, 4)
    yield "hot_x", channel.hot_x
    yield "hot_y", channel.hot_y
    yield "hot_rate", channel.hot_rate
    dead_y, dead_x = np.nonzero(truth.dead_mask())
    yield "dead_x", dead_x.astype(np.int32)
    yield "dead_y", dead_y.astype(np.int32)
    yield "y_middle", np.array(truth.optics.y_middle)
    for name in _OPTICS:
        yield name, getattr(truth.optics, name)
    for name in _FIELD:
        yield f"field_{name}", getattr(truth.geometry, name)


def save_truth(directory: str | os.PathLike[str], truth: InstrumentTruth) -> Path:
    """Write the truth of a channel as ``truth_IFUnn_MODE.npz`` (atomically).

    The large images (flat, dark current, bias) follow from the seed and are not stored.

    Returns
    -------
    pathlib.Path
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"truth_IFU{truth.ifu:02d}_{truth.mode}.npz"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with open(temporary, "wb") as stream:
        np.savez_compressed(stream, **dict(_fields(truth)))
    os.replace(temporary, path)
    return path


def load_truth(path: str | os.PathLike[str]) -> InstrumentTruth:
    """Read a truth file and check it against the present model.

    Returns
    -------
    InstrumentTruth
        Built from the seed of the file.

    Raises
    ------
    BadFitsError
        If the file was written by another version of the model: its frames no longer have this truth.
    """
    with np.load(path) as stored:
        ifu, seed = (int(value) for value in stored["identity"])
        nx, ny, prescan_x, prescan_y, overscan_x, overscan_y = (int(value) for value in stored["geometry"])
        detector = Detector(nx, ny, prescan_x, prescan_y, overscan_x, overscan_y)
        truth = truth_for(ifu, str(stored["mode"]), seed, detector)
        for name, value in _fields(truth):
            if name not in stored or not np.array_equal(stored[name], value):
                raise BadFitsError(f"{name} differs from the present simulator's: simulate again", file=path)
    return truth
