"""What goes wrong around the package: disks, terminals, signals, strangers' models, other runs.

Rows of `FAULTS.md` that belong to no single module are kept here.
"""

import argparse
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import make_model, tune

from wavegen import audio, cli, modelfile, models, resume
from wavegen.checkpoint import Run
from wavegen.cli import naming, sample
from wavegen.config import WaveNetConfig, build
from wavegen.draft import check_folder
from wavegen.errors import CheckpointError, OutputError, UsageError
from wavegen.facts import check_resumed
from wavegen.train_settings import TrainSettings

SMALLEST = ["--arch", "wavenet", "--preset", "tiny", "--sample-rate", "8000"]
SMALLEST += ["--layers-per-cycle", "2", "--cycles", "1", "--batch", "2", "--window", "200"]
SMALLEST += ["--predictor-order", "0"]
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
ASKED = ["-t", "0.1", "--seed", "1", "--prime", "0.2", "--no-guard"]


def run(*arguments):
    """Returns the exit code of a command."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as leaving:
        return leaving.code


def errors(capsys):
    """Returns the one line that says what went wrong."""
    said = capsys.readouterr().err
    assert "Traceback" not in said and "internal error" not in said, said
    (line,) = [line for line in said.splitlines() if line.startswith("wavegen: error: ")]
    return line


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of random weights, with the baselines that a trained one has."""
    from wavegen.baselines import SampleBaselines
    from wavegen.codec import codec_of

    keras_model = make_model("wavenet", head="softmax", levels=32)
    codec = codec_of(keras_model.config)
    frames, _ = codec.encode_step(tune(2.0, 8000), codec.encode_initial())
    baselines = SampleBaselines.fit(codec, [frames]).to_arrays()
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    facts = {"step": 3, "seconds": 1.5, "scores": [], "recordings": "2 recordings", "verdict": "?"}
    models.save(path, keras_model, baselines, facts)
    return path


