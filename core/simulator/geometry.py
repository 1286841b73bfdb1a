"""A seed becomes the places of all 24 x 48 slices in the field of view.

Coordinates are those of a GEOMETRY_TABLE: x to the right, y up, in units of 0.2 arcsec, before any rotation of the
sky; the origin is the middle between the two central stacks at SliceSky 24 of IFU 12. Inside a slice the CCD is
mirrored: the left edge on the detector is the right end in the field.

Four slices of an IFU that lie side by side are cut from one strip of the field, so that the middle of the gap
between the central two is the same for all rows of the IFU: that is what lets x be measured from the gaps alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.instruments.muse.facts import FIELD_SLICES, N_IFU, N_SLICES, N_SLICES_PER_STACK, SLICE_SKY, SPAXEL_WFM
from core.simulator.seeds import stream

__all__ = ["LAMP_TEMPERATURE", "SLICE_PITCH", "FieldGeometry", "make_geometry"]

F64 = NDArray[np.float64]

SLICE_PITCH: Final = 60.0 / FIELD_SLICES / SPAXEL_WFM[1]
"""Height of a slice in the field [0.2 arcsec]."""

LAMP_TEMPERATURE: Final = 11.5
"""Ambient temperature at which lamp flats show the slices as they are [Celsius]."""

_HALF_FIELD: Final = 150.0
_REFERENCE_IFU: Final = 12
_REFERENCE_SKY: Final = 24
_WIDTH: Final = 75.25  # three pinholes of the mask wide, so that each slice always holds three


@dataclass(frozen=True, eq=False)
class FieldGeometry:
    """Slices in the field of view; arrays of shape (24, 48) are indexed by IFU - 1 and slice on the CCD - 1.

    Attributes
    ----------
    x, y : ndarray of float64
        Centre of the slice [0.2 arcsec].
    angle : ndarray of float64
        Rotation of the slice, counter-clockwise [deg].
    width : ndarray of float64
        Width between the edges at half intensity [0.2 arcsec].
    temperature : ndarray of float64
        Change of the slice's brightness with the ambient temperature, relative to the lamp flats [1/K].
    response : ndarray of float64, shape (24,)
        Brightness of the IFUs on the sky, relative to that in the lamp flats.
    shading : ndarray of float64, shape (5,)
        Brightness over the field on the sky, relative to the lamp flats: 1 + a x + b y + c x2 + d xy + e y2, x and y
        in units of 150.
    plate : ndarray of float64, shape (2, 2)
        Offsets on the sky to the east and north [arcsec] for a step along x and y, at position angle 0.
    axis : ndarray of float64, shape (2,)
        What turns round in the field when the derotator moves: the place of the telescope's coordinates.
    """

    x: F64
    y: F64
    angle: F64
    width: F64
    temperature: F64
    response: F64
    shading: F64
    plate: F64
    axis: F64

    def place(self, ifu: int, slice_no: int, along: F64, across: F64 | float = 0.0) -> tuple[F64, F64]:
        """Positions in the field of view.

        Parameters
        ----------
        ifu, slice_no : int
            1..24, and 1..48 on the CCD.
        along : ndarray of float64
            Place on the CCD in units of the width of the slice from its middle, to the right.
        across : ndarray of float64 or float
            Distance from the middle line of the slice, up in the field [0.2 arcsec].

        Returns
        -------
        x, y : ndarray of float64
            [0.2 arcsec]
        """
        k = (ifu - 1, slice_no - 1)
        angle = np.deg2rad(self.angle[k])
        d = -along * self.width[k]
        return (
            self.x[k] + d * np.cos(angle) - across * np.sin(angle),
            self.y[k] + d * np.sin(angle) + across * np.cos(angle),
        )

    def illumination(self, ifu: int, temperature: float) -> F64:
        """Brightness of the 48 slices of an IFU at an ambient temperature [Celsius], relative to the lamp flats."""
        return 1.0 + self.temperature[ifu - 1] * (temperature - LAMP_TEMPERATURE)

    def sky_response(self, ifu: int, x: F64, y: F64) -> F64:
        """Brightness of an even sky at places seen by an IFU, relative to that of the lamp flats."""
        u, v = x / _HALF_FIELD, y / _HALF_FIELD
        a, b, c, d, e = self.shading
        return np.asarray(self.response[ifu - 1] * (1.0 + a * u + b * v + c * u**2 + d * u * v + e * v**2))

    def table(self) -> dict[str, NDArray[np.float64] | NDArray[np.int32]]:
        """Columns of the GEOMETRY_TABLE that tells the truth: 1152 rows, by IFU and slice on the sky."""
        ifu = np.repeat(np.arange(N_IFU), N_SLICES)
        ccd = np.tile(np.argsort(SLICE_SKY), N_IFU)
        columns: dict[str, NDArray[np.float64] | NDArray[np.int32]] = {
            "SubField": (ifu + 1).astype(np.int32),
            "SliceCCD": (ccd + 1).astype(np.int32),
            "SliceSky": np.take(SLICE_SKY, ccd).astype(np.int32),
        }
        for name in ("x", "y", "angle", "width"):
            values: F64 = getattr(self, name)
            columns[name] = values[ifu, ccd]
            columns[f"{name}err"] = np.full(len(ifu), 1e-3)
        return columns


def make_geometry(seed: int) -> FieldGeometry:
    """Slices of all IFUs."""
    rng = stream(seed, "geometry")
    stacks = N_SLICES // N_SLICES_PER_STACK
    # Arrays (IFU, stack, row): stack 0 (SliceSky 1..12) lies to the left, row 0 at the bottom.
    shape = (N_IFU, stacks, N_SLICES_PER_STACK)
    ramp = np.linspace(-1.0, 1.0, N_SLICES_PER_STACK)

    def scatter(of_ifu: float, of_stack: float, trend: float, of_slice: float) -> F64:
        """Deviations that IFUs, stacks and slices have, and a slope within the stacks."""
        return (
            rng.normal(0.0, of_ifu, (N_IFU, 1, 1))
            + rng.normal(0.0, of_stack, (N_IFU, stacks, 1))
            + rng.normal(0.0, trend, (N_IFU, stacks, 1)) * ramp
            + rng.normal(0.0, of_slice, shape)
        )

    width = _WIDTH + scatter(0.08, 0.10, 0.05, 0.03)
    central = np.clip(0.04 + scatter(0.0, 0.0, 0.0, 0.008), 0.01, None)[:, 0]
    outer = np.clip(0.07 + scatter(0.0, 0.005, 0.0, 0.008), 0.01, None)
    shift = np.clip(rng.normal(0.0, 0.7, (N_IFU, 1)), -1.8, 1.8)
    shift -= shift[_REFERENCE_IFU - 1]
    x = np.empty(shape)
    x[:, 1] = shift - 0.5 * (central + width[:, 1])
    x[:, 2] = shift + 0.5 * (central + width[:, 2])
    x[:, 0] = x[:, 1] - 0.5 * (width[:, 1] + width[:, 0]) - outer[:, 0]
    x[:, 3] = x[:, 2] + 0.5 * (width[:, 2] + width[:, 3]) + outer[:, 3]

    pitch = SLICE_PITCH * (1.0 + scatter(0.0, 0.001, 0.0, 0.0))
    rows = np.arange(N_SLICES_PER_STACK) - 0.5 * (N_SLICES_PER_STACK - 1)
    middle = (np.arange(N_IFU).reshape(-1, 1, 1) - (_REFERENCE_IFU - 1)) * N_SLICES_PER_STACK * SLICE_PITCH
    y = middle + rows * pitch + scatter(0.008, 0.01, 0.0, 0.008)
    # The origin: the reference slice is the top row of its stack, second from the left.
    y -= y[_REFERENCE_IFU - 1, (_REFERENCE_SKY - 1) // N_SLICES_PER_STACK, (_REFERENCE_SKY - 1) % N_SLICES_PER_STACK]
    angle = np.clip(scatter(0.2, 0.08, 0.01, 0.008), -1.2, 1.2)

    sky = np.array(SLICE_SKY) - 1

    def on_ccd(values: F64) -> F64:
        return values.reshape(N_IFU, N_SLICES)[:, sky]

    return FieldGeometry(
        x=on_ccd(x),
        y=on_ccd(y),
        angle=on_ccd(angle),
        width=on_ccd(width),
        temperature=rng.normal(0.0, 0.003, (N_IFU, N_SLICES)),
        response=np.clip(rng.normal(1.0, 0.015, N_IFU), 0.95, 1.05),
        shading=rng.normal(0.0, (0.008, 0.008, 0.012, 0.006, 0.012)),
        # scales and skew as measured on the sky
        plate=np.array([[-0.1988, -0.0020], [0.0010, 0.1990]]) + rng.normal(0.0, 2e-4, (2, 2)),
        axis=np.array([0.0, -0.7]) + rng.normal(0.0, 0.05, 2),
    )
