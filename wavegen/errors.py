"""The errors a user can cause, one family; the command line prints each as one line.

A message states the value, the rule and the cure: "seed.wav holds 12 samples; this model needs at
least 1024 (its n_fft)". The exit code belongs to the class, so a script can tell the cases apart.
"""

from __future__ import annotations

import os
import unicodedata


class Error(Exception):
    """Root of everything wavegen raises on purpose; its text is one line a user can act on."""

    exit_code = 1


class UsageError(Error):
    """An argument, flag or configuration value is out of range or unknown."""

    exit_code = 2


class AudioError(Error):
    """A file of sound cannot be used: the message names the file and the reason."""

    exit_code = 2


class OutputError(Error):
    """Writing failed or was refused: existing file, no permission, full disk, folder in use."""

    exit_code = 3


class CheckpointError(Error):
    """A model file or training state is damaged, foreign or does not fit."""

    exit_code = 4


class DivergedError(Error):
    """Training left the numbers' range and could not be brought back."""

    exit_code = 5


def shown(path: str | os.PathLike[str]) -> str:
    """Returns a file name as it may stand in a one-line message.

    Control characters, line separators, marks that turn the writing direction and bytes that are
    not UTF-8 are escaped as `repr` does; every other character, of any script, stays.

    Args:
        path: a file name or path, as the file system gave it.
    """
    text = os.fspath(path)
    if text.isprintable():
        return text

    def one(character: str) -> str:
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that is not UTF-8
            return f"\\x{code - 0xDC00:02x}"
        hidden = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        if hidden or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:
            return character.encode("unicode_escape").decode("ascii")
        return character

    return "".join(map(one, text))
