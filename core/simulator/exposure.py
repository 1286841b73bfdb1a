"""Expected electrons become a raw frame: photon noise, cosmic rays, read-out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.simulator import noise
from core.simulator.scenes import Scene
from core.simulator.truth import InstrumentTruth

__all__ = ["READ_TIME", "NightState", "expected_electrons", "expose"]

F32 = NDArray[np.float32]

READ_TIME: Final = 47.2
"""Time to read a detector [s]."""

_COSMIC_RATE: Final = 9.4e-8  # hits per pixel and second: 2.5 per minute and cm2 on 15 micron pixels


@dataclass(frozen=True)
class NightState:
    """What changes from night to night for one channel.

    Attributes
    ----------
    noise : float
        Read noise relative to the nominal one.
    level : tuple of float
        Shift of the bias level of ports 1..4 [adu].
    """

    noise: float = 1.0
    level: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


def expected_electrons(truth: InstrumentTruth, scene: Scene) -> F32:
    """Mean electrons of an exposure: light times sensitivity, dark current, bad columns.

    Returns
    -------
    ndarray of float32, trimmed shape
        Free of noise and cosmic rays; the same for all exposures of a scene.
    """
    light = scene.light(truth)
    if light is None:
        image = np.zeros(truth.detector.trimmed_shape, np.float32)
    else:
        image = light
        image *= truth.flat()
    if scene.exptime > 0.0:
        image += truth.dark_rate() * np.float32(scene.exptime / 3600.0)
    for column in truth.channel.bad_columns:
        image[column.y0 : column.y1, column.x] += np.float32(column.charge)
    return image


def _add_cosmics(image: F32, rng: np.random.Generator, seconds: float) -> None:
    ny, nx = image.shape
    n = int(rng.poisson(_COSMIC_RATE * ny * nx * seconds))
    if n == 0:
        return
    x = rng.uniform(0.0, nx, n)
    y = rng.uniform(0.0, ny, n)
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    length = rng.exponential(4.0, n)
    charge = rng.lognormal(np.log(900.0), 0.8, n)
    steps = np.ceil(length * 2.0).astype(np.int64) + 1
    hit = np.repeat(np.arange(n), steps)
    along = (np.arange(len(hit)) - np.repeat(np.cumsum(steps) - steps, steps)) * 0.5
    column = np.floor(x[hit] + along * np.cos(angle[hit])).astype(np.int64)
    row = np.floor(y[hit] + along * np.sin(angle[hit])).astype(np.int64)
    inside = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
    np.add.at(image, (row[inside], column[inside]), (0.5 * charge[hit])[inside].astype(np.float32))


def expose(
    truth: InstrumentTruth,
    expected: F32,
    exptime: float,
    rng: np.random.Generator,
    state: NightState | None = None,
) -> NDArray[np.uint16]:
    """Draw one raw frame.

    Parameters
    ----------
    truth : InstrumentTruth
    expected : ndarray of float32, trimmed shape
        From `expected_electrons`; not changed.
    exptime : float
        Exposure time [s]; cosmic rays also hit during half of the read-out.
    rng : numpy.random.Generator
    state : NightState, optional

    Returns
    -------
    ndarray of uint16, raw shape
        adu, pre- and overscan included, clipped at 65535.
    """
    night = state or NightState()
    det, channel = truth.detector, truth.channel
    electrons = expected.copy()
    _add_cosmics(electrons, rng, exptime + 0.5 * READ_TIME)
    level = channel.level + np.array(night.level) + rng.normal(0.0, 0.25, 4)
    gain = np.array(det.gain)
    ron = np.array(det.ron) / gain * night.noise
    raw = np.empty(det.raw_shape, np.uint16)
    key = rng.integers(0, 2**64, dtype=np.uint64)
    noise.digitise(
        raw, electrons, key, channel.row_bias, channel.column_bias, level, gain, ron, det.prescan_x, det.prescan_y
    )
    return raw
