"""A WaveNet's weights as flat arrays, in the order in which the kernel reads them.

Widths are padded to whole vectors with zeros. Matrices go into tiles (see `product`), in float32,
bfloat16 or int8 with a scale an output.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from wavegen.engines.numba_cpu.fading import predicting
from wavegen.engines.numba_cpu.shapes import Shape
from wavegen.engines.numba_cpu.tile import CHUNK, TILE

FAR = 1e20  # an edge beyond every sample
NONE = -1e30  # logit of a level, or of a component, that is none


class Weights(NamedTuple):
    """What the kernel reads: flat arrays, never written.

    Attributes:
        matrix: tiles of every matrix, in the order of use.
        scales: float32, of the outputs of int8 matrices, in the same order.
        bias: float32, in the same order.
        first: float32 (residual,), the input of the first block before anything is heard.
        scalars: float32 (inputs, residual), what each number heard adds to it.
        embedding: float32 (channels, levels, residual), what each level adds; softmax only.
        given: float32, of the left sample for the right one: (levels, post) of its level, or
            (3, post), two of its surprise and a bias.
        values: float32 (levels,); softmax only, as are the next two.
        edges: float32 (bins,), upper edge of each level.
        spans: float32 (bins,), distance between a level's edges.
        whitening: float32 (WHITENING,), oldest sample first.
        limits: float32 (5,), ratio, least and greatest scale; what the running mean of errors keeps
            each sample, and what it takes of the latest.
        window: float32 (3, hop), what the sums of products give each sample of a hop.
        aging: float32 (4,), of the sums in a hop, see `window_aging`.
        fading: float32 (3, lags), from sums to autocorrelations, see `lag_fading`.
        dilations: int64 (layers,).
    """

    matrix: np.ndarray
    scales: np.ndarray
    bias: np.ndarray
    first: np.ndarray
    scalars: np.ndarray
    embedding: np.ndarray
    given: np.ndarray
    values: np.ndarray
    edges: np.ndarray
    spans: np.ndarray
    whitening: np.ndarray
    limits: np.ndarray
    window: np.ndarray
    aging: np.ndarray
    fading: np.ndarray
    dilations: np.ndarray


class Packer:
    """Collects matrices and biases in the order of use."""

    def __init__(self, width: int, precision: str) -> None:
        """Takes the lanes of a vector and the kind of numbers."""
        self.width, self.precision = width, precision
        self.matrices: list[np.ndarray] = []
        self.scales: list[np.ndarray] = []
        self.biases: list[np.ndarray] = []

    def bias(self, values: np.ndarray) -> None:
        """Adds a bias that is whole vectors wide."""
        self.biases.append(values.astype(np.float32))

    def matrix(self, values: np.ndarray) -> None:
        """Adds a matrix (inputs, outputs); for int8 in chunks with scales of their own."""
        step = CHUNK if self.precision == "int8" else len(values)
        for start in range(0, len(values), step):
            rows = self.rows(values[start : start + step].astype(np.float32))
            at = 0
            while at < rows.shape[1]:
                left = (rows.shape[1] - at) // self.width
                size = self.width * max(n for n in (1, 2, 4, TILE) if n <= left)
                self.matrices.append(np.ascontiguousarray(rows[:, at : at + size]).ravel())
                at += size

    def rows(self, values: np.ndarray) -> np.ndarray:
        """Returns the matrix in the numbers of the precision, two inputs in one where they pair."""
        if self.precision == "float32":
            return values
        if self.precision == "bfloat16":
            halves = bfloat16(values).astype(np.uint32)
            return halves[0::2] | halves[1::2] << 16
        scale = np.maximum(np.abs(values).max(axis=0) / 127, np.float32(1e-30))
        self.scales.append(scale.astype(np.float32))
        bytes_ = np.rint(values / scale).astype(np.int8).view(np.uint8).astype(np.uint16)
        return bytes_[0::2] | bytes_[1::2] << 8


def bfloat16(values: np.ndarray) -> np.ndarray:
    """Returns float32 rounded to bfloat16, ties to even, as uint16."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def padded(values: Any, *sizes: int) -> np.ndarray:
    """Returns an array filled up with zeros to the sizes of its last axes."""
    values = np.asarray(values, np.float32)
    grown = np.zeros((*values.shape[: values.ndim - len(sizes)], *sizes), np.float32)
    grown[tuple(slice(size) for size in values.shape)] = values
    return grown


def packed(
    config: Any, shape: Shape, named: dict[str, Any], values: Any, edges: Any, precision: str
) -> Weights:
    """Returns the weights of a model as the kernel reads them.

    Args:
        config: of the model.
        shape: of `shape_of`.
        named: the model's variables by name, e.g. "block_0/dilated/kernel".
        values: float32 (levels,), what each level stands for.
        edges: float32 (levels - 1,), the thresholds between levels.
        precision: a key of `PRECISIONS`.
    """
    named = {name: np.asarray(value, np.float32) for name, value in named.items()}
    pack = Packer(shape.width, precision)
    pack_blocks(pack, shape, named)
    pack_head(pack, shape, named, config.mixture_shift)
    floats = {
        "scales": np.concatenate(pack.scales) if pack.scales else np.zeros(1),
        "bias": np.concatenate(pack.biases),
        "first": padded(named["scalars/bias"], shape.residual),
        "scalars": padded(named["scalars/kernel"], shape.residual),
        "given": given_left(shape, named),
    }
    floats |= tables(shape, named, values, edges) if shape.levels else {}
    floats |= predicting(config, shape, named) if shape.order else {}
    every = {name: floats.get(name, np.zeros(4)) for name in Weights._fields}
    return Weights(
        **{name: aligned(np.asarray(array, np.float32)) for name, array in every.items()}
        | dict(matrix=aligned(np.concatenate(pack.matrices)))
        | dict(dilations=np.asarray(config.dilations, np.int64))
    )


