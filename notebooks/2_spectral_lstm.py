# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2 The spectral LSTM: hum and cure
#
# The oldest recipe for music from a recurrent network is short: cut the sound into frames, take
# their Fourier transform, let an LSTM predict the next frame, minimise the squared error. Its loss
# falls as it should. Then you let it play, and it hums.
#
# This notebook trains that model and wavegen's own on the same recordings, lets both play on from the
# same four seconds, and looks at what they do. Three minutes each on a laptop; more makes the
# second one better and the first one no less of a hum.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Audio, display

from wavegen import audio, checkpoint, cli, likeness, plots
from wavegen.sampling import Sampler

FAST = bool(os.environ.get("WAVEGEN_FAST"))  # the test suite is in a hurry
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "recordings").is_dir())
recordings = root / "recordings"  # put your own WAVs there
runs = tempfile.mkdtemp()

# %% [markdown]
# ## Train both
#
# `--head mse` is the old recipe. The default says what *kind* of frame comes next, by a softmax over
# 256 typical spectra, and has a renderer draw the frame of that kind.

# %%
budget = ["--preset", "tiny", "--steps", "4"] if FAST else ["--preset", "small", "--for", "3m"]
for head in ("mse", "codes"):
    command = ["train", str(recordings), "--arch", "lstm", "--head", head, "--name", head]
    command += [*budget, "--runs", runs, "--sample-seconds", "0.5", "--quiet"]
    assert cli.main(command) == 0

# %% [markdown]
# ## Let both play on
#
# Both hear the same four seconds of a recording that they have learned from. What really follows in
# it stands beside them.

# %%
models = {
    head: checkpoint.read_model(checkpoint.find_model(Path(runs) / head))
    for head in ("mse", "codes")
}
config = models["codes"].config
music, rate = audio.read(
    recordings / "shipped" / "plucked.wav",
    sample_rate=config.sample_rate,
    channels=config.channels,
)
start, seconds = 8 * rate, 3.0 if FAST else 12.0
seed, follows = music[:, start - 4 * rate : start], music[:, start : start + round(seconds * rate)]
sounds = {"the music": follows}
for head, model in models.items():
    sounds[head] = Sampler(model).generate(seed, seconds, guard=False)[0]

# %%
for name, sound in sounds.items():
    print(name)
    heard = np.concatenate([seed, sound], axis=1).clip(-1.0, 1.0)
    display(Audio(heard, rate=rate, normalize=False))

# %% [markdown]
# ## Look
#
# One scale for all: a bright line that never ends is a hum. The dashed line is where the seed ends.

# %%
figure, axes = plt.subplots(3, 1, figsize=(10, 8), sharex=True, layout="constrained")
for axis, (name, sound) in zip(axes, sounds.items(), strict=True):
    whole = np.concatenate([seed, sound], axis=1)
    image = plots.spectrogram(axis, whole, rate, split=4.0, title=name)
axes[-1].set(xlabel="s")
figure.colorbar(image, ax=axes, format="%+.0f dB")
# %% [markdown]
# ## Measure
#
# Level is RMS under full scale. Flux is how much the bands rise from frame to frame, motion how much they
# change within half a second, spread how far they range: a hum has none of either.

# %%
print(f"{'':12}{'level dB':>10}{'flux dB':>10}{'motion dB':>11}{'spread dB':>11}")
for name, sound in sounds.items():
    m = likeness.measure(sound, rate)
    print(f"{name:12}{m.rms_db:10.1f}{m.flux:10.2f}{m.motion:11.2f}{m.spread_db:11.2f}")

# %% [markdown]
# ## Why
#
# The frame with the least expected squared error is the mean of all frames that may follow. Phases
# differ, so they cancel: the mean of many notes is no note. What is left is the little that is sure, and
# fed back a hundred times a second it is all that remains.
#
# A softmax over kinds of frames has no such mean to fall into: it draws one of them. What it hears of
# itself is always one of the kinds that it learned from, so it does not drift. And since the kind is
# relative to the spectrum of late, level and colour stay those of the seed.
#
# What it costs to know more of what follows is the likelihood: `python -m wavegen score FILE -m RUN`
# compares heads and baselines in nats per coefficient.
