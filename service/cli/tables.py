"""What the commands print: the cascade of a night, QC1 values, daemons."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

from rich.table import Table
from sqlalchemy.orm import Session

from core.archive.models import Block, BlockInput
from core.archive.pages.blocks import blocks_of_night, calibration_inputs
from core.archive.pages.qc1 import last_values, qc1_tables
from core.archive.pages.qc1_texts import last_texts
from core.archive.qc1_summaries import Qc1Summary
from core.archive.records import LostUnit
from core.archive.states import InputKind
from core.cascade.words import count_words
from core.staticcal.directory import StaticFile
from service.cli.common import console, state_text
from service.explain import waits_for
from service.status import Status
from service.text import age, duration, mebibytes, mjd_moment, moment, qc1_number, signed_age, unit_text
from service.web.cascade_graph import cascade_order
from service.web.templating import block_mark

__all__ = ["print_cascade", "print_daemons", "print_qc1", "print_statics"]

_MARKS: Final = {"bad": "bold red", "warn": "yellow"}


def _table(title: str, *columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for name in columns:
        first = name == columns[0]
        table.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=first)
    return table


def print_cascade(session: Session, night: date) -> None:
    """Blocks of a night in the order in which they are made, with the calibrations they take."""
    blocks = blocks_of_night(session, night)
    if not blocks:
        console.print(f"Night {night}: no block is planned.")
        return
    inputs: dict[int, list[BlockInput]] = defaultdict(list)
    for item in calibration_inputs(session, [block.id for block in blocks]):
        inputs[item.block_id].append(item)
    table = _table(
        f"Cascade of night {night}",
        "tag",
        "raw",
        "recipe",
        "state",
        "time",
        "score",
        "takes",
        right=("raw", "time"),
    )  # fmt: skip
    for block in cascade_order(blocks, inputs):
        takes = ", ".join(_choice(item) for item in inputs[block.id])
        kind, _, word = block_mark(block)
        state = state_text(block.state.value) if word == block.state.value else f"[{_MARKS[kind]}]{word}[/]"
        if block.state.value in ("incomplete", "waiting"):
            takes = waits_for(block, inputs[block.id])
        elif block.error_message:
            takes = block.error_message
        elif block.lost_units and word != block.state.value:
            takes = "; ".join(LostUnit(**item).told(block.unit_words.word) for item in block.lost_units)
        table.add_row(
            block.tag,
            str(block.n_raw),
            block.recipe,
            state,
            f"{duration(block.duration)} {mebibytes(block.peak_mb)}".strip(),
            _score(block),
            takes or "nothing",
        )
    console.print(table)


def _choice(item: BlockInput) -> str:
    if item.kind is InputKind.MISSING:
        return f"{item.role} none" if not item.required else f"{item.role} missing"
    if item.kind is InputKind.STATIC:
        return item.role
    return f"{item.role} {signed_age(item.age_days)}"


def _score(block: Block) -> str:
    if block.score is None:
        return "-"
    return state_text("good") if block.score == 0 else f"[bold red]{count_words(block.n_outliers, 'outlier')}[/]"


def print_qc1(session: Session, table_name: str | None = None, only_important: bool = False) -> int:
    """Newest value of each parameter; returns how many have one."""
    shown = 0
    last, texts = last_values(session), last_texts(session)
    for name, parameters in qc1_tables(session).items():
        if table_name is not None and name != table_name:
            continue
        rows = [
            item
            for item in parameters
            if (item.id in last or item.id in texts) and not (only_important and item.qc_class == "ENG")
        ]
        if not rows:
            continue
        newest = max((last[item.id] if item.id in last else texts[item.id]).mjd_obs for item in rows)
        table = _table(
            f"QC1 {name}, {mjd_moment(newest)} UT",
            "parameter", "class", "median", "lowest", "highest", "unit", "n", "score",
            right=("median", "lowest", "highest", "n"),
        )  # fmt: skip
        for item in rows:
            value = last.get(item.id)
            cells = _number_cells(item.unit, value) if value else (", ".join(texts[item.id].texts), "", "", "", "", "-")
            table.add_row(item.column_name, item.qc_class, *cells)
        console.print(table)
        shown += len(rows)
    return shown


def _number_cells(unit: str, value: Qc1Summary) -> tuple[str, ...]:
    score = {None: "-", 0: state_text("good"), 1: f"[bold red]{count_words(value.outliers, 'outlier')}[/]"}[value.score]
    numbers = (qc1_number(number) for number in (value.median, value.low, value.high))
    return (*numbers, unit_text(unit), str(value.number), score)


def print_daemons(status: Status) -> None:
    """Daemons and freshness."""
    table = _table("Daemons", "kind", "state", "last sign", "host", "doing")
    for item in status.daemons:
        seen = f"{age(status.now - item.last_seen)} ago"
        table.add_row(item.kind.value, state_text(item.state), seen, f"{item.host}:{item.pid}", item.doing)
    if status.daemons:
        console.print(table)
    table = _table("Freshness", "what", "when (UT)", "age", "limit")
    for box in status.boxes:
        old = "-" if box.time is None else age(status.now - box.time)
        table.add_row(box.label, moment(box.time), f"[bold red]{old}[/]" if box.stale else old, age(box.limit))
    console.print(table)


def print_statics(directory: Path, files: Sequence[StaticFile]) -> None:
    """Static calibrations of a directory: what each is, when it is used, and whether it was built here."""
    table = _table(f"Static calibrations in {directory}", "file", "tag", "set-up", "valid", "origin")
    for file in sorted(files, key=lambda file: (file.tag, file.path)):
        table.add_row(
            str(Path(file.path).relative_to(directory)),
            file.tag,
            str(file.setup[0][1]) if file.setup else "any",
            _span(file.valid_from, file.valid_until),
            "built" if file.built else "delivered",
        )
    console.print(table)


def _span(start: float, end: float) -> str:
    parts = [f"{word} {mjd_moment(mjd)[:10]}" for word, mjd in (("from", start), ("until", end)) if math.isfinite(mjd)]
    return " ".join(parts) or "always"
