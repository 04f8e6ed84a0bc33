import conftest
import keras
import numpy as np
import pytest
from conftest import make_frames, make_model
from keras import ops

from wavegen import backend, mixed, optimizer
from wavegen.config import build
from wavegen.feed import Feed
from wavegen.train_settings import TrainSettings

WHOLE = mixed.Mode()
PIECES = mixed.Mode(pieces=True)
MIXED = mixed.Mode(narrow=True, pieces=True)
ROUNDING = 2.0**-8  # of bfloat16, relative


def operands():
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, 5, 7)), rng.standard_normal((7, 3))
    return x.astype("float32"), kernel.astype("float32")


def kind(x):
    return keras.backend.standardize_dtype(x.dtype)


def test_outside_of_training_a_product_is_a_product():
    x, kernel = operands()
    y = mixed.product(x, kernel)
    assert kind(y) == "float32"
    np.testing.assert_allclose(np.asarray(y), x @ kernel, rtol=1e-5, atol=1e-6)
    assert mixed.narrow(x) is x


def test_products_are_of_rounded_numbers_only_within_the_mode():
    x, kernel = operands()
    with mixed.mode(MIXED):
        y = mixed.product(x, kernel)
        assert kind(y) == "bfloat16" and kind(mixed.wide(y)) == "float32"
    apart = np.abs(np.asarray(mixed.wide(y)) - x @ kernel)
    assert 0 < apart.max() < 3 * ROUNDING * (np.abs(x) @ np.abs(kernel)).max()
    assert kind(mixed.product(x, kernel)) == "float32"


def test_a_mode_ends_with_an_error_too():
    with pytest.raises(ZeroDivisionError), mixed.mode(MIXED):
        raise ZeroDivisionError
    assert kind(mixed.product(*operands())) == "float32"


@pytest.mark.skipif(conftest.JAX, reason="JAX compiles a step as a whole")
def test_what_is_fused_is_the_same_function():
    """Each by itself only in a step of pieces; there a number among its arguments is a constant."""
    seen = []

    @mixed.fused
    def function(x, times, offset):
        seen.append(isinstance(x, np.ndarray))
        return mixed.wide(x) * times + offset, mixed.narrow(x)

    x, _ = operands()
    y, same = function(x, 3, 0.5)
    assert seen == [True] and same is x  # called as it is
    for mode, dtype in ((PIECES, "float32"), (MIXED, "bfloat16")):
        with mixed.mode(mode):
            for times in (3, 4):
                offset = keras.Variable(np.float32(0.5))
                found, rounded = function(ops.convert_to_tensor(x), times, offset)
                found = (np.asarray(found) - 0.5) * 3 / times + 0.5
                np.testing.assert_allclose(found, np.asarray(y), rtol=1e-5, atol=1e-6)
                assert kind(rounded) == dtype
    assert len(seen) > 2 and not any(seen[1:])


MODELS = {
    "mixture": {},
    "softmax, no predictor": dict(head="softmax", levels=32, predictor_order=0),
    "stereo": dict(channels=2),
    "conditioned": dict(condition_bands=8, condition_hop=64),
}


def stepped(mode, fields, monkeypatch):
    """Returns the loss and the learner after one step from the same weights, in a mode."""
    monkeypatch.setattr(mixed, "best", lambda: mode)
    keras.utils.set_random_seed(5)
    model = make_model("wavenet", **fields)
    model.mixes = True
    rng = np.random.default_rng(1)
    for output in model.outputs_:  # of a predictor they begin at zero, and nothing before learns
        output.kernel.assign(0.1 * rng.standard_normal(output.kernel.shape))
    layout = optimizer.Layout(model)
    window = 128
    step = optimizer.training_step(layout, build(TrainSettings, dict(clip=1e9)))
    given = None
    if model.config.condition_bands:
        from wavegen.bands import bands_of

        bands = bands_of(model.config)
        heard = rng.standard_normal((2, 1, window + 2 * bands.reach)).astype("float32")
        given = bands.given(bands.levels(0.1 * heard))
    frames = make_frames(model, batch=2, time=window + 1)
    valid, reset = np.ones((2, window), "float32"), np.ones(2, bool)
    feed = Feed(frames, valid, reset, None, given)
    begun = optimizer.begin(layout)
    learner, loss, _, state = step(begun, np.float32(1e-3), feed, model.initial_state(2))
    learner = optimizer.Learner(*learner)
    gradient = np.asarray(learner.first) / (1 - optimizer.BETA_1)
    kept = zip((learner, state), (begun, model.initial_state(2)), strict=True)
    for after, before in kept:  # of float32, as they were
        after, before = keras.tree.flatten(after), keras.tree.flatten(before)
        assert list(map(kind, after)) == list(map(kind, before))
    return float(loss), gradient


