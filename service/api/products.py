"""``/api/products``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from core.archive import orders, remaking
from core.archive.pages import products as queries
from core.archive.sessions import Archive
from core.archive.states import ProductState
from core.errors import StateConflictError
from core.previews.preview import Cuts
from service.actions import ActorDep, Judgement, Order
from service.dependencies import After, ArchiveDep, PreviewsDep, ProductId, SessionDep
from service.download import OpenFileResponse
from service.files import product_path
from service.filters import LARGEST_UNIT, Day, check_product_tag
from service.fitsview import extension_cards, extensions
from service.links import PagerDep
from service.media import FITS, PNG, answers, stored_name
from service.previews import preview_response
from service.schemas import Page, ProductDetail, ProductOut

router = APIRouter(prefix="/products", tags=["products"])


@router.get("", summary="Products")
def list_products(
    session: SessionDep,
    pager: PagerDep,
    night: Day | None = None,
    tag: Annotated[str | None, Query(description="PRO.CATG, e.g. MASTER_BIAS")] = None,
    unit: Annotated[int | None, Query(ge=1, le=LARGEST_UNIT)] = None,
    state: ProductState | None = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Page[ProductOut, int]:
    """Newest first, in pages by key."""
    check_product_tag(session, tag)
    return pager.page(
        queries.list_products(session, night=night, tag=tag, unit=unit, state=state, after=after, limit=limit),
        ProductOut.of,
    )


@router.get("/{product_id}", summary="One product")
def get_product(session: SessionDep, product_id: ProductId) -> ProductDetail:
    """With its extensions and the blocks that used it."""
    product = queries.find_product(session, product_id)
    path = Path(product.path)
    return ProductDetail(
        **ProductOut.of(product).model_dump(),
        block=product.block.name if product.block else None,
        extensions=[item.data() for item in extensions(path)] if product.expired_at is None and path.is_file() else [],
        used_by=[block.name for block in queries.used_by(session, product)],
    )


@router.post("/{product_id}/certify", summary="Certify a product")
def certify(archive: ArchiveDep, actor: ActorDep, product_id: ProductId, judgement: Judgement) -> ProductOut:
    """Scores stay as they are; what was made with it is doubtful no more on its account."""
    return _judge(archive, product_id, ProductState.CERTIFIED, actor, judgement)


@router.post("/{product_id}/reject", summary="Reject a product")
def reject(archive: ArchiveDep, actor: ActorDep, product_id: ProductId, judgement: Judgement) -> ProductOut:
    """It is never chosen again; what was made with it is planned again."""
    return _judge(archive, product_id, ProductState.REJECTED, actor, judgement)


def _judge(archive: Archive, product_id: int, state: ProductState, actor: str, judgement: Judgement) -> ProductOut:
    with archive.write() as session:
        orders.set_product_state(session, product_id, state, actor=actor, text=judgement.reason)
        return ProductOut.of(queries.find_product(session, product_id))


@router.post("/{product_id}/make-again", summary="Make an expired product again")
def make_again(archive: ArchiveDep, actor: ActorDep, product_id: ProductId, order: Order) -> ProductOut:
    """Its block runs again; with the same content, QC1 values, scores and verdicts stay as they are."""
    with archive.write() as session:
        product = queries.find_product(session, product_id)
        if product.expired_at is None or product.block_id is None:
            raise StateConflictError(f"product {product.file_name} has not expired", product=product_id)
        remaking.make_again(session, product.block_id, actor=actor, reason=order.reason)
        return ProductOut.of(product)


@router.get("/{product_id}/header", summary="Header of one extension")
def get_header(
    session: SessionDep,
    product_id: ProductId,
    ext: Annotated[int, Query(ge=0, description="Number of the HDU, 0 is the primary one")] = 0,
) -> list[dict[str, Any]]:
    """Cards in the order of the file, keywords in dot notation."""
    cards = extension_cards(product_path(queries.find_product(session, product_id)), ext)
    return [{"key": card.key, "value": card.value, "comment": card.comment} for card in cards]


@router.get("/{product_id}/file", response_class=Response, responses=answers(FITS, parts=True), summary="Download")
def get_file(session: SessionDep, product_id: ProductId) -> Response:
    """The FITS file; understands ``Range``, ``If-Range`` and ``If-None-Match``.

    The entity tag is that of the file that is sent: a download that is resumed with it never mixes two versions. 410
    with the reason if it is an intermediate product that has expired.
    """
    product = queries.find_product(session, product_id)
    name = stored_name(product.file_name, product.night, product.setup)
    return OpenFileResponse(product_path(product), media_type=FITS, filename=name)


@router.get(
    "/{product_id}/preview.png", response_class=Response, responses=answers(PNG), summary="Picture of one extension"
)
def get_preview(
    session: SessionDep,
    previews: PreviewsDep,
    product_id: ProductId,
    ext: Annotated[str, Query(description="Extension, e.g. DATA")] = "DATA",
    cuts: Cuts = "zscale",
) -> Response:
    """Block averages of the image, at most 768 pixels wide."""
    product = queries.find_product(session, product_id)
    name = stored_name(f"{Path(product.file_name).stem}_{ext}.png", product.night, product.setup)
    return preview_response(previews, product_path(product), ext, cuts, name)
