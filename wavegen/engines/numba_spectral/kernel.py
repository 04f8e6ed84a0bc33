"""A spectral LSTM for several streams at once: hear a frame, weigh the next code, draw its frame.

What happens next hangs on codes alone. So all codes of a call are drawn before its first frame: the
weights that draw codes, and then those that render them, each stay in the processor's second-level
cache, where both together find no room. Compiled once per machine and kept.
"""

# The functions of this module are compiled by Numba, which reads types off the arguments.

from __future__ import annotations

import numpy as np

from wavegen.engines.numba_cpu.compiling import kept
from wavegen.engines.numba_cpu.pointers import pointer, pointers
from wavegen.engines.numba_cpu.sessions import DRAW, JUDGE, LISTEN
from wavegen.engines.numba_spectral.hearing import code_of, hear, levels, powers
from wavegen.engines.numba_spectral.recalling import follow, mingle, recall
from wavegen.engines.numba_spectral.rendering import bring, expect, judged, waver
from wavegen.engines.numba_spectral.weighing import likelihood, pick, remember, weigh


@kept
def run(
    lanes, shape, weights, state, scratch, pole, frames, labels, heard, chance, noise, swings,
    controls, told, counts, mode, nats,
):  # fmt: skip
    """Hears `frames[:, t]` for every t and, but for LISTEN, weighs or draws the one after.

    Args:
        lanes: `Lanes` to compile for.
        shape: `Shape`.
        weights: `Weights`.
        state: `State` of all streams; changed.
        scratch: `Scratch`.
        pole: float32, of the spectrum of late.
        frames: float32 flat [stream][time + 1][2][bins]; DRAW fills in all but the first of time.
        labels: int64 (streams, time + 1), the frames' codes; filled in where they are -1.
        heard: int64 (streams, time + 1), whether they were heard, not drawn.
        chance: float32 (streams, time) uniforms of the codes, for DRAW.
        noise: float32 flat [stream][time][2][bins], standard normals, for DRAW.
        swings: float32 flat [stream][time][bands], logistic of scale 1, for DRAW.
        controls: float32 (streams, 4), temperature, top-p, noisiness and memory.
        told: float32 flat [stream][time][bands], room for what is recalled of bands.
        counts: float32 (streams, time), room for how much that counts.
        mode: LISTEN, DRAW or JUDGE.
        nats: float64 (streams, time), log-densities of frames, for JUDGE.
    """
    streams, time = chance.shape
    size = 2 * shape.bins
    frames, noise, swings = pointer(frames), pointer(noise), pointer(swings)
    told = pointer(told)
    weights, state, scratch = pointers(weights), pointers(state), pointers(scratch)
    for s in range(streams):  # what the frame heard last leaves: its bands, and the level
        powers(lanes, shape, weights, scratch, state.last, s * size, scratch.power, s * shape.bands)
        levels(lanes, shape, weights, state, scratch, s)
    at, s_at, b_at = np.int64(0), np.int64(0), 0
    for t in range(time):
        if mode != DRAW or t == 0:
            hear(
                lanes, shape, weights, state, scratch, streams, frames, time, labels, heard, t, pole
            )
        for s in range(streams):
            if mode == DRAW and t:
                scratch.fresh[s] = 0
            follow(lanes, shape, state, scratch, s, labels[s, t])
        at, s_at, b_at = remember(lanes, shape, weights, state, scratch, streams, labels, t)
        if mode == LISTEN:
            continue
        for s in range(streams):
            if mode == JUDGE and labels[s, t + 1] < 0:
                after, bands = s * (time + 1) * size + (t + 1) * size, s * shape.bands
                powers(lanes, shape, weights, scratch, frames, after, scratch.heard, 2 * bands)
                labels[s, t + 1] = code_of(
                    lanes, shape, weights, scratch, s, scratch.heard, 2 * bands,
                    scratch.power, bands,
                )  # fmt: skip
        at, s_at, b_at = weigh(lanes, shape, weights, state, scratch, streams, at, s_at, b_at)
        for s in range(streams):
            counts[s, t] = recall(
                lanes, shape, weights, state, scratch, s, told, (s * time + t) * shape.bands,
                controls[s, 3],
            )  # fmt: skip
            mingle(lanes, shape, scratch, s, counts[s, t])
            if mode == JUDGE:
                nats[s, t] = likelihood(shape, scratch, s, labels[s, t + 1])
            else:
                uniform, temperature, top_p = chance[s, t], controls[s, 0], controls[s, 1]
                labels[s, t + 1] = pick(lanes, shape, scratch, s, uniform, temperature, top_p)
        if mode == JUDGE:
            expect(lanes, shape, weights, scratch, streams, labels, told, counts, t, at, s_at, b_at)
            for s in range(streams):
                after = s * (time + 1) * size + (t + 1) * size
                nats[s, t] += judged(shape, scratch, s, frames, after)
    if mode != DRAW:
        return
    for t in range(time):
        if t:
            hear(
                lanes, shape, weights, state, scratch, streams, frames, time, labels, heard, t, pole
            )
        expect(lanes, shape, weights, scratch, streams, labels, told, counts, t, at, s_at, b_at)
        for s in range(streams):
            after = s * (time + 1) * size + (t + 1) * size
            far, away = s * time * size + t * size, (s * time + t) * shape.bands
            waver(lanes, shape, scratch, s, controls[s, 2], noise, far, frames, after)
            bring(lanes, shape, weights, scratch, s, controls[s, 2], swings, away, frames, after)
