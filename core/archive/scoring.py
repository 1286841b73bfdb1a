"""Scores of a block, from the values and the history that the archive has.

The verdict of a statistical rule rests on the values of earlier data. Blocks are done in any order, so what comes in
late changes the history of what is there: `blocks_with_history` names the blocks concerned, which are then scored
again. So scores follow from what is in the archive, not from the order in which it came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from core.archive.earlier import earlier_values
from core.archive.models import Block, Qc1Parameter, Qc1Value, Score
from core.archive.states import BlockState
from core.instruments.registry import instrument
from core.qc1.axes import Position
from core.qc1.declaration import Qc1Declaration
from core.qc1.score import HistoryKey, Value, Verdict, score, statistical_rules, total

__all__ = ["BlockScore", "blocks_with_history", "score_block"]

IMPORTANT_CLASSES: Final = ("KPI", "HC")
GRAVE_IF_IMPORTANT: Final = 0.02  # part of the scored values of a parameter that are outliers
GRAVE: Final = 0.05
_SLACK = 1.0  # the middle of a block is at most so far from its first exposure [d]


@dataclass(frozen=True)
class BlockScore:
    """What the scores of a block say together.

    Attributes
    ----------
    score : int or None
        1 outlier, 0 good, None not scored.
    n_outliers : int
    grave : bool
        So many values are outliers that the night is bad: a fiftieth of those of an important parameter (class KPI or
        HC), or a twentieth of those of another. One flagged value of thousands is for looking at.
    """

    score: int | None
    n_outliers: int
    grave: bool


@dataclass(frozen=True)
class _Measured:
    """A stored value, with the numbers of its parameter and product, and the time of the data [d]."""

    parameter: int
    qc_class: str
    product: int | None
    mjd: float
    value: Value


def score_block(session: Session, block: Block, now: datetime) -> BlockScore:
    """Score the values of a block; its rows of scores are replaced if a verdict differs.

    Parameters
    ----------
    now : datetime.datetime
        Time of the scores; of a block that was done before, they keep the time at which it was.
    """
    declared = instrument(block.instrument).qc1
    measured = _measured(session, block.id)
    values = [item.value for item in measured]
    verdicts = score(values, block.mode, _history(session, block, measured, declared), declared.score_rules)
    owners = {(item.value.parameter, item.value.position): item for item in measured}
    rows = [
        _row(verdict, owners[verdict.measured.parameter, verdict.measured.position], declared) for verdict in verdicts
    ]
    if _stored(session, block.id) != sorted(map(_content, rows)):
        time = block.finished_at or now if block.state is BlockState.DONE else now
        session.execute(delete(Score).where(Score.block_id == block.id))
        if rows:
            session.execute(insert(Score), [{**row, "block_id": block.id, "created_at": time} for row in rows])
    return BlockScore(total(verdicts), sum(verdict.score == 1 for verdict in verdicts), _grave(verdicts, measured))


def _grave(verdicts: Sequence[Verdict], measured: Sequence[_Measured]) -> bool:
    """Whether of any parameter so large a part of the scored values are outliers that it matters."""
    important = {item.value.parameter: item.qc_class in IMPORTANT_CLASSES for item in measured}
    scored: dict[str, set[Position]] = defaultdict(set)
    flagged: dict[str, set[Position]] = defaultdict(set)
    for verdict in verdicts:
        name, place = verdict.measured.parameter, verdict.measured.position
        if verdict.score is not None:
            scored[name].add(place)
        if verdict.score == 1:
            flagged[name].add(place)
    return any(
        len(places) >= (GRAVE_IF_IMPORTANT if important[name] else GRAVE) * len(scored[name])
        for name, places in flagged.items()
    )


def blocks_with_history(session: Session, block: Block) -> list[int]:
    """Blocks that are done and scored by limits that rest on the values of a block, or may do so."""
    declared = instrument(block.instrument).qc1
    names = session.execute(
        select(Qc1Parameter.table_name, Qc1Parameter.column_name).where(
            Qc1Parameter.id.in_(select(Qc1Value.parameter_id).where(Qc1Value.block_id == block.id).distinct())
        )
    ).all()
    rules = statistical_rules(declared.score_rules)
    days = max((rules[name].days for name in map("..".join, names) if name in rules), default=None)
    if days is None:
        return []
    return list(
        session.scalars(
            select(Block.id).where(
                Block.recipe == block.recipe,
                Block.mjd_mid.between(block.mjd_mid - _SLACK, block.mjd_mid + days + _SLACK),
                Block.state == BlockState.DONE,
                Block.id != block.id,
            )
        )
    )


def _measured(session: Session, block_id: int) -> list[_Measured]:
    query = (
        select(Qc1Value, Qc1Parameter)
        .join(Qc1Parameter, Qc1Parameter.id == Qc1Value.parameter_id)
        .where(Qc1Value.block_id == block_id, Qc1Value.hidden.is_(False))
        .order_by(Qc1Value.id)
    )
    return [
        _Measured(
            parameter.id,
            parameter.qc_class,
            row.product_id,
            row.mjd_obs,
            Value(
                f"{parameter.table_name}..{parameter.column_name}",
                parameter.unit,
                Position(*(getattr(row, name) for name in Position._fields)),
                row.value,
            ),
        )
        for row, parameter in session.execute(query)
    ]


def _history(
    session: Session, block: Block, measured: Sequence[_Measured], declared: Qc1Declaration
) -> dict[HistoryKey, list[float]]:
    """Earlier values for the statistical rules: those of data before the first of the block."""
    present = {item.value.parameter for item in measured}
    history: dict[HistoryKey, list[float]] = {}
    for name, rule in statistical_rules(declared.score_rules).items():
        if name not in present:
            continue
        table, _, column = name.partition("..")
        series = earlier_values(
            session,
            {(table, column): rule.days},
            min(item.mjd for item in measured),
            readout=block.readout,
            mode=block.mode if rule.same_mode else None,
        )
        for position, values in series[table, column].items():
            history[name, position] = values
    return history


def _row(verdict: Verdict, owner: _Measured, declared: Qc1Declaration) -> dict[str, Any]:
    return {
        "parameter_id": owner.parameter,
        "product_id": owner.product,
        **verdict.measured.position._asdict(),
        "value": verdict.measured.value,
        "rule": verdict.rule,
        "rules_version": declared.rules_version,
        "low": verdict.low,
        "high": verdict.high,
        "score": verdict.score,
    }


_CONTENT = ("parameter_id", "product_id", *Position._fields, "value", "rule", "rules_version", "low", "high", "score")


def _content(row: dict[str, Any]) -> tuple[tuple[bool, Any], ...]:
    """A row as something that can be sorted and compared, empty fields included."""
    return tuple((row[name] is not None, row[name]) for name in _CONTENT)


def _stored(session: Session, block_id: int) -> list[tuple[tuple[bool, Any], ...]]:
    rows = session.execute(select(*(getattr(Score, name) for name in _CONTENT)).where(Score.block_id == block_id))
    return sorted(_content(dict(zip(_CONTENT, row, strict=True))) for row in rows)
