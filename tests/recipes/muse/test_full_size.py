"""Full-size frames: memory of the first stage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = r"""
import logging, re, sys
from pathlib import Path
from core.recipes.frames import Frame, FrameSet
from core.recipes.flow import RecipeContext
from core.recipes.registry import get_recipe
recipe = get_recipe("muse_bias")
frames = FrameSet(tuple(Frame(Path(name), "BIAS") for name in sys.argv[1:]))
context = RecipeContext(logging.LoggerAdapter(logging.getLogger("full"), {}), lambda fraction, text: None)
parameters = recipe.Params.parse({"nifu": 1})
(product,) = recipe.reduce_ifu(1, frames, parameters, context)
assert product.image.data.shape == (4112, 4096)
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="reads peak memory from /proc")
def test_memory_does_not_grow_with_the_number_of_frames(frame_maker):
    maker = type(frame_maker)(frame_maker.folder, nx=2048, ny=2056)
    first = maker.write("b0.fits", 1)
    names = [str(first)]
    for k in range(1, 11):
        link = Path(first).with_name(f"b{k}.fits")
        link.symlink_to(first)
        names.append(str(link))
    peaks = []
    for n in (3, 11):
        done = subprocess.run(
            [sys.executable, "-c", RUN, *names[:n]], capture_output=True, text=True, check=True, timeout=300
        )
        peaks.append(int(done.stdout))
    # 203 MB of product and what Python and its libraries take; a frame of the reference takes 215 MB more
    assert peaks[1] < 500
    assert peaks[1] - peaks[0] < 30
