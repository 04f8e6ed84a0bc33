"""One step of a spectral LSTM for several streams at once: hear a frame, weigh the next, draw it.

What `models.composer`, `models.spectrum` and `models.renderer` say in Keras, in one loop: band
powers against the spectrum of late, the code they are nearest to, the LSTM, the next code, and the
frame that has it.
"""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from wavegen.engines.numba_cpu.elementary import exp, gate, log
from wavegen.engines.numba_cpu.kernel import kept
from wavegen.engines.numba_cpu.product import Rows, linear, product
from wavegen.engines.numba_cpu.rounding import encode
from wavegen.engines.numba_cpu.vector import (
    fma,
    greater,
    inlined,
    load,
    smaller,
    splat,
    store,
    width_of,
)

LISTEN, DRAW, JUDGE = 0, 1, 2  # what a call does with the frames after the first

# As the model has them.
RANGE, LEAST, NOTHING, FLOOR = 10**-6.5, 1e-9, 1e-6, 1e-5
LOUDEST, QUANTUM, DEGREES = 2.0, 2**-15 / 12**0.5, 8.0
VARIANCE, STEADY = 2 * DEGREES / (DEGREES - 2), 0.95
LOG10 = 1 / math.log(10)


def apart(function: Callable) -> Any:
    """Compiles a function once, not into each of its callers: there are many, and it is long."""
    return njit(_nrt=False, error_model="numpy")(function)


class State(NamedTuple):
    """What the streams remember; changed in place by the kernel, and private to a call.

    Attributes:
        last: float32 [stream][2][bins], the frame before the one to hear, real parts first.
        angle: float32 [stream][2][bins], running mean of the products of frames.
        late: float32 [stream][bands], running mean of the bands' power.
        weight: float32 [stream], its weight.
        memory: float32 [stream][layers][2][units], h and c.
    """

    last: np.ndarray
    angle: np.ndarray
    late: np.ndarray
    weight: np.ndarray
    memory: np.ndarray


class Scratch(NamedTuple):
    """Room to work in, for all streams.

    Attributes:
        power: float32 [stream][bands], of the last frame that was heard.
        past: float32 [stream][bands], of the one before it.
        level: float32 [stream][bands], of late.
        relative: float32 [stream][bands], logarithms.
        scores: float32 [stream][choices], distances of codes; then logits; then shares.
        code: int64 [stream], of the last frame.
        following: int64 [stream], of the next.
        gates: float32 [stream][4 * units].
        h: float32 [stream][units], outputs of the last layer.
        heard: float32 [stream][2 * bands], what the renderer hears.
        one: float32 [stream][hidden], its first layer.
        two: float32 [stream][hidden], its second.
        width: float32 [stream][bins], of the renderer.
        tone: float32 [stream][3 * bands], of the renderer.
        turned: float32 [stream][2][bins], the last frame turned on.
        around: float32 [stream][bins], mean power of late around each coefficient.
        angle: float32 [2][bins + 2 * width], of one stream, zeros around every channel.
        unit: float32 [stream][bins], the level by coefficient.
        mean: float32 [stream][2][bins], of the next frame.
        spread: float32 [stream][bins], its scale.
        towards: float32 [bins], of one stream: what draws its scale to the template.
        angles: float32 [stream][2][bins], the next of them.
        turning: float32 (2,), cosine and sine of how neighbours turn apart.
        logits: float32 (choices,), of one stream.
        codes: inputs of a product as the precision has them.
        code_scales: float32 [stream], of them.
    """

    power: np.ndarray
    past: np.ndarray
    level: np.ndarray
    relative: np.ndarray
    scores: np.ndarray
    code: np.ndarray
    following: np.ndarray
    gates: np.ndarray
    h: np.ndarray
    heard: np.ndarray
    one: np.ndarray
    two: np.ndarray
    width: np.ndarray
    tone: np.ndarray
    turned: np.ndarray
    around: np.ndarray
    angle: np.ndarray
    unit: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    towards: np.ndarray
    angles: np.ndarray
    turning: np.ndarray
    logits: np.ndarray
    codes: np.ndarray
    code_scales: np.ndarray


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
        weights.scales, s_at, scratch.code_scales, 0,
    )  # fmt: skip


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
            top = max(top, scratch.level[start + b])
    floor = max(top * np.float32(RANGE), np.float32(LEAST))
    most = np.float32(0.5) * shape.half
    for b in range(shape.channels * shape.own_bands):
        power = min(max(scratch.level[at + b], floor), most)
        scratch.level[at + b] = np.float32(math.sqrt(power))


