"""How long the archive takes to answer at ten years of data: python -m benchmarks.trend_speed

Fills a database with one bias block a night (24 IFUs, a dozen QC1 parameters) and times what pages ask most: the trend
of one parameter over all years and over three months, the last values of a table, the nights of a year.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from core.archive.models import Block, Qc1Parameter, Qc1Value
from core.archive.pages.nights import nights_between
from core.archive.pages.qc1 import SeriesFilter, last_values, parameters_of_table
from core.archive.pages.qc1_rows import ValueReader
from core.archive.schema import upgrade
from core.archive.sessions import Archive
from core.archive.states import BlockState

_FIRST = date(2016, 11, 1)
_FIRST_MJD = 57693.0
_PARAMETERS = 12
_IFUS = 24


def main() -> int:
    """Run the benchmark; the exit code is 1 if a question takes longer than its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nights", type=int, default=3650)
    parser.add_argument("--database-url", default="", help="an empty database; an SQLite file if not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trend-speed-") as folder:
        url = options.database_url or f"sqlite:///{Path(folder) / 'trend.sqlite'}"
        upgrade(url)
        archive = Archive(url)
        _fill(archive, options.nights)
        end = _FIRST_MJD + options.nights
        last_night = _FIRST + timedelta(days=options.nights)
        slow = 0
        with archive.read() as session:
            table = parameters_of_table(session, "muse_bias")
            ids = [row.id for row in table]
            number = ids[3]
            questions: list[tuple[str, float, Callable[[Session], Any]]] = [
                ("trend, all years, 24 IFUs", 0.500, lambda s: values(s, number, SeriesFilter())),
                ("trend, three months", 0.050, lambda s: values(s, number, SeriesFilter(from_mjd=end - 90))),
                ("last values of a table", 0.050, lambda s: last_values(s, ids)),
                ("nights of a year", 0.050, lambda s: nights_between(s, last_night - timedelta(365), last_night)),
            ]
            for name, limit, ask in questions:
                ask(session)
                best = min(_timed(ask, session) for _ in range(5))
                slow += best > limit
                print(f"{name:28s} {1000 * best:7.1f} ms  (limit {1000 * limit:.0f} ms)")
        archive.dispose()
    return 1 if slow else 0


def values(session: Session, parameter: int, wanted: SeriesFilter) -> ValueReader:
    """The values of one parameter."""
    reader = ValueReader(session, 200_000)
    reader.read({parameter: 0}, wanted)
    return reader


def _timed(ask: Callable[[Session], Any], session: Session) -> float:
    start = time.perf_counter()
    ask(session)
    return time.perf_counter() - start


def _fill(archive: Archive, nights: int) -> None:
    with archive.write() as session:
        parameters = [
            {
                "id": number + 1, "table_name": "muse_bias", "column_name": f"p{number}",
                "keyword": f"QC.BIAS.P{number}", "unit": "adu", "qc_class": "HC",
                "value_type": "float", "axes": "ifu", "description": "",
            }
            for number in range(_PARAMETERS)
        ]  # fmt: skip
        session.execute(insert(Qc1Parameter), parameters)
        blocks = [
            {
                "id": number + 1, "name": f"block {number}", "group_key": f"block {number}", "recipe": "muse_bias",
                "recipe_version": "1", "tag": "BIAS", "night": _FIRST + timedelta(days=number), "n_raw": 11,
                "mjd_mid": _FIRST_MJD + number, "unit_mask": (1 << _IFUS) - 1, "state": BlockState.DONE,
                "rules_hash": "", "plan_signature": str(number), "signature": str(number),
                "mode": "WFM-NOAO-N", "created_at": datetime(2026, 11, 1, tzinfo=UTC),
            }
            for number in range(nights)
        ]  # fmt: skip
        session.execute(insert(Block), blocks)
        for first in range(0, nights, 50):
            session.execute(
                insert(Qc1Value),
                [
                    {
                        "parameter_id": parameter + 1, "block_id": night + 1, "mjd_obs": _FIRST_MJD + night,
                        "unit": ifu, "value": math.sin(night / 58.0) + ifu, "mode": "WFM-NOAO-N",
                        "readout": "1", "hidden": False,
                    }
                    for night in range(first, min(first + 50, nights))
                    for ifu in range(1, _IFUS + 1)
                    for parameter in range(_PARAMETERS)
                ],
            )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
