"""Training speed of the WaveNet: samples a second, share of this machine's arithmetic, the peer.

    python benchmarks/training.py [--batch 4] [--window 4096] [--presets]

Configuration A is 30 layers, residual and gate 64, skip 256; B is 30 layers, residual and gate 32,
skip 128; post layers of 256 and 256 levels in both. The peer is r9y9/wavenet_vocoder in the same
process, in alternation, where it and PyTorch are installed (pip install torch wavenet_vocoder);
without it the column stays empty. The arithmetic peak is that of one large float32 matrix product.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from wavegen import optimizer
from wavegen.codec import codec_of
from wavegen.config import CONFIGS, WaveNetConfig, build
from wavegen.feed import Feed, disturbed
from wavegen.models import FAMILIES
from wavegen.presets import PRESETS, from_preset
from wavegen.train_settings import TrainSettings

CONFIGURATIONS = {
    "A": dict(residual_channels=64, gate_channels=64, skip_channels=256),
    "B": dict(residual_channels=32, gate_channels=32, skip_channels=128),
}


def peak(size: int = 2048, repeats: int = 5) -> float:
    """Returns the FLOP/s of a square float32 matrix product over all cores."""
    a = np.random.default_rng(0).standard_normal((size, size)).astype("float32")
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - began)
    return 2 * size**3 / min(times)


def training_flops(config: WaveNetConfig) -> float:
    """Returns multiply-adds times two of one sample, forward and backward (three products each)."""
    c = config
    layer = c.kernel_size * c.residual_channels * 2 * c.gate_channels
    layer += c.gate_channels * (c.residual_channels + c.skip_channels)
    last = c.skip_channels * c.post_channels + c.post_channels * c.levels
    return 3 * 2 * (len(c.dilations) * layer + last)


def ours(config, batch: int, window: int):
    """Returns a function that takes one training step of wavegen, compiled and warm."""
    settings = build(TrainSettings, dict(batch=batch, window=window))
    family = FAMILIES["wavenet" if isinstance(config, WaveNetConfig) else "spectral_lstm"]
    model = family(config)
    layout = optimizer.Layout(model)
    step = optimizer.training_step(layout, settings)
    codec, rng = codec_of(config), np.random.default_rng(0)
    shape = (batch, config.channels, (window + 1) * codec.frame_samples)
    sound = rng.uniform(-1, 1, shape).astype("float32")
    frames, _ = codec.encode_step(sound, codec.encode_initial((batch,)))
    valid, reset = np.ones((batch, window), "float32"), np.ones(batch, bool)
    given = Feed(frames, valid, reset, disturbed(config, settings, 0))
    box = [optimizer.begin(layout), model.initial_state(batch)]

    def run() -> None:
        learner, loss, _, _ = step(box[0], np.float32(1e-3), given, box[1])
        box[0] = learner
        assert np.isfinite(float(loss))

    run()
    return run


def theirs(config: WaveNetConfig, batch: int, window: int, *, as_shipped: bool):
    """Returns the same for r9y9/wavenet_vocoder, or None where it is not installed.

    As shipped it has weight normalisation and dropout; without them it does what ours does.
    """
    try:
        import torch
        from wavenet_vocoder.wavenet import WaveNet
    except ImportError:
        return None
    torch.set_num_threads(os.cpu_count() or 1)
    model = WaveNet(
        out_channels=config.levels,
        layers=len(config.dilations),
        stacks=config.cycles,
        residual_channels=config.residual_channels,
        gate_channels=2 * config.gate_channels,
        skip_out_channels=config.skip_channels,
        kernel_size=config.kernel_size,
        dropout=0.05 if as_shipped else 0.0,
        weight_normalization=as_shipped,
    )
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    levels = torch.randint(0, config.levels, (batch, window))
    x = torch.nn.functional.one_hot(levels, config.levels).transpose(1, 2).float()

    def run() -> None:
        adam.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), levels)
        loss.backward()
        adam.step()

    run()
    return run


def speeds(runs: list, frames: int, repeats: int) -> list[float]:
    """Returns median frames a second of each function, run in alternation."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, found in zip(runs, times, strict=True):
            began = time.perf_counter()
            run()
            found.append(time.perf_counter() - began)
    return [frames / statistics.median(found) for found in times]


def main() -> None:
    """Prints one line per configuration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--window", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--presets", action="store_true", help="also every preset, as it trains")
    arguments = parser.parse_args()
    limit = peak()
    print(f"{os.cpu_count()} cores, peak of a matrix product {limit / 1e9:.0f} GFLOP/s")
    print(f"{'':22}{'samples/s':>10}{'of peak':>9}{'to peer as shipped':>24}{'bare':>8}")
    for name, fields in CONFIGURATIONS.items():
        plain = build(WaveNetConfig, fields | {"predictor_order": 0})
        size = (arguments.batch, arguments.window)
        runs = [ours(plain, *size), ours(build(WaveNetConfig, fields), *size)]
        lines = [f"{name}, plain", f"{name}, with predictor"]
        found: list[float] = []
        for as_shipped in (True, False):  # one peer at a time: each holds gigabytes
            peer = theirs(plain, *size, as_shipped=as_shipped)
            measured = [*runs, peer] if peer else runs
            found = speeds(measured, arguments.batch * arguments.window, arguments.repeats)
            for k, speed in enumerate(found[:2]):
                if as_shipped:
                    lines[k] = (
                        f"{lines[k]:22}{speed:10.0f}{speed * training_flops(plain) / limit:9.0%}"
                    )
                if peer:
                    lines[k] += f"{speed / found[2]:{24 if as_shipped else 8}.2f}"
            if peer:
                kind = "as shipped" if as_shipped else "bare"
                print(f"{name}, peer {kind}: {found[2]:.0f} samples/s")
        print("\n".join(lines), flush=True)
    if arguments.presets:
        for family in CONFIGS:
            for preset in PRESETS[family]:
                config, settings = from_preset(family, preset, {})
                batch = min(
                    settings.batch, 16384 * 4 // settings.window or 1
                )  # what a laptop holds
                speed = speeds([ours(config, batch, settings.window)], batch * settings.window, 3)[
                    0
                ]
                seconds = speed * config.frame_samples / config.sample_rate
                print(f"{family} {preset}: {speed:.0f} frames/s, {seconds:.1f} s of sound a second")


if __name__ == "__main__":
    main()
