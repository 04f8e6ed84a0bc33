"""What one call of the kernel works on: some streams' ring buffers, and room to compute in.

A state goes in and comes out as the law has it, latest inputs, oldest first; in between the rings
turn in place.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from wavegen.engines.numba_cpu.packing import aligned, bfloat16, padded
from wavegen.engines.numba_cpu.rounding import GATE_SCALE
from wavegen.engines.numba_cpu.shapes import EXPECTED, MOMENT, PRECISIONS, WHITENING, Shape


class State(NamedTuple):
    """What the streams remember; changed in place by the kernel, and private to a call.

    Attributes:
        ring: inputs of every block, [block][time modulo its past][stream][residual].
        ring_scales: float32, of the rows of the ring (int8 only).
        places: int64 (layers,), where in its ring each block is; then the whitening's place.
        past: float32 [stream][channel][2 * WHITENING], the last samples, twice.
        moment: float32 [stream][channel][MOMENT], the last prediction, the mean error and the power
            of what a given filter leaves; of two channels the mean square of the error, its mean
            product with the left one's, the left one's mean square, and the latest error.
        heard: float32 [stream][channel][lags + 2 * hop], whitened samples; of the last hop so many
            as the phase says, and before them `lags + hop`.
        sums: float32 [stream][channel][3][lags], lag 0 last.
        taps: float32 [stream][channel][lags], of the predictor that follows, oldest sample first.
        phases: int64 [stream], samples since the last fit.
    """

    ring: np.ndarray
    ring_scales: np.ndarray
    places: np.ndarray
    past: np.ndarray
    moment: np.ndarray
    heard: np.ndarray
    sums: np.ndarray
    taps: np.ndarray
    phases: np.ndarray


class Scratch(NamedTuple):
    """Room to work in, for all streams.

    Attributes:
        h: float32 [stream][residual], the residual path.
        z: float32 [stream][2 * gate], before the gates.
        gates: [stream][layers * gate], inputs of the skip sum.
        wide: float32 [stream][skip], the skip sum.
        wide_codes: [stream][skip].
        hidden: float32 [stream][channels * post].
        hidden_codes: [stream][post].
        out: float32 [stream][outputs], of the last layer; then what they become.
        heard: float32 (inputs,), of one frame.
        expected: float32 [stream][channels][EXPECTED], mean and scale of the next sample, and by
            how much the left one's error moves the mean.
        row: float32 (2 * (bins + width),), of one distribution.
        latest: float64 (lags + hop,), samples of a hop and those before them.
        weighed: float64 (3, hop), samples of a hop in the window of each sum.
        correlation: float64 (2 * lags,), lag 0 in the middle.
        forward: float64 (2 * lags,), error filter of a fit, the newest sample first.
        backward: float64 (2 * lags,), the same backwards, its end in the middle.
        gate_scales: float32 [stream], of the gates.
        scales: float32 [stream], of any other inputs.
    """

    h: np.ndarray
    z: np.ndarray
    gates: np.ndarray
    wide: np.ndarray
    wide_codes: np.ndarray
    hidden: np.ndarray
    hidden_codes: np.ndarray
    out: np.ndarray
    heard: np.ndarray
    expected: np.ndarray
    row: np.ndarray
    latest: np.ndarray
    weighed: np.ndarray
    correlation: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    gate_scales: np.ndarray
    scales: np.ndarray


def rings(shape: Shape, precision: str, state: Any) -> State:
    """Returns the rows of a model state, a past per block and the predictor's, as rings."""
    blocks, moment = state
    count = len(blocks[0])
    codes, scales = [], []
    for block in blocks:
        rows = np.swapaxes(padded(block, shape.residual), 0, 1)  # (past, stream, residual)
        code, scale = encoded(rows, precision)
        codes.append(code.ravel())
        scales.append(scale.ravel())
    places = np.zeros(shape.layers + 1, np.int64)
    ring = aligned(np.concatenate(codes))
    return State(ring, np.concatenate(scales), places, *moved_in(shape, count, moment))


def moved_in(shape: Shape, count: int, moment: Any) -> Any:
    """Returns the predictor's part of a model state as the kernel has it."""
    channels, order, lags, hop = shape.channels, shape.order, shape.lags, shape.hop
    past = np.zeros((count, channels, 2, WHITENING if order else 0), np.float32)
    now = np.zeros((count, channels, MOMENT), np.float32)
    heard = np.zeros((count, channels, lags + 2 * hop), np.float32)
    sums = np.zeros((count, channels, 3, lags), np.float32)
    taps = np.zeros((count, channels, lags), np.float32)
    phases = np.zeros(count, np.int64)
    if order:
        samples, predicted, error, (rest, running, filters, phase) = moment
        past[:] = np.swapaxes(samples, 1, 2)[:, :, None]
        now[..., 0], now[..., remembered(shape)] = predicted[:, 0], np.swapaxes(error, 1, 2)
        sums[..., lags - 1 - order :] = running[..., ::-1]
        taps[..., lags - order :] = filters
        phases[:] = phase[:, 0]
        for own, row, p in zip(heard, np.swapaxes(rest, 1, 2), phases, strict=True):
            own[:, p + lags - order : p + lags + hop] = row
    return [array.ravel() for array in (past, now, heard, sums, taps, phases)]


