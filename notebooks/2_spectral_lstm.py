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
# This notebook trains that model and wavegen's own on the same recordings, lets both play on from
# the same four seconds, and looks at what they do. It takes three minutes each on a laptop; more
# makes the second one better and the first one no less of a hum. What is trained stays in
# `notebooks/runs/`: run the notebook again, and it goes on from there. What the frames are is in
# notebook 1.

# %%
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow has much to say at its start
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Audio, display

from wavegen import audio, checkpoint, cli, likeness, listing, plots
from wavegen.sampling import Sampler

FAST = bool(os.environ.get("WAVEGEN_FAST"))  # the test suite is in a hurry
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "recordings").is_dir())
recordings, runs = root / "recordings", root / "notebooks" / "runs"  # put your own WAVs there

# %% [markdown]
# ## Train both
#
# A *head* is what a network ends in: what it says of the next frame. `--head mse` is the old
# recipe; it says one frame, the likeliest to be near. The default says what *kind* of frame comes
# next, by a softmax over 256 typical spectra, the codes, and has a renderer draw the frame of that
# kind. The lines below are those of `python -m wavegen train`: a score for each head beside its
# baselines, in nats (1.44 bits) per number of a frame, lower is better. That the first head's
# verdict is poor is no accident.

# %%
budget = ["--preset", "tiny", "--steps", "4"] if FAST else ["--preset", "small", "--for", "3m"]
for head in ("mse", "codes"):
    print(f"--- {head}", flush=True)
    command = ["train", str(recordings), "--arch", "lstm", "--head", head, "--name", f"lstm-{head}"]
    command += [*budget, "--runs", str(runs), "--sample-seconds", "0.5"]
    assert cli.main(command) == 0

# %% [markdown]
# ## Let both play on
#
# Both hear the same four seconds of a recording that they have learned from. What really follows in it
# stands beside them. The second is drawn as `wavegen sample` draws: of four ways to go on for a quarter
# of a second the one most like the recordings is kept, and what runs away is drawn again. (Left alone
# after so short a training, two of its takes in thirty-two broke out into loud noise.) The first is
# left alone: it has nothing to choose from, for all its ways to go on are the same hum.

# %%
models = {
    head: checkpoint.read_model(checkpoint.find_model(runs / f"lstm-{head}"))
    for head in ("mse", "codes")
}
config = models["codes"].config
path = listing.list_audio([recordings]).files[-1]  # put your own here
rate, channels = config.sample_rate, config.channels
music = next(audio.blocks(path, sample_rate=rate, channels=channels, block_frames=30 * rate))
before, seconds = (2.0, 2.0) if FAST else (4.0, 12.0)
start = min(round(8 * rate), music.shape[1] // 2)
seed = music[:, max(0, start - round(before * rate)) : start]
follows = music[:, start : start + round(seconds * rate)]
sounds = {"the music": follows}
for head, model in models.items():
    sounds[head] = Sampler(model).generate(seed, seconds, guard=head == "codes")[0]

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
    image = plots.spectrogram(axis, whole, rate, split=seed.shape[1] / rate, title=name)
axes[-1].set(xlabel="s")
figure.colorbar(image, ax=axes, format="%+.0f dB")
plt.show()

# %% [markdown]
# ## Measure
#
# Level is RMS under full scale: 6 dB less is half as much. Flux is how much the bands rise from
# frame to frame, motion how much they change within half a second, spread how far they range over
# time. A hum has next to none of the last three. Numbers above the music's are no virtue either:
# noise has a high flux.

# %%
print(f"{'':12}{'level dB':>10}{'flux dB':>10}{'motion dB':>11}{'spread dB':>11}")
for name, sound in sounds.items():
    m = likeness.measure(sound, rate)
    print(f"{name:12}{m.rms_db:10.1f}{m.flux:10.2f}{m.motion:11.2f}{m.spread_db:11.2f}")

# %% [markdown]
# ## Why
#
# The frame with the least expected squared error is the mean of all frames that may follow. Phases
# differ, so they cancel: the mean of many notes is no note. What is left is the little that is
# sure, and fed back a hundred times a second it is all that remains.
#
# A softmax over kinds of frames has no such mean to fall into: it draws one of them. What it hears
# of itself is always one of the kinds that it learned from, so it does not drift. And since the
# kind is relative to the spectrum of late, level and colour stay those of the seed.
#
# What it costs to know more of what follows is the likelihood: `python -m wavegen score FILE -m
# RUN` compares heads and baselines in nats per coefficient.
