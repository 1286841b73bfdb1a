"""Provenance of products: the chain of recipes, as CPL 7.2.3 writes it (`cpl_dfs_setup_product_header`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.formats.dicd import Provenance, product_header


@pytest.fixture
def raw() -> Header:
    header = Header()
    header["ARCFILE"] = "MUSE.2014-12-09T00:01:00.000.fits"
    set_key(header, "DPR.TYPE", "OBJECT")
    return header


def made_by(recipe: str, tag: str, base: Header, source: str, *, science: bool = True) -> Header:
    """Header of a product of one input frame."""
    parameters = [("nifu", 0, 0, "IFU to handle.")]
    raws = [(Path(f"/data/{source}.fits"), source)]
    return product_header(base, Provenance(tag, recipe, raws, [], parameters, science))


def test_each_recipe_takes_the_next_number_and_keeps_those_before(raw: Header) -> None:
    basic = made_by("muse_scibasic", "PIXTABLE_OBJECT", raw, "OBJECT")
    post = made_by("muse_scipost", "DATACUBE_FINAL", basic, "PIXTABLE_OBJECT")
    combined = made_by("muse_exp_combine", "DATACUBE_FINAL", post, "PIXTABLE_REDUCED")
    for header, recipes in (
        (basic, ["muse_scibasic"]),
        (post, ["muse_scibasic", "muse_scipost"]),
        (combined, ["muse_scibasic", "muse_scipost", "muse_exp_combine"]),
    ):
        keys = [key for key in header if key.endswith(" ID") and key.count(" ") == 3]
        assert keys == [f"ESO PRO REC{number} ID" for number in range(1, len(recipes) + 1)]
        assert [header[key] for key in keys] == recipes
    assert get_key(combined, "PRO.REC2.RAW1.CATG", str) == "PIXTABLE_OBJECT"
    assert get_key(combined, "PRO.REC3.PARAM1.NAME", str) == "nifu"
    assert list(combined).count("ESO PRO CATG") == 1


def test_the_ancestor_is_the_raw_frame_at_the_beginning(raw: Header) -> None:
    basic = made_by("muse_scibasic", "PIXTABLE_OBJECT", raw, "OBJECT")
    basic["ARCFILE"] = "ADP.2016-06-01T00:00:00.000.fits"  # it came back from the archive
    post = made_by("muse_scipost", "DATACUBE_FINAL", basic, "PIXTABLE_OBJECT")
    assert get_key(post, "PRO.ANCESTOR", str) == raw["ARCFILE"]


@pytest.mark.parametrize("science", [True, False])
def test_science_products_say_so(raw: Header, science: bool) -> None:
    assert get_key(made_by("muse_x", "X", raw, "OBJECT", science=science), "PRO.SCIENCE", bool) is science
