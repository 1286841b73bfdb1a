"""Recipes by parts: slabs and the whole, serially, on processes, by hand in a shared directory, and from the shell."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataError, NotFoundError, ParameterError
from core.fitsfile.sof import format_sof
from core.recipes.engine import finish_run, prepare_run, run_part, run_recipe
from core.recipes.events import (
    Event,
    Output,
    PartDone,
    PartFailed,
    PartProgress,
    PartStarted,
    PlotsMade,
    RunDone,
    RunProgress,
    RunStarted,
    event_line,
    parse_event,
)
from core.recipes.flow import PartOutput, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.names import product_name
from core.recipes.parts import WHOLE, MemoryNeed, Part, PartKind, slabs, unit_part
from core.recipes.registry import ENVIRONMENT, get_recipe, recipe_names
from core.recipes.results import PlotFile, RecipeFailedError, RunResult
from core.recipes.rundir import RunDirectory
from tests.recipes.toys import REGISTERED, SHAPE, ToyMean

ROOT = Path(__file__).parents[2]
LABEL = "4950-5050 Angstrom"  # of slab 3


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, REGISTERED)


@pytest.fixture
def frames(tmp_path: Path) -> FrameSet:
    """Two frames with nothing but a header."""
    paths = [tmp_path / f"toy{number}.fits" for number in (1, 2)]
    for number, path in enumerate(paths):
        hdu = fits.PrimaryHDU()
        hdu.header["MJD-OBS"] = 60000.0 + number
        hdu.writeto(path)
    return FrameSet(tuple(Frame(path, "TOY") for path in paths))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def run(name: str, frames: FrameSet, output: Path, **values: object) -> tuple[RunResult, list[Event]]:
    recipe = get_recipe(name)
    events: list[Event] = []
    at_once = values.pop("at_once", None)
    result = run_recipe(
        recipe, frames, recipe.Params.parse(values), output, at_once=at_once, on_event=events.append  # type: ignore[arg-type]
    )  # fmt: skip
    return result, events


def planes(path: Path) -> np.ndarray:
    """The first voxel of each plane."""
    return np.asarray(fits.getdata(path, "DATA")[:, 0, 0])


@pytest.mark.parametrize("at_once", [1, 3])
def test_slabs_fill_one_cube_one_after_the_other_or_on_processes(frames: FrameSet, output: Path, at_once: int) -> None:
    result, events = run("toy_cube", frames, output, at_once=at_once)
    assert [path.name for path in output.iterdir()] == ["TOY_CUBE.fits"]
    np.testing.assert_array_equal(planes(output / "TOY_CUBE.fits"), np.arange(10) + 2)
    (product,) = result.products
    assert (product.tag, product.unit, product.number) == ("TOY_CUBE", None, None)
    header = fits.getheader(output / "TOY_CUBE.fits", checksum=True)
    assert header["ESO QC TOY SUM"] == np.prod(SHAPE) * sum(range(2, 12))
    assert (header["ESO PRO CATG"], header["PIPEFILE"]) == ("TOY_CUBE", "TOY_CUBE.fits")
    assert header["ESO PRO REC1 RAW2 NAME"] == "toy2.fits"
    assert [part.key for part in result.reduced] == [f"slab-00{number}" for number in range(1, 6)]
    assert result.part_peak_mb > 10
    assert result.finish.peak_mb > 10
    assert events[0] == RunStarted("toy_cube", result.reduced)
    assert RunProgress("prepare", 1.0, "reserved") in events
    assert RunProgress("finish", 1.0, "measured") in events
    for kind in (PartStarted, PartProgress, PartDone):
        assert sorted(event.part for event in events if isinstance(event, kind)) == list(result.reduced), kind


def test_the_whole_at_once_is_one_part(frames: FrameSet, output: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        result, events = run("toy_mean", frames, output)
    assert result.reduced == (WHOLE,)
    assert [path.name for path in output.iterdir()] == ["TOY_MEAN_0001.fits"]
    assert fits.getheader(output / "TOY_MEAN_0001.fits")["ESO QC TOY N"] == 2
    assert "toy_mean, version 1: 2 frames, the whole" in caplog.text
    assert [type(event) for event in events] == [RunStarted, PartStarted, PartDone]


@pytest.mark.parametrize(("how", "retriable", "text"), [("fail", False, "no light"), ("kill", True, "SIGKILL")])
def test_a_lost_slab_fails_the_recipe_that_needs_it_and_nothing_stays(
    frames: FrameSet, output: Path, how: str, retriable: bool, text: str
) -> None:
    with pytest.raises(RecipeFailedError, match=f"{LABEL} failed: .*{text}") as raised:
        run("toy_cube", frames, output, at_once=2, **{how: 3})
    assert raised.value.retriable is retriable
    assert pickle.loads(pickle.dumps(raised.value)).error_type == raised.value.error_type
    assert not list(output.iterdir())


@pytest.mark.parametrize("how", ["fail", "kill"])
def test_a_lost_slab_costs_that_slab_where_the_rest_is_worth_having(
    frames: FrameSet, output: Path, how: str
) -> None:  # fmt: skip
    result, events = run("toy_lossy", frames, output, at_once=2, **{how: 3})
    (failure,) = result.failures
    assert failure.part.label == LABEL
    assert [part.number for part in result.reduced] == [1, 2, 4, 5]
    assert [event.failure for event in events if isinstance(event, PartFailed)] == [failure]
    expected = np.array([2, 3, 4, 5, np.nan, np.nan, 8, 9, 10, 11])
    np.testing.assert_array_equal(planes(output / "TOY_CUBE.fits"), expected)


def test_parts_of_a_run_can_be_done_anywhere_in_any_order_and_twice(frames: FrameSet, output: Path) -> None:
    recipe = get_recipe("toy_cube")
    run("toy_cube", frames, output, at_once=1)
    expected = (output / "TOY_CUBE.fits").read_bytes()
    (output / "TOY_CUBE.fits").unlink()
    state = RunDirectory(output.parent / "state")
    state.path.mkdir()
    with pytest.raises(NotFoundError, match="no run is prepared here"):
        state.run()
    state.save_run(prepare_run(recipe, frames, recipe.Params.parse({}), output))
    parts = list(state.run().parts) * 2
    random.Random(1).shuffle(parts)
    for part in parts:
        state.save_outcome(run_part(state.run(), part))
        assert state.outcome(part) is not None
    result = finish_run(state.run(), state.outcomes())
    assert result.ok
    assert without_dates((output / "TOY_CUBE.fits").read_bytes()) == without_dates(expected)
    assert sorted(path.name for path in state.path.iterdir()) == [
        "run.pickle",
        *(f"slab-00{n}.pickle" for n in range(1, 6)),
    ]


def without_dates(data: bytes) -> list[bytes]:
    cards = [data[start : start + 80] for start in range(0, len(data), 80)]
    return [card for card in cards if not card.startswith((b"DATE    =", b"CHECKSUM="))]


def test_muserex_runs_recipes_that_are_registered(frames: FrameSet, output: Path) -> None:
    (output / "in.sof").write_text(format_sof((frame.path, frame.tag) for frame in frames))

    def muserex(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "core.recipes.muserex", *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
        return subprocess.run(command, cwd=output, env=environment, capture_output=True, text=True, check=False)

    assert "toy_cube" in muserex("--recipes").stdout
    done = muserex("--log-file=toy.log", "toy_cube", "--slabs=3", "in.sof")
    assert (done.returncode, done.stdout) == (0, "TOY_CUBE.fits TOY_CUBE\n"), done.stderr
    log = (output / "toy.log").read_text()
    assert "toy_cube, version 1: 2 frames, 3 slabs, 4750-5050 Angstrom" in log
    assert "toy_cube: saved TOY_CUBE: TOY_CUBE.fits" in log
    failed = muserex("toy_cube", "--fail=2", "in.sof")
    assert failed.returncode == 1
    assert "[slab=002] no light" in failed.stderr
    assert "muserex: 4850-4950 Angstrom failed: no light" in failed.stderr
    assert muserex("toy_lossy", "--kill=2", "in.sof").returncode == 1


def test_what_cannot_be_registered_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert recipe_names()[-3:] == ("toy_cube", "toy_lossy", "toy_mean")
    monkeypatch.setenv(ENVIRONMENT, "toy_cube")
    with pytest.raises(ParameterError, match="CASCADE_RECIPES has 'toy_cube', not name=module:Class"):
        get_recipe("muse_bias")


# -- the pieces ----------------------------------------------------------------------------------------------------


@given(low=st.floats(1000, 5000), length=st.floats(1, 5000), width=st.floats(0.5, 900))
def test_slabs_are_without_gap_and_overlap(low: float, length: float, width: float) -> None:
    parts = slabs(low, low + length, width)
    assert (parts[0].low, parts[-1].high) == (low, low + length)
    assert all(one.high == other.low for one, other in pairwise(parts))
    assert all(part.low < part.high for part in parts)  # type: ignore[operator]
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))


def test_parts_have_names_for_files_logs_and_people() -> None:
    names = [(part.key, part.log_mark, part.label) for part in (unit_part(7, "IFU"), slabs(4750, 4850, 100)[0], WHOLE)]
    assert names == [
        ("unit-07", "ifu=07", "IFU 7"),
        ("slab-001", "slab=001", "4750-4850 Angstrom"),
        ("whole", "", "the whole"),
    ]
    with pytest.raises(ParameterError, match="cannot be divided"):
        slabs(5000, 4000, 100)


def test_what_a_part_has_saved_stays_though_the_part_fails(
    frames: FrameSet, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ToyMean.process

    def process(self: ToyMean, part: Part, *given: Any) -> PartOutput:
        ctx: RecipeContext = given[-1]
        for product in whole(self, part, *given).products:
            ctx.save(product)
        raise DataError("the second exposure is empty")

    monkeypatch.setattr(ToyMean, "process", process)
    recipe = get_recipe("toy_mean")
    outcome = run_part(prepare_run(recipe, frames, recipe.Params(), output), WHOLE)
    assert outcome.failure is not None
    assert [product.path.name for product in outcome.products] == ["TOY_MEAN_0001.fits"]
    assert outcome.products[0].path.exists()


def test_products_of_units_and_of_exposures_have_their_numbers_in_the_name() -> None:
    assert product_name("TAG") == "TAG.fits"
    assert product_name("TAG", number=3) == "TAG_0003.fits"
    assert product_name("TAG", unit=7) == "TAG-07.fits"
    assert product_name("TAG", number=3, unit=7) == "TAG_0003-07.fits"


def test_the_declared_memory_says_how_much_runs_at_once() -> None:
    need = MemoryNeed(fixed_mb=200, part_mb=300)
    assert need.total(3) == 1100
    assert [need.parts_within(limit) for limit in (100, 499, 500, 1100)] == [0, 0, 1, 3]


PARTS = st.builds(Part, st.sampled_from(PartKind), st.integers(0, 99), st.none() | st.floats(0, 9999))
PLOTS = st.builds(PlotFile, st.text(), st.text(), st.text(), st.text(), st.none() | st.integers(1, 24))
EVENTS = st.one_of(
    st.builds(RunDone, st.builds(RunResult, reduced=st.lists(PARTS).map(tuple))),
    st.builds(PartProgress, PARTS, st.floats(0, 1), st.text()),
    st.builds(PlotsMade, st.lists(PLOTS).map(tuple), st.text()),
    st.builds(Output, st.text()),
)


@given(EVENTS)
def test_events_survive_the_line_between_processes(event: Event) -> None:
    line = event_line(event)
    assert line.count(b"\n") == 1
    assert parse_event(line) == event


@pytest.mark.parametrize(
    "line", [b"warning: libc\n", b"{}", b'{"event": "part_don', b'{"event": "later"}', b"[1]", b"\xff"]
)
def test_a_line_that_is_no_event_is_output(line: bytes) -> None:
    assert isinstance(parse_event(line), Output)
