"""Speed of drawing samples from a WaveNet: every engine, against the limit of this core.

    python benchmarks/sampling.py [--cores 1] [--backend tensorflow] [--fallback] [--json] [--quick]

A run measures how fast a core reads weights and how fast it multiplies and adds, and in alternation
with that every engine, for 1, 8 and 32 streams, at configuration A (30 layers, residual and gate
64, skip 256), B (residual and gate 32, skip 128), each a softmax alone, and the presets. One stream
cannot be faster than its float32 weights are read, many not faster than float32 arithmetic: that is
the limit, which smaller weights and dot products of them may pass. Figures are medians of rounds,
ratios those within a round. Samples are those of all streams together; a stereo frame counts as
one. It takes under four minutes, and half a minute more for each precision not compiled here
before.
"""

# ruff: noqa: E402 - NumPy and Keras look at the cores and the backend when they are imported

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any


def arguments() -> argparse.Namespace:
    """Returns the choices of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=1, help="cores that every engine may use")
    parser.add_argument("--backend", default="tensorflow", choices=("tensorflow", "jax"))
    parser.add_argument("--fallback", action="store_true", help="also plain loops, at A and B")
    parser.add_argument("--json", action="store_true", help="print rows instead of a table")
    parser.add_argument("--quick", action="store_true", help="a glance at one configuration")
    return parser.parse_args()


def pin(cores: int) -> None:
    """Keeps this thread, and those that it starts, on the first cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, ALL_CORES[:cores])


OPTIONS = arguments()
ALL_CORES = sorted(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0))
CORES = max(1, min(OPTIONS.cores, len(ALL_CORES)))
pin(CORES)
os.environ["KERAS_BACKEND"] = OPTIONS.backend
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from numba import njit

from wavegen.codec import codec_of
from wavegen.config import WaveNetConfig, build
from wavegen.engines.numba_cpu import PRECISIONS, Lanes, NumbaCPU
from wavegen.engines.numba_cpu.vector import fma, load, splat, total
from wavegen.engines.reference import Reference
from wavegen.models import named_weights
from wavegen.models.wavenet import WaveNet
from wavegen.presets import PRESETS, from_preset

PLAIN = dict(head="softmax", predictor_order=0)
WIDTHS = {
    "A": dict(residual_channels=64, gate_channels=64, skip_channels=256) | PLAIN,
    "B": dict(residual_channels=32, gate_channels=32, skip_channels=128) | PLAIN,
}
STREAMS = (1, 8) if OPTIONS.quick else (1, 8, 32)
ROUNDS, SECONDS = (1, 0.02) if OPTIONS.quick else (5, 0.07)  # seconds of one measurement
LANES = Lanes.here()
PEERS = """
Not measured here but on one core of another machine (AMD Zen 5), samples/s: the best of the peers
1239 at A and 1368 at B with one stream, 26155 at A with 32; a prototype of plain compiled loops
18156 at A and 43407 at B with one stream."""


@njit(nogil=True, error_model="numpy", _nrt=False)
def read(lanes, width, array, times):
    """Reads a flat array so many times, and only adds it up, into eight vectors."""
    a = b = c = d = e = f = g = h = splat(lanes, 0.0)
    for _ in range(times):
        for at in range(0, array.size - 8 * width + 1, 8 * width):
            mid = at + 4 * width
            a, b = a + load(lanes, array, at), b + load(lanes, array, at + width)
            c, d = c + load(lanes, array, at + 2 * width), d + load(lanes, array, at + 3 * width)
            e, f = e + load(lanes, array, mid), f + load(lanes, array, mid + width)
            g, h = g + load(lanes, array, mid + 2 * width), h + load(lanes, array, mid + 3 * width)
    return total(((a + b) + (c + d)) + ((e + f) + (g + h)))


