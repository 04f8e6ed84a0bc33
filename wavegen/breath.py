"""What is played on from where there is no sound: a breath of noise.

Digital silence goes on as silence. So a take without a seed begins on a third of a second of noise,
a little softer than the recordings at their loudest and of the colour that they have.
"""

from __future__ import annotations

import numpy as np

from wavegen import moment
from wavegen.chance import normals, uniforms
from wavegen.climate import Climate

SECONDS = 0.3
BELOW_DB = 12.0  # the recordings' loudest half second
SIDE = 0.3  # of the difference of two channels; the rest is the same in both


def breath(climate: Climate, sample_rate: int, channels: int) -> np.ndarray:
    """Returns the breath: float32 `(channels, samples)`, always the same.

    Args:
        climate: of the recordings.
        sample_rate: of the model, Hz.
        channels: 1 or 2.
    """
    size = round(SECONDS * sample_rate)
    white = normals(uniforms(0, 0, 0, size, (channels, 2)))[..., 0].T.astype(np.float64)
    middle = white.mean(axis=0)
    white = middle + SIDE * (white - middle)
    lines = np.fft.rfftfreq(size, 1 / sample_rate)
    middles = moment.pitches(sample_rate).reshape(moment.COLOURS, -1).mean(axis=1)
    colour = climate.usual[moment.COLOUR : moment.COLOUR + moment.COLOURS]
    level_db = np.interp(lines, middles, colour)
    sound = np.fft.irfft(np.fft.rfft(white) * 10 ** (level_db / 20), size)
    sound *= 10 ** ((climate.loudest_db - BELOW_DB) / 20) / np.sqrt(np.square(sound).mean())
    return sound.astype(np.float32)
