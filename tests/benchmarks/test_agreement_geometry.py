"""What the comparison of geometries sets aside, and what it judges."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from core.fitsfile.header import Header
from core.formats.tables import GEOMETRY_TABLE, SPOTS_TABLE, MuseTable, write_table
from core.simulator.truth import truth_for
from core.spatial.geometry import Geometry

IFUS = (12, 13)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("agreement_geometry")


def true_geometry() -> Geometry:
    geometry = Geometry.from_columns(truth_for(12).geometry.table())
    return geometry.where(np.isin(geometry.ifu, IFUS))


def table(path: Path, geometry: Geometry) -> Path:
    return write_table(path, GEOMETRY_TABLE, MuseTable(geometry.columns(), Header()))


def verdicts(lines: Any) -> dict[str, bool | None]:
    return {line.what: line.ok for line in lines}


def test_zero_points_are_set_aside_and_told_by_themselves(module: ModuleType, tmp_path: Path) -> None:
    true = true_geometry()
    true = replace(true, y=true.y + 0.3)
    ours = table(tmp_path / "ours.fits", true)
    theirs = table(tmp_path / "theirs.fits", replace(true, x=true.x + np.where(true.ifu == 13, 0.05, 0.0)))
    forth = verdicts(module.compare_geometry(ours, theirs, truth_for(12)))
    assert all(forth.values())
    back = verdicts(module.compare_geometry(theirs, ours, truth_for(12)))
    assert [what for what, ok in back.items() if not ok] == [
        "x of an IFU against the one before it, largest deviation from the truth"
    ]


def test_slices_out_of_place_are_judged(module: ModuleType, tmp_path: Path) -> None:
    true = true_geometry()
    angle = true.angle.copy()
    angle[:6] += 0.03
    ours = table(tmp_path / "ours.fits", replace(true, angle=angle))
    theirs = table(tmp_path / "theirs.fits", true.where(true.slice_sky > 1))
    lost = {what for what, ok in verdicts(module.compare_geometry(ours, theirs, truth_for(12))).items() if not ok}
    assert lost == {
        "slices with a place", "angle: slices within 0.01 deg, and the largest difference",
        "angle, rms to the truth", "angle, largest deviation from the truth",
    }  # fmt: skip


def spots(path: Path, **changes: Any) -> Path:
    """Twenty spots in four exposures, in the last of which their light is cut."""
    image, place = (values.ravel() for values in np.indices((4, 20)))
    columns = {
        column.name: np.ones(80, {"J": np.int32, "D": np.float64}.get(column.form, "S80"))
        for column in SPOTS_TABLE.columns
    }
    columns |= {"image": (image + 1).astype(np.int32), "SliceCCD": (place // 3 + 1).astype(np.int32)}
    columns |= {"SpotNo": (place % 3 + 1).astype(np.int32), "flux": np.where(image == 3, 2000.0, 5000.0)}
    columns |= {name: columns[name] + change for name, change in changes.items()}
    return write_table(path, SPOTS_TABLE, MuseTable(columns, Header()), 12)


def test_spots_that_are_not_cut_are_compared(module: ModuleType, tmp_path: Path) -> None:
    theirs = spots(tmp_path / "theirs.fits")
    last = np.repeat([0.0, 0.0, 0.0, 1.0], 20)
    assert all(ok is not False for ok in verdicts(
        module.compare_spots(spots(tmp_path / "a.fits", xc=0.5 * last, flux=1000.0), theirs, 12)
    ).values())  # fmt: skip
    moved = verdicts(module.compare_spots(spots(tmp_path / "b.fits", xc=0.02, VPOS=0.1), theirs, 12))
    assert [what.split()[0] for what, ok in moved.items() if ok is False] == ["position", "xc"]
