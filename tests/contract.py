"""The law as one function: whole = blocks = one by one, causal, rows apart; the state matters."""

from __future__ import annotations

import keras
import numpy as np

from wavegen import backend
from wavegen.streaming import parameters, pure


def stepping(streaming, many=False):
    """Returns its `step`; compiled where it is called many times, or on JAX at all."""
    if not (many or backend.name() == "jax") or not hasattr(streaming, "variables"):
        return streaming.step
    params, step = parameters(streaming), backend.compiled(pure(streaming))
    return lambda x, state: step(params, x, state)


def run_blocks(step, state, x, blocks):
    """Returns the outputs of `step` over consecutive blocks, joined."""
    outputs, start = [], 0
    for size in blocks:
        y, state = step(x[:, start : start + size], state)
        outputs.append(keras.tree.map_structure(np.asarray, y))
        start += size
    assert start == x.shape[1]
    return np.concatenate(outputs, axis=1)


def shapes(state):
    """Returns shape and dtype of every array of a state."""
    return [
        (tuple(a.shape), keras.backend.standardize_dtype(a.dtype))
        for a in keras.tree.flatten(state)
    ]


def verify_contract(streaming, x, *, tolerance=2e-5, remembers=True):
    """Asserts the laws of anything that runs in time.

    Args:
        streaming: has `initial_state`, `step` and is callable.
        x: (batch >= 2, time >= 8, features).
        tolerance: of the greatest difference, relative to the output's spread.
        remembers: whether dropping the state must show.
    """
    time, step = x.shape[1], stepping(streaming)
    whole = np.asarray(streaming(x))
    scale = whole.std() + 1e-6

    def differs(a, b):
        return np.abs(a - b).max() / scale

    splits = [[time], [1] * time, [1, 2, time - 4, 1], [time // 2, time - time // 2]]
    for blocks in splits:
        found = run_blocks(step, streaming.initial_state(len(x)), x, blocks)
        assert differs(found, whole) < tolerance, blocks

    def heard(x):
        return np.asarray(step(x, streaming.initial_state(len(x)))[0])

    # State keeps its shapes and types, and is never changed in place.
    before = streaming.initial_state(len(x))
    kept = [np.array(a) for a in keras.tree.flatten(before)]
    _, after = step(x[:, :3], before)
    assert shapes(before) == shapes(after)
    for old, now in zip(kept, keras.tree.flatten(before), strict=True):
        assert np.array_equal(old, np.asarray(now))

    # The future does not change the past.
    changed = np.array(x)
    changed[:, time // 2 :] = changed[:, time // 2 :][:, ::-1]
    assert not np.array_equal(changed, x)
    assert differs(heard(changed)[:, : time // 2], whole[:, : time // 2]) < tolerance

    # Rows of a batch are independent.
    other = np.array(x)
    other[1:] = other[1:, ::-1]
    assert differs(heard(other)[0], whole[0]) < tolerance

    if remembers:  # dropped on purpose, the state must be missed
        half = time // 2
        dropped = np.concatenate([heard(x[:, :half]), heard(x[:, half:])], axis=1)
        assert differs(dropped, whole) > 100 * tolerance
