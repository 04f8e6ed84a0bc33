"""A mixture of discretised logistics over 16-bit levels: its components, draw, likelihood.

After Salimans et al. 2017 (arXiv:1701.05517, section 2.1). The uniform picks a component by the
inverse CDF of the weights, and its place in that component's stretch is the uniform of the
component's own inverse CDF.
"""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

import math

import numpy as np

from wavegen.engines.numba_cpu.compiling import apart, inlined
from wavegen.engines.numba_cpu.elementary import exp
from wavegen.engines.numba_cpu.softmax import LEAST, peak, shares, sums
from wavegen.engines.numba_cpu.vector import greater, load, smaller, splat, store, width_of

UNIFORM = math.log(1e-7 / 65536)  # nats: a share of a uniform distribution in every mixture
LEAST_SCALE = 1e-6  # of a logistic, linear amplitude
STEP = 2.0**-15  # from level to level


@inlined
def components(lanes, shape, scratch, s, mean, scale):
    """Makes log-weights, means and scales out of the last layer's outputs of stream s."""
    width, bins, at = width_of(lanes), shape.bins, s * shape.outputs
    top = peak(lanes, shape, scratch, at)
    shares(lanes, shape, scratch, at, top, np.float32(1.0))
    whole = sums(lanes, shape, scratch, np.float32(LEAST))
    highest = splat(lanes, top + np.float32(math.log(whole)))
    least, most = splat(lanes, -6.0), splat(lanes, 6.0)
    scale = greater(scale, np.float32(LEAST_SCALE))
    middle, own, narrowest = splat(lanes, mean), splat(lanes, scale), splat(lanes, LEAST_SCALE)
    for v in range(at, at + bins, width):
        store(scratch.out, v, load(lanes, scratch.out, v) - highest)
        shift, wider = load(lanes, scratch.out, bins + v), load(lanes, scratch.out, 2 * bins + v)
        store(scratch.out, bins + v, middle + own * shift)
        wider = own * exp(lanes, greater(smaller(wider, most), least))
        store(scratch.out, 2 * bins + v, greater(wider, narrowest))


@inlined
def invert(lanes, shape, scratch, s, uniform, temperature, top_p):
    """Returns a level of stream s; the middle of the weightiest component at temperature 0."""
    bins, at = shape.bins, s * shape.outputs
    sharpness = np.float32(1.0) / smaller(greater(temperature, np.float32(1e-6)), np.float32(1.0))
    top = peak(lanes, shape, scratch, at)
    shares(lanes, shape, scratch, at, top, sharpness)
    threshold = uniform * sums(lanes, shape, scratch, np.float32(LEAST))
    chosen, share, upper = 0, np.float32(1.0), np.float32(0.0)
    for i in range(shape.mixtures):
        if scratch.row[i] > np.float32(0.0):  # if rounding hides the end, the last that can be
            chosen, share = i, scratch.row[i]
            upper += share
            if upper > threshold:
                break
    half, edge = np.float32(0.5), np.float32(1e-6)
    inner = half + ((threshold - (upper - share)) / share - half) * top_p
    inner = smaller(greater(inner, edge), np.float32(1.0) - edge)
    odds = np.float32(math.log(inner) - math.log1p(-inner))
    x = scratch.out[at + bins + chosen] + temperature * scratch.out[at + 2 * bins + chosen] * odds
    if shape.fine > 1:
        level = math.floor(np.float64(x) * (shape.fine / STEP) + (32768 * shape.fine + 0.5))
        return smaller(greater(level, 0), 65536 * shape.fine - 1)
    level = math.floor(x * np.float32(1 / STEP) + np.float32(32768.5))
    return smaller(greater(level, 0), 65535)


@inlined
def softened(x):
    """Returns log(1 + e^-x), exact in both tails."""
    return math.log1p(math.exp(-abs(x))) - smaller(x, 0.0)


@apart
def nats_of(shape, scratch, s, level):
    """Returns the log-probability of a level of stream s, nats; the outermost take the tails.

    However fine the levels are, it is that of the step of 16 bits about it.
    """
    bins, at = shape.bins, s * shape.outputs
    level = np.float64(level) / shape.fine
    x, found = (level - 32768) * STEP, UNIFORM
    for i in range(shape.mixtures):
        scale = float(scratch.out[at + 2 * bins + i])
        high = (x + STEP / 2 - scratch.out[at + bins + i]) / scale
        nats = float(scratch.out[at + i])
        if level < 65535:
            nats -= softened(high)
        if level > 0:
            nats -= softened(STEP / scale - high)
        if 0 < level < 65535:
            nats += math.log(-math.expm1(-STEP / scale))
        found = greater(found, nats) + math.log1p(math.exp(-abs(found - nats)))
    return np.float32(found)


@inlined
def describe(shape, scratch, s, mean, scale, out):
    """Writes log-weights, means and log-scales; the latter in units of the predictor's scale."""
    bins, at, count = shape.bins, s * shape.outputs, shape.mixtures
    scale = greater(scale, np.float32(LEAST_SCALE))
    for i in range(count):
        out[i] = scratch.out[at + i]
        out[count + i] = (scratch.out[at + bins + i] - mean) / scale
        out[2 * count + i] = math.log(scratch.out[at + 2 * bins + i] / scale)
