# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3 WaveNet: one sample after the other
#
# A WaveNet draws sound sample by sample, 16000 a second, each from a probability that hangs on what
# was heard before. This notebook looks into one: how far back it hears, why it need not compute
# everything anew for every sample, and what exactly is drawn.
#
# It trains a tiny one for three minutes. Notebooks 4 and 5 use the same run; a second time it is
# there already.

# %%
import functools
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow has much to say at its start

import keras
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Audio, display

from wavegen import (
    audio,
    backend,
    checkpoint,
    cli,
    config,
    engines,
    listing,
    models,
    plots,
    streaming,
)
from wavegen.chance import uniforms
from wavegen.codec import codec_of
from wavegen.models import heads
from wavegen.sampling import Sampler

FAST = bool(os.environ.get("WAVEGEN_FAST"))  # the test suite is in a hurry
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "recordings").is_dir())
recordings, runs = root / "recordings", root / "notebooks" / "runs"
box = ["--steps", "4", "--sample-seconds", "0.5"] if FAST else ["--for", "3m"]
command = ["train", str(recordings), "--arch", "wavenet", "--preset", "tiny", "--runs", str(runs)]
assert cli.main([*command, *box]) == 0

# %% [markdown]
# ## How far back it hears
#
# Each layer looks at two points of the layer below, and the distance between them doubles from
# layer to layer. So a few layers reach far. These are the paths into one output, for four layers:

# %%
dilations = [1, 2, 4, 8]
figure, axis = plt.subplots(figsize=(10, 3.2), layout="constrained")
reached = {0}
for layer in range(len(dilations), 0, -1):
    below = set()
    for at in reached:
        for tap in (at, at - dilations[layer - 1]):
            axis.plot([tap, at], [layer - 1, layer], color="tab:blue", linewidth=0.8)
            below.add(tap)
    axis.plot(sorted(reached), [layer] * len(reached), "o", color="tab:blue", markersize=4)
    reached = below
axis.plot(sorted(reached), [0] * len(reached), "o", color="tab:orange", markersize=5)
axis.set(xlabel="sample, 0 is now", ylabel="layer", yticks=range(5))
plt.show()
print(f"{len(reached)} samples reach one output: 1 + {' + '.join(map(str, dilations))}")

# %% [markdown]
# Does the code do that? Change one sample and see which outputs change. A plain network (without
# the linear predictor that wavegen's default stands on) must change from that sample on, for as
# long as its receptive field, and nowhere else: the future must not change the past.

# %%
sizes = dict(cycles=1, residual_channels=16, gate_channels=16, skip_channels=32, post_channels=32)
keras.utils.set_random_seed(0)
plain = models.FAMILIES["wavenet"](
    config.build(
        config.WaveNetConfig, sizes | dict(layers_per_cycle=6 if FAST else 8, predictor_order=0)
    )
)
field, changed_at = plain.config.receptive_field, 100
rng = np.random.default_rng(0)
x = 32768 + rng.integers(-3000, 3000, (1, 2 * field + changed_at, 1)).astype("int32")
other = x.copy()
other[0, changed_at] += 5000
change = np.abs(np.asarray(plain(other)) - np.asarray(plain(x)))[0].max(axis=-1)

figure, axis = plt.subplots(figsize=(10, 3), layout="constrained")
axis.semilogy(change + 1e-9)
axis.axvspan(changed_at, changed_at + field - 1, color="tab:orange", alpha=0.2)
axis.set(xlabel="sample", ylabel="change of the outputs")
plt.show()
changed = np.flatnonzero(change)
print(f"outputs {changed[0]} to {changed[-1]} changed: {changed[-1] - changed[0] + 1} of them")
print(f"the receptive field is {field} samples, {1000 * field / 16000:g} ms at 16 kHz")

