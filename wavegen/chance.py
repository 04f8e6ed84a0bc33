"""Chance as an argument: numbers from a counter-based generator.

The numbers are a function of (seed, variation, position) alone: Philox (Salmon et al. 2011,
"Parallel random numbers: as easy as 1, 2, 3") needs no history. A variation is therefore the same
drawn alone or among eight, in blocks of any length, and every WAV can be made again.
"""

from __future__ import annotations

import math

import numpy as np


def uniforms(seed: int, variation: int, start: int, frames: int, shape: tuple) -> np.ndarray:
    """Returns float32 uniforms in [0, 1) for `frames` frames from frame `start` on.

    Args:
        seed: the user's number, 0 .. 2^64 - 1.
        variation: 0, 1, 2, ...: which of the variations.
        start: number of the first frame since the seed sound ended, >= 0.
        frames: how many.
        shape: the family's `noise_shape` for one frame.

    Returns:
        `(frames, *shape)`, multiples of 2^-24.
    """
    width = math.prod(shape)
    first, count = start * width, frames * width
    generator = np.random.Philox(key=np.array([seed, variation], np.uint64))
    generator.advance(first // 8)  # a counter yields four 64-bit words, each of two uniforms
    skipped = first % 8
    words = generator.random_raw(-(-(skipped + count) // 2)).astype("<u8", copy=False)
    halves = words.view("<u4")[skipped : skipped + count] >> np.uint32(8)
    return (halves.astype(np.float32) * np.float32(2**-24)).reshape((frames, *shape))


def normals(uniforms: np.ndarray) -> np.ndarray:
    """Returns float32 of a standard normal distribution, as many as uniforms `(..., 2)`.

    By Box and Muller 1958, "A note on the generation of random normal deviates".
    """
    radius = np.log(np.float32(1.0) - uniforms[..., 0])  # the difference is exact
    radius *= np.float32(-2.0)
    np.sqrt(radius, out=radius)
    angle = np.float32(2.0 * np.pi) * uniforms[..., 1]
    found = np.empty(uniforms.shape, np.float32)
    np.multiply(radius, np.cos(angle), out=found[..., 0])
    np.multiply(radius, np.sin(angle), out=found[..., 1])
    return found
