"""Products of a standard star: fluxes of the stars of its field, response, telluric absorption, with QC parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.cubes.collapse import Filter
from core.cubes.wcs import CubeGrid
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key, set_key
from core.formats.image import image_extension_header
from core.formats.onsky_tables import STD_RESPONSE, STD_TELLURIC
from core.formats.tables import MuseTable
from core.instruments.muse.facts import Dq, mode_class
from core.recipes.declaration import QcSpec
from core.recipes.flow import ArrayProduct, TableProduct
from core.recipes.frames import Frame
from core.recipes.muse.cube_products import fwhm_qc
from core.recipes.muse.cubes import cube_header
from core.recipes.muse.standard_response import Response
from core.recipes.muse.standard_star import FieldStars

__all__ = ["QC_PREFIX", "TOPOCENTRIC", "StandardProducts", "standard_qc"]

QC_PREFIX: Final = "QC.STANDARD"
TOPOCENTRIC: Final = "TOPOCENT"  # wavelengths are those that the telescope sees
_PLACES: Final = (5000, 6000, 7000, 8000, 9000)  # [Angstrom] of mean throughputs
_NOTCHED: Final = 6000  # which is in the notch of modes with adaptive optics
_BANDS: Final = {"Johnson_V": "V", "Cousins_R": "R", "Cousins_I": "I"}


def standard_qc() -> tuple[QcSpec, ...]:
    """QC parameters of these products, and of the cube."""
    axes = ("exposure",)

    def spec(name: str, unit: str, kind: Any, text: str) -> QcSpec:
        return QcSpec(f"{QC_PREFIX}.{name}", unit, kind, "CAL", text, ("STD_RESPONSE",), product_axes=axes)

    return (
        *fwhm_qc(QC_PREFIX, "DATACUBE_STD", axes),
        spec("STARNAME", "", "str", "Name of the standard star used for the throughput / zeropoint calculation."),
        *(spec(f"THRU{place}", "", "float", f"Throughput computed at {place} +/- 100 Angstrom.") for place in _PLACES),
        *(
            spec(f"ZP.{band}", "mag", "float", f"Zeropoint in the filter {name}, if FILTER_LIST has it.")
            for name, band in _BANDS.items()
        ),
    )


@dataclass(frozen=True)
class StandardProducts:
    """Makes the products of an exposure.

    Attributes
    ----------
    header : Header
        Of its pixel table.
    raws, calibs : sequence of Frame
    number : int
        Of the exposure.
    """

    header: Header
    raws: Sequence[Frame]
    calibs: Sequence[Frame]
    number: int

    def fluxes(self, field: FieldStars, selected: int, grid: CubeGrid, unit: str) -> ArrayProduct:
        """Fluxes of all stars: one row each."""
        header = self._primary()
        set_key(header, "DRS.MUSE.FLUX.NOBJ", len(field.stars), "number of stars in the field")
        rows = zip(field.stars, field.places, field.totals, strict=True)
        for number, (star, (ra, dec), total) in enumerate(rows, start=1):
            key = f"DRS.MUSE.FLUX.OBJ{number}"
            set_key(header, f"{key}.X", star.x, "[pix] position in the cube")
            set_key(header, f"{key}.Y", star.y, "[pix] position in the cube")
            if math.isfinite(ra):
                set_key(header, f"{key}.RA", ra, "[deg] approximate right ascension")
                set_key(header, f"{key}.DEC", dec, "[deg] approximate declination")
            set_key(header, f"{key}.INTFLUX", total, f"[{unit}] flux over all wavelengths")
        set_key(header, "DRS.MUSE.FLUX.NSEL", selected + 1, "the star that was taken as standard star")
        known = field.fluxes.known
        arrays: dict[str, npt.NDArray[Any]] = {
            "DATA": field.fluxes.data,
            "DQ": np.where(known, 0, np.int32(Dq.MISSING)).astype(np.int32),
            "STAT": field.fluxes.stat,
        }
        cards = {part: _flux_header(part, grid, unit) for part in arrays}
        first = cards["DATA"]
        first.remove("EXTNAME")
        more = [(cards[part], arrays[part]) for part in ("DQ", "STAT")]
        return ArrayProduct(
            "STD_FLUXES", "DATA", arrays["DATA"], header, first, self.raws, self.calibs, self.number, more
        )

    def response(self, response: Response, filters: Mapping[str, Filter]) -> TableProduct:
        """The response, with throughput and zero points."""
        header = self._primary()
        header["SPECSYS"] = TOPOCENTRIC
        name = get_key(self.header, "OBS.TARG.NAME", str, default="").strip() or "UNKNOWN"
        set_key(header, f"{QC_PREFIX}.STARNAME", name, "name of the standard star")
        notched = "-AO-" in mode_class(get_key(self.header, "INS.MODE", str, default=None))
        for place in _PLACES:
            value = response.throughput_at(place)
            if math.isfinite(value) and not (notched and place == _NOTCHED):
                words = f"throughput at {place} +/- 100 Angstrom"
                set_key(header, f"{QC_PREFIX}.THRU{place}", np.float32(value), words)
        for name, band in _BANDS.items():
            if name in filters and math.isfinite(value := response.zero_point(filters[name])):
                set_key(header, f"{QC_PREFIX}.ZP.{band}", np.float32(value), f"[mag] zero point in {name}")
        columns = {"lambda": response.curve.wave, "response": response.curve.values, "resperr": response.curve.errors}
        if response.rough is not None:
            columns |= {"response_unsmoothed": response.rough.values, "resperr_unsmoothed": response.rough.errors}
        columns["throughput"] = response.throughput
        return self._table("STD_RESPONSE", columns, header)

    def telluric(self, response: Response) -> TableProduct | None:
        """The telluric absorption; None if no band of it was seen."""
        if (curve := response.telluric) is None:
            return None
        columns = {"lambda": curve.wave, "ftelluric": curve.values, "ftellerr": curve.errors}
        header = self._primary()
        header["SPECSYS"] = TOPOCENTRIC
        return self._table("STD_TELLURIC", columns, header)

    def _table(self, tag: str, columns: dict[str, npt.NDArray[Any]], header: Header) -> TableProduct:
        fmt = {"STD_RESPONSE": STD_RESPONSE, "STD_TELLURIC": STD_TELLURIC}[tag]
        return TableProduct(tag, fmt, MuseTable(columns, header), self.raws, self.calibs, self.number)

    def _primary(self) -> Header:
        header = cube_header(self.header)
        del_keys(header, r"QC\.")
        return header


def _flux_header(part: str, grid: CubeGrid, unit: str) -> Header:
    header = image_extension_header(part, unit)
    spectral = grid.spectral
    for axis, kind, cunit, crpix, crval, cd in (
        (1, spectral.ctype, "Angstrom", spectral.crpix, spectral.crval, spectral.cd),
        (2, "PIXEL", "pixel", 1.0, 1.0, 1.0),
    ):
        header[f"CTYPE{axis}"], header[f"CUNIT{axis}"] = kind, cunit
        header[f"CRPIX{axis}"], header[f"CRVAL{axis}"] = crpix, crval
        header[f"CD{axis}_{axis}"], header[f"CD{axis}_{3 - axis}"] = cd, 0.0
    return header
