"""Values that can be sound: NaN, infinities and absurd sizes are refused or, if asked, silenced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wavegen.errors import AudioError, shown

LOUDEST = 1e3  # float samples beyond this are not sound


@dataclass
class Repair:
    """Asks that values which are no sound become zeros instead of an error.

    Attributes:
        values: how many became zeros so far.
    """

    values: int = 0


def repaired(values: int) -> str:
    """Returns the words for values that became zeros."""
    what = "1 value that is" if values == 1 else f"{values} values that are"
    return f"{what} no sound (NaN, infinite or beyond {LOUDEST:g}) set to zero"


def checked(
    path: str | os.PathLike[str], source: Iterator[np.ndarray], rate: int, repair: Repair | None
) -> Iterator[np.ndarray]:
    """Yields the blocks of a file, every value of them finite and of a size that sound can have.

    Args:
        path: of the file, for messages.
        source: its blocks, float32 `(channels, n)`.
        rate: of the file, Hz, for messages.
        repair: other values become zeros, which it counts; None makes them an error.

    Raises:
        AudioError: a value is no sound; with `repair`, all of them are none.
    """
    start, sound = 0, False
    for block in source:
        peak = np.abs(block).max()  # NaN if there is one
        if not peak <= LOUDEST:
            bad = ~(np.abs(block) <= LOUDEST)
            if repair is None:
                raise _refused(path, block, bad, start, rate)
            repair.values += int(np.count_nonzero(bad))
            sound |= not bad.all()
            block = np.where(bad, np.float32(0), block)
        else:
            sound = True
        start += block.shape[1]
        yield block
    if start and not sound:
        raise AudioError(f"{shown(path)}: holds no value that is sound; export it again")


def _refused(
    path: str | os.PathLike[str], block: np.ndarray, bad: np.ndarray, start: int, rate: int
) -> AudioError:
    """Returns the error that names the first bad value and when it comes."""
    first = int(np.argmax(bad.any(axis=0)))
    value = block[:, first][bad[:, first]][0]
    what = f"a value of {value:.3g}" if np.isfinite(value) else "a NaN or infinite value"
    when = f"first at {(start + first) / rate:.3f} s"
    return AudioError(f"{shown(path)}: holds {what}, {when}; export it again")