@inlined
def relative(lanes, shape, scratch, power, at, level_at, out, to):
    """Writes log10 of powers against the level of late."""
    for v in range(0, shape.bands, width_of(lanes)):
        level = load(lanes, scratch.level, level_at + v)
        ratio = load(lanes, power, at + v) / (level * level) + splat(lanes, FLOOR)
        store(out, to + v, log(lanes, ratio) * splat(lanes, LOG10))


@apart
def code_of(lanes, shape, weights, scratch, s, power, at, past, past_at):
    """Returns the code of a frame from its bands and those of the one before."""
    base = s * shape.bands
    for b in range(shape.bands):
        scratch.relative[base + b] = np.float32(0.5) * (power[at + b] + past[past_at + b])
    relative(lanes, shape, scratch, scratch.relative, base, base, scratch.relative, base)
    out = Rows(scratch.scores, s * shape.choices, 0)
    product(
        lanes, weights.book, 0, shape.bands, shape.choices, 1, Rows(scratch.relative, base, 0),
        Rows(weights.squares, 0, 0), out, weights.scales, 0, scratch.code_scales, 0,
    )  # fmt: skip
    nearest = 0
    for k in range(1, shape.codes):
        if scratch.scores[out.at + k] < scratch.scores[out.at + nearest]:
            nearest = k
    return nearest


@inlined
def by_coefficient(shape, weights, bands, at, k):
    """Returns the value of a coefficient between the centres of its bands."""
    low = at + weights.below[k]
    high = low + (1 if shape.own_bands > 1 else 0)
    return bands[low] + weights.between[k] * (bands[high] - bands[low])


@inlined
def rsqrt(lanes, x):
    """Returns 1 / sqrt(x) of positive normal numbers."""
    return exp(lanes, log(lanes, x) * splat(lanes, -0.5))


@inlined
def turn_on(lanes, shape, state, scratch, s, frame, now):
    """Writes the frame turned on by the angle it turned by of late, in units of the level.

    A channel's last vector may reach beyond it: into the next channel, which comes after, or into
    the padding.
    """
    bins, half, width = shape.bins, shape.half, width_of(lanes)
    last, here, angle = s * 2 * bins, s * bins, scratch.angle
    gap = len(angle) // 2
    cosine, sine = splat(lanes, scratch.turning[0]), splat(lanes, scratch.turning[1])
    one, part, quarter = splat(lanes, 1.0), splat(lanes, 0.5), splat(lanes, 0.25)
    none = splat(lanes, 0.0)
    for c in range(shape.channels):
        first = c * half
        for v in range(0, half, width):
            i = first + v
            over = one / load(lanes, scratch.unit, here + i)
            a, b = load(lanes, frame, now + i) * over, load(lanes, frame, now + bins + i) * over
            p = load(lanes, state.last, last + i) * over
            q = load(lanes, state.last, last + bins + i) * over
            store(angle, width + v, fma(a, p, b * q))
            store(angle, gap + width + v, b * p - a * q)
        for at in (0, gap):
            store(angle, at, none)
            store(angle, at + width + half, none)
        for v in range(0, half, width):
            i, at = first + v, width + v
            up_re, up_im = load(lanes, angle, at + 1), load(lanes, angle, gap + at + 1)
            down_re, down_im = load(lanes, angle, at - 1), load(lanes, angle, gap + at - 1)
            re = (up_re + down_re) * cosine - (up_im - down_im) * sine
            im = (up_im + down_im) * cosine + (up_re - down_re) * sine
            re = fma(re, part, load(lanes, angle, at))
            im = fma(im, part, load(lanes, angle, gap + at))
            old = load(lanes, state.angle, last + i)
            re = fma(old - re, splat(lanes, STEADY), re)
            store(scratch.angles, here + here + i, re)
            old = load(lanes, state.angle, last + bins + i)
            im = fma(old - im, splat(lanes, STEADY), im)
            store(scratch.angles, here + here + bins + i, im)
            over = rsqrt(lanes, fma(re, re, im * im) + splat(lanes, 1e-20))
            re, im = re * over, im * over
            over = one / load(lanes, scratch.unit, here + i)
            a, b = load(lanes, frame, now + i) * over, load(lanes, frame, now + bins + i) * over
            store(scratch.turned, last + i, a * re - b * im)
            store(scratch.turned, last + bins + i, fma(a, im, b * re))
        for v in range(0, half, width):  # the angles are done with: now the power
            i = first + v
            over = one / load(lanes, scratch.unit, here + i)
            a, b = load(lanes, frame, now + i) * over, load(lanes, frame, now + bins + i) * over
            p = load(lanes, state.last, last + i) * over
            q = load(lanes, state.last, last + bins + i) * over
            store(angle, width + v, part * (fma(a, a, b * b) + fma(p, p, q * q)))
        store(angle, width + half, none)
        for v in range(0, half, width):
            at = width + v
            sides = load(lanes, angle, at - 1) + load(lanes, angle, at + 1)
            middle = load(lanes, angle, at) * part
            store(scratch.around, here + first + v, fma(sides, quarter, middle))


