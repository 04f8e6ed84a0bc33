"""The law: whatever runs in time has `initial_state(batch_size)` and `step(x, state)`.

`x` is a block `(batch, time >= 1, features)`; `step` returns the output block and the next state,
a nest of arrays of fixed shape and dtype. `call(x)` is `step(x, initial_state)[0]`, so training,
priming on a seed and playing sample by sample are one computation. Convolutions keep their latest
inputs, oldest first, as in Paine et al. 2016 (arXiv:1611.09482); recurrent layers their h and c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from wavegen import mixed


class Ring(NamedTuple):
    """A convolution's past as an engine may keep it in a loop: a step writes one row of it."""

    rows: Any  # (batch, past, features); a past, oldest first, is the rows at position 0
    position: Any  # int32 scalar >= 0: the oldest frame, the next one's place, modulo past


def ordered(ring: Ring) -> Any:
    """Returns the past `(batch, past, features)`, oldest frame first, that a ring holds."""
    past = ring.rows.shape[1]
    twice = ops.concatenate([ring.rows, ring.rows], axis=1)
    return ops.slice(twice, ops.stack([0, ring.position % past, 0]), tuple(ring.rows.shape))


class CausalConv1D(keras.layers.Layer):
    """A dilated causal convolution along time, written as one matrix product over its taps."""

    def __init__(
        self, filters: int, kernel_size: int = 2, dilation_rate: int = 1, **kwargs: Any
    ) -> None:
        """Makes a layer of `filters` outputs.

        Args:
            filters: features of the output.
            kernel_size: taps, the newest of them the present frame.
            dilation_rate: frames from tap to tap.
            **kwargs: of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.dilation_rate = filters, kernel_size, dilation_rate

    @property
    def past(self) -> int:
        """Frames of the past that the layer keeps."""
        return (self.kernel_size - 1) * self.dilation_rate

    def build(self, input_shape: tuple) -> None:
        """Makes the kernel `(kernel_size * features, filters)`, oldest tap first, and the bias."""
        self.input_features = input_shape[-1]
        shape = (self.kernel_size * self.input_features, self.filters)
        self.kernel = self.add_weight(shape=shape, initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def initial_state(self, batch_size: int) -> Any:
        """Returns silence as the past: zeros `(batch, past, features)`."""
        return ops.zeros((batch_size, self.past, self.input_features), dtype=self.compute_dtype)

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """Returns the output `(batch, time, filters)` and the latest `past` inputs.

        Args:
            x: `(batch, time, features)`.
            state: the `past` inputs before `x`, oldest first; or, for one frame, their `Ring`.
        """
        _, y, state = self.weighed((x,), state)
        return y + self.bias, state

    def weighed(self, parts: tuple, state: Any) -> tuple[Any, Any, Any]:
        """Returns the `total` of parts, and what `step` does with it, but without the bias."""
        if isinstance(state, Ring):
            x = total(parts)
            return x, *self.turn(x, state)
        x, taps, state = side_by_side(parts, state, self.kernel_size, self.dilation_rate)
        return x, mixed.product(taps, self.kernel), state

    def turn(self, x: Any, ring: Ring) -> tuple[Any, Ring]:
        """Returns the output for one frame, without the bias, and the ring that has heard it."""
        past, hop = self.past, self.dilation_rate
        assert x.shape[1] == 1 and ring.rows.shape[1] == past, "a ring hears frame by frame"
        starts = [(ring.position + tap * hop) % past for tap in range(self.kernel_size - 1)]
        taps = [ops.slice(ring.rows, ops.stack([0, at, 0]), tuple(x.shape)) for at in starts]
        y = mixed.product(ops.concatenate([*taps, x], axis=-1), self.kernel)
        # 0 as long as y is a number. Since the row's place hangs on y, a compiler has to read the
        # taps before it writes, and can write in place; left to itself it copies all rows.
        after = ops.cast(ops.isnan(y[0, 0, 0]), "int32")
        rows = ops.slice_update(ring.rows, ops.stack([0, starts[0] + after, 0]), x)
        return y, Ring(rows, ring.position + 1)

    def call(self, x: Any) -> Any:
        """Returns the output for a whole signal that silence precedes."""
        return self.step(x, self.initial_state(x.shape[0]))[0]


def total(parts: tuple) -> Any:
    """Returns x of (x,), or x + y + bias of (x, y, bias), y of `mixed.product`."""
    x, *more = parts
    return x + (mixed.wide(more[0]) + more[1]) if more else x


@mixed.fused
def side_by_side(parts: tuple, state: Any, kernel_size: int, dilation: int) -> tuple[Any, Any, Any]:
    """Returns the total, its taps, oldest first, as features of each frame, and the next past."""
    x = total(parts)
    time = x.shape[1]
    heard = ops.concatenate([state, x], axis=1)  # (batch, past + time, features)
    rounded = mixed.narrow(heard)
    taps = [rounded[:, k * dilation : k * dilation + time] for k in range(kernel_size)]
    return x, ops.concatenate(taps, axis=-1), heard[:, time:]


class RecurrentStack(keras.layers.Layer):
    """LSTM layers, one over the other (Hochreiter & Schmidhuber 1997); state ((h, c), ...)."""

    def __init__(self, units: int, layers: int = 1, **kwargs: Any) -> None:
        """Makes `layers` LSTMs of `units` each."""
        super().__init__(**kwargs)
        self.units = units
        self.lstms = [
            keras.layers.LSTM(units, return_sequences=True, return_state=True, name=f"lstm_{i}")
            for i in range(layers)
        ]

    def build(self, input_shape: tuple) -> None:
        """Builds every layer for `(batch, time, features)`."""
        for lstm in self.lstms:
            lstm.build(input_shape)
            input_shape = (*input_shape[:-1], self.units)

    def initial_state(self, batch_size: int) -> Any:
        """Returns zeros (h, c) of shape `(batch, units)` for every layer."""
        zeros = ops.zeros((batch_size, self.units), dtype=self.compute_dtype)
        return tuple((zeros, zeros) for _ in self.lstms)

    def step(self, x: Any, state: Any, masks: Any = None) -> tuple[Any, Any]:
        """Returns the top layer's outputs `(batch, time, units)` and the next state.

        Args:
            x: `(batch, time, features)`.
            state: of `initial_state` or an earlier step.
            masks: in training, factors `(layers + 1, batch, 1, units)` of each layer's input and
                of the output: dropout.
        """
        following = []
        for number, (lstm, pair) in enumerate(zip(self.lstms, state, strict=True)):
            x = x if masks is None else x * masks[number]
            x, h, c = lstm(x, initial_state=list(pair))
            following.append((h, c))
        return x if masks is None else x * masks[-1], tuple(following)

    def call(self, x: Any) -> Any:
        """Returns the outputs for a whole signal heard from a blank memory."""
        return self.step(x, self.initial_state(x.shape[0]))[0]


def one_pole(x: Any, state: Any, pole: Any) -> Any:
    """Returns y[t] = pole * y[t-1] + (1 - pole) * x[t] along axis 1, exactly, in log2(time) passes.

    Args:
        x: `(batch, time, channels)`.
        state: y before the block, `(batch, 1, channels)`.
        pole: a number in (0, 1), or one for each frame, `(batch, time, 1)`, 1 where y stays.
    """
    time, fixed = x.shape[1], isinstance(pole, float)
    x = (1 - pole) * x
    first = pole if fixed else pole[:, :1]
    y = ops.concatenate([x[:, :1] + first * state, x[:, 1:]], axis=1)
    reach, decay = 1, pole
    while reach < time and (not fixed or decay > 1e-12):  # after k passes y sums 2^k past inputs
        past = [[0, 0], [reach, 0], [0, 0]]
        y = y + decay * ops.pad(y[:, :-reach], past)
        decay = decay * (decay if fixed else ops.pad(decay[:, :-reach], past))
        reach = 2 * reach
    return y


def parameters(model: keras.Model) -> list[Any]:
    """Returns copies of the values of all the model's variables, in the order `pure` takes them."""
    # Through NumPy, because a tensor may share the variable's memory and change with it.
    return [ops.convert_to_tensor(np.copy(np.asarray(variable))) for variable in model.variables]


def pure(model: keras.Model, method: str = "step") -> Callable:
    """Returns `f(params, *args)`: a method of the model as a function of its parameters too.

    Only such a function may be compiled: JAX would bake the weights of `model.step` into it.

    Args:
        model: built; `parameters(model)` gives today's `params`.
        method: the method's name, e.g. "step" or "draw".
    """
    variables = model.variables

    def function(params: Any, *args: Any, **kwargs: Any) -> Any:
        mapping = list(zip(variables, params, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return getattr(model, method)(*args, **kwargs)

    return function
