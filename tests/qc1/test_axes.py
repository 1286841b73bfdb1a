"""Facts about QC1 axes: what may stand in the braces of a keyword, and where it is stored."""

from __future__ import annotations

import pytest

from core.errors import DeclarationError
from core.qc1.axes import AXIS_COLUMNS, Axis, Position, axis_words, check_axes, place_words
from core.recipes.declaration import QcSpec, Recipe


def test_every_axis_has_a_column_of_the_archive():
    assert set(AXIS_COLUMNS.values()) == set(Position._fields)


def test_an_axis_that_the_archive_cannot_store_is_refused():
    with pytest.raises(DeclarationError, match="there is no QC1 axis wavelength"):
        Axis("wavelength", "wavelength")


@pytest.mark.parametrize(
    ("keyword", "product_axes", "message"),
    [
        ("QC.X.PORT{port}.RON", ("unit",), "port is no declared QC1 axis"),
        ("QC.X.PORT{}.RON", ("unit",), "an empty index is no declared"),
        ("QC.X.RON", ("channel",), "channel is no declared QC1 axis"),
        ("QC.X.INPUT{input}.SOURCE{source}.FLUX", ("unit",), "input and source would both be stored as item"),
        ("QC.X.SLICE{slice}.SLICE{slice}", (), "slice and slice would both be stored as slice"),
    ],
)
def test_indices_that_cannot_be_stored_are_refused(keyword, product_axes, message):
    with pytest.raises(DeclarationError, match=message):
        check_axes(keyword, product_axes)


def test_the_unit_may_stand_in_the_keyword_and_in_the_product():
    check_axes("QC.GEO.IFU{unit}.ANGLE", ("unit",))


def test_an_undeclared_index_fails_when_the_recipe_is_defined():
    with pytest.raises(DeclarationError, match=r"port is no declared QC1 axis.*recipe=muse_odd") as caught:

        class Odd(Recipe):
            name = "muse_odd"
            qc = (QcSpec("QC.ODD.PORT{port}.RON", "count", "float", "HC", "noise"),)

    assert caught.value.context["keyword"] == "QC.ODD.PORT{port}.RON"


AXES = (Axis("unit", "IFU", 24), Axis("input", "input"), Axis("source", "source"))


def test_a_column_that_counts_different_things_has_all_their_words():
    assert axis_words(AXES) == {"unit": "IFU", "item": "input or source"}


def test_a_place_is_told_in_words():
    assert place_words(AXES[:2], Position(unit=3, item=11)) == ("IFU 3", "input 11")
    assert place_words(AXES[:2], Position(unit=3)) == ("IFU 3",)
