from __future__ import annotations

import threading
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from service.cli import demo_frames
from service.cli.demo_frames import DEMO_PLAN, DemoNights, Simulation, demo_nights

NIGHT = date(2026, 11, 18)


def test_what_was_begun_is_gone_on_with(tmp_path: Path) -> None:
    first = demo_nights(tmp_path, NIGHT, (1, 2), 4)
    assert demo_nights(tmp_path, date(2027, 1, 1), (7,), 1) == first
    assert [night for night, _ in first.plans] == [date(2026, 11, day) for day in (15, 16, 17, 18)]
    assert first.frames == 3 * 5 + 5 + 3 + 5 + 3 + 1 + 3 + 2
    assert first.blocks == 4 + 5 + 2 * 2 + 2


def test_a_standard_star_is_observed_with_the_units_that_see_it() -> None:
    without, with_star = (DemoNights(NIGHT.isoformat(), units, 1) for units in ((1, 2), (12, 13)))
    assert (with_star.frames, with_star.blocks) == (without.frames + 1, without.blocks + 2)


def test_every_recipe_has_frames() -> None:
    assert min(DEMO_PLAN.n_bias, DEMO_PLAN.n_dark, DEMO_PLAN.n_flat) >= 3
    assert min(DEMO_PLAN.n_arc, DEMO_PLAN.n_illum, DEMO_PLAN.sky.n_std) >= 1
    assert DEMO_PLAN.sky.n_object >= 2
    assert DEMO_PLAN.sky.n_skyflat >= 3


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[date]:
    """Nights that were asked of the simulator, which makes one empty file of each here."""
    nights: list[date] = []

    def simulate(raw: Path, night: date, *_: Any, **__: Any) -> list[Path]:
        nights.append(night)
        path = raw / f"MUSE.{night}.fits"
        path.touch()
        return [path]

    monkeypatch.setattr(demo_frames, "simulate_night", simulate)
    return nights


def test_a_night_is_simulated_once(tmp_path: Path, simulated: list[date]) -> None:
    wanted = DemoNights(NIGHT.isoformat(), (1,), 2)
    for _ in range(2):
        simulation = Simulation(tmp_path, tmp_path, wanted, threading.Event())
        simulation.run()
        assert (simulation.error, simulation.done) == (None, 2)
    assert simulated == [date(2026, 11, 17), NIGHT]


def test_an_error_is_kept_for_the_thread_that_watches(tmp_path: Path) -> None:
    simulation = Simulation(
        tmp_path, tmp_path / "nowhere" / "raw", DemoNights("2026-11-18", (99,), 1), threading.Event()
    )
    simulation.run()
    assert simulation.error is not None


def test_nothing_more_is_begun_when_it_is_stopped(tmp_path: Path, simulated: list[date]) -> None:
    stop = threading.Event()
    stop.set()
    Simulation(tmp_path, tmp_path, DemoNights(NIGHT.isoformat(), (1,), 3), stop).run()
    assert simulated == []
