"""The configuration of a duet: an LSTM that composes, and a WaveNet that plays it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from wavegen.config import CONFIGS, GIVEN_SUSTAIN, SpectralLSTMConfig, WaveNetConfig, build
from wavegen.errors import UsageError

DUET = "duet"  # not a family with weights of its own: one of each
PARTS = {"composer": "spectral_lstm", "renderer": "wavenet"}


@dataclass(frozen=True)
class DuetConfig:
    """Two models as one instrument: an LSTM composes, a conditioned WaveNet plays what it does."""

    sustain: ClassVar[float] = GIVEN_SUSTAIN  # of the renderer
    level_is_held: ClassVar[bool] = False  # the composer's is the renderer's
    frame_samples: ClassVar[int] = 1  # what is drawn in the end
    composer: SpectralLSTMConfig
    renderer: WaveNetConfig

    @property
    def sample_rate(self) -> int:
        """Samples a second, Hz, of both."""
        return self.renderer.sample_rate

    @property
    def channels(self) -> int:
        """1 or 2, of both."""
        return self.renderer.channels

    @property
    def controls(self) -> dict[str, float]:
        """What the user can turn while drawing: the composer's; noisiness is that of both."""
        return self.composer.controls

    @property
    def receptive_field(self) -> int:
        """Samples of seed worth priming on."""
        return max(self.composer.receptive_field, self.renderer.receptive_field)


def build_duet(values: dict[str, Any]) -> DuetConfig:
    """Returns a checked `DuetConfig` of its parts' fields, `{"composer": ..., "renderer": ...}`.

    Raises:
        UsageError: a part is missing or out of bounds, or the two do not play together.
    """
    if values.keys() != PARTS.keys() or not all(isinstance(v, dict) for v in values.values()):
        raise UsageError(f"a duet has the parts {' and '.join(PARTS)}")
    composer, renderer = (build(CONFIGS[PARTS[part]], values[part]) for part in PARTS)
    for name in ("sample_rate", "channels"):
        ours, theirs = getattr(composer, name), getattr(renderer, name)
        if ours != theirs:
            raise UsageError(f"{name} must be the same for both: {ours} and {theirs}")
    if composer.head != "codes" or not renderer.condition_bands:
        raise UsageError("a duet is of an LSTM with codes and a WaveNet with condition_bands")
    return DuetConfig(composer, renderer)
