"""What to expect of so much sound, and how to train on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from wavegen.config import Config, SpectralLSTMConfig

# What can be learned from less than so many seconds.
EXPECTATIONS = (
    (10.0, "next to nothing: it will repeat the little there is; record more"),
    (60.0, "the timbre, and the few gestures there are, over and over"),
    (600.0, "timbre and texture, and gestures of a second or two; no phrases"),
    (3600.0, "texture and gestures with some variety, short phrases; no form"),
    (math.inf, "varied texture and short phrases; form over more than seconds stays out of reach"),
)
# Seconds of sound that two CPU cores learn from in a second, and the passes after which twice as
# many bring little (8 minutes of piano, wavenet small: 1.485 bits after ten, 1.470 after twenty).
PACE = {"wavenet": 3.8, "spectral_lstm": 58.0}
PASSES = {"wavenet": 10.0, "spectral_lstm": 40.0}
USUAL = 20 * 60.0  # seconds of training, where neither so much nor so little sound says otherwise
# Passes from which on more change little: of 2:40 of strings an LSTM goes on cleanly from half of
# its seeds after a hundred, from all after three hundred.
MOST_PASSES = 400.0
STEP = 300.0  # what the advice is rounded up to


@dataclass(frozen=True)
class Advice:
    """What to do with the recordings.

    Attributes:
        expectation: what a model can learn from them.
        preset: to train.
        seconds: to train for, on two CPU cores.
        remark: what another preset would be better for, or "".
    """

    expectation: str
    preset: str
    seconds: float
    remark: str


def advise(seconds: float, bandwidth_hz: float, model: Config, preset: str) -> Advice:
    """Returns advice for so much sound.

    Args:
        seconds: of usable sound.
        bandwidth_hz: up to which most of it goes.
        model: what would be trained.
        preset: its name.
    """
    expectation = next(text for limit, text in EXPECTATIONS if seconds < limit)
    family = "spectral_lstm" if isinstance(model, SpectralLSTMConfig) else "wavenet"
    once = seconds / PACE[family]
    time = max(PASSES[family] * once, min(USUAL, MOST_PASSES * once))
    remark = ""
    if bandwidth_hz > 1.1 * model.sample_rate / 2 and preset != "fullband":
        remark = (
            f"{preset} hears up to {model.sample_rate / 2000:g} kHz, most of this reaches "
            f"{bandwidth_hz / 1000:.0f}: --preset fullband keeps that and takes "
            f"{44100 / model.sample_rate:.1f} times as long"
        )
    return Advice(expectation, preset, STEP * max(1, math.ceil(time / STEP)), remark)
