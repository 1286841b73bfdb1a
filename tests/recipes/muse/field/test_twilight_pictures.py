"""Pictures of the blocks of muse_twilight."""

from __future__ import annotations

from pathlib import Path

from core.procedures.model import ProcedureInput
from core.procedures.run import make_plots
from core.recipes.results import RunResult


def test_a_block_shows_its_field_its_gradient_and_the_flux_of_its_ifus(made: RunResult, tmp_path: Path) -> None:
    products = made.products[0].path.parent
    block = ProcedureInput.of_run("a-block", "muse_twilight", (), products, ())
    pictures = make_plots(block, tmp_path)
    assert pictures.missing == ()
    assert [Path(plot.path).stem for plot in pictures.plots] == ["skyflat0", "skyflat1", "skyflat2"]
    assert "no earlier one" in pictures.plots[0].caption
    assert all(Path(plot.path).stat().st_size > 10000 for plot in pictures.plots)


def test_a_block_is_compared_with_the_one_before(made: RunResult, tmp_path: Path) -> None:
    products = made.products[0].path.parent
    block = ProcedureInput.of_run("a-block", "muse_twilight", (), products, made.products)
    pictures = make_plots(block, tmp_path)
    assert pictures.missing == ()
    assert "no earlier one" not in pictures.plots[0].caption


def test_a_block_without_products_has_no_pictures(tmp_path: Path) -> None:
    block = ProcedureInput.of_run("a-block", "muse_twilight", (), tmp_path, ())
    assert make_plots(block, tmp_path).plots == ()
