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


def shape(config: Any) -> tuple[int, int]:
    """Returns how many uniforms a frame of such a model takes, `(pairs, 2)`.

    Each hop of white noise is in two frames, so half of `config.noise_shape` is enough for it.
    """
    return config.noise_shape[0] - config.channels * config.hop_length // 2, 2


def white(
    chance: np.ndarray, shared: np.ndarray, config: Any, codec: Any, frame: Any
) -> np.ndarray:
    """Returns chance `(rows, frames, *config.noise_shape)` whose normals are of white noise.

    Args:
        chance: uniforms `(rows, 1 + frames, *shape(config))` of a model with codes, the first of
            the frame before.
        shared: of the same shape, for the hops that the frames before and after share with these;
            so whichever of several chances a take goes on with, its frames agree.
        config: of the model.
        codec: the model's STFT, whose frames overlap by half.
        frame: `(rows,)`, number of the first frame, by the decoder that will hear them.
    """
    rows, count = len(chance), chance.shape[1] - 1
    channels, hop, pairs = codec.channels, codec.hop_length, config.normals
    size = channels * hop  # numbers that a hop takes: as many as a frame has pairs
    own = slice(pairs.start, pairs.stop - size // 2)
    hops = chance[:, :, own].copy()
    hops[:, 0], hops[:, -1] = shared[:, 0, own], shared[:, -1, own]
    sound = normals(hops).reshape(rows, count + 1, -1)[..., :size]
    sound = sound.reshape(rows, count + 1, channels, hop)
    frames = np.empty((rows, count, channels, 2 * hop), np.float32)
    window = codec.window.astype(np.float32) * np.float32(2.0)
    # The factor 2: of real and imaginary part the mean square is to be 1.
    np.multiply(sound[:, :-1], window[:hop], out=frames[..., :hop])
    np.multiply(sound[:, 1:], window[hop:], out=frames[..., hop:])
    spectrum = scipy.fft.rfft(frames, norm="ortho", overwrite_x=True)
    # What stands for the highest frequency is the imaginary part of the lowest, both of half power.
    both = spectrum[..., 0].real + 1j * spectrum[..., hop].real
    spectrum[..., 0] = np.float32(0.5**0.5) * both
    odd = (np.asarray(frame)[:, None] + np.arange(count)) % 2  # every other frame turns odd lines
    found = np.empty((rows, count, *config.noise_shape), np.float32)
    found[:, :, : pairs.start] = chance[:, 1:, : pairs.start]
    found[:, :, pairs.stop :] = chance[:, 1:, own.stop :]
    drawn = found[:, :, pairs].view(np.complex64).reshape(rows, count, channels, hop)
    drawn[...] = spectrum[..., :hop]
    drawn[..., 1::2] *= (1 - 2 * odd)[..., None, None].astype(np.float32)
    return found
