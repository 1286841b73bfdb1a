"""The pixel tables of the IFUs of an exposure as one, which is never written nor held in memory.

Rows are read when they are asked for: those of one IFU after those of another, brought to the flux of the first one,
times the smoothed spectrum of the lamps that the flat field took out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import DataError, error_context
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key, set_key
from core.fitsfile.scan import scan_fits
from core.formats.pixtable_header import PixtableLimits, merged_header_of_ifus, own_cards, zero_point
from core.formats.pixtable_origin import PREFIX, set_exposures
from core.formats.pixtable_ranges import Kept, Ranges, cut, joined
from core.formats.pixtable_read import PixelTable, open_pixtable
from core.formats.pixtable_select import ChosenRows, choose_rows, within
from core.instruments.muse.facts import N_IFU, ifu_of_extname, mode_class
from core.recipes.logs import Logger
from core.spatial.lampspectrum import LampSpectrum

__all__ = ["ExposureFiles", "ExposureTable", "list_exposures", "open_exposure"]

FFCORR: Final = f"{PREFIX}.FFCORR"
_OF_FLATS: Final = r"DRS\.MUSE\.FLAT\.FLUX\."  # of one IFU
_FLUXES: Final = ("DRS.MUSE.FLAT.FLUX.SKY", "DRS.MUSE.FLAT.FLUX.LAMP")


@dataclass(frozen=True)
class ExposureFiles:
    """The files of an exposure.

    Attributes
    ----------
    date : str
        ``DATE-OBS``.
    merged : pathlib.Path or None
        The table of all IFUs, if there is one.
    units : mapping of int to pathlib.Path
        The tables of single IFUs.
    """

    date: str
    merged: Path | None
    units: Mapping[int, Path]


def list_exposures(paths: Sequence[Path], log: Logger) -> tuple[ExposureFiles, ...]:
    """Pixel tables by exposure, in the order of time.

    Of several tables of an IFU in an exposure the first is taken.

    Raises
    ------
    MissingKeywordError
        If a table has no ``DATE-OBS``.
    """
    found: dict[str, dict[int, Path]] = {}
    for path in paths:
        header = scan_fits(path).primary
        with error_context(file=path):
            ifu = ifu_of_extname(get_key(header, "EXTNAME", str, default="")) or 0
            own = found.setdefault(get_key(header, "DATE-OBS", str), {})
        if own.setdefault(ifu, path) != path:
            log.warning("%s is not used: %s is of the same exposure and IFU", path.name, own[ifu].name)
    return tuple(ExposureFiles(date, units.pop(0, None), units) for date, units in sorted(found.items()))


@dataclass(frozen=True)
class ExposureTable(PixelTable):
    """Rows of one or several tables, one after the other.

    Attributes
    ----------
    sources : tuple of ChosenRows
    scales : tuple of float
        What ``data`` of each are divided by.
    lamps : LampSpectrum or None
        What they are multiplied with.
    measured : PixtableLimits or None
        Extremes of the rows, if they had to be looked at.
    """

    sources: tuple[ChosenRows, ...] = field(repr=False)
    scales: tuple[float, ...]
    lamps: LampSpectrum | None = field(repr=False)
    measured: PixtableLimits | None = None

    @cached_property
    def exact_limits(self) -> PixtableLimits | None:
        """See `PixelTable.exact_limits`."""
        return self.measured

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        return np.cumsum([0, *(source.n_rows for source in self.sources)])

    def gather(
        self, ranges: Ranges, names: Sequence[str] | None = None, kept: Kept = None
    ) -> dict[str, npt.NDArray[Any]]:
        """See `PixelTable.gather`."""
        wanted = list(self.columns) if names is None else list(names)
        measured = [name for name in ("data", "stat") if name in wanted]
        needed = [*dict.fromkeys([*wanted, *(("lambda", "data", "stat") if measured and self.lamps else measured)])]
        parts = []
        for number, inside, chosen in cut(ranges, self._starts, kept):
            cells = self.sources[number].gather(inside, needed, chosen)
            self._correct(cells, self.scales[number])
            parts.append(cells)
        return joined(parts, {name: self.columns[name] for name in wanted})

    def _correct(self, cells: dict[str, npt.NDArray[Any]], scale: float) -> None:
        if scale != 1.0:
            for name, factor in (("data", 1.0 / scale), ("stat", 1.0 / (scale * scale))):
                if name in cells:
                    cells[name] = (cells[name] * np.float64(factor)).astype(np.float32)
        if self.lamps is not None and "data" in cells:
            cells["data"], cells["stat"] = self.lamps.multiply(cells["lambda"], cells["data"], cells["stat"])

    def flat_field(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """None: the spectra of the lamps are in the data."""
        return None


def open_exposure(files: ExposureFiles, low: float, high: float, log: Logger, *, lamps: bool = True) -> ExposureTable:
    """The table of an exposure.

    Parameters
    ----------
    files : ExposureFiles
    low, high : float
        Wavelengths that are wanted [Angstrom].
    log : logger
    lamps : bool
        Whether the spectrum of the lamps is brought in again. Responses of the first pipelines are without it.

    Raises
    ------
    BadFitsError
        If a file is no pixel table.
    DataError
        If an IFU has no row at these wavelengths, has other columns or units than the first, was made with or without a
        geometry table unlike the first, or only some of the IFUs bring a spectrum of their flat field.
    """
    if files.merged is not None:
        return _alone(_chosen(files.merged, low, high))
    if missing := [str(ifu) for ifu in range(1, N_IFU + 1) if ifu not in files.units]:
        log.warning("the exposure of %s has no pixel table of IFU %s", files.date, ", ".join(missing))
    sources = [_chosen(files.units[ifu], low, high) for ifu in sorted(files.units)]
    first = sources[0].table.header
    if all(_flux(first, key) is None for key in _FLUXES):
        log.warning("%s has no flux of a flat field: it is taken to be merged", sources[0].table.path.name)
        return _alone(sources[0])
    for source in sources[1:]:
        if (source.table.columns, source.table.units) != (sources[0].table.columns, sources[0].table.units):
            raise DataError(f"columns or units are not those of {sources[0].table.path.name}", file=source.table.path)
    scales = [1.0, *_scales([source.table for source in sources[1:]], first, log)]
    spectra = [spectrum for source in sources if lamps and (spectrum := source.flat_field()) is not None]
    if spectra and len(spectra) < len(sources):
        lacking = next(source.table.path for source in sources if source.flat_field() is None)
        raise DataError("the pixel tables of other IFUs have a spectrum of the flat field, this has not", file=lacking)
    mode = mode_class(get_key(first, "INS.MODE", str, default=None))
    spectrum_of_lamps = LampSpectrum.of(spectra, mode) if spectra else None
    limits = [source.limits() for source in sources]
    header = merged_header_of_ifus([own_cards(source.table.header) for source in sources], limits)
    del_keys(header, _OF_FLATS)
    if spectrum_of_lamps is not None:
        set_key(header, FFCORR, spectrum_of_lamps.n_units, "corrected for flat-field spectrum")
    return _table(sources, scales, spectrum_of_lamps, header, reduce(lambda mine, its: mine | its, limits))


def _chosen(path: Path, low: float, high: float) -> ChosenRows:
    """Rows of the wavelengths; all without looking at them if the header says that they are within."""
    table = open_pixtable(path)
    with error_context(file=path):
        least, most = (get_key(table.header, f"{PREFIX}.LIMITS.LAMBDA.{end}", float) for end in ("LOW", "HIGH"))
    return choose_rows(table, [] if low < least and most < high else [within("lambda", low, high)])


def _alone(source: ChosenRows) -> ExposureTable:
    header, limits = own_cards(source.table.header), None
    if source.n_rows < source.table.n_rows:
        limits = source.limits()
        limits.write(header, zero_point(header))
        if (counts := source.of_exposures()) is not None:
            set_exposures(header, counts.tolist())
    return _table([source], [1.0], None, header, limits)


def _table(
    sources: Sequence[ChosenRows],
    scales: Sequence[float],
    lamps: LampSpectrum | None,
    header: Header,
    measured: PixtableLimits | None,
) -> ExposureTable:
    table = sources[0].table
    return ExposureTable(
        table.path,
        header,
        "table" if table.form == "table" else "image",
        sum(source.n_rows for source in sources),
        table.columns,
        table.units,
        tuple(sources),
        tuple(scales),
        lamps,
        measured,
    )


def _flux(header: Header, key: str) -> float | None:
    return get_key(header, key, float, default=None)


def _scales(tables: Sequence[PixelTable], first: Header, log: Logger) -> list[float]:
    """Fluxes of IFUs in a flat field, that of the sky if it is known, relative to the first one."""
    scales, by_lamps, unknown = [], [], []
    for table in tables:
        for key in _FLUXES:
            own, its = _flux(table.header, key), _flux(first, key)
            if own and its and own > 0 and its > 0:
                scales.append(own / its)
                if key != _FLUXES[0]:
                    by_lamps.append(table.path.name)
                break
        else:
            scales.append(1.0)
            unknown.append(table.path.name)
    if by_lamps:
        log.warning("scaled by the flux of the lamps, as there is none of the sky: %s", ", ".join(by_lamps))
    if unknown:
        log.warning("not scaled, as they have no flux of a flat field: %s", ", ".join(unknown))
    return scales
