"""``/api/qc1``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response, StreamingResponse

from core.archive.pages import qc1 as queries
from core.archive.pages.blocks import find_block
from service.dependencies import SessionDep
from service.schemas import Qc1ParameterOut, Qc1TableOut
from service.series import MAX_POINTS, SeriesRequest, csv_lines, read_series, series_json, table_file, whole

router = APIRouter(prefix="/qc1", tags=["QC1"])


@router.get("", summary="QC1 tables and parameters")
def list_tables(session: SessionDep) -> list[Qc1TableOut]:
    """The master list with the newest values."""
    tables = queries.qc1_tables(session)
    last = queries.last_values(session)
    return [
        Qc1TableOut(table=name, parameters=[Qc1ParameterOut.of(item, last.get(item.id)) for item in parameters])
        for name, parameters in tables.items()
    ]


@router.get("/{table}", summary="One QC1 table")
def get_table(session: SessionDep, table: str) -> Qc1TableOut:
    """Its parameters with the newest values."""
    parameters = queries.parameters_of_table(session, table)
    last = queries.last_values(session, [item.id for item in parameters])
    return Qc1TableOut(table=table, parameters=[Qc1ParameterOut.of(item, last.get(item.id)) for item in parameters])


def series_request(
    session: SessionDep,
    table: str,
    y: Annotated[list[str], Query(description="Columns, e.g. master_ron", min_length=1, max_length=12)],
    unit: Annotated[str | None, Query(description="IFU numbers, e.g. 1,3-6; all if not given")] = None,
    quadrant: Annotated[str | None, Query(description="Detector quadrants 1 to 4")] = None,
    slice_: Annotated[str | None, Query(alias="slice", description="Slices 1 to 48")] = None,
    lamp: Annotated[str | None, Query(description="INS.LAMPn numbers")] = None,
    mode: Annotated[str | None, Query(description="INS.MODE")] = None,
    from_: Annotated[str | None, Query(alias="from", description="Date or MJD")] = None,
    to: Annotated[str | None, Query(description="Date (included) or MJD")] = None,
    block: Annotated[str | None, Query(description="Values of one block only")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_POINTS, description="Most values; the newest are kept")] = MAX_POINTS,
) -> SeriesRequest:
    """Check the filters of a series."""
    return SeriesRequest.make(
        table=table,
        columns=y,
        units=unit,
        quadrants=quadrant,
        slices=slice_,
        lamps=lamp,
        mode=mode,
        start=from_,
        end=to,
        block_id=find_block(session, block).id if block else None,
        limit=limit,
    )


SeriesDep = Annotated[SeriesRequest, Depends(series_request)]


@router.get("/{table}/series", response_class=Response, summary="Values against time, as columns")
def get_series(session: SessionDep, wanted: SeriesDep) -> Response:
    """Compact JSON in columns of equal length.

    ``p`` (index into ``parameters``), ``b`` (index into ``blocks``), ``t`` (MJD), ``v``, ``product`` and the index
    columns that are used; ``outliers`` are positions in these columns, ``bands`` the limits by block and rule.
    """
    return Response(series_json(read_series(session, wanted)), media_type="application/json")


@router.get("/{table}/series.csv", response_class=StreamingResponse, summary="Values as CSV")
def get_csv(session: SessionDep, wanted: SeriesDep) -> Response:
    """One line per value; refused if there are more values than are served at once and no ``limit`` was given."""
    lines: Iterator[str] = csv_lines(whole(read_series(session, wanted)))
    headers = {"Content-Disposition": f'attachment; filename="{wanted.table}.csv"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/{table}/series.{kind}", response_class=Response, summary="Values as VOTable or FITS table")
def get_table_file(session: SessionDep, wanted: SeriesDep, kind: Literal["vot", "fits"]) -> Response:
    """The same rows as the CSV, with units."""
    data, media_type = table_file(whole(read_series(session, wanted)), kind)
    headers = {"Content-Disposition": f'attachment; filename="{wanted.table}.{kind}"'}
    return Response(data, media_type=media_type, headers=headers)


@router.get("/{table}/{column}/sparkline", summary="Mean of each block in the last three months")
def get_sparkline(
    session: SessionDep,
    table: str,
    column: str,
    mode: str | None = None,
    until: Annotated[float | None, Query(description="MJD; the newest value if not given")] = None,
    days: Annotated[float, Query(gt=0, le=400)] = 91.0,
) -> dict[str, list[float]]:
    """Two columns, ``t`` (MJD) and ``v``."""
    wanted = SeriesRequest.make(table=table, columns=[column], mode=mode)
    parameter = wanted.parameters(session)[0]
    if until is None:
        until = queries.series_modes(session, parameter.id)[1]
    if until is None:
        return {"t": [], "v": []}
    points = queries.block_means(session, parameter.id, mode or None, until - days, until)
    return {"t": [round(mjd, 5) for mjd, _ in points], "v": [float(f"{value:.6g}") for _, value in points]}