@pytest.fixture
def place(tmp_path, monkeypatch, model):
    """A folder to work in, with a run, a recording and a seed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAVEGEN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "runs/a").mkdir(parents=True)
    shutil.copy(model, tmp_path / "runs/a/model.safetensors")
    (tmp_path / "recordings").mkdir()
    soundfile.write("recordings/one.wav", tune(2.0, 8000).T, 8000)
    soundfile.write("seed.wav", tune(1.0, 8000).T, 8000)
    return tmp_path


# -- a model from a stranger ---------------------------------------------------------------------


def hostile(path):
    """Yields (name, exit codes of info, sample and score) after writing each model.

    A score that would work is left out: it compiles Keras for many seconds.
    """
    honest = modelfile.read_model(path)
    small = {"config": honest.config, "tensors": honest.tensors, "extra": honest.extra}
    weights = {n: a for n, a in honest.tensors.items() if n.startswith("weights/")}
    name = next(n for n, a in weights.items() if a.ndim == 2)
    climate = dict.fromkeys(["softest_db", "loudest_db", "flatness", "clipped", "top_db"], -900.0)
    odd = climate | {"usual": [1e14] * 3, "doubt": [0] * 3, "precision": [-1e14] * 9}
    huge = dict(cycles=16, layers_per_cycle=10, residual_channels=512, gate_channels=4096)
    models_ = {
        "larger than it is": ({"config": build(WaveNetConfig, huge)}, (0, 4, 4)),
        "without baselines": ({"tensors": weights}, (0, 0, 4)),
        "foreign baselines": (
            {"tensors": honest.tensors | {"baselines/bigram": np.ones((3, 3), "float32")}},
            (0, 0, 4),
        ),
        "whole numbers": (
            {"tensors": honest.tensors | {name: np.ones(weights[name].shape, "int64")}},
            (0, 4, 4),
        ),
        "largest numbers": (
            {"tensors": honest.tensors | {name: np.full(weights[name].shape, 3e38, "float32")}},
            (0, (0, 3), None),
        ),
        "climate": ({"extra": honest.extra | {"climate": odd}}, (0, 0, None)),
        "facts of nothing": (
            {"extra": {"scores": [{}], "step": None, "seconds": -1e300, "recordings": [{}]}},
            (0, 0, None),
        ),
        "escapes": (
            {"extra": honest.extra | {"verdict": "\x1b[31mred\x1b]0;x\x07[/b]\n\r", "scores": []}},
            (0, 0, None),
        ),
    }
    for title, (changed, codes) in models_.items():
        whole = small | changed
        modelfile.save_model(path, "wavenet", whole["config"], whole["tensors"], whole["extra"])
        yield title, codes


def test_a_model_that_is_signed_but_made_to_hurt_stays_data(place, capsys):
    path = place / "runs/a/model.safetensors"
    for title, codes in hostile(path):
        commands = [
            ("info", "a"), ("sample", "seed.wav", *ASKED, "--force"), ("score", "seed.wav")
        ]  # fmt: skip
        for command, allowed in zip(commands, codes, strict=True):
            if allowed is None:
                continue
            code = run(*command)
            out, err = capsys.readouterr()
            where = f"{title}, {command[0]}: {code} {err}"
            assert code in (allowed if isinstance(allowed, tuple) else (allowed,)), where
            assert "Traceback" not in err and "internal error" not in err, where
            assert "\x1b" not in out + err and "\x07" not in out + err, where
        assert run("runs") == 0 and "\x1b" not in capsys.readouterr().out


def test_damaged_models_are_listed_with_what_is_wrong(place, capsys):
    path = place / "runs/a/model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert run("runs", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert "cut off" in row["verdict"]
    assert run("sample", "seed.wav", *ASKED) == 4 and "cut off" in errors(capsys)


def test_facts_that_a_training_goes_on_from_are_checked():
    good = {"family": "wavenet", "config": {}, "settings": dataclasses.asdict(TrainSettings())}
    good |= {"step": 3, "seconds": 1.5, "best": None, "rate_factor": 1.0, "rollbacks": 0}
    good |= {"fingerprint": "00"}
    check_resumed(good, "run")
    wrong = [("family", "x"), ("config", {"levels": 1}), ("config", []), ("settings", None)]
    wrong += [("settings", {"batch": 1 << 40}), ("settings", {"lr": 1}), ("best", "7")]
    wrong += [("fingerprint", None), ("fingerprint", 7), ("step", -1), ("step", 1.5)]
    wrong += [("seconds", None), ("rate_factor", "1"), ("rollbacks", True)]
    for name, value in wrong:
        with pytest.raises(CheckpointError, match="run: "):
            check_resumed(good | {name: value}, "run")
        if value is None:
            with pytest.raises(CheckpointError, match="run: "):
                check_resumed({k: v for k, v in good.items() if k != name}, "run")


def test_arrays_that_a_training_goes_on_from_are_checked(tmp_path):
    def parts(**changed):
        whole = {"learner": {"weights": np.zeros(5, "float32")}, "carry": [np.zeros((3, 2))]}
        return resume.Parts(**(whole | {"fixed": [np.ones(4)]} | changed))

    whole = resume.Parts.of(parts().packed())
    assert whole.fitted(parts(), tmp_path) is whole and whole.batch == 3
    for changed in (
        {"learner": {}},
        {"learner": {"weights": np.zeros(6, "float32")}},
        {"learner": {"weights": np.zeros(5, "float64")}},
        {"learner": {"weights": np.zeros(5, "float32"), "more": np.zeros(1)}},
        {"carry": []},
        {"fixed": [np.ones(4), np.ones(4)]},
    ):
        with pytest.raises(CheckpointError, match="does not fit its model"):
            parts(**changed).fitted(parts(), tmp_path)
    for carry in ([np.ones((3, 4))], [np.ones((3, 2)), np.ones((3, 1))]):  # of another version
        anew = parts(carry=carry, fixed=[np.full(4, 7.0)]).fitted(parts(), tmp_path)
        assert np.array_equal(anew.carry, parts().carry) and anew.fixed[0][0] == 7.0
    for value in (np.nan, np.inf):  # such a state would not be read again
        assert parts(carry=[np.array([[value]])]).packed() is None


# -- where results go ----------------------------------------------------------------------------


def test_a_folder_that_cannot_take_results_is_told_before_any_work(place, capsys, monkeypatch):
    def work(*_, **__):
        pytest.fail("work began")

    monkeypatch.setattr(sample, "find_model", work)
    monkeypatch.setattr("wavegen.dataset.load", work)
    (place / "file").touch()
    (place / "gone").symlink_to("nowhere")
    assert run("sample", "seed.wav", *ASKED, "-o", "gone") == 3
    assert "gone: is a broken link, not a folder" in errors(capsys)
    assert run("sample", "seed.wav", *ASKED, "-o", "file") == 3
    assert "file: is a file, not a folder" in errors(capsys)
    assert run("train", "--runs", "file/runs") == 3
    assert "file: is a file, not a folder" in errors(capsys)
    assert run("sample", "seed.wav", *ASKED, "-o", "-") == 2
    assert "name a folder" in errors(capsys)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # whoever runs the tests
    with pytest.raises(OutputError, match="cannot be written to"):
        check_folder(place / "new" / "deep")
    assert not (place / "new").exists()


def test_force_replaces_what_wavegen_drew_and_nothing_else(place, capsys):
    command = ["sample", "seed.wav", *ASKED, "--filename", "one", "--force"]
    before = (place / "recordings/one.wav").read_bytes()
    assert run(*command, "-o", "recordings") == 3
    assert "was not drawn by wavegen" in errors(capsys)
    assert (place / "recordings/one.wav").read_bytes() == before
    (place / "other").mkdir()
    (place / "other/one.wav").write_bytes(b"precious, whatever it is")
    assert run(*command, "-o", "other") == 3
    assert run(*command) == 0 and run(*command) == 0  # its own
    # A result that is a seed as well is a seed.
    shutil.copy("generated/one.wav", "seed0.wav")
    pattern = ["--filename", "{seed_name}{variation}", "-o", "."]
    assert run("sample", "seed.wav", "seed0.wav", *ASKED, *pattern, "--force") == 3
    assert audio.info("seed0.wav").frames == audio.info("generated/one.wav").frames


def test_results_that_do_not_fit_and_very_long_ones_are_told_first(place, capsys, monkeypatch):
    command = ["sample", "seed.wav", *ASKED, "-n", "2"]
    assert run(*command, "-t", "10h") == 2
    # two times ten hours of 8000 samples of two bytes
    assert re_duration(errors(capsys), "20:00:00 of sound take about", "and 1.15 GB; add --yes")
    usage = shutil.disk_usage(place)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert run(*command) == 3
    assert "the results take 3.2 kB, 1 kB are free" in errors(capsys)
    assert not (place / "generated").exists()


def re_duration(line, start, end):
    """Returns whether a line holds start, a duration and end."""
    return re.search(f"{re.escape(start)} [0-9:]+ to draw {re.escape(end)}", line)


def test_length_is_looked_at_without_a_model(place, capsys):
    shutil.rmtree("runs")
    assert run("sample", "seed.wav", "-t", "2h") == 2 and "--yes" in errors(capsys)
    named = argparse.Namespace(filename="{variation:02d}", seed=1, out=".", format="wav")
    model, page = argparse.Namespace(path=place / "m.safetensors"), naming.Page("report")
    assert naming.name_of(None, model, page, named).name == "report.wav"
    assert naming.name_of(None, model, 7, named).name == "07.wav"
    for pattern in ("{seed.real.nothing}", "{seed:>99999999999}", "{0}", "{seed", "", "new/"):
        with pytest.raises(UsageError, match="--filename .*: .+; it may hold"):
            naming.name_of(
                None,
                argparse.Namespace(path=place / "m.safetensors"),
                0,
                argparse.Namespace(filename=pattern, seed=1, out=".", format="wav"),
            )


def test_what_is_no_run_is_told(place, capsys):
    assert run("info", "recordings") == 4
    assert "recordings: holds no model; name a run" in errors(capsys)
    assert run("runs", "--runs", "seed.wav") == 2
    assert "seed.wav: is a file, not a folder of runs" in errors(capsys)


def test_odd_seeds_are_told(place, capsys):
    soundfile.write("short.wav", tune(0.05, 192000).T[:256], 192000)
    soundfile.write("click.wav", tune(0.05, 44100).T[:255], 44100)
    soundfile.write("silent.wav", np.zeros(9000), 8000)
    broken = tune(1.0, 8000).T
    broken[4000] = np.nan
    soundfile.write("broken.wav", broken, 8000, "FLOAT")
    assert run("sample", "short.wav", *ASKED) == 0
    said = capsys.readouterr().err
    assert "short.wav: holds 11 samples, and the model hears back" in said
    assert "of silence are put before them" in said
    for command in (("sample", "click.wav", *ASKED), ("render", "click.wav")):
        assert run(*command) == 2
        assert "too short (0.006 s, 255 samples); give one of at least 256" in errors(capsys)
    assert run("sample", "silent.wav", *ASKED) == 0
    assert "its end is silent" in capsys.readouterr().err
    assert run("sample", "broken.wav", *ASKED) == 2
    assert "NaN or infinite value, first at 0.500 s" in errors(capsys)
    assert not list(place.glob("generated/*broken*"))


# -- two at once ---------------------------------------------------------------------------------


@POSIX
def test_a_run_in_use_is_left_alone(place, capsys):
    holder = (
        "import sys, time\nfrom wavegen.checkpoint import Run\n"
        "with Run.open('runs/a', create=False).lock():\n    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        for more in ([], ["--fresh"]):
            assert run("train", "--name", "a", *more) == 3
            assert f"runs/a: is in use by pid {process.pid}" in errors(capsys)
    finally:
        process.kill()
        process.communicate()
    assert [path.name for path in (place / "runs").iterdir()] == ["a"]
    with Run.open("runs/a", create=False).lock():  # the kernel let go of it
        pass


# -- terminals, pipes, environments --------------------------------------------------------------


def python(code, **options):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, **options
    )


@POSIX
def test_a_reader_that_leaves_and_a_full_disk_behind_stdout(place):
    command = f"{sys.executable} -m wavegen info --presets"
    gone = subprocess.run(f"{command} | true", shell=True, capture_output=True, text=True)
    assert gone.returncode == 0 and not gone.stderr
    closed = subprocess.run(f"{command} >&-", shell=True, capture_output=True, text=True)
    assert closed.returncode == 0 and "Traceback" not in closed.stderr
    if os.path.exists("/dev/full"):
        full = subprocess.run(f"{command} >/dev/full", shell=True, capture_output=True, text=True)
        assert full.returncode == 3
        assert (
            full.stderr.startswith("wavegen: error: No space left") and full.stderr.count("\n") == 1
        )


@POSIX
@pytest.mark.slow  # without assertions Python compiles all that it imports anew, the first time
def test_any_locale_and_any_warning_filter(place):
    """No assertions, warnings as errors, ASCII only, another time zone, a name of other letters."""
    shutil.copy("seed.wav", "größe [b] :cat:.wav")
    odd = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TZ": "Asia/Kathmandu"}
    odd |= {"PYTHONIOENCODING": "ascii", "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-O", "-m", "wavegen", "sample", "größe [b] :cat:.wav", *ASKED]
    said = subprocess.run(command, capture_output=True, text=True, env=os.environ | odd)
    assert said.returncode == 0, said.stderr
    assert (place / "generated/größe [b] :cat:-a-1-0.wav").exists()
    assert "[b] :cat:-a-1-0.wav" in said.stdout


@pytest.mark.slow  # the first time, Python compiles TensorFlow anew for -O
def test_training_says_where_it_computes_and_a_broken_gpu_is_none(place):
    """With a driver that is none, Turkish, without assertions, warnings as errors."""
    (place / "cuda").mkdir()
    for name in ("libcuda.so.1", "libcudart.so.12"):
        (place / "cuda" / name).write_bytes(b"no library")
    odd = {"LD_LIBRARY_PATH": str(place / "cuda"), "CUDA_VISIBLE_DEVICES": "nonsense"}
    odd |= {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "PYTHONWARNINGS": "error"}
    odd |= {"TZ": "Asia/Kathmandu"}
    command = [sys.executable, "-O", "-m", "wavegen", "train", *SMALLEST, "--dry-run"]
    said = subprocess.run(command, capture_output=True, text=True, env=os.environ | odd)
    assert said.returncode == 0 and not said.stdout, said.stderr
    lines = said.stderr.splitlines()
    assert "computing on the CPU" in lines
    speed = lines[-1].split()[0]
    assert [line.split()[0] for line in lines] == ["1", "starting", "computing", speed]


def test_names_are_shown_as_they_are_and_in_one_line(place, capsys):
    for name in ("a[/b].wav", ":cat:.wav", "two\nlines.wav", os.fsdecode(b"caf\xe9.wav")):
        assert run("info", name) == 2
        line = errors(capsys)
        assert audio.shown(name) in line and line.count("\n") == 0


# -- signals -------------------------------------------------------------------------------------

SIGNALLED = """
import os, signal, sys, threading, time
from wavegen.cli.display import Console
from wavegen.cli.signals import Signals
before = signal.getsignal(signal.SIGINT)  # in the background of a shell it is ignored
with Signals(Console()) as signals:
    signals.worth_saving = sys.argv[1] == "worth"
    for _ in range(int(sys.argv[2])):
        os.kill(os.getpid(), getattr(signal, sys.argv[3]))
        time.sleep(0.3)
    assert signals.stopped() and signals.received == getattr(signal, sys.argv[3])
