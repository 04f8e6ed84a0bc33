"""Chance for STFT frames that is white noise: what is noise in one frame goes on in the next.

Frames overlap, so those of any sound agree with each other. Drawn each for itself their noise does
not: no sound has such frames, and where they are added up 3 dB of it are lost (consistency as in
Le Roux et al. 2008, "Explicit consistency constraints for STFT spectrograms and their application
to phase reconstruction"). Here the normals of all coefficients come from one stretch of white
noise; each by itself is as normal as it was.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft

from wavegen.chance import normals


def applies(config: Any) -> bool:
    """Returns whether a family draws coefficients of frames that overlap by half."""
    return getattr(config, "head", "") == "codes" and config.n_fft == 2 * config.hop_length


def white(
    chance: np.ndarray, before: np.ndarray, last: np.ndarray, pairs: slice, codec: Any, frame: Any
) -> np.ndarray:
    """Returns chance whose pairs of coefficients are the normals of white noise.

    Args:
        chance: uniforms `(rows, frames, *config.noise_shape)` of a model with codes.
        before: `(rows, *noise_shape)`, of the frame before them.
        last: of the same shape, for what the last of the frames shares with the one after it; so
            whichever of several chances a take goes on with, its frames agree.
        pairs: which are of coefficients; the others stay uniform.
        codec: the model's STFT, whose frames overlap by half.
        frame: `(rows,)`, number of the first frame, by the decoder that will hear them.
    """
    rows, count = chance.shape[:2]
    channels, hop = codec.channels, codec.hop_length
    size = channels * hop  # numbers that a hop takes: as many as a frame has pairs
    half = slice(pairs.start, pairs.start + (size + 1) // 2)
    hops = np.concatenate([before[:, None, half], chance[:, :-1, half], last[:, None, half]], 1)
    sound = normals(hops).reshape(rows, count + 1, -1)[..., :size]
    sound = sound.reshape(rows, count + 1, channels, hop)
    frames = np.concatenate([sound[:, :-1], sound[:, 1:]], axis=-1)  # (rows, frames, channels, fft)
    spectrum = scipy.fft.rfft(frames * codec.window.astype(np.float32), norm="ortho")
    spectrum *= np.float32(2.0)  # of real and imaginary part the mean square is 1
    # What stands for the highest frequency is the imaginary part of the lowest, both of half power.
    both = spectrum[..., 0].real + 1j * spectrum[..., hop].real
    spectrum[..., 0] = np.float32(0.5**0.5) * both
    spectrum = spectrum[..., :hop]
    odd = (np.asarray(frame)[:, None] + np.arange(count)) % 2  # every other frame turns odd lines
    spectrum[..., 1::2] *= (1 - 2 * odd)[..., None, None].astype(np.float32)
    found = chance.copy()
    drawn = np.ascontiguousarray(spectrum).view(np.float32)
    found[:, :, pairs] = drawn.reshape(rows, count, size, 2)
    return found
