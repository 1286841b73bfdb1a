"""The example of docs/add-a-recipe.md, taken from that page: a module and three lines of the instrument do it."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest

import core.instruments.muse.declaration as muse
from core.archive.sessions import Archive
from core.ccd.geometry import Detector
from core.fitsfile.keywords import get_key
from core.formats.image import read_image
from core.instruments.catalogue import qc1_definitions
from core.instruments.muse import plan, qc
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.reference import recipes_page
from core.recipes.registry import get_recipe
from core.settings import Settings
from core.simulator.night import NightPlan, simulate_night
from service.declarations import installed, recipe_data
from workers.ingest import ingest_once
from workers.planning import plan_nights

PAGE = Path(__file__).parents[2] / "docs" / "add-a-recipe.md"
MODULE = "core.recipes.muse.muse_noise"
NIGHT = date(2026, 11, 1)
IFU = 7


@pytest.fixture(autouse=True)
def contributed(fresh_declarations: pytest.MonkeyPatch) -> None:
    """MUSE with what the page says."""
    module, recipe, task, table = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    made = ModuleType(MODULE)
    fresh_declarations.setitem(sys.modules, MODULE, made)
    exec(compile(module, str(PAGE), "exec", dont_inherit=True), vars(made))
    fresh_declarations.setattr(
        muse,
        "INSTRUMENT",
        replace(
            muse.INSTRUMENT,
            recipes={**muse.INSTRUMENT.recipes, **eval(f"{{{recipe}}}")},
            plan=replace(muse.INSTRUMENT.plan, tasks=(*plan.RULES.tasks, eval(task, vars(plan)))),
            qc1=replace(muse.INSTRUMENT.qc1, tables=(*qc.QC1.tables, eval(table, vars(qc)))),
        ),
    )


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Three biases of one template, of one IFU on a small detector."""
    folder = tmp_path / "raw"
    folder.mkdir()
    only_biases = NightPlan(n_bias=3, n_flat=0, n_arc=0, n_illum=0)
    simulate_night(folder, NIGHT.isoformat(), (IFU,), only_biases, detector=Detector(nx=160, ny=200))
    return folder


def test_the_recipe_measures_the_noise_of_the_frames(raw: Path, tmp_path: Path) -> None:
    output = tmp_path / "products"
    output.mkdir()
    recipe = get_recipe("muse_noise")
    frames = FrameSet(tuple(Frame(path, "BIAS") for path in sorted(raw.glob("*.fits"))))
    result = run_recipe(recipe, frames, recipe.Params.parse({"nifu": IFU, "margin": 8}), output)
    (product,) = result.products
    assert product.path.name == f"BIAS_DIFFERENCE-{IFU:02d}.fits"
    header = read_image(product.path, IFU).header
    for port in range(1, 5):
        ron, gain = (get_key(header, f"DET.OUT{port}.{name}", float) for name in ("RON", "GAIN"))
        # Of 26000 pixels the scatter is known to 0.4 %; nights differ from the header by 1 to 2 %, rounding adds 1 %.
        assert get_key(header, f"QC.NOISE.DIFF{port}.RMS", float) == pytest.approx(ron / gain, rel=0.04)


def test_a_template_of_biases_starts_a_block_of_it(raw: Path, tmp_path: Path, sqlite_archive: Archive) -> None:
    settings = Settings(
        data_dir=tmp_path / "data", archive_dirs=(raw,), database_url=sqlite_archive.database_url, settle_seconds=0.02
    )
    ingest_once(sqlite_archive, settings)
    plan_of_night = plan_nights(sqlite_archive, settings, {NIGHT})
    blocks = {block.recipe: block for block in plan_of_night.blocks}
    assert blocks.keys() == {"muse_bias", "muse_noise"}
    assert blocks["muse_noise"].frames == blocks["muse_bias"].frames
    assert blocks["muse_noise"].products == ("BIAS_DIFFERENCE",)  # from the recipe: the task does not say it
    assert blocks["muse_noise"].missing == ()


def test_what_it_declares_is_known_everywhere() -> None:
    assert "## muse_noise" in recipes_page()
    assert "muse_noise" in [recipe.name for recipe in installed()]
    assert recipe_data(get_recipe("muse_noise"))["parameter_schema"]["properties"]["margin"]["default"] == 16
    (parameter,) = [found for found in qc1_definitions() if found.recipe == "muse_noise"]
    assert parameter.name == "muse_noise..diff_rms"
    assert [axis.name for axis in parameter.axes] == ["unit", "quadrant"]
