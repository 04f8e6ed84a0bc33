"""How large the model of a configuration is, counted without building it."""

from __future__ import annotations

from wavegen.config import EMBEDDING, Config, WaveNetConfig
from wavegen.duet_config import DuetConfig


def parameters(model_config: Config | DuetConfig) -> int:
    """Returns the number of weights a configuration leads to."""
    if isinstance(model_config, DuetConfig):
        return parameters(model_config.composer) + parameters(model_config.renderer)
    c = model_config
    if isinstance(c, WaveNetConfig):
        layers, r, g = len(c.dilations), c.residual_channels, c.gate_channels
        block = (c.kernel_size * r + 1) * 2 * g + (g + 1) * r
        softmax = c.head == "softmax"
        known = (6 if c.condition_bands else 5) if c.predictor_order else 1  # features a channel
        heads = (c.post_channels + 1) * c.outputs * c.channels
        given = (c.levels if softmax else 3) * c.post_channels if c.channels > 1 else 0
        post = (c.skip_channels + 1) * c.post_channels * c.channels
        inputs = (known * c.channels + 1) * r + (c.levels * r * c.channels if softmax else 0)
        skip = (layers * g + 1) * c.skip_channels
        conditions = 0
        if c.condition_bands:
            conditions = (c.channels * (c.condition_bands + 1) + 1) * c.condition_units
            conditions += (c.condition_units + 1) * layers * 2 * g
        return layers * block + skip + post + heads + given + inputs + conditions
    coefficients = c.channels * c.n_fft // 2
    lstm = c.layers * 4 * c.units * (2 * c.units + 1)
    if c.head == "codes":
        features, width = c.channels * (max(c.band_of) + 1), c.renderer_units
        heard = (EMBEDDING + 1) * c.units + (c.units + 1) * c.codes + 2 * EMBEDDING * c.codes
        hidden = (2 * EMBEDDING + 3 * features + 1) * width + (width + 1) * width
        return lstm + heard + hidden + (width + 1) * (coefficients + 5 * features)
    values = 7 if c.head == "student_t" else 2
    front = (5 * coefficients + 1) * c.units
    return front + lstm + (c.units + 1) * values * coefficients + coefficients
