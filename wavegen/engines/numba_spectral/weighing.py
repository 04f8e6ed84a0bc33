"""Weighing what happens next: the LSTM over the codes heard, and the code that is drawn.

What `Composer` says in Keras.
"""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

import math

import numpy as np

from wavegen.engines.numba_cpu.compiling import apart, inlined
from wavegen.engines.numba_cpu.elementary import exp, gate, sigmoid
from wavegen.engines.numba_cpu.product import Rows, linear
from wavegen.engines.numba_cpu.rounding import encode
from wavegen.engines.numba_cpu.vector import fma, greater, load, splat, store, width_of


@apart
def through(lanes, shape, weights, scratch, streams, x, inputs, outputs, first, out, at, s_at):
    """Computes out = first + x @ matrix for all streams; returns where matrix and scales go on."""
    for s in range(streams):
        encode(
            lanes, x.array, x.at + s * x.step, inputs,
            scratch.codes, s * inputs, scratch.code_scales, s,
        )  # fmt: skip
    rows = Rows(scratch.codes, 0, inputs)
    return linear(
        lanes, shape, weights.matrix, at, inputs, outputs, streams, rows, first, out,
        weights.scales, s_at, scratch.code_scales, np.int64(0),
    )  # fmt: skip


@inlined
def remember(lanes, shape, weights, state, scratch, streams, labels, t):
    """Runs the LSTM on the codes heard; returns where matrix, scales and biases go on."""
    units, layers = shape.units, shape.layers
    at, s_at, b_at, step = np.int64(0), np.int64(0), 0, layers * 2 * units
    out = Rows(scratch.gates, 0, 4 * units)
    for layer in range(layers):
        if layer == 0:
            for s in range(streams):
                row = labels[s, t] * 4 * units
                for k in range(4 * units):
                    scratch.gates[s * 4 * units + k] = weights.entry[row + k]
        else:
            x = Rows(state.memory, (layer - 1) * 2 * units, step)
            first = Rows(weights.bias, b_at, 0)
            at, s_at = through(
                lanes, shape, weights, scratch, streams, x, units, 4 * units, first, out, at, s_at
            )
            b_at += 4 * units
        x = Rows(state.memory, layer * 2 * units, step)
        at, s_at = through(
            lanes, shape, weights, scratch, streams, x, units, 4 * units, out, out, at, s_at
        )
        for s in range(streams):
            z, h = s * 4 * units, s * step + layer * 2 * units
            for v in range(0, units, width_of(lanes)):
                i, f = load(lanes, scratch.gates, z + v), load(lanes, scratch.gates, z + units + v)
                g = load(lanes, scratch.gates, z + 2 * units + v)
                o = load(lanes, scratch.gates, z + 3 * units + v)
                c = fma(
                    sigmoid(lanes, f), load(lanes, state.memory, h + units + v), gate(lanes, g, i)
                )
                store(state.memory, h + units + v, c)
                store(state.memory, h + v, gate(lanes, c, o))
    return at, s_at, b_at


@inlined
def weigh(lanes, shape, weights, state, scratch, streams, at, s_at, b_at):
    """Writes the logits of the next codes; returns where matrix, scales and biases go on."""
    units, choices = shape.units, shape.choices
    step = shape.layers * 2 * units
    at, s_at = through(
        lanes, shape, weights, scratch, streams, Rows(state.memory, step - 2 * units, step),
        units, choices, Rows(weights.bias, b_at, 0), Rows(scratch.scores, 0, choices), at, s_at,
    )  # fmt: skip
    return at, s_at, b_at + choices


@inlined
def pick(lanes, shape, scratch, s, uniform, temperature, top_p):
    """Returns the code that a uniform draws from the logits."""
    at, best = s * shape.choices, 0
    for k in range(1, shape.codes):
        if scratch.scores[at + k] > scratch.scores[at + best]:
            best = k
    if temperature <= 0:
        return best
    top, sharp = scratch.scores[at + best], np.float32(1) / greater(temperature, np.float32(1e-6))
    for v in range(0, shape.choices, width_of(lanes)):
        less = (load(lanes, scratch.scores, at + v) - splat(lanes, top)) * splat(lanes, sharp)
        store(scratch.scores, at + v, exp(lanes, greater(less, splat(lanes, -87.0))))
    mass = np.float32(0)
    for k in range(shape.codes):
        mass += scratch.scores[at + k]
    if top_p < 1:
        floor, before = np.float32(2), np.float32(0)
        while before < top_p * mass:  # from the likeliest down, all equals at once
            below = np.float32(-1)
            for k in range(shape.codes):
                share = scratch.scores[at + k]
                if below < share < floor:
                    below = share
            if below < 0:
                break
            floor = below
            for k in range(shape.codes):
                if scratch.scores[at + k] == floor:
                    before += floor
        mass = np.float32(0)
        for k in range(shape.codes):
            if scratch.scores[at + k] < floor:
                scratch.scores[at + k] = np.float32(0)
            mass += scratch.scores[at + k]
    aim, sum_, drawn = uniform * mass, np.float32(0), best
    for k in range(shape.codes):
        sum_ += scratch.scores[at + k]
        if scratch.scores[at + k] > 0:
            drawn = k
            if sum_ > aim:
                break
    return drawn


@inlined
def likelihood(shape, scratch, s, code):
    """Returns the log-probability of a code, nats."""
    at, top, mass = s * shape.choices, np.float32(-1e30), 0.0
    for k in range(shape.codes):
        top = greater(top, scratch.scores[at + k])
    for k in range(shape.codes):
        mass += math.exp(scratch.scores[at + k] - top)
    return scratch.scores[at + code] - top - math.log(mass)
