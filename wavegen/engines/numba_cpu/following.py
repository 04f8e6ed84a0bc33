"""Linear prediction that is fitted anew, every hop, to the sound just heard.

Backward-adaptive as in LD-CELP (ITU-T G.728). The window over the past is Barnwell's (1981, IEEE
ICASSP 6:1), whose autocorrelations are three running sums a lag; what they weigh and how they age
comes in arrays. A row of lags lies backwards, lag 0 last: so it is correlated by plain loads, and
so the recursion wants it. Sums and taps are float32, but worked out in float64: a fit to tones
makes a hundredfold of a rounding error, and every engine has to find the same one.
"""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

import numpy as np

from wavegen.engines.numba_cpu.compiling import apart, inlined
from wavegen.engines.numba_cpu.fading import RIDGE
from wavegen.engines.numba_cpu.fitting import solve
from wavegen.engines.numba_cpu.vector import (
    fma,
    load,
    load_wide,
    splat,
    splat_wide,
    store,
    store_narrow,
    total,
    width_of,
)

LEAST = RIDGE / (1 + RIDGE)  # of the energy, what a fit leaves as error: the ridge is noise


@inlined
def hear(lanes, shape, weights, state, scratch, s, own, sample, led):
    """Hears a whitened sample of a stream's channel.

    Args:
        lanes: `Lanes`.
        shape: `Shape`.
        weights: `Weights`.
        state: `State`; all but the phase is brought up to date.
        scratch: `Scratch`.
        s: the stream.
        own: the channel, counted through all streams.
        sample: what the fixed filter left of the sample.
        led: whether taps come from elsewhere, so that nothing is fitted.
    """
    lags, hop, phase = shape.lags, shape.hop, state.phases[s]
    row = own * (lags + 2 * hop)
    state.heard[row + lags + hop + phase] = sample
    if phase + 1 == hop:
        for v in range(row, row + lags + hop):
            state.heard[v] = state.heard[v + hop]
        if not led:
            sum_up(lanes, shape, weights, state, scratch, own)
            fit(lanes, shape, weights, state, scratch, own)


@inlined
def followed(lanes, shape, state, s, own, taps, first):
    """Returns what taps that begin at a place predict after all that a channel has heard."""
    lags, hop, heard = shape.lags, shape.hop, state.phases[s] + 1
    end = own * (lags + 2 * hop) + hop + (heard if heard < hop else 0)
    sums = splat(lanes, 0.0)
    for v in range(0, lags, width_of(lanes)):
        sums = fma(load(lanes, state.heard, end + v), load(lanes, taps, first + v), sums)
    return total(sums)


@apart
def sum_up(lanes, shape, weights, state, scratch, own):
    """Ages the three running sums of every lag by a hop, and adds the products of the last one."""
    width, lags, hop = width_of(lanes), shape.lags, shape.hop
    row, at = own * (lags + 2 * hop), 3 * own * lags
    for n in range(lags + hop):
        scratch.latest[n] = state.heard[row + n]
    for q in range(3):
        for n in range(hop):
            window = np.float64(weights.window[q * hop + n])
            scratch.weighed[q * hop + n] = window * scratch.latest[lags + n]
    kept, once = splat_wide(lanes, weights.aging[0]), splat_wide(lanes, weights.aging[1])
    squared, twice = splat_wide(lanes, weights.aging[2]), splat_wide(lanes, weights.aging[3])
    for v in range(0, lags, width):
        x = load_wide(lanes, state.sums, at + v)
        y = load_wide(lanes, state.sums, at + lags + v)
        z = load_wide(lanes, state.sums, at + 2 * lags + v)
        a, b = kept * x, fma(kept, y, once * x)
        c = fma(kept, z, fma(twice, y, squared * x))
        for n in range(hop):
            x = load(lanes, scratch.latest, 1 + n + v)
            a = fma(x, splat_wide(lanes, scratch.weighed[n]), a)
            b = fma(x, splat_wide(lanes, scratch.weighed[hop + n]), b)
            c = fma(x, splat_wide(lanes, scratch.weighed[2 * hop + n]), c)
        store_narrow(state.sums, at + v, a)
        store_narrow(state.sums, at + lags + v, b)
        store_narrow(state.sums, at + 2 * lags + v, c)


@apart
def fit(lanes, shape, weights, state, scratch, own):
    """Writes the taps of the least squared error, oldest sample first."""
    width, lags = width_of(lanes), shape.lags
    at = (3 * own + 1) * lags
    for v in range(0, lags, width):  # the windowed autocorrelation
        x, y = load_wide(lanes, state.sums, at + v), load_wide(lanes, state.sums, at + lags + v)
        y = fma(load_wide(lanes, weights.fading, lags + v), x, y)
        x = load_wide(lanes, weights.fading, 2 * lags + v)
        store(scratch.correlation, v, fma(load_wide(lanes, weights.fading, v), y, x))
    solve(lanes, lags, shape.order, LEAST, scratch.correlation, scratch.forward, scratch.backward)
    for i in range(1, shape.order + 1):
        state.taps[(own + 1) * lags - i] = -scratch.forward[i]
