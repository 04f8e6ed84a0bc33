"""Matrix-vector products at the speed of the memory, and many vectors at that of the arithmetic.

A weight matrix lies input-major in tiles of up to eight vectors of outputs: while a tile is read
once from front to back, its outputs stay in registers. With several streams a weight that has been
loaded serves four of them. Every output is one chain of multiply-adds from the first input to the
last, whatever the number of streams, so that no bit depends on who else is drawn.
"""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wavegen.engines.numba_cpu.compiling import apart, inlined
from wavegen.engines.numba_cpu.tile import TILE, tile
from wavegen.engines.numba_cpu.vector import smaller, width_of


class Rows(NamedTuple):
    """Vectors in a flat array, one a stream: that of stream s begins at `at + s * step`."""

    array: np.ndarray
    at: int
    step: int


def tiles_of(count: int):
    """Returns the product of one tile of `count` vectors of outputs, for any number of streams."""
    part = min(count, TILE // 2)  # what four streams leave registers for

    @inlined
    def tiles(lanes, w, at, rows, streams, x, first, out, scales, s_at, x_scales, xs_at):
        s, width = 0, width_of(lanes)
        while s + 4 <= streams:
            x_at, f_at, o_at = (
                x.at + s * x.step,
                first.at + s * first.step,
                out.at + s * out.step,
            )
            for v in range(0, count * width, part * width):
                tile(
                    lanes, part, 4, w, at + v, count, rows, x.array, x_at, x.step,
                    first.array, f_at + v, first.step, out.array, o_at + v, out.step,
                    scales, s_at + v, x_scales, xs_at + s,
                )  # fmt: skip
            s += 4
        while s < streams:
            x_at, f_at, o_at = (
                x.at + s * x.step,
                first.at + s * first.step,
                out.at + s * out.step,
            )
            tile(
                lanes, count, 1, w, at, count, rows, x.array, x_at, x.step,
                first.array, f_at, first.step, out.array, o_at, out.step,
                scales, s_at, x_scales, xs_at + s,
            )  # fmt: skip
            s += 1
        return at + rows * count * width

    return tiles


eight, four, two, one = (tiles_of(count) for count in (8, 4, 2, 1))


@inlined
def product(lanes, w, at, rows, outputs, streams, x, first, out, scales, s_at, x_scales, xs_at):
    """Computes out[s] = first[s] + x[s] @ w for all streams; returns where the weights end.

    Args:
        lanes: what to compile for.
        w: flat tiles of this and other matrices.
        at: the first element of this one's.
        rows: inputs, or pairs of them.
        outputs: a multiple of `width`.
        streams: how many there are.
        x: `Rows` of inputs.
        first: float32 `Rows`, what is added to; a step of 0 for a bias.
        out: float32 `Rows`.
        scales: of the outputs of int8 weights.
        s_at: where those of this matrix begin.
        x_scales: of the streams' int16 inputs.
        xs_at: where they begin.
    """
    v, width = 0, width_of(lanes)
    while v < outputs:
        left = outputs - v
        f, o = (
            Rows(first.array, first.at + v, first.step),
            Rows(out.array, out.at + v, out.step),
        )
        s = s_at + v
        if left >= 8 * width:
            at = eight(lanes, w, at, rows, streams, x, f, o, scales, s, x_scales, xs_at)
            v += 8 * width
        elif left >= 4 * width:
            at = four(lanes, w, at, rows, streams, x, f, o, scales, s, x_scales, xs_at)
            v += 4 * width
        elif left >= 2 * width:
            at = two(lanes, w, at, rows, streams, x, f, o, scales, s, x_scales, xs_at)
            v += 2 * width
        else:
            at = one(lanes, w, at, rows, streams, x, f, o, scales, s, x_scales, xs_at)
            v += width
    return at


@inlined
def linear(
    lanes, shape, w, at, inputs, outputs, streams, x, first, out, scales, s_at, xs, xs_at
):  # fmt: skip
    """Computes a product in chunks of inputs; returns (where weights, where scales go on)."""
    start = 0
    while start < inputs:
        count = smaller(shape.chunk, inputs - start)
        rows = count >> (shape.pair - 1)
        part = Rows(x.array, x.at + start, x.step)
        before = first if start == 0 else out
        at = product(
            lanes, w, at, rows, outputs, streams, part, before, out,
            scales, s_at, xs, xs_at,
        )  # fmt: skip
        s_at += outputs
        start += count
    return at, s_at


@apart
def seldom(
    lanes, shape, w, at, inputs, outputs, streams, x, first, out, scales, s_at, xs, xs_at
):  # fmt: skip
    """Is `linear`, called and not compiled into its callers: for what is done once a frame."""
    return linear(
        lanes, shape, w, at, inputs, outputs, streams, x, first, out, scales, s_at, xs, xs_at
    )  # fmt: skip
