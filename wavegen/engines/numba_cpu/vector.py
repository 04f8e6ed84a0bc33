"""Vectors of float32 for Numba: a few intrinsics, each about one instruction.

Those that load, store, add up and do arithmetic also take vectors of float64, for what is delicate.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin

from wavegen.engines.numba_cpu.lanes import (
    F32,
    I32,
    Vec,
    broadcast,
    constant,
    emit,
    fetch,
    floats,
    fused,
    keep,
    place,
    suffix,
)


@intrinsic
def width_of(typingctx: Any, lanes: Any) -> Any:
    """Returns the number of lanes, a constant of the compiled code."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.intp, lanes.width)

    return types.intp(lanes), code


@intrinsic
def load(typingctx: Any, lanes: Any, array: Any, index: Any) -> Any:
    """Returns the vector at `array[index:]`, of the array's kind of numbers."""
    vector = Vec(lanes, array.dtype)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, at = signature.args[1], arguments[2]
        return fetch(builder, place(context, builder, kind, arguments[1], at, vector.kind))

    return vector(lanes, array, types.intp), code


@intrinsic
def store(typingctx: Any, array: Any, index: Any, vector: Any) -> Any:
    """Writes a vector to `array[index:]`."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, value = arguments
        keep(
            builder,
            value,
            place(context, builder, signature.args[0], array, at, value.type),
        )
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), code


@intrinsic
def splat(typingctx: Any, lanes: Any, number: Any) -> Any:
    """Returns a vector with the number in every lane."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return broadcast(builder, floats(lanes), arguments[1])

    return Vec(lanes)(lanes, types.float32), code


@intrinsic
def splat_wide(typingctx: Any, lanes: Any, number: Any) -> Any:
    """Returns a vector of float64 with the number in every lane."""
    vector = Vec(lanes, types.float64)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return broadcast(builder, vector.kind, arguments[1])

    return vector(lanes, types.float64), code


@intrinsic
def load_wide(typingctx: Any, lanes: Any, array: Any, index: Any) -> Any:
    """Returns the vector at float32 `array[index:]` as float64."""
    vector = Vec(lanes, types.float64)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, at = signature.args[1], arguments[2]
        narrow = fetch(builder, place(context, builder, kind, arguments[1], at, floats(lanes)))
        return builder.fpext(narrow, vector.kind)

    return vector(lanes, array, types.intp), code


@intrinsic
def store_narrow(typingctx: Any, array: Any, index: Any, vector: Any) -> Any:
    """Writes a vector of float64 to float32 `array[index:]`."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, value = arguments
        value = builder.fptrunc(value, floats(vector.lanes))
        keep(builder, value, place(context, builder, signature.args[0], array, at, value.type))
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), code


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """Returns a * b + c, rounded once where the processor can."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return fused(builder, a.lanes, *arguments)

    return a(a, b, c), code


@intrinsic
def sqrt(typingctx: Any, a: Any) -> Any:
    """Returns the square root."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        return emit(builder, f"llvm.sqrt.{suffix(kind)}", kind, *arguments)

    return a(a), code


def elementwise(name: str, instruction: Any) -> Any:
    """Returns an intrinsic of two vectors that is one LLVM instruction."""

    @intrinsic
    def function(typingctx: Any, a: Any, b: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return instruction(builder, *arguments)

        return a(a, b), code

    function.__name__ = name
    return function


def compared(name: str, order: str) -> Any:
    """Returns an intrinsic that takes one of two numbers, or of two vectors lane by lane."""

    @intrinsic
    def function(typingctx: Any, a: Any, b: Any) -> Any:
        kind = a if isinstance(a, Vec) else typingctx.unify_types(a, b)
        whole = isinstance(kind, types.Integer)

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            compare = builder.icmp_signed if whole else builder.fcmp_ordered
            return builder.select(compare(order, *arguments), *arguments)

        return kind(kind, kind), code

    function.__name__ = name
    return function


# Python's own max and min would be compiled for every number of arguments, and every kind.
greater, smaller = compared("greater", ">"), compared("smaller", "<")
# `above(a, b)` is a where a >= b and 0 elsewhere.
above = elementwise(
    "above",
    lambda builder, a, b: builder.select(
        builder.fcmp_ordered(">=", a, b), a, constant(a.type, 0.0)
    ),
)


def operated(operation: Any, instruction: Any) -> None:
    """Makes an operator of Python one LLVM instruction, of two vectors."""

    @infer_global(operation)
    class Typed(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == 2 and isinstance(args[0], Vec) and args[0] == args[1]:
                return args[0](*args)
            return None

    @lower_builtin(operation, Vec, Vec)
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return instruction(builder, *arguments)


operated(operator.add, lambda builder, a, b: builder.fadd(a, b))
operated(operator.sub, lambda builder, a, b: builder.fsub(a, b))
operated(operator.mul, lambda builder, a, b: builder.fmul(a, b))
operated(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))


@intrinsic
def scaled(typingctx: Any, value: Any, shifted: Any) -> Any:
    """Returns value * 2^n, where `shifted` is n + 1.5 * 2^23: n stands in its lowest bits."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        whole = ir.VectorType(I32, kind.count)
        bits, power = (builder.bitcast(argument, whole) for argument in arguments)
        exponent = builder.shl(power, ir.Constant(whole, [23] * kind.count))
        return builder.bitcast(builder.add(bits, exponent), kind)

    return value(value, shifted), code


@intrinsic
def exponent(typingctx: Any, value: Any) -> Any:
    """Returns the e of a positive value = m * 2^e with m in [sqrt(1/2), sqrt(2))."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        whole = ir.VectorType(I32, kind.count)

        def numbers(number: int) -> Any:
            return ir.Constant(whole, [number] * kind.count)

        offset = builder.sub(builder.bitcast(arguments[0], whole), numbers(0x3F3504F3))
        return builder.sitofp(builder.ashr(offset, numbers(23)), kind)

    return value(value), code


def reduced(name: str, combine: Any) -> Any:
    """Returns an intrinsic that folds a vector to one number, halves upon halves."""

    @intrinsic
    def function(typingctx: Any, vector: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value, width = arguments[0], vector.lanes.width
            while width > 1:
                width //= 2
                halves = []
                for first in (0, width):
                    mask = ir.Constant(ir.VectorType(I32, width), list(range(first, first + width)))
                    unknown = ir.Constant(value.type, ir.Undefined)
                    halves.append(builder.shuffle_vector(value, unknown, mask))
                value = combine(builder, *halves)
            return builder.extract_element(value, ir.Constant(I32, 0))

        return vector.dtype(vector), code

    function.__name__ = name
    return function


total = reduced("total", lambda builder, a, b: builder.fadd(a, b))
largest = reduced(
    "largest", lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b)
)


@intrinsic
def float_of_bits(typingctx: Any, bits: Any) -> Any:
    """Returns the float32 that 32 bits stand for."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], F32)

    return types.float32(types.int32), code
