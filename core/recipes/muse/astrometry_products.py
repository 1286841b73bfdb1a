"""Products of muse_astrometry: the solution with its stars, and the image in which they were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.cubes.wcs import CubeGrid
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key, set_key
from core.formats.image import image_extension_header
from core.formats.onsky_tables import ASTROMETRY_SOURCES
from core.formats.pixtable_read import PixelTable
from core.formats.tables import MuseTable
from core.recipes.flow import TableProduct
from core.recipes.frames import Frame
from core.recipes.muse.astrometry_flow import FieldSolution
from core.recipes.muse.cubes import FilledCube, cube_header, wcs_header

__all__ = ["CUBE", "QC", "WCS", "AstrometryProducts"]

CUBE: Final = "DATACUBE_ASTROMETRY"
WCS: Final = "ASTROMETRY_WCS"
QC: Final = "QC.ASTRO"
_DETECTION: Final = "ASTROMETRY_DETECTION"
_DRS: Final = "DRS.MUSE.WCS"


@dataclass(frozen=True)
class AstrometryProducts:
    """Makes the products of an exposure.

    Attributes
    ----------
    table : PixelTable
    grid : CubeGrid
        Of the image.
    found : FieldSolution
    raws, calibs : sequence of Frame
    number : int
        Of the exposure.
    """

    table: PixelTable
    grid: CubeGrid
    found: FieldSolution
    raws: Sequence[Frame]
    calibs: Sequence[Frame]
    number: int

    def solution(self) -> TableProduct:
        """The solution in the primary header, the stars in a table."""
        header = cube_header(self.table.header)
        del_keys(header, r"QC\.")
        header["OBJECT"] = f"Astrometric calibration ({get_key(header, 'OBJECT', str, default='')})"
        header.extend(self._wcs(self.found.plate.crpix).cards)
        self._describe(header)
        columns = tuple(
            replace(column, unit=self.table.units["data"]) if column.name == "FLUX" else column
            for column in ASTROMETRY_SOURCES.columns
        )
        fmt = replace(ASTROMETRY_SOURCES, columns=columns)
        return TableProduct(
            WCS, fmt, MuseTable(self._stars(), header), self.raws, self.calibs, self.number, ASTROMETRY_SOURCES.name
        )

    def with_detection(
        self, cube: FilledCube, data: npt.NDArray[np.float32], stat: npt.NDArray[np.float32]
    ) -> FilledCube:
        """The cube with the image of the stars, its variance, and the solution in their headers."""
        name, unit = get_key(cube.header, "OBJECT", str, default=""), self.table.units["data"]
        images = []
        for part, pixels in (("DATA", data), ("STAT", stat)):
            header = image_extension_header(part, unit, parts=("DATA", "STAT"))
            for key, target in (("SCIDATA", _DETECTION), ("ERRDATA", f"{_DETECTION}_STAT")):
                if key in header:
                    header[key] = target
            what = _DETECTION if part == "DATA" else f"{_DETECTION}_STAT"
            header["EXTNAME"] = (what, "reconstructed image " + ("(data values)" if part == "DATA" else "(variance)"))
            header["OBJECT"] = f"{name} ({_DETECTION}" + (")" if part == "DATA" else ", STAT)")
            header.extend(wcs_header(self.grid, axes=2).cards)
            crpix, middle = self.found.plate.crpix, self.found.middle
            header.extend(self._wcs((crpix[0] + middle[0], crpix[1] + middle[1]), "S").cards)
            images.append((header, pixels))
        return replace(cube, images=(*cube.images, *images))

    def _wcs(self, crpix: tuple[float, float], suffix: str = "") -> Header:
        plate, header = self.found.plate, Header()

        def put(key: str, value: Any, comment: str) -> None:
            header[key + suffix] = (value, comment)

        put("WCSAXES", 2, "Number of coordinate axes")
        for k in (0, 1):
            put(f"CRPIX{k + 1}", float(crpix[k]), "[pix] Pixel coordinate of reference point")
        for k in (0, 1):
            for n in (0, 1):
                put(f"CD{k + 1}_{n + 1}", float(plate.cd[k][n]), "[deg/pix] Coordinate transformation matrix")
        for k, kind in ((0, "RA---TAN"), (1, "DEC--TAN")):
            put(f"CUNIT{k + 1}", "deg", "Units of coordinate increment and value")
            put(f"CTYPE{k + 1}", kind, "gnomonic projection")
            put(f"CRVAL{k + 1}", float(plate.crval[k]), "[deg] Coordinate value at reference point")
            put(f"CSYER{k + 1}", plate.scatter[k], "[deg] Systematic error in coordinate")
        put("LONPOLE", 180.0, "[deg] Native longitude of celestial pole")
        put("LATPOLE", float(plate.crval[1]), "[deg] Native latitude of celestial pole")
        put("RADESYS", "ICRS", "Equatorial coordinate system")
        if suffix:
            put("WCSNAME", "Solution", "the astrometric solution")
        return header

    def _describe(self, header: Header) -> None:
        found = self.found
        set_key(header, f"{QC}.NSTARS", len(found.match), "Number of stars identified for the astrometric solution")
        for name, values, text in (
            ("SCALE", found.scales, "[arcsec] Computed scale in {}-direction"),
            ("ANGLE", found.angles, "[deg] Computed angle in {}-direction"),
            ("MEDRES", found.residuals, "[arcsec] Median residuals of astrometric fit in {}"),
        ):
            for axis, value in zip("XY", values, strict=True):
                set_key(header, f"{QC}.{name}.{axis}", np.float32(value), text.format(axis.lower()))
        set_key(header, f"{_DRS}.RADIUS", found.match.radius, "[pix] radius of the pattern matching")
        set_key(header, f"{_DRS}.DETSIGMA", found.detsigma, "level of detection")
        if found.match.accuracy:
            set_key(header, f"{_DRS}.ACCURACY", found.match.accuracy, "[pix] accuracy of the pattern matching")
            set_key(header, f"{_DRS}.FACCURACY", found.match.accuracy / found.mean_error, "relative to mean errors")

    def _stars(self) -> dict[str, npt.NDArray[Any]]:
        stars = self.found.stars
        columns: dict[str, npt.NDArray[Any]] = {
            column: np.array([getattr(star, name) for star in stars])
            for column, name in (
                ("XPOS", "x"), ("YPOS", "y"), ("XERR", "x_error"), ("YERR", "y_error"), ("FLUX", "flux"),
                ("XFWHM", "x_fwhm"), ("YFWHM", "y_fwhm"),
            )
        }  # fmt: skip
        match = self.found.match
        for axis, name in enumerate(("RA", "DEC")):
            columns[name] = np.full(len(stars), np.nan)
            columns[name][match.detections] = self.found.sky[match.references, axis]
        return columns
