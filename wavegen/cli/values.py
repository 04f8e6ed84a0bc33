"""What the values of flags may be: text in, a number in range out, or argparse's complaint."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable

from wavegen.recipe import CONTROLS, LONGEST, MOST_CANDIDATES, SHORTEST

MOST_VARIATIONS = 200  # each keeps a file open while it is drawn; some systems allow 256


def duration(text: str) -> float:
    """Returns seconds from "45m", "1h30m", "90s"."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text)
    if not match or not text:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration; write 45m, 1h30m or 90s")
    hours, minutes, rest = (float(part or 0) for part in match.groups())
    total = 3600 * hours + 60 * minutes + rest
    if total <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be longer than nothing")
    return total


def seconds(text: str) -> float:
    """Returns a positive finite number of seconds; takes "90", "90s" and "2m"."""
    value = number(text) if re.fullmatch(r"[-+.\deE]+|nan|inf", text) else duration(text)
    if not value > 0 or math.isinf(value):
        raise argparse.ArgumentTypeError(f"{text} must be a finite number of seconds above 0")
    return value


def lasting(text: str) -> float:
    """Returns a number of seconds that a recipe can hold."""
    value = seconds(text)
    if not SHORTEST <= value <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text} must lie in {SHORTEST:g} .. {LONGEST:g} s")
    return value


def number(text: str) -> float:
    """Returns a float."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def whole(most: int) -> Callable[[str], int]:
    """Returns what makes an int in `1 .. most` of a text."""

    def value_of(text: str) -> int:
        if not re.fullmatch(r"\d+", text) or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number in 1 .. {most}")
        return int(text)

    return value_of


positive, variations, candidates = whole(10**9), whole(MOST_VARIATIONS), whole(MOST_CANDIDATES)


def within(least: float, most: float) -> Callable[[str], float]:
    """Returns what makes a float in `least .. most` of a text."""

    def value_of(text: str) -> float:
        value = number(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} must lie in {least:g} .. {most:g}")
        return value

    return value_of


factor, fraction, sustain = within(0, 4), within(0, 1), within(0.25, 100)
share = within(*CONTROLS["top_p"])


def folder(text: str) -> str:
    """Returns the name of a folder; a sound's it cannot have been meant to have."""
    if text.lower().endswith((".wav", ".flac")) and not os.path.isdir(text):
        raise argparse.ArgumentTypeError(
            f"{text} must be a folder; what is written into it gets names of its own"
        )
    return text


def seed_number(text: str) -> int:
    """Returns an int in 0 .. 2^64 - 1."""
    if not re.fullmatch(r"\d+", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number from 0; the seed's sound is given without a flag"
        )
    if int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"{text} must be below 2^64")
    return int(text)
