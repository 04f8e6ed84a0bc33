"""What the network hears of a frame: its samples, and what the linear predictor made of them.

A fixed filter whitens the sound, another one follows what is left (`following`). The error is taken
to be logistic, its scale proportional to a running mean of recent errors; the right channel's is
what the left one's error does not tell of it (left and right are first and second channel, whatever
these are). Where something is given (`knots`), it gives the first filter and the size of what that
leaves.
"""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

import math

import numpy as np

from wavegen.engines.numba_cpu.compiling import inlined
from wavegen.engines.numba_cpu.fading import HUSH
from wavegen.engines.numba_cpu.following import followed, hear
from wavegen.engines.numba_cpu.shapes import EXPECTED, FILTER, MOMENT, PARTS, WHITENING
from wavegen.engines.numba_cpu.vector import (
    fma,
    greater,
    load,
    load_wide,
    smaller,
    splat,
    splat_wide,
    store,
    total,
    width_of,
)

SOFTEST = np.float32(1e-5)  # scale that is heard as -1, where something is given
POWER_POLE = 0.995  # of the power of what a given filter leaves, and of the channels' coupling
UNSURE = np.float32(0.01)  # of the right channel's mean square error, added to the left's
APART = 0.01  # least share of the right channel's error that is taken not to come from the left
MOST, LEAST = np.float32(1.1), np.float32(0.4)  # of it; more is damped, less filled
WILD = np.float32(100.0)  # of it; more is no music, and comes to rest where nothing is expected
SMALLEST = np.float32(1e-3)  # scale, in sizes, that is heard as -1
NOISE = np.float32(0.3)  # squared scale of a logistic distribution of variance 1
COMPANDED = 1 / math.log(256.0)


@inlined
def amplitude(shape, weights, level):
    """Returns what a level stands for: of 16 bits or finer, or of a table."""
    if shape.mixtures:
        middle, step = 32768 * shape.fine, np.float32(2.0**-15) / np.float32(shape.fine)
        return np.float32(np.int64(level) - middle) * step
    return weights.values[level]


@inlined
def companded(x):
    """Returns an amplitude companded by mu-law, 255."""
    return math.copysign(math.log1p(255.0 * smaller(abs(x), 1.5)) * COMPANDED, x)


