"""What one call of the kernel works on: some streams' ring buffers, and room to compute in.

A state goes in and comes out as the law has it, latest inputs, oldest first; in between the rings
turn in place.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from wavegen.engines.numba_cpu.packing import aligned, bfloat16, padded
from wavegen.engines.numba_cpu.rounding import GATE_SCALE
from wavegen.engines.numba_cpu.shapes import PRECISIONS, Shape


class State(NamedTuple):
    """What the streams remember; changed in place by the kernel, and private to a call.

    Attributes:
        ring: inputs of every block, [block][time modulo its past][stream][residual].
        ring_scales: float32, of the rows of the ring (int8 only).
        places: int64 (layers,), where in its ring each block is; then the predictor's place.
        past: float32 [stream][channel][2 * order], the last samples, twice.
        moment: float32 [stream][channel][2], the last prediction and the mean error.
    """

    ring: np.ndarray
    ring_scales: np.ndarray
    places: np.ndarray
    past: np.ndarray
    moment: np.ndarray


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
        logits: float32 [stream][bins + extra].
        expected: float32 [stream][channels][2], mean and scale of the next sample.
        row: float32 (2 * (bins + width),), of one distribution.
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
    logits: np.ndarray
    expected: np.ndarray
    row: np.ndarray
    gate_scales: np.ndarray
    scales: np.ndarray


def rings(shape: Shape, precision: str, state: Any) -> State:
    """Returns the rows of a model state, a past per block and the predictor's, as rings."""
    blocks, moment_of = state
    count = len(blocks[0])
    codes, scales = [], []
    for block in blocks:
        rows = np.swapaxes(padded(block, shape.residual), 0, 1)  # (past, stream, residual)
        code, scale = encoded(rows, precision)
        codes.append(code.ravel())
        scales.append(scale.ravel())
    past = np.zeros((count, shape.channels, 2, shape.order), np.float32)
    moment = np.zeros((count, shape.channels, 2), np.float32)
    if shape.order:
        samples, predicted, error = (np.asarray(array) for array in moment_of)
        past[..., shape.order - samples.shape[1] :] = np.swapaxes(samples, 1, 2)[:, :, None]
        moment[..., 0], moment[..., 1] = predicted[:, 0], error[:, 0]
    places = np.zeros(shape.layers + 1, np.int64)
    ring = aligned(np.concatenate(codes))
    return State(ring, np.concatenate(scales), places, past.ravel(), moment.ravel())


def unrolled(shape: Shape, precision: str, own: State, config: Any) -> Any:
    """Returns the rings of some streams as rows of a model state; they share no memory."""
    count = len(own.moment) // (2 * shape.channels)
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
    if not shape.order:
        return tuple(blocks), ()
    place, order = int(own.places[shape.layers]), shape.order
    twice = own.past.reshape(count, shape.channels, 2 * order)
    latest = twice[..., place : place + order][..., order - config.predictor_order :]
    samples = np.ascontiguousarray(np.swapaxes(latest, 1, 2))
    moment = own.moment.reshape(count, 1, shape.channels, 2)
    return tuple(blocks), (samples, moment[..., 0].copy(), moment[..., 1].copy())


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
        logits=room(count * (shape.bins + shape.extra)),
        expected=room(count * shape.channels * 2),
        row=room(2 * (shape.bins + shape.width)),
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
