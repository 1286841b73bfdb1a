"""QC procedure of detector monitoring: gain and read-out noise of the ports of all detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.ticker import MaxNLocator

from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.fitsfile.scan import scan_fits
from core.instruments.muse.facts import N_PORTS
from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.procedures.style import RAW, SERIES, label, new_figure, save

__all__ = ["PROCEDURE"]

_TAG: Final = "NONLINEARITY_GAIN"
_PANELS: Final = (("GAIN", "GAINERR", "gain", "e⁻/adu"), ("RON", "RONERR", "read-out noise", "e⁻"))


def _of_all(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    units = block.units(_TAG)
    if not units:
        return []
    headers = {unit: scan_fits(block.products[_TAG, unit]).primary for unit in units}
    figure = new_figure(f"gain and read-out noise     {block.block}", 12.0, 6.2)
    panels = figure.subplots(2, 1, sharex=True, gridspec_kw={"hspace": 0.2})
    for axes, (name, error, title, unit) in zip(panels, _PANELS, strict=True):
        for port in range(1, N_PORTS + 1):
            places = np.array(units) + 0.12 * (port - (N_PORTS + 1) / 2)
            old = [_before(block, ifu, port, name) for ifu in units]
            axes.plot(places, old, "_", color=RAW, markersize=9, markeredgewidth=2)
            values, errors = ([_value(headers[ifu], port, key) for ifu in units] for key in (name, error))
            axes.errorbar(
                places, values, yerr=errors, fmt="o", color=SERIES[port - 1], markersize=4, elinewidth=0.8,
                label=f"quadrant {port}",
            )  # fmt: skip
        label(axes, title, "IFU" if axes is panels[-1] else "", f"{title} [{unit}]")
    panels[0].legend(fontsize=7, frameon=False, ncols=4)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[-1].set_xlim(min(units) - 0.8, max(units) + 0.8)
    known = any(tag == _TAG for tag, _ in block.references)
    text = "Grey bars are those before." if known else "There are no earlier ones to compare with."
    return [save(figure, folder, "gain0", "gain and read-out noise", f"By photon transfer. {text}")]


def _value(header: Header, port: int, name: str) -> float:
    """A value that was measured; 0 stands for none."""
    return get_key(header, f"QC.LINGAIN.OUT{port}.{name}", float, default=np.nan) or np.nan


def _before(block: ProcedureInput, ifu: int, port: int, name: str) -> float:
    path = block.references.get((_TAG, ifu))
    return np.nan if path is None else _value(scan_fits(path).primary, port, name)


def _of_ifu(block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    return []


PROCEDURE = Procedure(_TAG, _of_all, _of_ifu)