def conditioning(shape: Shape, named: dict[str, Any]) -> tuple[np.ndarray, ...]:
    """Returns kernel and bias of the two layers from bands to gates, padded as the gates are."""
    first = [np.asarray(named[f"conditions/{name}"], np.float32) for name in ("kernel", "bias")]

    def gates(value: Any) -> np.ndarray:  # (..., layers * 2 * gate)
        parts = np.split(np.asarray(value, np.float32), 2 * shape.layers, axis=-1)
        return np.concatenate([padded(part, shape.gate) for part in parts], axis=-1)

    return *first, gates(named["conditioning/kernel"]), gates(named["conditioning/bias"])


def given_left(shape: Shape, named: dict[str, np.ndarray]) -> np.ndarray:
    """Returns what the left sample adds to the right channel's hidden layer."""
    if shape.channels == 1:
        return np.zeros(0)
    if shape.levels:
        return padded(named["given_left/embeddings"], shape.post)
    rows = np.concatenate([named["given_left/kernel"], named["given_left/bias"][None]])
    return padded(rows, shape.post)


def tables(
    shape: Shape, named: dict[str, np.ndarray], values: Any, edges: Any
) -> dict[str, np.ndarray]:
    """Returns what a softmax knows of its levels."""
    names = [f"embedding_{c}/embeddings" for c in range(shape.channels)]
    spans = np.full(shape.bins, FAR)
    spans[1 : shape.levels - 1] = np.diff(np.asarray(edges))
    return {
        "embedding": np.stack([padded(named[name], shape.residual) for name in names]),
        "values": np.asarray(values),
        "edges": np.concatenate([edges, np.full(shape.bins - shape.levels + 1, FAR)]),
        "spans": spans,
    }


def pack_blocks(pack: Packer, shape: Shape, named: dict[str, np.ndarray]) -> None:
    """Adds the gated blocks: each one's past taps stand before the block before it ends."""

    def parts(name: str) -> np.ndarray:  # (..., 2 * gate) with tanh and sigmoid padded apart
        value = named[name]
        halves = np.split(value, 2, axis=-1)
        return np.concatenate([padded(half, shape.gate) for half in halves], axis=-1)

    def past(layer: int) -> None:
        pack.bias(parts(f"block_{layer}/dilated/bias"))
        for kernel in taps(layer)[:-1]:
            pack.matrix(kernel)

    def taps(layer: int) -> list[np.ndarray]:
        kernel = parts(f"block_{layer}/dilated/kernel")
        kernels = np.split(kernel, shape.taps)
        return [padded(tap, shape.residual, 2 * shape.gate) for tap in kernels]

    past(0)
    for layer in range(shape.layers):
        pack.matrix(taps(layer)[-1])
        if layer + 1 < shape.layers:
            past(layer + 1)
            pack.bias(padded(named[f"block_{layer}/residual/bias"], shape.residual))
            kernel = named[f"block_{layer}/residual/kernel"]
            pack.matrix(padded(kernel, shape.gate, shape.residual))


def pack_head(pack: Packer, shape: Shape, named: dict[str, np.ndarray], shift: float) -> None:
    """Adds the skip sum and the last two layers, channel by channel; of shifts only a share."""
    kernels = np.split(named["skip/kernel"], shape.layers)
    pack.bias(padded(named["skip/bias"], shape.skip))
    pack.matrix(np.concatenate([padded(k, shape.gate, shape.skip) for k in kernels]))
    biases = np.split(named["post/bias"], shape.channels)
    pack.bias(np.concatenate([padded(bias, shape.post) for bias in biases]))
    kernels = np.split(named["post/kernel"], shape.channels, axis=1)
    kernels = [padded(kernel, shape.skip, shape.post) for kernel in kernels]
    pack.matrix(np.concatenate(kernels, axis=1))
    for c in range(shape.channels):
        kernel, bias = named[f"output_{c}/kernel"], named[f"output_{c}/bias"]
        if not shape.levels:
            shares = np.repeat([1.0, shift, 1.0], shape.mixtures).astype(np.float32)
            kernel, bias = kernel * shares, bias * shares
        kernel = padded(kernel, shape.post, kernel.shape[1])
        matrix = np.zeros((shape.post, shape.outputs), np.float32)
        values = np.zeros(shape.outputs, np.float32)
        values[: shape.bins] = NONE
        size = shape.levels or shape.mixtures
        for part in range(-(-shape.outputs // shape.bins)):  # the last one may be short
            own = slice(part * size, (part + 1) * size)
            count = bias[own].size
            start = part * shape.bins
            matrix[:, start : start + count] = kernel[:, own]
            values[start : start + count] = bias[own]
        pack.bias(values)
        pack.matrix(matrix)


def aligned(array: np.ndarray) -> np.ndarray:
    """Returns a flat copy that begins on a page: no vector lies across two cache lines."""
    page = 4096
    room = np.zeros(array.nbytes + page, np.uint8)
    start = -room.ctypes.data % page
    found = room[start : start + array.nbytes].view(array.dtype)
    found[:] = array.ravel()
    return found
