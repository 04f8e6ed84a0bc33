"""Chance for the powers of bands that lasts: what is louder than expected is so for a while.

A trained renderer misses a band's power by as much, in the same direction, for many frames: by the
music that follows, what it missed in one frame and in the next go together by 0.6 to 0.8 (piano and
guitar), a quarter of a second later still by 0.4. Drawn anew for every frame, what a band has more
or less than was expected would flicker, and the sound range less than music does. So most of it is
a curve through numbers that lie `SECONDS` apart (value noise, as Perlin 1985 has it for pictures).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtr

from wavegen.chance import normals, uniforms

SHARE = 0.7  # of the variance that is the curve's
SECONDS = 0.75  # from one of its numbers to the next
CURVE = 1 << 80  # where its uniforms begin, far beyond any that frames take
BELOW_ONE = np.float32(1.0 - 2.0**-24)


def lasting(chance: np.ndarray, config: Any, seed: int, variations: list[int], start: int) -> None:
    """Changes the uniforms of `config.swings` into others that last; each stays uniform.

    What lasts hangs on seed, variation and position alone, not on which of several chances a take
    goes on with.

    Args:
        chance: uniforms `(rows, frames, *config.noise_shape)` of a model with codes.
        config: of the model.
        seed: the user's number.
        variations: of each row.
        start: number of the first frame.
    """
    swings = chance[:, :, config.swings]
    every = max(1, round(SECONDS * config.sample_rate / config.hop_length))
    first, since = divmod(start, every)
    index, rest = np.divmod(since + np.arange(chance.shape[1]), every)
    after = (rest / every).astype(np.float32)[:, None, None]
    norm = np.sqrt(np.square(after) + np.square(1 - after))
    curves = {}
    for variation in set(variations):
        knots = uniforms(seed, variation, CURVE + first, int(index[-1]) + 2, swings.shape[2:])
        knots = normals(knots)
        curves[variation] = ((1 - after) * knots[index] + after * knots[index + 1]) / norm
    curve = np.stack([curves[variation] for variation in variations])
    own = normals(swings)
    both = np.float32((1 - SHARE) ** 0.5) * own + np.float32(SHARE**0.5) * curve
    swings[...] = np.minimum(ndtr(both), BELOW_ONE)
