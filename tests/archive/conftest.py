"""Rows to start from: frames, blocks and products with what does not matter filled in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from core.archive.models import Block, BlockInput, Frame, setup_columns
from core.archive.records import NewProduct
from core.archive.sessions import Archive
from core.archive.states import BlockState, InputKind
from core.instruments.muse.setup import SETUP


@pytest.fixture
def add_frame(archive: Archive) -> Callable[..., int]:
    """Adds a raw frame by name; answers its id."""

    def add(name: str, **columns: Any) -> int:
        values: dict[str, Any] = {
            "dp_id": name,
            "file_name": f"{name}.fits",
            "path": f"/raw/{name}.fits",
            "size": 1,
            "mtime": 1.0,
            "dpr_catg": "CALIB",
            "dpr_type": "BIAS",
            "tag": "BIAS",
            "rule": "bias",
            "rules_version": "1",
            "night": date(2026, 11, 1),
            "date_obs": datetime(2026, 11, 1, 22, tzinfo=UTC),
            "mjd_obs": 61345.9,
            "exptime": 0.0,
            "mjd_mid": 61345.9,
            "unit_mask": 3,
            **setup_columns(SETUP.of_values({"mode": "WFM-NOAO-N"})),
            "header": {},
            **columns,
        }
        with archive.write() as session:
            frame = Frame(**values)
            session.add(frame)
            session.flush()
            return frame.id

    return add


@pytest.fixture
def add_block(archive: Archive) -> Callable[..., int]:
    """Adds a block by name, with inputs as (role, kind, source block); answers its id."""

    def add(
        name: str,
        state: BlockState = BlockState.READY,
        inputs: tuple[tuple[str, InputKind, int | None], ...] = (),
        **columns: Any,
    ) -> int:
        values: dict[str, Any] = {
            "name": name,
            "group_key": name,
            "recipe": "muse_bias",
            "recipe_version": "1",
            "tag": "BIAS",
            "night": date(2026, 11, 1),
            "mjd_mid": 61345.9,
            "n_raw": 3,
            "unit_mask": 3,
            "state": state,
            "rules_hash": "r",
            "plan_signature": f"signature of {name}",
            "signature": f"signature of {name}",
            **setup_columns(SETUP.of_values({"mode": "WFM-NOAO-N"})),
            **columns,
        }
        with archive.write() as session:
            block = Block(**values)
            block.inputs = [
                BlockInput(role=role, kind=kind, source_block_id=source, position=position)
                for position, (role, kind, source) in enumerate(inputs)
            ]
            session.add(block)
            session.flush()
            return block.id

    return add


@pytest.fixture
def new_product() -> Callable[..., NewProduct]:
    """A product record by path."""

    def make(path: str, tag: str = "MASTER_BIAS", unit: int | None = 1, **fields: Any) -> NewProduct:
        values: dict[str, Any] = {
            "tag": tag,
            "unit": unit,
            "path": path,
            "size": 10,
            "sha256": "0" * 64,
            "mjd_obs": 61345.9,
            "mjd_mid": 61345.9,
            "night": date(2026, 11, 1),
            "header": {"INS.MODE": "WFM-NOAO-N", "INS.OPTI1.NAME": "Blue", "DET.READ.CURID": 1},
            **fields,
        }
        return NewProduct(**values)

    return make
