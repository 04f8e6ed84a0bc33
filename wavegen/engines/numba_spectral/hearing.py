"""Hearing a frame: its bands against the spectrum of late, its code, and how its tones turn.

What `models.spectrum` and `Renderer.turned` say in Keras.
"""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

import math

import numpy as np

from wavegen.engines.numba_cpu.compiling import apart, inlined
from wavegen.engines.numba_cpu.elementary import log, rsqrt
from wavegen.engines.numba_cpu.vector import fma, greater, load, smaller, splat, store, width_of

RANGE, LEAST, NOTHING, FLOOR = 10**-6.5, 1e-9, 1e-6, 1e-5  # as the model has them
STEADY = 0.95
LOG10 = 1 / math.log(10)


@inlined
def powers(shape, weights, frame, at, out, to):
    """Writes the mean power of the coefficients of every band of a frame."""
    for b in range(shape.bands):
        out[to + b] = np.float32(0)
    for k in range(shape.channels * shape.half):
        re, im = frame[at + k], frame[at + shape.bins + k]
        out[to + weights.band[k]] += re * re + im * im
    for b in range(shape.bands):
        out[to + b] *= weights.share[b]


@inlined
def levels(shape, weights, state, scratch, s):
    """Writes the level of late: smoothed, not too far below its strongest band, not too loud."""
    over = np.float32(1) / (state.weight[s] + np.float32(NOTHING))
    at, top = s * shape.bands, np.float32(0)
    for c in range(shape.channels):
        start = at + c * shape.own_bands
        for b in range(shape.own_bands):
            scratch.level[start + b] = np.float32(0)
        for a in range(shape.own_bands):
            mean = (state.late[start + a] + np.float32(LEAST * NOTHING)) * over
            for b in range(shape.own_bands):
                scratch.level[start + b] += mean * weights.smooth[a * shape.own_bands + b]
        for b in range(shape.own_bands):
            top = greater(top, scratch.level[start + b])
    floor = greater(top * np.float32(RANGE), np.float32(LEAST))
    most = np.float32(0.5) * shape.half
    for b in range(shape.channels * shape.own_bands):
        power = smaller(greater(scratch.level[at + b], floor), most)
        scratch.level[at + b] = np.float32(math.sqrt(power))


@inlined
def relative(lanes, shape, scratch, s, power, out, to):
    """Writes log10 of a stream's powers against its level of late."""
    at = s * shape.bands
    for v in range(0, shape.bands, width_of(lanes)):
        level = load(lanes, scratch.level, at + v)
        ratio = load(lanes, power, at + v) / (level * level) + splat(lanes, FLOOR)
        store(out, to + v, log(lanes, ratio) * splat(lanes, LOG10))


@apart
def code_of(lanes, shape, weights, scratch, s, power, at, past, past_at):
    """Returns the code of a frame from its bands and those of the one before."""
    base = s * shape.bands
    for b in range(shape.bands):
        scratch.relative[base + b] = np.float32(0.5) * (power[at + b] + past[past_at + b])
    relative(lanes, shape, scratch, s, scratch.relative, scratch.relative, base)
    row, choices, width = s * shape.choices, shape.choices, width_of(lanes)
    for v in range(0, choices, width):
        store(scratch.scores, row + v, load(lanes, weights.squares, v))
    for b in range(shape.bands):
        x = splat(lanes, scratch.relative[base + b])
        for v in range(0, choices, width):
            score = load(lanes, scratch.scores, row + v)
            score = fma(x, load(lanes, weights.book, b * choices + v), score)
            store(scratch.scores, row + v, score)
    nearest = 0
    for k in range(1, shape.codes):
        if scratch.scores[row + k] < scratch.scores[row + nearest]:
            nearest = k
    return nearest


@inlined
def by_coefficient(shape, weights, bands, at, k):
    """Returns the value of a coefficient between the centres of its bands."""
    low = at + weights.below[k]
    high = low + (1 if shape.own_bands > 1 else 0)
    return bands[low] + weights.between[k] * (bands[high] - bands[low])


