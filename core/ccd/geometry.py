"""Where the four read-out ports of a detector lie, raw and trimmed.

Ports are numbered 1..4: lower left, lower right, upper right, upper left (MUSE manual, section 5.1). Along each
axis a raw frame is: prescan | data | overscan | overscan | data | prescan. Sizes come from the header, so that
small detectors work like the real one. Windows are given as 0-based, half-open numpy slices ``(rows, columns)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.errors import DataError
from core.instruments.muse.facts import N_PORTS, PORT_NX, PORT_NY, SCAN_WIDTH

__all__ = ["Detector", "Window"]

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Detector:
    """Geometry and electronics of one channel.

    Attributes
    ----------
    nx, ny : int
        Size of the data section of one port [pix].
    prescan_x, prescan_y, overscan_x, overscan_y : int
        Widths of the scan regions of one port [pix].
    gain : tuple of float
        Electrons (count) per adu of ports 1..4 (``DET.OUTn.GAIN`` in the sense the pipeline uses it).
    ron : tuple of float
        Read-out noise quoted by the header, ports 1..4 [count]; never enters the numbers.
    """

    nx: int = PORT_NX
    ny: int = PORT_NY
    prescan_x: int = SCAN_WIDTH
    prescan_y: int = SCAN_WIDTH
    overscan_x: int = SCAN_WIDTH
    overscan_y: int = SCAN_WIDTH
    gain: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    ron: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)

    @property
    def trimmed_shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the trimmed image."""
        return (2 * self.ny, 2 * self.nx)

    @property
    def raw_shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the raw frame."""
        return (
            2 * (self.prescan_y + self.ny + self.overscan_y),
            2 * (self.prescan_x + self.nx + self.overscan_x),
        )

    @staticmethod
    def is_right(port: int) -> bool:
        """Whether a port reads the right half."""
        return port in (2, 3)

    @staticmethod
    def is_upper(port: int) -> bool:
        """Whether a port reads the upper half."""
        return port in (3, 4)

    def quarter(self, port: int) -> Window:
        """Quarter of the raw frame of a port, scans included."""
        ny, nx = self.raw_shape[0] // 2, self.raw_shape[1] // 2
        y0, x0 = self.is_upper(port) * ny, self.is_right(port) * nx
        return slice(y0, y0 + ny), slice(x0, x0 + nx)

    def raw_window(self, port: int) -> Window:
        """Data section of a port in the raw frame."""
        y0 = self.prescan_y + self.is_upper(port) * (self.ny + 2 * self.overscan_y)
        x0 = self.prescan_x + self.is_right(port) * (self.nx + 2 * self.overscan_x)
        return slice(y0, y0 + self.ny), slice(x0, x0 + self.nx)

    def port_window(self, port: int) -> Window:
        """Data section of a port in the trimmed image."""
        y0, x0 = self.is_upper(port) * self.ny, self.is_right(port) * self.nx
        return slice(y0, y0 + self.ny), slice(x0, x0 + self.nx)

    def overscan_windows(self, port: int, ignore: int = 0) -> tuple[Window, Window]:
        """Horizontal and vertical overscan strips of a port in the raw frame.

        The square where the strips meet belongs to the vertical one. ``ignore`` leaves out that many rows
        (columns) next to the illuminated data.

        Raises
        ------
        DataError
            If ``ignore`` leaves nothing.
        """
        if ignore < 0 or ignore >= min(self.overscan_x, self.overscan_y):
            raise DataError(
                f"ovscignore={ignore} must be between 0 and {min(self.overscan_x, self.overscan_y) - 1} pix",
                parameter="ovscignore",
            )
        rows, cols = self.raw_window(port)
        if self.is_upper(port):
            hor_rows = slice(rows.start - self.overscan_y, rows.start - ignore)
            ver_rows = slice(rows.start - self.overscan_y, rows.stop)
        else:
            hor_rows = slice(rows.stop + ignore, rows.stop + self.overscan_y)
            ver_rows = slice(rows.start, rows.stop + self.overscan_y)
        if self.is_right(port):
            ver_cols = slice(cols.start - self.overscan_x, cols.start - ignore)
        else:
            ver_cols = slice(cols.stop + ignore, cols.stop + self.overscan_x)
        return (hor_rows, cols), (ver_rows, ver_cols)

    def trimmed_to_raw(self, x: int, y: int) -> tuple[int, int]:
        """Raw FITS position of a trimmed FITS position (both 1-based)."""
        raw_x = x + self.prescan_x + (2 * self.overscan_x if x > self.nx else 0)
        raw_y = y + self.prescan_y + (2 * self.overscan_y if y > self.ny else 0)
        return raw_x, raw_y

    def raw_places(
        self, x: npt.NDArray[np.integer[Any]], y: npt.NDArray[np.integer[Any]]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Raw FITS positions of trimmed ones (all 1-based), arrays of one shape."""
        raw_x = x + self.prescan_x + np.where(x > self.nx, 2 * self.overscan_x, 0)
        raw_y = y + self.prescan_y + np.where(y > self.ny, 2 * self.overscan_y, 0)
        return raw_x.astype(np.int32), raw_y.astype(np.int32)

    def raw_row(self, trimmed_row: int) -> int:
        """0-based raw row of a 0-based trimmed row."""
        return self.trimmed_to_raw(1, trimmed_row + 1)[1] - 1

    def ports_of_half(self, upper: bool) -> tuple[int, int]:
        """Left and right port of the lower or upper half."""
        return (4, 3) if upper else (1, 2)


def all_ports() -> range:
    """Port numbers 1..4."""
    return range(1, N_PORTS + 1)
