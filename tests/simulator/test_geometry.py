"""Slices in the simulated field of view lie as those of MUSE do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.ccd.geometry import Detector
from core.fitsfile.header import Header
from core.formats.tables import GEOMETRY_TABLE, MuseTable, read_table, write_table
from core.instruments.muse.facts import N_IFU, N_SLICES, SLICE_SKY, SLICE_WIDTH_LIMITS
from core.simulator.geometry import FieldGeometry, make_geometry
from core.simulator.truth import truth_for

SKY = np.array(SLICE_SKY)


@pytest.fixture(scope="module")
def field() -> FieldGeometry:
    return make_geometry(1)


def _on_sky(values: np.ndarray) -> np.ndarray:
    """(IFU, stack from the left, row from the bottom)."""
    return values[:, np.argsort(SKY)].reshape(N_IFU, 4, 12)


def test_slices_fill_the_field(field: FieldGeometry) -> None:
    x, y = _on_sky(field.x), _on_sky(field.y)
    assert (np.diff(x, axis=1) > 74.0).all()
    assert np.abs(x[:, [0, 3]].mean(axis=(1, 2))).max() < 3.0
    # a slice is 60 arcsec / 288 high; real tables scatter between 1.0 and 1.07
    rows = np.diff(y.transpose(1, 0, 2).reshape(4, -1), axis=1)
    assert (rows > 0.96).all()
    assert (rows < 1.12).all()
    assert rows.mean() == pytest.approx(60 / 288 / 0.2, abs=1e-3)
    assert np.abs(field.angle).max() < 1.2
    assert SLICE_WIDTH_LIMITS[0] < field.width.min() < 75.25 < field.width.max() < SLICE_WIDTH_LIMITS[1]


def test_slices_side_by_side_leave_small_gaps(field: FieldGeometry) -> None:
    x, width = _on_sky(field.x), _on_sky(field.width)
    gaps = np.diff(x, axis=1) - 0.5 * (width[:, 1:] + width[:, :-1])
    assert gaps.min() > 0.0
    assert gaps[:, 1].mean() == pytest.approx(0.04, abs=0.01)
    assert gaps[:, [0, 2]].mean() == pytest.approx(0.07, abs=0.01)


def test_origin_is_the_reference_slice(field: FieldGeometry) -> None:
    x, y, width = _on_sky(field.x)[11], _on_sky(field.y)[11], _on_sky(field.width)[11]
    assert y[1, 11] == 0.0
    np.testing.assert_allclose(x[1] + 0.5 * width[1] + x[2] - 0.5 * width[2], 0.0, atol=1e-12)


def test_detector_is_mirrored_inside_a_slice() -> None:
    truth = truth_for(12, detector=Detector(nx=2048, ny=40))
    field = truth.geometry
    rows = np.array([3.0, 60.0])
    for slice_no in (1, 20, 48):
        k = (11, slice_no - 1)
        x, y = truth.position(slice_no, truth.trace_left(slice_no, rows), rows)
        angle = np.deg2rad(field.angle[k])
        np.testing.assert_allclose(x, field.x[k] + 0.5 * field.width[k] * np.cos(angle), atol=1e-11)
        np.testing.assert_allclose(y, field.y[k] + 0.5 * field.width[k] * np.sin(angle), atol=1e-11)
        x, y = truth.position(slice_no, truth.trace_center(slice_no, rows), rows)
        np.testing.assert_allclose((x - field.x[k], y - field.y[k]), 0.0, atol=1e-12)


def test_truth_is_a_geometry_table(field: FieldGeometry, tmp_path: Path) -> None:
    path = write_table(tmp_path / "GEOMETRY_TABLE.fits", GEOMETRY_TABLE, MuseTable(field.table(), Header()))
    columns = read_table(path, GEOMETRY_TABLE).columns
    assert len(columns["x"]) == N_IFU * N_SLICES
    np.testing.assert_array_equal(columns["SliceSky"], np.tile(np.arange(1, 49), N_IFU))
    np.testing.assert_array_equal(columns["SliceSky"], SKY[columns["SliceCCD"] - 1])
    for name in ("x", "y", "angle", "width"):
        np.testing.assert_array_equal(
            columns[name], getattr(field, name)[columns["SubField"] - 1, columns["SliceCCD"] - 1]
        )


def test_seed_makes_the_field(field: FieldGeometry) -> None:
    np.testing.assert_array_equal(make_geometry(1).x, field.x)
    assert np.abs(make_geometry(2).x - field.x).max() > 0.1
