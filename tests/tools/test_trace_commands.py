"""Plots of traces show the points, polynomials and widths they are given, in the documented colours and ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.image import imread

from core.ccd.trace_model import Trace
from core.formats.image import MuseImage, write_image
from core.formats.tables import TRACE_SAMPLES, MuseTable, trace_table_format, write_table
from core.tools.plots_trace import plot_trace_samples, plot_trace_widths
from core.tools.trace_commands import plot_samples, plot_widths

NY = 400


def make_trace() -> Trace:
    n = np.arange(48)
    center, half = np.zeros((48, 3)), np.zeros((48, 3))
    center[:, 0], center[:, 1] = 60 + 84.0 * n, 1e-3
    half[:, 0] = 38 + 0.01 * n
    return Trace.from_polynomials(range(1, 49), center, center - half, center + half)


def make_samples() -> dict[str, Any]:
    trace, y = make_trace(), np.arange(16.5, NY, 32)
    numbers = np.repeat(np.arange(1, 49, dtype=np.int32), len(y))
    lines = (trace.center, trace.left, trace.right)
    columns = {"slice": numbers, "y": np.tile(y, 48).astype(np.float32)}
    for name, line in zip(("mid", "left", "right"), lines, strict=True):
        columns[name] = np.concatenate([line(n, y) for n in range(1, 49)]).astype(np.float32)
    return columns


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    folder = tmp_path_factory.mktemp("traces")
    trace = make_trace()
    samples = write_table(folder / "TRACE_SAMPLES-06.fits", TRACE_SAMPLES, MuseTable(make_samples()), 6)
    table = write_table(folder / "TRACE_TABLE-06.fits", trace_table_format(2), MuseTable(trace.columns()), 6)
    flat = np.ones((NY, 4096), np.float32)
    image = MuseImage(flat, np.zeros(flat.shape, np.int32), flat, MuseTable({}).header, "count")
    master = write_image(folder / "MASTER_FLAT-06.fits", image, 6)
    return str(samples), str(table), str(master)


# -- what is drawn -----------------------------------------------------------------------------------------------


def test_points_of_the_two_central_slices_by_default() -> None:
    axes = plot_trace_samples(make_samples()).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert {name.split(":")[0]: line.get_color() for name, line in lines.items()} == {
        "center": "blue",
        "left": "red",
        "right": "green",
    }
    assert all(line.get_marker() == "x" for line in lines.values())
    x = lines["center: sampling points"].get_xdata()
    assert (x.min(), x.max()) == pytest.approx((60 + 84 * 23, 60 + 84 * 24), abs=0.5)
    assert len(x) == 2 * 12
    # The range is that of the edges, widened by 5 pixels for each slice.
    assert axes.get_xlim() == pytest.approx((60 + 84 * 23 - 38.23 - 10, 60 + 84 * 24 + 38.24 + 10), abs=0.5)
    assert "[pix]" in axes.get_xlabel()
    assert "[pix]" in axes.get_ylabel()


def test_polynomials_and_flat_are_layers() -> None:
    flat = np.ones((NY, 4096), np.float32)
    figure = plot_trace_samples(make_samples(), make_trace(), flat, (3, 5))
    axes = figure.axes[0]
    curves = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert [line.get_color() for line in curves] == ["darkblue"] * 3 + ["darkred"] * 3 + ["forestgreen"] * 3
    y = curves[0].get_ydata()
    np.testing.assert_allclose(curves[0].get_xdata(), make_trace().center(3, y))
    picture = axes.images[0]
    assert picture.get_clim() == (1e-4, 1.5)
    assert picture.cmap.name == "gray"
    # Pixel n covers n - 0.5 .. n + 0.5.
    left, right, bottom, top = picture.get_extent()
    assert left % 1 == right % 1 == 0.5
    assert (bottom, top) == (0.5, NY + 0.5)
    assert picture.get_array().shape[1] == right - left


def test_slice_without_trace_is_left_out() -> None:
    trace = make_trace()
    trace.coefficients[23] = np.nan
    axes = plot_trace_samples(make_samples(), trace).axes[0]
    assert len([line for line in axes.lines if line.get_linestyle() == "-"]) == 3


def test_slice_without_points_shows_where_its_polynomials_are() -> None:
    samples = {name: column[make_samples()["slice"] < 24] for name, column in make_samples().items()}
    axes = plot_trace_samples(samples, make_trace()).axes[0]
    assert axes.get_xlim()[0] == pytest.approx(60 + 84 * 23 - 38.23 - 10, abs=1)


def test_widths_go_from_green_to_red() -> None:
    axes = plot_trace_widths(make_samples()).axes[0]
    assert len(axes.lines) == 48
    np.testing.assert_allclose(to_rgba(axes.lines[0].get_color()), to_rgba("green"), atol=1e-9)
    np.testing.assert_allclose(to_rgba(axes.lines[47].get_color()), to_rgba("red"), atol=1e-9)
    assert len({line.get_marker() for line in axes.lines}) > 4
    assert axes.get_ylim() == (72.2, 82.2)
    np.testing.assert_allclose(axes.lines[9].get_ydata(), 76.18, atol=1e-3)


def test_few_widths_have_a_legend() -> None:
    figure = plot_trace_widths(make_samples(), (7, 9))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["slice 7", "slice 8", "slice 9"]
    assert len(plot_trace_widths(make_samples(), (7, 7)).axes[0].lines) == 1


# -- the commands ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_samples_are_plotted_to_a_file(files: tuple[str, str, str], tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"plot.{suffix}"
    assert plot_samples(["-s1", "9", "-s2", "11", *files, "-o", str(output)]) == 0
    if suffix == "png":
        picture = imread(output)
        assert picture.shape[0] > 600
        assert picture.std() > 0.05
    else:
        assert output.read_bytes().startswith(b"%PDF")


def test_widths_are_plotted_to_a_file(files: tuple[str, str, str], tmp_path: Path) -> None:
    assert plot_widths([files[0], "-n", "6", "-o", str(tmp_path / "widths.png")]) == 0
    assert imread(tmp_path / "widths.png").std() > 0.02


def test_unreadable_layers_are_dropped(
    files: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plot_samples([files[0], str(tmp_path / "none.fits"), files[0], "-o", str(tmp_path / "x.png")]) == 0
    assert capsys.readouterr().err.count("is left out") == 2


@pytest.mark.parametrize(("first", "last"), [("0", "3"), ("5", "49"), ("9", "8")])
def test_impossible_ranges_are_reset(
    files: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], first: str, last: str
) -> None:
    assert plot_samples(["-s1", first, "-s2", last, files[0], "-o", str(tmp_path / "x.png")]) == 0
    assert "using 24 to 25" in capsys.readouterr().err


def test_many_slices_are_warned_about(
    files: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot_samples(["-s1", "1", "-s2", "12", files[0], "-o", str(tmp_path / "x.png")])
    assert "more than 11 slices" in capsys.readouterr().err


@pytest.mark.parametrize("tool", [plot_samples, plot_widths])
def test_exit_codes(tool, files: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    broken = tmp_path / "broken.fits"
    broken.write_text("this is no FITS file")
    cases = {
        (): 1,
        (files[0], "-s1"): 2,
        (files[0], "-s2"): 3,
        (files[0], "-n"): 4,
        (files[0], "-o"): 6,
        (files[0], "-s1", "x"): 2,
        (files[0], "-n", "25"): 5,
        (files[0], "-n", "7"): 10,
        (files[0], "--help"): 9,
        (files[0],) * 4: 9,
        (str(tmp_path / "none.fits"),): 10,
        (str(broken),): 10,
        (files[1],): 11,
        (files[0],): 21,
        (files[0], "-o", str(tmp_path / "plot.docx")): 50,
    }
    for words, code in cases.items():
        assert tool(list(words)) == code, words


def test_display_without_toolkit_is_told(
    files: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISPLAY", ":99")
    matplotlib.use("agg")
    assert plot_widths([files[0]]) == 21
    assert "use -o FILE" in capsys.readouterr().err
