"""How a training run goes: a plain frozen dataclass like those of `config`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wavegen.errors import UsageError
from wavegen.fields import bounded


@dataclass(frozen=True)
class TrainSettings:
    """How a model is trained; none of it changes what the model is."""

    batch: int = bounded(8, 1, 4096, "streams in one step; halved when memory is short")
    window: int = bounded(2048, 2, 1 << 22, "frames of a stream in one step: samples, or hops")
    learning_rate: float = bounded(2e-3, 0.0, 1.0, "peak of the schedule")
    warmup_steps: int = bounded(100, 0, 1 << 20, "steps of linear rise to the peak")
    weight_decay: float = bounded(1e-2, 0.0, 1.0, "AdamW decay of the kernels")
    clip: float = bounded(1.0, 0.0, 1e9, "greatest norm of the gradient")
    ema: float = bounded(0.999, 0.0, 1.0, "decay of the weight average that is kept and played")
    heldout: float = bounded(0.1, 0.0, 0.5, "share at the end of each recording kept for scoring")
    gap_seconds: float = bounded(1.0, 0.0, 3600.0, "left unused before the held-out part, s")
    gain_db: float = bounded(6.0, 0.0, 24.0, "random gain of the recordings, +-dB")
    polarity: bool = bounded(True, 0, 1, "turn the wave upside down at random")
    channel_swap: bool = bounded(True, 0, 1, "swap left and right at random")
    dropout: float = bounded(0.25, 0.0, 0.9, "share of the LSTM's numbers left out (head codes)")
    slips: float = bounded(0.1, 0.0, 0.9, "share of codes heard wrong in training (head codes)")
    mixed_precision: bool = bounded(
        True, 0, 1, "products of a WaveNet in bfloat16, where those are faster"
    )
    rng_seed: int = bounded(0, 0, 2**63 - 1, "seed of initial weights and data order")


def together(model_config: Any, settings: TrainSettings) -> tuple[Any, TrainSettings]:
    """Returns both, which fit.

    Raises:
        UsageError: a window is not of whole hops of the bands that a WaveNet is given.
    """
    hop = getattr(model_config, "condition_hop", 1)
    if getattr(model_config, "condition_bands", 0) and settings.window % hop:
        raise UsageError(
            f"window={settings.window} must be a multiple of condition_hop={hop}; "
            f"{max(1, round(settings.window / hop)) * hop} is"
        )
    return model_config, settings
