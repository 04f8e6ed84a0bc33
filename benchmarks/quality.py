"""How well models play on: held-out bits, and continuations of held-out music beside that music.

    python benchmarks/quality.py --sets DIR... [--minutes 10 20 45] [--presets small] [--json FILE]
    python benchmarks/quality.py --sets DIR... --runs RUN...      runs that are trained already
    python benchmarks/quality.py ... --numbers 0 1 2 --seconds 600      more chances, longer takes
    python benchmarks/quality.py --sets DIR --folder WAVS         sounds from anywhere

A set is a folder with train/ and heldout/; one without is both. Seeds are 4 s, from places evenly
spread over every held-out recording; a recording too short to hold seed and continuation is played
on from its end. Each continuation is compared with its own recording (`wavegen.likeness`), in level
with its seed and what really follows. The music that really follows, the seed over and over, a
constant tone and the network before its first step go through the same table (with a memory of what
was heard it goes through it once more: that needs no training). What is longer than 15 s is judged
in stretches of 15 s; of ten minutes the level of every minute is told. Figures are medians, `clean`
counts stretches without a fault; `copied` is how like its nearest second of the training part a
second is (`wavegen.nearest`), `echoed` how like its nearest second of the seed.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from wavegen import audio, checkpoint, likeness, listing
from wavegen.cli.display import hushed
from wavegen.climate import level_db
from wavegen.duet import join, sampler_of
from wavegen.duet_config import DUET, PARTS
from wavegen.modelfile import part_of_duet, save_model
from wavegen.nearest import nearest_seconds

SEED_SECONDS, MINUTE = 4.0, 60
FADED_DB = 30.0  # what is softer than this below the recording's loudest has faded out
LIKE = ["copied", "echoed"]  # the nearest second of what was learned, and of the seed
COLUMNS = [field.name for field in dataclasses.fields(likeness.Likeness)]


@dataclasses.dataclass(frozen=True)
class Recording:
    """A held-out recording, measured in segments."""

    name: str
    signal: np.ndarray  # (channels, samples)
    sample_rate: int

    @functools.cached_property
    def measures(self) -> list[likeness.Measures]:
        """What its segments do, up to where it fades out: an end is not what is to be played on."""
        rate, size = self.sample_rate, self.signal.shape[1]
        ends = range(rate, size + 1, rate)
        levels = np.array([level_db(self.signal[:, end - rate : end]) for end in ends])
        heard = np.flatnonzero(levels > levels.max() - FADED_DB)
        last = len(levels) - 1
        end = size if heard[-1] == last else ends[heard[-1]]
        parts = likeness.segments(self.signal[:, :end], rate)
        return [likeness.measure(part, rate) for part in parts]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a held-out recording is continued from."""

    recording: Recording
    seed: np.ndarray  # (channels, samples)
    music: np.ndarray  # what really follows; the whole recording where that is too short

    def compare(self, sound: np.ndarray) -> likeness.Likeness:
        """Returns how a continuation compares with the recording."""
        rate, music = self.recording.sample_rate, self.recording.measures
        parts = [part for part in (self.seed, self.music) if part.shape[1] >= rate]
        near = [likeness.measure(part, rate) for part in parts]
        return likeness.compare(likeness.measure(sound, rate), music, near)


def part_of(folder: Path, name: str) -> Path:
    """Returns the folder of a set's `train` or `heldout` part; of a set without, the set itself."""
    return folder / name if (folder / name).is_dir() else folder


@functools.cache
def heldout(folder: Path, sample_rate: int, channels: int) -> list[Recording]:
    """Returns the recordings of a folder that are long enough to be measured."""
    read = functools.partial(audio.read, sample_rate=sample_rate, channels=channels)
    files = listing.list_audio([folder]).files
    found = [Recording(path.stem, read(path)[0], sample_rate) for path in files]
    return [each for each in found if each.signal.shape[1] >= sample_rate]


