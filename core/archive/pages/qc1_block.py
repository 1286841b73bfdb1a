"""The QC1 values of one block, summed up by parameter."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.archive.models import Qc1Parameter, Qc1Value, Score
from core.archive.pages.qc1 import plain_rows
from core.qc1.axes import Position

__all__ = ["ParameterSummary", "block_qc1"]


@dataclass
class ParameterSummary:
    """The values of one parameter in one block, ascending."""

    parameter: Qc1Parameter
    values: list[float] = field(default_factory=list)
    scored: int = 0
    outliers: int = 0
    low: float | None = None
    high: float | None = None

    @property
    def median(self) -> float:
        """Median over all elements."""
        return median(self.values)

    @property
    def score(self) -> int | None:
        """1 outlier, 0 good, None not scored."""
        if not self.scored:
            return None
        return 1 if self.outliers else 0


def block_qc1(session: Session, block_id: int) -> list[ParameterSummary]:
    """The QC1 values of a block, one summary per parameter, in the order of definition."""
    grouped: dict[int, list[float]] = defaultdict(list)
    values = select(Qc1Value.parameter_id, Qc1Value.value)
    for identity, value in plain_rows(session, values.where(Qc1Value.block_id == block_id, Qc1Value.hidden.is_(False))):
        grouped[identity].append(value)
    parameters = session.scalars(select(Qc1Parameter).where(Qc1Parameter.id.in_(grouped)).order_by(Qc1Parameter.id))
    result = {item.id: ParameterSummary(item, sorted(grouped[item.id])) for item in parameters}
    _add_scores(session, block_id, result)
    return list(result.values())


def _add_scores(session: Session, block_id: int, summaries: dict[int, ParameterSummary]) -> None:
    limits = session.execute(
        select(Score.parameter_id, Score.rule, func.count(Score.score), func.min(Score.low), func.max(Score.high))
        .where(Score.block_id == block_id, Score.score.is_not(None))
        .group_by(Score.parameter_id, Score.rule)
    )
    for identity, _, scored, low, high in limits:
        item = summaries.get(identity)
        if item is not None:  # several rules hold at once: the narrowest limits count
            item.scored = max(item.scored, scored)
            item.low = low if item.low is None else item.low if low is None else max(item.low, low)
            item.high = high if item.high is None else item.high if high is None else min(item.high, high)
    outliers = session.execute(
        select(Score.parameter_id, *(getattr(Score, name) for name in Position._fields))
        .where(Score.block_id == block_id, Score.score == 1)
        .distinct()
    )
    for row in outliers:
        if row[0] in summaries:
            summaries[row[0]].outliers += 1