# %% [markdown]
# Sixteen milliseconds are three swings of a low E. That is why wavegen's WaveNet has a linear
# predictor under it, fitted anew to the last quarter of a second every 256 samples: tones come from
# there, and the network learns what it cannot know.
#
# ## What it remembers
#
# To draw the next sample one need not hear the whole receptive field again. Each layer keeps what
# it has heard last, as many values as its distance: that is the state, a value that `step` takes
# and gives back. In one go, in blocks, or one by one, the outputs are the same.

# %%
whole = np.asarray(plain(x))
for size in (x.shape[1], 97, 1):
    state, parts = plain.initial_state(1), []
    for start in range(0, min(x.shape[1], 40 * size), size):
        y, state = plain.step(x[:, start : start + size], state)
        parts.append(np.asarray(y))
    found = np.concatenate(parts, axis=1)
    worst = np.abs(found - whole[:, : found.shape[1]]).max()
    print(f"in blocks of {size:4}: differs by {worst:.1e} at most, of {np.abs(whole).max():.2f}")
pasts, _ = plain.initial_state(1)
print("kept of the past, layer by layer:", [past.shape[1] for past in pasts])

# %% [markdown]
# What that is worth: a second of sound the hard way, hearing the whole field for every sample; with
# the same step and its state; and by the compiled engine that `wavegen sample` draws with. All
# three draw from the same network.


# %%
def seconds_for_one(draw, samples):
    draw()  # the first time it is compiled
    began = time.perf_counter()
    draw()
    return (time.perf_counter() - began) / samples * 16000


hear = backend.compiled(streaming.pure(plain), streaming.parameters(plain))
silence, blank = np.full((1, field, 1), 32768, "int32"), plain.initial_state(1)
noise = uniforms(seed=0, variation=0, start=0, frames=256 if FAST else 8000, shape=(1,))[None]
took = {"the whole field again": seconds_for_one(lambda: hear(silence, blank), 1)}
for name, label in (("reference", "cached, Keras on XLA"), ("numba", "cached, compiled engine")):
    engine = engines.make(plain, name)
    session = engine.prime(silence)
    draw = functools.partial(engine.draw, session, noise, temperature=1.0, top_p=1.0)
    took[label] = seconds_for_one(draw, noise.shape[1])
for label, seconds in took.items():
    print(f"{label:26} {seconds:8.3f} s for a second of sound")

# %% [markdown]
# ## Drawing one sample
#
# Let the model hear a recording and stop. What does it expect next? Not a value but a distribution:
# a mixture of a few bell curves over the 65536 levels of 16 bits. A number between 0 and 1 decides:
# where it falls among the weights picks a curve, and where in that curve's share says how far to
# its left or right. Chance is handed in, so the same number gives the same sample.

# %%
file = checkpoint.read_model(checkpoint.find_model(runs / "wavenet"))
model, engine, rate = models.load(file), engines.make(file), file.config.sample_rate
path = listing.list_audio([recordings]).files[-1]  # put your own here
sound = next(
    audio.blocks(path, sample_rate=rate, channels=file.config.channels, block_frames=10 * rate)
)
music = codec_of(file.config).encode(sound)[None]  # int32 (1, samples, channels)

