"""Rendering the frame of a code: mean and scale of every coefficient, and a draw around them.

What `Renderer` says in Keras.
"""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

import math

import numpy as np

from wavegen.engines.numba_cpu.compiling import apart, inlined
from wavegen.engines.numba_cpu.elementary import exp, log, sigmoid
from wavegen.engines.numba_cpu.product import Rows
from wavegen.engines.numba_cpu.vector import (
    fma,
    greater,
    load,
    smaller,
    splat,
    sqrt,
    store,
    width_of,
)
from wavegen.engines.numba_spectral.hearing import LOG10, by_coefficient, powers, relative
from wavegen.engines.numba_spectral.weighing import through

LOUDEST, FURTHEST, QUANTUM, DEGREES = 2.0, 5.0, 2**-15 / 12**0.5, 8.0  # as the model has them
LEAST = 1e-7  # what is drawn from 0
VARIANCE = 2 * DEGREES / (DEGREES - 2)


@inlined
def gelu(lanes, array, at, count):
    """Applies the Gaussian error linear unit in place (arXiv:1606.08415).

    The error function as in Abramowitz and Stegun 1964, 7.1.26, absolute error 1.5e-7.
    """
    one = splat(lanes, 1.0)
    for v in range(at, at + count, width_of(lanes)):
        x = load(lanes, array, v)
        away = greater(x, x * splat(lanes, -1.0))
        size = away * splat(lanes, 0.70710678)
        t = one / fma(size, splat(lanes, 0.3275911), one)
        p = fma(t, splat(lanes, 1.061405429), splat(lanes, -1.453152027))
        p = fma(t, p, splat(lanes, 1.421413741))
        p = fma(t, p, splat(lanes, -0.284496736))
        p = fma(t, p, splat(lanes, 0.254829592)) * t
        size = smaller(size, splat(lanes, 9.0))
        rest = p * exp(lanes, size * size * splat(lanes, -1.0))  # 1 - erf of the size
        # x for the positive ones, nothing for the others, and what the tail of it takes away.
        positive = greater(x, splat(lanes, 0.0))
        store(array, v, positive - away * splat(lanes, 0.5) * rest)


@inlined
def mix(lanes, x):
    """Returns how far from its own past towards the template a value goes, -0.5 .. 1."""
    return fma(sigmoid(lanes, x), splat(lanes, 1.5), splat(lanes, -0.5))


