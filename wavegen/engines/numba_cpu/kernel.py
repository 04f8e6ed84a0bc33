"""One step of a WaveNet for several streams at once: hear a sample, weigh the next one, draw it.

Dilated convolutions on ring buffers, as in Paine et al. 2016 (arXiv:1611.09482); their past taps
are multiplied while the gates of the block before are still being computed. Gated outputs wait for
one skip product at the end. Compiled once per machine and kept.
"""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

import numpy as np

from wavegen.engines.numba_cpu.compiling import inlined, kept
from wavegen.engines.numba_cpu.elementary import gate
from wavegen.engines.numba_cpu.head import drawn, judged, spelled, summed_up, weighed
from wavegen.engines.numba_cpu.hearing import enter
from wavegen.engines.numba_cpu.pointers import pointer, pointers
from wavegen.engines.numba_cpu.product import Rows, linear
from wavegen.engines.numba_cpu.rounding import encode, encode_gate
from wavegen.engines.numba_cpu.sessions import DRAW, LISTEN
from wavegen.engines.numba_cpu.shapes import FILTER, WHITENING
from wavegen.engines.numba_cpu.vector import load, splat, store, width_of


@inlined
def past_taps(lanes, shape, weights, state, scratch, streams, layer, base, place, at, b_at, s_at):
    """Starts a block's convolution: bias and all taps but the newest."""
    hop = weights.dilations[layer]
    length = (shape.taps - 1) * hop
    residual, outputs = shape.residual, 2 * shape.gate
    first, out = Rows(weights.bias, b_at, 0), Rows(scratch.z, 0, outputs)
    for tap in range(shape.taps - 1):
        slot = place + tap * hop
        if slot >= length:
            slot -= length
        row = (base + slot) * streams
        x = Rows(state.ring, row * residual, residual)
        at, s_at = linear(
            lanes, shape, weights.matrix, at, residual, outputs, streams, x, first, out,
            weights.scales, s_at, state.ring_scales, row,
        )  # fmt: skip
        first = out
    return at, b_at + outputs, s_at


