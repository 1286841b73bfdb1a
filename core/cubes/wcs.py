"""The grid of a cube: which place and which wavelength each voxel has, and how many voxels there are.

Pixels are counted from 1 as in FITS, planes and voxels of arrays from 0. A cube of a table in pixels has spaxels of the
field of view; a cube on the sky has north up and east to the left, unless an `OutputWcs` says otherwise.

Sources: MUSE manual 6.6, A.2; Greisen et al. 2006 (A&A 446, 747) for logarithmic axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.cubes.projection import Matrix, cd_scales, plane_to_sky, sky_to_plane_by_angles
from core.errors import DataError
from core.instruments.muse.facts import SAMPLING

__all__ = ["LOG_SAMPLING", "CubeGrid", "OutputWcs", "SpatialAxes", "Steps", "WaveAxis", "air_to_vacuum", "output_grid"]

LOG_SAMPLING: Final = SAMPLING / 1.6  # [Angstrom] step of a logarithmic axis at its first plane

Doubles = npt.NDArray[np.float64]
Limits = tuple[float, float]


@dataclass(frozen=True)
class SpatialAxes:
    """Axes 1 and 2 of a cube.

    Attributes
    ----------
    celestial : bool
        Whether they are right ascension and declination (TAN); if not, pixels.
    crval, crpix : pair of float
    cd : pair of pairs of float
        Degrees or pixels per pixel.
    """

    celestial: bool
    crval: tuple[float, float]
    crpix: tuple[float, float]
    cd: Matrix

    @property
    def scales(self) -> tuple[float, float]:
        """Sizes of a pixel, in degrees or pixels."""
        x, y = cd_scales(self.cd)
        return abs(x), abs(y)

    @property
    def inverse(self) -> Matrix:
        """Inverse of the CD matrix."""
        (a, b), (c, d) = self.cd
        determinant = a * d - b * c
        return (d / determinant, -b / determinant), (-c / determinant, a / determinant)

    @property
    def rotated(self) -> bool:
        """Whether the axes do not run along those of the positions."""
        return self.cd[0][1] != 0 or self.cd[1][0] != 0

    def centres(self, nx: int, y0: int, y1: int) -> tuple[Doubles, Doubles]:
        """Places of the centres of the pixels of rows ``y0`` (from 0) up to but not including ``y1``.

        Returns
        -------
        x, y : ndarray of float64, shape (y1 - y0, nx)
            In pixels; or in degrees, the right ascension less ``crval[0]`` so that it has no seam, and the declination.
        """
        dx = np.arange(1, nx + 1) - self.crpix[0]
        dy = (np.arange(y0 + 1, y1 + 1) - self.crpix[1])[:, None]
        (cd11, cd12), (cd21, cd22) = self.cd
        x, y = cd11 * dx + cd12 * dy, cd21 * dx + cd22 * dy
        if self.celestial:
            return plane_to_sky(x, y, self.crval)
        return x + self.crval[0], y + self.crval[1]


@dataclass(frozen=True)
class WaveAxis:
    """Axis 3 of a cube.

    Attributes
    ----------
    crval : float
        Wavelength at pixel ``crpix`` [Angstrom].
    crpix : float
    cd : float
        Step [Angstrom]; of a logarithmic axis that at ``crpix``.
    log : bool
        Whether steps grow with the wavelength.
    vacuum : bool
        Whether wavelengths are those in vacuum.
    """

    crval: float
    crpix: float
    cd: float
    log: bool = False
    vacuum: bool = False

    @property
    def ctype(self) -> str:
        """``AWAV``, ``AWAV-LOG``, ``WAVE`` or ``WAVE-LOG``."""
        return ("WAVE" if self.vacuum else "AWAV") + ("-LOG" if self.log else "")

    def wave(self, plane: npt.ArrayLike) -> Doubles:
        """Wavelengths [Angstrom] of planes, counted from 0; fractions of a plane are welcome."""
        steps = np.asarray(plane, np.float64) + 1 - self.crpix
        if self.log:
            return np.asarray(self.crval * np.exp(steps * self.cd / self.crval))
        return np.asarray(self.crval + steps * self.cd)

    def reach(self, z0: int, z1: int, margin: int) -> Limits:
        """Range of the wavelengths in air of planes ``z0`` up to but not including ``z1`` and ``margin`` more on each
        side [Angstrom], a little wide: pixels outside have no influence."""
        low, high = self.wave([z0 - margin - 0.5, z1 + margin - 0.5]).tolist()
        if self.vacuum:
            low, high = low / _index(low), high / _index(high)
        width = 0.01 * (high - low) / (z1 - z0 + 2 * margin)
        return low - width, high + width


@dataclass(frozen=True)
class CubeGrid:
    """All three axes of a cube, and their lengths."""

    nx: int
    ny: int
    nz: int
    spatial: SpatialAxes
    spectral: WaveAxis

    def __post_init__(self) -> None:
        if min(self.nx, self.ny, self.nz) < 1:
            raise DataError(f"a cube of {self.nx} x {self.ny} x {self.nz} voxels is none")

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(nz, ny, nx)``."""
        return self.nz, self.ny, self.nx


