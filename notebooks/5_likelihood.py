# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5 Likelihood, surprise and honest baselines
#
# What has a model learned? Ask it how likely a sound is that it has never heard. A WaveNet answers
# exactly, sample by sample, in bits: how many it takes to tell which of the 65536 levels came next.
# Fewer is better. This notebook shows what such a number is worth, what it must be held against,
# and what it does not say. It uses the run of notebook 3, or trains it: three minutes.

# %%
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow has much to say at its start
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Audio, display

from wavegen import checkpoint, cli, dataset, heldout, models, plots
from wavegen import score as scoring
from wavegen.codec import codec_of
from wavegen.engines import make
from wavegen.sampling import Sampler

FAST = bool(os.environ.get("WAVEGEN_FAST"))  # the test suite is in a hurry
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "recordings").is_dir())
recordings, runs = root / "recordings", root / "notebooks" / "runs"
box = ["--steps", "4", "--sample-seconds", "0.5"] if FAST else ["--for", "3m"]
command = ["train", str(recordings), "--preset", "tiny", "--name", "wavenet", "--runs", str(runs)]
assert cli.main([*command, *box]) == 0

file = checkpoint.read_model(checkpoint.find_model(runs / "wavenet"))  # any WaveNet of your own
rate = file.config.sample_rate
data = dataset.load([recordings], sample_rate=rate, channels=file.config.channels)
print(data.summary())

# %% [markdown]
# ## Beside baselines
#
# A number alone says nothing: 4 bits are a triumph on drums and a failure on a flute. So simple
# statistics of the same training part answer the same question:
#
# - **uniform**: knows nothing; 16 bits;
# - **histogram**: how often each level occurs; **bigram**: after which level;
# - **linear predictor**: the next sample as a weighted sum of the last 32, with one spread for all
#   or one that follows how wrong it was of late.
#
# The last is hard to beat: it knows timbre. A WaveNet of wavegen stands on a linear predictor of
# its own, which follows the sound; so there is one more yardstick, the most honest of all: the same
# model **before its first step**. Only what lies between the blue bars was learned. Black lines are
# 95 % intervals; the sound is the end of each recording, which training never heard.

# %%
engine, codec = make(file), codec_of(file.config)
yardsticks = heldout.Yardsticks.from_arrays(
    file.config, checkpoint.part_of(file.tensors, "baselines/")
)
blank = models.FAMILIES[file.family](file.config)
blank.start_from(yardsticks.baselines, [])
untrained = make(blank)


def costs_of(signal):
    """Returns bits per sample over time: the model's, trained and not, and each baseline's."""
    frames = heldout.frames_of(codec, signal)
    judges = {"model": engine, "model before its first step": untrained}
    model = {name: yardsticks.cost(judge.log_prob(frames)) for name, judge in judges.items()}
    return heldout.counted(yardsticks, model), heldout.counted(
        yardsticks, yardsticks.values(frames)
    )


longest = round((2.0 if FAST else 20.0) * rate)


def part(name):
    """Returns the costs over the beginnings of all segments of a part of the recordings."""
    found = []
    for number, start, stop in data.segments(name):
        found.append(costs_of(data.signal(number, start, min(stop, start + longest))))
    return tuple(heldout.joined([one[i] for one in found]) for i in range(2))


model, baselines = part("heldout")
blank_cost = {"model before its first step": model.pop("model before its first step")}
scores = scoring.table(model, baselines | blank_cost, block=yardsticks.block, unit=yardsticks.unit)
figure, axis = plt.subplots(figsize=(10, 3.5), layout="constrained")
scores = [*scores[1:], scores[0]]  # the model's below those of the baselines
for place, one in enumerate(scores):
    low, high = (max(0.0, edge) if np.isfinite(edge) else one.mean for edge in (one.low, one.high))
    axis.barh(place, one.mean, color="tab:blue" if "model" in one.name else "0.7")
    axis.plot([low, high], [place, place], color="black", linewidth=1)
    axis.text(max(one.mean, high) + 0.1, place, f"{one.mean:.2f}", va="center")
axis.set_yticks(range(len(scores)), [one.name for one in scores])
axis.set(xlabel="bits per sample, fewer is better", xlim=(0, 18))
axis.invert_yaxis()
plt.show()
print(scoring.verdict(model, baselines, yardsticks.block))
mean, low, high = scoring.gain(model["model"], *blank_cost.values(), block=yardsticks.block)
print(f"learned since the first step: {mean:.2f} bits per sample ({low:.2f} .. {high:.2f})")

