"""Sizes: of a model's variables as they are named, and of the whole vectors the kernel works on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from wavegen.engines.numba_cpu.tile import CHUNK

PRECISIONS = {"float32": np.float32, "bfloat16": np.uint16, "int8": np.int16}  # of the inputs


class Shape(NamedTuple):
    """Sizes that the kernel needs; widths are whole vectors.

    Attributes:
        width: lanes of a vector.
        channels: 1 or 2.
        levels: of a sample.
        bins: levels, padded.
        extra: outputs of the last layer beyond the levels: shift and scale of the prediction.
        layers: gated blocks.
        taps: of each dilated convolution.
        residual: width of the residual path.
        gate: width of tanh and of sigmoid.
        skip: width of the skip sum.
        post: width between the last two layers.
        order: of the linear predictor; 0 for none.
        pair: inputs in one row of weights, 1 or 2.
        chunk: inputs summed at a time, at most.
    """

    width: int
    channels: int
    levels: int
    bins: int
    extra: int
    layers: int
    taps: int
    residual: int
    gate: int
    skip: int
    post: int
    order: int
    pair: int
    chunk: int


def weight_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Returns the name and shape of every variable of a model that drawing takes."""
    residual, gate, post = config.residual_channels, config.gate_channels, config.post_channels
    levels, channels, order = config.levels, config.channels, config.predictor_order
    shapes: dict[str, tuple[int, ...]] = {
        "scalars/kernel": ((4 if order else 1) * channels, residual),
        "scalars/bias": (residual,),
        "skip/kernel": (len(config.dilations) * gate, config.skip_channels),
        "skip/bias": (config.skip_channels,),
        "post/kernel": (config.skip_channels, channels * post),
        "post/bias": (channels * post,),
    }
    for layer in range(len(config.dilations)):
        shapes[f"block_{layer}/dilated/kernel"] = (config.kernel_size * residual, 2 * gate)
        shapes[f"block_{layer}/dilated/bias"] = (2 * gate,)
        shapes[f"block_{layer}/residual/kernel"] = (gate, residual)
        shapes[f"block_{layer}/residual/bias"] = (residual,)
    for c in range(channels):
        shapes[f"embedding_{c}/embeddings"] = (levels, residual)
        shapes[f"output_{c}/kernel"], shapes[f"output_{c}/bias"] = (post, levels + 2), (levels + 2,)
    if channels > 1:
        shapes["given_left/embeddings"] = (levels, post)
    if order:
        shapes |= {"predictor/taps": (order,), "predictor/bounds": (3,), "predictor/coupling": ()}
    return shapes


def shape_of(config: Any, width: int, precision: str) -> Shape:
    """Returns the sizes of a configuration for vectors of `width` lanes."""
    unit = max(width, 2)  # pairs of inputs must not be torn

    def up(size: int) -> int:
        return -(-size // unit) * unit

    return Shape(
        width=width,
        channels=config.channels,
        levels=config.levels,
        bins=up(config.levels),
        extra=unit if config.predictor_order else 0,
        layers=len(config.dilations),
        taps=config.kernel_size,
        residual=up(config.residual_channels),
        gate=up(config.gate_channels),
        skip=up(config.skip_channels),
        post=up(config.post_channels),
        order=up(config.predictor_order),
        pair=1 if precision == "float32" else 2,
        chunk=CHUNK if precision == "int8" else 1 << 40,
    )
