"""What all tests share: small configurations of every family, and models with random weights."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tests compile much and compute little: XLA need not make the best of its code.
if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    )
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import pytest

SMALL = {
    "wavenet": dict(cycles=2, layers_per_cycle=3, residual_channels=8, gate_channels=8)
    | dict(skip_channels=12, post_channels=12, levels=32, mixtures=3)
    | dict(predictor_order=24, predictor_hop=16, predictor_memory=0.01),
    "spectral_lstm": dict(n_fft=32, hop_length=16, layers=2, units=8)
    | dict(codes=6, bands=8, renderer_units=8, timbre_seconds=0.1),
}
ONCE = [  # each family and head once
    ("wavenet", {"channels": 2}),
    ("wavenet", {"head": "softmax", "predictor_order": 0}),
    ("spectral_lstm", {"channels": 2}),
    ("spectral_lstm", {"head": "student_t"}),
    ("spectral_lstm", {"head": "mse"}),
]
VARIANTS = [
    *ONCE,
    ("wavenet", {}),
    ("wavenet", {"predictor_order": 0}),
    ("wavenet", {"head": "softmax"}),
    ("wavenet", {"head": "softmax", "channels": 2}),
    ("wavenet", {"head": "softmax", "kernel_size": 3, "levels": 64}),
    ("spectral_lstm", {}),
    ("spectral_lstm", {"head": "student_t", "channels": 2}),
]
if os.environ.get("KERAS_BACKEND") == "jax":  # the code is the same
    VARIANTS = ONCE


def variant_name(variant):
    family, fields = variant
    return "-".join([family, *(f"{name}{value}" for name, value in fields.items())])


def make_config(family, **fields):
    from wavegen.config import CONFIGS, build

    return build(CONFIGS[family], SMALL[family] | {"channels": 1, "sample_rate": 8000} | fields)


def make_model(family, seed=0, **fields):
    """Returns a small model whose every trained weight is random, none of them zero."""
    import keras

    from wavegen.models import FAMILIES

    keras.utils.set_random_seed(seed)
    model = FAMILIES[family](make_config(family, **fields))
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(np.asarray(variable) + 0.1 * rng.standard_normal(variable.shape))
    if getattr(model, "predictor", None):
        if not model.config.condition_bands:
            taps = np.zeros(model.predictor.whitening.shape, "float32")
            taps[:2] = 1.2, -0.4
            model.predictor.whitening.assign(taps)
        model.predictor.bounds.assign([0.6, 1e-3, 0.5])
    if family == "spectral_lstm":
        model.head.start_from(list(make_frames(model, batch=3, time=40, seed=2)))
    return model


def make_frames(model, batch=2, time=24, seed=1):
    """Returns frames a model of either family could hear."""
    from wavegen.codec import codec_of

    rng = np.random.default_rng(seed)
    signal = 0.3 * rng.standard_normal(
        (batch, model.config.channels, time * model.config.frame_samples)
    )
    codec = codec_of(model.config)
    frames, _ = codec.encode_step(signal.astype("float32"), codec.encode_initial((batch,)))
    return frames


@pytest.fixture(params=VARIANTS, ids=variant_name)
def model(request):
    family, fields = request.param
    return make_model(family, **fields)


def tune(seconds, sample_rate, channels=1, seed=0):
    """Returns a little tune (channels, samples): decaying tones over a touch of noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    wave = 0.002 * rng.standard_normal((channels, len(t)))
    for start in np.arange(0, seconds, 0.25):
        note = 220 * 2 ** (rng.integers(0, 13) / 12)
        since = np.maximum(t - start, 0)
        tone = 0.3 * np.sin(2 * np.pi * note * since) * np.exp(-6 * since) * (t >= start)
        wave += tone * rng.uniform(0.5, 1, (channels, 1))
    return wave.astype("float32")


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """Returns a folder with two recordings; the cache is a folder of this test's own."""
    import soundfile

    monkeypatch.setenv("WAVEGEN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, seconds, seed in (("one", 6.0, 1), ("two", 3.3, 2)):
        soundfile.write(folder / f"{name}.wav", tune(seconds, 8000, 1, seed).T, 8000)
    return folder
