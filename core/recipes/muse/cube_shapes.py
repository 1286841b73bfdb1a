"""A cube that is filled becomes the products that its form asks for: one file, or one and its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.errors import MissingKeywordError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.formats.cube import CubeFile
from core.formats.cube_forms import CubeForm
from core.formats.euro3d import SpaxelGroup, write_euro3d
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import PixelTable
from core.recipes.flow import ArrayProduct, FileProduct, FilledFile, Product
from core.recipes.frames import Frame
from core.recipes.logs import Logger
from core.recipes.muse.cubes import FilledCube, image_file_headers
from core.recipes.muse.science_cards import ANCILLARY, describe_science_product, measure_depth
from core.recipes.muse.steps.combination import CombinedTable
from core.recipes.muse.steps.pointing import air_of, parallactic_angle_of
from core.recipes.names import product_name

__all__ = ["SpectraFile", "exposure_headers", "shaped_products"]

_IMAGE: Final = "IMAGE_FOV"
_ZERO_CELSIUS: Final = 273.15  # [K]


def shaped_products(
    cube: FilledCube,
    form: CubeForm,
    table: PixelTable,
    tag: str,
    raws: Sequence[Frame],
    calibs: Sequence[Frame],
    log: Logger,
) -> list[Product]:
    """The products of a cube.

    Parameters
    ----------
    cube : FilledCube
        With the images of the filters; written in the units of the form.
    form : CubeForm
    table : PixelTable
        That it was made of.
    tag : str
    raws, calibs : sequence of Frame
    log : logger

    Raises
    ------
    MissingKeywordError
        If an exposure lacks what the form needs to tell.
    """
    apart = () if form.inside else cube.images
    images: list[Product] = [
        _image(header, data, cube.header, number, form, (raws, calibs))
        for number, (header, data) in enumerate(apart, start=1)
    ]
    own = replace(cube, images=cube.images if form.inside else ())
    if form.archive:
        _describe(own, [data for _, data in apart], table, log)
    file: FilledFile = own
    if form.spectra:
        file = SpectraFile(own, group_of(table.header, own, log), _is_corrected(table.header))
    return [FileProduct(tag, file, cube.header, raws, calibs), *images]


@dataclass(frozen=True)
class SpectraFile:
    """A cube that becomes a table of spectra when it is finished (a `core.recipes.flow.FilledFile`).

    Attributes
    ----------
    cube : FilledCube
        Removed when the table is written.
    group : SpaxelGroup
    corrected : bool
        Whether differential refraction was taken out.
    """

    cube: FilledCube
    group: SpaxelGroup
    corrected: bool

    def finish(self, header: Header) -> Path:
        """Write the table under the name that was reserved for the cube."""
        with CubeFile.open(self.cube.path) as filled:
            path = write_euro3d(
                self.cube.path,
                header,
                filled.planes(),
                self.cube.grid,
                self.group,
                corrected=self.corrected,
                images=self.cube.images,
            )
            filled.discard()
        return path

    def discard(self) -> None:
        """Remove what is reserved."""
        self.cube.discard()


def exposure_headers(table: PixelTable) -> list[Header]:
    """Headers of the exposures of a table."""
    return [part.header for part in table.parts] if isinstance(table, CombinedTable) else [table.header]


def group_of(header: Header, cube: FilledCube, log: Logger) -> SpaxelGroup:
    """What all spaxels have in common; what the header does not tell is that of a usual night, or 0."""
    air = air_of(header, log)
    ends = [get_key(header, f"TEL.AIRM.{end}", float, default=0.0) for end in ("START", "END")]
    try:
        parallactic = parallactic_angle_of(header)
    except MissingKeywordError:
        parallactic = 0.0
    spatial = cube.grid.spatial
    unit = 3600.0 if spatial.celestial else 1.0
    return SpaxelGroup(
        (unit * spatial.scales[0], unit * spatial.scales[1]),
        airmass=sum(ends) / 2,
        parallactic_angle=parallactic,
        pressure=air.pressure,
        temperature=air.temperature + _ZERO_CELSIUS,
        humidity=100 * air.humidity,
    )


def _is_corrected(header: Header) -> bool:
    keys = (f"{PREFIX}.DAR.CORRECT", f"{PREFIX}.DAR.CORRECT.RESIDUAL")
    return any(get_key(header, key, float, default=-1.0) > 0 for key in keys)


def _describe(cube: FilledCube, images: Sequence[npt.NDArray[np.float32]], table: PixelTable, log: Logger) -> None:
    with CubeFile.open(cube.path) as filled:
        planes = filled.planes()
        depth = measure_depth(planes, cube.grid)
    n_valid = max(int(np.isfinite(image).sum()) for image in (images or [depth.image]))
    names = [product_name(_IMAGE, number=number) for number in range(1, len(images) + 1)]
    describe_science_product(cube.header, exposure_headers(table), cube.grid, depth, planes.unit, names, n_valid, log)


def _image(
    header: Header,
    data: npt.NDArray[Any],
    cube: Header,
    number: int,
    form: CubeForm,
    frames: tuple[Sequence[Frame], Sequence[Frame]],
) -> ArrayProduct:
    own, extension = image_file_headers(header, cube)
    if form.archive:
        own["PRODCATG"] = (ANCILLARY, "Data product category")
    return ArrayProduct(_IMAGE, "DATA", data, own, extension, *frames, number)
