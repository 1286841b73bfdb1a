"""Raw frames become slabs of rows, with the rows of their masters: memory does not grow with the number of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.reduction import MasterRows, ReductionPlan, SlabCalibration, reduce_rows
from core.formats.image import ImageRows
from core.formats.raw import RawChannel
from core.recipes.muse.calibrations import BadPixels, Masters

__all__ = ["Slab", "SlabReader"]

_SLAB_BYTES: Final = 2_000_000  # raw rows of all frames together; two of them fit the processor's cache


@dataclass(frozen=True)
class Slab:
    """The same raw rows of all frames.

    Attributes
    ----------
    y0 : int
        First row in the trimmed image (0-based), or -1 in the scan regions.
    raw : ndarray, uint16, shape (n, ny, nx_raw)
        Valid until the next slab is asked for [adu].
    """

    y0: int
    raw: NDArray[np.uint16]


class SlabReader:
    """Reads some frames of one IFU slab by slab, with the rows of the masters that belong to each.

    Parameters
    ----------
    channels : sequence of RawChannel
    plan : ReductionPlan
    masters : Masters
    bad_pixels : BadPixels
    """

    def __init__(
        self, channels: Sequence[RawChannel], plan: ReductionPlan, masters: Masters, bad_pixels: BadPixels
    ) -> None:
        self.channels, self.plan, self.masters, self.bad_pixels = channels, plan, masters, bad_pixels
        self.detector = plan.detector
        nx = self.detector.raw_shape[1]
        self.height = int(np.clip(_SLAB_BYTES // (2 * nx * len(channels)), 8, 64))

    def _buffer(self) -> NDArray[np.uint16]:
        return np.empty(len(self.channels) * self.height * self.detector.raw_shape[1], np.uint16)

    def _read(self, raw_y0: int, height: int, buffer: NDArray[np.uint16]) -> NDArray[np.uint16]:
        nx = self.detector.raw_shape[1]
        slab = buffer[: len(self.channels) * height * nx].reshape(len(self.channels), height, nx)
        for k, channel in enumerate(self.channels):
            channel.read_rows(raw_y0, raw_y0 + height, out=slab[k])
        return slab

    def data_slabs(self, upper: bool) -> Iterator[Slab]:
        """Slabs of the data rows of one half of the detector; both halves may be walked at the same time."""
        det = self.detector
        first = det.ny if upper else 0
        buffer = self._buffer()
        for y0 in range(first, first + det.ny, self.height):
            yield Slab(y0, self._read(det.raw_row(y0), min(self.height, first + det.ny - y0), buffer))

    def scan_slabs(self, upper: bool) -> Iterator[Slab]:
        """Slabs of the rows of pre- and overscan of one half."""
        det = self.detector
        ny, middle = det.raw_shape[0], det.prescan_y + det.ny + det.overscan_y
        edges = (
            ((middle, middle + det.overscan_y), (ny - det.prescan_y, ny))
            if upper
            else ((0, det.prescan_y), (middle - det.overscan_y, middle))
        )
        buffer = self._buffer()
        for start, stop in edges:
            for y0 in range(start, stop, self.height):
                yield Slab(-1, self._read(y0, min(self.height, stop - y0), buffer))

    def calibration(self, y0: int, height: int) -> SlabCalibration:
        """Rows of the masters that belong to a slab."""
        masters = self.masters
        return SlabCalibration(
            bias=_rows(masters.bias, y0, height),
            dark=_rows(masters.dark, y0, height),
            flat=_rows(masters.flat, y0, height),
            bad=self.bad_pixels.trimmed_rows(y0, height),
        )

    def reduced(self, y0: int, y1: int) -> NDArray[np.float32]:
        """Reduced pixels of trimmed rows ``y0`` (0-based) up to but not including ``y1``: shape (n, y1 - y0, nx)."""
        det = self.detector
        buffer = self._buffer()
        found = np.empty((len(self.channels), y1 - y0, det.trimmed_shape[1]), np.float32)
        while y0 < y1:
            end = min(y0 + self.height, y1, det.ny if y0 < det.ny else y1)
            raw = self._read(det.raw_row(y0), end - y0, buffer)
            at = y0 - y1 + found.shape[1]
            found[:, at : at + end - y0] = reduce_rows(self.plan, raw, y0, self.calibration(y0, end - y0))
            y0 = end
        return found

    def sampled_rows(self, n_rows: int) -> NDArray[np.int64]:
        """Trimmed rows (0-based) that `sample` takes."""
        # Middles of equal parts: the border rows, often dark, must not weigh double.
        return np.unique(((np.arange(n_rows) + 0.5) * (2 * self.detector.ny) / n_rows).astype(np.int64))

    def sample(self, n_rows: int) -> NDArray[np.float32]:
        """Reduced pixels of ``n_rows`` rows spread over the detector: shape (n, n_rows or less, nx)."""
        rows = self.sampled_rows(n_rows).tolist()
        buffer = self._buffer()
        reduced = np.empty((len(self.channels), len(rows), self.detector.trimmed_shape[1]), np.float32)
        for i, y in enumerate(rows):
            raw = self._read(self.detector.raw_row(y), 1, buffer)
            reduced[:, i] = reduce_rows(self.plan, raw, y, self.calibration(y, 1))[:, 0]
        return reduced


def _rows(master: ImageRows | None, y0: int, height: int) -> MasterRows:
    if master is None:
        return SlabCalibration().bias
    return MasterRows(*master.rows(y0, y0 + height))
