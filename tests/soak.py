"""The long versions of the tests of faults: run by hand, or at night.

    python tests/soak.py fuzz --count 20000 --seed 1    mutated sound files
    python tests/soak.py flips --count 1000             a model with one bit wrong, or cut off
    python tests/soak.py saves --count 1000             kills while saving, without a training
    python tests/soak.py kills --count 200              kills while training, each time resumed
    python tests/soak.py headers                        models whose headers are made to hurt
    python tests/soak.py full                           a disk that is full for states and for sound
    python tests/soak.py many --count 100000            a look at so many files
    python tests/soak.py malformed --folder FOLDER      other people's files, by their manifest.json

Each prints what it did and ends with an error if one promise was broken.
"""

import argparse
import contextlib
import functools
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
COMPILED = 20  # kills up to which the training is compiled, as it always is in earnest


def uncompiled(function: Callable, *fixed: Any) -> Callable:
    """Stands in for `backend.compiled`: returns the function, to be run as it is."""
    from keras import ops, tree

    def tensor(leaf: Any) -> Any:
        return ops.convert_to_tensor(leaf) if isinstance(leaf, np.ndarray | np.generic) else leaf

    def run(*arguments: Any) -> Any:
        return function(*tree.map_structure(tensor, (*fixed, *arguments)))

    return run


def train(place: Path, last: int, eager: bool = False) -> None:
    """Trains until the step `last`, saves after every step, and notes the loss of each.

    Compiling takes most of the time between two kills; `eager` does without. The loop, the saving
    and the numbers' way through them are the same.
    """
    import soundfile
    from conftest import make_config, tune

    from wavegen import backend, config, dataset, train
    from wavegen.checkpoint import Run
    from wavegen.plan import Plan
    from wavegen.train_settings import TrainSettings

    recording = place.parent / "recording.wav"
    if not recording.exists():
        soundfile.write(recording, tune(6.0, 8000).T, 8000)
    fields = {"cycles": 1, "layers_per_cycle": 2, "head": "softmax"} if eager else {}
    model = make_config("wavenet", predictor_order=0, **fields)
    cache = place.parent / "cache"
    data = dataset.load(recording, sample_rate=8000, channels=1, gap_seconds=0.1, cache=cache)
    chosen = dict(batch=3, window=300, learning_rate=5e-3)
    settings = config.build(TrainSettings, chosen)
    train.SAVE_SECONDS, real = 0.0, train.Session.one_step

    def noted(self, given, rate):
        loss, norm = real(self, given, rate)
        if hasattr(self, "prefetch"):  # not while memory is tried
            with open(place.parent / f"{place.name}.losses", "a") as file:
                file.write(f"{self.step} {loss.hex()}\n")
        return loss, norm

    train.Session.one_step = noted
    if eager:
        backend.compiled = uncompiled
    steps: list[int] = []

    def report(event):
        if event["event"] == "step":
            steps.append(event["step"])

    run = Run.open(place, create=True)
    with run.lock():
        plan = Plan(steps=100_000, report=report, stop=lambda: bool(steps) and steps[-1] >= last)
        train.fit(run, data, model, settings, plan)


def save(place: Path, last: int) -> None:
    """Does nothing but save, until the step `last`."""
    from wavegen.checkpoint import Run

    run = Run.open(place, create=True)
    with run.lock():
        saved = run.load_state()
        for step in range(saved[1]["step"] + 1 if saved else 1, last):
            run.save_state(step, {"w": np.full(200_000, step, "float32")}, {"step": step})
            run.log({"step": step})


def child(work: Callable[[Path, int], None], place: Path, last: int) -> int:
    """Forks a process that works; returns its number.

    This process has imported everything and computed nothing: a child begins at once, and inherits
    no thread of TensorFlow's.
    """
    number = os.fork()
    if number:
        return number
    try:
        work(place, last)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def newest(folder: Path) -> int:
    """Returns the step of the newest state, valid or not; -1 for none."""
    return max((int(path.stem[6:]) for path in folder.glob("state-*.safetensors")), default=-1)


def killed(
    work: Callable[[Path, int], None], folder: Path, count: int, longest: float, seed: int
) -> int:
    """Kills a child again and again after it has saved something new; returns the last step.

    After each kill the newest state must be there, whole, and newer than before.
    """
    from wavegen.checkpoint import Run

    chance, last = random.Random(seed), -1
    for number in range(1, count + 1):
        process = child(work, folder, 10**9)
        while newest(folder) <= last:
            time.sleep(0.005)
            assert os.waitpid(process, os.WNOHANG) == (0, 0), "the child ended by itself"
        time.sleep(chance.uniform(0, longest))
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        run = Run(folder)
        saved = run.load_state()
        assert saved is not None and not run.warnings, (number, run.warnings)
        assert saved[1]["step"] > last, (number, saved[1]["step"], last)
        last = saved[1]["step"]
        if number % 10 == 0 or number == count:
            print(f"{number} kills, step {last}: every newest state is whole", flush=True)
    return last