@inlined
def turn_on(lanes, shape, state, scratch, s, frame, now):
    """Writes the frame turned on by the angle it turned by of late, in units of the level.

    A channel's last vector may reach beyond it: into the next channel, which comes after, or into
    the padding.
    """
    bins, half, width = shape.bins, shape.half, width_of(lanes)
    last, here, neighbours = s * 2 * bins, s * bins, scratch.neighbours
    row = half + 3 * width
    cosine, sine = splat(lanes, scratch.turning[0]), splat(lanes, scratch.turning[1])
    part, quarter, none = splat(lanes, 0.5), splat(lanes, 0.25), splat(lanes, 0.0)
    for c in range(shape.channels):
        first = c * half
        for v in range(0, half, width):
            i, at = first + v, width + v
            over = splat(lanes, 1.0) / load(lanes, scratch.unit, here + i)
            a, b = load(lanes, frame, now + i) * over, load(lanes, frame, now + bins + i) * over
            p = load(lanes, state.last, last + i) * over
            q = load(lanes, state.last, last + bins + i) * over
            store(neighbours, at, fma(a, p, b * q))
            store(neighbours, row + at, b * p - a * q)
            store(neighbours, 2 * row + at, part * (fma(a, a, b * b) + fma(p, p, q * q)))
            store(scratch.turned, last + i, a)
            store(scratch.turned, last + bins + i, b)
        for at in (0, row, 2 * row):
            store(neighbours, at, none)
            store(neighbours, at + width + half, none)
        for v in range(0, half, width):
            i, at = first + v, width + v
            up_re, down_re = load(lanes, neighbours, at + 1), load(lanes, neighbours, at - 1)
            up_im = load(lanes, neighbours, row + at + 1)
            down_im = load(lanes, neighbours, row + at - 1)
            re = (up_re + down_re) * cosine - (up_im - down_im) * sine
            im = (up_im + down_im) * cosine + (up_re - down_re) * sine
            re = fma(re, part, load(lanes, neighbours, at))
            im = fma(im, part, load(lanes, neighbours, row + at))
            old = load(lanes, state.angle, last + i)
            re = fma(old - re, splat(lanes, STEADY), re)
            store(scratch.angles, last + i, re)
            old = load(lanes, state.angle, last + bins + i)
            im = fma(old - im, splat(lanes, STEADY), im)
            store(scratch.angles, last + bins + i, im)
            over = rsqrt(lanes, fma(re, re, im * im) + splat(lanes, 1e-20))
            re, im = re * over, im * over
            a = load(lanes, scratch.turned, last + i)
            b = load(lanes, scratch.turned, last + bins + i)
            store(scratch.turned, last + i, a * re - b * im)
            store(scratch.turned, last + bins + i, fma(a, im, b * re))
            at += 2 * row
            sides = load(lanes, neighbours, at - 1) + load(lanes, neighbours, at + 1)
            store(scratch.around, here + i, fma(sides, quarter, load(lanes, neighbours, at) * part))


@inlined
def hear(lanes, shape, weights, state, scratch, streams, frames, labels, t, pole):
    """Hears frame t of each stream, `Rows` of parts; `labels` then say what code it has."""
    bins, bands = shape.bins, shape.bands
    for s in range(streams):
        now, base = frames.at + s * frames.step, s * bands
        for b in range(bands):
            scratch.past[base + b] = scratch.power[base + b]
        powers(shape, weights, frames.array, now, scratch.power, base)
        if labels[s, t] < 0:
            labels[s, t] = code_of(
                lanes, shape, weights, scratch, s, scratch.power, base, scratch.past, base
            )
        fresh = np.float32(1) - pole
        for b in range(bands):
            state.late[base + b] = pole * state.late[base + b] + fresh * scratch.power[base + b]
        state.weight[s] = pole * state.weight[s] + fresh
        levels(shape, weights, state, scratch, s)
        for k in range(shape.channels * shape.half):
            scratch.unit[s * bins + k] = by_coefficient(shape, weights, scratch.level, base, k)
        turn_on(lanes, shape, state, scratch, s, frames.array, now)
        for k in range(2 * bins):
            state.last[s * 2 * bins + k] = frames.array[now + k]
            state.angle[s * 2 * bins + k] = scratch.angles[s * 2 * bins + k]
