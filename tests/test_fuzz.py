"""Whatever bytes are named .wav: sound, or one line that says why not."""

import sys
import time

import numpy as np
import pytest
from mutate import bases, mutations

from wavegen import audio
from wavegen.errors import AudioError


def outcome(path):
    """Returns the sound of a file, or the one line that refuses it; anything else is an error."""
    try:
        sound, _ = audio.read(path)
        audio.metadata(path)
    except AudioError as error:
        text = str(error)
        assert text.startswith(f"{path}: ") and "; " in text and "\n" not in text
        return text
    assert np.isfinite(sound).all() and np.abs(sound).max() <= 1000
    assert sound.shape == (audio.info(path).channels, audio.info(path).frames)
    return sound


def fuzz(path, count, seed):
    """Returns (how many files were sound, seconds that each took)."""
    accepted, taken = 0, []
    for data in mutations(count, seed):
        path.write_bytes(data)
        began = time.perf_counter()
        accepted += not isinstance(outcome(path), str)
        taken.append(time.perf_counter() - began)
    return accepted, taken


def test_the_honest_files_are_taken_but_for_the_compressed(tmp_path):
    kinds = [isinstance(outcome(_written(tmp_path / "a.wav", data)), str) for data in bases()]
    assert kinds == [False] * 9 + [True] * 4  # ADPCM and GSM; Wave64 is no WAV


def _written(path, data):
    path.write_bytes(data)
    return path


def test_mutations_are_sound_or_one_line(tmp_path):
    resource = pytest.importorskip("resource")
    fuzz(tmp_path / "m.wav", 24, seed=1)  # whatever is imported once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    accepted, taken = fuzz(tmp_path / "m.wav", 600, seed=0)
    assert 60 < accepted < 540  # neither gate is closed for all
    assert np.median(taken) < 0.01
    if sys.platform == "linux":  # in kilobytes there
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
