# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4 Listen across training
#
# A falling loss is not music. So `train` stops now and then, early often and later more rarely,
# lets the model go on from one and the same held-out moment, and keeps what it played in
# `runs/NAME/samples/`. This notebook listens to a whole run that way: what comes first, what comes
# later, and when more training stops helping. It uses the run of notebook 3, or trains it: three
# minutes.

# %%
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow has much to say at its start
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Audio, display

from wavegen import audio, checkpoint, cli, dataset, likeness, plots
from wavegen.cli.report import parting
from wavegen.nearest import nearest_seconds
from wavegen.sampling import Sampler

FAST = bool(os.environ.get("WAVEGEN_FAST"))  # the test suite is in a hurry
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "recordings").is_dir())
recordings, runs = root / "recordings", root / "notebooks" / "runs"
box = ["--steps", "4", "--sample-seconds", "0.5"] if FAST else ["--for", "3m"]
command = ["train", str(recordings), "--arch", "wavenet", "--preset", "tiny", "--runs", str(runs)]
assert cli.main([*command, *box]) == 0
run = checkpoint.Run.open(runs / "wavenet", create=False)  # any run of your own

# %% [markdown]
# ## What the log says
#
# Above, the loss of every step, and below, the cost on the part of each recording that training
# never hears, beside two baselines. The second curve is the one to trust. Where it goes flat, more
# time brings little; where it rises while the first still falls, the model learns your recordings
# by heart.

# %%
rows = run.rows()
scores = [row["scores"] for row in rows if row.get("event") == "validation"][-1]
baselines = {score["name"]: score["mean"] for score in scores[1:]}
figure, axes = plt.subplots(2, 1, figsize=(10, 6), sharex=True, layout="constrained")
plots.losses(axes[0], rows)
plots.held_out(axes[1], rows, baselines, scores[0]["unit"])
plt.show()
print(next(row["verdict"] for row in reversed(rows) if row.get("event") == "validation"))

# %% [markdown]
# ## Early and late
#
# The same two seconds of music (fewer if the held-out part is short), then what the model made of
# them after so many steps. First comes the music itself, as far as it goes. Listen before you look.

# %%
music, rate = audio.read(run.samples / "music.wav")
steps = sorted(run.samples.glob("step-*.wav"))
ends = parting(steps[-1], run.samples / "music.wav")  # seconds at which the seed does
split = round(ends * rate)
listened = {"the music": music}
for path in steps:
    listened[f"after {int(path.stem.split('-')[1])} steps"] = audio.read(path)[0]
for name, sound in listened.items():
    print(name)
    display(Audio(sound, rate=rate, normalize=False))

# %%
shown = list(listened)[:: max(1, len(listened) // 6)][:7]
if list(listened)[-1] not in shown:
    shown.append(list(listened)[-1])  # the latest, too
figure, axes = plt.subplots(
    len(shown), 1, figsize=(10, 2 * len(shown)), sharex=True, layout="constrained"
)
for axis, name in zip(axes, shown, strict=True):
    image = plots.spectrogram(axis, listened[name], rate, split=ends, title=name)
axes[-1].set_xlabel("s")
figure.colorbar(image, ax=axes, format="%+.0f dB")
plt.show()

# %% [markdown]
# ## In numbers
#
# How unlike the music is what follows the seed? Level in dB, the others as ratios to the music's:
# flux is how restless the bands are, motion how much they change within half a second, spread how
# far they range. 1 is alike. A wavegen model is not blank before its first step: it stands on a
# linear predictor and on a guard, so look for how these settle rather than for a miracle.

# %%
own = likeness.measure(music, rate)
print(f"{'':20}{'level dB':>9}{'flux':>7}{'motion':>8}{'spread':>8}")
for name, sound in listened.items():
    drawn = sound[:, split:]
    if drawn.shape[1] < rate:
        continue  # too short to say
    m = likeness.measure(drawn, rate)
    print(
        f"{name:20}{m.rms_db - own.rms_db:+9.1f}{m.flux / own.flux:7.2f}"
        f"{m.motion / own.motion:8.2f}{m.spread_db / own.spread_db:8.2f}"
    )

# %% [markdown]
# ## Longer, and again
#
# Four seconds are soon over. Here the best weights of the run play on for longer, twice, with other
# chance.

# %%
file = checkpoint.read_model(run.model_path)
sampler, seed = Sampler(file), music[:, :split]
seconds = 1.0 if FAST else 10.0
takes = sampler.generate(seed, seconds, count=2, rng_seed=1)
figure, axes = plt.subplots(2, 1, figsize=(10, 5), sharex=True, layout="constrained")
for axis, take in zip(axes, takes, strict=True):
    whole = np.concatenate([seed, take], axis=1)
    image = plots.spectrogram(axis, whole, rate, split=ends)
    display(Audio(whole, rate=rate, normalize=False))
axes[-1].set_xlabel("s")
figure.colorbar(image, ax=axes, format="%+.0f dB")
plt.show()

# %% [markdown]
# ## Is it a copy?
#
# For each second that was drawn, the most similar second of all recordings. 1 is a copy, whatever
# its level. What held-out music itself reaches against the training part says what is usual: music
# repeats itself.

# %%
data = dataset.load(
    [recordings], sample_rate=file.config.sample_rate, channels=file.config.channels
)
trained = [data.signal(*segment) for segment in data.segments("train")]
held_out = [data.signal(*segment) for segment in data.segments("heldout")]
for name, sounds in (("drawn", takes), ("held-out music", held_out)):
    found = [one.similarity for sound in sounds for one in nearest_seconds(sound, trained, rate)]
    if found:
        print(f"{name:16} {np.mean(found):.2f} on the average, {max(found):.2f} at most")

# %% [markdown]
# For all of this as one page to click through: `python -m wavegen report RUN`. For more of the same
# run, give its command a longer `--for`: it goes on where it stopped.