def places(recordings: list[Recording], count: int, seconds: float) -> Iterator[Place]:
    """Yields places to continue from, evenly over all recordings and evenly within each."""
    for number, recording in enumerate(recordings):
        signal, rate = recording.signal, recording.sample_rate
        first, size = round(SEED_SECONDS * rate), round(seconds * rate)
        last = signal.shape[1] - size
        own = len(range(number, count, len(recordings)))
        if last < first:
            yield from [Place(recording, signal[:, -first:], signal)] * own
            continue
        levels = {
            end: level_db(signal[:, end - first : end]) for end in range(first, last + 1, rate)
        }
        # A recording that fades out is no music to play on from in the end.
        heard = [end for end, level in levels.items() if level > max(levels.values()) - FADED_DB]
        for index in np.linspace(0, len(heard) - 1, own).astype(int):
            end = heard[index]
            yield Place(recording, signal[:, end - first : end], signal[:, end : end + size])


def judge_folder(
    folder: str | Path, music: str | Path, sample_rate: int = 16000, channels: int = 1
) -> dict[str, likeness.Likeness]:
    """Returns how each sound file of a folder compares with held-out music, by its name.

    Args:
        folder: of the sounds, without the seeds they continue.
        music: folder of recordings; a sound whose name begins with one of theirs, as `wavegen
            sample` names its results, is compared with that one, else with all.
        sample_rate: to judge at, Hz.
        channels: 1 or 2.
    """
    recordings, found = heldout(Path(music), sample_rate, channels), {}
    for path in listing.list_audio([folder]).files:
        own = [each for each in recordings if path.name.startswith(each.name)] or recordings
        sound = audio.read(path, sample_rate=sample_rate, channels=channels)[0]
        parts = [measures for each in own for measures in each.measures]
        found[path.name] = likeness.compare(likeness.measure(sound, sample_rate), parts)
    return found


def wavegen(*command: str) -> str:
    """Returns what a command of this checkout prints."""
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    asked = [sys.executable, "-m", "wavegen", *command, "--quiet"]
    given: Any = dict(env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True)
    return subprocess.run(asked, check=True, **given).stdout


def held_out_cost(file: checkpoint.ModelFile, folder: Path) -> dict[str, Any]:
    """Returns the model's cost of all sound in a folder, with its interval."""
    rows = json.loads(wavegen("score", str(folder), "-m", str(file.path), "--json"))
    return rows[-1]["scores"][0]


def trained(options: argparse.Namespace, scratch: str) -> Iterator[tuple[Path, Path]]:
    """Yields (set, model file), training what is not given."""
    if options.runs:
        for folder, run in zip(options.sets, options.runs, strict=True):
            yield folder, checkpoint.find_model(run)
        return
    for folder in options.sets:
        for preset in options.presets:
            for minutes in options.minutes:
                name = f"{folder.name}-{preset}-{minutes:g}"
                command = ["train", str(part_of(folder, "train"))]
                command += ["--preset", preset, "--name", name]
                command += ["--arch", options.arch] if options.arch else []
                command += ["--runs", scratch, "--for", f"{minutes:g}m", "--sample-seconds", "1"]
                wavegen(*command)
                yield folder, Path(scratch) / name / "model.safetensors"


def untrained(
    file: checkpoint.ModelFile, folder: str, name: str = "untrained"
) -> checkpoint.ModelFile:
    """Returns the model, or both of a duet, as before the first step, the baselines fitted."""
    path = Path(folder) / f"{name}.safetensors"
    if file.family == DUET:
        parts = {part: untrained(part_of_duet(file, part), folder, part).path for part in PARTS}
        join(path, parts)
        return checkpoint.read_model(path)
    with hushed():
        from wavegen import models
        from wavegen.heldout import Yardsticks
    arrays = checkpoint.part_of(file.tensors, "baselines/")
    model = models.FAMILIES[file.family](file.config)
    model.start_from(Yardsticks.from_arrays(file.config, arrays).baselines, [])
    for name, variable in models.named_weights(model).items():
        if not variable.trainable:
            variable.assign(file.tensors[name])
    models.save(path, model, arrays, {"climate": file.extra.get("climate")})
    return checkpoint.read_model(path)


