"""``/qc1`` and ``/qc1/<table>``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from core.archive.models import Qc1Parameter
from core.archive.pages import qc1 as queries
from core.errors import NotFoundError
from service.series import SeriesRequest, last_months
from service.web.page import PageDep
from service.web.sentences import plural
from workers.definitions import qc1_definitions

router = APIRouter()
BROWSE_ROWS: Final = 200
CLASS_WORDS: Final = {
    "KPI": "instrument performance",
    "HC": "instrument health",
    "CAL": "calibration quality",
    "ENG": "engineering",
}
SPLITS: Final = ("unit", "quadrant", "slice", "lamp", "item", "mode")


@dataclass(frozen=True)
class QcState:
    """Everything that a QC1 view shows, as it stands in the address."""

    table: str
    y: tuple[str, ...]
    x: str
    split: str
    mode: str
    start: str
    end: str
    unit: str
    quadrant: str
    slice: str

    def query(self, **changes: str | int) -> str:
        """The address of this view with something changed."""
        pairs: list[tuple[str, str]] = [("y", name) for name in self.y]
        rest: dict[str, str] = {
            "x": "" if self.x == "time" else self.x,
            "split": self.split,
            "mode": self.mode,
            "from": self.start,
            "to": self.end,
            "unit": self.unit,
            "quadrant": self.quadrant,
            "slice": self.slice,
        }
        rest.update({key: str(value) for key, value in changes.items()})
        return urlencode(pairs + [(key, value) for key, value in rest.items() if value != ""])


@router.get("/qc1")
def master_list(page: PageDep) -> HTMLResponse:
    """All tables and parameters with their last value and score."""
    tables = queries.qc1_tables(page.session)
    last = queries.last_values(page.session)
    outliers = sum(value.score == 1 for value in last.values())
    sentence = (
        f"{plural(len(last), 'parameter')} of {plural(len(tables), 'QC1 table')} have values, "
        f"{outliers or 'no'} last score{'' if outliers < 2 else 's'} "
        f"{'is an outlier' if outliers < 2 else 'are outliers'}"
        if last
        else "no QC1 value has been measured yet"
    )
    return page.render("qc1.html", tables=tables, last=last, sentence=sentence, class_words=CLASS_WORDS)


@router.get("/qc1/{table}")
def table_page(
    page: PageDep,
    table: str,
    y: Annotated[list[str] | None, Query()] = None,
    x: str = "time",
    split: str | None = None,
    mode: str | None = None,
    start: Annotated[str | None, Query(alias="from")] = None,
    end: Annotated[str | None, Query(alias="to")] = None,
    unit: str = "",
    quadrant: str = "",
    slice_: Annotated[str, Query(alias="slice")] = "",
    view: Literal["plot", "browse"] = "plot",
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> HTMLResponse:
    """Plot or table of chosen parameters; default: the last three months of the newest setup."""
    parameters = queries.parameters_of_table(page.session, table)
    by_name = {item.column_name: item for item in parameters}
    chosen = [name for name in (y or ()) if name] or [_first_choice(parameters)]
    for name in (*chosen, *(() if x == "time" else (x,))):
        if name not in by_name:
            raise NotFoundError(f"QC1 table {table} has no column {name}", table=table, column=name)
    newest_mode, newest = queries.series_modes(page.session, by_name[chosen[0]].id)
    if start is None and end is None and newest is not None:
        first, last = last_months(newest)
        start, end = first.isoformat(), last.isoformat()
    axes = _axes([by_name[name] for name in chosen])
    state = QcState(
        table=table,
        y=tuple(dict.fromkeys(chosen)),
        x=x,
        split=(split if split in axes or split in ("none", "mode") else _default_split(axes)) or "none",
        mode=(newest_mode or "") if mode is None else ("" if mode == "all" else mode),
        start=start or "",
        end=end or "",
        unit=unit,
        quadrant=quadrant,
        slice=slice_,
    )
    request = SeriesRequest.make(
        table=table,
        columns=state.y,
        units=unit,
        quadrants=quadrant,
        slices=slice_,
        mode=state.mode,
        start=state.start,
        end=state.end,
    )
    shown = [by_name[name] for name in state.y]
    rows, blocks = (
        queries.browse_rows(page.session, [item.id for item in shown], request.wanted, offset, BROWSE_ROWS)
        if view == "browse"
        else ([], {})
    )
    recipes = sorted({item.recipe for item in qc1_definitions() if item.table == table})
    return page.render(
        "qc1_table.html",
        table=table,
        parameters=parameters,
        shown=shown,
        state=state,
        view=view,
        axes=axes,
        modes=queries.modes_of_table(page.session, recipes),
        last=queries.last_values(page.session, [item.id for item in shown]),
        newest=newest,
        rows=rows,
        blocks=blocks,
        index_columns=[name for name in queries.INDEX_COLUMNS if name in axes],
        index_position={name: number for number, name in enumerate(queries.INDEX_COLUMNS)},
        offset=offset,
        more=len(rows) == BROWSE_ROWS,
        browse_rows=BROWSE_ROWS,
        class_words=CLASS_WORDS,
        today=page.status.now.date() if newest is None else None,
        recipes=recipes,
    )


def _first_choice(parameters: list[Qc1Parameter]) -> str:
    order = {"KPI": 0, "HC": 1, "CAL": 2, "ENG": 3}
    return min(parameters, key=lambda item: (order.get(item.qc_class, 9), item.id)).column_name


def _axes(parameters: list[Qc1Parameter]) -> tuple[str, ...]:
    """Index columns that any of the parameters is split by; ``input`` of the declarations is the column ``item``."""
    names = {axis for item in parameters for axis in item.axes.split(",") if axis}
    if "input" in names:
        names.add("item")
    return tuple(name for name in SPLITS if name in names)


def _default_split(axes: tuple[str, ...]) -> str:
    return "quadrant" if "quadrant" in axes else "unit" if "unit" in axes else "none"
