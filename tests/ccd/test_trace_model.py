"""A trace gives back the polynomials it was made of, and names the slices it does not have."""

import numpy as np
import pytest

from core.ccd.trace_model import Trace, TraceLine
from core.errors import TracingError


def make_trace(n: int = 4, order: int = 3) -> Trace:
    rng = np.random.default_rng(5)
    scale = 10.0 ** -(3.0 * np.arange(order + 1))
    center = rng.normal(size=(n, order + 1)) * scale
    center[:, 0] = 60 + 84 * np.arange(n)
    half = np.zeros_like(center)
    half[:, 0] = 38.0
    return Trace.from_polynomials(range(1, n + 1), center, center - half, center + half)


def test_lines_are_polynomials_in_fits_rows() -> None:
    trace = make_trace()
    y = np.array([1.0, 16.5, 2056.0, 4112.0])
    expected = np.polynomial.polynomial.polyval(y, trace.coefficients[2, 0])
    np.testing.assert_allclose(trace.center(3, y), expected, rtol=1e-14)
    np.testing.assert_allclose(trace.right(3, y) - trace.left(3, y), 76.0, rtol=1e-12)
    derivative = np.polynomial.polynomial.polyval(y, np.polynomial.polynomial.polyder(trace.coefficients[2, 1]))
    np.testing.assert_allclose(trace.slope(3, TraceLine.LEFT, y), derivative, rtol=1e-12)
    assert trace.width_of(3) == pytest.approx(76.0)


def test_scalar_row_gives_a_scalar_position() -> None:
    assert float(make_trace().center(1, 0.0)) == pytest.approx(60.0)


def test_columns_make_the_same_trace_again() -> None:
    trace = make_trace(order=5)
    columns = trace.columns()
    assert list(columns)[:3] == ["SliceNo", "Width", "tc0_00"]
    assert list(columns)[-1] == "MSE2"
    again = Trace.from_columns(columns)
    np.testing.assert_array_equal(again.coefficients, trace.coefficients)
    np.testing.assert_array_equal(again.slice_no, trace.slice_no)
    assert again.order == 5


def test_null_row_is_a_slice_without_trace() -> None:
    columns = make_trace().columns()
    columns["SliceNo"] = np.ma.masked_equal(np.where(columns["SliceNo"] == 2, 0, columns["SliceNo"]), 0)
    for name in columns:
        if name.startswith("tc"):
            columns[name] = np.ma.masked_array(columns[name], mask=[False, True, False, False])
    trace = Trace.from_columns(columns)
    assert trace.valid_slices == [1, 3, 4]
    assert not trace.has(2)
    assert trace.slice_no.tolist() == [1, 2, 3, 4]
    with pytest.raises(TracingError, match="slice 2 has no trace"):
        trace.center(2, 5.0)


def test_unknown_slice_is_named() -> None:
    with pytest.raises(TracingError, match="slice 49"):
        make_trace().left(49, 1.0)
    assert np.isnan(make_trace().width_of(49))


@pytest.mark.parametrize("dropped", ["SliceNo", "Width", "tc1_02", "MSE2"])
def test_incomplete_table_is_refused(dropped: str) -> None:
    columns = make_trace().columns()
    del columns[dropped]
    with pytest.raises(TracingError, match="not a trace table"):
        Trace.from_columns(columns)


def test_shapes_must_fit() -> None:
    with pytest.raises(TracingError, match="shape"):
        Trace(np.ones(2, np.int32), np.ones(2, np.float32), np.ones((3, 3, 6)), np.ones((2, 3)))
