"""``/api/blocks``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse, Response

from core.archive import orders, remaking
from core.archive.models import Block
from core.archive.pages import blocks as queries
from core.archive.pages.qc1 import block_qc1
from core.archive.sessions import Archive
from core.archive.states import BlockState, ProductState
from core.archive.verdicts import doubts
from core.errors import NotFoundError
from service.actions import ActorDep, Judgement, Order
from service.dependencies import After, ArchiveDep, SessionDep
from service.download import OpenFileResponse
from service.explain import explain_block
from service.files import block_plots, existing, tail_text
from service.filters import Day, check_recipe
from service.links import PagerDep
from service.media import PNG, TEXT, answers, joined_name
from service.progress import memory_note, progress_of
from service.schemas import (
    BlockDetail,
    BlockInputOut,
    BlockOut,
    BlockPartOut,
    BlockProgress,
    BlockQc1,
    DoubtOut,
    EventOut,
    LostUnitOut,
    Page,
    ProductOut,
)

router = APIRouter(prefix="/blocks", tags=["blocks"])


@router.get("", summary="Blocks")
def list_blocks(
    session: SessionDep,
    pager: PagerDep,
    night: Day | None = None,
    state: BlockState | None = None,
    recipe: str | None = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Page[BlockOut, int]:
    """Newest first, in pages by key."""
    check_recipe(session, recipe)
    return pager.page(
        queries.list_blocks(session, night=night, state=state, recipe=recipe, after=after, limit=limit), BlockOut.of
    )


@router.get("/running/progress", summary="Progress of all running blocks")
def running_progress(session: SessionDep) -> list[BlockProgress]:
    """What runs now, how far it is, and how long it usually takes."""
    return [progress_of(session, block) for block in queries.running_blocks(session)]


@router.get("/{name}", summary="One block")
def get_block(session: SessionDep, name: str) -> BlockDetail:
    """With inputs, the reasons of their choice, refused candidates, products and events."""
    block = queries.find_block(session, name)
    inputs = queries.block_inputs(session, block.id)
    return BlockDetail(
        **BlockOut.of(block).model_dump(),
        lost_units=[LostUnitOut(**item) for item in block.lost_units],
        doubts=[DoubtOut.of(item) for item in doubts(session, block.id, inputs)],
        parts=[BlockPartOut.of(part) for part in block.parts],
        memory_note=memory_note(block),
        parameters=block.parameters,
        signature=block.signature,
        rules_hash=block.rules_hash,
        plan_version=block.plan_version,
        inputs=[BlockInputOut.of(item) for item in inputs],
        explanation=explain_block(block, inputs),
        products=[ProductOut.of(product) for product in queries.block_products(session, block.id)],
        events=[EventOut.of(event) for event in queries.block_events(session, block.name)],
        plots=[plot.path.name for plot in block_plots(block)],
    )


@router.post("/{name}/rerun", summary="Run a block again")
def rerun(archive: ArchiveDep, actor: ActorDep, name: str, order: Order) -> BlockOut:
    """A block that is done, failed or cancelled becomes ready or waits for its inputs; its tries are counted anew."""
    with archive.write() as session:
        block = queries.find_block(session, name)
        orders.rerun_block(session, block.id, actor=actor, reason=order.reason)
    return _fresh(archive, name)


@router.post("/{name}/make-again", summary="Make expired products again")
def make_again(archive: ArchiveDep, actor: ActorDep, name: str, order: Order) -> BlockOut:
    """The block runs again; with the same content, QC1 values, scores and verdicts stay as they are."""
    with archive.write() as session:
        block = queries.find_block(session, name)
        remaking.make_again(session, block.id, actor=actor, reason=order.reason)
    return _fresh(archive, name)


@router.post("/{name}/cancel", summary="Stop a block")
def cancel(archive: ArchiveDep, actor: ActorDep, name: str, order: Order) -> BlockOut:
    """A block that waits is cancelled at once; one that runs when its worker hears of it, within seconds."""
    with archive.write() as session:
        block = queries.find_block(session, name)
        orders.cancel_block(session, block.id, actor=actor, reason=order.reason)
    return _fresh(archive, name)


@router.post("/{name}/certify", summary="Certify the products of a block")
def certify(archive: ArchiveDep, actor: ActorDep, name: str, judgement: Judgement) -> BlockOut:
    """Scores stay as they are; what was made with the products is doubtful no more on their account."""
    return _judge(archive, name, ProductState.CERTIFIED, actor, judgement)


@router.post("/{name}/reject", summary="Reject the products of a block")
def reject(archive: ArchiveDep, actor: ActorDep, name: str, judgement: Judgement) -> BlockOut:
    """They are never chosen again; what was made with them is planned again."""
    return _judge(archive, name, ProductState.REJECTED, actor, judgement)


def _judge(archive: Archive, name: str, state: ProductState, actor: str, judgement: Judgement) -> BlockOut:
    with archive.write() as session:
        block = queries.find_block(session, name)
        orders.judge_block(session, block.id, state, actor=actor, comment=judgement.reason)
    return _fresh(archive, name)


def _fresh(archive: Archive, name: str) -> BlockOut:
    with archive.read() as session:
        return BlockOut.of(queries.find_block(session, name))


@router.get("/{name}/progress", summary="Progress of a block")
def get_progress(session: SessionDep, name: str) -> BlockProgress:
    """By part while it runs."""
    return progress_of(session, queries.find_block(session, name))


@router.get("/{name}/qc1", summary="QC1 of a block")
def get_qc1(session: SessionDep, name: str) -> list[BlockQc1]:
    """One summary per parameter; single values come from ``/api/qc1/{table}/series?block=...``."""
    return [BlockQc1.of(*item) for item in block_qc1(session, queries.find_block(session, name).id)]


@router.get("/{name}/log", response_class=Response, responses=answers(TEXT, parts=True), summary="Log of a block")
def get_log(
    session: SessionDep,
    name: str,
    tail: Annotated[int | None, Query(ge=1, le=100_000, description="Only the last lines")] = None,
) -> Response:
    """Plain text; understands ``Range``, so that a growing log can be followed."""
    path = _log_path(queries.find_block(session, name))
    if tail is not None:
        return PlainTextResponse(tail_text(path, tail))
    return OpenFileResponse(path, media_type=f"{TEXT}; charset=utf-8", filename=f"{name}.log", shown=True)


@router.get(
    "/{name}/plots/{file_name}",
    response_class=Response,
    responses=answers(PNG, parts=True),
    summary="One plot of a block",
)
def get_plot(session: SessionDep, name: str, file_name: str) -> Response:
    """PNG made by the QC procedure."""
    block = queries.find_block(session, name)
    for plot in block_plots(block):
        if plot.path.name == file_name:
            stored = joined_name((name, plot.path.stem), plot.path.suffix)
            return OpenFileResponse(plot.path, media_type=PNG, filename=stored, shown=True, cache="max-age=60")
    raise NotFoundError(f"block {name} has no plot {file_name}", block=name, file=file_name)


def _log_path(block: Block) -> Path:
    if not block.log_path:
        raise NotFoundError(f"block {block.name} has no log yet: it is {block.state.value}", block=block.name)
    return existing(Path(block.log_path))
