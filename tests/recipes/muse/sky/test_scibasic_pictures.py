"""Pictures of the blocks of muse_scibasic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.procedures.model import ProcedureInput
from core.procedures.run import make_plots


def test_a_block_shows_its_field_and_its_illumination(sky: Any, tmp_path: Path) -> None:
    pairs = sky.pairs((sky.arcs[0], "SKY"), (sky.illum, "ILLUM"))
    sky.run("muse_scibasic", pairs, tmp_path / "products", skylines="none", saveimage=False, compact=True)
    block = ProcedureInput.of_run("a-block", "muse_scibasic", (), tmp_path / "products", ())
    pictures = make_plots(block, tmp_path)
    assert pictures.missing == ()
    # 6300 Angstrom is no wavelength of this detector: there is no picture of that line
    assert [Path(plot.path).stem for plot in pictures.plots] == ["scibasic0", "scibasic2"]
    assert all(Path(plot.path).stat().st_size > 5000 for plot in pictures.plots)


def test_a_block_without_pixel_tables_has_no_pictures(tmp_path: Path) -> None:
    block = ProcedureInput.of_run("a-block", "muse_scibasic", (), tmp_path, ())
    assert make_plots(block, tmp_path).plots == ()
