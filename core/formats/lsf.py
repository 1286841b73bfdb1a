"""LSF_PROFILE files: a cube of line-spread functions, or a table of Gauss-Hermite parameters.

Both are products of one IFU, or merged with extensions ``CHANnn.LSF_PROFILE`` and ``CHANnn.SLICE_PARAM`` (MUSE manual,
appendix on file formats; behaviour of the reference pipeline, whose consumers look for the cube first).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import BadFitsError, MissingInputError
from core.fitsfile.dataunit import map_image, scaling
from core.fitsfile.header import Header
from core.fitsfile.keywords import merged_header
from core.fitsfile.scan import FitsScan, HduScan, scan_fits
from core.formats.tables import Column, MuseTable, TableFormat, read_table
from core.instruments.muse.facts import N_SLICES, chip_name, ifu_of_extname
from core.spectral.lsf_cube import LsfImage
from core.spectral.lsf_hermite import HermiteLsf, hermites_of_columns

__all__ = ["LSF_PROFILE", "SLICE_PARAM", "LsfCube", "read_lsf", "read_lsf_profile"]

LSF_PROFILE: Final = "LSF_PROFILE"

SLICE_PARAM: Final = TableFormat(
    LSF_PROFILE,
    (
        Column("ifu", "J", "", "IFU number"),
        Column("slice", "J", "", "slice number on the CCD"),
        Column("sensitivity", "1D", "", "detector sensitivity, relative"),
        Column("offset", "D", "", "wavelength calibration offset"),
        Column("refraction", "D", "", "relative refraction ratio"),
        Column("slit_width", "D", "Angstrom", "slit width"),
        Column("bin_width", "D", "Angstrom", "bin width"),
        Column("lsf_width", "3D", "Angstrom", "LSF Gauss-Hermitean width"),
        Column("hermit3", "2D", "", "3rd order Hermitean coefficient"),
        Column("hermit4", "2D", "", "4th order Hermitean coefficient"),
        Column("hermit5", "2D", "", "5th order Hermitean coefficient"),
        Column("hermit6", "2D", "", "6th order Hermitean coefficient"),
    ),
    "Gauss-Hermite parameters of the line-spread function of each slice",
)


@dataclass(frozen=True, eq=False)
class LsfCube:
    """Line-spread functions of the 48 slices of an IFU as images.

    Attributes
    ----------
    data : ndarray of float32 (48, n_wave, n_x)
        Density [1/Angstrom]; the plane of a slice without line-spread function is zero.
    first_x, step_x : float
        Distance from the line of the first column, and step [Angstrom].
    first_wave, step_wave : float
        Wavelength of the first row, and step [Angstrom].
    header : Header
        Primary header merged with that of the extension; empty if the cube is to be written.
    """

    data: NDArray[np.float32]
    first_x: float
    step_x: float
    first_wave: float
    step_wave: float
    header: Header

    def wcs(self) -> Header:
        """Cards of the two linear axes; slices have none."""
        cards = Header()
        cards["WCSAXES"] = 2
        cards["CD1_1"], cards["CD1_2"], cards["CD2_1"], cards["CD2_2"] = self.step_x, 0.0, 0.0, self.step_wave
        cards["CRPIX1"], cards["CRPIX2"] = 1.0, 1.0
        cards["CRVAL1"], cards["CRVAL2"] = self.first_x, self.first_wave
        cards["CTYPE1"], cards["CTYPE2"] = "PARAM", "AWAV"
        cards["CUNIT1"], cards["CUNIT2"] = "Angstrom", "Angstrom"
        return cards


def read_lsf(path: str | os.PathLike[str], ifu: int) -> dict[int, LsfImage] | dict[int, HermiteLsf]:
    """Line-spread functions of an IFU from an LSF_PROFILE of either format, ours or the reference's.

    Parameters
    ----------
    path : path-like
        Single or merged file.
    ifu : int

    Returns
    -------
    dict
        By slice number on the CCD; slices without line-spread function are left out. Each is called with distances
        from a line and the wavelength of the line [Angstrom].

    Raises
    ------
    MissingInputError
        If the file holds no profile of that IFU.
    BadFitsError
        If the profile is not of its format.
    """
    found = read_lsf_profile(path, ifu)
    if isinstance(found, LsfCube):
        return {
            number: LsfImage(plane.astype(np.float64), found.first_x, found.step_x, found.first_wave, found.step_wave)
            for number, plane in enumerate(found.data, start=1)
            if plane.any()
        }
    return hermites_of_columns(found, ifu)


def read_lsf_profile(path: str | os.PathLike[str], ifu: int) -> LsfCube | MuseTable:
    """Read the LSF_PROFILE of an IFU in whichever format it is.

    Parameters
    ----------
    path : path-like
        Single or merged file.
    ifu : int

    Returns
    -------
    LsfCube or MuseTable
        A table has the columns of `SLICE_PARAM`.

    Raises
    ------
    MissingInputError
        If the file holds no profile of that IFU.
    BadFitsError
        If the profile is not of its format, or the file cannot be read.
    """
    path = Path(path)
    merged = f"{chip_name(ifu)}.{LSF_PROFILE}"
    try:
        scan = scan_fits(path)
        cube = next((hdu for hdu in scan.hdus if hdu.extname in (LSF_PROFILE, merged)), None)
        if cube is not None:
            found = ifu_of_extname(str(scan.primary.get("EXTNAME", "")))
            if cube.extname == LSF_PROFILE and found not in (None, ifu):
                raise MissingInputError(f"the file is of IFU {found}, not {ifu}", file=path, ifu=ifu)
            return _cube_of(cube, scan)
        others = [hdu.extname for hdu in scan.hdus if hdu.extname.endswith(f".{LSF_PROFILE}")]
    except OSError as error:
        raise BadFitsError(f"cannot be read as FITS: {error}", file=path) from error
    if others:
        raise MissingInputError(f"the file has no {merged} (but {', '.join(others)})", file=path, ifu=ifu)
    table = read_table(path, SLICE_PARAM, ifu)
    for column in SLICE_PARAM.columns:
        cells = table[column.name].reshape(table.n_rows, -1)
        if cells.shape[1] != column.repeat:
            raise BadFitsError(
                f"cells of {column.name} have {cells.shape[1]} elements, not {column.repeat}",
                file=path,
                keyword=column.name,
            )
    return table


def _cube_of(hdu: HduScan, scan: FitsScan) -> LsfCube:
    header, path = hdu.header, scan.path
    if hdu.kind == "compressed":
        raise BadFitsError(f"extension {hdu.extname} is tile-compressed, which is not read here", file=path)
    if hdu.kind != "image" or len(hdu.shape) != 3 or hdu.shape[0] != N_SLICES:
        raise BadFitsError(f"extension {hdu.extname} is no image of the shape (48, n, n), but {hdu.shape}", file=path)
    if scan.truncated:
        raise BadFitsError(f"the file is cut inside extension {hdu.extname}", file=path)
    axes = []
    for axis in (1, 2):
        keys = f"CRVAL{axis}", f"CRPIX{axis}", f"CD{axis}_{axis}"
        values = []
        for key in keys:
            value = header.get(key)
            if not isinstance(value, int | float):
                raise BadFitsError(f"extension {hdu.extname} has no number {key}", file=path, keyword=key)
            values.append(float(value))
        reference, pixel, step = values
        if step <= 0:
            raise BadFitsError(f"extension {hdu.extname} has {keys[2]} = {step}", file=path, keyword=keys[2])
        axes.append((reference + (1.0 - pixel) * step, step))
    zero, scale = scaling(path, header)
    data = np.ascontiguousarray(map_image(path, hdu) * scale + zero, dtype=np.float32)
    return LsfCube(data, *axes[0], *axes[1], header=merged_header(scan.primary, header))
