"""An instrument is a folder with a declaration, and a recipe is a module that its instrument names."""

from __future__ import annotations

from pathlib import Path

import pytest

import core.instruments
from core.cascade.model import FrameInfo
from core.cascade.plan import make_plan
from core.instruments.catalogue import installed_recipes, recipe_versions
from core.instruments.classification import classify
from core.instruments.registry import UnknownInstrumentError, instrument, instrument_of_recipe, instruments
from core.recipes.registry import recipe_names

# All that a contributor writes to add an instrument with one recipe.
DECLARATION = '''
"""A camera with two chips."""

from datetime import UTC, datetime

from core.instruments.rules import RawSource, Rules, Task
from core.instruments.declaration import Instrument, RawRule
from core.instruments.setup import SetupKey, SetupSpec, UnitSpec
from core.instruments.statics import StaticRules

UNITS = UnitSpec(2, "chip", "chips", r"CHIP(\\\\d)", "CHIP{}")
SETUP = SetupSpec("TOYSCOPE", (SetupKey("mode", "filter", ("INS.FILT1.NAME",), lambda k: k.get("INS.FILT1.NAME")),))
INSTRUMENT = Instrument(
    name="TOYSCOPE",
    first_light=datetime(2020, 1, 1, tzinfo=UTC),
    units=UNITS,
    setup=SETUP,
    raw_rules=(RawRule("toy", "TOY", "CALIB", "TOY", "IMAGE"),),
    required=("DATE-OBS",),
    keyword_types={},
    kept="",
    structure="core.instruments.toyscope.declaration:units",
    plan=Rules(SETUP, UNITS, (RawSource("TOY"),), (), (Task("toy_mean", "TOY", (), ("TOY_MEAN",)),)),
    statics=StaticRules("TY", ()),
    recipes={"toy_mean": "tests.recipes.toys:ToyMean"},
)


def units(scan):
    return UNITS.all
'''.replace("\\\\", "\\")


@pytest.fixture
def with_toyscope(fresh_declarations: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "instruments" / "toyscope"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "declaration.py").write_text(DECLARATION)
    fresh_declarations.setattr(core.instruments, "__path__", [*core.instruments.__path__, str(folder.parent)])


def test_the_instruments_are_the_folders_that_declare_one() -> None:
    assert [item.name for item in instruments()] == ["CRIRES", "MUSE"]
    assert instrument(" muse ").units.words == "IFUs"


def test_an_instrument_that_is_not_declared_is_named_with_those_that_are() -> None:
    with pytest.raises(UnknownInstrumentError, match="there is no instrument 'FORS2'; known are CRIRES, MUSE"):
        instrument("FORS2")


@pytest.mark.usefixtures("with_toyscope")
def test_a_folder_more_is_an_instrument_more_with_its_recipe() -> None:
    assert [item.name for item in instruments()] == ["CRIRES", "MUSE", "TOYSCOPE"]
    toy = instrument_of_recipe("toy_mean")
    found = classify(
        {"INSTRUME": "TOYSCOPE", "DPR.CATG": "CALIB", "DPR.TYPE": "TOY", "DPR.TECH": "IMAGE", "DATE-OBS": "2026-11-01"}
    )
    assert (found.instrument, found.tag) == ("TOYSCOPE", "TOY")
    assert "toy_mean" in recipe_names()
    assert "toy_mean" in installed_recipes()
    frame = FrameInfo("a", found.tag, toy.setup.of_keywords({"INS.FILT1.NAME": "R"}), 61345.9, units=(1, 2))
    (block,) = make_plan(toy.plan, [frame]).blocks
    assert (block.recipe, block.setup.mode, block.units) == ("toy_mean", "R", (1, 2))
    assert recipe_versions()["toy_mean"]


@pytest.mark.usefixtures("with_toyscope")
def test_a_folder_that_declares_something_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "instruments" / "nothing"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "declaration.py").write_text("INSTRUMENT = 'none'\n")
    with pytest.raises(TypeError, match=r"nothing\.declaration\.INSTRUMENT is no Instrument"):
        instruments()
