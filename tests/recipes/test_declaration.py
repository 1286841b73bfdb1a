"""Declarations: parameters are checked before anything runs, and the registry is consistent."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from core.errors import MissingInputError, NotFoundError, ParameterError
from core.recipes import muserex
from core.recipes.declaration import QcSpec, Recipe, parameter
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.parameters import NifuParameters
from core.recipes.registry import all_recipes, get_recipe, recipe_names


class _Params(NifuParameters):
    combine: Literal["average", "sigclip"] = parameter("sigclip", "Type of image combination to use.")
    lsigma: float = parameter(3.0, "Low sigma for pixel rejection with sigclip.", gt=0)
    scale: bool = parameter(True, "Scale the frames.", hidden=True)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"nifu": "25"}, r"nifu='25' is not accepted: .* nifu takes an integer >= -1 and <= 24"),
        ({"combine": "mean"}, "combine takes one of average, sigclip"),
        ({"lsigma": "0"}, "lsigma takes a number > 0"),
        ({"lsigma": "three"}, "lsigma takes a number"),
        ({"losigma": "3"}, "there is no parameter losigma; the recipe has: nifu, combine, lsigma, scale"),
    ],
)
def test_wrong_values_are_refused_naming_what_is_accepted(values: dict[str, str], text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        _Params.parse(values)


def test_texts_are_converted_and_changes_are_known() -> None:
    params = _Params.parse({"nifu": "-1", "combine": "average"})
    assert params.changed() == {"nifu": -1, "combine": "average"}


def test_hidden_parameters_are_accepted_from_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUSE_EXPERT_USER", raising=False)
    assert _Params.parse({"scale": "false"}).changed() == {"scale": False}


def test_hidden_parameters_are_shown_to_experts_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MUSE_EXPERT_USER", raising=False)
    assert muserex.main(["--help", "muse_wavecal"]) == 0
    assert "--resample" not in capsys.readouterr().out
    monkeypatch.setenv("MUSE_EXPERT_USER", "1")
    assert muserex.main(["--help", "muse_wavecal"]) == 0
    assert "  --resample " in capsys.readouterr().out


def test_qc_families_match_their_keywords() -> None:
    spec = QcSpec("QC.TRACE.SLICE{slice}.MAXSLOPE", "", "float", "ENG", "slope")
    match = spec.pattern.match("QC.TRACE.SLICE12.MAXSLOPE")
    assert match is not None
    assert match.group("slice") == "12"
    assert spec.pattern.match("QC.TRACE.SLICE_L.XPOS") is None
    assert spec.key(slice=3) == "QC.TRACE.SLICE3.MAXSLOPE"


@pytest.mark.parametrize("name", recipe_names())
def test_each_recipe_is_declared_wholly(name: str) -> None:
    recipe = get_recipe(name)
    assert recipe.name == name
    assert recipe.summary.endswith(".")
    assert recipe.raw_tags()
    listing = recipe.Params.listing()
    assert "nifu" not in [info.name for info in listing[1:]]
    assert all(info.help for info in listing)
    assert all(spec.description and spec.klass in ("KPI", "HC", "CAL", "ENG") for spec in recipe.qc)
    tags = {spec.tag for spec in recipe.products}
    assert all(set(spec.products) <= tags for spec in recipe.qc)
    assert all(spec.optional is None or spec.optional in {info.name for info in listing} for spec in recipe.products)


def test_qc_keywords_of_a_product_are_declared_once_and_alike_by_all_recipes() -> None:
    known: dict[tuple[str, str], QcSpec] = {}
    for recipe in all_recipes():
        keywords = [(spec.keyword, product) for spec in recipe.qc for product in spec.products]
        assert len(keywords) == len(set(keywords)), recipe.name
        for spec in recipe.qc:
            for product in spec.products:
                assert known.setdefault((spec.keyword, product), spec) == spec, recipe.name


def test_incomplete_inputs_are_told_before_anything_runs() -> None:
    recipe: Recipe = get_recipe("muse_bias")
    frames = FrameSet((Frame(Path("a.fits"), "BIAS"),))
    with pytest.raises(MissingInputError, match=r"muse_bias needs at least 3 BIAS .* has 1"):
        recipe.check_inputs(frames)


def test_unknown_recipes_are_named() -> None:
    with pytest.raises(NotFoundError, match="there is no recipe muse_bais; there are: muse_bias"):
        get_recipe("muse_bais")


def test_of_a_tag_that_is_taken_once_the_first_frame_is_used() -> None:
    recipe = get_recipe("muse_wavecal")
    tags = ("ARC", "LINE_CATALOG", "ARC", "TRACE_TABLE", "LINE_CATALOG", "TRACE_TABLE", "SKY_LINES")
    frames = FrameSet(tuple(Frame(Path(f"{number}.fits"), tag) for number, tag in enumerate(tags)))
    assert [frame.path.stem for frame in recipe.accepted(frames)] == ["0", "1", "2", "3", "5"]


def test_what_a_recipe_uses_it_declares() -> None:
    # ccd facts 1.8: a flat is divided, a dark subtracted only by recipes that take them
    assert get_recipe("muse_flat").input_spec("MASTER_FLAT") is None
    assert get_recipe("muse_dark").input_spec("MASTER_DARK") is None
    for name in ("muse_dark", "muse_flat", "muse_wavecal", "muse_lsf"):
        assert get_recipe(name).input_spec("NONLINEARITY_GAIN") is not None
