"""muse_flat at full size on frames as bad as real ones: what is true stays true, what is broken is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

ROWS = np.arange(1.0, 4113.0)
ALL = list(range(1, 49))

pytestmark = pytest.mark.heavy


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def centres(residuals: dict[int, np.ndarray]) -> float:
    """Residual of the centres of all slices [pix]."""
    return rms(np.concatenate([part[0] for part in residuals.values()]))


def edges(residuals: dict[int, np.ndarray]) -> float:
    """Residual of the edges of all slices [pix]."""
    return rms(np.concatenate([part[1:].ravel() for part in residuals.values()]))


def worst(residuals: dict[int, np.ndarray]) -> float:
    """Residual of the worst slice [pix]."""
    return max(rms(part) for part in residuals.values())


def without(residuals: dict[int, np.ndarray], *slices: int) -> dict[int, np.ndarray]:
    return {number: part for number, part in residuals.items() if number not in slices}


def traced(full, flats, folder: Path, pairs=None, **values):
    """Residuals to the truth of the slices that muse_flat traces on some flats."""
    result = full.run("muse_flat", pairs or full.flat_pairs(flats), folder, **values)
    return full.night.trace_residuals(full.product(result, "TRACE_TABLE"))


# -- numbers of frames ---------------------------------------------------------------------------------------


def test_eleven_frames(full) -> None:
    residuals = full.night.trace_residuals(full.trace)
    assert sorted(residuals) == ALL
    # Photon noise of 11 flats: 0.0014 and 0.0022 pix measured.
    assert centres(residuals) < 0.003
    assert edges(residuals) < 0.004
    assert worst(residuals) < 0.01


def test_three_flats(full, tmp_path: Path, told: Callable[[], list[str]]) -> None:
    residuals = traced(full, full.night.flats[:3], tmp_path)
    assert sorted(residuals) == ALL
    assert centres(residuals) < 0.004  # 0.0021 measured
    assert worst(residuals) < 0.016
    assert told() == []


def test_three_flats_with_three_biases(full, tmp_path: Path, told: Callable[[], list[str]]) -> None:
    # Cosmic rays that three biases cannot reject flag whole columns, many of them at slice edges. Tracing their
    # neighbours instead was wrong by up to 3 pix, 0.17 pix rms.
    bias = full.product(full.run("muse_bias", full.tagged(full.night.biases[:3], "BIAS"), tmp_path), "MASTER_BIAS")
    pairs = [*full.tagged(full.night.flats[:3], "FLAT"), (bias, "MASTER_BIAS")]
    residuals = traced(full, None, tmp_path, pairs)
    assert sorted(residuals) == ALL
    assert centres(residuals) < 0.03  # 0.016 measured
    assert worst(residuals) < 0.2
    assert np.median([rms(part) for part in residuals.values()]) < 0.005
    assert told()
    assert all("were measured past a contaminated edge" in text for text in told())


# -- vignetting and faint lamps ------------------------------------------------------------------------------


def fade(full, number: int, light: float) -> Callable[[np.ndarray], None]:
    """The light of a slice falls over its right 60 per cent, to ``light`` at the edge."""

    def change(image: np.ndarray) -> None:
        x = np.arange(1, 4097)[None, :]
        left, right = (
            edge(number, ROWS)[:, None] for edge in (full.night.truth.trace_left, full.night.truth.trace_right)
        )
        where = np.clip((x - left) / (right - left), 0, 1)
        inside = (x > left - 4) & (x < right + 4)
        image *= np.where(inside, 1 - (1 - light) * np.clip((where - 0.4) / 0.6, 0, 1), 1.0)

    return change


def darken(full, number: int, light: float) -> Callable[[np.ndarray], None]:
    def change(image: np.ndarray) -> None:
        x = np.arange(1, 4097)[None, :]
        left, right = (
            edge(number, ROWS)[:, None] for edge in (full.night.truth.trace_left, full.night.truth.trace_right)
        )
        image *= np.where((x > left - 4) & (x < right + 4), light, 1.0)

    return change


@pytest.mark.parametrize("light", [0.0, 0.1, 0.3])
def test_a_vignetted_slice_is_reported_and_the_others_used(full, tmp_path: Path, told, light: float) -> None:
    flats = full.night.spoil(full.night.flats[:5], tmp_path / "raw", fade(full, 10, light))
    residuals = traced(full, flats, tmp_path)
    assert sorted(residuals) == [number for number in ALL if number != 10]
    assert centres(residuals) < 0.004
    assert worst(residuals) < 0.012
    assert len(told()) == 1
    assert "the trace fit in slice 10 failed" in told()[0]
    with fits.open(tmp_path / "TRACE_TABLE-12.fits") as hdus:
        assert not any("SLICE10 " in card for card in hdus[0].header)
        assert np.isnan(hdus[1].data["tc0_00"]).sum() == 1
        assert np.isnan(hdus[1].data["tc0_00"][9])
        assert len(hdus[1].data) == 48


@pytest.mark.parametrize("edgefrac", [0.4, 0.3])
def test_a_lower_edgefrac_finds_the_vignetted_slice(full, tmp_path: Path, edgefrac: float) -> None:
    # The cure of the manual, section 8.2.
    flats = full.night.spoil(full.night.flats[:5], tmp_path / "raw", fade(full, 10, 0.3))
    residuals = traced(full, flats, tmp_path, edgefrac=edgefrac)
    assert sorted(residuals) == ALL
    # The light that falls towards the right edge moves it by 0.1 pix.
    assert rms(residuals[10]) < 0.15
    assert rms(residuals[10][1]) < 0.01
    assert worst(without(residuals, 10)) < 0.012


def test_cold_flats_are_used_with_the_trace_of_warm_ones(full, tmp_path: Path, told) -> None:
    # The recovery of the manual, section 8.2: a slice lost on cold flats is there on the trace of warm ones.
    flats = full.night.spoil(full.night.flats[:5], tmp_path / "raw", fade(full, 10, 0.0))
    for path in flats:
        fits.setval(path, "HIERARCH ESO INS TEMP4 VAL", value=5.2)
    assert 10 not in traced(full, flats, tmp_path)
    assert any("5.2 deg C" in text and "TRACE_TABLE" in text for text in told())
    for trace, found in ((tmp_path / "TRACE_TABLE-12.fits", 47), (full.trace, 48)):
        pairs = [*full.arc_pairs(full.night.lamps(), trace), (tmp_path / "MASTER_FLAT-12.fits", "MASTER_FLAT")]
        result = full.run("muse_wavecal", pairs, tmp_path / str(found))
        residuals = full.night.wave_residuals(full.product(result, "WAVECAL_TABLE"))
        assert len(residuals) == found
        assert rms(np.concatenate(list(residuals.values()))) < 0.0035


def test_a_dark_slice_costs_only_itself(full, tmp_path: Path, told) -> None:
    flats = full.night.spoil(full.night.flats[:5], tmp_path / "raw", darken(full, 1, 0.0))
    residuals = traced(full, flats, tmp_path)
    assert sorted(residuals) == ALL[1:]
    assert worst(residuals) < 0.012
    assert "not seen in the middle of the detector" in told()[0]


def test_a_dim_slice_is_found(full, tmp_path: Path, told) -> None:
    flats = full.night.spoil(full.night.flats[:5], tmp_path / "raw", darken(full, 1, 0.02))
    residuals = traced(full, flats, tmp_path)
    assert sorted(residuals) == ALL
    assert worst(residuals) < 0.012
    assert len(told()) == 1
    assert "the slices stand apart only at edgefrac" in told()[0]


@pytest.mark.parametrize("brightness", [0.1, 0.01])
@pytest.mark.parametrize("edgefrac", [0.5, 0.3])
def test_flats_of_a_faint_lamp(full, tmp_path: Path, told, brightness: float, edgefrac: float) -> None:
    def dim(image: np.ndarray) -> None:
        image *= brightness

    flats = full.night.spoil(full.night.flats[:5], tmp_path / "raw", dim)
    residuals = traced(full, flats, tmp_path, edgefrac=edgefrac)
    assert sorted(residuals) == ALL
    assert centres(residuals) < 0.008  # the bright flats were 0.002
    assert edges(residuals) < 0.012
    assert told() == []


# -- hot columns ---------------------------------------------------------------------------------------------

# slice, edge, distance from it [pix], charge [adu]
HOT = ((5, "left", -3, 3000), (17, "right", 3, 8000), (30, "left", 0, 3000), (41, "right", -1, 20000))


def heat(full) -> Callable[[np.ndarray], None]:
    def change(image: np.ndarray) -> None:
        for number, edge, distance, charge in HOT:
            column = round(float(getattr(full.night.truth, f"trace_{edge}")(number, 2056))) + distance
            image[:, column - 1] += charge

    return change


def test_hot_columns_at_slice_edges(full, tmp_path: Path, told) -> None:
    # In every read-out, as a defect of the detector is: the bias takes them off and flags them.
    biases = full.night.spoil(full.night.biases[:5], tmp_path / "biases", heat(full))
    bias = full.product(full.run("muse_bias", full.tagged(biases, "BIAS"), tmp_path), "MASTER_BIAS")
    flats = full.night.spoil(full.night.flats[:5], tmp_path / "raw", heat(full))
    residuals = traced(full, None, tmp_path, [*full.tagged(flats, "FLAT"), (bias, "MASTER_BIAS")])
    assert sorted(residuals) == ALL
    assert worst(residuals) < 0.03  # slice 41, whose column saturates in places: 0.017 measured
    assert all("slice" in text for text in told())


def test_bright_columns_of_the_flats_alone(full, tmp_path: Path, told) -> None:
    # Nothing flags these: edges are biased towards them by tenths of a pixel, but no slice is lost.
    flats = full.night.spoil(full.night.flats[:5], tmp_path / "raw", heat(full))
    residuals = traced(full, flats, tmp_path)
    assert sorted(residuals) == ALL
    assert worst(residuals) < 0.4
    # 18 is the neighbour of the right edge of 17
    assert worst(without(residuals, 5, 17, 18, 30, 41)) < 0.012
    assert any("slice 41" in text and "contaminated edge" in text for text in told())
