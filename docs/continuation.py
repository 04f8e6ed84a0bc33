"""Draws the README's picture: the spectrogram of a sound that `wavegen sample` wrote.

python docs/continuation.py generated/NAME.wav SEED_SECONDS "TITLE"   (needs matplotlib)
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy import signal

from wavegen import audio

path, seconds, title = sys.argv[1], float(sys.argv[2]), sys.argv[3]
sound, rate = audio.read(path, channels=1)
frequencies, times, power = signal.spectrogram(
    sound[0], rate, "hann", 1024, 768, mode="psd", scaling="spectrum"
)
figure, axes = plt.subplots(figsize=(10, 3.2), layout="constrained")
level = 10 * np.log10(power + 1e-12)
axes.pcolormesh(
    times, frequencies / 1000, level, vmin=-100, vmax=-25, cmap="magma", rasterized=True
)
axes.axvline(seconds, color="white", linestyle="--", linewidth=1)
for place, text, align in ((seconds - 0.1, "seed", "right"), (seconds + 0.1, "drawn", "left")):
    axes.text(place, 0.93 * rate / 2000, text, color="white", ha=align, va="top")
axes.set(xlabel="s", ylabel="kHz", title=title, ylim=(0, rate / 2000))
figure.savefig(Path(__file__).with_name("continuation.png"), dpi=90)