@inlined
def remember(lanes, shape, weights, state, scratch, streams):
    """Runs the LSTM on the codes heard; returns where matrix, scales and biases go on."""
    units, layers = shape.units, shape.layers
    at, s_at, b_at, step = 0, 0, 0, layers * 2 * units
    out = Rows(scratch.gates, 0, 4 * units)
    for layer in range(layers):
        for s in range(streams):
            if layer == 0:
                row = scratch.code[s] * 4 * units
                for k in range(4 * units):
                    scratch.gates[s * 4 * units + k] = weights.entry[row + k]
        if layer:
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
    for s in range(streams):
        for k in range(units):
            scratch.h[s * units + k] = state.memory[s * step + (layers - 1) * 2 * units + k]
    return at, s_at, b_at


@inlined
def hear(lanes, shape, weights, state, scratch, streams, frames, labels, t, pole):
    """Hears one frame of each stream, `Rows` of parts; returns where the weights go on."""
    bins, bands = shape.bins, shape.bands
    for s in range(streams):
        now, base = frames.at + s * frames.step, s * bands
        for b in range(bands):
            scratch.past[base + b] = scratch.power[base + b]
        powers(shape, weights, frames.array, now, scratch.power, base)
        scratch.code[s] = labels[s, t]
        if labels[s, t] < 0:
            scratch.code[s] = code_of(
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
    return remember(lanes, shape, weights, state, scratch, streams)


@inlined
def gelu(array, at, count):
    """Applies the Gaussian error linear unit in place (arXiv:1606.08415)."""
    for k in range(at, at + count):
        x = array[k]
        array[k] = np.float32(0.5) * x * np.float32(1 + math.erf(x * np.float32(0.70710678)))


@inlined
def pick(shape, scratch, s, uniform, temperature, top_p):
    """Returns the code that a uniform draws from the logits."""
    at, best = s * shape.choices, 0
    for k in range(1, shape.codes):
        if scratch.scores[at + k] > scratch.scores[at + best]:
            best = k
    if temperature <= 0:
        return best
    top, sharp = scratch.scores[at + best], np.float32(1) / max(temperature, np.float32(1e-6))
    mass = np.float32(0)
    for k in range(shape.codes):
        share = np.float32(math.exp((scratch.scores[at + k] - top) * sharp))
        scratch.scores[at + k] = share
        mass += share
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
def sigmoid(lanes, x):
    """Returns 1 / (1 + e^-x)."""
    one = splat(lanes, 1.0)
    x = smaller(greater(x, splat(lanes, -40.0)), splat(lanes, 40.0))
    return one / (one + exp(lanes, x * splat(lanes, -1.0)))


@inlined
def mix(lanes, x):
    """Returns how far from its own past towards the template a value goes, -0.5 .. 1."""
    return fma(sigmoid(lanes, x), splat(lanes, 1.5), splat(lanes, -0.5))


@inlined
def expect(lanes, shape, weights, scratch, streams, at, s_at, b_at):
    """Writes mean and scale of the frames that have the codes `following`."""
    bins, bands, hidden, width = shape.bins, shape.bands, shape.hidden, width_of(lanes)
    for s in range(streams):
        base, to = s * bands, s * 2 * bands
        relative(lanes, shape, scratch, scratch.power, base, base, scratch.heard, to)
        relative(lanes, shape, scratch, scratch.past, base, base, scratch.heard, to + bands)
        a, b = scratch.following[s] * hidden, scratch.code[s] * hidden
        for k in range(hidden):
            scratch.one[s * hidden + k] = weights.next_code[a + k] + weights.last_code[b + k]
    one, two = Rows(scratch.one, 0, hidden), Rows(scratch.two, 0, hidden)
    at, s_at = through(
        lanes, shape, weights, scratch, streams, Rows(scratch.heard, 0, 2 * bands),
        2 * bands, hidden, one, one, at, s_at,
    )  # fmt: skip
    gelu(scratch.one, 0, streams * hidden)
    at, s_at = through(
        lanes, shape, weights, scratch, streams, one, hidden, hidden,
        Rows(weights.bias, b_at, 0), two, at, s_at,
    )  # fmt: skip
    b_at += hidden
    gelu(scratch.two, 0, streams * hidden)
    at, s_at = through(
        lanes, shape, weights, scratch, streams, two, hidden, bins,
        Rows(weights.bias, b_at, 0), Rows(scratch.width, 0, bins), at, s_at,
    )  # fmt: skip
    b_at += bins
    at, s_at = through(
        lanes, shape, weights, scratch, streams, two, hidden, 3 * bands,
        Rows(weights.bias, b_at, 0), Rows(scratch.tone, 0, 3 * bands), at, s_at,
    )  # fmt: skip
    one_, half = splat(lanes, 1.0), splat(lanes, 0.5)
    for s in range(streams):
        row, to = scratch.following[s] * bins, s * 2 * bins
        for k in range(shape.channels * shape.half):
            # for now mean holds what draws it to the template, and how much louder it gets
            scratch.mean[to + k] = by_coefficient(shape, weights, scratch.tone, s * 3 * bands, k)
            scratch.mean[to + bins + k] = by_coefficient(
                shape, weights, scratch.tone, s * 3 * bands + bands, k
            )
            scratch.towards[k] = by_coefficient(
                shape, weights, scratch.tone, s * 3 * bands + 2 * bands, k
            )
        for v in range(0, bins, width):
            base = load(lanes, weights.template, row + v)
            towards = half - load(lanes, scratch.mean, to + v)
            share = mix(lanes, towards * splat(lanes, -1.0))
            gain = load(lanes, scratch.mean, to + bins + v) - one_
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
            share = mix(lanes, load(lanes, scratch.towards, v))
            scale = smaller(fma(share, base - own, own), base + splat(lanes, LOUDEST)) + wide
            spread = fma(exp(lanes, scale), unit, splat(lanes, QUANTUM))
            store(scratch.spread, s * bins + v, spread)


@inlined
def waver(lanes, shape, scratch, s, noisiness, noise, far, frames, to):
    """Writes a frame drawn around its mean; see `Renderer.draw`."""
    bins = shape.bins
    one, none = splat(lanes, 1.0), splat(lanes, 1e-20)
    steady = splat(lanes, np.float32(1) - noisiness * noisiness)
    for v in range(0, bins, width_of(lanes)):
        spread = load(lanes, scratch.spread, s * bins + v)
        re = load(lanes, scratch.mean, s * 2 * bins + v)
        im = load(lanes, scratch.mean, s * 2 * bins + bins + v)
        tone, chance = fma(re, re, im * im), spread * spread * splat(lanes, VARIANCE)
        less = steady / (tone + chance)
        louder = greater(fma(less, chance, one), none)
        louder = louder * rsqrt(lanes, louder)
        factor = greater(one - less * tone, none)
        spread = spread * factor * rsqrt(lanes, factor)
        a, b = load(lanes, noise, far + v), load(lanes, noise, far + bins + v)
        store(frames, to + v, fma(louder, re, spread * a))
        store(frames, to + bins + v, fma(louder, im, spread * b))


@inlined
def judged(lanes, shape, weights, scratch, s, frame, at):
    """Returns the log-density of a frame under mean and scale, nats of all coefficients."""
    sum_, to = 0.0, s * 2 * shape.bins
    for k in range(shape.channels * shape.half):
        spread = scratch.spread[s * shape.bins + k]
        re = (frame[at + k] - scratch.mean[to + k]) / spread
        im = (frame[at + shape.bins + k] - scratch.mean[to + shape.bins + k]) / spread
        tail = (DEGREES / 2 + 1) * math.log1p((re * re + im * im) / DEGREES)
        sum_ -= math.log(2 * math.pi) + 2 * math.log(spread) + tail
    return sum_


@kept
def begin(shape, weights, state, scratch, s, at):
    """Works out what the last frame of a stream leaves for the next: its bands, and the level."""
    powers(shape, weights, state.last, s * 2 * shape.bins, scratch.power, at)
    levels(shape, weights, state, scratch, s)


@kept
def run(
    lanes, shape, weights, state, scratch, pole, frames, labels, chance, noise, controls, mode, nats
):
    """Hears `frames[:, t]` for every t and, but for LISTEN, weighs or draws the one after.

    Args:
        lanes: `Lanes` to compile for.
        shape: `Shape`.
        weights: `Weights`.
        state: `State` of all streams; changed.
        scratch: `Scratch`; what it holds of the last frame is kept from call to call.
        pole: float32, of the spectrum of late.
        frames: float32 flat [stream][time + 1][2][bins]; DRAW fills in all but the first of time.
        labels: int64 (streams, time + 1), the frames' codes, -1 where unknown; filled in likewise.
        chance: float32 (streams, time) uniforms of the codes, for DRAW.
        noise: float32 flat [stream][time][2][bins], Student-t of scale 1, for DRAW.
        controls: float32 (streams, 3), temperature, top-p and noisiness.
        mode: LISTEN, DRAW or JUDGE.
        nats: float64 (streams, time), log-densities of frames, for JUDGE.
    """
    streams, time = chance.shape
    size, choices = 2 * shape.bins, shape.choices
    for t in range(time):
        now = Rows(frames, t * size, (time + 1) * size)
        at, s_at, b_at = hear(lanes, shape, weights, state, scratch, streams, now, labels, t, pole)
        if mode == LISTEN:
            continue
        at, s_at = through(
            lanes, shape, weights, scratch, streams, Rows(scratch.h, 0, shape.units),
            shape.units, choices, Rows(weights.bias, b_at, 0), Rows(scratch.scores, 0, choices),
            at, s_at,
        )  # fmt: skip
        b_at += choices
        for s in range(streams):
            if mode == DRAW:
                scratch.following[s] = pick(
                    shape, scratch, s, chance[s, t], controls[s, 0], controls[s, 1]
                )
                labels[s, t + 1] = scratch.following[s]
                continue
            after = s * (time + 1) * size + (t + 1) * size
            top, mass = np.float32(-1e30), 0.0
            for k in range(shape.codes):
                top = max(top, scratch.scores[s * choices + k])
            for k in range(shape.codes):
                mass += math.exp(scratch.scores[s * choices + k] - top)
            # the logits are read before the distances of codes take their place
            for k in range(shape.codes):
                scratch.logits[k] = scratch.scores[s * choices + k]
            powers(shape, weights, frames, after, scratch.heard, s * 2 * shape.bands)
            code = labels[s, t + 1]
            if code < 0:
                code = code_of(
                    lanes, shape, weights, scratch, s, scratch.heard, s * 2 * shape.bands,
                    scratch.power, s * shape.bands,
                )  # fmt: skip
            scratch.following[s] = code
            nats[s, t] = scratch.logits[code] - top - math.log(mass)
        expect(lanes, shape, weights, scratch, streams, at, s_at, b_at)
        for s in range(streams):
            after = s * (time + 1) * size + (t + 1) * size
            if mode == JUDGE:
                nats[s, t] += judged(lanes, shape, weights, scratch, s, frames, after)
                continue
            far = s * time * size + t * size
            waver(lanes, shape, scratch, s, controls[s, 2], noise, far, frames, after)
