"""QC procedure of twilight flats: the field as seen and as smoothed, its gradient, the flux of the IFUs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from core.fitsfile.dataunit import map_image
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.fitsfile.scan import scan_fits
from core.formats.cube import open_cube
from core.instruments.muse.facts import N_IFU
from core.procedures.field import DIVERGING, X_LABEL, Y_LABEL, FieldMap, field_figure
from core.procedures.model import PlotFile, Procedure, ProcedureInput
from core.procedures.style import INK, MASTER, RAW, REFERENCE, SERIES, label, legend, limits, new_figure, save

__all__ = ["PROCEDURE"]

F64 = NDArray[np.float64]

_CUBE: Final = ("DATACUBE_SKYFLAT", None)
_FLAT: Final = ("TWILIGHT_CUBE", None)
_WHITE: Final = "white"
_INPUT: Final = "QC.TWILIGHT{ifu}.INPUT{number}"
_FLUX: Final = "QC.TWILIGHT{ifu}.INTFLUX"
_MOST: Final = 100  # exposures that are looked for


@dataclass(frozen=True, eq=False)
class _Flat:
    """A flat field: its planes with their wavelengths [Angstrom], and the coordinates of its spaxels [pix]."""

    planes: F64
    wave: F64
    x: F64
    y: F64

    @classmethod
    def read(cls, path: Path) -> _Flat:
        cube = open_cube(path, needed=("DATA",))
        planes = cube.read_part("DATA", 0, cube.shape[0]).astype(np.float64)
        axes = (_axis(cube.header, number, size) for number, size in zip((3, 2, 1), cube.shape, strict=True))
        wave, y, x = axes
        return cls(planes, wave, x, y)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        return self.x[0] - 0.5, self.x[-1] + 0.5, self.y[0] - 0.5, self.y[-1] + 0.5


def _axis(header: Header, number: int, size: int) -> F64:
    pixel = np.arange(1, size + 1) - get_key(header, f"CRPIX{number}", float)
    first, step = (get_key(header, name, float) for name in (f"CRVAL{number}", f"CD{number}_{number}"))
    return np.asarray(first + pixel * step, np.float64)


def _of_all(block: ProcedureInput, folder: Path) -> list[PlotFile]:
    if _CUBE not in block.products or _FLAT not in block.products:
        return []
    flat = _Flat.read(block.products[_FLAT])
    white = _white_image(block.products[_CUBE])
    before = _Flat.read(block.references[_FLAT]) if _FLAT in block.references else None
    plots = [_field(block, white, flat, before, folder), _gradient(block, white, flat, before, folder)]
    flux = _flux(block, folder)
    return plots if flux is None else [*plots, flux]


def _white_image(path: Path) -> F64:
    """Image over all wavelengths, where the field has light; its median is 1."""
    hdu = scan_fits(path).extension(_WHITE)
    assert hdu is not None  # the recipe writes it with the cube
    image = np.array(map_image(path, hdu), np.float64)
    image[image <= 0] = np.nan
    image /= np.nanmedian(image)
    return image


def _field(block: ProcedureInput, white: F64, flat: _Flat, before: _Flat | None, folder: Path) -> PlotFile:
    smooth = _relative(flat)
    both = limits([white.ravel(), smooth.ravel()], 0.0)
    maps = [
        FieldMap(white, flat.extent, "twilight sky, all wavelengths; median 1", "relative", both),
        FieldMap(smooth, flat.extent, "flat field, mean of its planes; median 1", "relative", both),
        _deviation(white / smooth, flat, "sky over flat field, less 1"),
    ]
    comparable = before is not None and before.planes.shape[1:] == smooth.shape
    if before is not None and comparable:
        maps.append(_deviation(smooth / _relative(before), flat, "flat field over the one before, less 1"))
    figure = field_figure(f"twilight sky over the field     {block.block}", maps)
    text = (
        "Noise and slices, which the flat field does not follow, are seen in the ratio. "
        + ("" if comparable else "There is no earlier one of this size to compare with. ")
        + "Colours are cut at 99 %."
    )
    return save(figure, folder, "skyflat0", "field of view", text)


def _relative(flat: _Flat) -> F64:
    """Mean of the planes; its median is 1."""
    mean = flat.planes.mean(axis=0)
    return mean / np.median(mean)


def _deviation(ratio: F64, flat: _Flat, title: str) -> FieldMap:
    percent = 100 * (ratio - 1)
    reach = max(float(np.nanpercentile(np.abs(percent), 99)), 0.01)
    return FieldMap(percent, flat.extent, title, "%", (-reach, reach), DIVERGING)


def _gradient(block: ProcedureInput, white: F64, flat: _Flat, before: _Flat | None, folder: Path) -> PlotFile:
    figure = new_figure(f"gradient of the twilight flat     {block.block}", 12.0, 6.2)
    grid = figure.add_gridspec(2, 2, wspace=0.13, hspace=0.42)
    colours = colormaps["viridis"](np.linspace(0.0, 0.9, flat.wave.size))
    for number, (along, name) in enumerate(((flat.x, X_LABEL), (flat.y, Y_LABEL))):
        axes = figure.add_subplot(grid[0, number])
        seen = _profile(white, number)
        axes.plot(along, seen, color=RAW, linewidth=0.8, label="sky, all wavelengths")
        cuts = [_profile(plane, number) for plane in flat.planes]
        for cut, colour, wave in zip(cuts, colours, flat.wave, strict=True):
            ends = wave in (flat.wave[0], flat.wave[-1])
            axes.plot(along, cut, color=colour, linewidth=0.7, label=f"{wave:.0f} Angstrom" if ends else None)
        axes.set_ylim(*limits([seen, *cuts]))
        label(axes, f"profile along {name[0]} through the middle, less its mean", name, "%")
    legend(figure, axes)
    slopes = figure.add_subplot(grid[1, :])
    for number, (name, colour) in enumerate((("x", MASTER), ("y", REFERENCE))):
        look: dict[str, Any] = {"color": colour, "linewidth": 0.8, "markersize": 4}
        slopes.plot(flat.wave, _slopes(flat, number), ".-", label=f"along {name}", **look)
        if before is not None:
            slopes.plot(before.wave, _slopes(before, number), ".--", label=f"along {name}, before", **look)
    slopes.axhline(0, color=INK, linewidth=0.5)
    slopes.legend(fontsize=7, frameon=False, ncols=4, loc="best")
    label(slopes, "change from end to end of the field", "wavelength [Angstrom]", "%")
    text = (
        "Profiles are means of the middle third of the field, planes from blue (dark) to red (pale). Below, the slope "
        "of a straight line through the profile of each plane, times its length."
    )
    return save(figure, folder, "skyflat1", "gradient over the field", text)


def _profile(image: F64, across: int) -> F64:
    """Mean of the middle third of the lines (across 0) or columns (1), less its own mean [%]."""
    size = image.shape[across]
    middle = np.take(image, range(size // 3, max(size - size // 3, size // 3 + 1)), axis=across)
    counts = np.isfinite(middle).sum(axis=across)
    mean = np.divide(np.nansum(middle, axis=across), counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    return 100 * (mean / np.nanmean(mean) - 1)


def _slopes(flat: _Flat, across: int) -> list[float]:
    """Change of each plane from end to end [%]."""
    along = (flat.x, flat.y)[across]
    return [float(np.polyfit(along, _profile(plane, across), 1)[0] * np.ptp(along)) for plane in flat.planes]


def _flux(block: ProcedureInput, folder: Path) -> PlotFile | None:
    """Flux of the IFUs, in the cube and in each exposure; None if the cube does not tell it."""
    header = scan_fits(block.products[_CUBE]).primary
    ifus, flux = _relative_flux(header)
    if not ifus.size:
        return None
    figure = new_figure(f"flux of the IFUs     {block.block}", 12.0, 6.2)
    figure.subplots_adjust(hspace=0.5)
    whole, medians, saturated = figure.subplots(3, 1)
    if _CUBE in block.references:
        earlier = _relative_flux(scan_fits(block.references[_CUBE]).primary)
        whole.plot(*earlier, "s", color=RAW, markersize=5, markerfacecolor="none", label="before")
    whole.plot(ifus, flux, ".", color=MASTER, markersize=6, label="now")
    whole.legend(fontsize=7, frameon=False, ncols=2, loc="best")
    label(whole, "flux of all slices over the mean of the IFUs", "", "ratio")
    exposures = _exposures(header, ifus)
    for number in range(exposures.shape[1]):
        style = {"color": SERIES[number % len(SERIES)], "marker": ".", "markersize": 4, "linewidth": 0.7}
        medians.plot(ifus, exposures[0, number], label=f"exposure {number + 1}", **style)
        saturated.plot(ifus, exposures[1, number], **style)
    saturated.set_ylim(0, max(1.0, 1.1 * float(np.nanmax(exposures[1], initial=0.0))))
    label(medians, "median of each exposure", "", "count")
    label(saturated, "saturated pixels of each exposure", "IFU", "pixels")
    for axes in (whole, medians, saturated):
        axes.set_xticks(ifus)
        axes.set_xlim(ifus[0] - 0.6, ifus[-1] + 0.6)
    legend(figure, medians)
    text = "The data of each IFU are divided by its flux, relative to the first, before the cube is made."
    return save(figure, folder, "skyflat2", "flux of the IFUs", text)


def _relative_flux(header: Header) -> tuple[NDArray[np.int64], F64]:
    """IFUs and their flux, in units of the mean."""
    flux = np.array([get_key(header, _FLUX.format(ifu=ifu), float, np.nan) for ifu in range(1, N_IFU + 1)])
    known = np.flatnonzero(np.isfinite(flux))
    return known + 1, flux[known] / flux[known].mean() if known.size else flux[known]


def _exposures(header: Header, ifus: NDArray[np.int64]) -> F64:
    """Median and number of saturated pixels, shape (2, exposures, IFUs)."""
    found = []
    for number in range(1, _MOST + 1):
        names = [_INPUT.format(ifu=ifu, number=number) for ifu in ifus.tolist()]
        values = [
            [get_key(header, f"{name}.{what}", float, np.nan) for name in names] for what in ("MEDIAN", "NSATURATED")
        ]
        if not np.isfinite(values).any():
            break
        found.append(values)
    return np.array(found).reshape(-1, 2, ifus.size).swapaxes(0, 1)


def _of_ifu(block: ProcedureInput, unit: int, folder: Path) -> list[PlotFile]:
    return []


PROCEDURE = Procedure("DATACUBE_SKYFLAT", _of_all, _of_ifu)