@dataclass(frozen=True)
class OutputWcs:
    """What a user wants a grid to be (OUTPUT_WCS); None and 0 leave it as the data have it.

    Attributes
    ----------
    naxis : tuple of int
        Lengths of the three axes.
    crval, crpix : pair of float, optional
        Of axes 1 and 2. A reference value without its pixel has pixel 0.
    cd : pair of pairs of float, optional
        [deg/pix]; not used if it is singular.
    wave : WaveAxis, optional
        Axis 3.
    """

    naxis: tuple[int, int, int] = (0, 0, 0)
    crval: tuple[float, float] | None = None
    crpix: tuple[float, float] | None = None
    cd: Matrix | None = None
    wave: WaveAxis | None = None


@dataclass(frozen=True)
class Steps:
    """Sampling of a cube: sizes of a pixel [pix, or deg on the sky] and a plane [Angstrom; None: the natural one]."""

    x: float
    y: float
    wave: float | None = None


def output_grid(
    x: Limits,
    y: Limits,
    wave: Limits,
    steps: Steps,
    *,
    centre: tuple[float, float] | None = None,
    output: OutputWcs | None = None,
) -> CubeGrid:
    """The grid that holds pixels of a table.

    Parameters
    ----------
    x, y : pair of float
        Lowest and highest position: in pixels, or right ascension and declination [deg].
    wave : pair of float
        Lowest and highest wavelength [Angstrom].
    steps : Steps
    centre : pair of float, optional
        Reference point on the sky [deg]; without it positions are in pixels.
    output : OutputWcs, optional
        What is wanted otherwise. It needs positions on the sky, as to axes 1 and 2.

    Returns
    -------
    CubeGrid

    Raises
    ------
    DataError
        If the limits are no numbers or there is no voxel.
    """
    x, y, wave = ((float(low), float(high)) for low, high in (x, y, wave))
    if not np.isfinite([*x, *y, *wave]).all():
        raise DataError(f"positions from {x} to {y} and wavelengths {wave} make no grid")
    output = output or OutputWcs()
    spatial, nx, ny = _field(x, y, steps, centre)
    spectral, nz = _spectrum(wave, steps.wave, output.wave)
    if spatial.celestial:
        spatial = _as_wanted(spatial, output)
    nx, ny, nz = (wanted if wanted > 0 else own for wanted, own in zip(output.naxis, (nx, ny, nz), strict=True))
    return CubeGrid(nx, ny, nz, spatial, spectral)


def _field(x: Limits, y: Limits, steps: Steps, centre: tuple[float, float] | None) -> tuple[SpatialAxes, int, int]:
    if centre is None:
        axes = SpatialAxes(False, (x[0], y[0]), (1.0, 1.0), ((steps.x, 0.0), (0.0, steps.y)))
        corners = np.array([x, y])
    else:
        axes = SpatialAxes(True, centre, (1.0, 1.0), ((-steps.x, 0.0), (0.0, steps.y)))
        corners = np.array(sky_to_plane_by_angles(x, y, centre))  # any place will do, so the same as the reference's
    pixels = corners / np.array([[axes.cd[0][0]], [axes.cd[1][1]]])
    nx, ny = (math.floor(abs(ends[1] - ends[0]) + 0.5) + 1 for ends in pixels.tolist())
    if centre is not None:
        first = pixels.min(axis=1).tolist()
        axes = SpatialAxes(True, centre, (1 - first[0], 1 - first[1]), axes.cd)
    return axes, nx, ny


def _spectrum(wave: Limits, step: float | None, wanted: WaveAxis | None) -> tuple[WaveAxis, int]:
    log, vacuum = (wanted.log, wanted.vacuum) if wanted is not None else (False, False)
    low, high = (float(air_to_vacuum(np.float32(limit))) for limit in wave) if vacuum else wave
    step = step or (LOG_SAMPLING if log else SAMPLING)
    planes = low / step * math.log(high / low) if log else (high - low) / step
    return wanted or WaveAxis(low, 1.0, step), math.ceil(planes) + 1


def _as_wanted(axes: SpatialAxes, output: OutputWcs) -> SpatialAxes:
    crpix = output.crpix or ((0.0, 0.0) if output.crval is not None else axes.crpix)
    cd = output.cd
    if cd is None or cd[0][0] * cd[1][1] - cd[0][1] * cd[1][0] == 0:
        cd = axes.cd
    return SpatialAxes(True, output.crval or axes.crval, crpix, cd)


def air_to_vacuum(wave: npt.ArrayLike) -> npt.NDArray[Any]:
    """Wavelengths in vacuum of wavelengths in air of 15 degrees, 101325 Pa, without water [Angstrom].

    The refractive index is that of Ciddor 1996 (Appl. Opt. 35, 1566). It is taken at the wavelength in air, as in the
    reference pipeline, which costs 3e-5 Angstrom. float32 stays float32.
    """
    air = np.asarray(wave)
    return np.asarray(air * _index(air.astype(np.float64))).astype(air.dtype)


def _index(wave: Any) -> Any:
    """Refractive index of standard air, 450 ppm of carbon dioxide [Ciddor 1996, equation 1]."""
    squared = (1e4 / wave) ** 2  # [1/micron^2]
    return 1 + 1e-8 * (5792105.0 / (238.0185 - squared) + 167917.0 / (57.362 - squared))