def remembered(shape: Shape) -> list[int]:
    """Returns which numbers of a channel's moment are of the model's state, after the first."""
    return [1, *([2] if shape.every else []), *([3, 4, 5] if shape.channels > 1 else [])]


def unrolled(shape: Shape, precision: str, own: State, config: Any) -> Any:
    """Returns the rings of some streams as rows of a model state; they share no memory."""
    count = len(own.phases)
    blocks, base = [], 0
    for layer, dilation in enumerate(config.dilations):
        past, place = (shape.taps - 1) * dilation, int(own.places[layer])
        rows = slice(base * count, (base + past) * count)
        scales = own.ring_scales[rows] if precision == "int8" else own.ring_scales
        codes = own.ring[rows.start * shape.residual : rows.stop * shape.residual]
        ring = decoded(codes.reshape(past, count, shape.residual), scales, precision)
        ring = np.swapaxes(ring[..., : config.residual_channels], 0, 1)
        blocks.append(np.concatenate([ring[:, place:], ring[:, :place]], axis=1))
        base += past
    return tuple(blocks), moved_out(shape, own, count) if shape.order else ()


def moved_out(shape: Shape, own: State, count: int) -> Any:
    """Returns the predictor's part of some streams as rows of a model state."""
    channels, order, lags, hop = shape.channels, shape.order, shape.lags, shape.hop
    place = int(own.places[shape.layers])
    twice = own.past.reshape(count, channels, 2 * WHITENING)
    samples = twice[..., place : place + WHITENING]  # (stream, channel, time)
    now = own.moment.reshape(count, channels, MOMENT)
    error = np.swapaxes(now[..., remembered(shape)], 1, 2)
    rows = own.heard.reshape(count, channels, -1)
    ends = own.phases + lags + hop
    rest = np.stack([row[:, end - order - hop : end] for row, end in zip(rows, ends, strict=True)])
    sums = own.sums.reshape(count, channels, 3, lags)[..., : -order - 2 : -1]
    taps = own.taps.reshape(count, channels, lags)[..., lags - order :]
    following = (
        np.ascontiguousarray(np.swapaxes(rest, 1, 2)),
        np.ascontiguousarray(sums),
        taps.copy(),
        own.phases[:, None].astype(np.int32),
    )
    samples = np.ascontiguousarray(np.swapaxes(samples, 1, 2))
    return samples, now[:, None, :, 0].copy(), np.ascontiguousarray(error), following


def scratch(shape: Shape, precision: str, count: int) -> Scratch:
    """Returns room for so many streams."""
    kind = PRECISIONS[precision]

    def room(size: int, dtype: Any = np.float32) -> np.ndarray:
        return aligned(np.zeros(size, dtype))

    return Scratch(
        h=room(count * shape.residual),
        z=room(count * 2 * shape.gate),
        gates=room(count * shape.layers * shape.gate, kind),
        wide=room(count * shape.skip),
        wide_codes=room(count * shape.skip, kind),
        hidden=room(count * shape.channels * shape.post),
        hidden_codes=room(count * shape.post, kind),
        out=room(count * shape.outputs),
        heard=room(shape.inputs),
        expected=room(count * shape.channels * EXPECTED),
        row=room(2 * (shape.bins + shape.width)),
        latest=room(shape.lags + shape.hop, np.float64),
        weighed=room(3 * shape.hop, np.float64),
        correlation=room(2 * shape.lags, np.float64),
        forward=room(2 * shape.lags, np.float64),
        backward=room(2 * shape.lags, np.float64),
        gate_scales=np.full(count, GATE_SCALE, np.float32),
        scales=np.zeros(count, np.float32),
    )


def encoded(rows: np.ndarray, precision: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns (codes, scales) of float32 `(..., features)`, as `rounding.encode` has them."""
    none = np.zeros(1, np.float32)
    if precision == "float32":
        return np.ascontiguousarray(rows), none
    if precision == "bfloat16":
        return bfloat16(rows), none
    high = np.maximum(np.abs(rows).max(axis=-1), np.float32(1e-30))
    size = (high.view(np.uint32) & 0x7F800000).view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # weights may be absurd, and finite
        codes = np.rint(rows * (np.float32(2**14) / size)[..., None])
    return np.clip(codes, -32767, 32767).astype(np.int16), size * np.float32(2.0**-14)


def decoded(codes: np.ndarray, scales: np.ndarray, precision: str) -> np.ndarray:
    """Returns float32 of what `encoded` made."""
    if precision == "float32":
        return codes
    if precision == "bfloat16":
        return (codes.astype(np.uint32) << 16).view(np.float32)
    return codes * scales.reshape(codes.shape[:-1])[..., None]
