"""Training speed of the WaveNet: samples a second, share of this machine's arithmetic, the peer.

    python benchmarks/training.py [--batch 4] [--window 4096] [--presets] [--json]

Configuration A is 30 layers, residual and gate 64, skip 256; B is 30 layers, residual and gate 32,
skip 128; post layers of 256 and a softmax of 256 levels in both. Ours is trained in mixed precision
where this machine has it, and in float32. The peer is r9y9/wavenet_vocoder beside it, step by step
in alternation, where it and PyTorch are installed (pip install torch wavenet_vocoder); without it
its columns stay empty. The arithmetic peak is that of one large float32 matrix product.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from wavegen import mixed, optimizer
from wavegen.codec import codec_of
from wavegen.config import CONFIGS, WaveNetConfig, build
from wavegen.feed import Feed, disturbed
from wavegen.models import FAMILIES
from wavegen.presets import PRESETS, from_preset
from wavegen.train_settings import TrainSettings

COMMON = dict(cycles=3, layers_per_cycle=10, post_channels=256, head="softmax", levels=256)
CONFIGURATIONS = {
    "A": COMMON | dict(residual_channels=64, gate_channels=64, skip_channels=256),
    "B": COMMON | dict(residual_channels=32, gate_channels=32, skip_channels=128),
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


def ours(config, batch: int, window: int, *, mixed_precision: bool = True):
    """Returns a function that takes one training step of wavegen, compiled and warm."""
    fields = dict(batch=batch, window=window, mixed_precision=mixed_precision)
    settings = build(TrainSettings, fields)
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


class Peer:
    """The peer, which takes its steps in a process of its own."""

    def __init__(self, **wanted: Any) -> None:
        """Builds it; see `r9y9.py`.

        Raises:
            ImportError: it is not installed.
        """
        program = [sys.executable, "-W", "ignore", Path(__file__).with_name("r9y9.py")]
        pipe = subprocess.PIPE
        given = json.dumps(wanted)
        self.process = subprocess.Popen([*program, given], stdin=pipe, stdout=pipe, text=True)
        self.wait()

    def wait(self) -> None:
        """Waits for the end of a step."""
        if not self.process.stdout.readline():
            raise ImportError("the peer is not installed")

    def __call__(self) -> None:
        """Takes one training step."""
        print("on", file=self.process.stdin, flush=True)
        self.wait()

    def close(self) -> None:
        """Ends it, and gives its gigabytes back."""
        self.process.kill()
        self.process.wait()


def speeds(runs: list, frames: int, repeats: int) -> list[float]:
    """Returns median frames a second of each function, run in alternation."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, found in zip(runs, times, strict=True):
            began = time.perf_counter()
            run()
            found.append(time.perf_counter() - began)
    return [frames / statistics.median(found) for found in times]


def compared(name: str, batch: int, window: int, repeats: int, limit: float) -> list[dict]:
    """Returns a row for each way to train a configuration, and one for the peer, if installed.

    The peer goes as shipped in one round and bare in the next, so ours are measured twice: their
    speed is that of the first round, each ratio that of its own.
    """
    fields = CONFIGURATIONS[name]
    plain, whole = (
        build(WaveNetConfig, fields | {"predictor_order": 0}),
        build(WaveNetConfig, fields),
    )
    ways = {
        f"{name}, {what}{', float32' if not is_mixed else ''}": (config, is_mixed)
        for what, config in (("plain", plain), ("with the predictor", whole))
        for is_mixed in ((True, False) if mixed.best().narrow else (False,))
    }
    runs = [
        ours(config, batch, window, mixed_precision=is_mixed) for config, is_mixed in ways.values()
    ]
    rows: list[dict] = [{"what": way} for way in ways]
    for kind in ("as shipped", "bare"):
        try:
            size = dict(batch=batch, window=window, as_shipped=kind == "as shipped")
            other = Peer(**CONFIGURATIONS[name], **size)
        except ImportError:
            other = None
        found = speeds(runs + [other] * bool(other), batch * window, repeats)
        for row, speed in zip(rows[: len(runs)], found, strict=False):
            row.setdefault("samples_per_second", round(speed))
            row.setdefault("of_peak", round(speed * training_flops(plain) / limit, 3))
            if other:
                row[f"to_peer_{kind.replace(' ', '_')}"] = round(speed / found[-1], 2)
        if other:
            rows.append({"what": f"{name}, peer {kind}", "samples_per_second": round(found[-1])})
            other.close()
    return rows


def by_preset() -> list[dict]:
    """Returns a row for every preset, trained as it is by default but for what fits a laptop."""
    rows = []
    for family in CONFIGS:
        for preset in PRESETS[family]:
            config, settings = from_preset(family, preset, {})
            batch = min(settings.batch, 16384 * 4 // settings.window or 1)  # what a laptop holds
            run = ours(config, batch, settings.window)
            speed = speeds([run], batch * settings.window, 3)[0]
            seconds = round(speed * config.frame_samples / config.sample_rate, 1)
            row = {"what": f"{family} {preset}", "samples_per_second": round(speed)}
            rows.append(row | {"seconds_per_second": seconds})
    return rows


def main() -> None:
    """Prints one line per way to train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--window", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--presets", action="store_true", help="also every preset, as it trains")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    limit, rows = peak(), []
    for name in CONFIGURATIONS:
        rows += compared(name, arguments.batch, arguments.window, arguments.repeats, limit)
    rows += by_preset() if arguments.presets else []
    if arguments.json:
        facts = {"cores": os.cpu_count(), "peak_gflops": round(limit / 1e9)}
        print(json.dumps(facts | {"rows": rows}, indent=1))
        return
    print(f"{os.cpu_count()} cores, peak of a matrix product {limit / 1e9:.0f} GFLOP/s")
    columns = "samples_per_second", "of_peak", "to_peer_as_shipped", "to_peer_bare"
    print(f"{'':34}{'frames/s':>10}{'of peak':>9}{'to peer as shipped':>20}{'bare':>8}")
    for row in rows:
        cells = [str(row.get(column, "")) for column in columns]
        print(f"{row['what']:34}{cells[0]:>10}{cells[1]:>9}{cells[2]:>20}{cells[3]:>8}", end="")
        more = row.get("seconds_per_second")
        print(f"  {more} s of sound a second" if more else "")


if __name__ == "__main__":
    main()