def composer(file: checkpoint.ModelFile, folder: str) -> checkpoint.ModelFile:
    """Returns a duet's LSTM in a file of its own."""
    own, path = part_of_duet(file, "composer"), Path(folder) / "composer.safetensors"
    save_model(path, own.family, own.config, own.tensors, own.extra)
    return checkpoint.read_model(path)


def row(who: str, found: list[likeness.Likeness], **facts: Any) -> dict[str, Any]:
    """Returns a row of the table."""
    known = {n: [v for one in found if (v := getattr(one, n)) is not None] for n in COLUMNS}
    medians = {name: float(np.median(values)) if values else None for name, values in known.items()}
    faults = Counter(fault for each in found for fault in each.faults)
    counts = {"clean": sum(each.clean for each in found), "count": len(found)}
    each = [dataclasses.asdict(one) | {"faults": one.faults} for one in found]
    return {"who": who, **facts, **medians, **counts, "faults": dict(faults), "each": each}


def drawn(
    who: str,
    file: checkpoint.ModelFile,
    spots: list[Place],
    options: argparse.Namespace,
    rng_seed: int,
    controls: dict[str, float],
) -> list[np.ndarray]:
    """Returns a model's continuations; they are written to --out, if given."""
    sampler, found = sampler_of(file), list[np.ndarray]()
    for number, spot in enumerate(spots):
        heard = sampler.listen(spot.seed, SEED_SECONDS)
        given: dict[str, Any] = {"first_variation": number, "rng_seed": rng_seed, **controls}
        blocks = list(sampler.stream(heard, options.seconds, **given))
        sound = np.concatenate(blocks, axis=-1)[0, :, sampler.codec.delay_samples :]
        found.append(sound)
        if options.out:
            name = f"{spot.recording.name}-{who}-{number}.wav".replace(" ", "-")
            audio.write(options.out / name, sound, file.config.sample_rate, force=True)
    return found


def tone(spot: Place, seconds: float) -> np.ndarray:
    """Returns a constant tone, as loud as what really follows."""
    rate = spot.recording.sample_rate
    time = np.arange(round(seconds * rate)) / rate
    level = np.sqrt(2 * np.mean(np.square(spot.music)))
    return level * np.sin(2 * np.pi * 220 * time)[None].repeat(len(spot.music), axis=0)