# Stop where the last 50 ms were the least surprising, of all that is not soft: while something rings.
nats, window = (
    engine.log_prob(music[0]).mean(axis=1),
    np.ones(round(0.05 * rate)) / round(0.05 * rate),
)
far = slice(min(2 * rate, sound.shape[1] // 3), -rate // 2)
calm = np.convolve(nats, window, "valid")[far]
level = np.convolve(np.square(sound[0, 1:]), window, "valid")[far]
start = far.start + len(window) + int(np.argmax(np.where(level >= np.median(level), calm, -np.inf)))
y, _ = model.step(music[:, :start], model.initial_state(1))
parts = heads.mixture(*model.last_layer(y[:, -1:], 0, None))
weights, means, scales = (np.asarray(part)[0, 0] for part in parts)

middle = float(np.exp(weights) @ means)
reach = 6 * float(np.exp(weights) @ scales)
first, last = (round(32768 + 32768 * edge) for edge in (middle - reach, middle + reach))
levels = np.arange(max(0, first), min(65535, last) + 1)
share = np.exp(np.asarray(heads.mixture_log_prob(parts, levels[None]))[0])
chance = uniforms(seed=0, variation=0, start=0, frames=2000, shape=(1,))[None, :, 0]

figure, axes = plt.subplots(2, 1, figsize=(10, 5), sharex=True, layout="constrained")
axes[0].plot(levels - 32768, share, label="expected")
axes[0].axvline(music[0, start, 0] - 32768, color="tab:red", label="what the music did")
axes[0].set(ylabel="probability")
axes[0].legend(loc="upper right")
edges = np.arange(first, last, max(1, (last - first) // 60)) - 32768
for temperature in (0.5, 1.0):
    drawn = np.asarray(heads.draw_mixture(parts, chance, temperature, 1.0))[0] - 32768
    label = f"2000 draws at temperature {temperature}"
    axes[1].hist(drawn, bins=edges, histtype="step", label=label)
axes[1].set(xlabel="level, 0 is silence, 32768 full scale", ylabel="how often")
axes[1].legend(loc="upper right")
plt.show()

# %% [markdown]
# ## Sample by sample
#
# The drawn sample is heard like any other, and the next one is drawn. What was heard of the music
# is a value: here it is answered eight times, with eight sequences of numbers. At first all answers
# agree with the music, then they go their own ways.

# %%
session = engine.prime(music[:, :start])
count = round(0.02 * rate)  # 20 ms
figure, axis = plt.subplots(figsize=(10, 4), layout="constrained")
before = music[0, start - count : start, 0] - 32768
axis.plot(1000 * np.arange(-count, 0) / rate, before, color="black", linewidth=1)
for variation in range(8):
    noise = uniforms(seed=0, variation=variation, start=0, frames=count, shape=(1,))[None]
    frames, _ = engine.draw(session, noise, temperature=1.0)
    axis.plot(1000 * np.arange(count) / rate, frames[0, :, 0] - 32768, linewidth=0.8)
follows = music[0, start : start + count, 0] - 32768
axis.plot(1000 * np.arange(count) / rate, follows, color="black", linewidth=2, label="the music")
axis.axvline(0, color="0.5", linestyle="--")
axis.set(xlabel="ms", ylabel="level")
axis.legend(loc="upper left")
plt.show()

# %% [markdown]
# ## Temperature, and a watchful ear
#
# For seconds on end that is not enough: a model that feeds on its own samples wanders off, sooner
# after three minutes of training than after thirty. Cooler (a temperature below 1) it falls into
# drones or silence, hotter it turns to noise. So `wavegen sample` listens while it draws: of
# several ways to go on for a quarter of a second it keeps the one most like moments of your
# recordings, holds the level, and draws again what runs away. Here is the model left alone at three
# temperatures, then with that ear. Turn your speakers down first.

# %%
seed, seconds = sound[:, max(0, start - 2 * rate) : start], 1.0 if FAST else 8.0
sampler, sounds = Sampler(file), {}
for temperature in (0.8, 1.0, 1.1):
    name = f"left alone, temperature {temperature}"
    sounds[name] = sampler.generate(seed, seconds, temperature=temperature, guard=False)[0]
sounds["chosen and guarded, temperature 1"] = sampler.generate(seed, seconds)[0]

figure, axes = plt.subplots(4, 1, figsize=(10, 10), sharex=True, layout="constrained")
for axis, (name, signal) in zip(axes, sounds.items(), strict=True):
    heard = np.concatenate([seed, signal], axis=1)
    image = plots.spectrogram(axis, heard, rate, split=seed.shape[1] / rate, title=name)
    print(name)
    display(Audio(heard, rate=rate, normalize=False))
axes[-1].set_xlabel("s")
figure.colorbar(image, ax=axes, format="%+.0f dB")
plt.show()

# %% [markdown]
# The rest is size and time: `python -m wavegen train --arch wavenet --for 45m` hears 128 ms back
# and has thirteen times as many weights.
