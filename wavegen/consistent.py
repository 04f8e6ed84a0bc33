"""Chance for STFT frames that is white noise: what is noise in one frame goes on in the next.

Frames overlap, so those of any sound agree with each other. Drawn each for itself their noise does
not: no sound has such frames, and where they are added up 3 dB of it are lost (consistency as in
Le Roux et al. 2008, "Explicit consistency constraints for STFT spectrograms and their application
to phase reconstruction"). Here the uniforms of all coefficients come from one stretch of white
noise; each by itself is as uniform as it was.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft

MOST = np.float32(1.0 - 2.0**-24)  # the greatest uniform


def applies(config: Any) -> bool:
    """Returns whether a family draws coefficients of frames that overlap by half."""
    return getattr(config, "head", "") == "codes" and config.n_fft == 2 * config.hop_length


def white(chance: np.ndarray, before: np.ndarray, last: np.ndarray, codec: Any, frame: Any) -> Any:
    """Returns uniforms whose coefficients' are those of white noise, the others untouched.

    Args:
        chance: uniforms `(rows, frames, *config.noise_shape)` of a model with codes.
        before: `(rows, *noise_shape)`, of the frame before them.
        last: of the same shape, for what the last of the frames shares with the one after it; so
            whichever of several chances a take goes on with, its frames agree.
        codec: the model's STFT, whose frames overlap by half.
        frame: `(rows,)`, number of the first frame, by the decoder that will hear them.
    """
    rows, count = chance.shape[:2]
    channels, hop = codec.channels, codec.hop_length
    size, half = channels * hop, codec.n_fft // 2
    hops = np.concatenate([before[:, None], chance[:, :-1], last[:, None]], axis=1)
    sound = normal(hops[:, :, 1 : 1 + size // 2]).reshape(rows, count + 1, channels, hop)
    frames = np.concatenate([sound[:, :-1], sound[:, 1:]], axis=-1)  # (rows, frames, channels, fft)
    spectrum = scipy.fft.rfft(frames * codec.window.astype(np.float32), norm="ortho")
    spectrum *= np.float32(np.sqrt(2.0))  # mean square 1, with the mirror image
    # What stands for the highest frequency is the imaginary part of the lowest, both of half power.
    both = spectrum[..., 0].real + 1j * spectrum[..., half].real
    spectrum[..., 0] = np.float32(0.5**0.5) * both
    real, imaginary = (
        part[..., :half].reshape(rows, count, size) for part in (spectrum.real, spectrum.imag)
    )
    found = chance.copy()
    odd = (np.asarray(frame)[:, None] + np.arange(count)) % 2  # every other frame turns odd lines
    turned = np.arctan2(imaginary, real) * np.float32(0.5 / np.pi)
    turned[..., 1::2] += np.float32(0.5) * odd[..., None].astype(np.float32)
    found[:, :, 1 : 1 + size, 1] = np.minimum(turned - np.floor(turned), MOST)
    power = real * real + imaginary * imaginary
    found[:, :, 1 : 1 + size, 0] = np.minimum(np.float32(1.0) - np.exp(-power), MOST)
    return found


def normal(chance: np.ndarray) -> np.ndarray:
    """Returns normally distributed float32 `(..., 2 * pairs)` of uniforms `(..., pairs, 2)`.

    By Box and Muller 1958, "A note on the generation of random normal deviates".
    """
    radius = np.sqrt(np.float32(-2.0) * np.log1p(-chance[..., 0]))
    angle = np.float32(2.0 * np.pi) * chance[..., 1]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
