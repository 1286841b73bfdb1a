"""muse_ampl: flats with readings of two photodiodes become the throughput of an IFU."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.cubes.collapse import WHITE, Filter
from core.errors import BadFitsError, DataError, MissingInputError, MissingKeywordError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key, has_key, hierarch_name, set_key
from core.formats.filters import read_filters
from core.formats.pixtable_header import PixtableLimits
from core.formats.pixtable_origin import PREFIX, encode_origin, origin_offset, set_offset
from core.formats.tables import GEOMETRY_TABLE, Column, MuseTable, TableFormat, read_table
from core.instruments.muse.facts import N_IFU, N_SLICES
from core.recipes.declaration import BADPIX_INPUT, FrameSpec, ProductSpec, QcSpec, parameter
from core.recipes.flow import ArrayProduct, ImageProduct, Product, RecipeContext, TableProduct
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.basic import CombinedImage, combine_frames, prepare
from core.recipes.muse.calibrations import NONLINEARITY_INPUT
from core.recipes.muse.differences.muse_ampl import DIFFERENCES
from core.recipes.muse.parameters import IfuCombineParameters, merge_parameter
from core.recipes.muse.slice_maps import SliceMaps, load_slice_maps
from core.recipes.muse.units import IfuRecipe
from core.recipes.parts import MemoryNeed
from core.recipes.qcwriter import QcWriter
from core.spatial.geometry import Geometry
from core.spatial.positions import SliceMap
from core.spectral.photodiode import FilteredLight, Throughput, compare, energy_of

__all__ = ["AmplParameters", "MuseAmpl"]

_MASTER: Final = "MASTER_AMPL"
_TABLE: Final = "TABLE_AMPL"
_CONVOLVED: Final = "AMPL_CONVOLVED"
_FOCAL_SCALE: Final = 1.705  # [arcsec/mm]
_NFM: Final = (0.2 / 0.02519) ** 2  # a spaxel of the wide field has that many of the narrow one
_COLUMNS: Final = TableFormat(
    _TABLE,
    (
        Column("xpos", "E", "pix", "relative position in the field of view"),
        Column("ypos", "E", "pix", "relative position in the field of view"),
        Column("lambda", "E", "Angstrom", "wavelength"),
        Column("data", "E", "ph", "photons through the filter"),
        Column("dq", "J", "", "flags"),
        Column("stat", "E", "J", "energy through the filter"),
        Column("origin", "J", "", "packed position on the detector"),
    ),
    "Light through the filter, pixel by pixel",
)


class AmplParameters(IfuCombineParameters):
    """Parameters of muse_ampl."""

    fbeam: float = parameter(1.1, "Factor by which the beam widens between the focal plane and the photodiode 2.", gt=0)
    temp: float = parameter(3200.0, "Temperature of the continuum lamp.", unit="K", gt=0)
    savemaster: bool = parameter(False, "Save the combined image, MASTER_AMPL.")
    savetable: bool = parameter(False, "Save the table of the light of each pixel, TABLE_AMPL.")
    merge: bool = merge_parameter()


def _qc(name: str, unit: str, klass: Any, description: str) -> QcSpec:
    return QcSpec(f"QC.AMPL.{name}", unit, "float", klass, description, (_TABLE, _CONVOLVED))


def _saturated(name: str, description: str) -> QcSpec:
    return QcSpec(f"QC.AMPL.{name}.NSATURATED", "", "int", "ENG", description, (_MASTER, _CONVOLVED))


class MuseAmpl(IfuRecipe):
    """Compare the light on the detector with that on two photodiodes."""

    name = "muse_ampl"
    version = "1"
    memory = MemoryNeed(fixed_mb=200, part_mb=900)
    summary = "Measure the throughput of an IFU from flats with readings of photodiodes."
    description = (
        "This recipe combines flats during which the currents of two photodiodes were read, after bias subtraction and "
        "conversion from adu to count, with scaling to the exposure time of the first. A count is taken as a photon. "
        "The light of each pixel that lies on a slice is multiplied with the transmission of the filter in front of "
        "photodiode 2, which the header names. Photons and energy are summed; power and area of the IFU in the focal "
        "plane are compared with the currents and the sensitivities of the photodiodes at the mean wavelength of the "
        "light."
    )
    inputs = (
        FrameSpec("AMPL", "raw", min=3, description="Flat with readings of the photodiodes"),
        FrameSpec("MASTER_BIAS", "calib", min=1, description="Master bias"),
        FrameSpec("MASTER_DARK", "calib", description="Master dark (optional)"),
        FrameSpec("TRACE_TABLE", "calib", min=1, description="Trace table"),
        FrameSpec("WAVECAL_TABLE", "calib", min=1, description="Wavelength calibration table"),
        FrameSpec("GEOMETRY_TABLE", "calib", max=1, description="Geometry of the slices (optional)"),
        FrameSpec("FILTER_LIST", "calib", min=1, max=1, description="Transmission of the filter of photodiode 2"),
        BADPIX_INPUT,
        NONLINEARITY_INPUT,
    )
    Params = AmplParameters
    products = (
        ProductSpec(_MASTER, "image", "Combined image", "savemaster"),
        ProductSpec(_TABLE, "table", "Light through the filter, pixel by pixel", "savetable"),
        ProductSpec(_CONVOLVED, "image", "Images of the photons and of the energy through the filter"),
    )
    qc = (
        _qc("PHOTONS", "ph", "CAL", "Photons through the filter"),
        _qc("POWER", "W", "CAL", "Power through the filter"),
        _qc("THRU1", "%", "KPI", "Throughput by photodiode 1"),
        _qc("THRU2", "%", "KPI", "Throughput by photodiode 2"),
        _qc("THRU2ERR", "%", "CAL", "Error of the throughput by photodiode 2"),
        _qc("SLICE{slice}.THRU2", "%", "ENG", "Throughput of slice j by photodiode 2"),
        _saturated("INPUT{input}", "Number of saturated pixels in raw flat i in input list"),
        _saturated("MASTER", "Number of saturated pixels in output data"),
    )
    differences = DIFFERENCES

    def reduce_ifu(self, ifu: int, frames: FrameSet, params: AmplParameters, ctx: RecipeContext) -> list[Product]:
        """Reduce one IFU; see `IfuRecipe.reduce_ifu`."""
        stack = prepare(ifu, frames, self.raw_tags(), params, ctx)
        passed, filter_frame = _filter_of(stack.frames[0].header, frames)
        currents = _currents(stack.frames[0].header)
        maps = load_slice_maps(ifu, frames, stack.detector.trimmed_shape, ctx.log).side_by_side()
        master = combine_frames(stack, params.combine_options, ctx, scale=True)
        if not master.exptime > 0:
            raise DataError("the first flat has no exposure time", keyword="EXPTIME")
        calibs: tuple[Frame, ...] = (*master.calibs, *maps.frames, filter_frame)
        base = master.image.header.copy()
        del_keys(base, r"DRS\.MUSE\.OVSC")  # of a raw image, which the other products are not
        if params.savemaster:
            _write_saturated(QcWriter(self, _MASTER, master.image.header), master)
            ctx.save(ImageProduct(_MASTER, master.image, master.raws, master.calibs))
        light = FilteredLight(params.temp, 0.0, {})
        images = np.zeros((2, *stack.detector.trimmed_shape), np.float32)
        rows = [_light_of(item, ifu, master, passed, light, images) for item in maps.maps]
        areas = _areas(base, ifu, frames, ctx)
        result = compare(light, master.exptime, *areas, currents, params.fbeam)
        ctx.log.info(
            "throughput at %.1f Angstrom: %.3f and %.3f +/- %.3f %%",
            light.wave, result.first, result.second, result.error,
        )  # fmt: skip
        products: list[Product] = []
        if params.savetable:
            header = base.copy()
            _write_throughput(QcWriter(self, _TABLE, header), light, result)
            products.append(_table(header, rows, maps, ifu, master, calibs))
        _write_throughput(QcWriter(self, _CONVOLVED, base), light, result)
        _write_saturated(QcWriter(self, _CONVOLVED, base), master)
        photons, energy = _named("PHOTONS", "ph"), _named("ENERGY", "J")
        del_keys(photons, "EXTNAME")
        products.append(
            ArrayProduct(
                _CONVOLVED, "PHOTONS", images[0], base, photons, master.raws, calibs, more=[(energy, images[1])]
            )
        )
        return products


# -- what is given -----------------------------------------------------------------------------------------------------
def _currents(header: Header) -> tuple[float, float]:
    """Currents of the photodiodes [A]."""
    found = []
    for number in (1, 2):
        key = f"INS.AMPL{number}.CURR"
        value = get_key(header, key, float)
        if "[mA]" not in header.comment(hierarch_name(key)):
            raise DataError("the current of a photodiode must be in mA, as its comment says", keyword=key)
        found.append(value / 1000)
    return found[0], found[1]


def _filter_of(header: Header, frames: FrameSet) -> tuple[Filter, Frame]:
    """The filter in front of photodiode 2."""
    key = "INS.AMPL2.FILTER"
    frame = frames.one("FILTER_LIST")
    if not has_key(header, key):
        raise MissingKeywordError("the filter of photodiode 2 is not known", keyword=key)
    name = get_key(header, key, str).strip()
    known = {"white": WHITE, **read_filters(frame.path)}
    if name.lower().startswith("none") or name not in known:
        raise MissingInputError(f"there is no filter {name}", file=frame.path, keyword=key)
    return known[name], frame


def _areas(header: Header, ifu: int, frames: FrameSet, ctx: RecipeContext) -> tuple[float, float]:
    """Areas of the IFU and of a slice in the focal plane [cm^2]."""
    side = 60 / get_key(header, "TEL.FOCU.SCALE", float, default=_FOCAL_SCALE) / 10
    nominal = side**2 / N_IFU
    if get_key(header, "INS.MODE", str, default="").startswith("NFM"):
        nominal /= _NFM
    frame = frames.optional("GEOMETRY_TABLE")
    if frame is None:
        ctx.log.warning("without a geometry the IFU is taken to have %.6g cm^2 in the focal plane", nominal)
        return nominal, nominal / N_SLICES
    geometry = Geometry.from_columns(read_table(frame.path, GEOMETRY_TABLE))
    own = geometry.where(geometry.ifu == ifu)
    if len(own) != N_SLICES:
        raise BadFitsError(f"the geometry has {len(own)} slices of the IFU", file=frame.path, ifu=ifu)
    order = np.argsort(own.slice_sky, kind="stable").reshape(4, N_SLICES // 4)
    heights = np.abs(own.y[order[:, 0]] - own.y[order[:, -1]]) / 11 / 288 * side
    return float(np.sum(own.width[order].mean(axis=1) * 12 * heights / 300 * side)), nominal / N_SLICES


# -- the light ---------------------------------------------------------------------------------------------------------
def _light_of(
    item: SliceMap, ifu: int, master: CombinedImage, passed: Filter, light: FilteredLight, images: NDArray[np.float32]
) -> dict[str, NDArray[Any]]:
    """Rows of a slice where the filter lets something through; they are put into the images and the sums."""
    response = passed.response(item.wavelengths)
    kept = response > 0
    places = item.places()
    wave, x, y = places.wave[kept], places.x[kept], places.y[kept]
    photons = (item.take(master.image.data, kept) * response[kept]).astype(np.float32)
    energy = energy_of(photons, wave)
    if wave.size:
        light.add(item.slice_no, wave, photons, energy)
    images[0, y - 1, x - 1], images[1, y - 1, x - 1] = photons, energy
    return {
        "xpos": places.xpos[kept],
        "ypos": places.ypos[kept],
        "lambda": wave,
        "data": photons,
        "dq": item.take(master.image.dq, kept),
        "stat": energy,
        "origin": encode_origin(x, y, ifu, item.slice_no, origin_offset(item.left_at_bottom)),
    }


# -- products ----------------------------------------------------------------------------------------------------------
def _table(
    header: Header,
    rows: list[dict[str, NDArray[Any]]],
    maps: SliceMaps,
    ifu: int,
    master: CombinedImage,
    calibs: tuple[Frame, ...],
) -> TableProduct:
    columns = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
    set_key(header, f"{PREFIX}.TYPE", "SIMPLE", "without positions in the field of view")
    PixtableLimits.of(columns).write(header)
    for item in maps.maps:
        set_offset(header, 0, ifu, item.slice_no, origin_offset(item.left_at_bottom))
    return TableProduct(_TABLE, _COLUMNS, MuseTable(columns, header), master.raws, calibs)


def _named(name: str, unit: str) -> Header:
    header = Header()
    header["EXTNAME"], header["BUNIT"] = name, unit
    return header


def _write_throughput(qc: QcWriter, light: FilteredLight, result: Throughput) -> None:
    qc.write("QC.AMPL.PHOTONS", light.photons)
    qc.write("QC.AMPL.POWER", result.power)
    qc.write("QC.AMPL.THRU1", result.first)
    qc.write("QC.AMPL.THRU2", result.second)
    qc.write("QC.AMPL.THRU2ERR", result.error)
    for number, value in result.slices.items():
        qc.write("QC.AMPL.SLICE{slice}.THRU2", value, slice=number)


def _write_saturated(qc: QcWriter, master: CombinedImage) -> None:
    qc.write_each("QC.AMPL.INPUT{input}.NSATURATED", "input", master.n_saturated)
    qc.write("QC.AMPL.MASTER.NSATURATED", master.combined_saturated)
