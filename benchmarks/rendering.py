"""Copy synthesis: held-out music played by a conditioned WaveNet, beside that music.

    python benchmarks/rendering.py --run RUN --folder HELDOUT [--seconds 15] [--temperature 1]

For every recording: level error second by second, mean and greatest (dB); error of the mel bands
within 60 dB of the loudest, RMS and mean (dB); flux, onsets, motion and spread as ratios, noise and
texture (see `wavegen.likeness`); and the speed in times real time on whatever cores there are.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from wavegen import audio, checkpoint, likeness, listing
from wavegen.bands import SPAN_DB
from wavegen.climate import level_db
from wavegen.modelfile import judge_of
from wavegen.rendering import Instrument

SEED_SECONDS = 4.0
COLUMNS = "level worst bands bias flux onsets motion spread noise texture speed".split()


def measure(instrument: Instrument, sound: np.ndarray, temperature: float) -> dict[str, float]:
    """Returns the columns of one recording `(channels, samples)`; its beginning is the seed."""
    rate = instrument.config.sample_rate
    first = round(SEED_SECONDS * rate)
    seed, music = sound[:, :first], sound[:, first:]
    began = time.monotonic()
    drawn = np.concatenate(
        list(instrument.play([music[None]], seed, temperature=temperature)), axis=-1
    )[0]
    speed = music.shape[1] / rate / (time.monotonic() - began)
    cuts = [slice(at, at + rate) for at in range(0, music.shape[1] - rate + 1, rate)]
    levels = np.array([level_db(drawn[:, cut]) - level_db(music[:, cut]) for cut in cuts])
    analysis = instrument.bands
    wanted, found = (
        SPAN_DB * analysis.along(signal)[:, : analysis.features] for signal in (music, drawn)
    )
    error = (found - wanted)[wanted > wanted.max() - 60]
    parts = [likeness.measure(music, rate)]
    like = likeness.compare(likeness.measure(drawn, rate), parts, parts)
    values = levels.mean(), np.abs(levels).max(), np.sqrt(np.mean(error**2)), error.mean()
    values += like.flux, like.onsets, like.motion, like.spread, like.noise, like.texture_db, speed
    return dict(zip(COLUMNS, map(float, values), strict=True))


def main() -> None:
    """Prints one row a recording."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="run, model file or duet")
    parser.add_argument("--folder", required=True, help="of held-out music")
    parser.add_argument("--runs", default="runs", help="folder of the runs (runs)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each recording (15)")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the drawing (1)")
    arguments = parser.parse_args()
    file = checkpoint.read_model(checkpoint.find_model(arguments.run, arguments.runs))
    instrument = Instrument(judge_of(file))
    instrument.engine.warm_up()
    rate, channels = instrument.config.sample_rate, instrument.config.channels
    print("".join(f"{name:>9}" for name in COLUMNS))
    for path in listing.list_audio([arguments.folder]).files:
        sound = audio.read(path, sample_rate=rate, channels=channels)[0]
        sound = sound[:, : round((SEED_SECONDS + arguments.seconds) * rate)]
        if sound.shape[1] < (SEED_SECONDS + 2) * rate:
            continue
        found = measure(instrument, sound, arguments.temperature)
        print("".join(f"{found[name]:9.2f}" for name in COLUMNS), path.stem, flush=True)


if __name__ == "__main__":
    main()
