import json
import os
import re
import signal
import subprocess
import sys
import time
import types

import conftest
import numpy as np
import pytest
import soundfile
from conftest import make_model, tune

from wavegen import audio, cli, recipe
from wavegen.cli.compiling import show_compiling
from wavegen.cli.display import Console
from wavegen.cli.parse import COMMANDS, duration, parser
from wavegen.sampling import Sampler

pytestmark = pytest.mark.usefixtures("compiled_once")
TINY = ["--arch", "wavenet", "--preset", "tiny", "--sample-rate", "8000", "--sample-seconds", "0.3"]
SMALLER = ["--layers-per-cycle", "3", "--residual-channels", "8", "--gate-channels", "8"]
FAST = [*TINY, *SMALLER, "--batch", "2", "--window", "400", "--gap-seconds", "0.1"]


@pytest.fixture
def place(recordings, tmp_path, monkeypatch):
    """A folder to work in, with recordings/ and a seed."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("my seed é.wav", tune(1.0, 11025, 2).T, 11025)
    return tmp_path


def run(*arguments):
    """Returns the exit code of a command."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as leaving:  # argparse's way out
        return leaving.code


def test_train_sample_score_runs_info(place, capsys):
    assert run("train", "--name", "a", "--steps", 3, *FAST) == 0
    out, err = capsys.readouterr()
    assert out.strip() == "runs/a/model.safetensors"
    assert "not trained yet: this is what it starts from" in err
    assert re.search("^computing on (the CPU|.*GPU|NVIDIA)", err, re.MULTILINE)
    assert "2 recordings" in err and "held out" in err and "listen: runs/a/samples/step" in err
    assert (place / "runs/a/samples/music.wav").exists()

    seed = "my seed é.wav"
    before = (place / seed).read_bytes()
    command = ["sample", seed, "-t", "0.5", "-n", "2", "--seed", "7", "--prime", "0.75"]
    assert run(*command) == 0
    out, err = capsys.readouterr()
    paths = out.split("\n")[:-1]
    assert paths == [f"generated/my seed é-a-7-{v}.wav" for v in (0, 1)]
    assert "11025 Hz, 2 channels, taken as 8000 Hz, 1" in err
    signal_, rate = soundfile.read(paths[0], always_2d=True)
    assert rate == 8000 and signal_.shape == (round(1.25 * 8000), 1)
    made = recipe.read(paths[1])
    assert (made.seed, made.variation, made.after, made.prime) == (7, 1, seed, 0.75)
    assert made.controls == {"temperature": 1.0, "top_p": 1.0} and made.ends == (0.5,)
    assert (made.engine, made.candidates, made.position) == ("numba", 8, 8000)
    assert (place / seed).read_bytes() == before

    # The same number makes the same sound; an existing file is not replaced unasked.
    kept = (place / paths[0]).read_bytes()
    assert run(*command) == 3
    assert "exists" in capsys.readouterr().err
    assert run(*command, "--force", "-n", "1") == 0
    assert (place / paths[0]).read_bytes() == kept
    capsys.readouterr()

    # Without the seed in front, the continuation is the same.
    assert run(*command, "--no-with-prime", "-o", "alone") == 0
    alone, _ = soundfile.read("alone/my seed é-a-7-0.wav", always_2d=True)
    assert np.array_equal(alone, signal_[-len(alone) :]) and len(alone) == 4000
    capsys.readouterr()

    assert run("score", "recordings", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [len(row["scores"]) for row in rows] == [6, 6, 6]
    assert rows[2]["file"] == "all 2 files" and rows[0]["verdict"]
    soundfile.write("short.wav", tune(0.1, 8000).T, 8000)  # too short for an interval
    assert run("score", "short.wav", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert row["scores"][0]["mean"] > 0 and row["scores"][0]["low"] is None
    precisions = ["float32"] if conftest.QUICK else ["bfloat16", "int8"]  # each is compiled
    assert run("score", "recordings/one.wav", "--precision", *precisions) == 0
    out = capsys.readouterr().out
    assert "linear predictor, adaptive scale" in out
    for precision in precisions:
        cost = re.search(rf"^model in {precision}: ([-+.\d]+) bits per sample \(", out, re.M)
        assert abs(float(cost[1])) < 0.05

    assert run("runs", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["run"] == "a"
    assert run("info", "a", seed) == 0
    out = capsys.readouterr().out
    assert "receptive field" in out and "11025 Hz" in out
    assert run("info") == 2 and run("info", "--presets") == 0
    assert "fullband" in capsys.readouterr().out


def save_untrained(place, **fields):
    """Writes a run whose model has random weights: enough to draw with."""
    from wavegen import models

    (place / "runs/a").mkdir(parents=True, exist_ok=True)
    model = make_model("wavenet", channels=2, **fields)
    models.save(place / "runs/a/model.safetensors", model, {}, {})
    return place


@pytest.fixture
def untrained(place):
    return save_untrained(place)


@pytest.mark.slow
def test_sampling_a_wavenet_needs_no_keras(untrained):
    """The first sound is there at once: nothing that takes seconds to import is imported."""
    code = (
        "import sys\nfrom wavegen.cli import main\n"
        "assert main(['sample', 'my seed é.wav', '-t', '0.5', '--seed', '1']) == 0\n"
        "print([m for m in ('keras', 'tensorflow', 'jax', 'librosa') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert said.stdout.split("\n")[0] == "generated/my seed é-a-1-0.wav"
    assert said.stdout.strip().endswith("[]")


@pytest.mark.slow
def test_engines_and_precisions_draw_the_same_model(place, capsys):
    """Of 256 levels engines choose the same; of 65536 rounding lets them part after a while."""
    save_untrained(place, head="softmax", levels=256)
    command = ["sample", "my seed é.wav", "-t", "0.05", "--seed", "1"]
    sounds = {}
    for name in ("reference", "numba"):
        own = ["--engine", name, "--precision", "float32", "-o", name]
        assert run(*command, *own) == 0
        sounds[name] = soundfile.read(capsys.readouterr().out.strip())[0]
    assert np.array_equal(sounds["reference"], sounds["numba"])
    assert run(*command, "--precision", "int8", "-o", "other") == 0
    assert run(*command, "--precision", "float31", "-o", "none") == 2
    assert "did you mean float32" in capsys.readouterr().err
    assert run(*command, "--engine", "reference", "--precision", "int8", "-o", "none") == 2
    assert "the reference engine has no int8; it has float32" in capsys.readouterr().err


class Device(types.ModuleType):
    """A stand-in for sounddevice that keeps what is played."""

    class PortAudioError(Exception):
        pass

    def __init__(self, fails=""):
        super().__init__("sounddevice")
        self.fails, self.played, self.ended = fails, [], ""

    def OutputStream(self, rate, channels, dtype, latency):  # noqa: N802
        if self.fails == "open":
            raise self.PortAudioError("Error querying device -1")
        self.rate, self.channels = rate, channels
        return self

    def start(self):
        if self.fails == "start":
            raise self.PortAudioError("Device unavailable")
        self.ended = ""

    def stop(self):
        self.ended = "stopped"

    def abort(self):
        self.ended = "aborted"

    def write(self, block):
        if self.fails == "later" and len(self.played) > 3:
            raise self.PortAudioError("Device unavailable")
        self.played.append(block.copy())
        return False


def test_play_is_heard_while_the_file_is_written(untrained, capsys, monkeypatch):
    device = Device()
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    command = ["sample", "my seed é.wav", "-t", "0.3", "--seed", "1", "--prime", "0.2", "--play"]
    assert run(*command) == 0
    written, _ = soundfile.read(capsys.readouterr().out.strip())
    played = np.concatenate(device.played)
    assert (device.rate, device.channels, device.ended) == (8000, 2, "stopped")
    assert played.shape == written.shape == (4000, 2)
    assert np.abs(played - written).max() < 2**-15  # the file has 16 bits
    assert {len(block) for block in device.played} == {1600, 160}  # the seed's end; then 20 ms


def test_play_without_a_device_is_one_clear_line(untrained, capsys, monkeypatch):
    command = ["sample", "my seed é.wav", "-t", "0.3", "--seed", "1", "--play"]
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # not installed
    assert run(*command) == 2
    assert "pip install 'wavegen[play]'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "sounddevice", Device("open"))
    assert run(*command) == 3
    assert "no sound device" in capsys.readouterr().err
    assert run(*command, "-n", "2") == 2
    assert "plays one variation" in capsys.readouterr().err
    assert not (untrained / "generated").exists()
    # One that goes away in the middle, or does not start, does not stop the file.
    for fails in ("later", "start"):
        monkeypatch.setitem(sys.modules, "sounddevice", Device(fails))
        assert run(*command, "--prime", "0.2", "-o", fails) == 0
        said = capsys.readouterr()
        assert soundfile.info(said.out.strip()).frames == 4000
        assert "stopped playing: Device unavailable" in said.err


def test_an_interrupt_is_heard_while_the_engine_is_compiled():
    class Interrupted:
        quiet = False

        def live(self, title):
            return self

        def note(self, text):
            raise KeyboardInterrupt

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        show_compiling(lambda: time.sleep(20), Interrupted())
    assert time.monotonic() - began < 10
    with pytest.raises(ValueError, match="what went wrong"):
        show_compiling(lambda: int("what went wrong"), Interrupted())


@pytest.mark.slow
def test_spectral_run_with_its_own_flags(place, capsys):
    flags = ["--arch", "lstm", "--channels", "2", "--units", "8", "--n-fft", "512"]
    flags += ["--hop-length", "256", "--preset", "tiny", "--sample-rate", "8000"]
    assert run("train", "--steps", 2, *flags, "--gap-seconds", "0.1", "--sample-seconds", 0.2) == 0
    assert run("sample", "my seed é.wav", "-t", "0.5", "--seed", "1", "--format", "flac") == 0
    path = capsys.readouterr().out.strip().split("\n")[-1]
    assert audio.info(path).channels == 2 and audio.info(path).frames == 12000
    turned = ["--top-p", "0.9", "--noisiness", "0.5", "--seed", "1", "-t", "0.5"]
    assert run("sample", "my seed é.wav", *turned, "--force") == 0
    path = capsys.readouterr().out.strip().split("\n")[-1]
    assert recipe.read(path).controls["noisiness"] == 0.5
    assert run("score", "my seed é.wav", "--json") == 0
    scores = json.loads(capsys.readouterr().out)[0]["scores"]
    assert {score["unit"] for score in scores} == {"nats per coefficient"}


@pytest.mark.slow
def test_training_goes_on_by_default_and_fresh_keeps_the_old(place, capsys, monkeypatch):
    """And a signal ends it with all that was learned saved."""
    from wavegen.checkpoint import Run
    from wavegen.train import Session

    one_step = Session.one_step

    def signalled(self, given, rate):
        if self.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)  # until it is heard
        return one_step(self, given, rate)

    with monkeypatch.context() as patched:
        patched.setattr(Session, "one_step", signalled)
        assert run("train", "--name", "a", "--steps", 1000, *FAST) == 143
    err = capsys.readouterr().err
    assert "finishing this step and saving" in err and "the same command continues" in err
    step = Run(place / "runs/a").load_state()[1]["step"]
    assert step == 3
    assert run("train", "--name", "a", "--steps", 4) == 0
    assert "continuing at step 3" in capsys.readouterr().err
    assert run("train", "--name", "a", "--steps", 4) == 0
    assert "already full" in capsys.readouterr().err
    assert run("train", "--name", "a", "--steps", 5, "--levels", "64") == 4
    assert "levels is 256, not 64" in capsys.readouterr().err
    assert run("train", "--name", "a", "--steps", 1, "--fresh", *FAST) == 0
    assert (place / "runs/a-old-1/model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["sample", "none.wav"], 2, "no such file"),
        (["sample", "--seed", "x.wav"], 2, "without a flag"),
        (["sample", "my seed é.wav", "--temperature", "-1"], 2, "must"),
        (["sample", "my seed é.wav", "--temperature", "nan"], 2, "must be 0 or lie"),
        (["sample", "my seed é.wav", "--temperature", "1e-30"], 2, "must be 0 or lie"),
        (["sample", "my seed é.wav", "-t", "0"], 2, "above 0"),
        (["sample", "my seed é.wav", "-t", "nan"], 2, "above 0"),
        (["sample", "my seed é.wav", "-t", "10h"], 2, "--yes"),
        (["sample", "my seed é.wav", "-t", "0.00001"], 2, "less than a sample of the model's"),
        (["sample", "my seed é.wav", "-t", "1e7"], 2, "must lie in 1e-06 .. 1e+06"),
        (["again", "x.wav", "-t", "1e7"], 2, "must lie in 1e-06 .. 1e+06"),
        (["sample", "my seed é.wav", "--prime", "1e7"], 2, "must lie in 1e-06 .. 1e+06"),
        (["sample", "my seed é.wav", "--prime", "1e-7"], 2, "must lie in 1e-06 .. 1e+06"),
        (["sample", "my seed é.wav", "--candidates", "1025"], 2, "whole number in 1 .. 1024"),
        (["sample", "my seed é.wav", "--top-p", "1e-10"], 2, "must lie in 1e-09 .. 1"),
        (["sample", "my seed é.wav", "-n", "1000000000"], 2, "whole number in 1 .. 200"),
        (["sample", "my seed é.wav", "-o", "new.WAV"], 2, "must be a folder"),
        (["sample", "my seed é.wav", "-m", "nothing"], 4, "no such run"),
        (["train", "--arch", "wavnet"], 2, "did you mean wavenet"),
        (["train", "--preset", "smal"], 2, "did you mean small"),
        (["train", "--arch", "wavenet", "--set", "cycels=2"], 2, "did you mean cycles"),
        (["train", "--levls", "3"], 2, "did you mean --levels"),
        (
            ["train", "--out", "x"],
            2,
            "--out is not a flag (did you mean --heldout?); see wavegen train",
        ),
        (["sample", "--sed=3"], 2, "--sed is not a flag (did you mean --seed?)"),
        (["train", "--for", "45"], 2, "45m"),
        (["train", "nowhere"], 2, "no such"),
        (["train", "--name", "../x"], 2, "cannot name a run"),
        (["train", "--name", ""], 2, "cannot name a run"),
        (["train", "--arch", "wavenet", "--n-fft", "64"], 2, "--arch spectral_lstm has it"),
        (["train", "--levels", "64"], 2, "--arch wavenet has it"),
        (["train", "--batch", "0"], 2, "must lie in"),
        (["score", "none.wav"], 4, "holds no model yet"),
        (
            ["render", "my seed é.wav"],
            4,
            "add -m demo-wavenet, or run: python -m wavegen train --arch duet",
        ),
    ],
)
def test_mistakes_get_one_line_and_a_code(place, capsys, arguments, code, words):
    assert run(*arguments) == code
    err = capsys.readouterr().err
    assert words in err and "Traceback" not in err
    lines = [line for line in err.strip().split("\n") if line.startswith("wavegen: error:")]
    assert len(lines) == 1


@pytest.mark.slow
def test_bad_recordings_are_named_and_skipped(place, capsys):
    (place / "recordings/page.wav").write_text("<!DOCTYPE html>")
    assert run("train", "--name", "a", "--steps", 1, *FAST) == 0
    err = capsys.readouterr().err
    assert "skipped recordings/page.wav" in err and "1 of 3 files skipped" in err
    assert run("train", "--name", "b", "--steps", 1, "--strict", *FAST) == 2
    for path in (place / "recordings").glob("*.wav"):
        path.write_bytes(b"")
    assert run("train", "--name", "c", "--steps", 1, *FAST) == 2
    assert "3 of 3 files skipped" in capsys.readouterr().err


def test_a_seed_is_never_overwritten(untrained, capsys):
    before = (untrained / "my seed é.wav").read_bytes()
    command = ["sample", "my seed é.wav", "-t", "0.1", "-o", ".", "--filename", "{seed_name}"]
    assert run(*command, "--force") == 3
    assert "overwrite the seed" in capsys.readouterr().err
    assert (untrained / "my seed é.wav").read_bytes() == before
    assert run(*command[:-1], "{nonsense}") == 2


def test_results_of_one_command_have_names_of_their_own(untrained, capsys):
    for folder in ("x", "y"):
        audio.write(untrained / folder / "a.wav", tune(0.5, 8000), 8000)
    for command in (
        ["sample", "x/a.wav", "-n", "2", "--filename", "same"],
        ["sample", "x/a.wav", "y/a.wav"],
        ["render", "x/a.wav", "y/a.wav"],
    ):
        assert run(*command, "--seed", "1", "--force") == 2
        assert "two results would be called so; put {seed_name} and" in capsys.readouterr().err
    assert not (untrained / "generated").exists()
    pattern = ["--filename", "{seed_name}-{variation:02d}"]
    assert run("sample", "x/a.wav", "-t", "0.1", "-n", "2", "--no-report", *pattern) == 0
    assert capsys.readouterr().out.split() == ["generated/a-00.wav", "generated/a-01.wav"]


def test_of_a_seed_at_least_a_sample_is_heard(untrained, capsys):
    asked = ["-t", "0.1", "--seed", "1", "--no-guard"]
    assert run("sample", "my seed é.wav", *asked, "--prime", "0.00001") == 0
    path = capsys.readouterr().out.strip()
    assert audio.info(path).frames == 801
    os.rename("my seed é.wav", "elsewhere.wav")
    assert run("again", path, "--after", "elsewhere.wav") == 0


def test_a_seed_is_continued_from_its_last_sound(untrained, capsys):
    seed = np.concatenate([tune(1.0, 8000), np.zeros((1, 20000), "float32")], axis=1)
    audio.write("song.wav", seed, 8000)
    assert run("sample", "song.wav", "-t", "0.5", "--seed", "3", "--prime", "0.5") == 0
    out, err = capsys.readouterr()
    assert "song.wav: its last 2.5 s are silent" in err and "model continues silence" not in err
    made = recipe.read(out.strip())
    assert made.position == 8000
    drawn = audio.read(out.strip())[0]
    assert np.abs(drawn[0, :4000] - seed[0, 4000:8000]).max() < 1e-3
    assert run("again", out.strip()) == 0
    assert "bit for bit: all of it" in capsys.readouterr().err


def test_a_seed_is_continued_from_where_it_is_asked_to(untrained, capsys):
    """In the middle of a sound, from which `again` finds it, and nowhere else."""
    seed = tune(3.0, 8000)
    audio.write("song.wav", seed, 8000)
    command = ["sample", "song.wav", "-t", "0.5", "--seed", "3", "--prime", "0.5"]
    assert run(*command, "--at", "1.25s") == 0
    made = recipe.read(path := capsys.readouterr().out.strip())
    assert made.position == 10000
    drawn = audio.read(path)[0]
    assert np.abs(drawn[0, :4000] - seed[0, 6000:10000]).max() < 1e-3
    assert run("again", path) == 0
    assert "bit for bit: all of it" in capsys.readouterr().err
    assert run(*command, "--at", "3.1", "-o", "other") == 2
    assert "song.wav: --at 3.1 lies beyond its end; it is 3.0 s long" in capsys.readouterr().err
    assert run("sample", "--at", "1") == 2
    assert "--at is a place in a seed" in capsys.readouterr().err


def test_a_guard_that_works_often_says_so_once(untrained, capsys, monkeypatch):
    plain = Sampler.stream

    def stream(self, *arguments, tell, **options):
        for second in (0.1, 0.25, 0.4):
            tell(1, second, "runaway")
        tell(0, 0.2, "dead air")
        return plain(self, *arguments, tell=tell, **options)

    monkeypatch.setattr(Sampler, "stream", stream)
    command = ["sample", "my seed é.wav", "-t", "0.2", "-n", "2", "--no-report"]
    assert run(*command, "--filename", "v{variation}") == 0
    said = [line for line in capsys.readouterr().err.split("\n") if "drawn again" in line]
    assert said == [
        "generated/v1.wav: runaway at 0.1 s, drawn again",
        "generated/v0.wav: dead air at 0.2 s, drawn again",
        "generated/v1.wav: drawn again 3 times, last at 0.4 s",
    ]


def test_without_a_command_there_is_help(capsys):
    assert run() == 2
    err = capsys.readouterr().err
    assert all(f"\n    {name} " in err for name in COMMANDS) and "error" not in err
    assert run("chek") == 2
    assert "'chek' is no command (did you mean check?)" in capsys.readouterr().err


def test_tables_in_a_file_fold_no_words_and_lean_numbers_right(capsys):
    rows = [["a", "7", "7.1 .. 7.4", "12 s", "1.2 better " * 20], ["b", "-", "10.5", "0:15", "x"]]
    Console().table(["name", "n", "range", "length", "verdict"], rows, to_stdout=True)
    head, one, two = (line.rstrip() for line in capsys.readouterr().out.rstrip().split("\n"))
    assert one.endswith("1.2 better") and head.endswith("verdict") and two.endswith("x")
    assert two.index("x") == one.index("1.2 better") == head.index("verdict")
    assert one.index("12 s") + 4 == two.index("0:15") + 4 == head.index("length") + 6
    Console().table(["", ""], [["a", "b"]], to_stdout=True)
    assert capsys.readouterr().out.rstrip() == "a  b"


@pytest.mark.slow
def test_dry_run_keeps_nothing(place, capsys):
    assert run("train", "--name", "a", "--dry-run", *FAST) == 0
    assert "frames a second" in capsys.readouterr().err
    assert not (place / "runs/a").exists()


def test_help_needs_no_keras():
    code = (
        "import sys\nfrom wavegen.cli import main\n"
        "try:\n    main(['train', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('keras', 'tensorflow', 'jax', 'librosa', 'numba') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip().endswith("[]")
    assert "--residual-channels" in said.stdout


def test_every_field_has_a_flag():
    given = parser().parse_args(["train", "--no-polarity", "--hop-length", "64", "--for", "90s"])
    assert (given.polarity, given.hop_length, given.seconds) == (False, 64, 90.0)
    assert duration("1h30m") == 5400 and duration("1.5m") == 90


@pytest.mark.slow  # in this process: test_training_goes_on_by_default_and_fresh_keeps_the_old
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_the_same_command_continues(place, number, code):
    command = [sys.executable, "-m", "wavegen", "train", "--name", "a", "--steps", "100000", *FAST]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    log = place / "runs/a/log.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (
        log.exists() and '"event": "step"' in log.read_text()
    ):
        time.sleep(0.2)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)  # 100000 steps take an hour and more
    assert process.returncode == code, err
    assert "the same command continues" in err and "Traceback" not in err
    from wavegen.checkpoint import Run

    saved = Run(place / "runs/a").load_state()
    assert saved is not None and saved[1]["step"] > 0


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_interrupted_drawing_keeps_what_was_drawn(untrained):
    command = [sys.executable, "-m", "wavegen", "sample", "my seed é.wav", "-t", "50m"]
    command += ["--seed", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        drafts = list((untrained / "generated").glob(".*partial*"))
        if drafts and drafts[0].stat().st_size > 90_000:
            break
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    sound, rate = soundfile.read(out.strip())
    assert len(sound) > 2.5 * rate and "is kept" in err and "Traceback" not in err
    assert not list((untrained / "generated").glob(".*partial*"))
