"""QC procedure of flats with readings of photodiodes: the throughput of the IFUs and of their slices."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.ticker import MaxNLocator

from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.fitsfile.scan import scan_fits
from core.instruments.muse.facts import N_SLICES
from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.procedures.slices import slice_matrix
from core.procedures.style import MASTER, RAW, REFERENCE, label, new_figure, save

__all__ = ["PROCEDURE"]

_TAG: Final = "AMPL_CONVOLVED"
_QC: Final = "QC.AMPL"


def _of_all(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    units = block.units(_TAG)
    if not units:
        return []
    headers = {unit: scan_fits(block.products[_TAG, unit]).primary for unit in units}
    earlier = ((unit, path) for (tag, unit), path in block.references.items() if tag == _TAG)
    before = {unit: scan_fits(path).primary for unit, path in earlier if unit is not None}
    return [_ifus(block, headers, before, folder), _slices(block, headers, folder)]


def _value(header: Header, name: str) -> float:
    return get_key(header, f"{_QC}.{name}", float, default=np.nan)


def _ifus(block: ProcedureInput, headers: dict[int, Header], before: dict[int, Header], folder: Path) -> PlotFile:
    figure = new_figure(f"throughput by photodiodes     {block.block}", 12.0, 3.8)
    axes = figure.subplots()
    units = list(headers)
    for name, colour, shift in (("THRU1", MASTER, -0.1), ("THRU2", REFERENCE, 0.1)):
        values = [_value(header, name) for header in headers.values()]
        errors = [_value(header, "THRU2ERR") if name == "THRU2" else np.nan for header in headers.values()]
        old = [_value(before[unit], name) if unit in before else np.nan for unit in units]
        places = np.array(units) + shift
        axes.plot(places, old, "_", color=RAW, markersize=12, markeredgewidth=2)
        text = f"photodiode {name[-1]}"
        axes.errorbar(places, values, yerr=errors, fmt="o", color=colour, markersize=5, elinewidth=0.8, label=text)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(min(units) - 0.8, max(units) + 0.8)
    axes.legend(fontsize=7, frameon=False, ncols=2)
    label(axes, "light on the detector over light on the photodiode", "IFU", "throughput [%]")
    known = "Grey bars are those before." if before else "There are no earlier ones to compare with."
    return save(figure, folder, "ampl0", "throughput of the IFUs", f"A relative measure. {known}")


def _slices(block: ProcedureInput, headers: dict[int, Header], folder: Path) -> PlotFile:
    numbers = range(1, N_SLICES + 1)
    values = np.array([[_value(header, f"SLICE{n}.THRU2") for n in numbers] for header in headers.values()])
    middle = np.nanmedian(values, axis=1, keepdims=True) if np.isfinite(values).any() else np.ones((len(headers), 1))
    relative = 100 * (values / middle - 1)
    finite = np.abs(relative[np.isfinite(relative)])
    reach = max(float(np.percentile(finite, 98)), 0.5) if finite.size else 1.0
    figure = new_figure(f"throughput of the slices     {block.block}", 12.0, 1.6 + 0.2 * len(headers))
    axes = figure.subplots()
    slice_matrix(axes, relative, list(headers), (-reach, reach), "RdBu_r", "%", "deviation from the median of the IFU")
    return save(figure, folder, "ampl1", "throughput of the slices", "By photodiode 2; all slices taken as alike.")


def _of_ifu(block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    return []


PROCEDURE = Procedure(_TAG, _of_all, _of_ifu)
