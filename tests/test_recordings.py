import importlib.util
from pathlib import Path

import numpy as np
import pytest
import soundfile

FOLDER = Path(__file__).parent.parent / "recordings"
STATED = {"plucked": (65, 75), "bells": (30, 40), "drums": (25, 35)}  # seconds


@pytest.mark.parametrize("name", STATED)
def test_shipped_recordings_are_sound(name):
    signal, rate = soundfile.read(FOLDER / "shipped" / f"{name}.wav", always_2d=True)
    assert (rate, signal.shape[1]) == (22050, 2)
    least, most = STATED[name]
    assert least < len(signal) / rate < most
    assert 0.5 < np.abs(signal).max() < 1.0
    assert np.abs(signal.mean(axis=0)).max() < 0.005
    seconds = signal[: len(signal) // rate * rate].reshape(-1, rate, signal.shape[1])
    silent = np.abs(seconds).max(axis=(1, 2)) < 1e-3
    assert silent.mean() < 0.2
    assert name in (FOLDER / "shipped" / "README.md").read_text()


def test_shipped_recordings_fit_into_a_clone():
    assert sum(path.stat().st_size for path in (FOLDER / "shipped").iterdir()) < 12_000_000


@pytest.mark.slow
def test_shipped_recordings_are_what_the_script_makes(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)  # where the instruments are
    spec = importlib.util.spec_from_file_location("make", FOLDER / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    assert set(make.PIECES) == set(STATED)
    sound = make.PIECES["bells"]()
    shipped, _ = soundfile.read(FOLDER / "shipped" / "bells.wav", always_2d=True)
    # Another processor's sine may round the last bit otherwise.
    assert np.abs(np.rint(sound.T * 32768) / 32768 - shipped).max() <= 1.01 / 32768
