"""Pictures of the sky: where it was taken, its spectrum with continuum and lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes

from core.fitsfile.keywords import get_key
from core.fitsfile.scan import scan_fits
from core.formats.onsky_tables import SKY_CONTINUUM, SKY_SPECTRUM, read_curve
from core.formats.sky_lines import read_sky_lines
from core.onsky.fluxcal import Curve
from core.onsky.skylines import SkyLines
from core.procedures.model import PlotFile, ProcedureInput
from core.procedures.skyfield import FLUX, SkyPicture, sky_figure
from core.procedures.style import INK, MASTER, RAW, REFERENCE, label, log_scale, new_figure, save

__all__ = ["sky_pictures"]

_EXPOSURES: Final = 4  # of which the pictures show the first
_LINE_FLUX: Final = "10⁻²⁰ erg/s/cm²/arcsec²"
_NAMED: Final = 12  # groups of lines whose strongest has its name


def sky_pictures(block: ProcedureInput, folder: Path, name: str) -> list[PlotFile]:
    """Pictures of the products of a sky; none if there are none."""
    plots: list[PlotFile] = []
    images = block.files("SKY_IMAGE")[:_EXPOSURES]
    if images:
        plots.append(_mask(block, images, folder, f"{name}0"))
    spectra = block.files("SKY_SPECTRUM")[:_EXPOSURES]
    if spectra:
        plots.append(_spectrum(block, spectra, folder, f"{name}1"))
    return plots


def _mask(block: ProcedureInput, images: Sequence[Path], folder: Path, name: str) -> PlotFile:
    pictures = [SkyPicture.read(path, _title(path, number)) for number, path in enumerate(images, start=1)]
    figure, panels = sky_figure(f"where the sky was taken     {block.block}", pictures)
    parts = []
    for panel, picture, path in zip(panels, pictures, block.files("SKY_MASK"), strict=False):
        mask = SkyPicture.read(path).data
        if mask.shape == picture.data.shape and np.nanmax(mask) > 0:
            parts.append(float(np.nansum(mask > 0)) / max(np.isfinite(picture.data).sum(), 1))
            shade = np.where(mask > 0, 1.0, np.nan)
            panel.imshow(
                shade, origin="lower", extent=picture.extent, vmin=0, vmax=1.4, cmap="Oranges", alpha=0.75,
                interpolation="nearest", aspect="auto",
            )  # fmt: skip
    share = ", ".join(f"{100 * part:.1f} %" for part in parts)
    text = f"White light; orange is sky, {share} of the spaxels. " if parts else "White light. "
    return save(figure, folder, name, "sky in the field of view", f"{text}Colours are cut at 1 and 99.5 %.")


def _title(path: Path, number: int) -> str:
    date = get_key(scan_fits(path).primary, "DATE-OBS", str, default="")
    return f"exposure {number}, {date[:19]}"


def _spectrum(block: ProcedureInput, spectra: Sequence[Path], folder: Path, name: str) -> PlotFile:
    figure = new_figure(f"spectrum of the sky     {block.block}", 12.0, 7.2)
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"hspace": 0.16})
    before = block.references.get(("SKY_SPECTRUM", None))
    if before is not None:
        _draw(above, read_curve(before, SKY_SPECTRUM)[1], RAW, "the one before", 0.6)
    for number, path in enumerate(spectra):
        _draw(above, read_curve(path, SKY_SPECTRUM)[1], MASTER, "sky" if number == 0 else "", 0.6)
    for number, path in enumerate(block.files("SKY_CONTINUUM")[:_EXPOSURES]):
        _draw(
            above, read_curve(path, SKY_CONTINUUM)[1], REFERENCE, "continuum, lines taken off" if number == 0 else "", 1
        )
    log_scale(above)
    above.legend(fontsize=7, frameon=False, ncols=3)
    label(above, "mean spectrum of the spaxels that are sky", "", FLUX)
    found = block.files("SKY_LINES")
    if found:
        _lines(below, read_sky_lines(found[0]))
    label(
        below,
        "lines that were fitted" + (", of the first exposure" if len(found) > 1 else ""),
        "wavelength [Å]",
        _LINE_FLUX,
    )
    return save(figure, folder, name, "spectrum of the sky", _words(spectra, block))


def _draw(axes: Axes, curve: Curve, colour: str, name: str, width: float) -> None:
    axes.plot(curve.wave, np.where(curve.values > 0, curve.values, np.nan), color=colour, linewidth=width, label=name)


def _lines(axes: Axes, lines: SkyLines) -> None:
    shown = lines.flux > 0
    axes.vlines(lines.wave[shown], 0, lines.flux[shown], color=MASTER, linewidth=0.9)
    strongest = [np.flatnonzero(lines.group == group) for group in np.unique(lines.group)]
    peaks = sorted((int(members[lines.flux[members].argmax()]) for members in strongest), key=lambda k: -lines.flux[k])
    for k in peaks[:_NAMED]:
        axes.annotate(
            str(lines.name[k]), (lines.wave[k], lines.flux[k]), (0, 2), textcoords="offset points", fontsize=6,
            color=INK, rotation=90, ha="center", va="bottom",
        )  # fmt: skip
    if shown.any():
        axes.set_ylim(0, 1.4 * float(lines.flux.max()))


def _words(spectra: Sequence[Path], block: ProcedureInput) -> str:
    parts = [f"Of {len(spectra)} exposure{'s' if len(spectra) > 1 else ''}."]
    if not block.files("SKY_LINES"):
        parts.append("No lines were fitted.")
    else:
        parts.append("Of each group the strongest line is named.")
    if ("SKY_SPECTRUM", None) in block.references:
        parts.append("Grey is the sky before of the same set-up.")
    return " ".join(parts)
