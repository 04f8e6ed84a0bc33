"""Sound without end in bounded memory: ten hours to learn from, minutes to draw."""

import os
import subprocess
import sys

import numpy as np
import pytest

from wavegen import pcm, riff

RATE = 16000  # of the model too: to resample ten hours takes a minute
TRAINING = """
import resource
from wavegen import cli
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
def train(name, steps):
    command = ["train", name + ".wav", "--arch", "lstm", "--preset", "tiny", "--name", name]
    command += ["--steps", steps, "--sample-rate", "16000", "--channels", "2"]
    assert cli.main(command + ["--sample-seconds", "0.1"]) == 0
train("short", "10")
before = peak()
train("long", "30")
command = ["sample", "long.wav", "-m", "runs/long", "--at", "5h0.4s", "-t", "1", "-o", "."]
assert cli.main(command) == 0
print("growth", peak() - before)
"""


def sparse_wav(path, seconds, rng):
    """Writes stereo noise of 32-bit floats, half a second every ten minutes, and holes between."""
    frames = round(seconds * RATE)
    head = riff.header("FLOAT", 2, RATE, frames, {})
    noise = (0.1 * rng.standard_normal((2, RATE // 2))).astype("float32")
    data = pcm.encode(noise, "FLOAT")[0].tobytes()
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + frames * 8)
        for at in np.arange(0, seconds - 1, 600.0 if seconds > 600 else 5.0):
            file.seek(len(head) + round(at * RATE) * 8)
            file.write(data)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sparse files and ru_maxrss in kilobytes")
def test_ten_hours_train_in_bounded_memory(tmp_path):
    """What thirty steps take of ten hours, and going on from their middle, beyond a minute's."""
    rng = np.random.default_rng(0)
    sparse_wav(tmp_path / "short.wav", 60.0, rng)
    sparse_wav(tmp_path / "long.wav", 36000.0, rng)
    assert (tmp_path / "long.wav").stat().st_size > 2**32  # RF64
    said = subprocess.run(
        [sys.executable, "-c", TRAINING],
        cwd=tmp_path,
        # Here much is computed: XLA shall make the best of its code, unlike in other tests.
        env=os.environ | {"WAVEGEN_CACHE": str(tmp_path / "cache"), "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    growth = int(said.stdout.split("growth")[1])
    print(f"grew by {growth} MB")
    assert growth < 300


DRAWING = """
import resource
from wavegen import cli
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
def draw(seconds):
    command = ["sample", "-m", "model.safetensors", "--seed", "1", "-o", seconds, "-t", seconds]
    assert cli.main(command) == 0
draw("20s")
before = peak()
draw("5m")
print("growth", peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss in kilobytes")
def test_five_minutes_are_drawn_in_bounded_memory(tmp_path):
    from conftest import make_model

    from wavegen import audio, models

    models.save(tmp_path / "model.safetensors", make_model("wavenet", levels=64), {}, {})
    said = subprocess.run(
        [sys.executable, "-c", DRAWING], cwd=tmp_path, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    growth = int(said.stdout.split("growth")[1])
    print(f"grew by {growth} MB")
    assert growth < 8  # the sound alone would be 10
    (path,) = (tmp_path / "5m").glob("*.wav")
    assert audio.info(path).frames == 300 * 8000
