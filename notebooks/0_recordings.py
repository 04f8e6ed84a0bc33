# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 0 Look at your recordings
#
# What a model can learn is what is in your recordings: so look at them, and hear what a model will
# hear of them. Put your own WAVs into `recordings/`; until then the shipped ones are shown. Nothing
# is trained here and nothing is written; it takes seconds.

# %%
import os
from pathlib import Path

import librosa
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Audio, display

from wavegen import audio, cli, likeness, listing, plots
from wavegen.codec import PCM16, MuLaw, snr_db

FAST = bool(os.environ.get("WAVEGEN_FAST"))  # the test suite is in a hurry
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "recordings").is_dir())
recordings = root / "recordings"
files = listing.list_audio([recordings]).files[:6]  # of many, the first few
for path in files:
    about = audio.info(path)
    seconds = about.frames / about.sample_rate
    print(f"{path.name:24} {about.sample_rate} Hz, {about.channels} ch, {seconds:.1f} s")

# %% [markdown]
# ## The wave
#
# How loud it is over time. Where there are two channels, the left one points up and the right one
# down. Look for long silences (they teach silence), for tops that all end at the same height
# (clipping) and for one recording that is far softer than the others.

# %%
figure, axes = plt.subplots(
    len(files), 1, figsize=(10, 1.8 * len(files)), squeeze=False, layout="constrained"
)
for axis, path in zip(axes[:, 0], files, strict=True):
    rate = audio.info(path).sample_rate
    sound = next(audio.blocks(path, block_frames=300 * rate))  # of a long one, five minutes
    width = -(-sound.shape[1] // 2000)  # samples in a column of the picture
    starts = np.arange(0, sound.shape[1], width)
    least, most = (f.reduceat(sound, starts, axis=1) for f in (np.minimum, np.maximum))
    peak = np.maximum(most, -least)
    upper, lower = (peak[0], -peak[1]) if len(sound) > 1 else (most[0], least[0])
    axis.fill_between(starts / rate, lower, upper)
    axis.set(title=path.name, ylim=(-1, 1))
axes[-1, 0].set_xlabel("s")
plt.show()

# %% [markdown]
# The same, ever closer: two seconds, fifty milliseconds, two milliseconds. At the closest every dot
# is a sample, and that is what a WaveNet draws, one after the other.

# %%
path = files[-1]  # put the one you want here: recordings / "mine.wav"
seconds, rate = 3 if FAST else 12, audio.info(path).sample_rate
sound = next(audio.blocks(path, block_frames=seconds * rate))
middle = int(np.abs(sound[0]).argmax())  # the loudest instant

figure, axes = plt.subplots(3, 1, figsize=(10, 5.5), layout="constrained")
for axis, width in zip(axes, (2.0, 0.05, 0.002), strict=True):
    first = max(0, middle - round(width * rate / 2))
    cut = sound[0, first : first + round(width * rate)]
    style = "." if width < 0.01 else ""
    axis.plot(1000 * (first - middle + np.arange(len(cut))) / rate, cut, style + "-", linewidth=0.8)
    axis.set_title(f"{1000 * width:g} ms")
axes[-1].set_xlabel("ms before and after the loudest instant")
plt.show()
display(Audio(sound, rate=rate, normalize=False))

# %% [markdown]
# `normalize=False` matters: without it a player brings every sound to the same level, and a model
# that plays too softly goes unnoticed.
#
# ## The spectrogram
#
# Which tones sound when: time runs to the right, pitch upwards, an octave is everywhere as high,
# bright is loud. Every spectrogram of wavegen has this one scale from -100 to -20 dB, so that two
# pictures can be compared.

# %%
figure, axis = plt.subplots(figsize=(10, 4), layout="constrained")
image = plots.spectrogram(axis, sound, rate, title=path.name)
axis.set_xlabel("s")
figure.colorbar(image, ax=axis, format="%+.0f dB")
plt.show()

# %% [markdown]
# ## Mel bands
#
# The ear tells low tones apart better than high ones. Mel bands are narrow below and wide above, as
# it hears; wavegen compares what a model plays with your music in such bands. A model that is right
# in them may still be wrong in every single sample, and sound right.

# %%
bands, hop = 96, round(rate / 86)
mel = likeness.mel_power(sound, rate, hop / rate, bands)  # (bands, frames)
db = likeness.decibels(mel / mel.max())
figure, axis = plt.subplots(figsize=(10, 4), layout="constrained")
image = axis.imshow(
    db, origin="lower", aspect="auto", extent=(0, mel.shape[1] * hop / rate, 0, bands)
)
centres = librosa.mel_frequencies(bands + 2, fmax=min(8000, rate / 2))[1:-1]  # Hz, of each band
axis.set_yticks(np.arange(0, bands, 12) + 0.5, [f"{f:.0f}" for f in centres[::12]])
axis.set(title=f"{path.name}, {bands} mel bands", xlabel="s", ylabel="Hz")
figure.colorbar(image, ax=axis, format="%+.0f dB")
plt.show()

# %% [markdown]
# ## What a model hears
#
# First, its sample rate. `small` takes your music at 16 kHz in mono: nothing above 8 kHz is left,
# and what a model never hears it cannot play. `--preset fullband` keeps all of it and takes about
# three times as long. Is the difference worth it in your music? Listen.

# %%
heard_rate = 16000
heard = next(
    audio.blocks(path, sample_rate=heard_rate, channels=1, block_frames=seconds * heard_rate)
)
for name, signal, at in (("the recording", sound, rate), ("at 16 kHz, mono", heard, heard_rate)):
    print(name)
    display(Audio(signal, rate=at, normalize=False))

# %% [markdown]
# Then, how finely each sample is told. A WaveNet of `--head softmax` chooses one of 256 levels,
# spaced by mu-law: fine near silence, coarse near full scale. The default has the 65536 levels of a
# 16-bit WAV. Here is the error that each leaves, 100 times as loud in the picture as it is.

# %%
start = max(0, int(np.abs(heard[0]).argmax()) - 160)
cut = slice(start, start + 320)  # 20 ms
figure, axes = plt.subplots(2, 1, figsize=(10, 5), sharex=True, sharey=True, layout="constrained")
times = 1000 * np.arange(heard[0, cut].size) / heard_rate
for axis, (name, levels) in zip(
    axes, {"mu-law, 256 levels": MuLaw(256), "16 bits, 65536 levels": PCM16()}.items(), strict=True
):
    frames = levels.encode(heard)  # int32 (samples, channels): what the network is fed with
    back = levels.decode(frames)
    error = back - heard
    axis.step(times, back[0, cut], where="mid", linewidth=1, label="what is left of it")
    axis.plot(times, 100 * error[0, cut], color="tab:red", linewidth=0.8, label="error x 100")
    axis.set_title(f"{name}: error {snr_db(heard, back):.0f} dB below the sound")
    axis.legend(loc="upper right")
    print(f"{name}, the error alone:")
    display(Audio(error, rate=heard_rate, normalize=False))
axes[-1].set_xlabel("ms")
plt.show()

# %% [markdown]
# How often each level occurs is the least that a model can know of your music, and the first of the
# baselines that notebook 5 holds it against. Two humps are usual: samples near zero are the
# commonest, but there the levels of mu-law lie so close that each of them gets few. A spike at 128
# is digital silence.

# %%
figure, axis = plt.subplots(figsize=(10, 3), layout="constrained")
counts = np.bincount(MuLaw(256).encode(heard)[:, 0], minlength=256)
axis.bar(np.arange(256), counts / counts.sum(), width=1.0)
axis.set(xlabel="mu-law level: 128 is zero, 0 and 255 are full scale", ylabel="share of samples")
plt.show()

# %% [markdown]
# A spectral LSTM hears something else: frames of a Fourier transform. Notebook 1 is about those.
#
# ## What wavegen says of them
#
# `check` measures what you have just looked at, for all files at once: level, clipping, silence,
# how far up they go, which are the same, what training would leave out and what to expect of so
# much sound. In a terminal that is `python -m wavegen check`.

# %%
assert cli.main(["check", str(recordings), "--quiet"]) == 0
