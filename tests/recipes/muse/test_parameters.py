"""Shared parameters reach the numerics in every recipe that declares them; limits are those of the declarations."""

from __future__ import annotations

import pytest

from core.ccd.combine import CombineOptions
from core.errors import ParameterError
from core.recipes.muse.parameters import CombineParameters, OverscanParameters
from core.recipes.registry import get_recipe, recipe_names

COMBINING = ("muse_bias", "muse_dark", "muse_flat", "muse_twilight")
WITH_OVERSCAN = [name for name in recipe_names() if "overscan" in get_recipe(name).Params.model_fields]


@pytest.mark.parametrize("name", COMBINING)
def test_combination_parameters_reach_the_numerics(name: str) -> None:
    params = get_recipe(name).Params.parse(
        {"combine": "minmax", "nlow": "2", "nhigh": "3", "nkeep": "4", "lsigma": "5.5", "hsigma": "6.5"}
    )
    assert isinstance(params, CombineParameters)
    assert params.combine_options == CombineOptions("minmax", 2, 3, 4, 5.5, 6.5)


@pytest.mark.parametrize("name", WITH_OVERSCAN)
def test_overscan_parameters_reach_the_numerics(name: str) -> None:
    params = get_recipe(name).Params.parse(
        {"overscan": "vpoly:5,1.01,1.04", "ovscreject": "fit:4", "ovscsigma": "12", "ovscignore": "6"}
    )
    assert isinstance(params, OverscanParameters)
    options = params.overscan_options
    assert (options.method.order, options.method.frms, options.method.fchisq) == (5, 1.01, 1.04)
    assert options.reject.sigma == 4
    assert (options.sigma, options.ignore) == (12.0, 6)


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("overscan", "poly"), ("overscan", "vpoly:-1"), ("overscan", "vpoly:3,0.5"),
        ("ovscreject", "sigma"), ("ovscreject", "fit:-2"), ("ovscreject", "dcr:0,32,3,2.5"),
        ("ovscsigma", "-1"), ("ovscignore", "-1"), ("combine", "mean"), ("nifu", "25"), ("nifu", "-2"),
        ("merge", "perhaps"),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_by_every_recipe(name: str, parameter: str, value: str) -> None:
    with pytest.raises(ParameterError) as caught:
        get_recipe(name).Params.parse({parameter: value})
    assert caught.value.context["parameter"] == parameter
    assert parameter in caught.value.message


@pytest.mark.parametrize("name", recipe_names())
def test_numbers_beyond_their_limits_are_refused(name: str) -> None:
    for info in get_recipe(name).Params.listing():
        if info.hidden or not any(sign in info.accepts for sign in (">", "<")):
            continue
        for value in ("-1e9", "1e9"):
            limited = ">" in info.accepts if value.startswith("-") else "<" in info.accepts
            if limited and info.type == "double":
                with pytest.raises(ParameterError, match=info.name):
                    get_recipe(name).Params.parse({info.name: value})


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400"])
def test_numbers_are_finite(name: str, value: str) -> None:
    recipe = get_recipe(name)
    for info in recipe.Params.listing():
        if info.type == "double":
            with pytest.raises(ParameterError, match=f"{info.name}='{value}' is not accepted"):
                recipe.Params.parse({info.name: value})


@pytest.mark.parametrize("name", recipe_names())
def test_conditions_of_parameters_name_parameters_and_their_values(name: str) -> None:
    listing = {info.name: info for info in get_recipe(name).Params.listing()}
    for info in listing.values():
        if info.only:
            other, _, value = info.only.partition("=")
            assert other in listing
            assert listing[other].type == "boolean" or value in listing[other].choices


def test_parameters_without_effect() -> None:
    parse = get_recipe("muse_flat").Params.parse
    assert parse({"trace": "false", "nsum": "16", "samples": "true"}).idle() == {
        "nsum": "trace=true",
        "samples": "trace=true",
    }
    assert parse({"nsum": "16", "samples": "true"}).idle() == {}
    assert parse({"combine": "minmax", "nlow": "2"}).idle() == {}
    assert get_recipe("muse_lsf").Params.parse({"method": "hermit", "lsf_size": "50"}).idle() == {
        "lsf_size": "method=interpolate"
    }