@inlined
def condition(lanes, shape, scratch, streams, knots, t, layer):
    """Adds to a block's convolution what is given to it, which lies between two knots."""
    outputs, row = 2 * shape.gate, shape.layers * 2 * shape.gate
    count = knots.size // (streams * row)
    share = splat(lanes, np.float32(t % shape.every) / np.float32(shape.every))
    for s in range(streams):
        at = (s * count + t // shape.every) * row + layer * outputs
        for v in range(0, outputs, width_of(lanes)):
            here, following = load(lanes, knots, at + v), load(lanes, knots, at + row + v)
            z = load(lanes, scratch.z, s * outputs + v)
            store(scratch.z, s * outputs + v, z + (here + share * (following - here)))


@inlined
def blocks(lanes, shape, weights, state, scratch, streams, knots, t):
    """Runs all gated blocks; returns where weights, biases and scales go on."""
    width, residual, gates = width_of(lanes), shape.residual, shape.gate
    layers, outputs = shape.layers, 2 * shape.gate
    z, h = Rows(scratch.z, 0, outputs), Rows(scratch.h, 0, residual)
    none = np.int64(0)  # plain 0 would be a type of its own, for which all would be compiled again
    base, place = none, state.places[0]
    at, b_at, s_at = past_taps(
        lanes, shape, weights, state, scratch, streams, none, base, place, none, none, none
    )
    for layer in range(layers):
        length = (shape.taps - 1) * weights.dilations[layer]
        row = (base + place) * streams
        for s in range(streams):
            encode(
                lanes, scratch.h, s * residual, residual,
                state.ring, (row + s) * residual, state.ring_scales, row + s,
            )  # fmt: skip
        x = Rows(state.ring, row * residual, residual)
        at, s_at = linear(
            lanes, shape, weights.matrix, at, residual, outputs, streams, x, z, z,
            weights.scales, s_at, state.ring_scales, row,
        )  # fmt: skip
        if shape.every:
            condition(lanes, shape, scratch, streams, knots, t, layer)
        state.places[layer] = place + 1 if place + 1 < length else 0
        base += length
        for s in range(streams):
            to = (s * layers + layer) * gates
            for v in range(0, gates, width):
                a = load(lanes, scratch.z, s * outputs + v)
                b = load(lanes, scratch.z, s * outputs + gates + v)
                encode_gate(scratch.gates, to + v, gate(lanes, a, b))
        if layer + 1 < layers:
            place = state.places[layer + 1]
            at, b_at, s_at = past_taps(
                lanes, shape, weights, state, scratch, streams, layer + 1, base, place,
                at, b_at, s_at,
            )  # fmt: skip
            for s in range(streams):
                for v in range(0, residual, width):
                    y = load(lanes, scratch.h, s * residual + v)
                    y = y + load(lanes, weights.bias, b_at + v)
                    store(scratch.h, s * residual + v, y)
            b_at += residual
            x = Rows(scratch.gates, layer * gates, layers * gates)
            at, s_at = linear(
                lanes, shape, weights.matrix, at, gates, residual, streams, x, h, h,
                weights.scales, s_at, scratch.gate_scales, none,
            )  # fmt: skip
    return at, b_at, s_at


@kept
def run(
    lanes, shape, weights, state, scratch, tokens, knots, filters, lead, noise, controls, mode,
    nats, spellings
):  # fmt: skip
    """Hears `tokens[:, t]` for every t and, but for LISTEN, weighs or draws the one after.

    Args:
        lanes: `Lanes` to compile for.
        shape: `Shape`.
        weights: `Weights`.
        state: `State` of all streams; changed.
        scratch: `Scratch`.
        tokens: int32 (streams, time + 1, channels); DRAW fills in all but the first of time.
        knots: float32, what is given to the gates, [stream][knot][layer][2 * gate]; or of no size.
        filters: float32, given [stream][part of a hop][channel][FILTER], coefficients, oldest
            sample first, size of what they leave, innovation; or of no size.
        lead: float32, what leads, [stream][hop][channel][lags + every]: taps of the predictor that
            follows, oldest sample first, and the excitation of each sample; or of no size.
        noise: float32 (streams, time, channels) uniforms, for DRAW.
        controls: float32 (streams, 2), temperature and top-p.
        mode: LISTEN, DRAW or JUDGE.
        nats: float32 (streams, time, channels), log-probabilities of the tokens, for JUDGE.
        spellings: float32 (streams, time, channels, parameters), distributions, for JUDGE; or of
            no size.
    """
    streams, length, _ = tokens.shape
    time = length - 1
    spell = spellings.size > 0
    parts = filters.size // (streams * shape.channels * FILTER)
    given, led = pointer(filters), lead.size > 0
    leading = pointer(lead)
    weights, state, scratch = pointers(weights), pointers(state), pointers(scratch)
    for t in range(time):
        for s in range(streams):
            enter(lanes, shape, weights, state, scratch, s, t, tokens, given, parts, leading, led)
        if shape.order:
            place = state.places[shape.layers] + 1
            state.places[shape.layers] = place if place < WHITENING else 0
        at, b_at, s_at = blocks(lanes, shape, weights, state, scratch, streams, knots, t)
        if mode == LISTEN:
            continue
        at, b_at, s_at = summed_up(lanes, shape, weights, scratch, streams, at, b_at, s_at)
        for c in range(shape.channels):
            at, b_at, s_at = weighed(
                lanes, shape, weights, scratch, streams, c, t, tokens, at, b_at, s_at
            )
            for s in range(streams):
                if mode == DRAW:
                    uniform, temperature, top_p = noise[s, t, c], controls[s, 0], controls[s, 1]
                    level = drawn(lanes, shape, scratch, s, uniform, temperature, top_p)
                    tokens[s, t + 1, c] = level
                    continue
                nats[s, t, c] = judged(lanes, shape, scratch, s, tokens[s, t + 1, c])
                if spell:
                    left, out = tokens[s, t + 1, 0], spellings[s, t, c]
                    spelled(shape, weights, scratch, s, c, left, out)
