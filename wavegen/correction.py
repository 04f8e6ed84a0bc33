"""What can be put right in a recording without inventing sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from wavegen.findings import LONG_PAUSE, Findings
from wavegen.finite import repaired
from wavegen.levels import FULL_SCALE
from wavegen.recording import OFFSET

KEPT_SECONDS = 0.25  # of silence at either end, so that no attack or tail is cut


@dataclass(frozen=True)
class Correction:
    """What to do to a recording.

    Attributes:
        offsets: to take off each channel, or ().
        inverted: whether to turn the second channel upside down.
        scale: to multiply by, at most 1.
        start: first sample to keep.
        stop: one past the last sample to keep.
        words: what that does, a few words each; () where there is nothing to put right.
        zeroed: how many values that are no sound become zeros.
    """

    offsets: tuple[float, ...]
    inverted: bool
    scale: float
    start: int
    stop: int
    words: tuple[str, ...]
    zeroed: int = 0


def correction_of(found: Findings, zeroed: int = 0) -> Correction:
    """Returns what can be put right given what was found.

    Args:
        found: what the recording is like.
        zeroed: how many of its values are no sound and became zeros.
    """
    words = [repaired(zeroed)] if zeroed else []
    offsets = found.dc_offset if max(map(abs, found.dc_offset)) > OFFSET else ()
    if offsets:
        words.append("DC offset removed")
    if found.opposed:
        words.append("second channel inverted")
    peak = found.swing if offsets else found.peak
    scale = 1 / peak if peak > FULL_SCALE[1] else 1.0
    if scale < 1:
        words.append("scaled to full scale")
    rate, samples = found.sample_rate, round(found.seconds * found.sample_rate)
    start, stop = 0, samples
    if found.silent_start >= LONG_PAUSE:
        start = round((found.silent_start - KEPT_SECONDS) * rate)
    if found.silent_end >= LONG_PAUSE:
        stop = samples - round((found.silent_end - KEPT_SECONDS) * rate)
    if stop - start < samples:
        words.append(f"{(samples - stop + start) / rate:.1f} s of silence cut off its ends")
    return Correction(offsets, found.opposed, scale, start, stop, tuple(words), zeroed)


def corrected(blocks: Iterable[np.ndarray], correction: Correction) -> Iterator[np.ndarray]:
    """Yields the sound put right, in float32 `(channels, n)`.

    Args:
        blocks: the whole sound, float32 `(channels, n)` in any lengths.
        correction: what to do to it.
    """
    begin = 0
    for block in blocks:
        first, last = correction.start - begin, correction.stop - begin
        begin += block.shape[1]
        part = block[:, max(first, 0) : max(last, 0)].copy()
        if not part.shape[1]:
            continue
        if correction.offsets:
            part -= np.array(correction.offsets, np.float32)[:, None]
        if correction.inverted:
            part[1] *= -1
        if correction.scale < 1:
            part = np.clip(part * np.float32(correction.scale), -1, 1)  # what rounding adds
        yield part
