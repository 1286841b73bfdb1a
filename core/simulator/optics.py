"""A seed and an IFU become 48 slices on the detector and their dispersion.

The design is written in the coordinates of the full 4096 x 4112 image; a smaller detector is its central cut-out,
so that slopes and dispersion stay those of MUSE. Public coordinates are 1-based FITS pixels of the trimmed image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from core.ccd.geometry import Detector
from core.errors import ParameterError
from core.instruments.muse.facts import N_SLICES, PORT_NX, PORT_NY, SLIT_WIDTH_ANGSTROM
from core.simulator.seeds import stream

__all__ = ["EDGE_SIGMA", "OpticsTruth", "make_optics"]

FloatArray = NDArray[np.float64]

EDGE_SIGMA: Final = 1.6 / 2.3548200450309493
"""Width of the slice edges: the PSF has 1.6 pix FWHM [pix]."""

HALF_HEIGHT: Final = float(PORT_NY)
"""Unit of the scaled row coordinate t = (y - middle) / HALF_HEIGHT [pix]."""

_GROUP_WAVE: Final = (7165.0, 6845.0, 7005.0)  # slice number modulo 3 -> wavelength at the middle row [Angstrom]
_DISPERSION: Final = (1.2406, -1.10e-5, 1.5e-10)  # powers 1..3 of the row


@dataclass(frozen=True, eq=False)
class OpticsTruth:
    """Slices of one IFU. Arrays are indexed by slice - 1.

    Attributes
    ----------
    ifu : int
    y_middle : float
        Row of t = 0, the border between the lower and the upper ports [pix].
    left, right : ndarray of float64, shape (48, 4)
        Edges of the slices: polynomial in t, ascending powers [pix].
    x_middle : ndarray of float64, shape (48,)
        Centre of each slice at t = 0; origin of the wavelength polynomial [pix].
    wave : ndarray of float64, shape (48, 4)
        Wavelength along x = x_middle: polynomial in y - y_middle, ascending powers [Angstrom].
    tilt : ndarray of float64, shape (48, 2)
        Slope along x: polynomial in t [Angstrom/pix].
    curvature : ndarray of float64, shape (48,)
        Quadratic term along x [Angstrom/pix**2].
    lsf_sigma : ndarray of float64, shape (48, 3)
        Width of the Gaussian that the slit image is convolved with: polynomial in (wave - 7000) / 1000 [Angstrom].
    throughput : ndarray of float64, shape (48,)
        Relative brightness of the slices.
    slit : ndarray of float64, shape (48, 2)
        Linear and quadratic illumination along the slice, in units of the slice width from its centre.
    """

    ifu: int
    y_middle: float
    left: FloatArray
    right: FloatArray
    x_middle: FloatArray
    wave: FloatArray
    tilt: FloatArray
    curvature: FloatArray
    lsf_sigma: FloatArray
    throughput: FloatArray
    slit: FloatArray

    def _t(self, y: ArrayLike) -> FloatArray:
        return (np.asarray(y, np.float64) - self.y_middle) / HALF_HEIGHT

    def trace_left(self, slice_no: int, y: ArrayLike) -> FloatArray:
        """Left edge (half intensity) of a slice at rows ``y`` [pix]."""
        return np.polynomial.polynomial.polyval(self._t(y), self.left[_row(slice_no)])

    def trace_right(self, slice_no: int, y: ArrayLike) -> FloatArray:
        """Right edge (half intensity) of a slice at rows ``y`` [pix]."""
        return np.polynomial.polynomial.polyval(self._t(y), self.right[_row(slice_no)])

    def trace_center(self, slice_no: int, y: ArrayLike) -> FloatArray:
        """Middle between the edges of a slice at rows ``y`` [pix]."""
        return 0.5 * (self.trace_left(slice_no, y) + self.trace_right(slice_no, y))

    def wavelength(self, slice_no: int, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """Wavelength at pixel coordinates ``x``, ``y`` (broadcast) of a slice [Angstrom, air].

        A pixel (i, j) holds the light between rows j - 0.5 and j + 0.5.
        """
        row = _row(slice_no)
        dx = np.asarray(x, np.float64) - self.x_middle[row]
        dy = np.asarray(y, np.float64) - self.y_middle
        slope = self.tilt[row, 0] + self.tilt[row, 1] * dy / HALF_HEIGHT
        along = np.polynomial.polynomial.polyval(dy, self.wave[row])
        return along + slope * dx + self.curvature[row] * dx**2

    def line_profile_sigma(self, slice_no: int, wave: ArrayLike) -> FloatArray:
        """Gaussian width of the LSF [Angstrom]; the LSF is this Gaussian convolved with the 2.61 Angstrom slit."""
        return np.polynomial.polynomial.polyval(
            (np.asarray(wave, np.float64) - 7000.0) / 1000.0, self.lsf_sigma[_row(slice_no)]
        )

    def line_profile(self, slice_no: int, wave: ArrayLike, offset: ArrayLike) -> FloatArray:
        """LSF of a line at a wavelength, ``offset`` from it [1/Angstrom]; both [Angstrom] and broadcast."""
        sigma, half = self.line_profile_sigma(slice_no, wave), 0.5 * self.slit_width
        u = np.asarray(offset, np.float64)
        return np.asarray((ndtr((u + half) / sigma) - ndtr((u - half) / sigma)) / (2.0 * half), np.float64)

    @property
    def slit_width(self) -> float:
        """Width of the slit image [Angstrom]."""
        return SLIT_WIDTH_ANGSTROM


def _row(slice_no: int) -> int:
    if not 1 <= slice_no <= N_SLICES:
        raise ParameterError(f"slice {slice_no} does not exist; an IFU has 1..{N_SLICES}", parameter="slice")
    return slice_no - 1


def make_optics(ifu: int, seed: int, detector: Detector | None = None) -> OpticsTruth:
    """Slices of an IFU.

    Parameters
    ----------
    ifu : int
        1..24.
    seed : int
    detector : Detector, optional
        Geometry; full size by default.

    Returns
    -------
    OpticsTruth
    """
    det = detector or Detector()
    rng = stream(seed, "optics", ifu)
    place = (np.arange(N_SLICES) - 23.5) / 23.5  # -1 .. +1 from the first to the last slice
    width = 74.95 + 4.3 * place**2 + rng.normal(0.0, 0.07, N_SLICES)
    gap = np.clip(rng.normal(7.25, 0.5, N_SLICES - 1), 5.9, 8.5)
    left0 = np.concatenate(([0.0], np.cumsum(width[:-1] + gap)))
    left0 += rng.uniform(66.0, 86.0) - 0.5 * width[0]
    edges = np.stack((left0, left0 + width))  # (2, 48), at the middle row

    field = (edges - 2048.5) / 1966.0
    shift, bow = rng.normal(0.9, 0.25), rng.normal(0.4, 0.25)
    scale = rng.normal((0.55, 2.8, 0.9), (0.2, 0.4, 0.25))
    polynomial = np.empty((2, N_SLICES, 4))
    polynomial[..., 0] = edges - (PORT_NX - det.nx)  # the cut-out of a small detector
    polynomial[..., 1] = shift + field * scale[0]
    polynomial[..., 2] = bow + field * scale[1]
    polynomial[..., 3] = field * scale[2]
    x_middle = polynomial[..., 0].mean(axis=0)

    number = np.arange(1, N_SLICES + 1)
    middle = np.array(_GROUP_WAVE)[number % 3] + rng.normal(0.0, 9.0, N_SLICES) + rng.normal(0.0, 5.0)
    wave = np.empty((N_SLICES, 4))
    wave[:, 0] = middle
    wave[:, 1] = _DISPERSION[0] + rng.normal(0.0, 8e-4, N_SLICES)
    wave[:, 2] = _DISPERSION[1] * (1.0 + rng.normal(0.0, 0.01, N_SLICES))
    wave[:, 3] = _DISPERSION[2]
    # left edge minus right edge, larger in the outer two stacks
    reach = np.where(np.abs(place) > 0.5, 1.0, 0.75)
    bottom = 4.6 * place * reach + rng.normal(0.0, 0.12, N_SLICES)
    top = 3.3 * place * reach + rng.normal(0.0, 0.08, N_SLICES)
    tilt = np.stack((-0.5 * (top + bottom) / width, -0.5 * (top - bottom) / width), axis=1)

    lsf_sigma = np.empty((N_SLICES, 3))
    lsf_sigma[:, 0] = 0.48 + 0.04 * place + rng.normal(0.0, 0.02, N_SLICES)
    lsf_sigma[:, 1] = rng.normal(-0.008, 0.004, N_SLICES)
    lsf_sigma[:, 2] = rng.normal(0.008, 0.002, N_SLICES)
    return OpticsTruth(
        ifu=ifu,
        y_middle=det.ny + 0.5,
        left=polynomial[0],
        right=polynomial[1],
        x_middle=x_middle,
        wave=wave,
        tilt=tilt,
        curvature=rng.normal(4e-5, 2e-5, N_SLICES),
        lsf_sigma=lsf_sigma,
        throughput=np.clip(rng.normal(1.0, 0.07, N_SLICES), 0.78, 1.14) * rng.normal(1.0, 0.02),
        slit=np.stack((rng.normal(0.0, 0.03, N_SLICES), rng.normal(-0.04, 0.04, N_SLICES)), axis=1),
    )