# %% [markdown]
# ## Held out, or learned by heart?
#
# The same model on sound that it was trained on. If that costs much less, it has begun to learn
# your recordings by heart: stop, or record more.

# %%
heard, _ = part("train")
for name, costs in (("trained on", heard), ("held out", model)):
    mean, low, high = scoring.interval(costs["model"], block=yardsticks.block)
    print(f"{name:12} {mean:.3f} bits per sample  ({low:.3f} .. {high:.3f})")

# %% [markdown]
# That is of the beginnings of the recordings against their ends, which may be of another kind: a
# fade-out costs less than a chord. Compare runs on the same sound.
#
# ## Surprise
#
# A mean hides where the bits go. Below each spectrogram is what every 50 ms cost: peaks where a
# note begins, for nothing before it says so, and valleys while it rings. The red line is the best
# baseline's. Where the two lie apart is what the network has learned.

# %%
number, start, stop = max(data.segments("heldout"), key=lambda segment: segment[2] - segment[1])
signal = data.signal(number, start, min(stop, start + longest))
best = min(baselines, key=lambda name: baselines[name].mean())


def moments(costs, seconds=0.05):
    count = max(1, round(len(costs) / rate / seconds))
    return np.array([one.mean() for one in np.array_split(costs, count)])


def picture(sounds):
    """Draws each sound above its surprise, all on one scale."""
    ribbons = {}
    for name, sound in sounds.items():
        frames = heldout.frames_of(codec, sound)
        own = yardsticks.cost(engine.log_prob(frames))
        ribbons[name] = moments(own), moments(yardsticks.values(frames)[best])
    every = np.concatenate([np.concatenate(pair) for pair in ribbons.values()])
    limits = (float(np.quantile(every, 0.01)), float(np.quantile(every, 0.99)) + 0.5)
    figure, axes = plt.subplots(
        2 * len(sounds), 1, figsize=(10, 3.4 * len(sounds)), sharex=True, layout="constrained",
        height_ratios=[2, 1] * len(sounds), squeeze=False,
    )  # fmt: skip
    pairs = axes[:, 0].reshape(-1, 2)
    for (above, below), (name, sound) in zip(pairs, sounds.items(), strict=True):
        plots.spectrogram(above, sound, rate, title=name)
        seconds = sound.shape[1] / rate
        own, other = ribbons[name]
        plots.ribbon(below, own, seconds, limits=limits, unit=yardsticks.unit)
        at = (np.arange(len(other)) + 0.5) * seconds / len(other)
        below.plot(at, other.clip(*limits), color="tab:red", linewidth=1.4)
        below.set(xlabel="")
    pairs[-1][1].set_xlabel(f"s   (white: the model; red: {best})")
    plt.show()


picture({data.recordings[number].path.name + ", held out": signal})

# %% [markdown]
# ## Likely is not good
#
# Does that make likelihood a judge of what is drawn? No. Here it judges the held-out music, what
# the model makes of it, and three sounds that nobody wants. Cheapest of all is silence, then the
# drone; a cool drawing costs less than the music. What the model draws at temperature 1 costs about
# as much as it expects of music, if it knows it well. So wavegen scores models on held-out music
# only, and judges what is drawn by other means: `benchmarks/quality.py`, and your ears.

# %%
half = signal.shape[1] // 2
seed, follows = signal[:, :half], signal[:, half:]
seconds = follows.shape[1] / rate
sampler, times = Sampler(file), np.arange(follows.shape[1]) / rate
level = float(np.sqrt(np.mean(np.square(follows))))
sounds = {
    "held-out music": follows,
    "drawn at temperature 1": sampler.generate(seed, seconds)[0],
    "drawn at temperature 0.7, left alone": sampler.generate(
        seed, seconds, temperature=0.7, guard=False
    )[0],
    "a drone": np.float32(level * np.sqrt(2) * np.sin(2 * np.pi * 220 * times))[None],
    "white noise": np.random.default_rng(0).normal(0, level, follows.shape).astype("float32"),
    "silence": np.zeros_like(follows),
}
print(f"{'':40}{'bits per sample':>16}")
for name, sound in sounds.items():
    own, _ = costs_of(sound)
    print(f"{name:40}{own['model'].mean():16.2f}")
    display(Audio(sound.clip(-1, 1), rate=rate, normalize=False))
picture({name: sounds[name] for name in list(sounds)[:4]})

# %% [markdown]
# In a terminal: `python -m wavegen score FILE -m RUN` prints the table and the sentence for any
# sound, and `python -m wavegen report RUN` draws the ribbons under everything that a run has
# played. A spectral LSTM is scored in nats per coefficient, not in bits per sample: the two do not
# compare.
