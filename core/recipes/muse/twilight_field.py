"""From the pixels of the IFUs to the cube of the twilight sky, and from that to the flat field, for muse_twilight."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.errors import BadFitsError, DataError, error_context
from core.fitsfile.dataunit import map_image
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key, has_key, set_key
from core.fitsfile.scan import scan_fits
from core.formats.cube import open_cube
from core.formats.image import image_extension_header
from core.instruments.muse.facts import N_IFU, mode_class
from core.recipes.declaration import Recipe
from core.recipes.flow import ArrayProduct, FileProduct, Product, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.cubes import Slab, wcs_header, write_cube
from core.recipes.muse.pixel_source import PixelSource, joined_source
from core.recipes.muse.slice_source import source_of_slices
from core.recipes.muse.twilight_flow import TwilightIfu, pixels_of, remove_pixels
from core.recipes.names import product_name
from core.recipes.qcwriter import QcWriter
from core.spatial.twilight import SmoothField, smooth_field
from core.spatial.vignetting import corner_mask, top_mask

if TYPE_CHECKING:
    from core.recipes.muse.muse_twilight import TwilightParameters

__all__ = ["CUBE", "FLAT", "SkyCube", "TwilightField", "field_scales", "read_sky_cube"]

CUBE: Final = "DATACUBE_SKYFLAT"
FLAT: Final = "TWILIGHT_CUBE"

_WCS: Final = r"(CTYPE|CUNIT|CRVAL|CRPIX)\d|CD\d_\d"
_FLUX: Final = "DRS.MUSE.FLAT.FLUX.SKY"
_BYTES: Final = 1 << 30  # for the pixels of a part of the field
_FAINT: Final = 24  # in narrow field mode the last IFU is vignetted: it is taken to be as bright as the one before it

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SkyCube:
    """The twilight sky before it is smoothed.

    Attributes
    ----------
    header : Header
        With the fluxes of the IFUs.
    wcs : Header
        World coordinates.
    unit : str
    planes : ndarray of float32, shape (nz, ny, nx)
    white : ndarray of float32, shape (ny, nx)
        Mean of the planes.
    """

    header: Header
    wcs: Header
    unit: str
    planes: F32
    white: F32


def field_scales(measured: Mapping[int, float], *, narrow: bool, given: Sequence[float] = ()) -> dict[int, float]:
    """How bright the IFUs are: their data are divided by these numbers.

    Parameters
    ----------
    measured : mapping of int to float
        IFU to its flux.
    narrow : bool
        Whether the mode is that of the narrow field.
    given : sequence of float
        Scales of the 24 IFUs in place of what was measured.

    Returns
    -------
    dict of int to float
        Relative to the first of the IFUs, unless they are given.
    """
    if given:
        return {ifu: given[ifu - 1] for ifu in measured}
    fluxes = dict(measured)
    if narrow and {_FAINT - 1, _FAINT} <= fluxes.keys():
        fluxes[_FAINT] = fluxes[_FAINT - 1]
    return {ifu: flux / fluxes[min(fluxes)] for ifu, flux in fluxes.items()}


@dataclass
class TwilightField:
    """All IFUs together."""

    recipe: Recipe
    frames: FrameSet
    params: TwilightParameters
    ctx: RecipeContext
    scales: tuple[float, ...] = ()

    def of_ifus(self, ifus: Sequence[TwilightIfu]) -> list[Product]:
        """Cube and flat field of IFUs whose pixels are ready."""
        raws = self._used(frame for ifu in ifus for frame in ifu.raws)
        calibs = self._used(frame for ifu in ifus for frame in ifu.calibs)
        source = self._source(ifus)
        planes: list[F32] = []

        def keep(slab: Slab) -> None:
            planes.append(slab.data)
            self.ctx.progress(0.5, "the cube of the twilight sky")

        path = self.ctx.output_dir / product_name(CUBE)
        filled = write_cube(
            path, source, self.params.cube_options(_BYTES), filters=[None], spread=self.ctx.spread, each=keep
        )
        remove_pixels(self.ctx.output_dir)
        sky = SkyCube(filled.header, wcs_header(filled.grid), source.unit, np.concatenate(planes), filled.images[0][1])
        return [FileProduct(CUBE, filled, filled.header, raws, calibs), *self.of_cube(sky, raws, calibs)]

    def of_cube(self, sky: SkyCube, raws: Sequence[Frame], calibs: Sequence[Frame]) -> list[Product]:
        """Flat field of a cube."""
        narrow = _is_narrow(sky.header)
        part, used = self._vignetted(sky.white.shape, narrow)
        orders = self.params.xorder, self.params.yorder
        field = smooth_field(
            sky.planes, sky.white, orders, part, self.params.smoothing, narrow=narrow, spread=self.ctx.spread
        )
        if field.interpolated:
            self.ctx.log.warning("planes without data are interpolated: %s", ", ".join(map(str, field.interpolated)))
        header = sky.header.copy()
        del_keys(header, r"QC\.")
        product = ArrayProduct(FLAT, "DATA", field.planes, header, _data_header(sky), raws, (*calibs, *used))
        product.more = list(_images(field, sky))
        return [product]

    def _used(self, used: Iterable[Frame]) -> tuple[Frame, ...]:
        """Frames that were used, each once, in the order of the set of frames."""
        wanted = set(used)
        return tuple(frame for frame in self.frames if frame in wanted)

    def _source(self, ifus: Sequence[TwilightIfu]) -> PixelSource:
        """The pixels of all IFUs, brought to the flux of the first."""
        folder = self.ctx.output_dir
        headers = {ifu.ifu: scan_fits(pixels_of(ifu.ifu, folder)).primary for ifu in ifus}
        header = headers[ifus[0].ifu].copy()
        header.remove("EXTNAME")
        fluxes = {ifu.ifu: ifu.flux for ifu in ifus}
        scales = field_scales(fluxes, narrow=_is_narrow(header), given=self.scales)
        sources = []
        for ifu in ifus:
            number, scale = ifu.ifu, scales[ifu.ifu]
            self.ctx.log.info("IFU %d: flux %.6g count, scale %.5f", number, ifu.flux, scale)
            sources.append(source_of_slices(pixels_of(number, folder), ifu.limits, scale))
            _copy_qc(headers[number], header)
            flux = scale * ifus[0].flux
            set_key(header, f"{_FLUX}{number}", flux, "flux of the twilight sky of the IFU")
            QcWriter(self.recipe, CUBE, header).write("QC.TWILIGHT{unit}.INTFLUX", ifu.flux, unit=number)
        return replace(joined_source(sources), header=header)

    def _vignetted(self, shape: tuple[int, ...], narrow: bool) -> tuple[NDArray[np.bool_] | None, tuple[Frame, ...]]:
        """Where the field is vignetted, and the frame that says so."""
        size = (shape[0], shape[1])
        if narrow:
            return top_mask(size, self.params.vignnfmmask), ()
        given = self.frames.optional("VIGNETTING_MASK")
        if given is None:
            return None, ()
        with error_context(file=given.path):
            return corner_mask(_read_mask(given.path), size), (given,)


def _is_narrow(header: Header) -> bool:
    return mode_class(get_key(header, "INS.MODE", str, default=None)).startswith("NFM")


def _copy_qc(header: Header, target: Header) -> None:
    for card in header.cards:
        if card.keyword.startswith("ESO QC "):
            target.put(card)


def _read_mask(path: Path) -> NDArray[np.bool_]:
    """The first image of two dimensions in a file.

    Raises
    ------
    BadFitsError
        If there is none.
    """
    scan = scan_fits(path)
    for hdu in scan.hdus:
        if hdu.kind == "image" and len(hdu.shape) == 2 and not scan.truncated:
            return np.asarray(map_image(path, hdu)) != 0
    raise BadFitsError("the file has no image of two dimensions, or is cut", file=path)


def _images(field: SmoothField, sky: SkyCube) -> Iterator[tuple[Header, NDArray[Any]]]:
    """What the flat field was made of on the way: images and masks, as extensions of its file."""
    spatial = Header([card for card in sky.wcs.cards if "3" not in card.keyword])

    def image(
        name: str, what: str, data: F32, good: NDArray[np.bool_] | None = None, unit: str = "1"
    ) -> Iterator[tuple[Header, NDArray[Any]]]:
        flags = f"{name}_DQ"
        header = image_extension_header("DATA", unit, parts=())
        header["EXTNAME"] = (name, what)
        header.extend(spatial.cards)
        if good is not None:
            header["QUALDATA"] = (flags, "pointer to the mask")
        yield header, data
        if good is not None:
            header = image_extension_header("DQ", "", parts=())
            header["EXTNAME"] = (flags, "0 where it counts")
            header["SCIDATA"] = (name, "pointer to the image")
            header.extend(spatial.cards)
            yield header, (~good).astype(np.int32)

    yield from image("white_global_fit", "mean of the fitted planes", field.fitted, unit=sky.unit)
    yield from image("white_div_global", "normalised white image over the fit", field.divided, field.good)
    loss = field.vignetting
    if loss is None:
        return
    if loss.cleaned is not None:
        yield from image("white_div_global_excl_edges", "the same without edges", loss.cleaned, loss.used)
    yield from image("vign_fit", "fit of the vignetting", loss.factor, loss.part)
    corrected = field.divided / loss.factor
    yield from image("white_cor", "white image without vignetting", corrected, loss.part & loss.used, sky.unit)


def _data_header(sky: SkyCube) -> Header:
    header = image_extension_header("DATA", sky.unit, parts=("DATA",))
    header.remove("EXTNAME")
    header.extend(sky.wcs.cards)
    return header


def read_sky_cube(path: Path) -> SkyCube:
    """A cube of the twilight sky that was made before.

    Raises
    ------
    BadFitsError
        If the file has no cube.
    DataError
        If it does not say the flux of any IFU.
    """
    cube = open_cube(path, needed=("DATA",))
    header = scan_fits(path).primary.copy()
    if not any(has_key(header, f"{_FLUX}{ifu}") for ifu in range(1, N_IFU + 1)):
        raise DataError("the cube does not say the flux of any IFU", file=path, keyword=_FLUX)
    planes = cube.read_part("DATA", 0, cube.shape[0])
    wcs = Header([cube.header.card(key) for key in cube.header if re.fullmatch(_WCS, key)])
    return SkyCube(header, wcs, cube.unit, planes, _mean_of_planes(planes))


def _mean_of_planes(planes: F32) -> F32:
    """Mean of the planes that have a value; NaN where none has."""
    known = np.isfinite(planes)
    numbers = np.count_nonzero(known, axis=0)
    sums = np.where(known, planes, 0).sum(axis=0, dtype=np.float64)
    return np.divide(sums, numbers, out=np.full(sums.shape, np.nan), where=numbers > 0).astype(np.float32)
