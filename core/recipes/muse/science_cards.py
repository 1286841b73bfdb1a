"""Keywords of ESO's science data products (``sdpCube``; Science Data Products Standard, addendum on 3D data cubes).

What the archive asks of a cube is told from the headers of its exposures and measured on the cube.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from core.cubes.collapse import FieldImage
from core.cubes.depth import VarianceMode, limiting_magnitude
from core.cubes.projection import plane_to_sky
from core.cubes.wcs import CubeGrid
from core.errors import DataError, MissingKeywordError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, iter_keys
from core.formats.cube import CubePlanes
from core.formats.cube_forms import ARCHIVE_UNIT
from core.formats.dicd import PIPELINE
from core.onsky.resolution import (
    UNKNOWN_NARROW,
    UNKNOWN_WIDE,
    Sharpness,
    narrow_sharpness,
    resolving_power,
    wide_sharpness,
)
from core.recipes.logs import Logger
from core.recipes.muse.steps.pointing import is_narrow

__all__ = ["ANCILLARY", "CubeDepth", "check_times", "describe_science_product", "measure_depth"]

ANCILLARY: Final = "ANCILLARY.IMAGE"  # PRODCATG of the images that go with a cube
_FIELD: Final = {False: (60.0 / 0.2) ** 2, True: (7.43 / 0.025) ** 2}  # pixels of a nominal field; narrow or not
_SLAB: Final = 16  # planes read at a time
_SECONDS: Final = 86400.0
_FLUX_SCALE: Final = 1e-20
_NO_LIMIT: Final = -99.0
_UNKNOWN: Final = -1.0  # noise of a cube without variances


@dataclass(frozen=True, eq=False)
class CubeDepth:
    """What is measured on a cube.

    Attributes
    ----------
    variance : float
        The most frequent one of its voxels.
    image : ndarray of float32, shape (ny, nx)
        Mean of all planes.
    """

    variance: float
    image: npt.NDArray[np.float32]


def check_times(exposures: Sequence[Header]) -> None:
    """Look whether each exposure tells when it was taken, before hours are spent on its cube.

    Raises
    ------
    MissingKeywordError
        If one does not.
    """
    for exposure in exposures:
        for keyword in ("MJD-OBS", "EXPTIME"):
            get_key(exposure, keyword, float)


def measure_depth(cube: CubePlanes, grid: CubeGrid) -> CubeDepth:
    """Read a cube once, by slabs of planes."""
    nz = cube.shape[0]
    variances = VarianceMode(cube.read_part("STAT", nz // 2, nz // 2 + 1))
    image = FieldImage(grid.spectral, cube.shape)
    for z0 in range(0, nz, _SLAB):
        z1 = min(z0 + _SLAB, nz)
        variances.add(cube.read_part("STAT", z0, z1))
        image.add(z0, cube.read_part("DATA", z0, z1))
    return CubeDepth(variances.value, image.image())


def describe_science_product(
    header: Header,
    exposures: Sequence[Header],
    grid: CubeGrid,
    depth: CubeDepth,
    unit: str,
    images: Sequence[str],
    n_valid: int,
    log: Logger,
) -> None:
    """Write what the archive wants to know into the primary header of a cube.

    Parameters
    ----------
    header : Header
    exposures : sequence of Header
        Of the pixel tables of the exposures, in the order of time.
    grid : CubeGrid
    depth : CubeDepth
    unit : str
        Of the cube; not `ARCHIVE_UNIT` if its fluxes are not calibrated.
    images : sequence of str
        Names of the files of its images.
    n_valid : int
        Pixels of the field that have a value.
    log : logger

    Raises
    ------
    MissingKeywordError
        If an exposure has no time.
    """
    narrow = is_narrow(exposures[0])
    times = [get_key(exposure, "EXPTIME", float) for exposure in exposures]
    _describe_exposures(header, exposures, times, _FIELD[narrow] / max(n_valid, 1))
    _describe_place(header, grid)
    _describe_origin(header, exposures, images)
    low, high = grid.spectral.wave([0, grid.nz - 1]).tolist()
    sharpness = _sharpness(exposures, times)
    how = "measured" if sharpness.measured else "default"
    calibrated = unit == ARCHIVE_UNIT
    header["PRODCATG"] = ("SCIENCE.CUBE.IFS", "Data product category")
    header["PROCSOFT"] = (PIPELINE, "Data reduction software")
    header["OBSTECH"] = ("IFU", "Technique for observation")
    kind = "ABSOLUTE" if calibrated else "UNCALIBRATED"
    header["FLUXCAL"] = (kind, "Type of flux calibration (ABSOLUTE or UNCALIBRATED)")
    header["WAVELMIN"] = (low / 10, "[nm] Minimum wavelength")
    header["WAVELMAX"] = (high / 10, "[nm] Maximum wavelength")
    power = resolving_power((low + high) / 2, narrow=narrow)
    header["SPEC_RES"] = (power, "Spectral resolving power at central wavelength")
    header["SKY_RES"] = (sharpness.fwhm, f"[arcsec] FWHM effective spatial resolution ({how})")
    header["SKY_RERR"] = (sharpness.error, f"[arcsec] Error of SKY_RES ({how})")
    noise = math.sqrt(depth.variance) * (_FLUX_SCALE if calibrated else 1.0) if depth.variance > 0 else _UNKNOWN
    shown = "erg.s**(-1).cm**(-2).angstrom**(-1)" if calibrated else unit
    header["PIXNOISE"] = (noise, f"[{shown}] pixel-to-pixel noise")
    header["ABMAGLIM"] = (
        _limit(depth, sharpness, grid, (low, high), calibrated, log),
        "5-sigma magnitude limit for point sources",
    )
    header["REFERENC"] = ("", "Reference publication")


def _describe_exposures(header: Header, exposures: Sequence[Header], times: Sequence[float], coverage: float) -> None:
    total = sum(times)
    per_pixel = total if len(times) == 1 else total * coverage
    starts = [get_key(exposure, "MJD-OBS", float) for exposure in exposures]
    header["EXPTIME"] = (per_pixel, "[s] Total integration time per pixel")
    header["TEXPTIME"] = (total, "[s] Total integration time of all exposures")
    header["NCOMBINE"] = (len(times), "No. of combined raw science data files")
    header["MJD-OBS"] = (min(starts), "[d] Start of observations (days)")
    end = max(start + time / _SECONDS for start, time in zip(starts, times, strict=True))
    header["MJD-END"] = (end, "[d] End of observations (days)")


def _describe_place(header: Header, grid: CubeGrid) -> None:
    """The middle of the field; the pointing stays where a cube has pixels only."""
    axes = grid.spatial
    if not axes.celestial:
        return
    dx, dy = grid.nx / 2 - axes.crpix[0], grid.ny / 2 - axes.crpix[1]
    (cd11, cd12), (cd21, cd22) = axes.cd
    ra, dec = (
        float(value)
        for value in plane_to_sky(np.float64(cd11 * dx + cd12 * dy), np.float64(cd21 * dx + cd22 * dy), axes.crval)
    )
    header["RA"] = ((ra + axes.crval[0]) % 360, "[deg] Image center (J2000)")
    header["DEC"] = (dec, "[deg] Image center (J2000)")


def _describe_origin(header: Header, exposures: Sequence[Header], images: Sequence[str]) -> None:
    numbers = sorted(
        {number for header in exposures if (number := get_key(header, "OBS.ID", int, default=None)) is not None}
    )
    for place, number in enumerate(numbers, 1):
        header[f"OBID{place}"] = (number, "Observation block ID")
    programmes = sorted({word for header in exposures if (word := get_key(header, "OBS.PROG.ID", str, default=""))})
    if programmes:
        header["PROG_ID"] = (programmes[0] if len(programmes) == 1 else "MULTI", "ESO programme identification")
    if len(programmes) > 1:
        for place, word in enumerate(programmes, 1):
            header[f"PROGID{place}"] = (word, "ESO programme identification")
    for place, name in enumerate(_originals(exposures), 1):
        header[f"PROV{place}"] = (name, "Original science file")
    for place, name in enumerate(images, 1):
        header[f"ASSON{place}"] = (name, "Associated file")


def _originals(exposures: Iterable[Header]) -> list[str]:
    """Names of the raw frames, each once."""
    found: dict[str, None] = {}
    for exposure in exposures:
        told = (get_key(exposure, key, str, default="") for key in ("PRO.ANCESTOR", "ARCFILE", "ORIGFILE"))
        name = next((word for word in told if word), None)
        names = [name] if name else [str(value) for _, value in iter_keys(exposure, r"PRO\.REC1\.RAW\d+\.NAME")]
        found.update(dict.fromkeys(names))
    return list(found)


def _sharpness(exposures: Sequence[Header], times: Sequence[float]) -> Sharpness:
    if is_narrow(exposures[0]):
        strehls = [get_key(header, "DRS.MUSE.RTC.STREHL", float, default=None) for header in exposures]
        known = [value for value in strehls if value is not None]
        return narrow_sharpness(sum(known) / len(known)) if known else UNKNOWN_NARROW
    try:
        seeings = [get_key(header, "TEL.IA.FWHMLIN", float) for header in exposures]
        ends = [[get_key(header, f"TEL.AIRM.{end}", float) for end in ("START", "END")] for header in exposures]
    except MissingKeywordError:
        return UNKNOWN_WIDE
    if min(seeings) <= 0:
        return UNKNOWN_WIDE
    told = [
        get_key(header, f"TEL.AMBI.FWHM.{end}", float, default=0.0) for header in exposures for end in ("START", "END")
    ]
    return wide_sharpness(seeings, [sum(pair) / 2 for pair in ends], times, [value for value in told if value > 0])


def _limit(
    depth: CubeDepth, sharpness: Sharpness, grid: CubeGrid, wave: tuple[float, float], calibrated: bool, log: Logger
) -> float:
    if not calibrated or not grid.spatial.celestial:
        log.warning("ABMAGLIM is %g: it needs fluxes, on the sky", _NO_LIMIT)
        return _NO_LIMIT
    try:
        return limiting_magnitude(depth.image, sharpness.fwhm / (3600 * max(grid.spatial.scales)), wave)
    except DataError as error:
        log.warning("ABMAGLIM is %g: %s", _NO_LIMIT, error)
        return _NO_LIMIT
