"""From the gates of all blocks to the next sample's distribution, and on to the sample."""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

import math

import numpy as np

from wavegen.engines.numba_cpu.compiling import inlined
from wavegen.engines.numba_cpu.hearing import amplitude, given
from wavegen.engines.numba_cpu.mixture import components, describe, invert, nats_of
from wavegen.engines.numba_cpu.product import Rows, seldom
from wavegen.engines.numba_cpu.rounding import encode
from wavegen.engines.numba_cpu.shapes import EXPECTED
from wavegen.engines.numba_cpu.softmax import add_predictor, likelihood, pick
from wavegen.engines.numba_cpu.vector import fma, greater, load, splat, store, width_of


@inlined
def rectify(lanes, array, at, count):
    """Replaces what is negative by zero."""
    zero = splat(lanes, 0.0)
    for v in range(at, at + count, width_of(lanes)):
        store(array, v, greater(load(lanes, array, v), zero))


@inlined
def summed_up(lanes, shape, weights, scratch, streams, at, b_at, s_at):
    """Computes the skip sum and the layer after it."""
    skip, post, channels = shape.skip, shape.post, shape.channels
    x = Rows(scratch.gates, 0, shape.layers * shape.gate)
    first, out = Rows(weights.bias, b_at, 0), Rows(scratch.wide, 0, skip)
    at, s_at = seldom(
        lanes, shape, weights.matrix, at, shape.layers * shape.gate, skip, streams, x, first, out,
        weights.scales, s_at, scratch.gate_scales, np.int64(0),
    )  # fmt: skip
    b_at += skip
    for s in range(streams):
        rectify(lanes, scratch.wide, s * skip, skip)
        encode(
            lanes, scratch.wide, s * skip, skip,
            scratch.wide_codes, s * skip, scratch.scales, s,
        )  # fmt: skip
    x, first = Rows(scratch.wide_codes, 0, skip), Rows(weights.bias, b_at, 0)
    out = Rows(scratch.hidden, 0, channels * post)
    at, s_at = seldom(
        lanes, shape, weights.matrix, at, skip, channels * post, streams, x, first, out,
        weights.scales, s_at, scratch.scales, np.int64(0),
    )  # fmt: skip
    return at, b_at + channels * post, s_at


@inlined
def weighed(lanes, shape, weights, scratch, streams, c, t, tokens, at, b_at, s_at):
    """Computes the distribution of one channel; the right one's given the left sample."""
    post, outputs = shape.post, shape.outputs
    for s in range(streams):
        own = (s * shape.channels + c) * post
        if c:
            add_left(lanes, shape, weights, scratch, s, own, tokens[s, t + 1, 0])
        rectify(lanes, scratch.hidden, own, post)
        encode(
            lanes, scratch.hidden, own, post,
            scratch.hidden_codes, s * post, scratch.scales, s,
        )  # fmt: skip
    x, first = Rows(scratch.hidden_codes, 0, post), Rows(weights.bias, b_at, 0)
    out = Rows(scratch.out, 0, outputs)
    at, s_at = seldom(
        lanes, shape, weights.matrix, at, post, outputs, streams, x, first, out,
        weights.scales, s_at, scratch.scales, np.int64(0),
    )  # fmt: skip
    for s in range(streams):
        mean, scale = given(shape, weights, scratch, s, c, tokens[s, t + 1, 0])
        if shape.mixtures:
            components(lanes, shape, scratch, s, mean, scale)
        elif shape.order:
            add_predictor(lanes, shape, weights, scratch, s, mean, scale)
    return at, b_at + outputs, s_at


@inlined
def add_left(lanes, shape, weights, scratch, s, own, left):
    """Adds to the right channel's hidden layer what the left sample says."""
    width, post = width_of(lanes), shape.post
    if shape.levels:
        for v in range(0, post, width):
            y = load(lanes, scratch.hidden, own + v) + load(lanes, weights.given, left * post + v)
            store(scratch.hidden, own + v, y)
        return
    at = EXPECTED * s * shape.channels
    surprise = amplitude(shape, weights, left) - scratch.expected[at]
    a = splat(lanes, np.float32(math.asinh(surprise / scratch.expected[at + 1]) / 2.0))
    b = splat(lanes, np.float32(math.asinh(surprise / scratch.expected[at + EXPECTED + 1]) / 2.0))
    for v in range(0, post, width):
        y = load(lanes, scratch.hidden, own + v) + load(lanes, weights.given, 2 * post + v)
        y = fma(a, load(lanes, weights.given, v), y)
        y = fma(b, load(lanes, weights.given, post + v), y)
        store(scratch.hidden, own + v, y)


@inlined
def drawn(lanes, shape, scratch, s, uniform, temperature, top_p):
    """Returns the level of stream s that a uniform stands for."""
    if shape.mixtures:
        return invert(lanes, shape, scratch, s, uniform, temperature, top_p)
    return pick(lanes, shape, scratch, s, uniform, temperature, top_p)


@inlined
def judged(lanes, shape, scratch, s, level):
    """Returns the log-probability of a level of stream s, nats."""
    if shape.mixtures:
        return nats_of(shape, scratch, s, level)
    return likelihood(lanes, shape, scratch, s, level)


@inlined
def spelled(shape, weights, scratch, s, c, left, out):
    """Writes the distribution of stream s: logits, or what a mixture is made of."""
    if shape.mixtures:
        mean, scale = given(shape, weights, scratch, s, c, left)
        describe(shape, scratch, s, mean, scale, out)
        return
    for i in range(shape.levels):
        out[i] = scratch.out[s * shape.outputs + i]
