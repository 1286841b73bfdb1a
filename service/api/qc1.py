"""``/api/qc1``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from core.archive.models import Qc1Parameter
from core.archive.pages import qc1 as queries
from core.archive.pages.blocks import find_block
from core.archive.pages.qc1_texts import LastText, last_texts
from core.archive.qc1_summaries import Qc1Summary
from core.instruments.catalogue import qc1_definitions
from core.qc1.axes import Position
from service.dependencies import LongSessionDep, SessionDep
from service.exports import MEDIA_TYPES
from service.filters import Mjd
from service.heavy import HeavyTurn, WaitingDep, export
from service.links import add_alternates
from service.media import answers
from service.schemas import Qc1ParameterOut, Qc1TableOut
from service.selection import MAX_POINTS, SeriesRequest
from service.series import read_series, whole

router = APIRouter(prefix="/qc1", tags=["QC1"])
_TABLES = {kind: MEDIA_TYPES[kind].partition(";")[0] for kind in ("csv", "vot", "fits")}


@router.get("", summary="QC1 tables and parameters")
def list_tables(session: SessionDep) -> list[Qc1TableOut]:
    """The master list with the newest values."""
    tables = queries.qc1_tables(session)
    last, texts = queries.last_values(session), last_texts(session)
    return [
        Qc1TableOut(table=name, parameters=[_parameter(item, last, texts) for item in parameters])
        for name, parameters in tables.items()
    ]


@router.get("/{table}", summary="One QC1 table")
def get_table(session: SessionDep, table: str) -> Qc1TableOut:
    """Its parameters with the newest values."""
    parameters = queries.parameters_of_table(session, table)
    identities = [item.id for item in parameters]
    last, texts = queries.last_values(session, identities), last_texts(session, identities)
    return Qc1TableOut(table=table, parameters=[_parameter(item, last, texts) for item in parameters])


def _parameter(row: Qc1Parameter, last: Mapping[int, Qc1Summary], texts: Mapping[int, LastText]) -> Qc1ParameterOut:
    declared = qc1_definitions().find(row.table_name, row.column_name)
    return Qc1ParameterOut.of(row, declared.numbered if declared else None, last.get(row.id), texts.get(row.id))


def position_filters(
    unit: Annotated[str | None, Query(description="Numbers of units, e.g. 1,3-6; all if not given")] = None,
    quadrant: Annotated[str | None, Query(description="Detector quadrants 1 to 4")] = None,
    slice_: Annotated[str | None, Query(alias="slice", description="Slices 1 to 48")] = None,
    lamp: Annotated[str | None, Query(description="Numbers of lamps")] = None,
    exposure: Annotated[str | None, Query(description="Numbers of exposures")] = None,
    item: Annotated[str | None, Query(description="Numbers of anything else: input, arc line, source, ...")] = None,
) -> dict[str, str | None]:
    """Filters by position, as they are written."""
    return dict(zip(Position._fields, (unit, quadrant, slice_, lamp, exposure, item), strict=True))


def series_request(
    session: LongSessionDep,
    table: str,
    y: Annotated[list[str], Query(description="Columns, e.g. master_ron or master1_ron", min_length=1, max_length=12)],
    positions: Annotated[dict[str, str | None], Depends(position_filters)],
    mode: Annotated[str | None, Query(description="Mode, as in the set-up of blocks")] = None,
    from_: Annotated[str | None, Query(alias="from", description="Date or MJD")] = None,
    to: Annotated[str | None, Query(description="Date (included) or MJD")] = None,
    block: Annotated[str | None, Query(description="Values of one block only")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_POINTS, description="Most values; the newest are kept")] = MAX_POINTS,
) -> SeriesRequest:
    """Check the filters of a series."""
    return SeriesRequest.make(
        table=table,
        columns=y,
        positions=positions,
        mode=mode,
        start=from_,
        end=to,
        block=find_block(session, block) if block else None,
        limit=limit,
    )


SeriesDep = Annotated[SeriesRequest, Depends(series_request)]


@router.get(
    "/{table}/series",
    response_class=Response,
    summary="Values against time, as columns",
    dependencies=[HeavyTurn],
    responses={200: {"content": {MEDIA_TYPES["json"]: {}}}},
)
def get_series(request: Request, session: LongSessionDep, wanted: SeriesDep, gone: WaitingDep) -> Response:
    """Compact JSON in columns of equal length.

    ``p`` (index into ``parameters``), ``b`` (index into ``blocks``), ``t`` (MJD), ``v``, ``product`` and the index
    columns that are used, with the ``words`` that people call them by; ``outliers`` are rows of these columns,
    ``bands`` the limits by block and rule, null with ``each`` where elements have limits of their own: ask for one
    element to get those. A column may have the running numbers of the QC1 database:
    ``y=master1_median`` is ``y=master_median`` of quadrant 1. Texts (the name of a star) are strings in ``v``.
    """
    response = export(gone, "json", lambda stopped: read_series(session, wanted, stopped, with_bands=True))
    add_alternates(request, response, _TABLES)
    return response


@router.get(
    "/{table}/series.{kind}",
    response_class=Response,
    summary="Values as CSV, VOTable or FITS table",
    dependencies=[HeavyTurn],
    responses=answers(*_TABLES.values()),
)
def get_table_file(
    session: LongSessionDep, wanted: SeriesDep, gone: WaitingDep, kind: Literal["csv", "vot", "fits"]
) -> Response:
    """One row per value with units, limits, score and what it was measured on.

    Refused if there are more values than are served at once and no ``limit`` was given.
    """
    return export(gone, kind, lambda stopped: whole(read_series(session, wanted, stopped)), wanted.name)


@router.get("/{table}/{column}/sparkline", summary="Median of each block in the last three months")
def get_sparkline(
    session: SessionDep,
    table: str,
    column: str,
    mode: str | None = None,
    until: Mjd = None,
    days: Annotated[float, Query(gt=0, le=400)] = 91.0,
) -> dict[str, list[float]]:
    """Two columns, ``t`` (MJD) and ``v``; up to ``until``, or to the newest value."""
    wanted = SeriesRequest.make(table=table, columns=[column], mode=mode)
    selection = wanted.selections(session)[0]
    if until is None:
        until = queries.series_modes(session, selection.parameter)[1]
    if until is None:
        return {"t": [], "v": []}
    span = replace(wanted.narrowed(selection.fixed), from_mjd=until - days, to_mjd=until)
    points = queries.block_medians(session, selection.parameter.id, span)
    return {"t": [round(mjd, 5) for mjd, _ in points], "v": [float(f"{value:.6g}") for _, value in points]}