@njit(nogil=True, error_model="numpy", _nrt=False)
def multiply(lanes, times):
    """Runs twelve chains of multiply-adds, so many links each, in registers."""
    x, y = splat(lanes, 0.5), splat(lanes, 1.0)
    a = b = c = d = e = f = g = h = i = j = k = m = splat(lanes, 0.1)
    for _ in range(times):
        a, b, c, d = fma(a, x, y), fma(b, x, y), fma(c, x, y), fma(d, x, y)
        e, f, g, h = fma(e, x, y), fma(f, x, y), fma(g, x, y), fma(h, x, y)
        i, j, k, m = fma(i, x, y), fma(j, x, y), fma(k, x, y), fma(m, x, y)
    return total(((a + b) + (c + d)) + ((e + f) + (g + h)) + ((i + j) + (k + m)))


def pace(run: Callable[[], Any], amount: float, cores: int) -> Callable[[], float]:
    """Returns a function that measures how much a second `run` does, at `amount` a call."""

    def measure(calls: int = 1, settle: bool = True) -> float:
        pin(cores)
        if settle:  # what ran before has left its own in the caches
            run()
        began = time.perf_counter()
        for _ in range(calls):
            run()
        return calls * amount / (time.perf_counter() - began)

    seconds = amount / measure()  # after compiling
    return partial(measure, max(1, round(SECONDS / seconds)), seconds < 0.2)


def reading(weights: np.ndarray) -> Callable[[], float]:
    """Returns what measures how often a second one core reads all weights."""
    times = 1 + 2 * 10**8 // weights.nbytes
    return pace(lambda: read(LANES, LANES.width, weights, times), times, 1)


def calculating(flops: int, cores: int) -> Callable[[], float]:
    """Returns what measures how often a second some cores can do so many operations."""
    pool, links = ThreadPoolExecutor(cores), 10**6

    def run() -> None:
        list(pool.map(lambda _: multiply(LANES, links), range(cores)))

    return pace(run, 2 * 12 * LANES.width * links * cores / flops, cores)


def drawing(engine: Any, config: Any, streams: int, cores: int) -> Callable[[], float]:
    """Returns what measures how many samples a second an engine draws, from silence on."""
    frames = 256
    if isinstance(engine, Reference):  # a call costs it milliseconds, a row in turn
        frames = 2000 if streams == 1 else 400
    silence = codec_of(config).levels // 2
    session = engine.prime(np.full((streams, 1, config.channels), silence, np.int32))
    noise = np.random.default_rng(0).random((streams, frames, config.channels), np.float32)
    voices = engine.open(session)
    return pace(lambda: voices.draw(noise), streams * frames, cores)


def flops_of(c: WaveNetConfig) -> int:
    """Returns twice the multiply-adds of all matrices that one frame needs, without padding."""
    block = 2 * c.kernel_size * c.residual_channels + c.residual_channels + c.skip_channels
    blocks = len(c.dilations) * c.gate_channels * block
    blocks -= c.gate_channels * c.residual_channels  # the last one's residual goes nowhere
    last = c.skip_channels + c.outputs
    if c.head == "softmax" and not c.predictor_order:
        last -= 2  # shift and scale of no prediction
    return 2 * (blocks + c.channels * c.post_channels * last)


def configurations() -> dict[str, WaveNetConfig]:
    """Returns A, B and the presets, by name; of one of them stereo too."""
    presets = {name: from_preset("wavenet", name, {})[0] for name in PRESETS["wavenet"]}
    presets["fullband stereo"] = from_preset("wavenet", "fullband", {"channels": 2})[0]
    if OPTIONS.quick:
        return {"tiny": presets["tiny"]}
    return {name: build(WaveNetConfig, fields) for name, fields in WIDTHS.items()} | presets


def numba(model: Any, precision: str, cores: int = CORES, lanes: Lanes | None = None) -> NumbaCPU:
    """Returns the compiled engine of a model."""
    weights = {name.removeprefix("weights/"): v for name, v in named_weights(model).items()}
    arrays = (weights, codec_of(model.config).values, codec_of(model.config).edges)
    return NumbaCPU(model.config, *arrays, precision=precision, threads=cores, lanes=lanes)


