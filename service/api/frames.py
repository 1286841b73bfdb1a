"""``/api/frames``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from core.archive import frame_use
from core.archive.pages import frames as queries
from core.archive.states import FrameState
from core.previews.preview import Cuts
from service.actions import ActorDep, Judgement
from service.dependencies import After, ArchiveDep, PreviewsDep, SessionDep
from service.download import OpenFileResponse
from service.files import FileGoneError, SetAsideError
from service.filters import Day, Mjd, check_raw_tag
from service.links import PagerDep
from service.media import FITS, PNG, answers, stored_name
from service.previews import preview_response
from service.schemas import FrameDetail, FrameOut, Page

router = APIRouter(prefix="/frames", tags=["frames"])


@router.get("", summary="Raw frames")
def list_frames(
    session: SessionDep,
    pager: PagerDep,
    night: Annotated[Day | None, Query(description="Evening date")] = None,
    tag: Annotated[str | None, Query(description="BIAS, DARK, FLAT, ARC, ...")] = None,
    mode: Annotated[str | None, Query(description="Mode, as in the set-up of frames")] = None,
    from_mjd: Mjd = None,
    to_mjd: Mjd = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Page[FrameOut, int]:
    """Newest first, in pages by key."""
    check_raw_tag(session, tag)
    wanted = queries.FrameFilter(night, tag, mode, from_mjd, to_mjd)
    return pager.page(queries.list_frames(session, wanted, after, limit), FrameOut.of)


@router.get("/{dp_id}", summary="One raw frame")
def get_frame(session: SessionDep, dp_id: str) -> FrameDetail:
    """With its primary header, its blocks and everything made from it."""
    frame = queries.find_frame(session, dp_id)
    blocks = queries.blocks_of_frame(session, frame.id)
    return FrameDetail.of_all(frame, blocks, queries.products_of_blocks(session, [block.id for block in blocks]))


@router.post("/{dp_id}/exclude", summary="Exclude a raw frame")
def exclude(archive: ArchiveDep, actor: ActorDep, dp_id: str, judgement: Judgement) -> FrameOut:
    """It is never used, also if it is delivered again; what was made of it is planned again without it."""
    with archive.write() as session:
        return FrameOut.of(frame_use.exclude_frame(session, dp_id, actor=actor, comment=judgement.reason))


@router.post("/{dp_id}/include", summary="Include a raw frame again")
def include(archive: ArchiveDep, actor: ActorDep, dp_id: str, judgement: Judgement) -> FrameOut:
    """One that was excluded, or that is damaged; its template is planned again with it."""
    with archive.write() as session:
        return FrameOut.of(frame_use.include_frame(session, dp_id, actor=actor, comment=judgement.reason))


@router.get("/{dp_id}/file", response_class=Response, responses=answers(FITS, parts=True), summary="Download")
def get_file(
    session: SessionDep,
    dp_id: str,
    set_aside: Annotated[bool, Query(description="Also if it is damaged, excluded, or a duplicate")] = False,
) -> Response:
    """The raw file as it is in the archive directory; understands ``Range``, ``If-Range`` and ``If-None-Match``.

    404 if it is not on disk any more, 410 with the reason if it was set aside and ``set_aside`` is not given.
    """
    frame = queries.find_frame(session, dp_id)
    if frame.state is FrameState.MISSING:
        raise FileGoneError(f"the file {frame.file_name} is gone from the archive directory", file=frame.path)
    if frame.state is not FrameState.PRESENT and not set_aside:
        raise SetAsideError(frame.dp_id, frame.state, frame.state_reason)
    name = stored_name(frame.file_name, frame.night, frame.setup)
    return OpenFileResponse(Path(frame.path), media_type=FITS, filename=name)


@router.get("/{dp_id}/preview.png", response_class=Response, responses=answers(PNG), summary="Picture of one channel")
def get_preview(
    session: SessionDep,
    previews: PreviewsDep,
    dp_id: str,
    ext: Annotated[str, Query(description="Name of the extension of a unit")],
    cuts: Cuts = "zscale",
) -> Response:
    """Block averages of the raw image, at most 768 pixels wide."""
    frame = queries.find_frame(session, dp_id)
    name = stored_name(f"{frame.dp_id}_{ext}.png", frame.night, frame.setup)
    return preview_response(previews, Path(frame.path), ext, cuts, name)
