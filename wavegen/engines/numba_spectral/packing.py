"""A spectral LSTM's weights as the kernel reads them: what hangs on a code alone is a table.

The LSTM hears an embedding of a code, and the renderer two of them: what its first layers make of
those is computed once for every code, so that a frame costs one row of a table in their place.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from wavegen.engines.numba_cpu.packing import Packer, aligned, padded
from wavegen.engines.numba_cpu.shapes import padded_to, summing

SMOOTH = 3.0  # bands over which the spectrum of late is smoothed


class Shape(NamedTuple):
    """Sizes that the kernel needs; widths are whole vectors.

    Attributes:
        width: lanes of a vector.
        channels: 1 or 2.
        half: coefficients a channel.
        bins: of all channels, padded: the last one to whole vectors.
        own_bands: bands a channel.
        bands: of all channels, padded.
        codes: kinds of frames.
        entries: frames that are remembered.
        choices: the same, padded.
        layers: of the LSTM.
        units: of each of them.
        hidden: width of the renderer.
        rise: what the mean rise of all bands counts in a code.
        pair: inputs in one row of weights, 1 or 2.
        chunk: inputs summed at a time, at most.
    """

    width: int
    channels: int
    half: int
    bins: int
    own_bands: int
    bands: int
    codes: int
    entries: int
    choices: int
    layers: int
    units: int
    hidden: int
    rise: float
    pair: int
    chunk: int


class Weights(NamedTuple):
    """What the kernel reads: flat arrays, never written.

    Attributes:
        matrix: tiles of every matrix but the book's, in the order of use.
        scales: float32, of the outputs of int8 matrices, in the same order.
        bias: float32, in the same order.
        entry: float32 (codes, 4 * units), what a code adds to the gates of the first layer.
        next_code: float32 (codes, hidden), what the code of a frame adds in the renderer.
        last_code: float32 (codes, hidden), what that of the frame before adds.
        book: float32 [band][choice], times -2.
        rises: float32 (choices,), of codes as they count, times -2.
        squares: float32 (choices,), of the codes' spectra and rises.
        kinds: float32 (codes, bands), logarithm of their power.
        template: float32 (codes, bins), logarithm of the RMS of each coefficient.
        edges: int64 (own_bands + 1,), first coefficient of each band of a channel, and their end.
        starts: int64 (own_bands + 1,), likewise of the coefficients between the centre of a band
            and that of the next; those below the first centre count to it.
        between: float32 (half + width,), how far a coefficient is on its way between them, 0 .. 1.
        share: float32 (own_bands,), one over the coefficients of a band.
        smooth: float32 (own_bands, own_bands), of the spectrum of late, and a vector of room.
    """

    matrix: np.ndarray
    scales: np.ndarray
    bias: np.ndarray
    entry: np.ndarray
    next_code: np.ndarray
    last_code: np.ndarray
    book: np.ndarray
    rises: np.ndarray
    squares: np.ndarray
    kinds: np.ndarray
    template: np.ndarray
    edges: np.ndarray
    starts: np.ndarray
    between: np.ndarray
    share: np.ndarray
    smooth: np.ndarray


def shape_of(config: Any, width: int, precision: str) -> Shape:
    """Returns the sizes of a configuration for vectors of so many lanes."""
    unit = padded_to(width)

    def whole(size: int) -> int:
        return -(-size // unit) * unit

    count, channels, half = max(config.band_of) + 1, config.channels, config.n_fft // 2
    return Shape(
        width=width,
        channels=channels,
        half=half,
        bins=whole((channels - 1) * half + whole(half)),
        own_bands=count,
        bands=whole(channels * count),
        codes=config.codes,
        entries=config.remembered,
        choices=whole(config.codes),
        layers=config.layers,
        units=whole(config.units),
        hidden=whole(config.renderer_units),
        rise=config.rise * (channels * count) ** 0.5,
        **summing(precision),
    )


def weight_shapes(config: Any, embedding: int) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every variable of a model, by name."""
    units, hidden, codes = config.units, config.renderer_units, config.codes
    features = config.channels * (max(config.band_of) + 1)
    bins = config.channels * config.n_fft // 2
    found: dict[str, tuple[int, ...]] = {"embed/embeddings": (codes, embedding)}

    def dense(name: str, inputs: int, outputs: int) -> None:
        found[f"{name}/kernel"], found[f"{name}/bias"] = (inputs, outputs), (outputs,)

    dense("front", embedding, units)
    for layer in range(config.layers):
        cell = f"memory/lstm_{layer}/lstm_cell"
        found[f"{cell}/kernel"] = found[f"{cell}/recurrent_kernel"] = (units, 4 * units)
        found[f"{cell}/bias"] = (4 * units,)
    dense("out", units, codes)
    found["renderer/embed/embeddings"] = (codes, embedding)
    dense("renderer/hidden_0", 2 * embedding + 3 * features, hidden)
    dense("renderer/hidden_1", hidden, hidden)
    dense("renderer/width", hidden, bins)
    dense("renderer/tone", hidden, 5 * features)
    found["book"] = (codes, features + (config.rise > 0))
    found |= {"mean": (features,), "deviation": (features,)}
    return {f"codes/{name}": shape for name, shape in found.items()}


