from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ParameterError
from core.recipes.rcfiles import caller_options, config_text, recipe_values
from core.recipes.registry import all_recipes, get_recipe

# As the reference writes it.
WRITTEN = """\
# File: rc.txt
#
# Date: 29-Nov-2026 02:55:15

# --nifu
# IFU to handle. If set to 0, all IFUs are processed serially.
muse.muse_bias.nifu=3
muse.muse_bias.merge=TRUE
muse.muse_bias.overscan=vpoly
"""


def test_a_file_of_the_reference_is_read(tmp_path: Path) -> None:
    file = tmp_path / "muse_bias.rc"
    file.write_text(WRITTEN)
    recipe = get_recipe("muse_bias")
    values = recipe_values(file, recipe)
    assert values == {"nifu": "3", "merge": "TRUE", "overscan": "vpoly"}
    params = recipe.Params.parse(values)
    assert (params.nifu, params.merge) == (3, True)  # type: ignore[attr-defined]


# Values that are not the defaults, of parameters that some recipes have.
OTHER = {"nifu": 7, "merge": True, "smooth": -1.5, "ovscsigma": 12.5}


@pytest.mark.parametrize("recipe", all_recipes(), ids=lambda recipe: recipe.name)
def test_what_is_written_is_read_again(tmp_path: Path, recipe) -> None:  # type: ignore[no-untyped-def]
    defaults = {info.name: info.default for info in recipe.Params.listing()}
    others = {name: value for name, value in OTHER.items() if type(defaults.get(name)) is type(value)}
    params = recipe.Params.parse(others)
    file = tmp_path / "x.rc"
    file.write_text(config_text(recipe, params))
    assert recipe.Params.parse(recipe_values(file, recipe)) == params


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("muse.muse_flat.nifu=3", "line 1 is of muse_flat, not of muse_bias"),
        ("muse.muse_bias.nonsense=3", "there is no parameter nonsense"),
        ("nifu 3", "line 1 is not NAME=VALUE"),
    ],
)
def test_a_line_that_does_not_fit_is_named(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "x.rc"
    file.write_text(line)
    with pytest.raises(ParameterError, match=said):
        recipe_values(file, get_recipe("muse_bias"))


def test_options_of_the_program_are_taken_and_foreign_ones_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "esorex.rc"
    file.write_text("esorex.caller.output-dir=products\nesorex.caller.mem-check=FALSE\nesorex.caller.log-file=\n")
    assert caller_options(file, frozenset({"output-dir", "log-file"})) == {"output-dir": "products"}
    file.write_text("muse.muse_bias.nifu=1")
    with pytest.raises(ParameterError, match=r"does not begin with esorex\.caller"):
        caller_options(file, frozenset())
