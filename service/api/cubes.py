"""Cubes in little: the white-light image and the spectrum of any place, from the view that was made with the cube."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from core.archive.pages import products as queries
from core.archive.sessions import Archive
from core.errors import NotFoundError
from core.previews.cubeview import CubeView, open_cube_view
from core.previews.preview import Cuts
from service.api.pixels import FactorQuery, TileQuery, levels_response, tile_response
from service.dependencies import ArchiveDep, PreviewsDep, ProductId
from service.files import cube_views
from service.media import BYTES, PNG, answers
from service.previews import preview_response

router = APIRouter(prefix="/products", tags=["pixels"])

SpaxelQuery = Annotated[int, Query(ge=1, le=100_000, description="Spaxel of the cube, counted from 1")]
_DIGITS: Final = 6


class CubeViewOut(BaseModel):
    """What the view of a cube shows."""

    width: int = Field(description="Spaxels of the cube along x")
    height: int = Field(description="Spaxels of the cube along y")
    box: int = Field(description="A spectrum is the mean of box x box spaxels")
    planes: int = Field(description="and of so many planes")
    unit: str = Field(description="Of the values")
    wave: list[float] = Field(description="Wavelengths of the values of a spectrum [Angstrom]")
    vacuum: bool = Field(description="Whether they are those in vacuum; if not, in air")


class SpectrumOut(BaseModel):
    """The spectrum of a place."""

    x: int
    y: int
    x_range: tuple[int, int] = Field(description="First and last spaxel of the mean along x")
    y_range: tuple[int, int] = Field(description="First and last spaxel of the mean along y")
    ra: float | None = Field(description="Right ascension of the spaxel [deg]; null: the cube is not on the sky")
    dec: float | None = Field(description="Declination [deg]")
    values: list[float | None] = Field(description="One for each wavelength of the view; null: no value")


@router.get("/{product_id}/view", summary="What can be seen of a cube")
def get_view(archive: ArchiveDep, product_id: ProductId) -> CubeViewOut:
    """Size, unit and wavelengths of the spectra of a cube."""
    view = open_cube_view(_view_path(archive, product_id))
    return CubeViewOut(
        width=view.width,
        height=view.height,
        box=view.box,
        planes=view.planes,
        unit=view.unit,
        wave=np.round(view.wave, 3).tolist(),
        vacuum=view.vacuum,
    )


@router.get("/{product_id}/spectrum", summary="The spectrum at a place of a cube")
def get_spectrum(archive: ArchiveDep, product_id: ProductId, x: SpaxelQuery, y: SpaxelQuery) -> SpectrumOut:
    """Mean of a few spaxels around the place in bins of a few planes; read in a moment, the cube is not touched."""
    view = open_cube_view(_view_path(archive, product_id))
    found = view.spectrum(x, y)
    ra, dec = view.sky(x, y) or (None, None)
    values = [float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None for value in found.values.tolist()]
    return SpectrumOut(x=x, y=y, x_range=found.x, y_range=found.y, ra=ra, dec=dec, values=values)


@router.get("/{product_id}/view/levels", summary="Size, unit and levels of the white-light image of a cube")
def view_levels(archive: ArchiveDep, previews: PreviewsDep, product_id: ProductId) -> Response:
    """As of an image."""
    return levels_response(previews, _view_path(archive, product_id), CubeView.extension, None)


@router.get(
    "/{product_id}/view/pixels",
    response_class=Response,
    responses=answers(BYTES),
    summary="A tile of the white-light image of a cube, as numbers",
)
def view_pixels(
    archive: ArchiveDep,
    previews: PreviewsDep,
    product_id: ProductId,
    factor: FactorQuery,
    column: TileQuery,
    row: TileQuery,
) -> Response:
    """As of an image."""
    return tile_response(previews, _view_path(archive, product_id), None, CubeView.extension, factor, column, row)


@router.get(
    "/{product_id}/view/preview.png",
    response_class=Response,
    responses=answers(PNG),
    summary="Picture of the white-light image of a cube",
)
def view_picture(archive: ArchiveDep, previews: PreviewsDep, product_id: ProductId, cuts: Cuts = "zscale") -> Response:
    """As of an image."""
    path = _view_path(archive, product_id)
    return preview_response(previews, path, CubeView.extension, cuts, f"{path.stem}.png")


def _view_path(archive: Archive, product_id: int) -> Path:
    """The view of a product; the archive is let go before it is read."""
    with archive.read() as session:
        product = queries.find_product(session, product_id)
        path = cube_views(product.block).get(Path(product.path).name) if product.block is not None else None
        if path is None:
            words = f"{product.file_name} has no view: the workers make them of cubes, at the end of a block"
            raise NotFoundError(words, product=product_id)
        return path
