"""Sound without end in bounded memory: ten hours to learn from, a quarter of one to draw."""

import os
import subprocess
import sys

import numpy as np
import pytest

from wavegen import pcm, riff

RATE = 44100
CHILD = """
import resource
from wavegen import cli
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
def train(what):
    for arch in ("wavenet", "lstm"):
        command = ["train", what, "--arch", arch, "--name", what[:-4] + arch, "--steps", "100"]
        command += ["--preset", "tiny", "--sample-rate", "16000", "--channels", "2"]
        assert cli.main(command + ["--sample-seconds", "0.1"]) == 0
train("short.wav")
train("again.wav")  # whatever a second training takes, however short
before = peak()
train("long.wav")
print("growth", peak() - before)
"""


def sparse_wav(path, seconds, rng):
    """Writes stereo 16-bit noise, half a second every ten minutes, and holes between."""
    frames = round(seconds * RATE)
    head = riff.header("PCM_16", 2, RATE, frames, {})
    noise = (0.1 * rng.standard_normal((2, RATE // 2))).astype("float32")
    data = pcm.encode(noise, "PCM_16")[0].tobytes()
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + frames * 4)
        for at in np.arange(0, seconds - 1, 600.0 if seconds > 600 else 5.0):
            file.seek(len(head) + round(at * RATE) * 4)
            file.write(data)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sparse files and ru_maxrss in kilobytes")
def test_ten_hours_train_in_bounded_memory(tmp_path):
    rng = np.random.default_rng(0)
    sparse_wav(tmp_path / "short.wav", 60.0, rng)
    sparse_wav(tmp_path / "again.wav", 60.0, rng)
    sparse_wav(tmp_path / "long.wav", 36000.0, rng)
    assert (tmp_path / "long.wav").stat().st_size > 2**32  # RF64
    said = subprocess.run(
        [sys.executable, "-c", CHILD],
        cwd=tmp_path,
        # Here much is computed: XLA shall make the best of its code, unlike in the other tests.
        env=os.environ | {"WAVEGEN_CACHE": str(tmp_path / "cache"), "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    growth = int(said.stdout.split("growth")[1])
    print(f"grew by {growth} MB")
    assert growth < 300


QUARTER = """
import resource
from wavegen import cli
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
def draw(seconds):
    command = ["sample", "-m", "model.safetensors", "--seed", "1", "-o", seconds, "-t", seconds]
    assert cli.main(command) == 0
draw("20s")
before = peak()
draw("15m")
print("growth", peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss in kilobytes")
def test_a_quarter_of_an_hour_is_drawn_in_bounded_memory(tmp_path):
    from conftest import make_model

    from wavegen import audio, models

    models.save(tmp_path / "model.safetensors", make_model("wavenet", levels=64), {}, {})
    said = subprocess.run(
        [sys.executable, "-c", QUARTER], cwd=tmp_path, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    growth = int(said.stdout.split("growth")[1])
    print(f"grew by {growth} MB")
    assert growth < 20  # the sound alone would be 29
    (path,) = (tmp_path / "15m").iterdir()
    assert audio.info(path).frames == 904 * 8000
