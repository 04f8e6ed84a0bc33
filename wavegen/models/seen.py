"""What a model of codes says of a frame, in one array, and its parts."""

from __future__ import annotations

from typing import Any, NamedTuple

from wavegen.config import SpectralLSTMConfig


class Seen(NamedTuple):
    """What `step` says of a frame, for the density of the one after it; `(batch, time, width)`."""

    hidden: Any  # of the LSTM
    recalled: Any  # probability of each code, by what was heard before
    missed: Any  # log10 of what bands are to have by it, against the spectra of these codes
    counts: Any  # how much that counts, 0 .. 1
    code: Any  # of the frame, as a float
    power: Any  # of its bands
    level: Any  # of late, by band
    bands: Any  # as the renderer hears them: log10 against that level, then the last frame's
    turned: Any  # the frame turned on, real parts then imaginary ones, in units of the level
    around: Any  # mean power around each coefficient of late, in the same units


def widths(config: SpectralLSTMConfig, features: int, hears: tuple[int, int]) -> tuple[int, ...]:
    """Returns how wide the parts of `Seen` are.

    Args:
        config: of the model.
        features: bands of all channels.
        hears: widths of `turned` and `around`.
    """
    recalled = config.codes, features, 1
    return config.units, *recalled, 1, features, features, 2 * features, *hears


def apart(y: Any, widths: tuple[int, ...]) -> Seen:
    """Returns the parts of an array `(batch, time, sum of widths)`."""
    parts, at = [], 0
    for width in widths:
        parts.append(y[..., at : at + width])
        at += width
    return Seen(*parts)
