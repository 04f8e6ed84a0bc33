"""The gated residual block of a WaveNet, and what is given hop by hop made sample by sample."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from wavegen import mixed
from wavegen.streaming import CausalConv1D


class GatedBlock(keras.layers.Layer):
    """tanh times sigmoid of a dilated convolution, and the residual way around it."""

    def __init__(self, gate: int, residual: int, kernel_size: int, dilation: int, **kwargs: Any):
        """Makes one block; `gate` and `residual` are widths, `dilation` is in samples."""
        super().__init__(**kwargs)
        self.gate = gate
        self.conv = CausalConv1D(2 * gate, kernel_size, dilation, name="dilated")
        self.residual = keras.layers.Dense(residual, name="residual")

    def build(self, input_shape: tuple) -> None:
        """Builds both parts for `(batch, time, residual)`."""
        self.conv.build(input_shape)
        self.residual.build((*input_shape[:-1], self.gate))

    def initial_state(self, batch_size: int) -> Any:
        """Returns the convolution's silent past."""
        return self.conv.initial_state(batch_size)

    def step(self, parts: tuple, state: Any, bias: Any = None) -> tuple[tuple, Any, Any]:
        """Returns (next block's input, gated output `(batch, time, gate)`, next state).

        Args:
            parts: the input `(batch, time, residual)` as what `streaming.total` takes: the sum is
                made together with what is made of it.
            state: of `initial_state` or an earlier step.
            bias: what conditions the block, `(batch, time, 2 * gate)`, if anything does.
        """
        x, z, state = self.conv.weighed(parts, state)
        gate = gated(z, self.conv.bias, bias)
        y = mixed.product(gate, self.residual.kernel)
        return (x, y, self.residual.bias), gate, state


@mixed.fused
def gated(z: Any, bias: Any, more: Any) -> Any:
    """Returns tanh of the first half of `z + bias + more` times sigmoid of the other."""
    z = mixed.wide(z) + bias
    tanh, sigmoid = ops.split(z if more is None else z + more, 2, axis=-1)
    return mixed.narrow(ops.tanh(tanh) * ops.sigmoid(sigmoid))


@mixed.fused
def rectified(y: Any, bias: Any) -> Any:
    """Returns what is positive of y + bias, and else 0."""
    return mixed.narrow(ops.relu(mixed.wide(y) + bias))


@mixed.fused
def beside(y: Any, bias: Any, *more: Any) -> Any:
    """Returns y + bias and further features."""
    return ops.concatenate([mixed.wide(y) + bias, *more], axis=-1)


def in_lines(knots: Any, hop: int) -> Any:
    """Returns `(batch, hops * hop, features)`: straight lines between knots `(batch, hops + 1, .)`.

    Args:
        knots: the values at the first sample of each hop, and after the last.
        hop: samples from knot to knot.
    """
    batch, count, features = knots.shape
    share = (np.arange(hop, dtype="float32") / hop)[:, None]
    here, change = knots[:, :-1, None], (knots[:, 1:] - knots[:, :-1])[:, :, None]
    return ops.reshape(here + share * change, (batch, (count - 1) * hop, features))


def held(values: Any, samples: int) -> Any:
    """Returns values `(batch, parts, ...)` for `samples` samples each, `(batch, time, ...)`."""
    batch, parts, *rest = values.shape
    spread = ops.broadcast_to(values[:, :, None], (batch, parts, samples, *rest))
    return ops.reshape(spread, (batch, parts * samples, *rest))
