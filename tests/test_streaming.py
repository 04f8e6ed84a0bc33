import conftest
import keras
import numpy as np
import pytest
from conftest import by_default
from contract import verify_contract
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from wavegen import backend
from wavegen.streaming import (
    CausalConv1D,
    RecurrentStack,
    Ring,
    one_pole,
    ordered,
    parameters,
    pure,
)

LENGTH = 34 if conftest.QUICK else 66  # frames: beyond the past of any convolution here


@pytest.mark.parametrize("kernel_size", [2, 3])
@pytest.mark.parametrize("dilation", [1, 2, 5, 16])
def test_causal_conv_keeps_the_contract(kernel_size, dilation):
    layer = CausalConv1D(5, kernel_size, dilation)
    layer.build((None, None, 3))
    x = np.random.default_rng(0).standard_normal((2, 20, 3)).astype("float32")
    verify_contract(layer, x, remembers=dilation < 16)


def built(kernel_size, dilation):
    """Returns a convolution from 3 features to 5, and a signal for it."""
    layer = CausalConv1D(5, kernel_size, dilation)
    layer.build((None, None, 3))
    return layer, np.random.default_rng(1).standard_normal((2, 80, 3)).astype("float32")


@pytest.mark.slow
@pytest.mark.parametrize("kernel_size", [2, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2, 5, 16])
def test_a_ring_is_the_past_frame_by_frame(kernel_size, dilation):
    """From silence or from the middle of a sound: same outputs, and the same past in the end."""
    layer, x = built(kernel_size, dilation)
    x = x[:, : LENGTH + 7]
    whole = np.asarray(layer(x))
    for start in (0, 7):
        state = layer.initial_state(2)
        if start:
            _, state = layer.step(x[:, :start], state)
        turning = Ring(state, 0)
        for t in range(start, start + LENGTH):
            y, turning = layer.step(x[:, t : t + 1], turning)
            np.testing.assert_allclose(np.asarray(y), whole[:, t : t + 1], atol=2e-6)
            _, state = layer.step(x[:, t : t + 1], state)
            assert np.array_equal(np.asarray(ordered(turning)), np.asarray(state)), t
        assert int(turning.position) == LENGTH > layer.past


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_a_ring_at_a_wrong_position_gives_another_sound(kernel_size):
    layer, x = built(kernel_size, 4)
    _, state = layer.step(x[:, :50], layer.initial_state(2))
    right, rows = np.asarray(layer(x))[:, 50:51], state
    for position in range(layer.past):
        y, _ = layer.step(x[:, 50:51], Ring(rows, position))
        assert (np.abs(np.asarray(y) - right).max() > 1e-2) == (position > 0), position


def test_a_ring_is_a_value_and_hears_one_frame():
    layer, x = built(2, 4)
    turning = Ring(layer.initial_state(2), 0)
    kept = np.array(turning.rows)
    layer.step(x[:, :1], turning)
    assert np.array_equal(kept, np.asarray(turning.rows))
    with pytest.raises(AssertionError, match="frame by frame"):
        layer.step(x[:, :2], turning)


def test_causal_conv_is_the_textbook_sum():
    layer = CausalConv1D(1, 3, 2)
    layer.build((None, None, 1))
    layer.kernel.assign(np.array([[3.0], [5.0], [7.0]]))  # oldest tap first
    impulse = np.zeros((1, 8, 1), "float32")
    impulse[0, 1] = 1.0
    assert np.asarray(layer(impulse))[0, :, 0].tolist() == [0, 7, 0, 5, 0, 3, 0, 0]


@conftest.in_ci
def test_recurrent_stack_keeps_the_contract():
    layer = RecurrentStack(6, 3)
    layer.build((None, None, 4))
    x = np.random.default_rng(0).standard_normal((3, 9, 4)).astype("float32")
    verify_contract(layer, x)


@by_default
@settings(max_examples=20)
@given(st.integers(1, 70), st.floats(0.3, 0.995), st.integers(0, 2**31))
def test_one_pole_is_the_recursion(time, pole, seed):
    rng = np.random.default_rng(seed)
    x, last = rng.standard_normal((2, time, 3)), rng.standard_normal((2, 1, 3))
    wanted, y = [], last[:, 0]
    for t in range(time):
        y = pole * y + (1 - pole) * x[:, t]
        wanted.append(y)
    found = one_pole(ops.convert_to_tensor(x.astype("float32")), last.astype("float32"), pole)
    np.testing.assert_allclose(np.asarray(found), np.stack(wanted, 1), atol=2e-5)


def test_pure_sees_the_parameters_it_is_given():
    """Compiled through `pure`, new weights count; the model's own stay untouched."""

    class Scale(keras.Model):
        def __init__(self):
            super().__init__()
            self.factor = self.add_weight(shape=(), initializer="ones")
            self.built = True

        def step(self, x, state):
            return self.factor * x, state + ops.sum(x)

    model = Scale()
    step = backend.compiled(pure(model))
    x, state = np.full((1, 2, 1), 3.0, "float32"), np.float32(0)
    first, _ = step(parameters(model), x, state)
    second, total = step([np.float32(2.0)], x, state)
    assert np.asarray(first)[0, 0, 0] == 3.0
    assert np.asarray(second)[0, 0, 0] == 6.0
    assert float(total) == 6.0
    assert float(np.asarray(model.factor)) == 1.0
    model.factor.assign(5.0)
    third, _ = step(parameters(model), x, state)
    assert np.asarray(third)[0, 0, 0] == 15.0


def test_gradient_is_taken_of_the_first_argument():
    def function(x, y):
        return ops.sum(x * x * y), ops.sum(x)

    (value, extra), gradient = backend.compiled(backend.value_and_gradient(function))(
        np.array([1.0, 2.0], "float32"), np.array([3.0, 5.0], "float32")
    )
    assert (float(value), float(extra)) == (23.0, 3.0)
    assert np.asarray(gradient).tolist() == [6.0, 20.0]
