"""Pictures of cubes: images through filters with the sources, widths of the sources, what is left of the sky; and the
view of the cube, which pages show."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.fitsfile.scan import scan_fits
from core.formats.cube import CubePlanes, open_cube
from core.previews.cubeview import ViewMaker
from core.procedures.model import PlotFile, ProcedureInput
from core.procedures.skyfield import SkyPicture, Source, draw_sources, plain_unit, sky_figure, sources_of
from core.procedures.style import INK, MASTER, RAW, REFERENCE, label, limits, new_figure, save

__all__ = ["cube_pictures"]

_DARK: Final = (0.05, 0.35)  # of the spaxels, in order of their white light: those that are taken for sky
_SAMPLE: Final = 3000  # spaxels of sky at most
_PLANES: Final = 16  # read at once
_IMAGES: Final = 4  # of filters, in one picture
_LINES: Final = (5577.3, 6300.3, 7276.4, 8344.6, 8827.1)  # [Angstrom] of the brightest of the sky

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


def cube_pictures(
    block: ProcedureInput, cube_path: Path, prefix: str, folder: Path, name: str, *, residuals: bool
) -> list[PlotFile]:
    """Pictures of a cube, and its view.

    Parameters
    ----------
    block : ProcedureInput
    cube_path : pathlib.Path
    prefix : str
        Of the QC parameters of its sources.
    folder : pathlib.Path
    name : str
        The pictures are called so, with a number.
    residuals : bool
        Whether its sky was subtracted, so that it may be asked what is left of it.
    """
    cube = open_cube(cube_path)
    maker = ViewMaker(cube).run()
    title = f"view of {cube_path.name}"
    path = maker.write(folder / f"{cube_path.stem}-view.fits")
    view = PlotFile(path.stem, title, "white light, and spectra of all places", str(path), view_of=cube_path.name)
    header = scan_fits(cube_path).primary
    sources = sources_of(header, prefix)
    white = SkyPicture(maker.white, maker.grid.spatial, "white light: mean of all planes", cube.unit)
    plots = [view, _field(block, white, sources, folder, f"{name}0")]
    if sources:
        plots.append(_widths(block, header, prefix, sources, folder, f"{name}1"))
    if residuals:
        left = _residuals(block, cube, maker, folder, f"{name}2")
        plots += [left] if left is not None else []
    return plots


def _field(block: ProcedureInput, white: SkyPicture, sources: list[Source], folder: Path, name: str) -> PlotFile:
    images = [SkyPicture.read(path) for path in block.files("IMAGE_FOV")][:_IMAGES]
    pictures = [image for image in images if image.data.shape == white.data.shape] or [white]
    figure, panels = sky_figure(f"cube     {block.block}", pictures)
    draw_sources(panels[0], pictures[0], sources)
    found = f"{len(sources) or 'No'} source{'' if len(sources) == 1 else 's'} found in the middle plane"
    return save(figure, folder, name, "field of view", f"{found}. Colours are cut at 1 and 99.5 %.")


def _widths(
    block: ProcedureInput, header: Header, prefix: str, sources: list[Source], folder: Path, name: str
) -> PlotFile:
    measured = [source for source in sources if source.is_measured]
    figure = new_figure(f"widths of the sources     {block.block}", 12.0, 3.6)
    axes = figure.subplots()
    for values, colour, text in (
        ([source.x_fwhm for source in measured], MASTER, "along x"),
        ([source.y_fwhm for source in measured], REFERENCE, "along y"),
    ):
        axes.plot([source.number for source in measured], values, "o", color=colour, markersize=5, label=text)
    median = get_key(header, f"{prefix}.FWHM.MEDIAN", float, default=0.0)
    if median > 0:
        axes.axhline(median, color=INK, linewidth=0.8, linestyle="--", label="median")
    seeing = [get_key(header, f"TEL.AMBI.FWHM.{end}", float, default=-1.0) for end in ("START", "END")]
    if min(seeing) > 0:
        axes.axhspan(min(seeing), max(max(seeing), min(seeing) + 0.002), color=RAW, alpha=0.5, label="seeing monitor")
    axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0.5, max(len(sources), 2) + 0.5)
    axes.legend(fontsize=7, frameon=False, ncols=4)
    label(axes, "full width at half maximum", "source", "FWHM [arcsec]")
    wave = get_key(header, f"{prefix}.LAMBDA", float, default=np.nan)
    text = f"Measured of {len(measured)} of {len(sources)}, in the plane of {wave:.1f} Å."
    return save(figure, folder, name, "widths of the sources", text)


def _residuals(block: ProcedureInput, cube: CubePlanes, maker: ViewMaker, folder: Path, name: str) -> PlotFile | None:
    dark = _dark_spaxels(maker.white)
    if dark.size < 20:
        return None
    left, ratio = _left_of_sky(cube, dark)
    if not np.isfinite(left).any():
        return None
    wave = maker.grid.spectral.wave(np.arange(cube.shape[0]))
    figure = new_figure(f"what is left of the sky     {block.block}", 12.0, 6.0)
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"hspace": 0.16})
    above.plot(wave, left, color=MASTER, linewidth=0.6)
    above.axhline(0, color=INK, linewidth=0.5)
    above.set_ylim(*limits([left]))
    label(above, "median of the darkest spaxels", "", f"{plain_unit(cube.unit)}")
    below.plot(wave, ratio, color=REFERENCE, linewidth=0.6)
    below.axhline(1, color=INK, linewidth=0.5)
    below.set_ylim(0, max(2.0, float(np.nanpercentile(ratio, 99.5))))
    label(below, "scatter from spaxel to spaxel over the noise that STAT promises", "wavelength [Å]", "ratio")
    seen = wave[np.isfinite(left)]
    below.set_xlim(seen[0], seen[-1])
    for line in _LINES:
        for axes in (above, below):
            axes.axvline(line, color=RAW, linewidth=0.6, linestyle=":", zorder=0)
    middle = float(np.nanmedian(ratio))
    text = (
        f"Of {dark.size} of the darkest spaxels. Median {np.nanmedian(left):+.3g} {plain_unit(cube.unit)}, scatter "
        f"over noise {middle:.2f}; resampling makes neighbours alike, which lowers it. Dotted: bright sky lines."
    )
    return save(figure, folder, name, "sky residuals", text)


def _dark_spaxels(white: F32) -> NDArray[np.int64]:
    """Numbers of spaxels that are taken for sky, evenly thinned."""
    values = white.ravel()
    seen = np.flatnonzero(np.isfinite(values))
    order = seen[np.argsort(values[seen], kind="stable")]
    low, high = (int(part * order.size) for part in _DARK)
    chosen = np.sort(order[low:high])
    return chosen[:: max(1, chosen.size // _SAMPLE)].astype(np.int64)


def _left_of_sky(cube: CubePlanes, dark: NDArray[np.int64]) -> tuple[F64, F64]:
    """Median of the spaxels in each plane, and their robust scatter over the noise; NaN where half have no value."""
    nz = cube.shape[0]
    left, ratio = np.full(nz, np.nan), np.full(nz, np.nan)
    for z0 in range(0, nz, _PLANES):
        z1 = min(z0 + _PLANES, nz)
        data, stat = (
            cube.read_part(part, z0, z1).reshape(z1 - z0, -1)[:, dark].astype(np.float64) for part in ("DATA", "STAT")
        )
        full = np.isfinite(data).sum(axis=1) > dark.size // 2
        if not full.any():
            continue
        data, stat = data[full], stat[full]
        middle = np.nanmedian(data, axis=1)
        scatter = 1.4826 * np.nanmedian(np.abs(data - middle[:, None]), axis=1)
        noise = np.sqrt(np.nanmedian(stat, axis=1))
        left[z0:z1][full] = middle
        ratio[z0:z1][full] = np.divide(scatter, noise, out=np.full(noise.shape, np.nan), where=noise > 0)
    return left, ratio
