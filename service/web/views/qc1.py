"""``/qc1`` and ``/qc1/<table>``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final, Literal
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from core.archive.models import Qc1Parameter
from core.archive.pages import qc1 as queries
from core.archive.pages.qc1_texts import last_texts
from core.errors import NotFoundError, ParameterError
from core.instruments.catalogue import qc1_definitions
from core.qc1.axes import Position, axis_words
from service.api.qc1 import position_filters
from service.selection import Selection, SeriesRequest
from service.series import last_months
from service.web.browse import browse_lines
from service.web.page import PageDep
from service.web.sentences import plural

router = APIRouter()
BROWSE_ROWS: Final = 200
SHOW_WORDS: Final = {
    "value": "value",
    "ratio": "value / median of the series",
    "difference": "value − median of the series",
    "night": "value − value of a night",
}
CLASS_WORDS: Final = {
    "KPI": "instrument performance",
    "HC": "instrument health",
    "CAL": "calibration quality",
    "ENG": "engineering",
}


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
    positions: Mapping[str, str]
    shown: Mapping[str, str]  # how the plot shows values: show, night, low, high, log

    def query(self, **changes: str | int) -> str:
        """The address of this view with something changed."""
        pairs: list[tuple[str, str]] = [("y", name) for name in self.y]
        rest: dict[str, str] = {
            "x": "" if self.x == "time" else self.x,
            "split": self.split,
            "mode": self.mode,
            "from": self.start,
            "to": self.end,
            **self.positions,
            **self.shown,
            "show": "" if self.shown["show"] == "value" else self.shown["show"],
        }
        rest.update({key: str(value) for key, value in changes.items()})
        return urlencode(pairs + [(key, value) for key, value in rest.items() if value != ""])

    @property
    def data_query(self) -> str:
        """The same values over REST, which knows nothing of how they are shown."""
        return self.query(x="", split="", **dict.fromkeys(self.shown, ""))


def _shown_as(
    show: Literal["value", "ratio", "difference", "night"] = "value",
    night: str = "",
    low: str = "",
    high: str = "",
    log: Literal["", "1"] = "",
) -> dict[str, str]:
    """How the plot shows values, as texts; empty where nothing is asked for, as forms send it."""
    for name, text, of in (("night", night, date.fromisoformat), ("low", low, float), ("high", high, float)):
        try:
            _ = of(text) if text else None
        except ValueError as error:
            kind = "date like 2026-11-01" if name == "night" else "number"
            raise ParameterError(f"{name}={text!r} is no {kind}", parameter=name) from error
    return {"show": show, "night": night, "low": low, "high": high, "log": log}


@router.get("/qc1")
def master_list(page: PageDep) -> HTMLResponse:
    """All tables and parameters with their last value and score."""
    tables = queries.qc1_tables(page.session)
    last, texts = queries.last_values(page.session), last_texts(page.session)
    outliers = sum(value.score == 1 for value in last.values())
    sentence = (
        f"{plural(len(last) + len(texts), 'parameter')} of {plural(len(tables), 'QC1 table')} have values, "
        f"{outliers or 'no'} last score{'' if outliers < 2 else 's'} "
        f"{'is an outlier' if outliers < 2 else 'are outliers'}"
        if last or texts
        else "no QC1 value has been measured yet"
    )
    return page.render("qc1.html", tables=tables, last=last, texts=texts, sentence=sentence, class_words=CLASS_WORDS)


@router.get("/qc1/{table}")
def table_page(
    page: PageDep,
    table: str,
    positions: Annotated[dict[str, str | None], Depends(position_filters)],
    shown_as: Annotated[dict[str, str], Depends(_shown_as)],
    y: Annotated[list[str] | None, Query()] = None,
    x: str = "time",
    split: str | None = None,
    mode: str | None = None,
    start: Annotated[str | None, Query(alias="from")] = None,
    end: Annotated[str | None, Query(alias="to")] = None,
    view: Literal["plot", "browse"] = "plot",
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> Response:
    """Plot or table of chosen parameters; default: the last three months of the newest setup."""
    parameters = queries.parameters_of_table(page.session, table)
    by_name = {item.column_name: item for item in parameters}
    asked = SeriesRequest.make(table=table, columns=[name for name in (y or ()) if name] or [_first_choice(parameters)])
    selections = asked.among(parameters)
    if any(item.fixed for item in selections):
        return RedirectResponse(_plain_address(page.request.url.query, selections), status_code=303)
    if x != "time" and x not in by_name:
        raise NotFoundError(f"QC1 table {table} has no column {x}", table=table, column=x)
    shown = [item.parameter for item in selections]
    newest_mode, newest = queries.series_modes(page.session, shown[0])
    if start is None and end is None and newest is not None:
        first, last = last_months(newest)
        start, end = first.isoformat(), last.isoformat()
    words = axis_words(qc1_definitions().axes(table, [item.column_name for item in shown]))
    state = QcState(
        table=table,
        y=tuple(item.column_name for item in shown),
        x=x,
        split=split if split is not None and (split in words or split in ("none", "mode")) else "each",
        mode=(newest_mode or "") if mode is None else ("" if mode == "all" else mode),
        start=start or "",
        end=end or "",
        positions={name: text or "" for name, text in positions.items()},
        shown=shown_as,
    )
    request = SeriesRequest.make(
        table=table, columns=state.y, positions=state.positions, mode=state.mode, start=state.start, end=state.end
    )
    of_texts = any(item.value_type == "str" for item in shown)
    if of_texts:
        view = "browse"
    identities = [item.id for item in shown]
    places = [Position._fields.index(name) for name in words]
    rows, blocks = (
        queries.browse_rows(page.session, shown, request.wanted, offset, BROWSE_ROWS) if view == "browse" else ([], {})
    )
    recipes = sorted({item.recipe for item in qc1_definitions() if item.table == table})
    return page.render(
        "qc1_table.html",
        table=table,
        parameters=parameters,
        shown=shown,
        state=state,
        view=view,
        words=words,
        modes=queries.modes_of_table(page.session, recipes),
        last=queries.last_values(page.session, identities),
        texts=last_texts(page.session, identities) if of_texts else {},
        newest=newest,
        rows=rows,
        lines=browse_lines(rows, blocks, identities, places),
        offset=offset,
        more=len(rows) == BROWSE_ROWS,
        browse_rows=BROWSE_ROWS,
        class_words=CLASS_WORDS,
        show_words=SHOW_WORDS,
        today=page.status.now.date() if newest is None else None,
        recipes=recipes,
    )


def _plain_address(query: str, selections: Sequence[Selection]) -> str:
    """The address with running numbers in names as filters: ``y=master1_ron`` is ``y=master_ron&quadrant=1``."""
    numbers: dict[str, dict[str, None]] = {}
    for item in selections:
        for column, number in item.fixed.items():
            numbers.setdefault(column, {})[str(number)] = None
    fixed = {column: ",".join(found) for column, found in numbers.items()}
    rest = [(key, value) for key, value in parse_qsl(query) if key != "y" and key not in fixed]
    names = dict.fromkeys(item.parameter.column_name for item in selections)
    return "?" + urlencode([*(("y", name) for name in names), *rest, *fixed.items()])


def _first_choice(parameters: list[Qc1Parameter]) -> str:
    order = {"KPI": 0, "HC": 1, "CAL": 2, "ENG": 3}
    return min(parameters, key=lambda item: (order.get(item.qc_class, 9), item.id)).column_name