@apart
def expect(lanes, shape, weights, scratch, streams, labels, told, counts, t, at, s_at, b_at):
    """Writes mean and scale of the frames after t, given the codes that `labels` say.

    Of the bands then is known, if it counts, what is recalled of them.
    """
    bins, bands, hidden, width = shape.bins, shape.bands, shape.hidden, width_of(lanes)
    for s in range(streams):
        to, from_ = s * 3 * bands, (s * counts.shape[1] + t) * bands
        much = splat(lanes, counts[s, t])
        for v in range(0, bands, width):
            level = log(lanes, load(lanes, scratch.level, s * bands + v))
            missed = fma(level, splat(lanes, -2 * LOG10), load(lanes, told, from_ + v))
            store(scratch.heard, to + v, missed * much)
        relative(lanes, shape, scratch, s, scratch.power, scratch.heard, to + bands)
        relative(lanes, shape, scratch, s, scratch.past, scratch.heard, to + 2 * bands)
        a, b = labels[s, t + 1] * hidden, labels[s, t] * hidden
        for k in range(hidden):
            scratch.one[s * hidden + k] = weights.next_code[a + k] + weights.last_code[b + k]
    one, two = Rows(scratch.one, 0, hidden), Rows(scratch.two, 0, hidden)
    at, s_at = through(
        lanes, shape, weights, scratch, streams, Rows(scratch.heard, 0, 3 * bands),
        3 * bands, hidden, one, one, at, s_at,
    )  # fmt: skip
    gelu(lanes, scratch.one, 0, streams * hidden)
    at, s_at = through(
        lanes, shape, weights, scratch, streams, one, hidden, hidden,
        Rows(weights.bias, b_at, 0), two, at, s_at,
    )  # fmt: skip
    b_at += hidden
    gelu(lanes, scratch.two, 0, streams * hidden)
    at, s_at = through(
        lanes, shape, weights, scratch, streams, two, hidden, bins,
        Rows(weights.bias, b_at, 0), Rows(scratch.width, 0, bins), at, s_at,
    )  # fmt: skip
    b_at += bins
    at, s_at = through(
        lanes, shape, weights, scratch, streams, two, hidden, 5 * bands,
        Rows(weights.bias, b_at, 0), Rows(scratch.tone, 0, 5 * bands), at, s_at,
    )  # fmt: skip
    one_, half, room = splat(lanes, 1.0), splat(lanes, 0.5), bins + width
    for s in range(streams):
        row, to, beyond = labels[s, t + 1] * bins, s * 2 * bins, s * 5 * bands + 3 * bands
        for v in range(0, bands, width):  # what was a logarithm becomes the power to expect
            kind = load(lanes, weights.kinds, labels[s, t + 1] * bands + v)
            missed = load(lanes, scratch.heard, s * 3 * bands + v) * splat(lanes, math.log(10))
            kind = kind + missed
            store(scratch.relative, s * bands + v, missed * half)
            over = greater(load(lanes, scratch.tone, beyond + v), splat(lanes, -4.0))
            level = load(lanes, scratch.level, s * bands + v)
            power = exp(lanes, kind + smaller(over, splat(lanes, 4.0))) * level * level
            store(scratch.tone, beyond + v, power)
            unsure = load(lanes, scratch.tone, beyond + bands + v) - one_
            unsure = exp(lanes, smaller(greater(unsure, splat(lanes, -4.0)), one_))
            store(scratch.tone, beyond + bands + v, unsure)
        by_coefficient(lanes, shape, weights, scratch.relative, s * bands, scratch.spare, 3 * room)
        for part in range(3):  # what draws its mean to the template, how much louder, and its scale
            by_coefficient(
                lanes, shape, weights, scratch.tone, s * 5 * bands + part * bands,
                scratch.spare, part * room,
            )  # fmt: skip
        for v in range(0, bins, width):
            base = load(lanes, weights.template, row + v)
            base = base + load(lanes, scratch.spare, 3 * room + v)
            share = mix(lanes, load(lanes, scratch.spare, v) - half)
            gain = load(lanes, scratch.spare, room + v) - one_
            gain = smaller(greater(gain, splat(lanes, -6.0)), one_)
            re, im = load(lanes, scratch.turned, to + v), load(lanes, scratch.turned, to + bins + v)
            least = exp(lanes, base + base) * splat(lanes, 1e-4)
            power = least + fma(re, re, im * im)
            size = half * log(lanes, power)
            goal = fma(share, base - size, size) + gain
            goal = smaller(goal, base + splat(lanes, LOUDEST))
            unit = load(lanes, scratch.unit, s * bins + v)
            factor = exp(lanes, goal - size) * unit
            store(scratch.mean, to + v, re * factor)
            store(scratch.mean, to + bins + v, im * factor)
            wide = load(lanes, scratch.width, s * bins + v) - half
            wide = smaller(greater(wide, splat(lanes, -12.0)), splat(lanes, 1.5))
            own = half * log(lanes, load(lanes, scratch.around, s * bins + v) + least)
            share = mix(lanes, load(lanes, scratch.spare, 2 * room + v))
            scale = smaller(fma(share, base - own, own), base + splat(lanes, LOUDEST)) + wide
            spread = fma(exp(lanes, scale), unit, splat(lanes, QUANTUM))
            store(scratch.spread, s * bins + v, spread)


