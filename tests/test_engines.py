import keras
import numpy as np
import pytest
from conftest import make_frames

from wavegen.engines.reference import ENGINES, row_controls


def uniforms(model, rows, time, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((rows, time, *model.noise_shape)).astype("float32")


@pytest.mark.parametrize("engine", ENGINES)
def test_drawing_is_step_and_draw_by_hand(model, engine):
    """The compiled loop gives what stepping and drawing frame by frame gives."""
    frames = make_frames(model, batch=1, time=12)
    noise = uniforms(model, 1, 6)
    found, _ = ENGINES[engine](model).draw(ENGINES[engine](model).prime(frames), noise)
    _, state = model.step(frames[:, :-1], model.initial_state(1))
    last = frames[:, -1:]
    for t in range(6):
        y, state = model.step(last, state)
        last = np.asarray(model.draw(y, noise[:, t : t + 1]))
        if type(model).family == "wavenet":
            assert np.array_equal(found[:, t : t + 1], last)
        else:
            np.testing.assert_allclose(found[:, t : t + 1], last, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_blocks_and_batches_change_no_bit(model, engine):
    frames = make_frames(model, batch=3, time=12)
    noise = uniforms(model, 3, 40)
    drawer = ENGINES[engine](model)
    heard = drawer.prime(np.repeat(frames[:1], 3, 0))
    whole, _ = drawer.draw(heard, noise, temperature=0.9)
    session, parts = heard, []
    for start in (0, 10, 20, 30):
        part, session = drawer.draw(session, noise[:, start : start + 10], temperature=0.9)
        parts.append(part)
    assert np.array_equal(np.concatenate(parts, 1), whole)
    alone, _ = drawer.draw(drawer.prime(frames[:1]), noise[1:2], temperature=0.9)
    assert np.array_equal(alone[0], whole[1])
    if getattr(model.config, "head", "") != "mse":  # which leaves nothing to chance
        assert not np.array_equal(whole[0], whole[1])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_heard_state_can_be_answered_again(model, engine):
    """A session is a value: drawing does not use it up."""
    frames = make_frames(model, batch=1, time=12)
    drawer = ENGINES[engine](model)
    heard = drawer.prime(frames)
    kept = [np.array(a) for a in keras.tree.flatten(heard)]
    first, _ = drawer.draw(heard, uniforms(model, 1, 10))
    again, _ = drawer.draw(heard, uniforms(model, 1, 10))
    other, _ = drawer.draw(heard, uniforms(model, 1, 10, seed=5))
    assert np.array_equal(first, again)
    if getattr(model.config, "head", "") != "mse":
        assert not np.array_equal(first, other)
    for old, now in zip(kept, keras.tree.flatten(heard), strict=True):
        assert np.array_equal(old, np.asarray(now))


@pytest.mark.parametrize("engine", ENGINES)
def test_priming_goes_on_where_it_stopped(model, engine):
    frames = make_frames(model, batch=1, time=20)
    drawer = ENGINES[engine](model)
    at_once = drawer.prime(frames)
    in_parts = drawer.prime(
        frames[:, 12:], drawer.prime(frames[:, 11:12], drawer.prime(frames[:, :11]))
    )
    for a, b in zip(keras.tree.flatten(at_once), keras.tree.flatten(in_parts), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-5)


def test_log_prob_is_the_whole_signals(model):
    drawer = ENGINES["reference"](model)
    drawer.block = 7
    frames = make_frames(model, batch=1, time=24)[0]
    y, _ = model.step(frames[None, :-1], model.initial_state(1))
    wanted = np.asarray(model.log_prob(y, frames[None, 1:]))[0]
    np.testing.assert_allclose(drawer.log_prob(frames), wanted, rtol=1e-4, atol=1e-4)


def test_engine_keeps_the_weights_it_was_given(model):
    frames = make_frames(model, batch=1, time=12)
    drawer = ENGINES["reference"](model)
    before, _ = drawer.draw(drawer.prime(frames), uniforms(model, 1, 10))
    for variable in model.trainable_variables:
        variable.assign(np.asarray(variable) * 0)
    after, _ = drawer.draw(drawer.prime(frames), uniforms(model, 1, 10))
    assert np.array_equal(before, after)


def test_a_control_is_one_number_or_one_per_row():
    assert row_controls({"temperature": [0.5, 2.0], "top_p": 1.0}, 1) == {
        "temperature": 2.0,
        "top_p": 1.0,
    }
