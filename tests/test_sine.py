"""The sanity check that tools of this kind fail: a 440 Hz tone must come back as 440 Hz."""

import numpy as np
import pytest
import soundfile

from wavegen import cli

TONE = 440.0
WAVENET = ["--preset", "tiny", "--arch", "wavenet", "--steps", "80"]
LSTM = ["--preset", "tiny", "--arch", "lstm", "--steps", "120"]
HEADS = {
    "logistic": (16000, WAVENET),
    # One of 256 levels that has hardly learned repeats itself every 36 samples, which is 444.4 Hz.
    "softmax": (16000, [*WAVENET, "--head", "softmax", "--steps", "400"]),
    "softmax of 1024 levels": (
        16000,
        [*WAVENET, "--head", "softmax", "--levels", "1024", "--steps", "40"],
    ),
    "codes": (44100, LSTM),
    "student_t": (44100, [*LSTM, "--head", "student_t"]),
}


def frequency(signal, rate):
    """Returns the strongest frequency in Hz, by a parabola through the peak of the spectrum."""
    spectrum = np.log(np.abs(np.fft.rfft(signal * np.hanning(len(signal)))) + 1e-12)
    k = int(np.argmax(spectrum[1:-1])) + 1
    a, b, c = spectrum[k - 1 : k + 2]
    return (k + 0.5 * (a - c) / (a - 2 * b + c)) * rate / len(signal)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "flags"), HEADS.values(), ids=HEADS)
def test_a_tone_comes_back_at_its_pitch(rate, flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAVEGEN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "recordings").mkdir()
    tone = 0.5 * np.sin(2 * np.pi * TONE * np.arange(8 * rate) / rate)
    soundfile.write("recordings/tone.wav", tone, rate)
    assert cli.main(["train", "--name", "tone", "--sample-seconds", "0.2", *flags]) == 0
    command = ["sample", "recordings/tone.wav", "-t", "1.5", "--seed", "1", "--no-with-prime"]
    assert cli.main(command) == 0
    path = capsys.readouterr().out.strip().split("\n")[-1]
    drawn, drawn_rate = soundfile.read(path, always_2d=True)
    assert len(drawn) == round(1.5 * drawn_rate)
    assert frequency(drawn.mean(axis=1), drawn_rate) == pytest.approx(TONE, rel=0.01)
    level = np.sqrt(np.mean(drawn**2)) / np.sqrt(np.mean(tone**2))
    assert 0.25 < level < 4.0