def again(spot: Place, seconds: float) -> np.ndarray:
    """Returns the seed over and over."""
    size = round(seconds * spot.recording.sample_rate)
    return np.tile(spot.seed, -(-size // spot.seed.shape[1]))[:, :size]


def minutes(sound: np.ndarray, rate: int) -> list[float]:
    """Returns the level of every whole minute, dB under full scale."""
    ends = range(MINUTE * rate, sound.shape[1] + 1, MINUTE * rate)
    return [round(level_db(sound[:, end - MINUTE * rate : end]), 1) for end in ends]


def judged(
    who: str, spots: list[Place], sounds: list[np.ndarray], folder: Path, **facts: Any
) -> dict[str, Any]:
    """Returns the row of sounds, each of one of the places of a set."""
    rate = spots[0].recording.sample_rate
    taught = [each.signal for each in heldout(part_of(folder, "train"), rate, len(sounds[0]))]
    copied, echoed, found = [], [], []
    for spot, sound in zip(spots, sounds, strict=True):
        for alike, past in ((copied, taught), (echoed, [spot.seed])):
            alike += [each.similarity for each in nearest_seconds(sound, past, rate)]
        found += [spot.compare(part) for part in likeness.segments(sound, rate)]
    facts |= {"copied": float(np.median(copied)), "echoed": float(np.median(echoed))}
    if sounds[0].shape[1] >= 2 * MINUTE * rate:
        facts["minutes"] = [minutes(sound, rate) for sound in sounds]
    return row(who, found, **facts)


def table(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yields rows: for each set the music, a tone and an untrained network, then its runs."""
    if options.folder:
        for name, one in judge_folder(options.folder, part_of(options.sets[0], "heldout")).items():
            yield row(name, [one])
        return
    with tempfile.TemporaryDirectory() as scratch:
        known = set()
        for folder, path in trained(options, scratch):
            file, music, name = checkpoint.read_model(path), part_of(folder, "heldout"), folder.name
            recordings = heldout(music, file.config.sample_rate, file.config.channels)
            spots = list(places(recordings, options.count, options.seconds))
            trained_for = f"{path.parent.name} {file.extra.get('seconds', 0) / 60:.0f} min"
            models: list[tuple] = [(file, {trained_for: {}})]  # with controls, by who plays so
            if (folder, repr(file.config)) not in known:
                known.add((folder, repr(file.config)))
                for who, sounds in (
                    ("music", [spot.music for spot in spots]),
                    ("seed over and over", [again(spot, options.seconds) for spot in spots]),
                    ("tone", [tone(spot, options.seconds) for spot in spots]),
                ):
                    yield judged(f"{name} {who}", spots, sounds, folder)
                ways = {f"{name} untrained": {}}
                if "memory" in file.config.controls:  # which needs no training
                    ways[f"{name} untrained"] = {"memory": 0.0}
                    ways[f"{name} untrained, memory alone"] = {}
                models.insert(0, (untrained(file, scratch), ways))
            if file.family == DUET:
                models.append((composer(file, scratch), {f"{name} composer alone": {}}))
            for model, ways in models:
                cost = held_out_cost(model, music)
                for who, controls in ways.items():
                    for number in options.numbers:
                        name = f"{who} {number}"
                        sounds = drawn(name, model, spots, options, number, controls)
                        yield judged(name, spots, sounds, folder, score=cost)


def line(row: dict[str, Any]) -> str:
    """Returns a row as text."""
    score = row.get("score")
    bits = f"{score['mean']:.3f} ({score['low']:.3f} .. {score['high']:.3f})" if score else ""
    numbers = "".join("        -" if row[name] is None else f"{row[name]:9.2f}" for name in COLUMNS)
    faults = ", ".join(f"{fault} {count}" for fault, count in row["faults"].items())
    faults += "".join(f"\n    dB by the minute: {levels}" for levels in row.get("minutes", []))
    numbers += "".join(f"{row[k]:9.2f}" if k in row else "        -" for k in LIKE)
    return f"{row['who'][-40:]:40}{bits:>24}{numbers}{row['clean']:6}/{row['count']:<5}{faults}"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--sets", type=Path, nargs="+", required=True, help="folders, with train/ and heldout/")
    add("--minutes", type=float, nargs="+", default=[20.0], help="to train for (20)")
    add("--presets", nargs="+", default=["small"], help="to train (small)")
    add("--arch", help="family to train (what train makes unasked)")
    add("--runs", nargs="+", help="runs that are there, one for each of the sets")
    add("--folder", type=Path, help="judge these sounds instead")
    add("--count", type=int, default=8, help="continuations (8)")
    add("--seconds", type=float, default=15.0, help="length of a continuation (15)")
    add("--numbers", type=int, nargs="+", default=[0], help="`--seed` of the continuations (0)")
    add("--out", type=Path, help="folder to write the continuations to")
    add("--json", type=Path, help="file to write all figures to")
    options, rows = parser.parse_args(), []
    if options.runs and len(options.runs) != len(options.sets):
        parser.error("--runs takes one run for each of the --sets; name a set again for another")
    heads = [name.removesuffix("_seconds").removesuffix("_db")[:8] for name in COLUMNS]
    heads += LIKE
    print(f"{'':40}{'bits or nats':>24}{''.join(f'{head:>9}' for head in heads)}   clean")
    for one in table(options):
        rows.append(one)
        print(line(one), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
