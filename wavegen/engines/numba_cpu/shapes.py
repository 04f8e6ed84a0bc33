"""Sizes: of a model's variables as they are named, and of the whole vectors the kernel works on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from wavegen.engines.numba_cpu.tile import CHUNK

PRECISIONS = {"float32": np.float32, "bfloat16": np.uint16, "int8": np.int16}  # of the inputs
DEFAULTS = {16: "int8", 8: "int8", 4: "bfloat16", 2: "bfloat16", 1: "float32"}  # by lanes
WHITENING = 32  # taps of the predictor's first filter: whole vectors of any width
MOMENT, EXPECTED = 7, 3  # numbers of a channel, see `streams`
PARTS = 4  # of a hop, each with a filter that is given
FILTER = WHITENING + 2  # numbers of one: coefficients, size of what they leave, innovation


class Shape(NamedTuple):
    """Sizes that the kernel needs; widths are whole vectors.

    Attributes:
        width: lanes of a vector.
        channels: 1 or 2.
        levels: of a sample, where the head is a softmax over them.
        mixtures: components of the logistic head; 0 for a softmax.
        fine: levels of a mixture in a step of 16 bits.
        bins: levels or mixtures, padded.
        outputs: of the last layer: bins of levels, then the prediction's shift and scale; or bins
            of weights, of shifts and of widenings.
        layers: gated blocks.
        taps: of each dilated convolution.
        inputs: numbers heard of a frame.
        residual: width of the residual path.
        gate: width of tanh and of sigmoid.
        skip: width of the skip sum.
        post: width between the last two layers.
        order: of the linear predictor that follows; 0 for none.
        lags: the order, the lag 0 and one more, padded.
        hop: samples from fit to fit.
        every: samples from one knot of what is given to the next; 0 where nothing is.
        pair: inputs in one row of weights, 1 or 2.
        chunk: inputs summed at a time, at most.
    """

    width: int
    channels: int
    levels: int
    mixtures: int
    fine: int
    bins: int
    outputs: int
    layers: int
    taps: int
    inputs: int
    residual: int
    gate: int
    skip: int
    post: int
    order: int
    lags: int
    hop: int
    every: int
    pair: int
    chunk: int


def weight_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Returns the name and shape of every variable of a model that drawing takes."""
    residual, gate, post = config.residual_channels, config.gate_channels, config.post_channels
    levels, channels, softmax = config.levels, config.channels, config.head == "softmax"
    outputs = levels + 2 if softmax else 3 * config.mixtures
    shapes: dict[str, tuple[int, ...]] = {
        "scalars/kernel": (inputs_of(config), residual),
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
        if softmax:
            shapes[f"embedding_{c}/embeddings"] = (levels, residual)
        shapes[f"output_{c}/kernel"], shapes[f"output_{c}/bias"] = (post, outputs), (outputs,)
    if channels > 1 and softmax:
        shapes["given_left/embeddings"] = (levels, post)
    elif channels > 1:
        shapes |= {"given_left/kernel": (2, post), "given_left/bias": (post,)}
    if config.condition_bands:
        units, gates = config.condition_units, len(config.dilations) * 2 * gate
        shapes |= {
            "conditions/kernel": (channels * (config.condition_bands + 1), units),
            "conditions/bias": (units,),
            "conditioning/kernel": (units, gates),
            "conditioning/bias": (gates,),
        }
    if config.predictor_order:
        shapes["predictor/bounds"] = (3,)
        if not config.condition_bands:
            shapes["predictor/whitening"] = (WHITENING,)
    return shapes


def inputs_of(config: Any) -> int:
    """Returns how many numbers the network hears of a frame: the sample, and what was expected."""
    known = 6 if config.condition_bands else 5
    return (known if config.predictor_order else 1) * config.channels


def padded_to(width: int) -> int:
    """Returns what every width is a multiple of, for vectors of `width` lanes."""
    return max(width, 2)  # pairs of inputs must not be torn


def summing(precision: str) -> dict[str, int]:
    """Returns how products are summed: inputs in one row of weights, and inputs at a time."""
    pair = 1 if precision == "float32" else 2
    return {"pair": pair, "chunk": CHUNK if precision == "int8" else 1 << 40}


def shape_of(config: Any, width: int, precision: str, fine: int = 1) -> Shape:
    """Returns the sizes of a configuration for vectors of `width` lanes."""
    unit = padded_to(width)

    def up(size: int) -> int:
        return -(-size // unit) * unit

    order, softmax = config.predictor_order, config.head == "softmax"
    bins = up(config.levels if softmax else config.mixtures)
    extra = (unit if order else 0) if softmax else 2 * bins
    return Shape(
        width=width,
        channels=config.channels,
        levels=config.levels if softmax else 0,
        mixtures=0 if softmax else config.mixtures,
        fine=fine,
        bins=bins,
        outputs=bins + extra,
        layers=len(config.dilations),
        taps=config.kernel_size,
        inputs=inputs_of(config),
        residual=up(config.residual_channels),
        gate=up(config.gate_channels),
        skip=up(config.skip_channels),
        post=up(config.post_channels),
        order=order,
        lags=up(order + 2) if order else 0,
        hop=config.predictor_hop if order else 0,
        every=config.condition_hop if config.condition_bands else 0,
        **summing(precision),
    )
