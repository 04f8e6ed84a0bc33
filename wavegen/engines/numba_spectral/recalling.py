"""What followed when it was like this before; `models.recall` says it in Keras."""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

import math

import numpy as np

from wavegen.engines.numba_cpu.compiling import apart, inlined
from wavegen.engines.numba_cpu.elementary import exp, log
from wavegen.engines.numba_cpu.vector import (
    fma,
    greater,
    load,
    smaller,
    splat,
    store,
    total,
    width_of,
)

WIDTH, JUMP, OTHER, ALIKE = 0.5, 0.02, 0.05, 1e-4  # as the model has them
STEADY, STROKES, EACH, TOGETHER = 0.13, 0.20, 0.2, 0.3
AUDIBLE, BEGUN, SILENT = 5.0, 2, 1e-9
PACE = math.exp(-1 / 350)
MOST, NONE = 0.95, 1e-12
LOG10 = 1 / math.log(10)


@inlined
def sounding(shape, scratch, s):
    """Returns whether a stream's frame is more than digital silence."""
    at, most = s * shape.bands, np.float32(0)
    for b in range(shape.channels * shape.own_bands):
        most = greater(most, scratch.power[at + b])
    return most > np.float32(SILENT)


@inlined
def keep(lanes, shape, state, scratch, s, code):
    """Keeps a frame that was heard, by its code and its bands against the level before it.

    `scratch.relative` holds those. Then `scratch.now` is the log10 of the bands' power, and
    `scratch.fresh` whether the frame was kept: the first ones after silence still hold some of it.
    """
    bands, entries, own = shape.bands, shape.entries, shape.channels * shape.own_bands
    at, first = s * bands, s * entries
    loudest = np.float32(0)
    for b in range(own):
        loudest = greater(loudest, scratch.level[at + b])
    for v in range(0, bands, width_of(lanes)):
        level = log(lanes, load(lanes, scratch.level, at + v)) * splat(lanes, 2 * LOG10)
        store(scratch.now, at + v, load(lanes, scratch.relative, at + v) + level)
    for b in range(own, bands):
        scratch.now[at + b] = np.float32(0)
    if sounding(shape, scratch, s):
        state.pace[4 * s + 3] = smaller(
            state.pace[4 * s + 3] + np.float32(1), np.float32(BEGUN + 1)
        )
    scratch.fresh[s] = int(state.pace[4 * s + 3] > np.float32(BEGUN))
    if not scratch.fresh[s]:
        return
    newest = (first + entries - 1) * bands
    floor = np.float32(2 * LOG10) * np.float32(math.log(loudest)) - np.float32(AUDIBLE)
    change, common, known = np.float32(0), np.float32(0), np.float32(0)
    if state.kept_codes[first + entries - 1] >= 0:
        known = np.float32(1)
        for b in range(own):
            more = greater(scratch.now[at + b], floor) - greater(state.kept[newest + b], floor)
            change += abs(more)
            common += more
        change, common = change / np.float32(own), abs(common) / np.float32(own)
    fresh = np.float32(1) - np.float32(PACE)
    state.pace[4 * s] = np.float32(PACE) * state.pace[4 * s] + fresh * change
    state.pace[4 * s + 1] = np.float32(PACE) * state.pace[4 * s + 1] + fresh * common
    state.pace[4 * s + 2] = np.float32(PACE) * state.pace[4 * s + 2] + fresh * known
    for k in range(first * bands, newest, width_of(lanes)):
        store(state.kept, k, load(lanes, state.kept, k + bands))
    for v in range(0, bands, width_of(lanes)):
        store(state.kept, newest + v, load(lanes, scratch.now, at + v))
    for k in range(first, first + entries - 1):
        state.kept_codes[k] = state.kept_codes[k + 1]
    state.kept_codes[first + entries - 1] = np.float32(code)


@apart
def followed(shape, state, s):
    """Returns after how many of the frames kept of a stream another one follows."""
    number, first = 0, s * shape.entries
    for k in range(first, first + shape.entries - 1):
        if state.kept_codes[k] >= 0:
            number += 1
    return number


