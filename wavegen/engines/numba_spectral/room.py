"""What one call of the kernel works on: what streams remember, and room to compute in."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from wavegen.engines.numba_cpu.packing import aligned
from wavegen.engines.numba_cpu.shapes import PRECISIONS
from wavegen.engines.numba_spectral.packing import Shape


class State(NamedTuple):
    """What the streams remember; changed in place by the kernel, and private to a call.

    Attributes:
        last: float32 [stream][2][bins], the frame before the one to hear, real parts first.
        angle: float32 [stream][2][bins], running mean of the products of frames.
        late: float32 [stream][bands], running mean of the bands' loudness.
        weight: float32 [stream], its weight.
        memory: float32 [stream][layers][2][units], h and c.
        kept: float32 [stream][entries][bands], log10 of the power of what was heard, oldest first.
        kept_codes: float32 [stream][entries], its codes; -1 where there is none.
        place: float32 [stream][entries], how likely the sound is there.
        pace: float32 [stream][4], by how much bands change, and their mean; the weight of both; and
            frames heard.
    """

    last: np.ndarray
    angle: np.ndarray
    late: np.ndarray
    weight: np.ndarray
    memory: np.ndarray
    kept: np.ndarray
    kept_codes: np.ndarray
    place: np.ndarray
    pace: np.ndarray


class Scratch(NamedTuple):
    """Room to work in, for all streams.

    Attributes:
        power: float32 [stream][bands], of the last frame that was heard.
        past: float32 [stream][bands], of the one before it.
        level: float32 [stream][bands], of late.
        relative: float32 [stream][bands], logarithms.
        scores: float32 [stream][choices], distances of codes; later logits, then shares.
        gates: float32 [stream][4 * units].
        heard: float32 [stream][3 * bands], what the renderer hears.
        one: float32 [stream][hidden], its first layer.
        two: float32 [stream][hidden], its second.
        width: float32 [stream][bins], of the renderer.
        tone: float32 [stream][5 * bands], of the renderer.
        turned: float32 [stream][2][bins], the last frame turned on.
        around: float32 [stream][bins], mean power of late around each coefficient.
        neighbours: float32 [3][half + 3 * width], of one channel, zeros on both sides: real and
            imaginary part of the frame times the last one's conjugate, and the mean power of both.
        unit: float32 [stream][bins], the level by coefficient, and a vector of room.
        mean: float32 [stream][2][bins], of the next frame.
        spread: float32 [stream][bins], its scale.
        spare: float32 [4][bins + width], of one stream: squares, or values of bands by coefficient.
        angles: float32 [stream][2][bins], the next of them.
        turning: float32 (2,), cosine and sine of how neighbours turn apart.
        codes: inputs of a product as the precision has them.
        code_scales: float32 [stream], of them.
        now: float32 [stream][bands], log10 of the power of the frame that was heard.
        fresh: int64 [stream], whether that was kept.
        followed: float32 [stream][choices], what is recalled of the codes.
    """

    power: np.ndarray
    past: np.ndarray
    level: np.ndarray
    relative: np.ndarray
    scores: np.ndarray
    gates: np.ndarray
    heard: np.ndarray
    one: np.ndarray
    two: np.ndarray
    width: np.ndarray
    tone: np.ndarray
    turned: np.ndarray
    around: np.ndarray
    neighbours: np.ndarray
    unit: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    spare: np.ndarray
    angles: np.ndarray
    turning: np.ndarray
    codes: np.ndarray
    code_scales: np.ndarray
    now: np.ndarray
    fresh: np.ndarray
    followed: np.ndarray


def scratch(shape: Shape, config: Any, precision: str, count: int) -> Scratch:
    """Returns room for so many streams."""
    widest = max(shape.units, shape.hidden, 3 * shape.bands)
    turn = 2 * math.pi * config.hop_length / config.n_fft

    def room(size: int, dtype: Any = np.float32) -> np.ndarray:
        return aligned(np.zeros(size, dtype))

    return Scratch(
        power=room(count * shape.bands),
        past=room(count * shape.bands),
        level=aligned(np.ones(count * shape.bands, np.float32)),
        relative=room(count * shape.bands),
        scores=room(count * shape.choices),
        gates=room(count * 4 * shape.units),
        heard=room(count * 3 * shape.bands),
        one=room(count * shape.hidden),
        two=room(count * shape.hidden),
        width=room(count * shape.bins),
        tone=room(count * 5 * shape.bands),
        turned=room(count * 2 * shape.bins),
        around=room(count * shape.bins),
        neighbours=room(3 * (shape.half + 3 * shape.width)),
        unit=aligned(np.ones(count * shape.bins + shape.width, np.float32)),
        mean=room(count * 2 * shape.bins),
        spread=room(count * shape.bins),
        spare=room(4 * (shape.bins + shape.width)),
        angles=room(count * 2 * shape.bins),
        turning=np.array([math.cos(turn), math.sin(turn)], np.float32),
        codes=room(count * widest, PRECISIONS[precision]),
        code_scales=np.zeros(count, np.float32),
        now=room(count * shape.bands),
        fresh=np.zeros(count, np.int64),
        followed=room(count * shape.choices),
    )
