"""What benchmarks/agreement_science.py says of cubes and tables, and benchmarks/peer_science.py of stars."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def module(monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module(name)


def cube(path: Path, data: np.ndarray) -> Path:
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(data, name="DATA"), fits.ImageHDU(np.ones_like(data), name="STAT")]
    fits.HDUList(hdus).writeto(path)
    return path


def verdicts(lines: Any) -> dict[str, bool | None]:
    return {line.what.split(":")[0] + ":" + line.what.partition(":")[2][:7]: line.ok for line in lines}


def test_voxels_must_be_the_same_ones_and_have_the_same_values(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    science = module(monkeypatch, "agreement_science")
    data = np.random.default_rng(1).normal(100, 1, (3, 20, 20)).astype(np.float32)
    lacking, other = data.copy(), data * np.float32(1.0001)
    lacking[1, 3, 3] = np.nan
    true = cube(tmp_path / "a.fits", data)
    for name, values, missed in (
        ("same", data, set()),
        ("lacking", lacking, {"DATA: voxels"}),
        ("other", other, {"DATA: relati"}),
    ):
        lines = science.compare_science_cubes(cube(tmp_path / f"{name}.fits", values), true, science.SAME_INPUTS)
        found = verdicts(lines)
        assert {what for what, ok in found.items() if ok is False} == missed
    lines = science.compare_science_cubes(tmp_path / "other.fits", true, science.OWN_INPUTS)
    assert all(line.ok is not False for line in lines)


def test_rows_of_tables_are_found_by_their_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    science = module(monkeypatch, "agreement_science")

    def table(name: str, wave: np.ndarray, values: np.ndarray) -> Path:
        columns = [fits.Column("lambda", "D", array=wave), fits.Column("response", "D", array=values)]
        path = tmp_path / f"{name}.fits"
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(path)
        return path

    wave = np.arange(5000.0, 5100.0)
    values = np.sin(wave)
    values[4] = np.nan
    limits = (("response", 0.01, "mag"),)
    true = table("true", wave, values)
    turned = table("turned", wave[::-1], values[::-1] + 0.005)
    assert all(line.ok for line in science.compare_tables(turned, true, "lambda", limits))
    fewer = table("fewer", wave[3:], values[3:] + np.where(wave[3:] < 5050.0, 0.02, 0.0))
    assert [line.ok for line in science.compare_tables(fewer, true, "lambda", limits)] == [False, False]
    upper = science.compare_tables(fewer, true, "lambda", limits, within=(5060.0, np.inf))
    assert [line.ok for line in upper] == [True, True]


def test_stars_of_an_image_are_fitted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = module(monkeypatch, "peer_science")
    y, x = np.indices((48, 56)).astype(float)
    truth = [(1e20 * star.flux, star.x - 1.0, star.y - 1.0) for star in peer.STARS]
    image = sum(flux * peer.moffat(x - x0, y - y0, np.array(3.7)) for flux, x0, y0 in truth) + 2.0
    fluxes, places, _ = peer._fit(image, [(star.x, star.y) for star in peer.STARS])
    np.testing.assert_allclose(fluxes, [flux for flux, _, _ in truth], rtol=1e-5)
    np.testing.assert_allclose(places, [place for _, *place in truth], atol=1e-5)