@apart
def follow(lanes, shape, state, scratch, s, code):
    """Writes where the sound may be in what is kept, after a frame of a stream.

    It is of that code; or it was kept, is now the last, and all others have moved down.
    """
    bands, entries = shape.bands, shape.entries
    first, width = s * entries, width_of(lanes)
    number, kept = followed(shape, state, s), scratch.fresh[s]
    if not kept:  # else what has moved down is there already
        for k in range(first + entries - 1, first, -1):
            state.place[k] = state.place[k - 1]
        state.place[first] = np.float32(0)
    state.place[first + entries - 1] = np.float32(0)  # nothing follows it
    if number == 0:
        return
    go, sum_, gone_on = np.float32(1 - JUMP), np.float32(0), np.float32(0)
    for k in range(first, first + entries - 1):
        gone_on += state.place[k]
    jumped = (np.float32(1) - go * gone_on) / np.float32(number)
    narrow = np.float32(-0.5 / WIDTH**2 / (shape.channels * shape.own_bands))
    for k in range(first + entries - 1 - number, first + entries - 1):
        if kept:
            apart_ = splat(lanes, 0.0)
            for v in range(0, bands, width):
                off = load(lanes, scratch.now, s * bands + v)
                off = off - load(lanes, state.kept, k * bands + v)
                apart_ = fma(off, off, apart_)
            likely = np.float32(math.exp(narrow * total(apart_))) + np.float32(ALIKE)
        elif state.kept_codes[k] == code:
            likely = np.float32(1 + OTHER)
        else:
            likely = np.float32(OTHER)
        state.place[k] = (go * state.place[k] + jumped) * likely
        sum_ += state.place[k]
    over = np.float32(1) / (sum_ + np.float32(NONE))
    for k in range(first, first + entries):
        state.place[k] *= over


@inlined
def between(value, none, all_):
    """Returns how far a value is on its way between two others, 0 .. 1."""
    way = (value - np.float32(none)) / np.float32(all_ - none)
    return smaller(greater(way, np.float32(0)), np.float32(1))


@apart
def recall(lanes, shape, weights, state, scratch, s, told, at, memory):
    """Returns how much it counts what is recalled of a stream's next frame, and writes that.

    That is `scratch.followed`, probabilities of codes; and from `told[at]` on the log10 of the
    bands' power less that of these codes.
    """
    bands, entries, choices = shape.bands, shape.entries, shape.choices
    first, row, width = s * entries, s * choices, width_of(lanes)
    for v in range(0, choices, width):
        store(scratch.followed, row + v, splat(lanes, 0.0))
    for v in range(0, bands, width):
        store(told, at + v, splat(lanes, 0.0))
    number = followed(shape, state, s)
    if number == 0:
        return np.float32(0)
    weight = state.pace[4 * s + 2] + np.float32(NONE)
    change, common = state.pace[4 * s] / weight, state.pace[4 * s + 1] / weight
    together = common / (change + np.float32(NONE))
    counts = memory * between(change, STEADY, STROKES)
    counts = counts * between(together, EACH, TOGETHER)
    if counts <= 0:
        return np.float32(0)
    anywhere = np.float32(JUMP) / np.float32(number)
    for k in range(first + entries - 1 - number, first + entries - 1):
        chance = np.float32(1 - JUMP) * state.place[k] + anywhere
        code = np.int64(state.kept_codes[k + 1])
        scratch.followed[row + code] += chance
        much, of = splat(lanes, chance), (k + 1) * bands
        for v in range(0, bands, width):
            more = load(lanes, state.kept, of + v)
            more = fma(load(lanes, weights.kinds, code * bands + v), splat(lanes, -LOG10), more)
            store(told, at + v, fma(more, much, load(lanes, told, at + v)))
    return counts


@inlined
def mingle(lanes, shape, scratch, s, counts):
    """Turns a stream's logits into those of what is learned and what is recalled together."""
    if counts <= 0:
        return
    at, width, top = s * shape.choices, width_of(lanes), np.float32(-1e30)
    for k in range(shape.codes):
        top = greater(top, scratch.scores[at + k])
    mass, share = np.float32(0), np.float32(MOST) * counts
    for v in range(0, shape.choices, width):
        less = greater(load(lanes, scratch.scores, at + v) - splat(lanes, top), splat(lanes, -87.0))
        store(scratch.scores, at + v, exp(lanes, less))
    for k in range(shape.codes):
        mass += scratch.scores[at + k]
    own = splat(lanes, (np.float32(1) - share) / mass)
    for v in range(0, shape.choices, width):
        both = fma(load(lanes, scratch.scores, at + v), own, splat(lanes, NONE))
        both = fma(load(lanes, scratch.followed, at + v), splat(lanes, share), both)
        store(scratch.scores, at + v, log(lanes, both))
    for k in range(shape.codes, shape.choices):
        scratch.scores[at + k] = np.float32(-1e30)
