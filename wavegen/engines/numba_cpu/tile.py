"""One tile of a product as LLVM code: its outputs in registers, its weights read front to back.

Three kinds of numbers, told by the types of the arrays:

    weights             inputs          sums
    float32             float32         float32
    uint32, bfloat16    uint16,         float32; both of a pair at once where there are such dots
      of two inputs       bfloat16
    uint16, int8 of     int16           int32, over no more than CHUNK inputs; then times the
      two inputs                          output's scale and the vector's
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.extending import intrinsic

from wavegen.engines.numba_cpu.lanes import (
    F32,
    I32,
    I64,
    LanesType,
    broadcast,
    emit,
    fetch,
    floats,
    fused,
    keep,
    place,
)

CHUNK = 512  # inputs: 512 * 127 * 32767 is just below 2^31
TILE = 8  # vectors of outputs in a tile, at most


class BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: Any) -> bool:
        """Returns whether the other is bfloat too."""
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        """Returns the same for all."""
        return hash(BFloat)


class Numbers:
    """How one kind of numbers is loaded, multiplied and summed."""

    def __init__(self, lanes: LanesType, dtype: types.Type) -> None:
        """Takes the kind from the type of the weights."""
        self.lanes = lanes
        self.kind = {"float32": "floats", "uint32": "pairs", "uint16": "bytes"}[dtype.name]
        width = lanes.width
        self.weights = {
            "floats": floats(lanes),
            "pairs": ir.VectorType(I32, width),
            "bytes": ir.VectorType(ir.IntType(8), 2 * width),
        }[self.kind]
        self.inputs = F32 if self.kind == "floats" else I32  # one float, or a pair
        self.sums = ir.VectorType(I32, width) if self.kind == "bytes" else floats(lanes)

    def prepared(self, builder: Any, weights: Any) -> Any:
        """Emits what is done once to a vector of weights."""
        if self.kind == "bytes":
            return builder.sext(weights, ir.VectorType(ir.IntType(16), 2 * self.lanes.width))
        return weights

    def added(self, builder: Any, sums: Any, weights: Any, x: Any) -> Any:
        """Emits sums + weights * x."""
        return getattr(self, f"add_{self.kind}")(builder, sums, weights, x)

    def add_floats(self, builder: Any, sums: Any, weights: Any, x: Any) -> Any:
        """Emits one fused multiply-add."""
        return fused(builder, self.lanes, weights, broadcast(builder, floats(self.lanes), x), sums)

    def add_pairs(self, builder: Any, sums: Any, weights: Any, x: Any) -> Any:
        """Emits the products of two bfloat16 a lane: one instruction, or widened by a shift."""
        lanes, whole = self.lanes, self.weights
        x = broadcast(builder, whole, x)
        if lanes.dots:
            halves = ir.VectorType(BFloat(), 2 * lanes.width)
            weights, x = (builder.bitcast(a, halves) for a in (weights, x))
            name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes.width}"
            return emit(builder, name, floats(lanes), sums, weights, x)
        for mask in (False, True):
            wide = []
            for value in (weights, x):
                if mask:
                    value = builder.and_(value, ir.Constant(whole, [0xFFFF0000] * whole.count))
                else:
                    value = builder.shl(value, ir.Constant(whole, [16] * whole.count))
                wide.append(builder.bitcast(value, floats(lanes)))
            sums = fused(builder, lanes, wide[0], wide[1], sums)
        return sums

    def add_bytes(self, builder: Any, sums: Any, weights: Any, x: Any) -> Any:
        """Emits the products of two int16 a lane."""
        lanes, words = self.lanes, weights.type
        x = builder.bitcast(broadcast(builder, self.sums, x), words)
        if lanes.dots:
            name = f"llvm.x86.avx512.vpdpwssd.{32 * lanes.width}"
            return emit(builder, name, self.sums, sums, weights, x)
        long = ir.VectorType(I32, words.count)
        both = builder.mul(builder.sext(weights, long), builder.sext(x, long))
        unknown = ir.Constant(long, ir.Undefined)
        for first in (0, 1):
            mask = [2 * lane + first for lane in range(lanes.width)]
            lanes_of = ir.Constant(ir.VectorType(I32, lanes.width), mask)
            sums = builder.add(sums, builder.shuffle_vector(both, unknown, lanes_of))
        return sums


@intrinsic(prefer_literal=True)
def tile(
    typingctx: Any,
    lanes: Any,
    vectors: Any,
    streams: Any,
    weights: Any,
    at: Any,
    row: Any,
    rows: Any,
    x: Any,
    x_at: Any,
    x_step: Any,
    initial: Any,
    i_at: Any,
    i_step: Any,
    out: Any,
    o_at: Any,
    o_step: Any,
    scales: Any,
    s_at: Any,
    x_scales: Any,
    xs_at: Any,
) -> Any:
    """Computes `vectors` vectors of outputs of `streams` streams; see `product`."""
    numbers = Numbers(lanes, weights.dtype)
    count, many = vectors.literal_value, streams.literal_value
    width = lanes.width

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        (_, _, _, w, w_at, row, rows, x, x_at, x_step, initial, i_at, i_step, out, o_at, o_step) = (
            arguments[:16]
        )
        scales, s_at, x_scales, xs_at = arguments[16:]

        def plus(base: Any, step: Any, times: int, more: int = 0) -> Any:
            value = builder.add(base, builder.mul(step, ir.Constant(I64, times)))
            return builder.add(value, ir.Constant(I64, more))

        def result(kind: Any, array: Any, base: Any, step: Any, s: int, v: int) -> Any:
            return place(
                context, builder, kind, array, plus(base, step, s, v * width), floats(lanes)
            )

        def started(s: int, v: int) -> Any:
            if numbers.kind == "bytes":
                return ir.Constant(numbers.sums, [0] * width)
            return fetch(builder, result(kinds[10], initial, i_at, i_step, s, v))

        pairs = [(s, v) for s in range(many) for v in range(count)]
        starts = [started(s, v) for s, v in pairs]
        # pointers that walk through the rows
        first = place(context, builder, kinds[3], w, w_at, numbers.weights)
        heads = [
            place(context, builder, kinds[7], x, plus(x_at, x_step, s), numbers.inputs)
            for s in range(many)
        ]
        before = builder.block
        loop, after = (builder.append_basic_block(name) for name in ("rows", "rows.end"))
        some = builder.icmp_signed(">", rows, ir.Constant(I64, 0))
        builder.cbranch(some, loop, after)
        with builder.goto_block(loop):
            i = builder.phi(I64)
            i.add_incoming(ir.Constant(I64, 0), before)
            sums = [builder.phi(numbers.sums) for _ in pairs]
            for phi, start in zip(sums, starts, strict=True):
                phi.add_incoming(start, before)
            # a row is `row` vectors of weights long
            here = builder.gep(first, [builder.mul(i, row)])
            loaded = []
            for v in range(count):
                pointer = builder.gep(here, [ir.Constant(I64, v)])
                loaded.append(numbers.prepared(builder, fetch(builder, pointer)))
            inputs = [fetch(builder, builder.gep(head, [i])) for head in heads]
            nexts = [
                numbers.added(builder, phi, loaded[v], inputs[s])
                for phi, (s, v) in zip(sums, pairs, strict=True)
            ]
            following = builder.add(i, ir.Constant(I64, 1))
            i.add_incoming(following, loop)
            for phi, value in zip(sums, nexts, strict=True):
                phi.add_incoming(value, loop)
            builder.cbranch(builder.icmp_signed("<", following, rows), loop, after)
        builder.position_at_end(after)
        ends = [builder.phi(numbers.sums) for _ in pairs]
        for end, start, value in zip(ends, starts, nexts, strict=True):
            end.add_incoming(start, before)
            end.add_incoming(value, loop)
        for (s, v), end in zip(pairs, ends, strict=True):
            if numbers.kind == "bytes":
                step = place(
                    context,
                    builder,
                    kinds[16],
                    scales,
                    plus(s_at, s_at, 0, v * width),
                    floats(lanes),
                )
                own = place(context, builder, kinds[18], x_scales, plus(xs_at, xs_at, 0, s), F32)
                factor = builder.fmul(
                    fetch(builder, step), broadcast(builder, floats(lanes), fetch(builder, own))
                )
                initially = fetch(builder, result(kinds[10], initial, i_at, i_step, s, v))
                end = fused(builder, lanes, builder.sitofp(end, floats(lanes)), factor, initially)
            keep(builder, end, result(kinds[13], out, o_at, o_step, s, v))
        return context.get_dummy_value()

    signature = types.void(
        lanes,
        vectors,
        streams,
        weights,
        types.intp,
        types.intp,
        types.intp,
        x,
        types.intp,
        types.intp,
        initial,
        types.intp,
        types.intp,
        out,
        types.intp,
        types.intp,
        scales,
        types.intp,
        x_scales,
        types.intp,
    )
    return signature, code