@inlined
def enter(lanes, shape, weights, state, scratch, s, t, tokens, filters, parts, lead, led):
    """Writes the input of a stream's first block, and what is expected next."""
    width, residual, channels = width_of(lanes), shape.residual, shape.channels
    for c in range(channels):
        sample = amplitude(shape, weights, tokens[s, t, c])
        own = s * channels + c
        if shape.order:
            at = (s * parts + t * PARTS // greater(shape.every, 1)) * channels + c
            taps, first, excited = state.taps, own * shape.lags, np.float32(0.0)
            if led:
                taps, first = lead, led_at(shape, s, t, c, parts)
                excited = lead[first + shape.lags + t % shape.every]
            expect(
                lanes, shape, weights, state, scratch, s, c, own, sample, filters, at,
                taps, first, excited, led,
            )  # fmt: skip
        else:
            scratch.heard[c] = companded(sample)
            scratch.expected[EXPECTED * own], scratch.expected[EXPECTED * own + 1] = 0.0, 1.0
    if shape.order:
        phase = state.phases[s] + 1
        state.phases[s] = phase if phase < shape.hop else 0
    for v in range(0, residual, width):
        y = load(lanes, weights.first, v)
        for i in range(shape.inputs):
            heard = splat(lanes, scratch.heard[i])
            y = fma(heard, load(lanes, weights.scalars, i * residual + v), y)
        store(scratch.h, s * residual + v, y)
    if shape.levels:
        for c in range(channels):
            row = (c * shape.levels + tokens[s, t, c]) * residual
            for v in range(0, residual, width):
                y = load(lanes, scratch.h, s * residual + v)
                y = y + load(lanes, weights.embedding, row + v)
                store(scratch.h, s * residual + v, y)


@inlined
def led_at(shape, s, t, c, parts):
    """Returns where what leads a stream's channel at a time begins."""
    hop = s * (parts // PARTS) + t // shape.every
    return (hop * shape.channels + c) * (shape.lags + shape.every)


@inlined
def filtered(lanes, taps, first, state, at):
    """Returns what the first filter predicts after the samples that begin at a place."""
    sums = splat_wide(lanes, 0.0)
    for v in range(0, WHITENING, width_of(lanes)):
        tap = load_wide(lanes, taps, first + v)
        sums = fma(load_wide(lanes, state.past, at + v), tap, sums)
    return total(sums)


@inlined
def expect(
    lanes, shape, weights, state, scratch, s, c, own, sample, filters, at, following, begin,
    excited, led
):  # fmt: skip
    """Writes mean and scale of a channel's next sample, and the features of this one.

    Where filters are given, number `at` is in force; both samples are filtered by it. Taps of the
    predictor that follows begin at a place of `following`; if they are led, excited by something,
    what they expect is not damped.
    """
    place, base, at_moment = state.places[shape.layers], own * 2 * WHITENING, own * MOMENT
    taps, first, size, innovation = weights.whitening, 0, np.float32(1.0), np.float32(1.0)
    if shape.every:
        taps, first = filters, at * FILTER
        size, innovation = filters[first + WHITENING], filters[first + WHITENING + 1]
    rest = np.float32((sample - filtered(lanes, taps, first, state, base + place)) / size)
    state.past[base + place] = state.past[base + place + WHITENING] = sample
    fixed = filtered(lanes, taps, first, state, base + place + 1)
    power, missing = np.float32(0.0), np.float32(0.0)
    if shape.every:
        power = np.float32(POWER_POLE) * state.moment[at_moment + 2]
        power += np.float32(1 - POWER_POLE) * rest * rest
        missing = np.float32(0.0) if led else NOISE * greater(LEAST - power, np.float32(0.0))
    hear(lanes, shape, weights, state, scratch, s, own, rest, led)
    rest = followed(lanes, shape, state, s, own, following, begin) + excited
    if power > MOST and not led:
        rest *= np.float32(math.sqrt(MOST / (power + np.float32(1e-6))))
    mean = np.float32(fixed + size * rest)
    if power > WILD:
        mean = np.float32(0.0)
    surprise, apart = sample - state.moment[at_moment], np.float32(1.0)
    if shape.channels > 1:
        surprise, apart = untold(state, s * shape.channels * MOMENT, at_moment, surprise)
        scratch.expected[EXPECTED * own + 2] = coupling(state, at_moment)
    error = weights.limits[3] * state.moment[at_moment + 1]
    error += weights.limits[4] * abs(surprise)
    state.moment[at_moment], state.moment[at_moment + 1] = mean, error
    state.moment[at_moment + 2] = power
    least = weights.limits[1]
    scale, own_size = weights.limits[0] * error, innovation * apart
    scale = smaller(greater(scale, least * own_size), weights.limits[2] * own_size)
    if shape.every:
        lacking = size * apart
        scale = np.float32(math.sqrt(scale * scale + missing * lacking * lacking))
    scratch.expected[EXPECTED * own], scratch.expected[EXPECTED * own + 1] = mean, scale
    step = shape.channels  # from feature to feature
    scratch.heard[c] = companded(sample)
    scratch.heard[step + c] = companded(mean)
    scratch.heard[2 * step + c] = math.log(scale / (SOFTEST if shape.every else least)) / 4.0 - 1.0
    scratch.heard[3 * step + c] = math.tanh((mean - sample) / (np.float32(8.0) * scale))
    scratch.heard[4 * step + c] = math.asinh(surprise / scale) / 2.0
    if shape.every:
        scratch.heard[5 * step + c] = math.log(scale / (SMALLEST * size)) / 4.0 - 1.0


@inlined
def coupling(state, at):
    """Returns by how much of the left error a right channel's is expected to be off."""
    left = state.moment[at + 5] + UNSURE * state.moment[at + 3] + np.float32(HUSH**2)
    return state.moment[at + 4] / left


@inlined
def untold(state, first, at, surprise):
    """Returns what of a channel's surprise the left one's did not tell, and the share to expect.

    Args:
        state: `State`; how the channels' errors go together is brought up to date.
        first: where the left channel's moment begins.
        at: where this channel's does.
        surprise: of its latest sample.
    """
    state.moment[at + 6] = surprise
    left = state.moment[first + 6]
    rest = surprise
    if at > first:
        rest = surprise - coupling(state, at) * left
    kept, fresh = np.float32(POWER_POLE), np.float32(1 - POWER_POLE)
    state.moment[at + 3] = kept * state.moment[at + 3] + fresh * (surprise * surprise)
    state.moment[at + 4] = kept * state.moment[at + 4] + fresh * (surprise * left)
    state.moment[at + 5] = kept * state.moment[at + 5] + fresh * (left * left)
    if at == first:
        return rest, np.float32(1.0)
    product, both = state.moment[at + 4], state.moment[at + 3] * state.moment[at + 5]
    alike = product * product / (both + np.float32(HUSH**4))
    share = greater(np.float32(1.0) - alike, np.float32(APART**2))
    return rest, np.float32(math.sqrt(share))


@inlined
def given(shape, weights, scratch, s, c, left):
    """Returns mean and scale of a stream's next sample; the right one's given the left one.

    Args:
        shape: `Shape`.
        weights: `Weights`.
        scratch: `Scratch`.
        s: the stream.
        c: 0 (mono or left) or 1 (right).
        left: level of the left sample of the same instant.
    """
    at = EXPECTED * (s * shape.channels + c)
    mean, scale = scratch.expected[at], scratch.expected[at + 1]
    if c:  # what surprised on the left surprises on the right
        surprise = amplitude(shape, weights, left) - scratch.expected[at - EXPECTED]
        mean += scratch.expected[at + 2] * surprise
    return mean, scale
