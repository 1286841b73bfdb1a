"""Pixels of frames and products, for the viewer of the pages and for whoever wants a piece of an image."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import Response

from core.archive.models import Product
from core.archive.pages import frames as frame_queries
from core.archive.pages import products as product_queries
from core.archive.sessions import Archive
from core.errors import NotFoundError, ParameterError
from core.previews.tiles import LARGEST_FACTOR, TILE, image_facts, make_tile
from service.dependencies import ArchiveDep, PreviewsDep, ProductId
from service.files import existing, product_path
from service.media import BYTES, answers
from service.previews import PreviewCache, kept_name

router = APIRouter(tags=["pixels"])

_KEPT_FROM: Final = 4  # tiles that are averages of so many pixels are kept, the others are read in a moment
_AT_ONCE = threading.BoundedSemaphore(4)  # tiles that are made at the same time: memory stays bounded
_HEADERS: Final = {"Cache-Control": "private, max-age=3600"}

ExtensionQuery = Annotated[str, Query(description="Extension, e.g. DATA", max_length=80)]
FactorQuery = Annotated[int, Query(ge=1, le=LARGEST_FACTOR, description="Edge of a block of pixels that becomes one")]
TileQuery = Annotated[int, Query(ge=0, le=10_000, description=f"Number of the tile; one has {TILE} x {TILE} values")]
MinusQuery = Annotated[bool, Query(description="Difference to the product before it, of the same tag, unit and set-up")]


@router.get("/products/{product_id}/levels", summary="Size, unit and levels of an image")
def product_levels(
    archive: ArchiveDep, previews: PreviewsDep, product_id: ProductId, ext: ExtensionQuery, minus: MinusQuery = False
) -> Response:
    """Width and height in pixels, unit, and the levels at which it is cut by zscale, and at minimum and maximum."""
    path, before = _product_paths(archive, product_id, minus)
    return levels_response(previews, path, ext, before)


@router.get(
    "/products/{product_id}/pixels",
    response_class=Response,
    responses=answers(BYTES),
    summary="A tile of an image, as numbers",
)
def product_pixels(
    archive: ArchiveDep,
    previews: PreviewsDep,
    product_id: ProductId,
    ext: ExtensionQuery,
    factor: FactorQuery,
    column: TileQuery,
    row: TileQuery,
    minus: MinusQuery = False,
) -> Response:
    """Little-endian 32-bit floats, row by row, the first row of the image first; ``X-Shape`` is rows, columns."""
    path, before = _product_paths(archive, product_id, minus)
    return tile_response(previews, path, before, ext, factor, column, row)


@router.get("/frames/{dp_id}/levels", summary="Size, unit and levels of a raw image")
def frame_levels(archive: ArchiveDep, previews: PreviewsDep, dp_id: str, ext: ExtensionQuery) -> Response:
    """As of a product."""
    return levels_response(previews, _frame_path(archive, dp_id), ext, None)


@router.get(
    "/frames/{dp_id}/pixels",
    response_class=Response,
    responses=answers(BYTES),
    summary="A tile of a raw image, as numbers",
)
def frame_pixels(
    archive: ArchiveDep,
    previews: PreviewsDep,
    dp_id: str,
    ext: ExtensionQuery,
    factor: FactorQuery,
    column: TileQuery,
    row: TileQuery,
) -> Response:
    """As of a product."""
    return tile_response(previews, _frame_path(archive, dp_id), None, ext, factor, column, row)


def _frame_path(archive: Archive, dp_id: str) -> Path:
    with archive.read() as session:
        return existing(Path(frame_queries.find_frame(session, dp_id).path))


def _product_paths(archive: Archive, product_id: int, minus: bool) -> tuple[Path, Path | None]:
    """Files of a product and of the one before it; the archive is let go before pixels are read."""
    with archive.read() as session:
        product = product_queries.find_product(session, product_id)
        before = product_queries.previous_product(session, product) if minus else None
        if minus and before is None:
            raise NotFoundError(f"{_called(product)} is the first of its set-up: there is none before it")
        return existing(product_path(product)), existing(Path(before.path)) if before is not None else None


def _called(product: Product) -> str:
    return f"{product.tag} of {product.night}" + (f", {product.unit_words.word} {product.unit}" if product.unit else "")


def levels_response(previews: PreviewCache, path: Path, extension: str, before: Path | None) -> Response:
    """Size, unit and levels of an image, of the difference to the one before if there is one."""
    name = kept_name(path, extension, "levels", before and kept_name(before))
    data = previews.get(name, "json")
    if data is None:
        with _AT_ONCE:
            facts = asdict(image_facts(path, extension))
            if before is not None:
                other = asdict(image_facts(before, extension))
                span = (facts["zscale"][1] - facts["zscale"][0] + other["zscale"][1] - other["zscale"][0]) / 2
                facts["zscale"] = [-span / 2, span / 2]
                low, high = facts["minmax"][0] - other["minmax"][1], facts["minmax"][1] - other["minmax"][0]
                facts["minmax"] = [low, high]
        data = json.dumps(facts).encode()
        previews.put(name, data, "json")
    return Response(data, media_type="application/json", headers=_HEADERS)


def tile_response(
    previews: PreviewCache, path: Path, before: Path | None, extension: str, factor: int, column: int, row: int
) -> Response:
    """A tile of an image, of the difference to the one before if there is one."""
    name = kept_name(path, extension, "tile", factor, column, row, before and kept_name(before))
    kept = previews.get(name, "f32") if factor >= _KEPT_FROM else None
    if kept is None:
        with _AT_ONCE:
            tile = make_tile(path, extension, factor, column, row)
            if before is not None:
                other = make_tile(before, extension, factor, column, row)
                if other.shape != tile.shape:
                    raise ParameterError("the product before it has another size", parameter="minus")
                tile = tile - other
        kept = np.array(tile.shape, "<i4").tobytes() + tile.astype("<f4").tobytes()
        if factor >= _KEPT_FROM:
            previews.put(name, kept, "f32")
    ny, nx = np.frombuffer(kept, "<i4", 2).tolist()
    headers = {**_HEADERS, "X-Shape": f"{ny}, {nx}"}
    return Response(kept[8:], media_type=BYTES, headers=headers)
