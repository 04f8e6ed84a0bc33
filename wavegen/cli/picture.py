"""The picture beside a drawn sound: its spectrogram, as a PNG of the same name."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from wavegen import audio, plots, report


def wanted(arguments: argparse.Namespace) -> bool:
    """Returns whether `sample` should draw one: a page of several has pictures of its own."""
    if arguments.picture is not None:
        return arguments.picture
    short = arguments.seconds + arguments.prime <= report.LONGEST_SECONDS
    return arguments.count == 1 and short and importlib.util.find_spec("matplotlib") is not None


def beside(path: Path) -> Path:
    """Returns the path of a sound's picture."""
    return path.with_suffix(".png")


def write(sound: Path, split: float | None, force: bool) -> Path:
    """Writes a sound's picture and returns its path.

    Args:
        sound: the file.
        split: seconds at which the seed ends, for a dashed line.
        force: a picture that exists may be replaced.

    Raises:
        OutputError: it cannot be written.
    """
    signal, rate = audio.read(sound)
    made, (axes,) = plots.figure([2.6])
    plots.spectrogram(axes, signal, rate, split=split, title=sound.name)
    axes.set_xlabel("s")
    return report.put(beside(sound), plots.png(made, 110), force)
