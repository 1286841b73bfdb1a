"""The examples of the page on cubes run, with the programs that they are for, and do what they say."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.formats.cube_forms import CUBE_FORMS
from tests.recipes.muse.test_cube_shapes import combine, save

PAGE = Path(__file__).parents[1] / "docs" / "cubes.md"
SECTIONS = dict(re.findall(r"^## (.+?)$(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL))
BLOCKS = {name: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for name, text in SECTIONS.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube of two exposures, its image, and the pixel table."""
    made = tmp_path_factory.mktemp("examples")
    tables = [save(made / f"{number}.fits", number, "rad") for number in (0, 1)]
    combine(tables, made, format="Cube", save="cube,combined")
    return made


@pytest.fixture(scope="module")
def cube(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with fits.open(folder / "DATACUBE_FINAL.fits") as hdus:
        axes, data, stat = hdus["DATA"].header, hdus["DATA"].data.copy(), hdus["STAT"].data.copy()
    return data, stat, axes["CRVAL3"] + axes["CD3_3"] * np.arange(len(data))


def run(section: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Run all blocks of a section; the names that each leaves."""
    monkeypatch.chdir(folder)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other programs, and what they say of ESO's units
        for block in BLOCKS[section]:
            names: dict[str, Any] = {}
            exec(compile(block, f"{PAGE.name}, {section}", "exec"), names)
            found.append(names)
    assert found
    return found


def inside(wave: np.ndarray) -> np.ndarray:
    return (wave >= 5005.0) & (wave <= 5012.0)


@pytest.mark.filterwarnings("ignore")
def test_mpdaf(folder: Path, cube: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mpdaf")
    data, stat, wave = cube
    first, second = run("mpdaf", folder, monkeypatch)
    np.testing.assert_allclose(first["wave"], wave)
    assert first["cube"].shape == data.shape
    np.testing.assert_array_equal(first["cube"].data.mask, np.isnan(data))
    np.testing.assert_array_equal(first["spectrum"].data.filled(np.nan), data[:, 7, 10])
    np.testing.assert_array_equal(first["spectrum"].var.filled(np.nan), stat[:, 7, 10])
    assert abs(len(first["band"].wave.coord()) - inside(wave).sum()) <= 2
    assert first["image"].shape == data.shape[1:]
    assert first["cube"].unit.to_string() == "1e-20 erg / (Angstrom s cm2)"
    assert (first["ra"], first["dec"]) == pytest.approx((10.684, 41.27), abs=1e-3)
    used = fits.getdata(folder / "PIXTABLE_COMBINED.fits", "lambda").ravel()
    assert second["part"].nrows == (inside(used)).sum() == second["values"].size == second["positions"].size
    assert set(second["ifus"]) == {1}


@pytest.mark.filterwarnings("ignore")
def test_spectral_cube(folder: Path, cube: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("spectral_cube")
    data, _, wave = cube
    (names,) = run("spectral-cube", folder, monkeypatch)
    np.testing.assert_allclose(names["cube"].spectral_axis.to_value("Angstrom"), wave)
    np.testing.assert_array_equal(names["spectrum"].value, data[:, 7, 10])
    found = np.isclose(wave[:, None], names["slab"].spectral_axis.to_value("Angstrom")).any(axis=1)
    assert found[inside(wave)].all()
    assert found.sum() - inside(wave).sum() <= 1  # the plane at the end may count
    expected = np.nansum(data[found], axis=0)[7, 10] * 1.25
    assert names["moment"][7, 10].to_value("1e-20 erg / (s cm2)") == pytest.approx(expected, rel=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_specutils(folder: Path, cube: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("specutils")
    data, stat, _ = cube
    (names,) = run("specutils", folder, monkeypatch)
    np.testing.assert_allclose(names["spectrum"].flux.value, np.nansum(data[:, 5:10, 8:13], axis=(1, 2)))
    np.testing.assert_allclose(names["spectrum"].uncertainty.array, np.nansum(stat[:, 5:10, 8:13], axis=(1, 2)))
    assert names["flux"].to_value("1e-20 erg / (s cm2)") > 0


def test_astropy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (names,) = run("astropy alone", folder, monkeypatch)
    assert names["brightest"].ra.deg == pytest.approx(10.684, abs=1e-3)


def test_all_examples_are_run() -> None:
    assert {name for name, blocks in BLOCKS.items() if blocks} == {
        "mpdaf",
        "spectral-cube",
        "specutils",
        "astropy alone",
    }


@pytest.mark.parametrize("form", [name for name, form in CUBE_FORMS.items() if not form.spectra])
def test_headers_keep_to_what_viewers_and_zap_read(folder: Path, tmp_path: Path, form: str) -> None:
    """Each extension tells all of its axes; numbers have the type that readers of other languages expect."""
    made = combine([folder / "0.fits", folder / "1.fits"], tmp_path, format=form)
    with fits.open(made["DATACUBE_FINAL"]) as hdus:
        hdus.verify("exception")
        assert hdus[0].data is None
        assert [hdu.name for hdu in hdus[1:3]] == ["DATA", "STAT"]
        for hdu in hdus[1:3]:
            axes = hdu.header
            assert (axes["BITPIX"], axes["NAXIS"]) == (-32, 3)
            for key in ("CRVAL", "CRPIX"):
                assert all(isinstance(axes[f"{key}{axis}"], float) for axis in (1, 2, 3)), key
            matrix = [[axes[f"CD{i}_{j}"] for j in (1, 2, 3)] for i in (1, 2, 3)]
            assert all(isinstance(value, float) for row in matrix for value in row)
            assert np.linalg.det(matrix) < 0  # east is to the left
            assert not [key for key in axes if key.startswith(("PC0", "PC1", "CDELT", "CROTA"))]
            assert [axes[f"CTYPE{axis}"] for axis in (1, 2, 3)] == ["RA---TAN", "DEC--TAN", "AWAV"]
            assert [axes[f"CUNIT{axis}"].lower() for axis in (1, 2, 3)] == ["deg", "deg", "angstrom"]
            assert "BSCALE" not in axes
        np.testing.assert_array_equal(np.isnan(hdus["DATA"].data), np.isnan(hdus["STAT"].data))
        assert hdus[0].header["SPECSYS"] == "BARYCENT"