def losses(path: Path) -> dict[int, set[str]]:
    """Returns step -> the losses that sessions noted for it, as exact numbers."""
    found: dict[int, set[str]] = {}
    for line in path.read_text().splitlines():
        step, _, loss = line.partition(" ")
        if loss.startswith(("0x", "-0x")) and "p" in loss:  # the last line of a kill may be torn
            found.setdefault(int(step), set()).add(loss)
    return found


def kills(place: Path, count: int, seed: int) -> None:
    """Trains with kills and without; the losses of every step are the same to the last bit."""
    import conftest  # noqa: F401  which says how to compile

    import wavegen.train  # noqa: F401  before the first fork: TensorFlow takes seconds

    work = functools.partial(train, eager=count > COMPILED)
    last = killed(work, place / "killed", count, 0.3, seed)
    assert os.waitpid(child(work, place / "straight", last), 0)[1] == 0
    straight, interrupted = (losses(place / f"{n}.losses") for n in ("straight", "killed"))
    assert set(straight) <= set(interrupted) and len(straight) >= last
    differing = [step for step in straight if straight[step] != interrupted[step]]
    assert not differing, f"steps of another loss: {differing[:9]}"
    print(f"{len(straight)} steps: each loss is that of the uninterrupted training, bit for bit")


def saves(place: Path, count: int, seed: int) -> None:
    """Kills a process that does nothing but save."""
    killed(save, place / "saved", count, 0.03, seed)


def flips(place: Path, count: int, seed: int) -> None:
    """Reads a model with one bit wrong, and one that is cut off at every hundredth."""
    from conftest import make_model

    from wavegen import models
    from wavegen.errors import CheckpointError
    from wavegen.modelfile import read_model

    path = place / "model.safetensors"
    models.save(path, make_model("wavenet"), {}, {"step": 1})
    whole, rng = path.read_bytes(), np.random.default_rng(seed)
    read_model(path)
    damaged = [whole[: len(whole) * part // 100] for part in range(100)]
    for at in rng.integers(0, 8 * len(whole), count):
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        damaged.append(bytes(flipped))
    refused = 0
    for data in damaged:
        path.write_bytes(data)
        try:
            read_model(path)
        except CheckpointError:
            refused += 1
    print(f"{refused} of {len(damaged)} damaged models of {len(whole)} bytes refused")
    assert refused == len(damaged)


def fuzz(place: Path, count: int, seed: int) -> None:
    """Reads mutated sound files in a process of bounded memory."""
    import resource

    from test_fuzz import fuzz

    fuzz(place / "m.wav", 24, seed + 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    accepted, taken = fuzz(place / "m.wav", count, seed)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{count} files, {accepted} of them sound, none an error: median "
        f"{1e3 * np.median(taken):.2f} ms, longest {1e3 * max(taken):.0f} ms, {growth:.0f} MB more"
    )
    assert growth < 64 and np.median(taken) < 0.01


def headers(place: Path, count: int, seed: int) -> None:
    """Reads models whose headers are huge, deep, lying or doubled."""
    from test_modelfile import BOMBS

    from wavegen.errors import CheckpointError
    from wavegen.modelfile import read_model

    slowest, largest = ("", 0.0), ("", 0.0)
    for kind, (data, _) in BOMBS.items():
        path = place / "model.safetensors"
        path.write_bytes(data)
        taken = []
        for _ in range(3):  # the quickest counts: other work may run on the machine
            began = time.process_time()
            try:
                read_model(path)
                raise AssertionError(f"{kind} was taken")
            except CheckpointError:
                taken.append(time.process_time() - began)
        tracemalloc.start()
        try:
            read_model(path)
        except CheckpointError:
            size = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        slowest = max(slowest, (kind, 1e3 * min(taken)), key=lambda one: one[1])
        largest = max(largest, (kind, size), key=lambda one: one[1])
    print(
        f"{len(BOMBS)} headers refused: the slowest in {slowest[1]:.1f} ms ({slowest[0]}), "
        f"the largest in {largest[1]:.1f} MB ({largest[0]})"
    )
    assert slowest[1] < 100 and largest[1] < 32


def full(place: Path, count: int, seed: int) -> None:
    """Saves states and draws sound where files may not grow beyond a limit, as on a full disk.

    What it prints must go to a pipe or a terminal: the limit holds for every file.
    """
    import resource

    import soundfile
    from conftest import make_model, tune

    from wavegen import models
    from wavegen.checkpoint import Run
    from wavegen.cli import main
    from wavegen.errors import OutputError

    os.chdir(place)
    models.save(place / "model.safetensors", make_model("wavenet", levels=64), {}, {})
    soundfile.write("seed.wav", tune(1.0, 8000).T, 8000)
    drawing = ["sample", "seed.wav", "-m", "model.safetensors", "--seed", "1"]
    drawing += ["--no-guard", "--no-picture", "-q"]
    assert main([*drawing, "-t", "1"]) == 0  # and the engine is compiled
    run = Run.open(place / "run", create=True)
    for step in (1, 2):
        run.save_state(step, {"w": np.full(50, step)}, {"step": step})
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    codes = []
    for limit in np.linspace(500, 100_000, 40, dtype=int):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), hard))
        try:
            run.save_state(3, {"w": np.zeros(50_000)}, {"step": 3})
        except OutputError as error:
            codes.append(error.exit_code)
        codes.append(main([*drawing, "-t", "10"]))  # 176 kB with the seed's end
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    saved, left = run.load_state(), sorted(p.name for p in (place / "generated").iterdir())
    print(
        f"{len(codes)} writes that did not fit ended with {sorted(set(codes))}; newest state: step "
        f"{saved[1]['step']}, {len(os.listdir('run'))} files in the run, {len(left)} of sound"
    )
    assert codes == [3] * 80 and saved[1]["step"] == 2 and not run.warnings
    assert len(left) == 1 and len(os.listdir("run")) == 2


