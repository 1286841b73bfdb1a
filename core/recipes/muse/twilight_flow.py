"""The way of one IFU from raw exposures of the twilight sky to the pixels that go into the cube, for muse_twilight.

What an IFU leaves is a compact pixel table of its own (`core.formats.pixtable_compact`), which nobody sees: it goes
when the cube is made, or the run fails.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.mending import mend
from core.ccd.statistics import image_statistics
from core.errors import DataError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key, set_key
from core.formats.pixtable_header import PixtableLimits
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_slices import SliceRows
from core.formats.pixtable_slicewise import SlicewiseTable
from core.instruments.muse.facts import N_IFU, NOTCH, Dq, mode_class
from core.recipes.declaration import Recipe
from core.recipes.flow import RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.basic import CombinedImage, combine_frames, prepare
from core.recipes.muse.illum import measure_illumination
from core.recipes.muse.slice_maps import load_slice_maps, with_pixels
from core.recipes.qcwriter import QcWriter
from core.spatial.illumination import Illumination

if TYPE_CHECKING:
    from core.recipes.muse.muse_twilight import TwilightParameters

__all__ = ["RAW_TAG", "TwilightIfu", "pixels_of", "reduce_twilight", "remove_pixels"]

RAW_TAG: Final = "SKYFLAT"

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class TwilightIfu:
    """An IFU whose pixels are ready for the cube.

    Attributes
    ----------
    ifu : int
    limits : PixtableLimits
        Of its pixels.
    flux : float
        Sum of their data [count].
    raws, calibs : tuple of Frame
        What they are made of.
    """

    ifu: int
    limits: PixtableLimits
    flux: float
    raws: tuple[Frame, ...]
    calibs: tuple[Frame, ...]


def pixels_of(ifu: int, folder: Path) -> Path:
    """Where the pixels of an IFU are kept until the cube is made."""
    return folder / f".twilight-pixels-{ifu:02d}.fits"


def remove_pixels(folder: Path) -> None:
    """Remove the pixels of all IFUs, also unfinished ones."""
    for ifu in range(1, N_IFU + 1):
        for path in folder.glob(f"*{pixels_of(ifu, folder).name}*"):
            path.unlink(missing_ok=True)


def reduce_twilight(
    recipe: Recipe, ifu: int, frames: FrameSet, params: TwilightParameters, ctx: RecipeContext
) -> TwilightIfu:
    """Reduce an IFU and keep its pixels.

    Raises
    ------
    MuseError
        If that cannot be done.
    """
    stack = prepare(ifu, frames, (RAW_TAG,), params, ctx)
    maps = load_slice_maps(ifu, frames, stack.detector.trimmed_shape, ctx.log)
    illum = measure_illumination(ifu, frames, maps.maps, params, ctx)
    combined = combine_frames(stack, params.combine_options, ctx, scale=params.scale, statistics=True)
    header = combined.image.header.copy()
    del_keys(header, r"(QC\.|DRS\.MUSE\.OVSC)")
    _write_qc(QcWriter(recipe, "DATACUBE_SKYFLAT", header), ifu, combined)
    image = combined.image
    bad = (image.dq != 0) | ~np.isfinite(image.data)
    ctx.log.info("%d bad pixels are interpolated", np.count_nonzero(bad))
    mend(image.data, image.stat, bad)
    set_key(header, f"{PREFIX}.TYPE", maps.kind, "with or without positions in the field of view")
    slices = [SliceRows.whole(ifu, each).within(params.lambdamin, params.lambdamax) for each in maps.maps]
    if not any(rows.n_rows for rows in slices):
        low, high = params.lambdamin, params.lambdamax
        raise DataError(f"no pixel has a wavelength from {low:g} to {high:g} Angstrom", ifu=ifu, parameter="lambdamin")
    flux, limits = _keep(pixels_of(ifu, ctx.output_dir), header, slices, combined, illum[0] if illum else None)
    if not 0 < flux < math.inf:
        raise DataError(f"the twilight sky has a flux of {flux:g} count in this IFU", ifu=ifu)
    raws = (*combined.raws, *((illum[1],) if illum else ()))
    return TwilightIfu(ifu, limits, flux, raws, (*stack.calibs, *maps.frames))


def _write_qc(qc: QcWriter, ifu: int, combined: CombinedImage) -> None:
    for number, (statistics, saturated) in enumerate(zip(combined.statistics, combined.n_saturated, strict=True), 1):
        qc.write_statistics("QC.TWILIGHT{unit}.INPUT{input}", statistics, unit=ifu, input=number)
        qc.write("QC.TWILIGHT{unit}.INPUT{input}.NSATURATED", saturated, unit=ifu, input=number)
    whole = image_statistics(combined.image.data)
    qc.write_statistics("QC.TWILIGHT{unit}.MASTER", whole, unit=ifu)
    qc.write("QC.TWILIGHT{unit}.MASTER.INTFLUX", whole.flux, unit=ifu)


def _keep(
    path: Path, header: Header, slices: Sequence[SliceRows], combined: CombinedImage, illumination: Illumination | None
) -> tuple[float, PixtableLimits]:
    """Write the pixels of all slices; their flux and limits."""
    image = combined.image
    notch = NOTCH.get(mode_class(get_key(header, "INS.MODE", str, default=None)))
    flux = 0.0
    with SlicewiseTable.create(path, header, slices, form="compact") as table:
        for number, rows, (data, stat, dq) in with_pixels(table.slices, (image.data, image.stat, image.dq)):
            if illumination is not None:
                factor = illumination.factors[rows.map.slice_no]
                data *= np.float32(factor)
                stat *= np.float32(factor * factor)
            columns: dict[str, NDArray[Any]] = rows.columns(names=("xpos", "ypos", "lambda"))
            if notch:
                dq[(columns["lambda"] > notch[0]) & (columns["lambda"] < notch[1])] = int(Dq.NOTCH_NAD)
            flux += float(data.sum(dtype=np.float64))
            table.put(number, columns, data, dq, stat)
        table.describe(header)
        table.finish(header)
    return flux, table.limits