assert signal.getsignal(signal.SIGINT) is before
"""


@POSIX
@pytest.mark.parametrize(
    ("worth", "times", "name", "code", "words"),
    [
        ("nothing", 1, "SIGINT", 130, "continues from what is saved"),
        ("nothing", 1, "SIGTERM", 143, "continues from what is saved"),
        ("worth", 1, "SIGINT", 0, "finishing this step and saving"),
        ("worth", 1, "SIGTERM", 0, "finishing this step and saving"),
        ("worth", 2, "SIGINT", 130, "continues from what is saved"),
    ],
)
def test_signals_while_training(worth, times, name, code, words):
    command = [sys.executable, "-c", SIGNALLED, worth, str(times), name]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert said.returncode == code, said.stderr
    assert words in said.stderr and "Traceback" not in said.stderr


BUSY = """
import ctypes, os, signal, threading
from wavegen.cli.display import Console
from wavegen.cli.signals import Signals
with Signals(Console()):
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    for _ in range(20):  # C code goes on after a signal; Python's own handlers wait for its end
        ctypes.CDLL(None).sleep(3)
"""


@POSIX
def test_a_signal_is_heard_while_c_code_runs():
    began = time.monotonic()
    assert python(BUSY).returncode == 130 and time.monotonic() - began < 15


# -- what is promised to the disk ----------------------------------------------------------------


@POSIX
def test_a_save_reaches_the_disk_before_its_name_does(tmp_path, monkeypatch):
    """The order that survives a power cut: the bytes, the name, the folder that holds the name."""
    order = []

    def spied(name, real):
        def call(*arguments, **named):
            what = ""
            if name in ("write", "fsync"):
                folder = os.path.isdir(f"/dev/fd/{arguments[0]}")
                what = " folder" if folder else " file"
            order.append(name + what)
            return real(*arguments, **named)

        return call

    for name in ("write", "fsync", "replace"):
        monkeypatch.setattr(os, name, spied(name, getattr(os, name)))
    modelfile.save_state(tmp_path / "state", {"w": np.ones(9)}, {})
    monkeypatch.undo()
    kept = [one for one, before in zip(order, ["", *order], strict=False) if one != before]
    assert kept == ["write file", "fsync file", "replace", "fsync folder"]


@POSIX
def test_a_full_disk_while_saving_keeps_the_states_before(tmp_path):
    resource = pytest.importorskip("resource")
    run = Run.open(tmp_path / "run", create=True)
    for step in (1, 2):
        run.save_state(step, {"w": np.full(50, step)}, {"step": step})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, hard))
    try:
        with pytest.raises(OutputError, match="free some space") as caught:
            run.save_state(3, {"w": np.zeros(50_000)}, {"step": 3})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert caught.value.exit_code == 3
    assert run.load_state()[1]["step"] == 2 and not run.warnings
    assert sorted(os.listdir(run.folder)) == [
        "state-00000001.safetensors", "state-00000002.safetensors"
    ]  # fmt: skip


# -- the table -----------------------------------------------------------------------------------


def test_the_table_of_faults_is_whole_and_names_tests_that_exist():
    here = Path(__file__).parent
    rows = re.findall(r"^\| (\d+) \|(.*)\|$", (here / "FAULTS.md").read_text("utf-8"), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 82))
    for number, row in rows:
        assert len(row.split(" | ")) == 4, number
        named = re.findall(r"`(test_\w+)::(test_\w+)`", row)
        assert named, number
        for file, test in named:
            assert f"def {test}(" in (here / f"{file}.py").read_text("utf-8"), (number, test)
