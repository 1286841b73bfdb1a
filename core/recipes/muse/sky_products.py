"""Products of the sky: white-light image, mask, spectrum, lines, continuum, with their QC parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, set_key
from core.formats.image import image_extension_header
from core.formats.onsky_tables import SKY_CONTINUUM, SKY_LINES, SKY_SPECTRUM
from core.formats.sky_lines import table_of_lines
from core.formats.tables import MuseTable
from core.onsky.skylines import SkyLines
from core.onsky.skymask import SkyMask
from core.onsky.skyspectrum import MeanSpectrum
from core.recipes.declaration import QcSpec
from core.recipes.flow import ArrayProduct, TableProduct
from core.recipes.frames import Frame
from core.recipes.muse.cubes import cube_header
from core.recipes.muse.sky_model import WhiteLight

__all__ = ["SkyProducts", "sky_qc"]

F64 = npt.NDArray[np.float64]

_NO_NUMBER: Final = -9999.999  # what a QC parameter is that cannot be computed
_FLUX: Final = "10**(-20)*erg/s/cm**2/Angstrom"


def sky_qc(prefix: str, axes: tuple[str, ...] = (), mask: tuple[str, ...] = ("SKY_MASK",)) -> tuple[QcSpec, ...]:
    """QC parameters of these products; ``mask`` are tags of masks."""
    lines, continuum = ("SKY_LINES",), ("SKY_CONTINUUM",)
    line_flux = "10**(-20)*erg/s/cm**2/arcsec**2"

    def spec(name: str, unit: str, text: str, tags: tuple[str, ...]) -> QcSpec:
        return QcSpec(f"{prefix}.{name}", unit, "float", "CAL", text, tags, product_axes=axes)

    return (
        spec("LOWLIMIT", _FLUX, "Lowest flux in the white light considered as sky, used to create this mask", mask),
        spec("THRESHOLD", _FLUX, "Threshold in the white light considered as sky, used to create this mask", mask),
        QcSpec(
            f"{prefix}.LINE{{sky_line}}.NAME",
            "",
            "str",
            "CAL",
            "Name of the strongest line in group l",
            lines,
            product_axes=axes,
        ),
        spec("LINE{sky_line}.AWAV", "Angstrom", "Wavelength (air) of the strongest line of group l", lines),
        spec("LINE{sky_line}.FLUX", line_flux, "Flux of the strongest line of group l", lines),
        spec("CONT.FLUX", _FLUX, "Total flux of the continuum", continuum),
        spec(
            "CONT.MAXDEV",
            "10**-20*erg/s/cm**2/Angstrom**2",
            "Maximum (absolute value) of the derivative of the continuum spectrum",
            continuum,
        ),
    )


@dataclass(frozen=True)
class SkyProducts:
    """Makes the products of an exposure.

    Attributes
    ----------
    header : Header
        Of its pixel table.
    unit : str
        Of its data.
    prefix : str
        Of QC parameters.
    raws, calibs : sequence of Frame
    number : int, optional
        Of the exposure.
    """

    header: Header
    unit: str
    prefix: str
    raws: Sequence[Frame]
    calibs: Sequence[Frame]
    number: int | None = None

    def image(self, tag: str, white: WhiteLight) -> ArrayProduct:
        """The white-light image."""
        extension = image_extension_header("DATA", self.unit, parts=("DATA",))
        extension.remove("EXTNAME")
        extension.extend(white.wcs().cards)
        header = self.primary()
        set_key(header, "DRS.MUSE.FILTER.NAME", "white", "filter name used")
        return self._array(tag, white.data, header, extension)

    def mask(self, sky: SkyMask, white: WhiteLight, tag: str = "SKY_MASK") -> ArrayProduct:
        """The mask: 1 where there is sky."""
        header = self.primary()
        set_key(header, f"{self.prefix}.LOWLIMIT", _number(sky.low), f"[{self.unit}] lowest flux considered as sky")
        set_key(header, f"{self.prefix}.THRESHOLD", _number(sky.high), f"[{self.unit}] threshold for sky")
        return self._array(tag, sky.mask.astype(np.int32), header, white.wcs(), "")

    def spectrum(self, spectrum: MeanSpectrum) -> TableProduct:
        """The mean spectrum."""
        columns: dict[str, npt.NDArray[Any]] = {
            "lambda": spectrum.wave,
            "data": spectrum.data,
            "stat": spectrum.stat,
            "dq": np.zeros(spectrum.wave.size, np.int32),
        }
        table = MuseTable(columns, self.primary())
        return TableProduct("SKY_SPECTRUM", SKY_SPECTRUM, table, self.raws, self.calibs, self.number)

    def lines(self, lines: SkyLines) -> TableProduct:
        """The fitted lines."""
        header = self.primary()
        for group in sorted(set(lines.group.tolist())):
            members = np.flatnonzero(lines.group == group)
            k = int(members[lines.flux[members].argmax()])
            key = f"{self.prefix}.LINE{group + 1}"
            set_key(header, f"{key}.NAME", str(lines.name[k]), "name of the strongest line in this group")
            set_key(header, f"{key}.AWAV", float(lines.wave[k]), "[Angstrom] wavelength (air) of the line")
            set_key(header, f"{key}.FLUX", _number(float(lines.flux[k])), "flux of the line")
        table = MuseTable(table_of_lines(lines).columns, header)
        return TableProduct("SKY_LINES", SKY_LINES, table, self.raws, self.calibs, self.number, "LINES")

    def continuum(self, wave: F64, flux: F64) -> TableProduct:
        """The continuum."""
        header = self.primary()
        change = np.abs(np.diff(flux) / np.diff(wave)).max() if wave.size > 1 else np.nan
        set_key(header, f"{self.prefix}.CONT.FLUX", _number(float(flux.sum())), "total flux of the continuum")
        set_key(header, f"{self.prefix}.CONT.MAXDEV", _number(float(change)), "largest derivative of the continuum")
        table = MuseTable({"lambda": wave, "flux": flux}, header)
        return TableProduct("SKY_CONTINUUM", SKY_CONTINUUM, table, self.raws, self.calibs, self.number, "CONTINUUM")

    def _array(
        self,
        tag: str,
        data: npt.NDArray[np.float32] | npt.NDArray[np.int32],
        header: Header,
        cards: Header,
        extension: str = "DATA",
    ) -> ArrayProduct:
        return ArrayProduct(tag, extension, data, header, cards, self.raws, self.calibs, self.number)

    def primary(self) -> Header:
        """A primary header, without what QC said of the table."""
        header = cube_header(self.header)
        del_keys(header, r"QC\.")
        return header


def _number(value: float) -> float:
    return value if np.isfinite(value) else _NO_NUMBER
