"""muse_geo_plot draws the slices of a table, muse_geo_smooth makes the table more regular."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.formats.tables import GEOMETRY_TABLE, MuseTable, read_table, write_table
from core.spatial.geometry import ERROR_COLUMNS, Geometry
from core.tools.geo_commands import plot, smooth
from core.tools.plots_geo import plot_geometry
from tests.spatial.sequence import true_geometry


@pytest.fixture(scope="module")
def geometry() -> Geometry:
    return true_geometry((11, 12, 13))


@pytest.fixture
def table(tmp_path: Path, geometry: Geometry) -> str:
    angle = geometry.angle.copy()
    angle[20] += 1.0
    header = Header()
    set_key(header, "PRO.CATG", "GEOMETRY_TABLE", "category")
    columns = replace(geometry, angle=angle).columns()
    return str(write_table(tmp_path / "GEOMETRY_TABLE.fits", GEOMETRY_TABLE, MuseTable(columns, header)))


def test_slices_are_drawn_where_they_are(geometry):
    figure = plot_geometry(geometry)
    patches = [path for item in figure.axes[0].collections for path in item.get_paths()]
    corners = np.concatenate([path.vertices for path in patches])
    assert len(patches) == 144
    assert np.ptp(corners[:, 0]) == pytest.approx(np.ptp(geometry.x) + 75.3, abs=1.0)
    rims = {
        tuple(item.get_edgecolor()[0]): len(item.get_paths())
        for item in figure.axes[0].collections
        if item.get_paths() and len(item.get_edgecolor())
    }
    assert rims[0.0, 0.0, 1.0, 1.0] == 1  # the slice at the origin


def test_the_size_follows_the_scale(geometry):
    small, wide = plot_geometry(geometry), plot_geometry(geometry, (8.0, 4.0))
    assert wide.get_size_inches() == pytest.approx(small.get_size_inches() * [2, 1])
    assert small.get_size_inches()[0] == pytest.approx((np.ptp(geometry.x) + geometry.width.max() + 2) * 4 / 72)


def test_missing_slices_are_not_drawn(geometry):
    x = geometry.x.copy()
    x[3] = np.nan
    figure = plot_geometry(replace(geometry, x=x))
    assert sum(len(item.get_paths()) for item in figure.axes[0].collections) == 143


def test_a_png_and_a_pdf(table, tmp_path):
    assert plot(["-f", "png", "-s", "2", "3", table, str(tmp_path / "a")]) == 0
    picture = imread(tmp_path / "a", format="png")
    assert picture.shape[1] == pytest.approx(2 * 304, abs=6)
    assert picture[1, 1, :3] == pytest.approx([0.5] * 3, abs=0.01)
    assert plot([table, str(tmp_path / "b.pdf")]) == 0
    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 1),
        (["TABLE"], 1),
        (["TABLE", "a.pdf", "more"], 9),
        (["-x", "TABLE", "a.pdf"], 9),
        (["-f"], 2),
        (["-f", "gif", "TABLE", "a.gif"], 3),
        (["-s", "4"], 4),
        (["-s", "a", "4", "TABLE", "a.pdf"], 5),
        (["-s", "0", "4", "TABLE", "a.pdf"], 5),
        (["NONE", "a.pdf"], 10),
        (["TABLE", "/no/such/folder/a.pdf"], 50),
    ],
)
def test_exit_codes_of_the_plot(table, tmp_path, monkeypatch, capsys, words, code):
    monkeypatch.chdir(tmp_path)
    assert plot([table if word == "TABLE" else word for word in words]) == code
    assert capsys.readouterr().err


def test_an_outlier_is_put_on_the_line(table, tmp_path, geometry):
    target = tmp_path / "fixed.fits"
    assert smooth([table, str(target)]) == 0
    fixed = read_table(target, GEOMETRY_TABLE)
    assert abs(fixed["angle"][20] - geometry.angle[20]) < 0.2
    assert get_key(fixed.header, "QC.GEO.SMOOTH.NANGLE", int) >= 1
    assert get_key(fixed.header, "PRO.CATG", str) == "GEOMETRY_TABLE"
    assert get_key(fixed.header, "QC.GEO.MASK.ANGLE", float, default=None) is None


def test_the_field_is_measured_anew_on_request(table, tmp_path, geometry):
    target = tmp_path / "fixed.fits"
    assert smooth(["-q", "-s", "1.5", table, str(target)]) == 0
    header = read_table(target, GEOMETRY_TABLE).header
    assert get_key(header, "QC.GEO.MASK.ANGLE", float) == pytest.approx(np.median(geometry.angle), abs=0.05)
    assert get_key(header, "QC.GEO.TABLE.NBAD", int) == 0
    assert get_key(header, "QC.GEO.IFU13.GAPPOS.MEAN", float, default=None) is not None


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 1),
        (["TABLE"], 1),
        (["-s"], 2),
        (["-s", "x", "TABLE", "a.fits"], 2),
        (["-s", "-1", "TABLE", "a.fits"], 2),
        (["-f", "TABLE", "a.fits"], 9),
        (["TABLE", "a.fits", "b.fits"], 9),
        (["NONE", "a.fits"], 10),
    ],
)
def test_exit_codes_of_the_smoothing(table, tmp_path, monkeypatch, capsys, words, code):
    monkeypatch.chdir(tmp_path)
    assert smooth([table if word == "TABLE" else word for word in words]) == code
    assert capsys.readouterr().err
    assert not (tmp_path / "a.fits").exists()


def test_a_table_without_errors_can_be_drawn_but_not_smoothed(tmp_path, geometry, capsys):
    columns = {name: values for name, values in geometry.columns().items() if name not in ERROR_COLUMNS}
    bare = str(write_table(tmp_path / "bare.fits", GEOMETRY_TABLE, MuseTable(columns)))
    assert plot([bare, str(tmp_path / "a.pdf")]) == 0
    assert smooth([bare, str(tmp_path / "b.fits")]) == 10
    assert "xerr" in capsys.readouterr().err
    assert not (tmp_path / "b.fits").exists()


def test_a_table_without_widths_is_neither_drawn_nor_smoothed(tmp_path, geometry, capsys):
    columns = {name: values for name, values in geometry.columns().items() if name != "width"}
    bare = str(write_table(tmp_path / "bare.fits", GEOMETRY_TABLE, MuseTable(columns)))
    assert plot([bare, str(tmp_path / "a.pdf")]) == 11
    assert smooth([bare, str(tmp_path / "b.fits")]) == 10
    assert "lacks the column width" in capsys.readouterr().err
