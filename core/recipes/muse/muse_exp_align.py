"""muse_exp_align: how far exposures are off each other, from the stars of their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
from pydantic import field_validator

from core.errors import DataError, MissingInputError, ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import del_keys, get_key, set_key
from core.formats.field_image import FieldPicture, read_field_image
from core.formats.onsky_tables import OFFSET_LIST, SOURCE_LIST, named_tables
from core.formats.tables import MuseTable
from core.onsky.daofind import StarFilter
from core.onsky.detection import Detection, StarSearch, find_stars
from core.onsky.offsets import FieldOffsets, find_offsets
from core.recipes.declaration import FrameSpec, ProductSpec, QcSpec, Recipe, RecipeParameters, parameter
from core.recipes.flow import ArrayProduct, PartOutput, RecipeContext, TableProduct
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.differences.muse_exp_align import DIFFERENCES, MANUAL_NOTES
from core.recipes.muse.field_sum import FieldSum
from core.recipes.parts import MemoryNeed, Part

__all__ = ["AlignParameters", "MuseExpAlign"]

_IMAGE: Final = "IMAGE_FOV"
_SOURCES: Final = "SOURCE_LIST"
_LIST: Final = "OFFSET_LIST"
_QC: Final = "QC.EXPALIGN"
_OF_IMAGE: Final = (
    r"(WCSAXES|EXTNAME|INHERIT|HDU|(SCI|ERR|QUAL)DATA|BUNIT|(CTYPE|CUNIT|CRVAL|CRPIX|CDELT)\d|CD\d_\d|QC\.)"
)


class AlignParameters(RecipeParameters):
    """Parameters of muse_exp_align."""

    rsearch: str = parameter(
        "30.,4.,2.,0.8",
        "Search radius (in arcsec) for each iteration of the offset computation.",
        unit="arcsec",
    )
    nbins: int = parameter(
        60, "Number of bins to use for 2D histogram on the first iteration of the offset computation.", ge=1
    )
    weight: bool = parameter(True, "Use weighting.")
    fwhm: float = parameter(5.0, "FWHM in pixels of the convolution filter.", unit="pix", gt=0)
    threshold: float = parameter(
        15.0,
        "Initial intensity threshold for detecting point sources. If the value is negative or zero the threshold is "
        "taken as sigma above median background MAD. If it is larger than zero the threshold is taken as absolute "
        "background level.",
    )
    bkgignore: float = parameter(0.05, "Fraction of the image to be ignored.", ge=0, le=1)
    bkgfraction: float = parameter(
        0.1, "Fraction of the image (without the ignored part) to be considered as background.", ge=0, le=1
    )
    step: float = parameter(0.5, "Increment/decrement of the threshold value in subsequent iterations.", gt=0)
    iterations: int = parameter(100000, "Maximum number of iterations used for detecting sources.", ge=0)
    srcmin: int = parameter(5, "Minimum number of sources which must be found.", ge=1)
    srcmax: int = parameter(80, "Maximum number of sources which may be found.", ge=1)
    roundmin: float = parameter(-1.0, "Lower limit of the allowed point-source roundness.")
    roundmax: float = parameter(1.0, "Upper limit of the allowed point-source roundness.")
    sharpmin: float = parameter(0.2, "Lower limit of the allowed point-source sharpness.")
    sharpmax: float = parameter(1.0, "Upper limit of the allowed point-source sharpness.")
    bpixdistance: float = parameter(
        5.0,
        "Minimum allowed distance of a source to the closest bad pixel in pixel. Detected sources which are closer to "
        "a bad pixel are not taken into account when computing the field offsets. This option has no effect if the "
        "source positions are taken from input catalogs.",
        unit="pix",
    )
    expmap: bool = parameter(False, "Save the exposure map of the aligned images.", hidden=True)
    override_detection: bool = parameter(
        False, "Take the sources of the SOURCE_LIST frames instead of looking for them.", hidden=True
    )

    @field_validator("rsearch")
    @classmethod
    def _check_radii(cls, value: str) -> str:
        _radii(value)
        return value

    @property
    def radii(self) -> tuple[float, ...]:
        """Radii of the searches [arcsec]."""
        return _radii(self.rsearch)

    @property
    def search(self) -> StarSearch:
        """How stars are looked for."""
        shape = StarFilter(self.fwhm, (self.sharpmin, self.sharpmax), (self.roundmin, self.roundmax))
        return StarSearch(
            shape,
            self.threshold,
            self.step,
            self.iterations,
            self.srcmin,
            self.srcmax,
            self.bkgignore,
            self.bkgfraction,
            self.bpixdistance,
        )


def _radii(text: str) -> tuple[float, ...]:
    try:
        radii = tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise ValueError(f"{text!r} is no list of numbers") from error
    if not all(0 < radius < float("inf") for radius in radii):
        raise ValueError("radii are positive")
    return radii


@dataclass(frozen=True, eq=False)
class _Field:
    """An exposure: its image, and its sources."""

    frame: Frame
    picture: FieldPicture
    detection: Detection | None
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    ra: npt.NDArray[np.float64]
    dec: npt.NDArray[np.float64]


def _qc(name: str, unit: str, description: str, tags: tuple[str, ...] = (_LIST,), axes: tuple[str, ...] = ()) -> QcSpec:
    return QcSpec(f"{_QC}.{name}", unit, "float" if unit else "int", "CAL", description, tags, product_axes=axes)


def _offset_qc(axis: str, word: str) -> tuple[QcSpec, ...]:
    return tuple(
        _qc(f"OFFSET.{axis}.{what}", "arcsec", f"{text} of {word} offsets")
        for what, text in (
            ("MIN", "Minimum"),
            ("MAX", "Maximum"),
            ("MEAN", "Mean"),
            ("STDEV", "Standard deviation"),
        )
    )


class MuseExpAlign(Recipe):
    """Measure offsets of exposures."""

    name = "muse_exp_align"
    version = "1"
    memory = MemoryNeed(fixed_mb=500, part_mb=100)
    summary = "Create a coordinate offset table to be used to align exposures during exposure combination."
    description = (
        "Compute the coordinate offset for each input field-of-view image with respect to a reference. The created "
        "list of coordinate offsets can then be used in muse_exp_combine as the field coordinate offsets to properly "
        "align the exposures during their combination. The first image is the reference; fields that have no star in "
        "common with any other get no offset."
    )
    inputs = (
        FrameSpec(_IMAGE, "raw", min=2, description="Input field-of-view images"),
        FrameSpec(_SOURCES, "calib", description="Sources of each image (optional, only with override_detection)"),
    )
    Params = AlignParameters
    products: ClassVar[tuple[ProductSpec, ...]] = (
        ProductSpec(_LIST, "table", "List of computed coordinate offsets"),
        ProductSpec("PREVIEW_FOV", "image", "Sum of the aligned images"),
        ProductSpec(_SOURCES, "table", "Sources of an image, with the offset taken out"),
        ProductSpec("EXPOSURE_MAP", "image", "Exposure time of the aligned images", "expmap"),
    )
    qc = (
        _qc("NDET{exposure}", "", "Number of detected sources for input image i"),
        _qc("NMATCH{exposure}", "", "Median number of matches of input image i with other images"),
        _qc("NMATCH.MIN", "", "Minimum of the median number of matches for all input images"),
        _qc("NOMATCH", "", "Number of input images that do not have any matches with other images"),
        *_offset_qc("RA", "right ascension"),
        *_offset_qc("DEC", "declination"),
        QcSpec(
            f"{_QC}.SRC.POSITIONS",
            "",
            "str",
            "ENG",
            "Origin of the positions of the sources: detection or catalog",
            (_SOURCES,),
            product_axes=("exposure",),
        ),
        _qc("NDET", "", "Number of detected sources", (_SOURCES,), ("exposure",)),
        QcSpec(
            f"{_QC}.BKG.MEDIAN", "", "float", "ENG", "Median of the background", (_SOURCES,), product_axes=("exposure",)
        ),
        QcSpec(
            f"{_QC}.BKG.MAD",
            "",
            "float",
            "ENG",
            "Median absolute deviation of the background",
            (_SOURCES,),
            product_axes=("exposure",),
        ),
        QcSpec(
            f"{_QC}.THRESHOLD",
            "",
            "float",
            "ENG",
            "Threshold at which the sources were detected",
            (_SOURCES,),
            product_axes=("exposure",),
        ),
        *(
            _qc(f"EXPTIME.{what}", "s", f"{text} exposure time", ("EXPOSURE_MAP",))
            for what, text in (("MIN", "Minimum"), ("MAX", "Maximum"), ("AVG", "Mean"), ("MED", "Median"))
        ),
    )
    manual_notes = MANUAL_NOTES
    differences = DIFFERENCES

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: AlignParameters) -> None:
        """Limits must leave something; see `Recipe.check_parameters`.

        Raises
        ------
        ParameterError
            Naming the parameter.
        """
        for low, high in (("srcmin", "srcmax"), ("roundmin", "roundmax"), ("sharpmin", "sharpmax")):
            if getattr(params, high) < getattr(params, low):
                raise ParameterError(
                    f"{high}={getattr(params, high):g} is not accepted: it is below {low} ({getattr(params, low):g})",
                    parameter=high,
                )
        images, lists = (len(frames.tagged(tag)) for tag in (_IMAGE, _SOURCES))
        if params.override_detection and lists != images:
            raise MissingInputError(
                f"with override_detection each image has a {_SOURCES}: there are {images} images and {lists} lists",
                rule=_SOURCES,
            )

    def process(self, part: Part, frames: FrameSet, params: AlignParameters, ctx: RecipeContext) -> PartOutput:
        """Find the sources of all images, and the offsets; see `Recipe.process`."""
        lists = frames.tagged(_SOURCES) if params.override_detection else ()
        images = frames.tagged(_IMAGE)
        fields = []
        for number, frame in enumerate(images):
            ctx.progress(number / len(images), f"sources of {frame.path.name}")
            fields.append(_field(frame, params, lists[number] if lists else None, ctx))
        found = find_offsets(
            [(field.ra, field.dec) for field in fields], params.radii, params.nbins, weighted=params.weight
        )
        for number, (ra, dec, n) in enumerate(zip(found.ra, found.dec, found.matches, strict=True), start=1):
            ctx.log.info("image %d: %d matches, offsets %.3f, %.3f arcsec", number, n, ra * 3600, dec * 3600)
            if n == 0:
                ctx.log.warning("image %d has no sources in common with any other: its offsets are zero", number)
        total = FieldSum([field.picture for field in fields], found, ctx.log)
        products: list[Any] = [_offset_list(fields, found, lists), _preview(fields, total)]
        products += [_source_list(k, field, found, lists) for k, field in enumerate(fields)]
        if params.expmap:
            products.append(_exposure_map(fields, total))
        return PartOutput(products)


def _field(frame: Frame, params: AlignParameters, catalogue: Frame | None, ctx: RecipeContext) -> _Field:
    picture = read_field_image(frame.path)
    if catalogue is not None:
        table = next(named_tables(catalogue.path))
        x, y, ra, dec = (table.numbers(name) for name in ("X", "Y", "RA", "DEC"))
        ctx.log.info("%s: %d sources of %s", frame.path.name, x.size, catalogue.path.name)
        return _Field(frame, picture, None, x, y, ra, dec)
    try:
        detection = find_stars(picture.data, params.search)
    except DataError as error:
        raise DataError(error.message, file=frame.path) from error
    stars = detection.stars
    if not len(stars):
        ctx.log.warning(
            "%s: no threshold has %d to %d sources: it is left out", frame.path.name, params.srcmin, params.srcmax
        )
    ctx.log.info("%s: %d sources at a threshold of %g", frame.path.name, len(stars), detection.threshold)
    return _Field(frame, picture, detection, stars.x, stars.y, *picture.sky(stars.x, stars.y))


def _own(header: Header) -> Header:
    """Primary header of a product that is no image, or has a grid of its own."""
    own = header.copy()
    del_keys(own, _OF_IMAGE)
    return own


def _offset_list(fields: Sequence[_Field], found: FieldOffsets, lists: Sequence[Frame]) -> TableProduct:
    first = _own(fields[0].picture.header)
    dates = [get_key(field.picture.header, "DATE-OBS", str) for field in fields]
    days = [get_key(field.picture.header, "MJD-OBS", float, default=np.nan) for field in fields]
    for number, (field, n) in enumerate(zip(fields, found.matches, strict=True), start=1):
        set_key(first, f"{_QC}.NDET{number}", field.x.size, "number of detected sources")
        set_key(first, f"{_QC}.NMATCH{number}", n, "median number of matches with other images")
    set_key(first, f"{_QC}.NMATCH.MIN", min(found.matches), "minimum of the median number of matches")
    set_key(first, f"{_QC}.NOMATCH", sum(n == 0 for n in found.matches), "number of images without matches")
    for axis, values in (("RA", found.ra * 3600), ("DEC", found.dec * 3600)):
        for what, value in (
            ("MIN", values.min()),
            ("MAX", values.max()),
            ("MEAN", values.mean()),
            ("STDEV", values.std(ddof=1)),
        ):
            set_key(first, f"{_QC}.OFFSET.{axis}.{what}", float(value), "[arcsec]")
    columns = {
        "DATE_OBS": np.array(dates),
        "MJD_OBS": np.array(days),
        "RA_OFFSET": found.ra,
        "DEC_OFFSET": found.dec,
        "FLUX_SCALE": np.full(len(fields), np.nan),
    }
    frames = [field.frame for field in fields]
    return TableProduct(_LIST, OFFSET_LIST, MuseTable(columns, first), frames, list(lists))


def _source_list(number: int, field: _Field, found: FieldOffsets, lists: Sequence[Frame]) -> TableProduct:
    header = _own(field.picture.header)
    origin = "catalog" if field.detection is None else "detection"
    set_key(header, f"{_QC}.SRC.POSITIONS", origin, "origin of the source positions")
    set_key(header, f"{_QC}.NDET", field.x.size, "number of detected sources")
    columns = {
        "Id": np.arange(1, field.x.size + 1),
        "X": field.x,
        "Y": field.y,
        "RA": field.ra,
        "DEC": field.dec,
        "RA_CORR": (field.ra - found.ra[number]) % 360,
        "DEC_CORR": field.dec - found.dec[number],
    }
    if (detection := field.detection) is not None:
        for key, value in (
            ("BKG.MEDIAN", detection.background),
            ("BKG.MAD", detection.mad),
            ("THRESHOLD", detection.threshold),
        ):
            set_key(header, f"{_QC}.{key}", value)
        columns |= {
            "Flux": detection.stars.flux,
            "Sharpness": detection.stars.sharpness,
            "Roundness": detection.stars.roundness,
        }
    used = [] if field.detection is not None else [lists[number]]
    return TableProduct(_SOURCES, SOURCE_LIST, MuseTable(columns, header), [field.frame], used, number + 1)


def _preview(fields: Sequence[_Field], total: FieldSum) -> ArrayProduct:
    frames = [field.frame for field in fields]
    header = _own(fields[0].picture.header)
    unit = get_key(fields[0].picture.header, "BUNIT", str, default="")
    return ArrayProduct("PREVIEW_FOV", "DATA", total.image(), header, total.extension(unit), frames, [])


def _exposure_map(fields: Sequence[_Field], total: FieldSum) -> ArrayProduct:
    frames = [field.frame for field in fields]
    header = _own(fields[0].picture.header)
    times = [get_key(field.picture.header, "EXPTIME", float, default=0.0) for field in fields]
    seconds = total.weighted(times)
    inside = seconds[np.isfinite(seconds)]
    for what, value in (
        ("MIN", inside.min()),
        ("MAX", inside.max()),
        ("AVG", inside.mean()),
        ("MED", np.median(inside)),
    ):
        set_key(header, f"{_QC}.EXPTIME.{what}", float(value), "[s]")
    return ArrayProduct("EXPOSURE_MAP", "DATA", seconds, header, total.extension("s"), frames, [])