def packed(config: Any, shape: Shape, named: dict[str, Any], precision: str) -> Weights:
    """Returns the weights of a model as the kernel reads them.

    Args:
        config: of the model.
        shape: of `shape_of`.
        named: the model's variables by name, as `weight_shapes` has them.
        precision: float32, bfloat16 or int8.
    """
    own = {
        name.removeprefix("codes/"): np.asarray(value, np.float32) for name, value in named.items()
    }
    pack = Packer(shape.width, precision)
    units, hidden = shape.units, shape.hidden
    features = shape.channels * shape.own_bands

    def gates(values: np.ndarray) -> np.ndarray:  # (..., 4 * units), each gate padded
        parts = [padded(part, units) for part in np.split(values, 4, axis=-1)]
        return np.concatenate(parts, axis=-1)

    cells = [f"memory/lstm_{layer}/lstm_cell" for layer in range(shape.layers)]
    front = own["embed/embeddings"] @ own["front/kernel"] + own["front/bias"]
    entry = front @ own[f"{cells[0]}/kernel"] + own[f"{cells[0]}/bias"]
    for layer, cell in enumerate(cells):
        if layer:
            pack.bias(gates(own[f"{cell}/bias"]))
            pack.matrix(padded(gates(own[f"{cell}/kernel"]), units, 4 * units))
        pack.matrix(padded(gates(own[f"{cell}/recurrent_kernel"]), units, 4 * units))
    none = np.full(shape.choices, -1e30, np.float32)
    none[: shape.codes] = own["out/bias"]
    pack.bias(none)
    pack.matrix(padded(own["out/kernel"], units, shape.choices))

    size = own["renderer/embed/embeddings"].shape[1]
    first = own["renderer/hidden_0/kernel"]
    mean, deviation, book = own["mean"], own["deviation"], own["book"][:, :features]
    embedded = own["renderer/embed/embeddings"]
    rest = first[2 * size :]
    next_code = embedded @ first[:size] + (book - mean) / deviation @ rest[:features]
    heard = rest[features:] / np.concatenate([deviation, deviation])[:, None]
    shift = own["renderer/hidden_0/bias"] - np.concatenate([mean, mean]) @ heard
    parts = [padded(part, shape.bands, hidden) for part in np.split(heard, 2)]
    recalled = padded(rest[:features] / deviation[:, None], shape.bands, hidden)
    pack.matrix(np.concatenate([recalled, *parts]))
    pack.bias(padded(own["renderer/hidden_1/bias"], hidden))
    pack.matrix(padded(own["renderer/hidden_1/kernel"], hidden, hidden))
    pack.bias(padded(own["renderer/width/bias"], shape.bins))
    pack.matrix(padded(own["renderer/width/kernel"], hidden, shape.bins))

    def apart(values: np.ndarray) -> np.ndarray:  # (..., 5 * features), each fifth padded
        found = [padded(part, shape.bands) for part in np.split(values, 5, axis=-1)]
        return np.concatenate(found, axis=-1)

    pack.bias(apart(own["renderer/tone/bias"]))
    pack.matrix(padded(apart(own["renderer/tone/kernel"]), hidden, 5 * shape.bands))

    squares = np.full(shape.choices, 1e30, np.float32)
    squares[: shape.codes] = np.square(own["book"]).sum(axis=1)
    floats = {
        "scales": np.concatenate(pack.scales) if pack.scales else np.zeros(4),
        "bias": np.concatenate(pack.biases),
        "entry": gates(entry),
        "next_code": padded(next_code + shift, hidden),
        "last_code": padded(embedded @ first[size : 2 * size], hidden),
        "book": padded(-2 * book.T, shape.bands, shape.choices),
        "rises": padded(-2 * own["book"][:, features:].sum(axis=1), shape.choices),
        "squares": squares,
        "kinds": padded(book * math.log(10), shape.bands),
        "smooth": np.append(smoothing(shape.own_bands), np.zeros(shape.width)),
    } | layout(config, shape, book)
    whole = {name: floats.pop(name) for name in ("edges", "starts")}
    return Weights(
        matrix=aligned(np.concatenate(pack.matrices)),
        **{name: aligned(np.asarray(a, np.float32)) for name, a in floats.items()},
        **{name: aligned(np.asarray(a, np.int64)) for name, a in whole.items()},
    )


def smoothing(count: int) -> np.ndarray:
    """Returns the weights `(from, to)` by which bands are smoothed."""
    apart = np.subtract.outer(np.arange(count), np.arange(count))
    weight = np.exp(-0.5 * (apart / SMOOTH) ** 2)
    return weight / weight.sum(axis=0)


def layout(config: Any, shape: Shape, book: np.ndarray) -> dict[str, np.ndarray]:
    """Returns where coefficients lie among the bands, and the codes' spectra by coefficient."""
    band = np.array(config.band_of)
    sizes = np.bincount(band)
    centres = np.array([np.flatnonzero(band == b).mean() for b in range(shape.own_bands)])
    place = np.interp(np.arange(shape.half), centres, np.arange(shape.own_bands))
    below = np.minimum(place.astype(int), max(shape.own_bands - 2, 0))
    between = place - below
    above = np.minimum(below + 1, shape.own_bands - 1)
    logs = book.reshape(len(book), shape.channels, shape.own_bands) * (math.log(10) / 2)
    template = logs[:, :, below] * (1 - between) + logs[:, :, above] * between
    numbers = np.arange(shape.own_bands + 1)
    return {
        "template": padded(template.reshape(len(book), -1), shape.bins),
        "edges": np.searchsorted(band, numbers),
        "starts": np.searchsorted(below, numbers),
        "between": padded(between, shape.half + shape.width),
        "share": 1 / sizes,
    }
