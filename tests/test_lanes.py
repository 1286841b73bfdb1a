"""Sums in lanes have one rounding, and no compiler is asked for another."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba import njit
from numba.core.errors import TypingError

from core.lanes import LANES, fma, greater, greatest, least, load, padded, smaller, spread, total

CORE = Path(__file__).parents[1] / "core"
COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "generated_jit"}
# What leaves the order of a sum to the compiler or to the number of threads.
LOOSE = {"fastmath", "parallel"}

numbers = st.floats(-1e9, 1e9, width=32)


@njit
def _sum(values):
    lanes = spread(0.0)
    for i in range(0, values.size, LANES):
        lanes = lanes + load(values, i)
    return total(lanes)


@njit
def _dot(a, b):
    lanes = spread(0.0)
    for i in range(0, a.size, LANES):
        lanes = fma(load(a, i), load(b, i), lanes)
    return total(lanes)


@njit
def _range(values):
    low = high = load(values, 0)
    for i in range(0, values.size, LANES):
        low = smaller(load(values, i), low)
        high = greater(load(values, i), high)
    return least(low), greatest(high)


@njit
def _formula(values, number):
    return total((number - load(values, 0)) * 2 + (load(values, 0) * load(values, 0) - number))


def in_order(terms):
    """The sum of `core.lanes`, in numpy: term after term in each lane, then upper half onto lower half."""
    lanes = np.zeros(LANES)
    for row in terms.astype(np.float64).reshape(-1, LANES):
        lanes = lanes + row
    while lanes.size > 1:
        lanes = lanes[: lanes.size // 2] + lanes[lanes.size // 2 :]
    return lanes[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(deadline=None)  # the first call compiles
@given(values=arrays(np.float64, 5 * LANES, elements=numbers))
def test_a_sum_has_the_rounding_of_its_order(dtype, values):
    assert _sum(values.astype(dtype)) == in_order(values.astype(dtype))


@settings(deadline=None)
@given(values=arrays(np.float64, 3 * LANES, elements=numbers))
def test_extremes_are_those_of_numpy(values):
    assert _range(values) == (values.min(), values.max())


def test_what_is_no_number_is_no_extreme():
    values = np.arange(2.0 * LANES)
    values[LANES + 3] = np.nan
    assert _range(values) == (0.0, 2 * LANES - 1)


@settings(deadline=None)
@given(a=st.floats(1, 2), b=st.floats(1, 2), c=st.floats(-4, -1))
def test_fma_rounds_once(a, b, c):
    first, second, third = np.zeros(2 * LANES), np.zeros(2 * LANES), Fraction(a) * Fraction(b) + Fraction(c)
    first[0], second[0], first[LANES], second[LANES] = c, 1.0, a, b
    assert _dot(first, second) == float(third)


def test_numbers_are_spread_over_the_lanes():
    values = np.arange(1.0, LANES + 1)
    assert _formula(values, 3) == math.fsum((3 - values) * 2 + values * values - 3)


def test_sizes_are_padded_to_whole_lanes():
    assert [padded(size) for size in (0, 1, LANES, LANES + 1)] == [0, LANES, LANES, 2 * LANES]


def test_rows_that_are_not_contiguous_are_refused():
    with pytest.raises(TypingError):
        _sum(np.zeros(4 * LANES)[::2])


def loose_kernels(source: str) -> Iterator[str]:
    """Names of the compiled functions of a module whose rounding is left to the compiler."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in COMPILERS and any(word.arg is None or word.arg in LOOSE for word in node.keywords):
            yield ast.unparse(node)


@pytest.mark.parametrize("decorator", [
    "@njit(cache=True, fastmath=True)", "@nb.njit(fastmath={'nnan'})", "@numba.vectorize(fastmath=FLAGS)",
    "@njit(parallel=True)", "@njit(**OPTIONS)",
])  # fmt: skip
def test_loose_kernels_are_found(decorator):
    assert list(loose_kernels(f"{decorator}\ndef kernel(x):\n    return x")) == [decorator.removeprefix("@")]


def test_no_kernel_leaves_its_rounding_to_the_compiler():
    modules = sorted(CORE.rglob("*.py"))
    kernels = sum("njit(" in path.read_text() for path in modules)
    assert kernels > 20  # the walk finds them
    assert {str(path): found for path in modules if (found := list(loose_kernels(path.read_text())))} == {}
