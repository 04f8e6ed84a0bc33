"""Hearing a frame: its bands against the spectrum of late, its code, and how its tones turn.

What `models.spectrum` and `Renderer.turned` say in Keras.
"""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

import math

import numpy as np

from wavegen.engines.numba_cpu.compiling import apart, inlined
from wavegen.engines.numba_cpu.elementary import log
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
from wavegen.engines.numba_spectral.recalling import keep, sounding

RANGE, LEAST, NOTHING, FLOOR = 10**-6.5, 1e-9, 1e-6, 1e-5  # as the model has them
RISEN, STEADY = 0.3, 0.95
LOG10 = 1 / math.log(10)


@apart
def powers(lanes, shape, weights, scratch, frame, at, out, to):
    """Writes the mean power of the coefficients of every band of a frame."""
    for v in range(0, shape.bins, width_of(lanes)):
        re, im = load(lanes, frame, at + v), load(lanes, frame, at + shape.bins + v)
        store(scratch.spare, v, fma(re, re, im * im))
    for c in range(shape.channels):
        first, start = c * shape.half, to + c * shape.own_bands
        for b in range(shape.own_bands):
            power = np.float32(0)
            for k in range(first + weights.edges[b], first + weights.edges[b + 1]):
                power += scratch.spare[k]
            out[start + b] = power * weights.share[b]
    for b in range(shape.channels * shape.own_bands, shape.bands):
        out[to + b] = np.float32(0)


@inlined
def levels(lanes, shape, weights, state, scratch, s):
    """Writes the level of late: smoothed, not too far below its strongest band, not too loud."""
    over = np.float32(1) / (state.weight[s] + np.float32(NOTHING))
    at, top, room, own = s * shape.bands, np.float32(0), scratch.spare, shape.own_bands
    for b in range(shape.channels * own):
        room[b] = (state.late[at + b] + np.float32(LEAST**0.25 * NOTHING)) * over
    smoothed = shape.bins + width_of(lanes)
    for c in range(shape.channels):
        first = c * own
        for v in range(0, own, width_of(lanes)):  # beyond its end comes the next channel, or room
            loudness = splat(lanes, 0.0)
            for a in range(own):
                mean = splat(lanes, room[first + a])
                loudness = fma(mean, load(lanes, weights.smooth, a * own + v), loudness)
            square = loudness * loudness
            store(room, smoothed + first + v, square * square)
    for b in range(shape.channels * own):
        top = greater(top, room[smoothed + b])
    floor = greater(top * np.float32(RANGE), np.float32(LEAST))
    most = np.float32(0.5) * shape.half
    for b in range(shape.channels * own):
        power = smaller(greater(room[smoothed + b], floor), most)
        scratch.level[at + b] = np.float32(math.sqrt(power))


@inlined
def relative(lanes, shape, scratch, s, power, out, to):
    """Writes log10 of a stream's powers against its level of late."""
    at = s * shape.bands
    for v in range(0, shape.bands, width_of(lanes)):
        level = load(lanes, scratch.level, at + v)
        ratio = load(lanes, power, at + v) / (level * level) + splat(lanes, FLOOR)
        store(out, to + v, log(lanes, ratio) * splat(lanes, LOG10))


@inlined
def blended(lanes, shape, scratch, s, power, at, past, past_at):
    """Writes what a code is of: a frame's bands and those of the one before, against the level."""
    base = s * shape.bands
    for b in range(shape.bands):
        scratch.relative[base + b] = np.float32(0.5) * (power[at + b] + past[past_at + b])
    relative(lanes, shape, scratch, s, scratch.relative, scratch.relative, base)


@inlined
def rise(shape, scratch, s, power, at, past, past_at):
    """Returns what the mean rise of a frame's bands since the one before counts in its code."""
    sum_ = np.float32(0)
    if shape.rise == 0:
        return sum_
    for b in range(shape.channels * shape.own_bands):
        level = scratch.level[s * shape.bands + b]
        over = np.float32(1) / (level * level)
        now = power[at + b] * over + np.float32(FLOOR)
        sum_ += np.float32(math.log(now / (past[past_at + b] * over + np.float32(FLOOR))))
    mean = sum_ * np.float32(LOG10 / (shape.channels * shape.own_bands))
    return np.float32(shape.rise * RISEN * math.tanh(mean / RISEN))


