"""Holes of the mask pass all slices, as muse_geometry needs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.ccd.geometry import Detector
from core.errors import ParameterError
from core.formats.raw import open_raw
from core.instruments.muse.facts import FOCAL_SCALE
from core.simulator.mask import PINHOLE_DX, PINHOLE_DY, MaskCheckScene, MaskScene, mask_sequence
from core.simulator.night import NightPlan, simulate_night
from core.simulator.truth import InstrumentTruth, truth_for

SMALL = Detector(nx=1024, ny=120)
PER_MM = FOCAL_SCALE / 0.2


@pytest.fixture(scope="module")
def truth() -> InstrumentTruth:
    return truth_for(12, detector=SMALL)


def test_sequence_covers_two_rows_of_holes_in_small_steps() -> None:
    vpos = np.array([scene.vpos for scene in mask_sequence(60)])
    assert len(vpos) == 60
    assert (vpos > 0).all()
    true = (vpos - vpos[0]) / MaskScene().encoder_scale
    # a hole is 1.3 and a slice 1.04 high, in units of 0.2 arcsec
    assert true[-1] > PINHOLE_DY + (1.3 + 1.04) / PER_MM
    assert (np.diff(true) > 0).all()
    assert np.diff(true).max() < (1.3 + 1.04) / PER_MM / 3


@pytest.mark.parametrize("count", [0, 13])
def test_too_short_sequences_are_refused(count: int) -> None:
    with pytest.raises(ParameterError, match="count"):
        mask_sequence(count)


def test_mask_moves_down_with_vpos() -> None:
    y = np.linspace(-3.0, 3.0, 601)
    scene = MaskScene(vpos=0.4 / PER_MM, encoder_scale=1.0)
    later = MaskScene(vpos=0.4 / PER_MM + 0.05, encoder_scale=1.0)
    x = np.full_like(y, 0.5 * PINHOLE_DX * PER_MM)

    def middle(of: MaskScene) -> float:
        light = of.holes(x, y)
        return float((light * y).sum() / light.sum())

    assert middle(later) - middle(scene) == pytest.approx(-0.05 * PER_MM, abs=0.01)


def test_every_slice_has_three_holes_inside_its_edges() -> None:
    for ifu in (1, 12, 24):
        truth = truth_for(ifu)
        along = np.linspace(-0.5, 0.5, 1001)
        for slice_no in range(1, 49):
            field_x, _ = truth.geometry.place(ifu, slice_no, along)
            column = (field_x / PER_MM - 0.5 * PINHOLE_DX) / PINHOLE_DX
            distance = (column - np.round(column)) * PINHOLE_DX * PER_MM
            holes = along[1:][np.diff(np.sign(distance)) != 0]
            holes = [hole for hole in holes if abs(np.interp(hole, along, distance)) < 1.0]
            assert len(holes) == 3
            assert np.abs(holes).max() * truth.geometry.width[ifu - 1, slice_no - 1] < 30.0


def test_light_of_a_spot_peaks_where_the_hole_passes_the_slice(truth: InstrumentTruth) -> None:
    """The position of a slice, from the sequence: what the recipe does, on noise-free images."""
    scenes = mask_sequence(20)
    images = [scene.light(truth) for scene in scenes]
    vpos = np.array([scene.vpos for scene in scenes])
    wave = 7032.41
    deviations = []
    for slice_no in range(14, 36):
        rows = np.arange(1.0, 241.0)
        along = truth.wavelength(slice_no, truth.trace_center(slice_no, 120.5), rows)
        row = np.interp(wave, along, rows)
        if not 12 < row < 229:
            continue
        center = float(truth.trace_center(slice_no, row))
        # the middle hole, at its place in the field
        columns = np.arange(round(center) - 12, round(center) + 13)
        window = np.s_[round(row) - 7 : round(row) + 6, columns[0] - 1 : columns[-1]]
        flux = np.array([image[window].astype(np.float64).sum() for image in images])
        spots = np.array([image[window].astype(np.float64).sum(axis=0) for image in images])
        inner = _whole_peak(flux)
        peak = (flux[inner] * vpos[inner]).sum() / flux[inner].sum()
        x = (spots[inner] * columns).sum() / spots[inner].sum()
        field_x, field_y = truth.position(slice_no, x, row)
        column = (field_x / PER_MM - 0.5 * PINHOLE_DX) / PINHOLE_DX
        assert abs(column - round(float(column))) * PINHOLE_DX * PER_MM < 0.03
        rest = (field_y - 0.4 + peak / 1.066 * PER_MM) / (PINHOLE_DY * PER_MM)
        deviations.append((rest - round(float(rest))) * PINHOLE_DY * PER_MM)
    assert len(deviations) > 5
    assert np.abs(deviations).max() < 0.03


def _whole_peak(flux: np.ndarray) -> slice:
    """The samples of a peak that does not touch the ends."""
    lit = np.concatenate(([False], flux > 0.01 * flux.max(), [False]))
    starts = np.flatnonzero(~lit[:-1] & lit[1:])
    stops = np.flatnonzero(lit[:-1] & ~lit[1:])
    whole = [slice(a, b) for a, b in zip(starts, stops, strict=True) if a > 0 and b < len(flux)]
    return max(whole, key=lambda peak: flux[peak].sum())


def test_spots_are_two_pixels_wide(truth: InstrumentTruth) -> None:
    image = max((scene.light(truth) for scene in mask_sequence(14)), key=np.max)
    y, x = np.unravel_index(int(image.argmax()), image.shape)
    for profile in (image[y, x - 5 : x + 6].astype(float), image[y - 5 : y + 6, x].astype(float)):
        places = np.arange(-5, 6)
        mean = (profile * places).sum() / profile.sum()
        fwhm = 2.355 * np.sqrt((profile * (places - mean) ** 2).sum() / profile.sum())
        assert 1.6 < fwhm < 2.6


def test_night_with_a_mask_sequence(tmp_path: Path) -> None:
    plan = NightPlan(0, 0, 0, 0, 0, n_mask=14, n_mask_check=1)
    *masks, check = simulate_night(tmp_path, "2026-03-14", (12,), plan, detector=Detector(nx=100, ny=40))
    headers = [fits.getheader(path) for path in masks]
    assert {header["ESO DPR TYPE"] for header in headers} == {"WAVE,MASK"}
    assert len({header["ESO TPL START"] for header in headers}) == 1
    for header in headers:
        lit = [n for n in range(1, 7) if header[f"ESO INS LAMP{n} ST"] and header[f"ESO INS SHUT{n} ST"]]
        assert lit == [3, 5]
        assert header["ESO TEL FOCU SCALE"] == FOCAL_SCALE
        assert header["ESO INS DROT MODE"] == "STAT"
        assert header["ESO INS DROT POSANG"] == 90.0  # the mask moves along y of the field
        for stage in (2, 3, 4):
            steps = header[f"ESO INS POS{stage} ENC"]
            assert isinstance(steps, int)
            assert steps / header[f"ESO INS POS{stage} POS"] == pytest.approx(48596.0, rel=1e-4)
    assert [header["ESO INS POS3 POS"] for header in headers] == [scene.vpos for scene in mask_sequence(14)]
    header = fits.getheader(check)
    assert header["ESO DPR TYPE"] == MaskCheckScene.dpr_type
    assert [n for n in range(1, 7) if header[f"ESO INS LAMP{n} ST"] and header[f"ESO INS SHUT{n} ST"]] == [1, 2]
    assert header["ESO TEL FOCU SCALE"] == FOCAL_SCALE
    assert all(header[f"ESO INS POS{stage} ENC"] > 0 for stage in (2, 3, 4))
    assert open_raw(check).ifus == (12,)


def test_check_pattern_is_smooth(truth: InstrumentTruth) -> None:
    image = MaskCheckScene().light(truth)
    assert image is not None
    center = round(float(truth.trace_center(24, 120.5)))
    row = image[120, center - 25 : center + 25]
    assert row.min() > 0.0
    assert np.abs(np.diff(row)).max() < 0.1 * row.max()
