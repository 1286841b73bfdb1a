"""QC procedure of standard stars: response, throughput and telluric absorption beside those before; the star."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.formats.onsky_tables import NamedTable, named_tables
from core.procedures.cubes import cube_pictures
from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.procedures.style import GAUSS, INK, MASTER, RAW, REFERENCE, label, limits, new_figure, save

__all__ = ["PROCEDURE"]

_RESPONSE: Final = "STD_RESPONSE"
_TELLURIC: Final = "STD_TELLURIC"
_CUBE: Final = "DATACUBE_STD"
_QC: Final = "QC.STANDARD"
_PLACES: Final = (5000, 7000, 8000, 9000)  # [Angstrom] of the throughputs that are trended
_BANDS: Final = ((6860, 6970), (7160, 7330), (7590, 7710), (8130, 8350), (8950, 9030))  # [Angstrom], by the atmosphere
_UNIT: Final = "2.5 log10 of (e⁻/s/Å) per (erg/s/cm²/Å)"

F64 = NDArray[np.float64]


def _of_all(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    if (_RESPONSE, None) not in block.products:
        return []
    plots = [_response(block, folder)]
    for number, cube in enumerate(block.files(_CUBE), start=1):
        plots += cube_pictures(block, cube, _QC, folder, f"star{number}-", residuals=False)
    return plots


def _response(block: ProcedureInput, folder: Path) -> PlotFile:
    table = _table(block.products[_RESPONSE, None])
    before = _table(block.references[_RESPONSE, None]) if (_RESPONSE, None) in block.references else None
    star = get_key(table.header, f"{_QC}.STARNAME", str, default="")
    figure = new_figure(f"standard star {star}     {block.block}", 12.0, 8.4)
    above, middle, below = figure.subplots(3, 1, sharex=True, gridspec_kw={"hspace": 0.2})
    wave, values = table.numbers("lambda"), table.numbers("response")
    if "response_unsmoothed" in table.columns:
        rough = table.numbers("response_unsmoothed")
        above.plot(wave, rough, color=RAW, linewidth=0.5, label="before smoothing")
        above.set_ylim(*limits([rough, values], 0.05))
    if before is not None:
        above.plot(*_pair(before, "response"), color=REFERENCE, linewidth=1.0, linestyle="--", label="the one before")
    above.plot(wave, values, color=MASTER, linewidth=1.2, label="response")
    above.legend(fontsize=7, frameon=False, ncols=3)
    label(above, "response", "", _UNIT)
    _throughput(middle, table, before)
    _telluric(below, block)
    for axes in (above, middle, below):
        for low, high in _BANDS:
            axes.axvspan(low, high, color=RAW, alpha=0.15, linewidth=0, zorder=0)
    return save(figure, folder, "std0", "response of the instrument", _words(table, before))


def _throughput(axes: Axes, table: NamedTable, before: NamedTable | None) -> None:
    wave, values = _pair(table, "throughput")
    axes.plot(wave, 100 * values, color=MASTER, linewidth=1.2)
    if before is not None and "throughput" in before.columns:
        earlier, old = _pair(before, "throughput")
        axes.plot(earlier, 100 * old, color=REFERENCE, linewidth=1.0, linestyle="--")
    for place, value in _throughputs(table.header).items():
        axes.errorbar(place, 100 * value, xerr=100, fmt="o", color=GAUSS, markersize=4, elinewidth=1)
    axes.set_ylim(0, None)
    label(axes, "throughput of telescope and instrument; dots are trended", "", "%")


def _telluric(axes: Axes, block: ProcedureInput) -> None:
    for key, colour, line in ((block.references, REFERENCE, "--"), (block.products, MASTER, "-")):
        path = key.get((_TELLURIC, None))
        if path is not None:
            axes.plot(*_pair(_table(path), "ftelluric"), color=colour, linewidth=1.0, linestyle=line)
    axes.axhline(1, color=INK, linewidth=0.5)
    axes.set_ylim(0, 1.1)
    label(axes, "telluric transmission at airmass 1", "wavelength [Å]", "transmission")


def _table(path: Path) -> NamedTable:
    return next(named_tables(path))


def _pair(table: NamedTable, name: str) -> tuple[F64, F64]:
    values = table.numbers(name) if name in table.columns else np.full(table.numbers("lambda").size, np.nan)
    return table.numbers("lambda"), values


def _throughputs(header: Header) -> dict[int, float]:
    found = {place: get_key(header, f"{_QC}.THRU{place}", float, default=np.nan) for place in _PLACES}
    return {place: value for place, value in found.items() if np.isfinite(value)}


def _words(table: NamedTable, before: NamedTable | None) -> str:
    now = _throughputs(table.header)
    parts = [", ".join(f"{100 * value:.1f} % at {place} Å" for place, value in now.items()) or "no throughput"]
    if before is None:
        parts.append("There is no earlier one to compare with")
    else:
        old = _throughputs(before.header)
        changes = [f"{100 * (now[place] / old[place] - 1):+.1f} %" for place in now if old.get(place)]
        parts.append("Dashed is the one before" + (f"; since then {', '.join(changes)}" if changes else ""))
    return f"{'. '.join(parts)}. Grey bands are those of the atmosphere."


def _of_ifu(block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    return []


PROCEDURE = Procedure(_RESPONSE, _of_all, _of_ifu)
