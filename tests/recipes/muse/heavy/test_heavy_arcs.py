"""muse_wavecal and muse_lsf at full size on arcs as bad as real ones, against the truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.formats.lsf import read_lsf
from core.formats.tables import WAVECAL_RESIDUALS, read_table
from core.spectral.lsf_hermite import HermiteLsf

ALL = list(range(1, 49))
QC = "ESO QC WAVECAL "

pytestmark = pytest.mark.heavy


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def total(residuals: dict[int, np.ndarray]) -> float:
    """Residual of all slices [Angstrom]."""
    return rms(np.concatenate(list(residuals.values())))


def worst(residuals: dict[int, np.ndarray]) -> float:
    """Residual of the worst slice [Angstrom]."""
    return max(rms(part) for part in residuals.values())


def of_slices(header: fits.Header, name: str) -> np.ndarray:
    """A QC parameter of all slices that have it."""
    keys = [f"{QC}SLICE{number} {name}" for number in ALL]
    return np.array([header[key] for key in keys if key in header])


def lsf_deviation(full, path: Path) -> float:
    """Largest deviation of the line-spread functions from the truth, as a fraction of the peak."""
    x = np.arange(-6, 6, 0.1)
    deviation = 0.0
    for number, profile in read_lsf(path, 12).items():
        for wave in (5500.0, 7000.0, 8800.0):
            sigma = float(full.night.truth.optics.line_profile_sigma(number, wave))
            true = HermiteLsf(full.night.truth.optics.slit_width, 1.24, (sigma, 0.0, 0.0))(x, wave)
            deviation = max(deviation, float(np.abs(profile(x, wave) - true).max() / true.max()))
    return deviation


# -- numbers of frames ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3, 11])
def test_frames_of_each_lamp(full, tmp_path: Path, told: Callable[[], list[str]], n: int) -> None:
    result = full.run("muse_wavecal", full.arc_pairs(full.night.lamps(n)), tmp_path)
    path = full.product(result, "WAVECAL_TABLE")
    residuals = full.night.wave_residuals(path)
    assert sorted(residuals) == ALL
    # 0.0025, 0.0022 and 0.0022 Angstrom measured: unlisted blends limit it, not noise
    assert total(residuals) < 0.0035
    assert worst(residuals) < 0.008
    header = fits.getheader(path)
    assert header["ESO PRO DATANCOM"] == 3 * n
    assert of_slices(header, "FIT NLINES").min() >= 74
    assert of_slices(header, "FIT RMS").max() < 0.0305  # 0.03: good enough to stop
    assert 2.0 < of_slices(header, "LINES FWHM MEAN").min() < of_slices(header, "LINES FWHM MAX").max() < 2.6
    assert told() == []


def test_line_spread_function_of_eleven_frames(full, tmp_path: Path, told) -> None:
    arcs = full.night.lamps(11)
    wave = full.product(full.run("muse_wavecal", full.arc_pairs(arcs), tmp_path), "WAVECAL_TABLE")
    result = full.run("muse_lsf", full.arc_pairs(arcs, wavecal=wave), tmp_path)
    path = full.product(result, "LSF_PROFILE")
    assert sorted(read_lsf(path, 12)) == ALL
    # Parabolas over 1.4 Angstrom flatten the peak.
    assert lsf_deviation(full, path) < 0.07
    assert told() == []


# -- lamps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "absent", "limit"),
    [
        (("Ne", "Xe"), "HgCd", 0.0045),  # 0.0030 measured
        (("Ne", "HgCd"), "Xe", 0.0045),  # 0.0029
        (("Xe", "HgCd"), "Ne", 0.008),  # 0.0054: few lines in the red
    ],
)
def test_a_missing_lamp(full, tmp_path: Path, told, names: tuple[str, ...], absent: str, limit: float) -> None:
    arcs = full.night.lamps(3, names)
    path = full.product(full.run("muse_wavecal", full.arc_pairs(arcs), tmp_path), "WAVECAL_TABLE")
    residuals = full.night.wave_residuals(path)
    assert sorted(residuals) == ALL
    assert total(residuals) < limit
    assert told() == [f"no exposure of lamp {absent}; its lines are not used"]
    result = full.run("muse_lsf", full.arc_pairs(arcs, wavecal=path), tmp_path)
    assert sorted(read_lsf(full.product(result, "LSF_PROFILE"), 12)) == ALL


@pytest.mark.parametrize("factor", [4, 12])
def test_saturated_lines(full, tmp_path: Path, told, factor: int) -> None:
    def brighten(image: np.ndarray) -> None:
        image *= factor

    arcs = full.night.spoil(full.night.lamps(3), tmp_path / "raw", brighten)
    path = full.product(full.run("muse_wavecal", full.arc_pairs(arcs), tmp_path), "WAVECAL_TABLE")
    residuals = full.night.wave_residuals(path)
    assert sorted(residuals) == ALL
    assert total(residuals) < 0.009  # 0.0046 and 0.0062 measured
    header = fits.getheader(path)
    for lamp in (3, 4, 5):
        assert header[f"{QC}NSATURATED LAMP{lamp}"] > 5000
    assert told()
    assert all("saturated pixels" in text for text in told())
    result = full.run("muse_lsf", full.arc_pairs(arcs, wavecal=path), tmp_path)
    assert lsf_deviation(full, full.product(result, "LSF_PROFILE")) < 0.1


# -- damage --------------------------------------------------------------------------------------------------


def hit_by_cosmics(seed: int) -> Callable[[np.ndarray], None]:
    """60000 tracks of 5 pixels, as of two hours: two pixels in a hundred are hit."""
    rng = np.random.default_rng(seed)

    def change(image: np.ndarray) -> None:
        n = 60000
        y, x = rng.integers(0, 4112, n), rng.integers(0, 4096, n)
        dy, dx = rng.integers(-1, 2, n), rng.integers(-1, 2, n)
        charge = rng.lognormal(np.log(900), 0.8, n).astype(np.float32)
        for step in range(5):
            yy, xx = y + dy * step, x + dx * step
            inside = (yy >= 0) & (yy < 4112) & (xx >= 0) & (xx < 4096)
            np.add.at(image, (yy[inside], xx[inside]), charge[inside])

    return change


@pytest.mark.parametrize(("n", "limit"), [(1, 0.004), (3, 0.004), (5, 0.0035)])
def test_cosmic_ray_hits_on_lines(full, tmp_path: Path, n: int, limit: float) -> None:
    arcs = full.night.spoil(full.night.lamps(n), tmp_path / "raw", hit_by_cosmics(5))
    path = full.product(full.run("muse_wavecal", full.arc_pairs(arcs), tmp_path), "WAVECAL_TABLE")
    residuals = full.night.wave_residuals(path)
    assert sorted(residuals) == ALL
    assert total(residuals) < limit  # 0.0028, 0.0025 and 0.0022 Angstrom measured
    assert of_slices(fits.getheader(path), "FIT NLINES").min() >= 70


def test_broken_slices_cost_only_themselves(full, tmp_path: Path, told) -> None:
    broken = tmp_path / "trace.fits"
    with fits.open(full.trace) as hdus:
        for name in hdus[1].columns.names[1:]:
            hdus[1].data[name][9] = np.nan  # as muse_flat leaves a slice without trace
        hdus[1].data["tc1_00"][19] -= 60  # a polynomial that has run away
        hdus.writeto(broken, checksum=True)
    arcs = full.night.lamps()
    path = full.product(full.run("muse_wavecal", full.arc_pairs(arcs, broken), tmp_path), "WAVECAL_TABLE")
    residuals = full.night.wave_residuals(path)
    assert sorted(residuals) == [number for number in ALL if number not in (10, 20)]
    assert total(residuals) < 0.0035
    assert [text.split(":")[0] for text in told()[:2]] == ["slice 10", "slice 20"]
    assert told()[2] == "no solution in 2 slices: 10, 20"
    with fits.open(path) as hdus:
        assert np.flatnonzero(np.isnan(hdus[1].data["wlc00"])).tolist() == [9, 19]
    result = full.run("muse_lsf", full.arc_pairs(arcs, broken, path), tmp_path)
    assert sorted(read_lsf(full.product(result, "LSF_PROFILE"), 12)) == sorted(residuals)


# -- extended mode -------------------------------------------------------------------------------------------


def test_extended_mode(extended, tmp_path: Path, told) -> None:
    traces = extended.night.trace_residuals(extended.trace)
    assert sorted(traces) == ALL
    assert rms(np.concatenate([part.ravel() for part in traces.values()])) < 0.005
    arcs = extended.night.lamps(5)
    result = extended.run("muse_wavecal", extended.arc_pairs(arcs), tmp_path, residuals=True)
    path = extended.product(result, "WAVECAL_TABLE")
    residuals = extended.night.wave_residuals(path, 4680.0)
    assert sorted(residuals) == ALL
    assert total(residuals) < 0.0035  # 0.0024 measured
    waves = read_table(extended.product(result, "WAVECAL_RESIDUALS"), WAVECAL_RESIDUALS)["lambda"]
    assert waves.min() < 4700  # the nominal mode has none there
    assert told() == []
    lsf = extended.product(extended.run("muse_lsf", extended.arc_pairs(arcs, wavecal=path), tmp_path), "LSF_PROFILE")
    assert lsf_deviation(extended, lsf) < 0.08
