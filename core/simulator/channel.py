"""A seed and an IFU become the detector of that channel: levels, noise, structure and defects.

All numbers are in adu where they come from the read-out (bias) and in electrons (count) where they come from the
silicon. ``DET.OUTn.GAIN`` is used as the pipelines use it: electrons = adu * GAIN.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.geometry import Detector
from core.errors import ParameterError
from core.instruments.muse.facts import N_IFU, PORT_NX, PORT_NY
from core.simulator.seeds import stream

__all__ = ["BadColumn", "ChannelTruth", "ChipCard", "chip_card", "make_channel"]

FLAT_RMS: Final = 0.01  # pixel-to-pixel sensitivity
_FULL_PORT: Final = PORT_NX * PORT_NY
_HOT_PER_PORT: Final = 90
_DEAD_PER_PORT: Final = 20
_SPOTS_PER_PORT: Final = 4


@dataclass(frozen=True)
class ChipCard:
    """What the headers say about the chip of a channel; port order 1..4."""

    ifu: int
    chip: str
    x: int
    y: int
    gain: tuple[float, float, float, float]
    ron: tuple[float, float, float, float]


@dataclass(frozen=True)
class BadColumn:
    """Part of a column with a constant extra charge in every read-out.

    Attributes
    ----------
    x : int
        0-based column of the trimmed image.
    y0, y1 : int
        0-based rows of the trimmed image, half-open.
    charge : float
        Extra charge per pixel [electron].
    """

    x: int
    y0: int
    y1: int
    charge: float


@dataclass(frozen=True, eq=False)
class ChannelTruth:
    """Detector of one channel.

    Attributes
    ----------
    ifu : int
    seed : int
    detector : Detector
        Geometry, with the true gain [electron/adu] and read noise [electron] of ports 1..4.
    level : ndarray of float64, shape (4,)
        Mean level of the ports before the row structure [adu].
    row_bias : ndarray of float32, shape (4, ny_raw // 2)
        Structure along y of each quarter, in order of read-out (index 0 is the outermost row) [adu].
    column_bias : ndarray of float32, shape (4, nx_raw // 2)
        Structure along x of each quarter, index 0 outermost, zero in pre- and overscan [adu].
    bad_columns : tuple of BadColumn
    hot_x, hot_y : ndarray of int32
        0-based positions of hot pixels in the trimmed image.
    hot_rate : ndarray of float32
        Their extra dark current [electron/hour].
    """

    ifu: int
    seed: int
    detector: Detector
    level: NDArray[np.float64]
    row_bias: NDArray[np.float32]
    column_bias: NDArray[np.float32]
    bad_columns: tuple[BadColumn, ...]
    hot_x: NDArray[np.int32]
    hot_y: NDArray[np.int32]
    hot_rate: NDArray[np.float32]

    def bias(self, port: int) -> NDArray[np.float32]:
        """Noise-free bias of the data section of a port, in the orientation of the image, shape (ny, nx) [adu]."""
        det = self.detector
        rows = self.row_bias[port - 1, det.prescan_y : det.prescan_y + det.ny]
        columns = self.column_bias[port - 1, det.prescan_x : det.prescan_x + det.nx]
        if det.is_upper(port):
            rows = rows[::-1]
        if det.is_right(port):
            columns = columns[::-1]
        return (self.level[port - 1] + rows[:, None] + columns[None, :]).astype(np.float32)

    def flat(self) -> NDArray[np.float32]:
        """Relative sensitivity of each pixel, dead and dim pixels included; trimmed shape (ny, nx)."""
        rng = stream(self.seed, "flat", self.ifu)
        ny, nx = self.detector.trimmed_shape
        flat = rng.standard_normal((ny, nx), dtype=np.float32)
        flat *= np.float32(FLAT_RMS)
        flat += np.float32(1.0)
        scale = 4 * self.detector.nx * self.detector.ny / _FULL_PORT
        n_dead = max(1, round(_DEAD_PER_PORT * scale))
        flat[rng.integers(0, ny, n_dead), rng.integers(0, nx, n_dead)] = rng.uniform(0.0, 0.15, n_dead)
        yy, xx = np.mgrid[-6:7, -6:7]
        for _ in range(max(1, round(_SPOTS_PER_PORT * scale))):
            x, y = int(rng.integers(6, nx - 6)), int(rng.integers(6, ny - 6))
            depth, radius = rng.uniform(0.2, 0.7), rng.uniform(1.0, 2.5)
            shade = 1.0 - depth * np.exp(-0.5 * (xx**2 + yy**2) / radius**2)
            flat[y - 6 : y + 7, x - 6 : x + 7] *= shade.astype(np.float32)
        return flat

    def dead_mask(self, limit: float = 0.2) -> NDArray[np.bool_]:
        """Pixels with a sensitivity below ``limit``, trimmed shape (ny, nx)."""
        return self.flat() < limit

    def hot_mask(self, limit: float = 0.0) -> NDArray[np.bool_]:
        """Hot pixels with an extra dark current above ``limit`` [electron/hour], trimmed shape (ny, nx)."""
        mask = np.zeros(self.detector.trimmed_shape, bool)
        chosen = self.hot_rate > limit
        mask[self.hot_y[chosen], self.hot_x[chosen]] = True
        return mask

    def dark_rate(self) -> NDArray[np.float32]:
        """Dark current of each pixel [electron/hour], trimmed shape (ny, nx): floor, corner glow, hot pixels."""
        det = self.detector
        rng = stream(self.seed, "glow", self.ifu)
        rate = np.full(det.trimmed_shape, rng.uniform(0.8, 1.2), np.float32)
        reach = float(rng.uniform(220.0, 320.0))
        for port in range(1, 5):
            # distance from the read-out corner, where the output amplifier glows
            y = np.arange(det.ny, dtype=np.float32)
            x = np.arange(det.nx, dtype=np.float32)
            if det.is_upper(port):
                y = y[::-1]
            if det.is_right(port):
                x = x[::-1]
            peak = np.float32(rng.uniform(1.0, 4.0))
            glow_y = np.exp(-0.5 * (y / np.float32(reach)) ** 2)
            glow_x = np.exp(-0.5 * (x / np.float32(reach)) ** 2)
            rate[det.port_window(port)] += peak * glow_y[:, None] * glow_x[None, :]
        np.add.at(rate, (self.hot_y, self.hot_x), self.hot_rate)
        return rate


@lru_cache(maxsize=1)
def _chip_cards() -> dict[int, ChipCard]:
    text = resources.files("core.simulator").joinpath("data").joinpath("channels.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    cards = {}
    for row in rows:
        gain = (float(row["gain1"]), float(row["gain2"]), float(row["gain3"]), float(row["gain4"]))
        ron = (float(row["ron1"]), float(row["ron2"]), float(row["ron3"]), float(row["ron4"]))
        cards[int(row["ifu"])] = ChipCard(int(row["ifu"]), row["chip"], int(row["x"]), int(row["y"]), gain, ron)
    return cards


def chip_card(ifu: int) -> ChipCard:
    """Chip of an IFU.

    Raises
    ------
    ParameterError
        If ``ifu`` is not 1..24.
    """
    if not 1 <= ifu <= N_IFU:
        raise ParameterError(f"IFU {ifu} does not exist; MUSE has 1..{N_IFU}", parameter="ifu")
    return _chip_cards()[ifu]


def make_channel(ifu: int, seed: int, detector: Detector | None = None) -> ChannelTruth:
    """Detector of an IFU.

    Parameters
    ----------
    ifu : int
        1..24.
    seed : int
    detector : Detector, optional
        Geometry; gain and read noise are always those of the channel. Full size by default.

    Returns
    -------
    ChannelTruth
    """
    card = chip_card(ifu)
    det = replace(detector or Detector(), gain=card.gain, ron=card.ron)
    rng = stream(seed, "channel", ifu)
    ny_quarter, nx_quarter = det.raw_shape[0] // 2, det.raw_shape[1] // 2
    row = np.arange(ny_quarter, dtype=np.float64)
    column = np.arange(nx_quarter, dtype=np.float64)
    row_bias = np.empty((4, ny_quarter), np.float32)
    column_bias = np.zeros((4, nx_quarter), np.float32)
    level = 1201.0 + np.clip(rng.normal(0.0, 2.2, 4), -4.0, 6.0)
    data = slice(det.prescan_x, det.prescan_x + det.nx)
    for port in range(4):
        # settling of the electronics after the start of the read-out, a drift, and a slow wave
        settling = rng.choice((-1.0, 1.0)) * rng.uniform(0.6, 1.8) * np.exp(-row / rng.uniform(240.0, 420.0))
        drift = rng.uniform(-6e-4, 6e-4) * row
        wave = rng.uniform(0.2, 0.5) * np.sin(2.0 * np.pi * (row / rng.uniform(1500.0, 2600.0) + rng.uniform()))
        row_bias[port] = settling + drift + wave
        fixed = rng.normal(0.0, 0.03, nx_quarter) + rng.uniform(-0.06, 0.06) * np.exp(-column / 60.0)
        column_bias[port, data] = fixed[data]
    bad_columns = []
    scale = 4 * det.nx * det.ny / _FULL_PORT
    for port in range(1, 5):
        if rng.uniform() < 0.12:
            rows, columns = det.port_window(port)
            x = int(rng.integers(columns.start + 5, columns.stop - 5))
            # from the defect to the end that is read out last
            start = int(rng.integers(det.ny // 5, det.ny))
            y0, y1 = (rows.start, rows.stop - start) if det.is_upper(port) else (rows.start + start, rows.stop)
            bad_columns.append(BadColumn(x, y0, y1, float(rng.uniform(60.0, 400.0))))
    n_hot = max(1, round(_HOT_PER_PORT * scale))
    ny, nx = det.trimmed_shape
    return ChannelTruth(
        ifu=ifu,
        seed=seed,
        detector=det,
        level=level,
        row_bias=row_bias,
        column_bias=column_bias,
        bad_columns=tuple(bad_columns),
        hot_x=rng.integers(0, nx, n_hot).astype(np.int32),
        hot_y=rng.integers(0, ny, n_hot).astype(np.int32),
        hot_rate=np.clip(rng.lognormal(np.log(120.0), 1.3, n_hot), 20.0, 40000.0).astype(np.float32),
    )
