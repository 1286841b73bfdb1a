"""``cascade status``, ``qc`` and ``db upgrade``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from core.archive.night_counts import recount
from core.archive.pages.frames import quarantine_count
from core.archive.pages.health import partial_blocks, state_counts
from core.archive.pages.nights import latest_night, nights_between
from core.archive.pages.qc1 import browse_rows, last_values, parameters_of_table, qc1_tables
from core.archive.qc1_summaries import summarise
from core.archive.schema import current_revision, upgrade
from core.archive.sessions import Archive
from core.cascade.words import count_words
from core.errors import NotFoundError
from core.instruments.catalogue import qc1_definitions
from core.qc1.axes import place_words
from core.qc1.names import find_named, resolve_name
from service.broker import broker_state
from service.cli.common import check_archive, console, database_words, print_json, settings_of, state_text
from service.cli.tables import print_cascade, print_daemons, print_qc1
from service.commands import command_line
from service.exports import csv_text
from service.selection import SeriesRequest
from service.series import read_series
from service.status import read_status
from service.text import mjd_moment, qc1_number, unit_text
from service.web.sentences import night_sentence

__all__ = ["run_db_upgrade", "run_qc", "run_status"]


def run_status(data_dir: Path | None, *, as_json: bool) -> int:
    """Print how the installation stands; 1 if something is wrong."""
    settings = settings_of(data_dir)
    check_archive(settings)
    archive = Archive(settings.database_url)
    with archive.read() as session:
        status = read_status(session, settings)
        counts, partial = state_counts(session), partial_blocks(session)
        held = quarantine_count(session)
        night = latest_night(session)
        summary = next(iter(nights_between(session, night, night)), None) if night else None
        broker = broker_state(settings)
        failed = bool(status.alarms) or not broker["ok"]
        if as_json:
            data = {
                "ok": not failed,
                "database": database_words(settings),
                "broker": broker,
                "archive_dirs": [str(path) for path in settings.archive_dirs],
                "blocks": {state.value: count for state, count in counts.items()},
                "blocks_with_failed_units": partial,
                "quarantine": held,
                "latest_night": night.isoformat() if night else None,
                "daemons": [
                    {"kind": item.kind.value, "state": item.state, "last_seen": item.last_seen.isoformat()}
                    for item in status.daemons
                ],
                "alarms": [f"{alarm.text} {alarm.cure}" for alarm in status.alarms],
            }
            print_json(data)
            return int(failed)
        console.print(f"Archive directories: {', '.join(str(path) for path in settings.archive_dirs)}", soft_wrap=True)
        print_daemons(status)
        open_blocks = ", ".join(f"{count} {state_text(state.value)}" for state, count in counts.items())
        some = f"; [bold red]{partial} done with failed units[/]" if partial else ""
        console.print(
            f"Blocks: {open_blocks or 'nothing open, nothing failed'}{some}; {count_words(held, 'file')} in quarantine",
            soft_wrap=True,
        )
        if night:
            console.print(f"Night {night}: {night_sentence(summary)}")
            print_cascade(session, night)
        for alarm in status.alarms:
            console.print(f"[bold red]✕ {alarm.text}[/] {alarm.cure}", soft_wrap=True)
        if not broker["ok"]:
            console.print(f"[bold red]✕ broker {broker['kind']}:[/] {broker['text']}", soft_wrap=True)
    archive.dispose()
    return int(failed)


def run_qc(
    name: str | None, column: str | None, data_dir: Path | None, *, last: int, as_csv: bool, as_json: bool
) -> int:
    """Print the newest QC1 values of all tables, of one, or the series of one column."""
    settings = settings_of(data_dir)
    check_archive(settings)
    archive = Archive(settings.database_url)
    with archive.read() as session:
        request = _named_series(session, " ".join(part for part in (name, column) if part))
        if request is None:
            if as_csv:
                raise NotFoundError("CSV is of one column: give it like TABLE..COLUMN")
            if as_json:
                print_json(_last_values(session, name))
            elif not print_qc1(session, name):
                console.print(f"No QC1 value yet. Reduce a night: {command_line(settings, 'cascade run')}")
        elif as_csv:
            for text in csv_text(read_series(session, request)):
                sys.stdout.write(text.decode())
        else:
            _print_series(session, request, last, as_json=as_json)
    archive.dispose()
    return 0


def _named_series(session: Session, name: str) -> SeriesRequest | None:
    """The column that a name means; None if it is a table or nothing.

    Raises
    ------
    NotFoundError
        If there is no such table, column or keyword.
    """
    if not name or name in qc1_tables(session):
        return None
    table, _, column = name.replace("..", " ").partition(" ")
    if column and table in qc1_tables(session):
        return SeriesRequest.make(table=table, columns=[column])
    found = find_named(name, qc1_definitions())
    if len(found) != 1 and not column:
        parameters_of_table(session, table)  # says which tables there are
    named = resolve_name(name, qc1_definitions())
    return SeriesRequest.make(table=named.parameter.table, columns=[named.column])


_NEWEST = ("mjd_obs", "block_id", "median", "low", "high", "number", "score", "outliers")


def _last_values(session: Session, name: str | None) -> list[dict[str, Any]]:
    last = last_values(session)
    return [
        {
            "table": table,
            "column": item.column_name,
            "unit": item.unit,
            "class": item.qc_class,
            **{key: getattr(last[item.id], key) for key in _NEWEST},
        }
        for table, parameters in qc1_tables(session).items()
        for item in parameters
        if item.id in last and name in (None, table)
    ]


def _print_series(session: Session, request: SeriesRequest, last: int, *, as_json: bool) -> None:
    selection = request.selections(session)[0]
    parameter = selection.parameter
    axes = qc1_definitions().axes(request.table, [parameter.column_name])
    rows, blocks = browse_rows(session, [parameter], request.narrowed(selection.fixed), 0, last)
    if as_json:
        print_json(
            [
                {
                    "mjd_obs": row.mjd_obs,
                    "value": row.values[parameter.id],
                    "unit": parameter.unit,
                    "mode": blocks[row.block_id].mode,
                    **{axis: value for axis, value in row.position._asdict().items() if value is not None},
                }
                for row in rows
            ]
        )
        return
    console.print(f"{request.table}..{selection.column}: {parameter.description}", soft_wrap=True)
    for row in rows:
        found = row.values[parameter.id]
        value = found if isinstance(found, str) else f"{qc1_number(found)} {unit_text(parameter.unit)}".strip()
        where = ", ".join(place_words(axes, row.position))
        console.print(f"{mjd_moment(row.mjd_obs)}  {where:24s} {value:>14s}  {blocks[row.block_id].mode}")


def run_db_recount(data_dir: Path | None, *, as_json: bool) -> int:
    """Sum up all nights and blocks anew; 1 if any sum was wrong."""
    settings = settings_of(data_dir)
    check_archive(settings)
    archive = Archive(settings.database_url)
    with archive.write() as session:
        wrong = {"nights": recount(session), "blocks": summarise(session)}
    archive.dispose()
    told = [count_words(number, name.removesuffix("s")) for name, number in wrong.items() if number]
    if as_json:
        print_json({"data_dir": settings.data_dir, "wrong": wrong})
    elif told:
        console.print(f"{' and '.join(told)} summed up wrongly, mended")
    else:
        console.print("all nights and blocks are summed up right")
    return int(bool(told))


def run_db_upgrade(data_dir: Path | None, *, as_json: bool) -> int:
    """Migrate the database, or begin one, with the directories around it."""
    settings = settings_of(data_dir)
    settings.make_directories()
    before = current_revision(settings.database_url)
    upgrade(settings.database_url)
    after = current_revision(settings.database_url)
    shown = database_words(settings)
    if as_json:
        print_json({"data_dir": settings.data_dir, "database": shown, "before": before, "now": after})
        return 0
    console.print(
        f"{shown}: already at {after}" if before == after else f"{shown}: {before or 'empty'} → {after}", soft_wrap=True
    )
    return 0