@apart
def code_of(lanes, shape, weights, scratch, s, power, at, past, past_at):
    """Returns the code of a frame from its bands and those of the one before."""
    base = s * shape.bands
    blended(lanes, shape, scratch, s, power, at, past, past_at)
    row, choices, width = s * shape.choices, shape.choices, width_of(lanes)
    risen = splat(lanes, rise(shape, scratch, s, power, at, past, past_at))
    for v in range(0, choices, width):
        score = fma(load(lanes, weights.rises, v), risen, load(lanes, weights.squares, v))
        store(scratch.scores, row + v, score)
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
def by_coefficient(lanes, shape, weights, bands, at, out, to):
    """Writes the values of all coefficients between the centres of their bands.

    A vector may reach beyond its pair of bands: what comes there is written after it, or is room.
    """
    next_ = 1 if shape.own_bands > 1 else 0
    for c in range(shape.channels):
        first, low = to + c * shape.half, at + c * shape.own_bands
        for b in range(shape.own_bands - next_):  # above the last centre the last pair goes on
            value = splat(lanes, bands[low + b])
            more = splat(lanes, bands[low + b + next_]) - value
            for v in range(weights.starts[b], weights.starts[b + 1], width_of(lanes)):
                store(out, first + v, fma(load(lanes, weights.between, v), more, value))


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
            over = splat(lanes, 1.0) / sqrt(fma(re, re, im * im) + splat(lanes, 1e-20))
            re, im = re * over, im * over
            a = load(lanes, scratch.turned, last + i)
            b = load(lanes, scratch.turned, last + bins + i)
            store(scratch.turned, last + i, a * re - b * im)
            store(scratch.turned, last + bins + i, fma(a, im, b * re))
            at += 2 * row
            sides = load(lanes, neighbours, at - 1) + load(lanes, neighbours, at + 1)
            store(scratch.around, here + i, fma(sides, quarter, load(lanes, neighbours, at) * part))


@inlined
def look(lanes, shape, weights, scratch, s, frames, now):
    """Writes the powers of a stream's frame at `now`; those of the one before it become `past`."""
    base = s * shape.bands
    for b in range(base, base + shape.bands):
        scratch.past[b] = scratch.power[b]
    powers(lanes, shape, weights, scratch, frames, now, scratch.power, base)


@inlined
def fade(lanes, shape, weights, state, scratch, s, heard, pole):
    """Takes a frame that was heard, and is no silence, into the spectrum of late; its level."""
    at, width = s * shape.bands, width_of(lanes)
    if heard and sounding(shape, scratch, s):
        old, fresh = splat(lanes, pole), splat(lanes, np.float32(1) - pole)
        for v in range(0, shape.bands, width):
            loudness = sqrt(sqrt(load(lanes, scratch.power, at + v)))
            late = fma(load(lanes, state.late, at + v), old, loudness * fresh)
            store(state.late, at + v, late)
        state.weight[s] = pole * state.weight[s] + (np.float32(1) - pole)
    levels(lanes, shape, weights, state, scratch, s)


@inlined
def hear(lanes, shape, weights, state, scratch, s, frames, now, heard, pole):
    """Hears the frame of a stream that begins at `now`: its bands, and how its tones turn."""
    bins, bands = shape.bins, shape.bands
    look(lanes, shape, weights, scratch, s, frames, now)
    fade(lanes, shape, weights, state, scratch, s, heard, pole)
    by_coefficient(lanes, shape, weights, scratch.level, s * bands, scratch.unit, s * bins)
    turn_on(lanes, shape, state, scratch, s, frames, now)
    for k in range(2 * bins):
        state.last[s * 2 * bins + k] = frames[now + k]
        state.angle[s * 2 * bins + k] = scratch.angles[s * 2 * bins + k]


@inlined
def name(lanes, shape, weights, state, scratch, s, frames, now, label, heard, pole):
    """Returns the code of a stream's frame at `now`: its label or, if that is -1, the nearest.

    A frame that was heard is kept, unless silence has just ended.
    """
    base = s * shape.bands
    look(lanes, shape, weights, scratch, s, frames, now)
    if label < 0:
        label = code_of(lanes, shape, weights, scratch, s, scratch.power, base, scratch.past, base)
    elif heard:
        blended(lanes, shape, scratch, s, scratch.power, base, scratch.past, base)
    scratch.fresh[s] = 0
    if heard:
        keep(lanes, shape, state, scratch, s, label)
    fade(lanes, shape, weights, state, scratch, s, heard, pole)
    return label
