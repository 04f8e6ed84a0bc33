"""Models that come with wavegen, to hear something at once: trained on recordings/shipped.

`demo-lstm` is a spectral LSTM, `demo-wavenet` a WaveNet that plays what this LSTM composes, a duet.
recordings/README.md has the commands that made them.
"""

from __future__ import annotations

from pathlib import Path

DEFAULT = "demo-lstm"  # the quicker to compile and to draw
DEMOS = {
    name: Path(__file__).with_name(f"{name}.safetensors") for name in (DEFAULT, "demo-wavenet")
}
