"""The file between a worker and its child process says what was put into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.recipes.frames import Frame
from core.recipes.job import Job
from core.recipes.results import WrittenProduct
from workers.job import BlockJob, LostPart, Step

finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.booleans() | st.integers(-(2**53), 2**53) | finite | st.text()
names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20)
paths = names.map(lambda name: Path("/data") / name)
runs = st.builds(
    Job,
    recipe=names,
    frames=st.lists(st.builds(Frame, paths, names), max_size=3).map(tuple),
    output_dir=paths,
    parameters=st.dictionaries(names, values, max_size=4),
    units=st.none() | st.lists(st.integers(1, 24), min_size=1, max_size=4).map(tuple),
    at_once=st.none() | st.integers(1, 24),
    log_file=st.none() | paths,
)


@given(
    run=runs,
    step=st.sampled_from(Step),
    references=st.lists(st.builds(WrittenProduct, names, paths, st.none() | st.integers(1, 24)), max_size=3).map(tuple),
    lost=st.lists(st.builds(LostPart, names, names, names), max_size=3).map(tuple),
)
def test_a_job_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    run: Job,
    step: Step,
    references: tuple[WrittenProduct, ...],
    lost: tuple[LostPart, ...],
) -> None:
    folder = tmp_path_factory.mktemp("job")
    job = BlockJob("block", run, step, folder, ("BIAS",), references, threads=2, lost=lost)
    job.save()
    assert BlockJob.load(job.file) == job


def test_parts_that_run_at_the_same_time_have_files_of_their_own(tmp_path: Path) -> None:
    run = Job("muse_bias", (), tmp_path)
    parts = [BlockJob("block", run, Step.PART, tmp_path, part=key).file.name for key in ("slab-001", "slab-002")]
    assert parts == ["job-slab-001.json", "job-slab-002.json"]
    assert BlockJob("block", run, Step.PREPARE, tmp_path).file.name == "job-prepare.json"


def test_a_file_that_is_no_job_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"recipe": "muse_bias"}')
    with pytest.raises(ValueError, match="run"):
        BlockJob.load(tmp_path / "job.json")
