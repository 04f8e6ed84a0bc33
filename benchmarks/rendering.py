"""Copy synthesis: held-out music played by a conditioned WaveNet, beside that music.

    python benchmarks/rendering.py --run RUN --folder HELDOUT [--seconds 15] [--follow 0.9]

For every recording: level error second by second, mean and greatest (dB); log-spectral distance
(dB; line by line of 64 ms, down to 60 dB below the loudest), and that of the codec alone; error of
the mel bands within 60 dB of the loudest, RMS and mean (dB); drift, from the first fifth to the
last, of the level error and of that distance (dB); flux, onsets, motion and spread as ratios, noise
and texture (see `wavegen.likeness`); and the speed in times real time on whatever cores there are.
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
from wavegen.codec import codec_of
from wavegen.config import GIVEN_FOLLOW
from wavegen.modelfile import judge_of
from wavegen.rendering import Instrument

SEED_SECONDS = 4.0
COLUMNS = (
    "level worst lsd codec bands bias drift lsd-drift flux onsets motion spread noise texture speed"
).split()
LINES = 1024  # of a frame of which the log-spectral distance is taken, at 16 kHz


def log_spectral_distance(drawn: np.ndarray, music: np.ndarray, rate: int) -> np.ndarray:
    """Returns the distance of two sounds' first channels frame by frame, dB."""
    size = 2 ** round(np.log2(LINES * rate / 16000))
    window = np.hanning(size)
    levels = []
    for sound in (drawn, music):
        views = np.lib.stride_tricks.sliding_window_view(sound, size, axis=-1)[:, :: size // 2]
        lines = [np.square(np.abs(np.fft.rfft(view * window))) for view in views[0]]
        levels.append(10 * np.log10(np.array(lines) + 1e-20))
    floor = levels[1].max() - 60.0
    apart = np.maximum(levels[0], floor) - np.maximum(levels[1], floor)
    heard = np.max(levels, axis=0) > floor
    count = np.maximum(heard.sum(axis=1), 1)
    return np.sqrt(np.sum(np.square(apart) * heard, axis=1) / count)[heard.any(axis=1)]


def measure(instrument: Instrument, sound: np.ndarray, follow: float) -> dict[str, float]:
    """Returns the columns of one recording `(channels, samples)`; its beginning is the seed."""
    rate = instrument.config.sample_rate
    first = round(SEED_SECONDS * rate)
    seed, music = sound[:, :first], sound[:, first:]
    began = time.monotonic()
    drawn = np.concatenate(list(instrument.play([music[None]], seed, follow=follow)), axis=-1)[0]
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
    codec = codec_of(instrument.config)
    same = codec.decode(codec.encode(music))
    apart, least = (log_spectral_distance(s, music, rate) for s in (drawn, same))
    values = levels.mean(), np.abs(levels).max(), apart.mean(), least.mean()
    values += np.sqrt(np.mean(error**2)), error.mean(), drift(levels), drift(apart)
    values += like.flux, like.onsets, like.motion, like.spread, like.noise, like.texture_db, speed
    return dict(zip(COLUMNS, map(float, values), strict=True))


def drift(values: np.ndarray) -> float:
    """Returns by how much the mean of the last fifth is greater than that of the first."""
    size = max(1, len(values) // 5)
    return values[-size:].mean() - values[:size].mean()


def main() -> None:
    """Prints one row a recording."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="run, model file or duet")
    parser.add_argument("--folder", required=True, help="of held-out music")
    parser.add_argument("--runs", default="runs", help="folder of the runs (runs)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each recording (15)")
    parser.add_argument(
        "--follow", type=float, default=GIVEN_FOLLOW, help=f"of `render` ({GIVEN_FOLLOW})"
    )
    arguments = parser.parse_args()
    file = checkpoint.read_model(checkpoint.find_model(arguments.run, arguments.runs))
    instrument = Instrument(judge_of(file))
    instrument.engine.warm_up()
    rate, channels = instrument.config.sample_rate, instrument.config.channels
    print("".join(f"{name:>10}" for name in COLUMNS))
    for path in listing.list_audio([arguments.folder]).files:
        sound = audio.read(path, sample_rate=rate, channels=channels)[0]
        sound = sound[:, : round((SEED_SECONDS + arguments.seconds) * rate)]
        if sound.shape[1] < (SEED_SECONDS + 2) * rate:
            continue
        found = measure(instrument, sound, arguments.follow)
        print("".join(f"{found[name]:10.2f}" for name in COLUMNS), path.stem, flush=True)


if __name__ == "__main__":
    main()