@pytest.mark.slow
@pytest.mark.parametrize("fields", MODELS.values(), ids=list(MODELS))
def test_a_step_of_pieces_is_the_step_and_in_bfloat16_nearly(fields, monkeypatch):
    loss, gradient = stepped(WHOLE, fields, monkeypatch)
    if not conftest.JAX:
        same, alike = stepped(PIECES, fields, monkeypatch)
        assert same == pytest.approx(loss, rel=1e-5)
        np.testing.assert_allclose(alike, gradient, atol=1e-4 * np.abs(gradient).max())
    near, rounded = stepped(MIXED._replace(pieces=not conftest.JAX), fields, monkeypatch)
    assert near == pytest.approx(loss, rel=0.01)
    cosine = rounded @ gradient / np.linalg.norm(rounded) / np.linalg.norm(gradient)
    assert 0.999 < cosine < 1.0 - 1e-9


@pytest.mark.slow
@pytest.mark.skipif(conftest.JAX, reason="JAX compiles a step as a whole")
def test_steps_of_pieces_are_the_same_to_the_last_bit(monkeypatch):
    """Or a run would not go on as if it had never stopped."""
    monkeypatch.setattr(mixed, "best", lambda: MIXED)
    model = make_model("wavenet", residual_channels=32, gate_channels=32, skip_channels=64)
    layout = optimizer.Layout(model)
    frames = make_frames(model, batch=4, time=1025)
    feed = Feed(frames, np.ones((4, 1024), "float32"), np.ones(4, bool), None)

    def trained():
        step = optimizer.training_step(layout, build(TrainSettings, {}))
        learner, state = optimizer.begin(layout), model.initial_state(4)
        for _ in range(4):
            learner, _, _, state = step(learner, np.float32(1e-2), feed, state)
        return [*map(np.asarray, learner), *map(np.asarray, keras.tree.flatten(state))]

    first, second = trained(), trained()
    assert not np.array_equal(first[0], layout.vector())
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a, b)


def test_a_training_is_in_bfloat16_unless_told_otherwise_or_it_gains_nothing(monkeypatch):
    asked = []

    def best():
        asked.append(True)
        return WHOLE

    monkeypatch.setattr(mixed, "best", best)
    wide = dict(residual_channels=32, gate_channels=32)
    for family, fields, wanted, count in (
        ("wavenet", wide, True, 1),
        ("wavenet", wide, False, 0),
        ("wavenet", wide | dict(gate_channels=16), True, 0),
        ("spectral_lstm", {}, True, 0),
    ):
        asked.clear()
        layout = optimizer.Layout(make_model(family, **fields))
        optimizer.training_step(layout, build(TrainSettings, dict(mixed_precision=wanted)))
        assert len(asked) == count, (family, fields, wanted)


@pytest.mark.parametrize(
    "multiplies, on, mode",
    [
        (False, backend.CPU, WHOLE),
        (False, "a GPU", WHOLE),
        (True, backend.CPU, MIXED),
        (True, "a GPU", mixed.Mode(narrow=True)),
    ],
)
def test_the_best_mode_is_bfloat16_where_it_is_faster_and_pieces_on_a_cpu(
    multiplies, on, mode, monkeypatch
):
    monkeypatch.setattr(backend, "multiplies_bfloat16", lambda: multiplies)
    monkeypatch.setattr(backend, "device", lambda: on)
    assert mixed.best() == mode


def test_a_processor_multiplies_bfloat16_if_it_says_so(monkeypatch):
    import llvmlite.binding as llvm

    monkeypatch.setattr(backend, "device", lambda: backend.CPU)
    for has, multiplies in (({}, False), ({"avx512bf16": True}, True), ({"amx-bf16": True}, True)):
        monkeypatch.setattr(llvm, "get_host_cpu_features", lambda has=has: has)
        # XLA, which is all that JAX has, widens them on a CPU.
        assert backend.multiplies_bfloat16() == (multiplies and backend.name() == "tensorflow")
