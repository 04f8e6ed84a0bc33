"""A spectral LSTM for several streams at once: what comes next, and the frames that it is.

What comes next hangs on codes alone. So one kernel draws all codes of a call, and then another
their frames: the weights of each stay in the processor's second-level cache, where both together
find no room. Each is compiled once per machine and kept, side by side if there are two cores.
"""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

import numpy as np

from wavegen.engines.numba_cpu.compiling import kept
from wavegen.engines.numba_cpu.pointers import pointer, pointers
from wavegen.engines.numba_cpu.sessions import DRAW, JUDGE, LISTEN
from wavegen.engines.numba_spectral.hearing import code_of, hear, levels, name, powers
from wavegen.engines.numba_spectral.recalling import follow, mingle, recall
from wavegen.engines.numba_spectral.rendering import bring, expect, judged, waver
from wavegen.engines.numba_spectral.weighing import likelihood, pick, remember, weigh


@kept
def compose(
    lanes, shape, weights, state, scratch, pole, frames, labels, heard, chance, controls, told,
    counts, mode, nats,
):  # fmt: skip
    """Hears what kinds of frames there are and, but for LISTEN, weighs or draws the one after each.

    Args:
        lanes: `Lanes` to compile for.
        shape: `Shape`.
        weights: `Weights`.
        state: `State` of all streams; memory and what is kept are changed, and `late`, `weight`.
        scratch: `Scratch`.
        pole: float32, of the spectrum of late.
        frames: float32 flat [stream][time + 1][2][bins]; for DRAW the first of time.
        labels: int64 (streams, time + 1), the frames' codes; filled in where they are -1.
        heard: int64 (streams, time + 1), whether they were heard, not drawn.
        chance: float32 (streams, time) uniforms of the codes, for DRAW.
        controls: float32 (streams, 4), temperature, top-p, noisiness and memory.
        told: float32 flat [stream][time][bands], room for what is recalled of bands.
        counts: float32 (streams, time), room for how much that counts.
        mode: LISTEN, DRAW or JUDGE.
        nats: float64 (streams, time), log-densities of codes, for JUDGE.

    Returns:
        Where matrix, scales and biases of `render` begin.
    """
    streams, time = chance.shape
    size, bands = 2 * shape.bins, shape.bands
    frames, told = pointer(frames), pointer(told)
    weights, state, scratch = pointers(weights), pointers(state), pointers(scratch)
    for s in range(streams):  # what the frame heard last leaves: its bands, and the level
        powers(lanes, shape, weights, scratch, state.last, s * size, scratch.power, s * bands)
        levels(lanes, shape, weights, state, scratch, s)
    at, s_at, b_at = np.int64(0), np.int64(0), 0
    for t in range(time):
        for s in range(streams):
            if mode != DRAW or t == 0:
                labels[s, t] = name(
                    lanes, shape, weights, state, scratch, s, frames, (s * (time + 1) + t) * size,
                    labels[s, t], heard[s, t], pole,
                )  # fmt: skip
            else:
                scratch.fresh[s] = 0
            follow(lanes, shape, state, scratch, s, labels[s, t])
        at, s_at, b_at = remember(lanes, shape, weights, state, scratch, streams, labels, t)
        if mode == LISTEN:
            continue
        for s in range(streams):
            if mode == JUDGE and labels[s, t + 1] < 0:
                after = (s * (time + 1) + t + 1) * size
                powers(lanes, shape, weights, scratch, frames, after, scratch.heard, s * bands)
                labels[s, t + 1] = code_of(
                    lanes, shape, weights, scratch, s, scratch.heard, s * bands,
                    scratch.power, s * bands,
                )  # fmt: skip
        at, s_at, b_at = weigh(lanes, shape, weights, state, scratch, streams, at, s_at, b_at)
        for s in range(streams):
            counts[s, t] = recall(
                lanes, shape, weights, state, scratch, s, told, (s * time + t) * bands,
                controls[s, 3],
            )  # fmt: skip
            mingle(lanes, shape, scratch, s, counts[s, t])
            if mode == JUDGE:
                nats[s, t] = likelihood(shape, scratch, s, labels[s, t + 1])
            else:
                uniform, temperature, top_p = chance[s, t], controls[s, 0], controls[s, 1]
                labels[s, t + 1] = pick(lanes, shape, scratch, s, uniform, temperature, top_p)
    return at, s_at, b_at


@kept
def render(
    lanes, shape, weights, state, scratch, pole, frames, labels, heard, noise, swings, controls,
    told, counts, begin, mode, nats,
):  # fmt: skip
    """Hears `frames[:, t]` for every t and, but for LISTEN, judges or draws the one after.

    It reads the labels of `compose`, what was `heard`, what that recalled (`told` and `counts`),
    and from `begin`, what it returned, the weights. Of `state` it changes `last`, `angle`, `late`
    and `weight`. DRAW fills in all frames but the first of time, by `noise`, float32 flat
    [stream][time][2][bins] of standard normals, and `swings`, float32 flat [stream][time][bands],
    logistic of scale 1. JUDGE adds to `nats` the log-densities of frames, given their codes.
    """
    streams, time = counts.shape
    size, bands = 2 * shape.bins, shape.bands
    frames, noise, swings, told = pointer(frames), pointer(noise), pointer(swings), pointer(told)
    weights, state, scratch = pointers(weights), pointers(state), pointers(scratch)
    at, s_at, b_at = begin
    for s in range(streams):
        powers(lanes, shape, weights, scratch, state.last, s * size, scratch.power, s * bands)
    for t in range(time):
        for s in range(streams):
            now = (s * (time + 1) + t) * size
            hear(lanes, shape, weights, state, scratch, s, frames, now, heard[s, t], pole)
        if mode == LISTEN:
            continue
        expect(lanes, shape, weights, scratch, streams, labels, told, counts, t, at, s_at, b_at)
        for s in range(streams):
            after = (s * (time + 1) + t + 1) * size
            if mode == JUDGE:
                nats[s, t] += judged(shape, scratch, s, frames, after)
            else:
                far, away = (s * time + t) * size, (s * time + t) * bands
                waver(lanes, shape, scratch, s, controls[s, 2], noise, far, frames, after)
                bring(
                    lanes, shape, weights, scratch, s, controls[s, 2], swings, away, frames, after
                )
