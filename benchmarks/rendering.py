"""Copy synthesis: held-out music played by a conditioned WaveNet, beside that music.

    python benchmarks/rendering.py --run RUN --folder HELDOUT [--seconds 15] [--cuts 4]
    python benchmarks/rendering.py --run RUN --folder HELDOUT --seconds 300 --joined

For every cut of a recording, or for all of them one after the other, over and over: level error
second by second, mean and greatest (dB); log-spectral distance (dB; line by line of 64 ms, down to
60 dB below the loudest), and that of the codec alone; error of the mel bands within 60 dB of the
loudest, RMS and mean (dB); drift, from the first fifth to the last, of the level error and of that
distance (dB); flux, onsets, motion and spread as ratios, noise and texture (see
`wavegen.likeness`); and the speed in times real time on whatever cores there are.
Last the means of all cuts, of the level error and the bias without their signs.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from collections.abc import Iterator

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
SILENT_DB = -80.0  # what is softer is silence, however soft
SIGNED = "level", "bias"  # of which the mean is one of sizes
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
    starts = range(0, music.shape[1] - rate + 1, rate)
    ours, theirs = ([heard_db(s[:, at : at + rate]) for at in starts] for s in (drawn, music))
    levels = np.subtract(ours, theirs)
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


def heard_db(sound: np.ndarray) -> float:
    """Returns the level, dB under full scale, or `SILENT_DB` of what is softer."""
    return max(level_db(sound), SILENT_DB)


def drift(values: np.ndarray) -> float:
    """Returns by how much the mean of the last fifth is greater than that of the first."""
    size = max(1, len(values) // 5)
    return values[-size:].mean() - values[:size].mean()


def cuts(sounds: dict[str, np.ndarray], size: int, most: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the first cuts of so many samples of each sound; one that is shorter is one cut."""
    for name, sound in sounds.items():
        for number in range(max(1, min(most, sound.shape[1] // size))):
            yield name, sound[:, number * size : (number + 1) * size]


def line(found: dict[str, float], name: str) -> str:
    """Returns a row as text."""
    return "".join(f"{found[column]:10.2f}" for column in COLUMNS) + f" {name}"


def main() -> None:
    """Prints one row a cut, and their means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--run", required=True, help="run, model file or duet")
    add("--folder", required=True, help="of held-out music")
    add("--runs", default="runs", help="folder of the runs (runs)")
    add("--seconds", type=float, default=15.0, help="of each cut (15)")
    add("--cuts", type=int, default=1, help="of each recording, at most (1)")
    add("--joined", action="store_true", help="all recordings as one, over and over")
    add("--follow", type=float, default=GIVEN_FOLLOW, help=f"of `render` ({GIVEN_FOLLOW})")
    options = parser.parse_args()
    file = checkpoint.read_model(checkpoint.find_model(options.run, options.runs))
    instrument = Instrument(judge_of(file))
    instrument.engine.warm_up()
    rate, channels = instrument.config.sample_rate, instrument.config.channels
    size, least = (round((SEED_SECONDS + s) * rate) for s in (options.seconds, 2.0))
    read = functools.partial(audio.read, sample_rate=rate, channels=channels)
    sounds = {path.stem: read(path)[0] for path in listing.list_audio([options.folder]).files}
    if options.joined:
        one = np.concatenate(list(sounds.values()), axis=1)
        sounds = {"joined": np.tile(one, -(-size // one.shape[1]))}
    rows = []
    print("".join(f"{name:>10}" for name in COLUMNS))
    for name, sound in cuts(sounds, size, options.cuts):
        if sound.shape[1] >= least:
            rows.append(measure(instrument, sound, options.follow))
            print(line(rows[-1], name), flush=True)
    if len(rows) > 1:
        of = {name: [row[name] for row in rows] for name in COLUMNS}
        of |= {name: np.abs(of[name]) for name in SIGNED}
        print(line({name: float(np.mean(values)) for name, values in of.items()}, "mean"))


if __name__ == "__main__":
    main()
