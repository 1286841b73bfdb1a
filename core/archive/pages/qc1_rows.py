"""Many QC1 values at once, as rows of one array with their limits and scores.

Read from the database in chunks of a bounded number of rows: 400,000 values take 30 MB, not a gigabyte of objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.archive.models import Block, Qc1Text, Qc1Value, Score
from core.archive.pages.qc1 import BlockKey, SeriesFilter, has_texts, position_filters, restricted
from core.archive.qc1_summaries import Qc1Summary
from core.qc1.axes import Position

__all__ = ["NO_NUMBER", "ROW", "ReadingStopped", "ValueReader"]

NO_NUMBER: Final = -1
"""In the integer columns of a row: there is none."""

ROW: Final = np.dtype(
    [
        ("selection", np.int16),  # number of the parameter asked for
        ("mjd", np.float64),  # [d]
        ("value", np.float64),  # NaN: it is a text
        ("text", np.int32),  # index into the texts
        ("block", np.int64),
        ("product", np.int64),
        *((name, np.int16) for name in Position._fields),
        ("low", np.float64),  # NaN: open, or not scored
        ("high", np.float64),
        ("score", np.int8),  # 0 good, 1 outlier
    ]
)

_CHUNK: Final = 5000  # rows, and at most as many blocks
_IN_LIST: Final = 500  # bound variables of one IN list
_Limits = tuple[float, float, int]


class ReadingStopped(Exception):  # noqa: N818 - nothing went wrong
    """Nobody waits for the values any more."""


class ValueReader:
    """Collects values by time; of too many the newest are kept.

    Parameters
    ----------
    session : sqlalchemy.orm.Session
    limit : int
        Most rows.
    stopped : callable
        Asked between chunks; `ReadingStopped` is raised when it is true.
    with_limits : bool
        Whether each value gets its limits and score, which takes longer than to read the values. If not, those that are
        outliers are told only.

    Attributes
    ----------
    rows : numpy.ndarray of ROW
        By time.
    blocks : dict of int to BlockKey
        Those of the rows.
    texts : list of str
    truncated : bool
        More values exist; those left out are the oldest.
    """

    def __init__(
        self,
        session: Session,
        limit: int,
        stopped: Callable[[], bool] = lambda: False,
        *,
        with_limits: bool = True,
    ) -> None:
        self._session, self._limit, self._stopped, self._with_limits = session, limit, stopped, with_limits
        self._texts: dict[str, int] = {}
        self.rows = np.empty(0, ROW)
        self.blocks: dict[int, BlockKey] = {}
        self.truncated = False

    @property
    def texts(self) -> list[str]:
        """Different texts, as the rows number them."""
        return list(self._texts)

    def read(self, numbers: Mapping[int, int], wanted: SeriesFilter) -> None:
        """Add the values of some parameters.

        Parameters
        ----------
        numbers : mapping
            Parameter id to the number of the selection.
        wanted : SeriesFilter
        """
        tables: list[Any] = [Qc1Value]
        if has_texts(self._session, list(numbers)):
            tables.append(Qc1Text)
        for table in tables:
            parts: list[np.ndarray] = list(self._parts(table, numbers, wanted))  # the newest first
            rows = np.empty(len(self.rows) + sum(map(len, parts)), ROW)
            rows[: len(self.rows)] = self.rows
            end = len(self.rows)
            while parts:  # each is given up at once: so many rows are not held twice
                oldest = parts.pop()
                rows[end : end + len(oldest)] = oldest
                end += len(oldest)
            self.truncated |= len(rows) > self._limit
            if np.any(np.diff(rows["mjd"]) < 0):
                rows = rows[np.argsort(rows["mjd"], kind="stable")]
            self.rows = rows[-self._limit :]
        for part in _pieces(np.unique(self.rows["block"]).tolist(), _IN_LIST):
            self.blocks.update(self._keys([number for number in part if number not in self.blocks]))

    def _parts(self, table: Any, numbers: Mapping[int, int], wanted: SeriesFilter) -> Iterator[np.ndarray]:
        value = table.text if table is Qc1Text else table.value
        position = [getattr(table, name) for name in Position._fields]
        statement = restricted(
            select(table.parameter_id, table.mjd_obs, value, table.block_id, table.product_id, *position).where(
                table.parameter_id.in_(list(numbers)), table.hidden.is_(False)
            ),
            table,
            wanted,
        ).order_by(table.mjd_obs.desc())
        statement = statement.limit(self._limit + 1)
        with self._session.connection().execute(statement, execution_options={"yield_per": _CHUNK}) as result:
            for chunk in result.partitions():
                if self._stopped():
                    raise ReadingStopped
                yield self._array(chunk, table is Qc1Text, numbers, wanted)[::-1]

    def _array(
        self, chunk: Sequence[Sequence[Any]], is_text: bool, numbers: Mapping[int, int], wanted: SeriesFilter
    ) -> np.ndarray:
        rows = np.zeros(len(chunk), ROW)
        parameter, mjd, value, block, product, *position = zip(*chunk, strict=True)
        rows["selection"] = [numbers[identity] for identity in parameter]
        rows["mjd"], rows["block"] = mjd, block
        if is_text:
            rows["value"] = np.nan
            rows["text"] = [self._texts.setdefault(text, len(self._texts)) for text in value]
        else:
            rows["value"], rows["text"] = value, NO_NUMBER
        for name, column in zip(("product", *Position._fields), (product, *position), strict=True):
            rows[name] = [NO_NUMBER if number is None else number for number in column]
        rows["low"], rows["high"], rows["score"] = np.nan, np.nan, NO_NUMBER
        judged = self._limits if self._with_limits else self._outliers
        known = judged(set(block), list(numbers), wanted)
        if known:
            for number, row in enumerate(chunk):
                found = known.get((row[0], row[3], *row[5:]))
                if found is not None:
                    rows["low"][number], rows["high"][number], rows["score"][number] = found
        return rows

    def _limits(
        self, blocks: set[int], parameters: Sequence[int], wanted: SeriesFilter
    ) -> dict[tuple[Any, ...], _Limits]:
        """Limits and verdict of each value: of several rules the narrowest limits, and an outlier of any."""
        position = [getattr(Score, name) for name in Position._fields]
        found: dict[tuple[Any, ...], _Limits] = {}
        for part in _pieces(sorted(blocks), _IN_LIST):
            rows = self._session.execute(
                select(
                    Score.parameter_id,
                    Score.block_id,
                    *position,
                    func.max(Score.low),
                    func.min(Score.high),
                    func.max(Score.score),
                )
                .where(Score.block_id.in_(part), Score.parameter_id.in_(parameters), Score.score.is_not(None))
                .where(*position_filters(wanted, Score))
                .group_by(Score.parameter_id, Score.block_id, *position)
            )
            for *key, low, high, score in rows:
                found[tuple(key)] = (np.nan if low is None else low, np.nan if high is None else high, score)
        return found

    def _outliers(
        self, blocks: set[int], parameters: Sequence[int], wanted: SeriesFilter
    ) -> dict[tuple[Any, ...], _Limits]:
        """The values that are outliers, without their limits; only blocks that have any are looked at."""
        position = [getattr(Score, name) for name in Position._fields]
        found: dict[tuple[Any, ...], _Limits] = {}
        for part in _pieces(sorted(blocks), _IN_LIST):
            any_of = select(Qc1Summary.block_id).where(
                Qc1Summary.block_id.in_(part), Qc1Summary.parameter_id.in_(parameters), Qc1Summary.outliers > 0
            )
            some = sorted(set(self._session.scalars(any_of)))
            if some:
                rows = select(Score.parameter_id, Score.block_id, *position).where(
                    Score.block_id.in_(some), Score.parameter_id.in_(parameters), Score.score + 0 == 1
                )
                rows = rows.where(*position_filters(wanted, Score))
                found |= {tuple(row): (np.nan, np.nan, 1) for row in self._session.execute(rows)}
        return found

    def _keys(self, numbers: Sequence[int]) -> dict[int, BlockKey]:
        rows = self._session.execute(
            select(Block.id, Block.name, Block.night, Block.mode, Block.recipe_version).where(Block.id.in_(numbers))
        )
        return {row[0]: BlockKey(row[0], row[1], row[2].isoformat(), row[3] or "", row[4]) for row in rows}


def _pieces(values: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
