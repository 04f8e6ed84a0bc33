import keras
import numpy as np
import pytest
from conftest import ONCE, make_frames, make_model, variants

from wavegen import optimizer
from wavegen.config import build
from wavegen.feed import Feed, disturbed
from wavegen.train_settings import TrainSettings


@pytest.fixture(params=variants(many=ONCE, quick=ONCE[1:3]))
def model(request):
    family, fields = request.param
    return make_model(family, **fields)


def settings(**fields):
    return build(TrainSettings, {"weight_decay": 0.0, "clip": 1e9} | fields)


def test_update_is_adamw_as_keras_knows_it():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(6).astype("float32")
    variable = keras.Variable(weights)
    theirs = keras.optimizers.AdamW(
        learning_rate=0.03, weight_decay=0.1, beta_1=0.9, beta_2=0.99, epsilon=1e-8
    )
    theirs.build([variable])
    zeros = np.zeros(6, "float32")
    ours = optimizer.Learner(weights, zeros, zeros, weights, np.int32(0))
    for _ in range(5):
        gradient = rng.standard_normal(6).astype("float32")
        theirs.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        ours, _ = optimizer.update(
            ours, gradient, np.float32(0.03), np.ones(6, "float32"), settings(weight_decay=0.1)
        )
    np.testing.assert_allclose(np.asarray(ours.weights), np.asarray(variable), atol=1e-6)
    assert int(ours.updates) == 5


def test_clipping_bounds_the_gradient_and_reports_its_norm():
    zeros = np.zeros(2, "float32")
    learner = optimizer.Learner(zeros, zeros, zeros, zeros, np.int32(0))
    gradient = np.array([3.0, 4.0], "float32")
    after, norm = optimizer.update(learner, gradient, np.float32(0.1), zeros, settings(clip=1.0))
    assert float(norm) == pytest.approx(5.0)
    np.testing.assert_allclose(np.asarray(after.first), 0.1 * gradient / 5, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_no_number_changes_nothing(bad):
    ones = np.ones(2, "float32")
    learner = optimizer.Learner(ones, ones, ones, ones, np.int32(3))
    gradient = np.array([bad, 1.0], "float32")
    after, norm = optimizer.update(learner, gradient, np.float32(0.1), ones, settings())
    assert not np.isfinite(float(norm))
    for old, new in zip(learner, after, strict=True):
        assert np.array_equal(old, np.asarray(new))


def test_layout_splits_the_vector_as_it_was_joined(model):
    layout = optimizer.Layout(model)
    vector = layout.vector()
    before = [np.asarray(v) for v in model.variables]
    for value, part in zip(before, layout.parameters(vector), strict=True):
        assert np.array_equal(value, np.asarray(part))
    layout.assign(vector * 2)
    assert np.array_equal(layout.vector(), vector * 2)
    assert len(layout.decay) == len(vector) and 0 < layout.decay.mean() < 1


@pytest.mark.slow
def test_training_step_lowers_the_loss(model):
    layout = optimizer.Layout(model)
    learner = optimizer.begin(layout)
    step = optimizer.training_step(layout, settings(clip=1.0))
    frames = make_frames(model, batch=2, time=17)
    valid, reset = np.ones((2, 16), "float32"), np.ones(2, bool)
    losses, state = [], model.initial_state(2)
    bad = disturbed(model.config, settings(batch=2, window=16, dropout=0.1), 0)
    for _ in range(30):
        given = Feed(frames, valid, reset, bad)
        learner, loss, _, _ = step(learner, np.float32(3e-3), given, state)
        losses.append(float(loss))
    assert losses[-1] < losses[0] - 0.02
    assert not np.array_equal(np.asarray(learner.weights), np.asarray(learner.average))


@pytest.mark.slow
def test_state_is_carried_and_reset_row_by_row():
    model = make_model("spectral_lstm")
    layout = optimizer.Layout(model)
    step = optimizer.training_step(layout, settings())
    frames = make_frames(model, batch=2, time=9)
    valid = np.ones((2, 8), "float32")
    zero = np.float32(0)
    blank = model.initial_state(2)
    begun = optimizer.begin(layout)
    given = Feed(frames, valid, np.ones(2, bool), None)
    _, _, _, carried = step(begun, zero, given, blank)
    reset = np.array([True, False])
    *_, after = step(begun, zero, given._replace(reset=reset), carried)
    _, by_hand = model.step(frames[:, :-1], optimizer.renewed(model, carried, reset))
    for a, b in zip(keras.tree.flatten(after), keras.tree.flatten(by_hand), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=1e-5)
    fresh = keras.tree.flatten(optimizer.renewed(model, carried, reset))
    states = (fresh, keras.tree.flatten(carried), keras.tree.flatten(blank))
    for leaf, old, silence in zip(*states, strict=True):
        assert np.array_equal(np.asarray(leaf)[0], np.asarray(silence)[0])
        assert np.array_equal(np.asarray(leaf)[1], np.asarray(old)[1])


def test_schedule_rises_then_falls_to_the_end_of_the_box():
    given = settings(learning_rate=0.1, warmup_steps=10)
    assert optimizer.schedule(given, 0, 0.0) == pytest.approx(0.01)
    assert optimizer.schedule(given, 9, 0.0) == pytest.approx(0.1)
    falling = [optimizer.schedule(given, 100, p) for p in np.linspace(0, 1, 11)]
    assert all(a > b for a, b in zip(falling, falling[1:], strict=False))
    assert falling[-1] == pytest.approx(0.002)
