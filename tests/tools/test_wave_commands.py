"""Plots of wavelength calibrations show the residuals they are given; the tools end with the documented codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.image import imread

from core.errors import NotFoundError
from core.formats.merge import merge_products
from core.formats.tables import WAVECAL_RESIDUALS, MuseTable, wavecal_table_format, write_table
from core.spectral.dispersion import Dispersion
from core.tools.plots_wave import plot_wave_column, plot_wave_residuals, select_iteration
from core.tools.wave_commands import plot_column, plot_residuals

LINES = np.array([5000.0, 6000.0, 7000.0, 8000.0])


def make_dispersion() -> Dispersion:
    coefficients = np.full((48, 2, 2), np.nan)
    for row in (11, 23):
        coefficients[row] = [[4600.0, 1.25], [0.01, 0.0]]
    return Dispersion(np.arange(1, 49, dtype=np.int32), coefficients, np.full(48, 1e-4))


def make_residuals() -> dict[str, Any]:
    """Slices 12 and 24 with 5 columns; two iterations in slice 12, one in slice 24."""
    rng = np.random.default_rng(1)
    rows = []
    for slice_no, first, iterations in ((12, 1000, 2), (24, 2000, 1)):
        for iteration in range(1, iterations + 1):
            for x in range(first, first + 5):
                for line in LINES:
                    residual = rng.normal(0, 0.05 / iteration)
                    y = (line - residual - 4600.0 - 0.01 * x) / 1.25
                    rows.append((slice_no, iteration, x, y, line, residual, 0.3 / iteration))
    columns = list(zip(*rows, strict=True))
    names = [column.name for column in WAVECAL_RESIDUALS.columns]
    dtypes = ["u1", "i4", "i4", "f4", "f4", "f8", "f8"]
    return {n: np.array(v, dtype) for n, v, dtype in zip(names, columns, dtypes, strict=True)}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("wave")
    table = write_table(
        folder / "WAVECAL_TABLE-10.fits", wavecal_table_format(1, 1), MuseTable(make_dispersion().columns()), 10
    )
    residuals = write_table(folder / "WAVECAL_RESIDUALS-10.fits", WAVECAL_RESIDUALS, MuseTable(make_residuals()), 10)
    return str(table), str(residuals)


# -- what is drawn -----------------------------------------------------------------------------------------------


def test_the_last_iteration_of_each_slice_is_the_default() -> None:
    residuals = make_residuals()
    chosen = select_iteration(residuals)
    assert chosen.sum() == 40
    assert set(zip(residuals["slice"][chosen].tolist(), residuals["iteration"][chosen].tolist(), strict=True)) == {
        (12, 2),
        (24, 1),
    }
    assert select_iteration(residuals, 12, 1).sum() == 20
    with pytest.raises(NotFoundError, match="iteration 2"):
        select_iteration(residuals, 24, 2)
    with pytest.raises(NotFoundError, match="slice 3"):
        select_iteration(residuals, 3)


def test_map_shows_each_point_in_the_colour_of_its_residual() -> None:
    residuals = make_residuals()
    figure = plot_wave_residuals(residuals, 12, cuts=(-0.1, 0.1))
    axes = figure.axes[0]
    (points,) = axes.collections
    chosen = select_iteration(residuals, 12)
    np.testing.assert_allclose(points.get_offsets()[:, 0], residuals["x"][chosen])
    np.testing.assert_allclose(points.get_offsets()[:, 1], residuals["y"][chosen])
    np.testing.assert_array_equal(points.get_array(), residuals["residual"][chosen])
    assert points.get_clim() == (-0.1, 0.1)
    assert points.cmap(0.0) == to_rgba("darkviolet")
    assert points.cmap(1.0) == to_rgba("darkred")
    assert axes.get_xlim() == (998.0, 1006.0)  # margins of 2 pixels
    assert "slice 12" in axes.get_title(loc="left")
    assert "limit 0.150" in axes.get_title(loc="left")


def test_map_can_have_wavelengths_and_takes_the_extremes_as_cuts() -> None:
    residuals = make_residuals()
    axes = plot_wave_residuals(residuals, use_wavelength=True).axes[0]
    assert axes.get_ylim() == (4998.0, 8002.0)
    assert "Angstrom" in axes.get_ylabel()
    chosen = residuals["residual"][select_iteration(residuals)]
    assert axes.collections[0].get_clim() == (chosen.min(), chosen.max())


def test_columns_of_a_slice_go_from_green_to_red() -> None:
    residuals = make_residuals()
    axes = plot_wave_column(residuals, make_dispersion(), 12, show_residuals=True).axes[0]
    zero, *points = axes.lines
    assert set(zero.get_ydata()) == {0.0}
    assert len(points) == 5
    assert points[0].get_color() == pytest.approx(to_rgba("green"))
    assert points[-1].get_color() == pytest.approx(to_rgba("red"))
    assert len({line.get_marker() for line in points}) == 5
    chosen = select_iteration(residuals, 12) & (residuals["x"] == 1002)
    np.testing.assert_array_equal(points[2].get_ydata(), residuals["residual"][chosen])
    np.testing.assert_array_equal(points[2].get_xdata(), residuals["lambda"][chosen])
    assert axes.get_xlim() == (4990.0, 8010.0)


def test_points_lie_off_their_polynomial_by_their_residual() -> None:
    residuals = make_residuals()
    axes = plot_wave_column(residuals, make_dispersion(), 12, column=1003).axes[0]
    curve, points = axes.lines
    expected = 4600 + 1.25 * np.asarray(curve.get_xdata()) + 0.01 * 1003
    np.testing.assert_allclose(curve.get_ydata(), expected)
    np.testing.assert_allclose(points.get_ydata(), LINES, atol=1e-3)  # y is stored as float32
    with pytest.raises(NotFoundError, match="column 7"):
        plot_wave_column(residuals, make_dispersion(), 12, column=7)


# -- the commands --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [[], ["-l"], ["-s", "12", "-c", "-0.1", "0.1"], ["-i", "1"], ["-s", "12", "-i", "2", "-l"]]
)
def test_residuals_are_written_to_a_file(files: tuple[str, str], tmp_path: Path, words: list[str]) -> None:
    target = tmp_path / "map.png"
    assert plot_residuals([*words, "-o", str(target), files[1]]) == 0
    picture = imread(target)
    assert picture.shape[0] > 500
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 20


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-r"],
        ["-s", "12", "-r"],
        ["-s", "12", "-c", "1001"],
        ["-s", "12", "-i", "1"],
        ["-c", "1001"],
        ["-c", "1001", "-r"],
    ],
)
def test_columns_are_written_to_a_file(files: tuple[str, str], tmp_path: Path, words: list[str]) -> None:
    target = tmp_path / "column.pdf"
    assert plot_column([*words, "-o", str(target), *files]) == 0
    assert target.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 1),
        (["-s"], 2),
        (["-i"], 3),
        (["-c", "1"], 4),
        (["-c", "a", "b", "RES"], 4),
        (["-c", "2", "1", "RES"], 4),
        (["-n"], 5),
        (["-n", "25", "RES"], 6),
        (["-n", "x", "RES"], 6),
        (["-q", "RES"], 9),
        (["nowhere.fits"], 10),
        (["-n", "3", "RES"], 10),
        (["TAB"], 11),
        (["-i", "7", "RES"], 12),
        (["-s", "3", "RES"], 13),
    ],
)
def test_exit_codes_of_residuals(files: tuple[str, str], capsys: Any, words: list[str], code: int) -> None:
    assert plot_residuals([{"RES": files[1], "TAB": files[0]}.get(word, word) for word in words]) == code
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 1),
        (["TAB"], 1),
        (["-c"], 4),
        (["-s", "49", "TAB", "RES"], 13),
        (["-s", "0", "TAB", "RES"], 13),
        (["-s", "30", "TAB", "RES"], 13),
        (["-s", "12", "-c", "55", "TAB", "RES"], 13),
        (["-s", "12", "-c", "0", "TAB", "RES"], 13),
        (["-s", "12", "-i", "3", "TAB", "RES"], 12),
        (["TAB", "RES", "RES"], 9),
        (["RES", "TAB"], 11),
        (["-x", "TAB", "RES"], 9),
    ],
)
def test_exit_codes_of_column(files: tuple[str, str], capsys: Any, words: list[str], code: int) -> None:
    assert plot_column([{"RES": files[1], "TAB": files[0]}.get(word, word) for word in words]) == code
    assert capsys.readouterr().err


def test_tables_of_different_ifus_are_not_drawn_together(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_table(tmp_path / "other.fits", WAVECAL_RESIDUALS, MuseTable(make_residuals()), 11)
    assert plot_column(["-s", "12", files[0], str(other), "-o", str(tmp_path / "plot.png")]) == 10
    assert "the file has no table of IFU 10 (but of 11)" in capsys.readouterr().err


def test_without_display_the_cure_is_named(
    files: tuple[str, str], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    assert plot_residuals([files[1]]) == 21
    assert "-o FILE" in capsys.readouterr().err


def test_ifu_of_a_merged_file(files: tuple[str, str], tmp_path: Path) -> None:
    other = make_residuals()
    other["residual"] = other["residual"] * 2
    second = write_table(tmp_path / "WAVECAL_RESIDUALS-11.fits", WAVECAL_RESIDUALS, MuseTable(other), 11)
    merged = tmp_path / "WAVECAL_RESIDUALS.fits"
    merge_products([Path(files[1]), second], merged)
    for ifu in (10, 11):
        assert plot_residuals(["-n", str(ifu), "-c", "-.1", ".1", "-o", str(tmp_path / f"{ifu}.png"), str(merged)]) == 0
    assert not np.array_equal(imread(tmp_path / "10.png"), imread(tmp_path / "11.png"))
    assert plot_residuals(["-n", "12", "-o", str(tmp_path / "12.png"), str(merged)]) == 10
