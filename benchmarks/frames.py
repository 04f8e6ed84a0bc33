"""How fast a spectral LSTM draws, one stream on one core, and where the time goes.

    taskset -c 0 python benchmarks/frames.py [--presets small fullband] [--seconds 20]

Untrained models: the speed of drawing does not hang on what was learned. `kernel` is the compiled
loop alone; `frames` adds the chance that it takes; `sound` is all, to samples, without a guard. The
first block is what has to be drawn after priming before anything can be heard; overhead is the
share of `sound` that is not the loop.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from wavegen.cli.display import hushed
from wavegen.engines.numba_spectral import engine
from wavegen.presets import from_preset
from wavegen.sampling import Sampler

ROUNDS = 3


def fastest(function: Callable[[], object]) -> float:
    """Returns the seconds of the fastest of a few rounds; the first warms up and counts not."""
    function()
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        function()
        taken.append(time.perf_counter() - began)
    return min(taken)


class Clock:
    """Takes the time of every call of the compiled loops."""

    def __init__(self) -> None:
        """Puts itself in their place."""
        self.spent: list[float] = []
        self.run, clock = engine.Voices.run, self

        def run(*arguments: Any) -> None:
            began = time.perf_counter()
            clock.run(*arguments)
            clock.spent.append(time.perf_counter() - began)

        engine.Voices.run = run  # type: ignore[method-assign]


def model_of(preset: str) -> object:
    """Returns an untrained model of a preset whose codes were fitted to noise."""
    with hushed():
        from wavegen.codec import codec_of
        from wavegen.models import FAMILIES
    config, _ = from_preset("spectral_lstm", preset, {})
    model = FAMILIES["spectral_lstm"](config)
    sound = 0.1 * np.random.default_rng(0).standard_normal(
        (config.channels, 4 * config.sample_rate)
    )
    model.start_from(None, [codec_of(config).encode(sound.astype("float32"))])
    return model


def main() -> None:
    """Prints a line a preset and precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="+", default=["small", "fullband"])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16", "int8"])
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    heads = f"{'kernel':>9}{'frames':>9}{'sound':>9}{'first block':>14}{'overhead':>10}"
    print(f"{'x real time':28}{heads}")
    for preset in options.presets:
        model = model_of(preset)
        for precision in options.precisions:
            sampler = Sampler(model, "numba", precision)
            config, seconds = sampler.config, options.seconds
            rng = np.random.default_rng(1)
            seed = 0.1 * rng.standard_normal((config.channels, 4 * config.sample_rate))
            heard = sampler.listen(seed.astype("float32"))
            count = round(seconds * config.sample_rate / config.hop_length)
            noise = rng.random((1, count, *config.noise_shape)).astype("float32")
            voices = sampler.engine.open(heard.session)
            clock = Clock()
            frames = fastest(lambda voices=voices, noise=noise: voices.draw(noise))
            loop, engine.Voices.run = min(clock.spent[1:]), clock.run  # type: ignore[method-assign]
            whole = dict(seconds=seconds, guard=False)
            sound = fastest(lambda s=sampler, h=heard, w=whole: list(s.stream(h, **w)))
            first = fastest(lambda s=sampler, h=heard: next(s.stream(h, 1.0, guard=False)))
            speeds = "".join(f"{seconds / taken:9.0f}" for taken in (loop, frames, sound))
            share = 1 - loop / sound
            print(f"{preset + ' ' + precision:28}{speeds}{1000 * first:11.1f} ms{share:10.0%}")


if __name__ == "__main__":
    main()