def many(place: Path, count: int, seed: int) -> None:
    """Lists a hundred folders of files and looks at every header."""
    import resource

    from wavegen import audio, riff
    from wavegen.listing import list_audio

    whole = riff.header("PCM_16", 1, 8000, 4000, {}) + bytes(8000)
    for number in range(count):
        path = place / f"{number % 100:02}" / f"{number:06}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(whole)
    began = time.perf_counter()
    files = list_audio(place).files
    listed = time.perf_counter()
    for path in files:
        audio.info(path)
    done = time.perf_counter()
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(files)} files listed in {listed - began:.1f} s, every header in "
        f"{done - listed:.1f} s; {size:.0f} MB in all"
    )
    assert len(files) == count and done - began < 10


def malformed(place: Path, count: int, seed: int, folder: Path) -> None:
    """Reads files that others made, and compares with what they say each must get."""
    import resource

    from test_fuzz import outcome

    from wavegen import cli
    from wavegen.cli.drawing import LEAST_SAMPLES

    found = json.loads((folder / "manifest.json").read_text("utf-8"))
    outcome(folder / found[0]["file"])
    before, wrong, taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, [], []
    for one in found:
        path, began = folder / one["file"], time.perf_counter()
        sound = outcome(path)
        taken.append(time.perf_counter() - began)
        used = not isinstance(sound, str) and sound.shape[1] >= LEAST_SAMPLES
        if (one["expect"] == "reject" and used) or (one["expect"].startswith("acc") and not used):
            wrong.append((one["file"], one["expect"], sound if isinstance(sound, str) else ""))
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    kinds = {kind: sum(one["expect"] == kind for one in found) for kind in ("reject", "any_clean")}
    print(
        f"{len(found)} files, {kinds['reject']} to refuse and {kinds['any_clean']} of any kind: "
        f"{len(wrong)} otherwise than said; median {1e3 * np.median(taken):.2f} ms, longest "
        f"{1e3 * max(taken):.0f} ms, {growth:.0f} MB more"
    )
    for name, expected, said in wrong:
        print(f"  {name}: {expected}; {said}")
    os.environ["WAVEGEN_CACHE"] = str(place)
    with open(place / "said", "w") as said, contextlib.redirect_stdout(said):
        code = cli.main(["check", str(folder), "--json"])
    print(f"check of all of them: exit code {code}")
    assert not wrong and code == 0 and growth < 64 and np.median(taken) < 0.01


def main() -> None:
    """Runs one of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    works = {"fuzz": (fuzz, 20000), "flips": (flips, 1000), "saves": (saves, 1000)}
    works |= {"kills": (kills, 200), "headers": (headers, 0), "full": (full, 0)}
    works["many"] = (many, 100_000)
    parser.add_argument("what", choices=[*works, "malformed"])
    parser.add_argument("--folder", type=Path, help="of manifest.json, for malformed")
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    works["malformed"] = (functools.partial(malformed, folder=given.folder), 0)
    work, count = works[given.what]
    with tempfile.TemporaryDirectory() as place:
        work(Path(place), given.count or count, given.seed)


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    main()
