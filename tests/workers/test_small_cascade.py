"""The whole way of a night on small detectors: bias, flat and arc through ingest, planner, dispatcher and executor.

The tracing needs all 48 slices, so the detectors are as wide as the real ones. The wavelength calibration needs arc
lines: 800 rows have enough of them in every slice, 500 only in some, 240 in none.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

import workers.dispatch
from core.archive.definitions import register_definitions
from core.archive.models import Block, BlockInput, Product, Qc1Value
from core.archive.records import Work
from core.archive.states import BlockState, InputKind
from core.ccd.geometry import Detector
from core.formats.tables import TRACE_TABLE, WAVECAL_TABLE, read_table
from core.instruments.catalogue import qc1_definitions
from core.recipes.registry import get_recipe
from core.simulator.night import NightPlan, simulate_night
from workers.broker import make_app
from workers.dispatch import Dispatcher
from workers.execute import BlockExecutor
from workers.outcome import Outcome

IFU = 7
SMALL = Detector(nx=2048, ny=400)
MASTERS = {"muse_bias": ["MASTER_BIAS"], "muse_flat": ["MASTER_FLAT", "TRACE_TABLE"], "muse_wavecal": ["WAVECAL_TABLE"]}


@pytest.fixture
def raw_house(make_house: Callable[..., Any], tmp_path: Path, lzw: Callable[[bytes], bytes]) -> Any:
    """An installation in whose archive directory a bias, a flat and an arc template lie, some frames compressed."""
    house = make_house(frames=0)
    plan = NightPlan(n_bias=3, n_flat=3, n_arc=1, n_illum=0)
    simulate_night(house.raw, "2026-11-01", (IFU,), plan, detector=SMALL, truth_directory=tmp_path / "truth")
    for path, pack, ending in zip(sorted(house.raw.iterdir()), (gzip.compress, lzw), (".gz", ".Z"), strict=False):
        path.with_name(path.name + ending).write_bytes(pack(path.read_bytes()))
        path.unlink()
    return house


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    """Blocks in the order in which the dispatcher sent them."""
    sent: list[Work] = []
    monkeypatch.setattr(workers.dispatch, "send_work", lambda app, work: sent.append(work))
    return sent


def test_bias_flat_and_arc_become_masters(raw_house: Any, queue: list[Work]) -> None:
    house = raw_house
    register_definitions(house.archive, qc1_definitions())
    assert not house.ingest().held
    executor = BlockExecutor(house.archive, house.settings, threading.Event())
    dispatcher = Dispatcher(house.archive, house.settings, make_app(house.settings))
    time.sleep(0.15)  # templates are complete as soon as nothing came in for template_seconds
    done = 0
    while dispatcher.tick().queued or done < len(queue):
        assert executor.execute(queue[done]) is Outcome.DONE
        done += 1

    blocks = house.blocks()
    assert {name: block.state for name, block in blocks.items()} == dict.fromkeys(blocks, BlockState.DONE)
    assert MASTERS.keys() <= blocks.keys()
    for name, block in blocks.items():  # on the width of real detectors, of which rows are streamed
        assert 50 < block.peak_mb <= get_recipe(name).memory.total(1), name
    for recipe, tags in MASTERS.items():
        products = house.rows(select(Product).where(Product.block_id == blocks[recipe].id).order_by(Product.tag))
        assert [(product.tag, product.unit) for product in products] == [(tag, IFU) for tag in tags]
        assert all(Path(product.path).stat().st_size == product.size for product in products)
        values = select(func.count()).select_from(Qc1Value).where(Qc1Value.block_id == blocks[recipe].id)
        assert house.scalar(values) > 10, recipe
    _assert_made_from(house, blocks["muse_flat"], blocks["muse_bias"])
    _assert_made_from(house, blocks["muse_wavecal"], blocks["muse_bias"])
    _assert_made_from(house, blocks["muse_wavecal"], blocks["muse_flat"])
    _assert_good_tables(house)


def _assert_made_from(house: Any, block: Block, source: Block) -> None:
    inputs = house.rows(select(BlockInput).where(BlockInput.block_id == block.id, BlockInput.kind != InputKind.RAW))
    assert source.id in {item.source_block_id for item in inputs}


def _assert_good_tables(house: Any) -> None:
    """All slices are traced, and the lines that are there lie on the fits: the real goal is 0.03 Angstrom."""
    paths = {product.tag: Path(product.path) for product in house.rows(select(Product))}
    assert len(read_table(paths["TRACE_TABLE"], TRACE_TABLE, IFU)["SliceNo"]) == 48
    squares = read_table(paths["WAVECAL_TABLE"], WAVECAL_TABLE, IFU)["MSE"]
    assert (squares > 0).sum() == 48
    assert np.sqrt(np.median(squares)) < 0.1  # [Angstrom]
