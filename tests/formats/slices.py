"""Slices of a small detector, and pixel tables of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.fitsfile.header import Header
from core.formats.pixtable import PixtableForm
from core.formats.pixtable_slices import SliceRows
from core.formats.pixtable_slicewise import SlicewiseTable
from core.spatial.positions import FieldPlace, SliceMap

IFU = 7


def a_slice(slice_no: int) -> SliceMap:
    left = 30.4 + 80 * (slice_no - 1)
    return SliceMap(
        slice_no,
        np.array([left, 0.01, -1e-5]),
        np.array([left + 20.2, 0.012, -1e-5]),
        np.array([[5000.0 + slice_no, 1.25, 1e-5], [0.03, 0.0, 0.0]]),
        FieldPlace(10.0 * slice_no, -3.5, 0.4, 75.1),
        (90, 200),
    )


def some_slices(shift: float = -0.1) -> list[SliceRows]:
    """Two slices of which pixels are missing."""
    whole = [SliceRows.whole(IFU, a_slice(number), shift=shift) for number in (1, 2)]
    return [whole[0].within(5010.0, 5080.0), whole[1].only(np.arange(whole[1].map.n_rows) % 7 > 1)]


def write(path: Path, header: Header, slices: Sequence[SliceRows], form: PixtableForm) -> Path:
    """A pixel table with numbers by chance, the same in all forms."""
    rng = np.random.default_rng(5)
    flat = (np.arange(4990.0, 5130.0, 1.25), np.ones(112))
    with SlicewiseTable.create(path, header, slices, form=form, flat_field=flat) as table:
        for number, rows in enumerate(table.slices):
            dq = np.where(rng.uniform(size=rows.n_rows) < 0.2, rng.choice([32, 256, 1 << 27], rows.n_rows), 0)
            data, stat = (rng.normal(100, 10, rows.n_rows).astype(np.float32) for _ in range(2))
            table.put(number, rows.columns(), data, dq.astype(np.int32), stat)
        table.describe(header)
        return table.finish(header)
