"""Pictures of the blocks of muse_geometry."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.tables import GEOMETRY_TABLE, SPOTS_TABLE, MuseTable, write_table
from core.procedures.model import ProcedureInput
from core.procedures.run import make_plots
from core.recipes.flow import RecipeContext
from core.recipes.muse.geometry_flow import IfuSpots
from core.recipes.muse.geometry_products import geometry_tables, solve
from core.recipes.muse.mask_exposures import MaskExposure, table_of_series
from core.recipes.muse.muse_geometry import MuseGeometry
from core.recipes.results import WrittenProduct
from core.spatial.horizontal import RimSpots
from core.spatial.peaks import find_peaks
from core.spatial.slices import IfuPeaks
from tests.spatial.sequence import LINES, MaskSequence, flat_trace, true_geometry

IFUS = (11, 12)
LOST = 10  # slice on the detector of IFU 11 that shows nothing


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of two IFUs, of a sequence without pixels."""
    folder = tmp_path_factory.mktemp("geometry")
    geometry = true_geometry(IFUS)
    dark = int(geometry.slice_sky[(geometry.ifu == 11) & (geometry.slice_ccd == LOST)][0])
    sequence, trace = MaskSequence(geometry, count=40, dark=((11, dark),)), flat_trace()
    exposures = [
        MaskExposure("a.fits", number, (1, 2, 3), (13.0, float(height), 11.9), float(height), 1.705)
        for number, height in enumerate(sequence.heights, start=1)
    ]
    spots = {}
    for ifu in IFUS:
        series, header = sequence.series(ifu), Header()
        peaks = IfuPeaks.on_detector(ifu, find_peaks(series, sequence.heights), trace)
        spots[ifu] = IfuSpots(peaks, RimSpots.of_series(series, np.arange(40, dtype=np.int32), trace), 1.705)
        center = np.stack([trace.center(int(n), series.y[:, k]) for k, n in enumerate(series.places.slice_no)], axis=1)
        columns = table_of_series(series, exposures, ifu, center, np.full(center.shape, 78.0))
        set_key(header, "EXTNAME", f"CHAN{ifu:02d}")
        set_key(header, "QC.GEO.EXP7.FWHM.MEDIAN", 2.0)
        write_table(folder / f"SPOTS_TABLE-{ifu:02d}.fits", SPOTS_TABLE, MuseTable(columns, header), ifu)
    context = RecipeContext(logging.LoggerAdapter(logging.getLogger("test"), {}), lambda fraction, text: None)
    made = (solve(spots, context), spots, np.array(LINES), 1.5, Header(), ((), ()))
    for product in geometry_tables(MuseGeometry(), *made)[1]:
        write_table(folder / f"{product.tag}.fits", GEOMETRY_TABLE, product.table)
    return folder


def test_a_block_shows_its_slices_what_was_smoothed_and_its_pinholes(products: Path, tmp_path: Path) -> None:
    block = ProcedureInput.of_run("a-block", "muse_geometry", (), products, ())
    pictures = make_plots(block, tmp_path)
    assert pictures.missing == ()
    plots = {plot.name: plot for plot in pictures.plots}
    assert list(plots) == [f"geometry{number}" for number in range(5)] + ["geometry5-11", "geometry5-12"]
    assert [plot.unit for plot in pictures.plots] == [None] * 5 + [11, 12]
    assert f"Slices without a position: {LOST} of IFU 11." in plots["geometry0"].caption
    assert "no earlier one" in plots["geometry2"].caption
    assert all(Path(plot.path).stat().st_size > 15000 for plot in pictures.plots)


def test_a_block_without_spots_still_shows_its_geometry(products: Path, tmp_path: Path) -> None:
    table = products / "GEOMETRY_TABLE.fits"
    (tmp_path / table.name).symlink_to(table)
    earlier = WrittenProduct("GEOMETRY_TABLE", table, None)
    pictures = make_plots(ProcedureInput.of_run("a-block", "muse_geometry", (), tmp_path, [earlier]), tmp_path)
    assert [plot.name for plot in pictures.plots] == ["geometry0", "geometry1", "geometry2"]
    assert "Grey is the geometry before" in pictures.plots[2].caption


def test_a_block_without_a_geometry_has_no_pictures(tmp_path: Path) -> None:
    assert make_plots(ProcedureInput.of_run("a-block", "muse_geometry", (), tmp_path, ()), tmp_path).plots == ()
