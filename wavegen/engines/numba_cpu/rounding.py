"""How activations are rounded to what the weights are multiplied with: bfloat16, or int16."""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from wavegen.engines.numba_cpu.compiling import INLINED
from wavegen.engines.numba_cpu.lanes import I32, ROUND, constant, emit, keep, place
from wavegen.engines.numba_cpu.tile import BFloat
from wavegen.engines.numba_cpu.vector import (
    greater,
    largest,
    load,
    splat,
    store,
    width_of,
)

I16 = ir.IntType(16)
GATE_SCALE = 2.0**-15  # of int16 gates, which lie in -1 .. 1


@intrinsic
def store_bfloat16(typingctx: Any, array: Any, index: Any, vector: Any) -> Any:
    """Writes a vector to uint16 `array[index:]`, rounded to bfloat16, ties to even."""
    width = vector.lanes.width

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, value = arguments
        halves = ir.VectorType(I16, width)
        if vector.lanes.dots:  # one instruction
            name = f"llvm.x86.avx512bf16.cvtneps2bf16.{32 * width}"
            kind = ir.VectorType(BFloat(), width)
            rounded = builder.bitcast(emit(builder, name, kind, value), halves)
        else:
            whole = ir.VectorType(I32, width)

            def number(n: int) -> Any:
                return ir.Constant(whole, [n] * width)

            bits = builder.bitcast(value, whole)
            odd = builder.and_(builder.lshr(bits, number(16)), number(1))
            bits = builder.add(builder.add(bits, number(0x7FFF)), odd)
            rounded = builder.trunc(builder.lshr(bits, number(16)), halves)
        keep(
            builder,
            rounded,
            place(context, builder, signature.args[0], array, at, halves),
        )
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), code


@intrinsic
def store_int16(typingctx: Any, array: Any, index: Any, vector: Any) -> Any:
    """Writes a vector to int16 `array[index:]`, rounded to the nearest whole number in range."""
    width = vector.lanes.width

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, value = arguments
        words, kind = ir.VectorType(I16, width), value.type
        for order, bound in (("<", 32767.0), (">", -32767.0)):
            limit = constant(kind, bound)
            value = builder.select(builder.fcmp_ordered(order, value, limit), value, limit)
        value = builder.fsub(builder.fadd(value, constant(kind, ROUND)), constant(kind, ROUND))
        whole = builder.fptosi(value, ir.VectorType(I32, width))
        at = place(context, builder, signature.args[0], array, at, words)
        keep(builder, builder.trunc(whole, words), at)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), code


@intrinsic
def power_of_two(typingctx: Any, number: Any) -> Any:
    """Returns the largest power of two not above a positive float32."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.and_(builder.bitcast(arguments[0], I32), ir.Constant(I32, 0x7F800000))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.float32), code


@intrinsic
def times_steps(typingctx: Any, vector: Any) -> Any:
    """Returns gated outputs counted in steps of `GATE_SCALE`."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fmul(arguments[0], constant(arguments[0].type, 1 / GATE_SCALE))

    return vector(vector), code


def encode(lanes, source, at, count, codes, to, scales, k):
    """Rounds `source[at : at + count]` into `codes[to:]`, an int16 row's scale into `scales[k]`."""
    raise NotImplementedError("only compiled code can round")


def encode_gate(codes, to, vector):
    """Rounds a vector of gated outputs into `codes[to:]`; int16 in steps of `GATE_SCALE`."""
    raise NotImplementedError("only compiled code can round")


@overload(encode, jit_options=INLINED)
def _encode(lanes, source, at, count, codes, to, scales, k):
    def floats(lanes, source, at, count, codes, to, scales, k):
        for v in range(0, count, width_of(lanes)):
            store(codes, to + v, load(lanes, source, at + v))

    def halves(lanes, source, at, count, codes, to, scales, k):
        for v in range(0, count, width_of(lanes)):
            store_bfloat16(codes, to + v, load(lanes, source, at + v))

    def words(lanes, source, at, count, codes, to, scales, k):
        # The scale is a power of two, so that decoding and encoding again changes nothing.
        high = splat(lanes, 1e-30)
        for v in range(0, count, width_of(lanes)):
            y = load(lanes, source, at + v)
            high = greater(high, greater(y, splat(lanes, 0.0) - y))
        size = power_of_two(largest(high))
        scales[k] = size * np.float32(2.0**-14)
        factor = splat(lanes, np.float32(2.0**14) / size)
        for v in range(0, count, width_of(lanes)):
            store_int16(codes, to + v, load(lanes, source, at + v) * factor)

    return {types.float32: floats, types.uint16: halves, types.int16: words}[codes.dtype]


@overload(encode_gate, jit_options=INLINED)
def _encode_gate(codes, to, vector):
    def floats(codes, to, vector):
        store(codes, to, vector)

    def halves(codes, to, vector):
        store_bfloat16(codes, to, vector)

    def words(codes, to, vector):
        store_int16(codes, to, times_steps(vector))

    return {types.float32: floats, types.uint16: halves, types.int16: words}[codes.dtype]
