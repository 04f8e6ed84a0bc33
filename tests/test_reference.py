import functools

import keras
import numpy as np
import pytest
from conftest import JOINT, ONCE, make_frames, make_model, shared_model, variants
from contract import shapes, stepping

from wavegen.engines.reference import Reference
from wavegen.errors import UsageError
from wavegen.nest import map_nest
from wavegen.streaming import Ring

LENGTH = 60  # of what is drawn: beyond every receptive field


# The quick suite has the other wavenet in test_engines.py.
@pytest.fixture(params=variants("wavenet", (*ONCE, JOINT), quick=ONCE[1:2]))
def wavenet(request):
    family, fields = request.param
    return shared_model(family, tuple(fields.items()))


@functools.cache
def engine_of(model):
    """Returns the engine that several tests share: of a length it compiles one loop."""
    return Reference(model)


def uniforms(model, rows, time, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((rows, time, *model.config.noise_shape)).astype("float32")


def assert_close(found, wanted, tolerance=1e-4):
    for a, b in zip(keras.tree.flatten(found), keras.tree.flatten(wanted), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=tolerance, atol=tolerance)


def test_distributions_are_the_models_own(wavenet):
    frames, config = make_frames(wavenet, batch=2, time=24), wavenet.config
    found, session = engine_of(wavenet).distributions(frames)
    y, state = wavenet.step(frames[:, :-1], wavenet.initial_state(2))
    count = config.levels if config.head == "softmax" else 3 * config.mixtures
    assert found.shape == (2, 23, config.channels, count) and found.dtype == np.float32
    assert_close(found, wavenet.distributions(y, frames[:, 1:]))
    assert_close(session, (frames[:, -1:], state))


def test_distributions_go_on_from_a_session(wavenet):
    """Whole = blocks = after priming = one frame at a time."""
    engine, frames = engine_of(wavenet), make_frames(wavenet, batch=2, time=20)
    whole, end = engine.distributions(frames)
    first, session = engine.distributions(frames[:, :9])
    second, after = engine.distributions(frames[:, 9:10], session)
    third, last = engine.distributions(frames[:, 10:], after)
    assert_close(np.concatenate([first, second, third], axis=1), whole)
    assert_close(last, end)
    primed, _ = engine.distributions(frames[:, 9:], engine.prime(frames[:, :9]))
    assert_close(primed, whole[:, 8:])


def test_distributions_need_a_frame_to_come_after_and_a_family_with_levels():
    engine = Reference(make_model("wavenet"))
    with pytest.raises(UsageError, match="1 frames have no distribution"):
        engine.distributions(np.zeros((1, 1, 1), "int32"))
    engine = Reference(make_model("spectral_lstm"))
    with pytest.raises(UsageError, match="spectral_lstm has no distributions"):
        engine.distributions(make_frames(engine.model))


@pytest.mark.slow
def test_rings_turn_many_times_and_end_in_order(wavenet):
    """Longer than the receptive field, drawing is step and draw by hand, and so is its state."""
    engine, time = engine_of(wavenet), LENGTH
    assert time > wavenet.config.receptive_field + 5
    frames, noise = make_frames(wavenet, batch=1, time=30), uniforms(wavenet, 1, time)
    found, (last, state) = engine.draw(engine.prime(frames), noise)
    step = stepping(wavenet, many=True)
    _, wanted = wavenet.step(frames[:, :-1], wavenet.initial_state(1))
    frame = frames[:, -1:]
    # Of 65536 levels the neighbour is chosen where compiled code rounds otherwise.
    off = 0 if wavenet.config.head == "softmax" else 1
    for t in range(time):
        y, wanted = step(frame, wanted)
        frame, by_hand = found[:, t : t + 1], np.asarray(wavenet.draw(y, noise[:, t : t + 1]))
        assert np.abs(frame - by_hand).max() <= off, t
    assert np.array_equal(last, frame)
    assert shapes(state) == shapes(wavenet.initial_state(1))
    assert_close(state, wanted)


@pytest.mark.slow
def test_what_was_drawn_is_likely_after_the_hand_over(wavenet):
    """Teacher-forced distributions say the same, whether the frames before were drawn or heard."""
    engine, frames = engine_of(wavenet), make_frames(wavenet, batch=2, time=10)
    drawn, session = engine.draw(engine.prime(frames), uniforms(wavenet, 2, LENGTH))
    coming = make_frames(wavenet, batch=2, time=5, seed=9)
    found, _ = engine.distributions(coming, session)
    whole, _ = engine.distributions(np.concatenate([frames, drawn, coming], axis=1))
    assert_close(found, whole[:, -5:])


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [1, 2])
def test_a_ring_at_a_wrong_position_is_heard(wrong):
    model = make_model("wavenet")
    frames = make_frames(model, batch=1, time=40)
    _, state = model.step(frames[:, :-1], model.initial_state(1))

    def outputs(shift):
        turned = model.map_pasts(lambda past: Ring(past, shift), state)
        return np.asarray(model.step(frames[:, -1:], turned)[0])

    plain = np.asarray(model.step(frames[:, -1:], state)[0])
    assert_close(outputs(0), plain, 1e-5)
    assert np.abs(outputs(wrong) - plain).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("family", ["wavenet", "spectral_lstm"])
def test_rows_together_are_the_same_sound(family):
    model = make_model(family, **({"predictor_order": 0} if family == "wavenet" else {}))
    apart, together = Reference(model), Reference(model, together=True)
    frames, noise = make_frames(model, batch=3, time=12), uniforms(model, 3, 8)
    assert_close(together.prime(frames), apart.prime(frames))
    wanted, after = apart.draw(apart.prime(frames), noise, temperature=0.9)
    found, session = together.draw(together.prime(frames), noise, temperature=0.9)
    assert_close(found, wanted, 2e-3)
    assert_close(session, after, 2e-3)


@pytest.mark.slow
def test_rows_with_controls_of_their_own_are_drawn_apart():
    model = make_model("wavenet", predictor_order=0)
    apart, together = Reference(model), Reference(model, together=True)
    heard = apart.prime(make_frames(model, batch=2, time=12))
    controls = {"temperature": [0.2, 1.5], "top_p": 1.0}
    wanted, _ = apart.draw(heard, uniforms(model, 2, 30), **controls)
    found, _ = together.draw(heard, uniforms(model, 2, 30), **controls)
    assert np.array_equal(found, wanted)


@pytest.mark.slow
def test_a_batch_and_its_blocks_change_no_bit_of_the_state(wavenet):
    engine, frames = engine_of(wavenet), make_frames(wavenet, batch=2, time=12)
    noise, half = uniforms(wavenet, 2, LENGTH), LENGTH // 2
    _, whole = engine.draw(engine.prime(frames), noise)
    session = engine.prime(frames)
    _, session = engine.draw(session, noise[:, :half])
    for t in range(half, LENGTH):
        _, session = engine.draw(session, noise[:, t : t + 1])
    one = map_nest(lambda array: array[1:], engine.prime(frames))
    _, alone = engine.draw(one, noise[1:])
    for a, b, c in zip(*map(keras.tree.flatten, (whole, session, alone)), strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(a[1:], c)