@inlined
def waver(lanes, shape, scratch, s, noisiness, noise, far, frames, to):
    """Writes a frame drawn around its mean; see `Renderer.draw`."""
    bins = shape.bins
    one, none = splat(lanes, 1.0), splat(lanes, 0.0)
    steady = splat(lanes, np.float32(1) - noisiness * noisiness)
    much = splat(lanes, smaller(np.float32(2) * noisiness, np.float32(1)))
    for v in range(0, bins, width_of(lanes)):
        spread = load(lanes, scratch.spread, s * bins + v)
        re = load(lanes, scratch.mean, s * 2 * bins + v)
        im = load(lanes, scratch.mean, s * 2 * bins + bins + v)
        tone, chance = fma(re, re, im * im), spread * spread * splat(lanes, VARIANCE)
        less = steady / (tone + chance)
        louder = sqrt(greater(fma(less, chance, one), none))
        spread = spread * sqrt(greater(one - less * tone, none)) * much
        a, b = load(lanes, noise, far + v), load(lanes, noise, far + bins + v)
        half = greater(fma(a, a, b * b) * splat(lanes, 0.5), splat(lanes, 1e-6))
        further = (exp(lanes, half * splat(lanes, 2 / DEGREES)) - one) * splat(lanes, DEGREES / 2)
        spread = spread * sqrt(further / half)  # normals to those of a Student-t
        store(frames, to + v, fma(louder, re, spread * a))
        store(frames, to + bins + v, fma(louder, im, spread * b))
    for c in range(shape.channels):
        frames[to + bins + c * shape.half] = np.float32(0)  # the highest frequency


@inlined
def bring(lanes, shape, weights, scratch, s, noisiness, swings, away, frames, to):
    """Brings the bands of a drawn frame to the power to expect; see `Renderer.brought`."""
    bins, bands, at = shape.bins, shape.bands, s * shape.bands
    beyond = s * 5 * bands + 3 * bands
    powers(lanes, shape, weights, scratch, frames, to, scratch.relative, at)
    least, most = splat(lanes, QUANTUM * QUANTUM), splat(lanes, FURTHEST)
    nearer = greater(np.float32(1) - noisiness * noisiness, np.float32(0))
    share = splat(lanes, np.float32(0.5) * nearer)
    much = splat(lanes, smaller(np.float32(2) * noisiness, np.float32(1)))
    for v in range(0, bands, width_of(lanes)):
        power = load(lanes, scratch.relative, at + v) + least
        apart = log(lanes, (load(lanes, scratch.tone, beyond + v) + least) / power)
        swing = load(lanes, swings, away + v) * load(lanes, scratch.tone, beyond + bands + v)
        apart = fma(swing, much, apart)
        apart = smaller(greater(apart, splat(lanes, -FURTHEST)), most)
        store(scratch.relative, at + v, share * apart)
    by_coefficient(lanes, shape, weights, scratch.relative, at, scratch.spare, 0)
    for v in range(0, bins, width_of(lanes)):
        gain = exp(lanes, load(lanes, scratch.spare, v))
        store(frames, to + v, load(lanes, frames, to + v) * gain)
        store(frames, to + bins + v, load(lanes, frames, to + bins + v) * gain)


@inlined
def judged(shape, scratch, s, frame, at):
    """Returns the log-density of a frame under mean and scale, nats of all coefficients."""
    sum_, to = 0.0, s * 2 * shape.bins
    for k in range(shape.channels * shape.half):
        spread = scratch.spread[s * shape.bins + k]
        re = (frame[at + k] - scratch.mean[to + k]) / spread
        im = (frame[at + shape.bins + k] - scratch.mean[to + shape.bins + k]) / spread
        tail = (DEGREES / 2 + 1) * math.log1p((re * re + im * im) / DEGREES)
        sum_ -= math.log(2 * math.pi) + 2 * math.log(spread) + tail
    return sum_
