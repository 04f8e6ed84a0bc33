"""The gated residual block of a WaveNet, and what is given hop by hop made sample by sample."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

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

    def step(self, x: Any, state: Any, bias: Any = 0.0) -> tuple[Any, Any, Any]:
        """Returns (next block's input, gated output `(batch, time, gate)`, next state).

        Args:
            x: `(batch, time, residual)`.
            state: of `initial_state` or an earlier step.
            bias: what conditions the block, `(batch, time, 2 * gate)`.
        """
        z, state = self.conv.step(x, state)
        z = z + bias
        gated = ops.tanh(z[..., : self.gate]) * ops.sigmoid(z[..., self.gate :])
        return x + self.residual(gated), gated, state


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
