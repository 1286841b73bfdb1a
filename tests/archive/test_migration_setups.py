"""Set-up keywords of before become the canonical text, and again keywords on the way down."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from core.archive import schema
from core.archive.models import Frame
from core.archive.sessions import make_engine
from core.instruments.muse.setup import SETUP

KEYWORDS = {
    "INS.MODE": "ins_mode", "DET.READ.CURID": "det_read_curid", "DET.READ.CURNAME": "det_read_curname",
    "INS.OPTI1.NAME": "opti1_name", "INS.OPTI2.NAME": "field_mode", "DET.BINX": "bin_x", "DET.BINY": "bin_y",
}  # fmt: skip
CASES = [
    {"INS.MODE": "WFM-NONAO-N", "DET.READ.CURID": 1, "DET.READ.CURNAME": "SCI1.0", "INS.OPTI1.NAME": "Blue",
     "INS.OPTI2.NAME": "WFM", "DET.BINX": 1, "DET.BINY": 1},
    {"INS.MODE": "WFM-NOAO-E", "DET.READ.CURID": 2, "INS.OPTI1.NAME": "Clear", "DET.BINX": 2, "DET.BINY": 1},
    {"INS.MODE": "NFM-AO-N", "DET.READ.CURID": 1},
    {},
]  # fmt: skip


def migrate(url: str, revision: str, *, down: bool = False) -> None:
    engine = make_engine(url, foreign_keys=False).execution_options(archive_write=True)
    with engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)
    engine.dispose()


def old_row(header: dict[str, Any]) -> dict[str, Any]:
    now = datetime(2026, 11, 1, 22, tzinfo=UTC)
    name = header.get("INS.OPTI1.NAME")
    return {
        "id": 1, "dp_id": "f", "file_name": "f.fits", "path": "/f.fits", "size": 1, "mtime": 1.0, "instrument": "MUSE",
        "dpr_catg": "CALIB", "dpr_type": "BIAS", "tag": "BIAS", "rule": "bias", "rules_version": "1",
        "night": date(2026, 11, 1), "date_obs": now, "mjd_obs": 61345.9, "exptime": 0.0, "mjd_mid": 61345.9,
        "lamps": "", "unit_mask": 3, "state": "present", "ingested_at": now, "header": header,
        "blue_filter": None if name is None else name.startswith("Blue"),
        **{column: header.get(keyword) for keyword, column in KEYWORDS.items()},
    }  # fmt: skip


def frames(url: str, row: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The frames as they are; ``row`` is added before."""
    engine = make_engine(url, foreign_keys=False).execution_options(archive_write=True)
    with engine.begin() as connection:
        table = sa.Table("frames", sa.MetaData(), autoload_with=connection)
        if row is not None:
            connection.execute(sa.insert(table), row)
        found = [dict(entry._mapping) for entry in connection.execute(sa.select(table))]
    engine.dispose()
    return found


@pytest.mark.parametrize("header", CASES)
def test_a_frame_of_before_has_the_setup_that_its_header_tells(empty_url: str, header: dict[str, Any]) -> None:
    migrate(empty_url, "0005")
    before = frames(empty_url, old_row(header))
    migrate(empty_url, "0006")
    (row,) = frames(empty_url)
    setup = SETUP.of_keywords(header)
    assert (row["mode"], row["readout"], row["setup_text"]) == (setup.mode, setup.readout, setup.text)
    assert Frame(instrument="MUSE", setup_text=row["setup_text"]).setup == setup
    migrate(empty_url, "0005", down=True)
    (after,) = frames(empty_url)
    given = {column for keyword, column in KEYWORDS.items() if keyword in header}
    assert {name: after[name] for name in given} == {name: before[0][name] for name in given}
