"""Tables of exposures of the sky: each declared once; curves and line lists are read as the numerics take them.

Sources: MUSE manual, appendix on file formats; behaviour of the reference pipeline where it adds columns.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import BadFitsError, DataError
from core.fitsfile.dataunit import column_cards, column_names, read_columns
from core.fitsfile.header import Header
from core.fitsfile.keywords import merged_header
from core.fitsfile.scan import HduScan, scan_fits
from core.formats.tables import Column, TableFormat
from core.onsky.fluxcal import Curve

__all__ = [
    "ASTROMETRY_REFERENCE",
    "ASTROMETRY_SOURCES",
    "AUTOCAL_FACTORS",
    "EXTINCT_TABLE",
    "FILTER_LIST",
    "OFFSET_LIST",
    "OH_TRANSITIONS",
    "ONSKY_FORMATS",
    "SKY_CONTINUUM",
    "SKY_LINES",
    "SKY_SPECTRUM",
    "SOURCE_LIST",
    "STD_FLUX_TABLE",
    "STD_RESPONSE",
    "STD_TELLURIC",
    "TELLURIC_REGIONS",
    "NamedTable",
    "named_tables",
    "read_curve",
]

RESPONSE_UNIT: Final = "2.5*log10((count/s/Angstrom)/(erg/s/cm**2/Angstrom))"
LINE_FLUX_UNIT: Final = "10**(-20)*erg/(s cm^2 arcsec^2)"
SPECTRUM_UNIT: Final = "10**(-20)*erg/s/cm**2/Angstrom"

_LAMBDA: Final = Column("lambda", "D", "Angstrom", "wavelength")

EXTINCT_TABLE: Final = TableFormat(
    "EXTINCT_TABLE", (_LAMBDA, Column("extinction", "D", "mag/airmass", "extinction")), "Atmospheric extinction"
)
STD_FLUX_TABLE: Final = TableFormat(
    "STD_FLUX_TABLE",
    (
        _LAMBDA,
        Column("flux", "D", "erg/s/cm**2/Angstrom", "flux"),
        Column("fluxerr", "D", "erg/s/cm**2/Angstrom", "error of the flux", optional=True),
    ),
    "Reference flux of a spectrophotometric standard star",
)
STD_RESPONSE: Final = TableFormat(
    "STD_RESPONSE",
    (
        _LAMBDA,
        Column("response", "D", RESPONSE_UNIT, "response of the instrument"),
        Column("resperr", "D", RESPONSE_UNIT, "error of the response"),
        Column("response_unsmoothed", "D", RESPONSE_UNIT, "response before smoothing", optional=True),
        Column("resperr_unsmoothed", "D", RESPONSE_UNIT, "error before smoothing", optional=True),
        Column("throughput", "D", "", "efficiency of telescope and instrument", optional=True),
    ),
    "Response of the instrument",
)
STD_TELLURIC: Final = TableFormat(
    "STD_TELLURIC",
    (
        _LAMBDA,
        Column("ftelluric", "D", "", "transmission at airmass 1"),
        Column("ftellerr", "D", "", "error of the transmission"),
    ),
    "Telluric absorption",
)
FILTER_LIST: Final = TableFormat(
    "FILTER_LIST", (_LAMBDA, Column("throughput", "D", "", "throughput, 0 to 1")), "Throughput of a filter"
)
TELLURIC_REGIONS: Final = TableFormat(
    "TELLURIC_REGIONS",
    (
        Column("lmin", "D", "Angstrom", "lower limit of the telluric region"),
        Column("lmax", "D", "Angstrom", "upper limit of the telluric region"),
        Column("bgmin", "D", "Angstrom", "lower limit of the background region"),
        Column("bgmax", "D", "Angstrom", "upper limit of the background region"),
    ),
    "Wavelengths of telluric absorption",
)
SKY_LINES: Final = TableFormat(
    "SKY_LINES",
    (
        Column("name", "21A", "", "line name"),
        Column("group", "J", "", "line group number"),
        Column("lambda", "D", "Angstrom", "air wavelength"),
        Column("flux", "D", LINE_FLUX_UNIT, "line flux"),
        Column("dq", "J", "", "quality of the line, larger than zero is bad"),
    ),
    "Emission lines of the sky, or of Raman scattering",
)
OH_TRANSITIONS: Final = TableFormat(
    "SKY_LINES",
    (
        Column("name", "8A", "", "transition name, like OH83P1e4"),
        Column("lambda", "D", "Angstrom", "air wavelength"),
        Column("v_u", "J", "", "upper transition level"),
        Column("v_l", "J", "", "lower transition level"),
        Column("nu", "J", "", "vibrational momentum"),
        Column("E_u", "D", "J", "energy of the upper level"),
        Column("J_u", "D", "", "momentum of the upper level"),
        Column("A", "D", "1/s", "transition probability"),
    ),
    "Transitions of OH",
)
SKY_CONTINUUM: Final = TableFormat(
    "SKY_CONTINUUM", (_LAMBDA, Column("flux", "D", SPECTRUM_UNIT, "sky flux")), "Continuum of the sky"
)
SKY_SPECTRUM: Final = TableFormat(
    "SKY_SPECTRUM",
    (
        _LAMBDA,
        Column("data", "D", SPECTRUM_UNIT, "data values"),
        Column("stat", "D", f"({SPECTRUM_UNIT})**2", "variance of a pixel"),
        Column("dq", "J", "", "bad pixel status"),
    ),
    "Spectrum of the sky",
)
OFFSET_LIST: Final = TableFormat(
    "OFFSET_LIST",
    (
        Column("DATE_OBS", "23A", "", "Date and time at the start of the exposure"),
        Column("MJD_OBS", "D", "d", "MJD at the start of the exposure"),
        Column("RA_OFFSET", "D", "deg", "Right ascension offset"),
        Column("DEC_OFFSET", "D", "deg", "Declination offset"),
        Column("FLUX_SCALE", "D", "", "(Relative) flux scaling of the given exposure"),
    ),
    "Offsets of exposures: measured less true coordinates",
)
SOURCE_LIST: Final = TableFormat(
    "SOURCE_LIST",
    (
        Column("Id", "J", "", "source number"),
        Column("X", "D", "pix", "horizontal position"),
        Column("Y", "D", "pix", "vertical position"),
        Column("Flux", "D", "", "height of the source", optional=True),
        Column("Sharpness", "D", "", "sharpness of the source", optional=True),
        Column("Roundness", "D", "", "roundness of the source", optional=True),
        Column("RA", "D", "deg", "right ascension"),
        Column("DEC", "D", "deg", "declination"),
        Column("RA_CORR", "D", "deg", "right ascension less the offset of the exposure", optional=True),
        Column("DEC_CORR", "D", "deg", "declination less the offset of the exposure", optional=True),
    ),
    "Sources of an image",
)
ASTROMETRY_REFERENCE: Final = TableFormat(
    "ASTROMETRY_REFERENCE",
    (
        Column("SourceID", "20A", "", "source identification"),
        Column("RA", "D", "deg", "right ascension"),
        Column("DEC", "D", "deg", "declination"),
        Column("filter", "10A", "", "filter of the magnitude"),
        Column("mag", "D", "mag", "magnitude"),
    ),
    "Stars of known places in an astrometric field",
)
ASTROMETRY_SOURCES: Final = TableFormat(
    "ASTROMETRY_SOURCES",
    (
        Column("XPOS", "D", "pix", "horizontal position"),
        Column("YPOS", "D", "pix", "vertical position"),
        Column("XERR", "D", "pix", "error of the horizontal position"),
        Column("YERR", "D", "pix", "error of the vertical position"),
        Column("FLUX", "D", "count", "flux"),
        Column("XFWHM", "D", "pix", "horizontal FWHM"),
        Column("YFWHM", "D", "pix", "vertical FWHM"),
        Column("RA", "D", "deg", "right ascension of the reference star, if one was identified"),
        Column("DEC", "D", "deg", "declination of the reference star, if one was identified"),
    ),
    "Stars that were found in an astrometric field",
)
AUTOCAL_FACTORS: Final = TableFormat(
    "AUTOCAL_FACTORS",
    (
        Column("ifu", "J", "", "IFU number"),
        Column("sli", "J", "", "slice number on the detector"),
        Column("quad", "J", "", "number of the bin of wavelength"),
        Column("npts", "J", "", "number of pixels that were used", optional=True),
        Column("corr", "D", "", "factor of the slice in the bin"),
        Column(
            "corr_orig", "D", "", "the factor as it was measured, where another was put in its place", optional=True
        ),
    ),
    "Factors that bring slices to one level",
)
ONSKY_FORMATS: Final = {
    item.name: item
    for item in (
        ASTROMETRY_REFERENCE,
        ASTROMETRY_SOURCES,
        AUTOCAL_FACTORS,
        EXTINCT_TABLE,
        STD_FLUX_TABLE,
        STD_RESPONSE,
        STD_TELLURIC,
        FILTER_LIST,
        TELLURIC_REGIONS,
        SKY_LINES,
        SKY_CONTINUUM,
        SKY_SPECTRUM,
        OFFSET_LIST,
        SOURCE_LIST,
    )
}


@dataclass(frozen=True, eq=False)
class NamedTable:
    """A table of a file.

    Attributes
    ----------
    name : str
        ``EXTNAME``.
    header : Header
        Of its extension, with the keywords of the primary HDU.
    columns : dict of str to ndarray
    units : dict of str to str
        Of the columns that have one.
    """

    name: str
    header: Header
    columns: dict[str, npt.NDArray[Any]]
    units: dict[str, str]

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """A column as float64.

        Raises
        ------
        BadFitsError
            If it is missing, or holds no numbers.
        """
        cells = self.columns.get(name)
        if cells is None or cells.dtype.kind not in "fiu":
            what = "lacks the column" if cells is None else "has no numbers in the column"
            raise BadFitsError(f"table {self.name or 1} {what} {name}", keyword=name)
        return np.asarray(cells, np.float64)


def named_tables(path: str | os.PathLike[str]) -> Iterator[NamedTable]:
    """The tables of a file, one after the other, as they are.

    Raises
    ------
    BadFitsError
        If the file cannot be read, or holds no table.
    """
    path = Path(path)
    try:
        scan = scan_fits(path)
    except OSError as error:
        raise BadFitsError(f"cannot be read as FITS: {error}", file=path) from error
    tables = [hdu for hdu in scan.hdus if hdu.kind == "table"]
    if not tables:
        raise BadFitsError("the file holds no binary table", file=path)
    for hdu in tables:
        yield NamedTable(hdu.extname, merged_header(scan.primary, hdu.header), read_columns(path, hdu), _units_of(hdu))


def read_curve(path: str | os.PathLike[str], fmt: TableFormat) -> tuple[Header, Curve]:
    """A curve over wavelength from the first table of a file: its header, values and errors (0 if it has none).

    Parameters
    ----------
    path : path-like
    fmt : TableFormat
        Whose second column has the values, and whose third, if there is one, their errors.

    Raises
    ------
    BadFitsError
        If the file holds no such table, or its wavelengths do not ascend.
    """
    table = next(named_tables(path))
    names = [column.name for column in fmt.columns[:3]]
    try:
        wave, values = (table.numbers(name) for name in names[:2])
        errors = table.numbers(names[2]) if len(names) > 2 and names[2] in table.columns else 0.0
        return table.header, Curve.of(wave, values, errors)
    except (BadFitsError, DataError) as error:
        raise BadFitsError(f"the file is no {fmt.name}: {error.message}", file=path) from error


def _units_of(hdu: HduScan) -> dict[str, str]:
    names, units = column_names(hdu.header), column_cards(hdu.header, "TUNIT")
    return {name: str(unit).strip() for name, unit in zip(names, units, strict=True) if unit}
