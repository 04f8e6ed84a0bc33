# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1 Frames of a Fourier transform, and the way back
#
# The spectral LSTM of wavegen does not see samples. It sees frames: 46 ms of sound at a time, taken
# apart into tones by a short-time Fourier transform (STFT). It draws frames, too, and they must
# become sound again. This notebook shows both ways, why nothing is lost on them, and what a frame
# that nobody ever played sounds like. Nothing is trained; it takes seconds.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Audio, display

from wavegen import audio, listing, plots
from wavegen.codec import STFT, snr_db

FAST = bool(os.environ.get("WAVEGEN_FAST"))  # the test suite is in a hurry
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "recordings").is_dir())
path = listing.list_audio([root / "recordings"]).files[-1]  # put your own here
rate = 22050
sound = next(
    audio.blocks(path, sample_rate=rate, channels=2, block_frames=(2 if FAST else 8) * rate)
)
n_fft, hop = 1024, 512  # what the preset `small` has: 46 ms, and a new frame every 23 ms
stft = STFT(n_fft, hop, channels=2)

# %% [markdown]
# ## The window
#
# A frame is cut out with soft edges, and after the way back it gets the same soft edges once more:
# what counts is the window's square. Frames overlap by half, and the squares of neighbours add up
# to exactly one, so adding up all frames gives every sample its full weight.

# %%
figure, axis = plt.subplots(figsize=(10, 3), layout="constrained")
total = np.zeros(4 * hop)
for number in range(3):
    at = np.arange(number * hop, number * hop + n_fft)
    axis.plot(at / rate * 1000, stft.window**2, color="tab:blue", linewidth=1)
    total[at] += stft.window**2
inner = slice(hop, 3 * hop)  # the ends wait for more frames
axis.plot(np.arange(4 * hop)[inner] / rate * 1000, total[inner], color="tab:red", label="their sum")
axis.plot([], [], color="tab:blue", label="window, squared")
axis.set(xlabel="ms", ylim=(0, 1.1))
axis.legend(loc="center left")
plt.show()
print(f"the sum is off one by {np.abs(total[inner] - 1).max():.1e} at most")

# %% [markdown]
# ## There and back
#
# `encode` gives `(frames, features)`, and a feature is a real or an imaginary part: 2 channels x 2
# parts x 512 tones. The channels are turned into mid (the sum) and side (the difference) first,
# because the side is often next to nothing and easy to predict.

# %%
frames = stft.encode(sound)
back = stft.decode(frames, sound.shape[1])
print(f"{sound.shape} samples are {frames.shape} frames")
print(f"greatest error on the way back {np.abs(back - sound).max():.1e} of full scale")
print(f"which is {snr_db(sound, back):.0f} dB below the sound; 16 bits hold 98")
energy = np.square(frames, dtype=np.float64).sum() / np.square(sound, dtype=np.float64).sum()
print(f"energy of the frames over energy of the samples: {energy:.7f}")

# %% [markdown]
# Nor does it matter in what portions the sound comes. A step takes some samples and a state, and
# gives frames and the next state: one hop at a time while you play, all at once in training, the
# same numbers.