def engines(name: str, model: Any) -> Iterator[tuple[Any, dict[str, Any], tuple[int, ...]]]:
    """Yields engines, what their rows say of them, and their numbers of streams."""
    fast = dict(engine="numba", backend=None, variant="", config=name, cores=CORES)
    for precision in ("float32",) if OPTIONS.quick else PRECISIONS:
        facts, every = fast | dict(precision=precision), len(ALL_CORES)
        yield numba(model, precision), facts, STREAMS
        if name == "A" and every > CORES:
            yield numba(model, precision, every), facts | dict(cores=every), (32,)
    if OPTIONS.fallback and name in WIDTHS:
        facts = fast | dict(precision="float32", variant="plain loops")
        yield numba(model, "float32", lanes=Lanes(1, fused=False)), facts, (1,)
    facts = fast | dict(engine="reference", backend=OPTIONS.backend, precision="float32")
    yield Reference(model), facts, STREAMS
    if name in WIDTHS:
        yield Reference(model, together=True), facts | dict(variant="rows together"), STREAMS[1:]


def compared(name: str, config: WaveNetConfig) -> Iterator[dict[str, Any]]:
    """Yields the rows of one configuration; all its engines are measured in alternation."""
    model, flops = WaveNet(config), flops_of(config)
    weights = numba(model, "float32").weights.matrix
    rows, paces = [], []
    for engine, facts, numbers in engines(name, model):
        for streams in numbers:
            began = time.perf_counter()
            rows.append(facts | dict(streams=streams, flops=flops, weight_bytes=weights.nbytes))
            speed = drawing(engine, config, streams, facts["cores"])
            limit = reading(weights) if streams == 1 else calculating(flops, facts["cores"])
            paces.append((speed, limit))
            ready = f"{described(rows[-1])}  ready after {time.perf_counter() - began:.1f} s"
            print(ready, file=sys.stderr, flush=True)  # a first compilation shows here
    rounds = [[[measure() for measure in pair] for pair in paces] for _ in range(ROUNDS)]
    speeds, limits = np.moveaxis(np.array(rounds), -1, 0)  # (rounds, rows) each
    for i, row in enumerate(rows):
        like = dict(engine="reference", variant="", streams=row["streams"], cores=row["cores"])
        found = [j for j, other in enumerate(rows) if like.items() <= other.items()]
        ratio = float(np.median(speeds[:, i] / speeds[:, found[0]])) if found else None
        yield row | dict(
            samples_per_second=float(np.median(speeds[:, i])),
            real_time_factor=float(np.median(speeds[:, i])) / config.sample_rate,
            limit_samples_per_second=float(np.median(limits[:, i])),
            share_of_limit=float(np.median(speeds[:, i] / limits[:, i])),
            ratio_to_reference=ratio,
        )


def described(row: dict[str, Any]) -> str:
    """Returns what a row is about, in columns."""
    names = [row["engine"], row["backend"] or row["precision"], row["variant"]]
    return f"{row['config']:16}{' '.join(names):36}{row['streams']:7}{row['cores']:6}"


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yields the lines of a table, the yardsticks of each configuration above its rows."""
    heads = ("samples/s", "real time", "limit", "of limit", "to reference")
    yield f"{'':52}streams cores" + "".join(f"{head:>13}" for head in heads)
    for name in dict.fromkeys(row["config"] for row in rows):
        own = [row for row in rows if row["config"] == name]
        size, flops = own[0]["weight_bytes"], own[0]["flops"]
        one, many = (row["limit_samples_per_second"] for row in own[:2])  # 1 and 8 streams
        yield (
            f"\n{name}: {size / 1e6:.2f} MB of float32 weights at {one * size / 1e9:.0f} GB/s; "
            f"{flops / 1e6:.2f} MFLOP a sample at {many * flops / 1e9:.0f} GFLOP/s"
        )
        for row in own:
            numbers = f"{row['samples_per_second']:13.0f}{row['real_time_factor']:13.2f}"
            numbers += f"{row['limit_samples_per_second']:13.0f}{row['share_of_limit']:13.2f}"
            ratio = row["ratio_to_reference"]
            yield described(row) + numbers + ("" if ratio is None else f"{ratio:13.2f}")
    yield PEERS


def main() -> None:
    """Prints one line per engine, configuration and number of streams."""
    rows = [row for name, config in configurations().items() for row in compared(name, config)]
    print(json.dumps(rows, indent=1) if OPTIONS.json else "\n".join(table(rows)))


if __name__ == "__main__":
    main()
