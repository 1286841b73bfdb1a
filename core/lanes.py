"""Vectors of eight numbers for compiled loops: sums that are fast, and the same everywhere.

A sum in the order of its terms cannot use the vector instructions of a processor. Allowing the compiler to reorder it
(``fastmath``) leaves the rounding to the compiler's mood: to the processor, to what a function is inlined into, even to
whether a kernel was compiled or loaded from the cache. Here the order is written down. Number k of the lanes sums
samples k, k + 8, k + 16, ...; `total` adds the lanes pairwise; `fma` rounds once, never sometimes. Only ``+``, ``-``,
``*`` and the functions of this module know lanes, in compiled code only.

Examples
--------
>>> import numpy as np
>>> from numba import njit
>>> @njit
... def scalar_product(a, b):
...     lanes = spread(0.0)
...     for i in range(0, a.size, LANES):
...         lanes = fma(load(a, i), load(b, i), lanes)
...     return total(lanes)
>>> scalar_product(np.arange(16.0), np.full(16, 0.5))
60.0
"""

from __future__ import annotations

import operator
from typing import Any, Final

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

__all__ = ["LANES", "fma", "greater", "greatest", "least", "load", "padded", "smaller", "spread", "total"]

LANES: Final = 8  # one register of AVX-512, two of AVX2

_DOUBLE: Final = ir.DoubleType()
_VECTOR: Final = ir.VectorType(_DOUBLE, LANES)


class Lanes(types.Type):
    """The type of `LANES` numbers of float64 in compiled code."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


_LANES: Final = Lanes()
_OPERATORS: Final = {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul"}


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, _VECTOR)


def _spread(builder: Any, number: Any) -> Any:
    """A vector of one number, as instructions."""
    single = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(single, ir.Constant(_VECTOR, ir.Undefined), zeros)


def _as_lanes(context: Any, builder: Any, kind: types.Type, value: Any) -> Any:
    """Numbers are spread over all lanes."""
    if kind == _LANES:
        return value
    return _spread(builder, context.cast(builder, value, kind, types.float64))


def _define(function: Any, instruction: str) -> None:
    """Teach an operator lanes with lanes, and lanes with numbers."""

    @type_callable(function)
    def typed(context: Any) -> Any:
        def result(a: types.Type, b: types.Type) -> types.Type | None:
            known = {kind for kind in (a, b) if not isinstance(kind, types.Number)}
            return _LANES if known == {_LANES} else None

        return result

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, b = (_as_lanes(context, builder, *pair) for pair in zip(signature.args, args, strict=True))
        return getattr(builder, instruction)(a, b)

    for pair in ((Lanes, Lanes), (Lanes, types.Number), (types.Number, Lanes)):
        lower_builtin(function, *pair)(lower)


for _operator, _instruction in _OPERATORS.items():
    _define(_operator, _instruction)


@njit(cache=True, nogil=True)
def padded(size):  # type: ignore[no-untyped-def]
    """The next multiple of `LANES`."""
    return (size + LANES - 1) // LANES * LANES


@intrinsic
def spread(typing: Any, number: types.Type) -> Any:
    """One number in all lanes."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _as_lanes(context, builder, signature.args[0], args[0])

    return (_LANES(number), lower) if isinstance(number, types.Number) else None


@intrinsic
def load(typing: Any, array: types.Type, first: types.Type) -> Any:
    """Elements ``first`` ... ``first + 7`` of a one-dimensional contiguous array of float32 or float64."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        data = context.make_array(kind)(context, builder, args[0]).data
        start = builder.gep(data, [context.cast(builder, args[1], signature.args[1], types.intp)])
        element = context.get_data_type(kind.dtype)
        value = builder.load(builder.bitcast(start, ir.VectorType(element, LANES).as_pointer()))
        value.align = kind.dtype.bitwidth // 8  # arrays are aligned to their elements, no better
        return value if kind.dtype == types.float64 else builder.fpext(value, _VECTOR)

    known = isinstance(array, types.Array) and array.ndim == 1 and array.layout == "C"
    if known and array.dtype in {types.float32, types.float64} and isinstance(first, types.Integer):
        return _LANES(array, first), lower
    return None


@intrinsic
def fma(typing: Any, a: types.Type, b: types.Type, c: types.Type) -> Any:
    """``a * b + c`` of lanes or numbers, rounded once."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = [_as_lanes(context, builder, *pair) for pair in zip(signature.args, args, strict=True)]
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f64"), vectors)

    return _LANES(a, b, c), lower


def _choose(builder: Any, comparison: str, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(comparison, a, b), a, b)


def _elementwise(comparison: str) -> Any:
    def typed(typing: Any, a: types.Type, b: types.Type) -> Any:
        def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _choose(builder, comparison, *args)

        return (_LANES(a, b), lower) if a == b == _LANES else None

    return typed


def _folded(combine: Any) -> Any:
    """One number of all lanes: upper half with lower half, until one is left."""

    def typed(typing: Any, lanes: types.Type) -> Any:
        def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value, width = args[0], LANES
            while width > 1:
                width //= 2
                halves = [
                    builder.shuffle_vector(
                        value, value, ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(at, at + width)))
                    )
                    for at in (0, width)
                ]
                value = combine(builder, *halves)
            return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

        return (types.float64(lanes), lower) if lanes == _LANES else None

    return typed


# The smaller or greater of each lane; ``b`` where ``a`` is no number.
smaller: Final = intrinsic(_elementwise("<"))
greater: Final = intrinsic(_elementwise(">"))
# One number of all lanes.
total: Final = intrinsic(_folded(lambda builder, a, b: builder.fadd(a, b)))
least: Final = intrinsic(_folded(lambda builder, a, b: _choose(builder, "<", a, b)))
greatest: Final = intrinsic(_folded(lambda builder, a, b: _choose(builder, ">", a, b)))