# %%
state, parts = stft.encode_initial(), []
for start in range(0, sound.shape[1] // hop * hop, hop):
    part, state = stft.encode_step(sound[:, start : start + hop], state)
    parts.append(part)
one_by_one = np.concatenate(parts)
print("hop by hop differs by", np.abs(one_by_one - frames[: len(one_by_one)]).max())

# %% [markdown]
# ## What is in a frame
#
# The size of a coefficient says how loud a tone is. For all tones and frames that is a spectrogram,
# with tones evenly spaced in Hz. The side channel is softer.

# %%
parts = frames.reshape(len(frames), 2, 2, n_fft // 2)  # (time, mid/side, real/imaginary, tone)
size = np.hypot(parts[:, :, 0], parts[:, :, 1])
figure, axes = plt.subplots(2, 1, figsize=(10, 6), sharex=True, layout="constrained")
for axis, channel, name in zip(axes, range(2), ("mid", "side"), strict=True):
    image = axis.imshow(
        20 * np.log10(size[:, channel].T + 1e-6),
        origin="lower",
        aspect="auto",
        extent=(0, len(frames) * hop / rate, 0, rate / 2000),
        vmin=-80,
        vmax=20,
        cmap="magma",
    )
    axis.set(title=name, ylabel="kHz")
axes[-1].set_xlabel("s")
figure.colorbar(image, ax=axes, format="%+.0f dB")
plt.show()

# %% [markdown]
# Its angle says where in its swing the tone is. A tone goes on swinging from frame to frame; this
# codec takes out what the middle of each tone's band would turn by. So a tone in the middle stands
# still, and one beside it turns slowly and steadily. That is what makes it predictable: next angle
# = this angle + the same turn. Below, one tone exactly on coefficient 20 and one a quarter of the
# way to the next.

# %%
t = np.arange(60 * hop) / rate
figure, axes = plt.subplots(2, 1, figsize=(10, 4.5), sharex=True, layout="constrained")
for axis, offset in zip(axes, (0.0, 0.25), strict=True):
    hertz = (20 + offset) * rate / n_fft
    tone = 0.5 * np.cos(2 * np.pi * hertz * t)[None]
    plain = STFT(n_fft, hop, channels=1)
    one = plain.encode(tone).reshape(-1, 2, n_fft // 2)[2:58, :, 20]
    axis.plot(one[:, 0], ".-", label="real")
    axis.plot(one[:, 1], ".-", label="imaginary")
    axis.set(title=f"{hertz:.1f} Hz, coefficient 20", ylim=(-10, 18))
    axis.legend(loc="upper right", ncols=2)
axes[-1].set_xlabel("frame")
plt.show()

# %% [markdown]
# ## Sizes alone are not enough
#
# What if a model drew the right sizes and any angles? And the right angles, all tones equally loud?
# Listen: sizes carry which notes are played, angles carry that they are tones at all and when they
# begin.

# %%
rng = np.random.default_rng(0)
angle = np.arctan2(parts[:, :, 1], parts[:, :, 0])
chance = rng.uniform(-np.pi, np.pi, angle.shape)
usual = np.sqrt(np.mean(np.square(size), axis=(0, 2), keepdims=True))


def sound_of(size, angle):
    made = np.stack([size * np.cos(angle), size * np.sin(angle)], axis=2)
    return stft.decode(made.reshape(frames.shape), sound.shape[1]).clip(-1, 1)


sounds = {
    "the recording": sound,
    "its sizes, angles of chance": sound_of(size, chance),
    "its angles, all sizes alike": sound_of(np.broadcast_to(usual, size.shape), angle),
}
figure, axes = plt.subplots(3, 1, figsize=(10, 8), sharex=True, layout="constrained")
for axis, (name, signal) in zip(axes, sounds.items(), strict=True):
    image = plots.spectrogram(axis, signal, rate, title=name)
    print(name)
    display(Audio(signal, rate=rate, normalize=False))
axes[-1].set_xlabel("s")
figure.colorbar(image, ax=axes, format="%+.0f dB")
plt.show()

# %% [markdown]
# ## Frames that nobody played
#
# Every sample is told twice, by two frames that overlap, and in music the two agree. Frames that
# are made up need not: on the way to sound what they disagree on cancels. Frames of pure chance
# lose half of their energy, and read again they are other frames.

# %%
made_up = rng.standard_normal(frames.shape).astype("float32")
again = stft.encode(stft.decode(made_up))
kept = np.square(again).sum() / np.square(made_up).sum()
print(f"made up, decoded and encoded: {100 * kept:.0f} % of the energy is left")
again = stft.encode(back)[: len(frames)]
kept = np.square(again).sum() / np.square(frames).sum()
print(f"of a recording: {100 * kept:.0f} %")

# %% [markdown]
# A model that draws each coefficient by chance loses level in the same way, and what it then hears
# of itself is not what it drew. Notebook 2 shows how wavegen's LSTM gets around it: it decides what
# kind of frame comes next, and a renderer turns every tone on by the angle it has turned by so far.
#
# ## How long should a frame be?
#
# Long frames tell tones apart that lie close together, short ones tell when something begins. No
# length does both. Here are the first two seconds up to 4 kHz in frames of 12, 46 and 186 ms.

# %%
mono = sound.mean(axis=0, keepdims=True)
figure, axes = plt.subplots(1, 3, figsize=(11, 4), sharey=True, layout="constrained")
for axis, length in zip(axes, (256, 1024, 4096), strict=True):
    short = STFT(length, length // 2, channels=1)
    found = short.encode(mono).reshape(-1, 2, length // 2)
    db = 20 * np.log10(np.hypot(found[:, 0], found[:, 1]).T + 1e-6)
    image = axis.imshow(
        db,
        origin="lower",
        aspect="auto",
        extent=(0, len(found) * length / 2 / rate, 0, rate / 2000),
        vmin=db.max() - 80,
        vmax=db.max(),
        cmap="magma",
    )
    axis.set(title=f"{1000 * length / rate:.0f} ms", xlabel="s", xlim=(0, 2), ylim=(0, 4))
axes[0].set_ylabel("kHz")
figure.colorbar(image, ax=axes, format="%+.0f dB")
plt.show()
