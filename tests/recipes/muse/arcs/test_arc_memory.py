"""Eleven frames of each lamp: as true as one, and no more memory than three."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from core.formats.tables import WAVECAL_TABLE, read_table
from core.spectral.dispersion import Dispersion

RUN = r"""
import logging, re, sys
from pathlib import Path
from core.recipes.frames import Frame, FrameSet
from core.recipes.flow import RecipeContext
from core.recipes.registry import get_recipe
recipe = get_recipe(sys.argv[1])
ifu, method, pairs = int(sys.argv[2]), sys.argv[3], [item.rsplit("@", 1) for item in sys.argv[4:]]
frames = FrameSet(tuple(Frame(Path(path), tag) for path, tag in pairs))
context = RecipeContext(logging.LoggerAdapter(logging.getLogger("memory"), {}), lambda fraction, text: None)
options = {"method": method} if method else {}
(product,) = recipe.reduce_ifu(ifu, frames, recipe.Params.parse({"nifu": ifu, **options}), context)
assert len(product.raws) == sum(tag == "ARC" for _, tag in pairs)
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]))
"""


@pytest.fixture(scope="module")
def many(make_narrow, tmp_path_factory):
    """Eleven frames of each lamp, lamp after lamp."""
    return make_narrow(tmp_path_factory.mktemp("many"), n_arc=11)


@pytest.fixture(scope="module")
def solution(many, tmp_path_factory):
    """WAVECAL_TABLE of all frames."""
    return many.product(many.run("muse_wavecal", many.pairs(), tmp_path_factory.mktemp("solved")), "WAVECAL_TABLE")


def test_the_solution_of_eleven_frames_is_true(many, solution):
    header = fits.getheader(solution)
    assert sum(key.startswith("ESO PRO REC1 RAW") and key.endswith("NAME") for key in header) == 33
    dispersion = Dispersion.from_columns(read_table(solution, WAVECAL_TABLE))
    y = np.linspace(300, 3900, 200)[:, None]
    for number in many.slices:
        x = np.linspace(many.truth.trace_left(number, 2056) + 1, many.truth.trace_right(number, 2056) - 1, 20)
        difference = dispersion.wavelength(number, x, y) - many.truth.wavelength(number, x, y)
        # blends with lines that no catalogue lists do not average out
        assert np.sqrt(np.mean(difference**2)) < 0.006


@pytest.mark.skipif(sys.platform != "linux", reason="reads peak memory from /proc")
@pytest.mark.parametrize(
    ("recipe", "method"),
    [
        ("muse_wavecal", ""),
        ("muse_lsf", "interpolate"),
        pytest.param("muse_lsf", "hermit", marks=pytest.mark.heavy),
    ],
)
def test_memory_does_not_grow_with_the_number_of_frames(many, solution, recipe, method):
    peaks = []
    for n in (1, 3, 11):  # the first may have to compile
        arcs = [path for lamp in range(3) for path in many.arcs[11 * lamp : 11 * lamp + n]]
        pairs = [*many.pairs(arcs), *([(solution, "WAVECAL_TABLE")] if recipe == "muse_lsf" else [])]
        done = subprocess.run(
            [sys.executable, "-c", RUN, recipe, str(many.ifu), method, *(f"{path}@{tag}" for path, tag in pairs)],
            capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
        peaks.append(int(done.stdout) / 1024)
    # a raw frame takes 3 MB, with flags and variance 15: the 24 more would take 70 or 360 MB
    assert peaks[2] - peaks[1] < 15
