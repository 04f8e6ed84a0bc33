"""A softmax over levels, on top of the predictor's logistic density: its logits, draw, likelihood.

The draw inverts the distribution's CDF at a given uniform, so that chance is an argument.
"""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

import math

import numpy as np

from wavegen.engines.numba_cpu.compiling import apart, inlined
from wavegen.engines.numba_cpu.elementary import exp, expm1, log
from wavegen.engines.numba_cpu.vector import (
    above,
    float_of_bits,
    greater,
    largest,
    load,
    smaller,
    splat,
    store,
    total,
    width_of,
)

FLOOR = -17.0  # nats, the least that the predictor gives a level
LEAST = 1e-37  # of the shares that count: those clipped to e^-87 are less, and never drawn


@inlined
def add_predictor(lanes, shape, weights, scratch, s, mean, scale):
    """Adds the log-probabilities of a logistic density to a row of logits.

    With E = exp(-(edge - mean) / scale), F(b) - F(a) = E_a (1 - E_b / E_a) / ((1 + E_a) (1 + E_b)).
    """
    width, bins = width_of(lanes), shape.bins
    at = s * shape.outputs
    mean += scale * scratch.out[at + bins]
    wider = smaller(greater(scratch.out[at + bins + 1], np.float32(-4.0)), np.float32(4.0))
    scale *= np.float32(math.exp(wider))
    most, one = splat(lanes, 40.0), splat(lanes, 1.0)
    middle, narrow = splat(lanes, mean), splat(lanes, np.float32(-1.0) / scale)
    row, clipped = scratch.row, splat(lanes, -40.0)
    store(row, 0, exp(lanes, most))  # the edge below the first level
    for v in range(0, bins, width):
        z = (load(lanes, weights.edges, v) - middle) * narrow
        store(row, width + v, exp(lanes, greater(smaller(z, most), clipped)))
    for v in range(0, bins, width):
        high, low = load(lanes, row, width + v), load(lanes, row, width + v - 1)
        inside = expm1(lanes, greater(load(lanes, weights.spans, v) * narrow, clipped))
        share = (splat(lanes, 0.0) - inside) * low / ((one + high) * (one + low))
        nats = greater(log(lanes, greater(share, splat(lanes, 1e-36))), splat(lanes, FLOOR))
        store(scratch.out, at + v, load(lanes, scratch.out, at + v) + nats)


@inlined
def peak(lanes, shape, scratch, at):
    """Returns the greatest logit of a row."""
    top = load(lanes, scratch.out, at)
    for v in range(width_of(lanes), shape.bins, width_of(lanes)):
        top = greater(top, load(lanes, scratch.out, at + v))
    return largest(top)


@inlined
def shares(lanes, shape, scratch, at, top, sharpness):
    """Writes e^((logit - top) * sharpness) of a row of logits into `scratch.row`."""
    highest, factor, least = splat(lanes, top), splat(lanes, sharpness), splat(lanes, -87.0)
    for v in range(0, shape.bins, width_of(lanes)):
        y = (load(lanes, scratch.out, at + v) - highest) * factor
        store(scratch.row, v, exp(lanes, greater(y, least)))


@inlined
def sums(lanes, shape, scratch, floor):
    """Keeps the shares from a floor on; returns their sum and leaves each vector's behind."""
    width, whole, limit = width_of(lanes), np.float32(0.0), splat(lanes, floor)
    parts = shape.bins + width
    for v in range(0, shape.bins, width):
        kept = above(load(lanes, scratch.row, v), limit)
        store(scratch.row, v, kept)
        part = total(kept)
        scratch.row[parts + v // width] = part
        whole += part
    return whole


@apart
def nucleus(lanes, shape, scratch, top_p):
    """Returns the least share that stays: the levels above it hold less than `top_p` of all."""
    enough = top_p * mass(lanes, shape, scratch, np.float32(0.0))
    low, high = np.int32(0), np.int32(0x3F800000)  # the bits of 0.0 and of 1.0
    while low < high:  # the smallest share with less than enough beyond it
        middle = np.int32((low + high) // 2)
        if mass(lanes, shape, scratch, float_of_bits(np.int32(middle + 1))) < enough:
            high = middle
        else:
            low = np.int32(middle + 1)
    return float_of_bits(low)


@inlined
def mass(lanes, shape, scratch, floor):
    """Returns the sum of the shares from a floor on."""
    whole, limit = splat(lanes, 0.0), splat(lanes, floor)
    for v in range(0, shape.bins, width_of(lanes)):
        whole = whole + above(load(lanes, scratch.row, v), limit)
    return total(whole)


@inlined
def pick(lanes, shape, scratch, s, uniform, temperature, top_p):
    """Returns a level of stream s by inverse CDF; the likeliest at temperature 0."""
    width, levels, at = width_of(lanes), shape.levels, s * shape.outputs
    top = peak(lanes, shape, scratch, at)
    if temperature == 0.0:
        for i in range(levels):
            if scratch.out[at + i] == top:
                return i
    sharpness = np.float32(1.0) / greater(np.float32(temperature), np.float32(1e-6))
    shares(lanes, shape, scratch, at, top, sharpness)
    floor = np.float32(LEAST)
    if top_p < 1.0:
        floor = greater(floor, nucleus(lanes, shape, scratch, top_p))
    threshold = uniform * sums(lanes, shape, scratch, floor)
    parts, so_far = shape.bins + width, np.float32(0.0)
    for v in range(0, shape.bins, width):
        part = scratch.row[parts + v // width]
        if so_far + part > threshold:
            inner, last = so_far, v
            for i in range(v, smaller(v + width, levels)):
                inner += scratch.row[i]
                if scratch.row[i] > np.float32(0.0):
                    last = i
                    if inner > threshold:
                        break
            return last
        so_far += part
    for i in range(levels - 1, -1, -1):  # rounding left the uniform beyond the last sum
        if scratch.row[i] > np.float32(0.0):
            return i
    return levels - 1


@inlined
def likelihood(lanes, shape, scratch, s, level):
    """Returns the log-probability of a level of stream s, nats."""
    at = s * shape.outputs
    top = peak(lanes, shape, scratch, at)
    shares(lanes, shape, scratch, at, top, np.float32(1.0))
    whole = sums(lanes, shape, scratch, np.float32(0.0))
    return scratch.out[at + level] - top - np.float32(math.log(whole))
