import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wavegen.checkpoint import Run, check_name, find_model, read_model, runs, save_model
from wavegen.config import SpectralLSTMConfig
from wavegen.errors import CheckpointError, OutputError, UsageError

HOLDER = """
import sys, time
from wavegen.checkpoint import Run
with Run.open(sys.argv[1], create=False).lock():
    print("held", flush=True)
    time.sleep(600)
"""
# Imports once, then lets a child of its own be killed ten times.
KILLER = """
import os, random, signal, sys, time
import numpy as np
from wavegen.checkpoint import Run
run, last, chance = Run.open(sys.argv[1], create=True), 0, random.Random(0)
for _ in range(10):
    child = os.fork()
    if not child:
        with run.lock():
            step = last
            while True:
                step += 1
                run.save_state(step, {"w": np.full(200_000, step, "float32")}, {"step": step})
                run.log({"step": step})
    while not run.states() or int(run.states()[0].stem[6:]) <= last + 1:
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    arrays, facts = run.load_state()
    assert not run.warnings, run.warnings
    assert facts["step"] > last and (arrays["w"] == facts["step"]).all()
    last = facts["step"]
with run.lock():
    pass
print(last, *sorted(os.listdir(sys.argv[1])))
"""


@pytest.fixture
def run(tmp_path):
    return Run.open(tmp_path / "runs" / "guitar", create=True)


def save(run, *steps):
    for step in steps:
        run.save_state(step, {"w": np.full(50, step)}, {"step": step})


def damage(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def model(folder, name, age):
    run = Run.open(folder / name, create=True)
    save_model(run.model_path, "spectral_lstm", SpectralLSTMConfig(), {}, {"name": name})
    os.utime(run.model_path, (2e9 - age, 2e9 - age))
    return run.model_path


# -- names and folders ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["guitar", "a", "-", "wave net_2.old-1", "Für Elise", "9" * 100])
def test_plain_names_are_taken(name):
    check_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "a\\b", "a\n", "a\0", "a:b", "~", "*", " a", "a ", "a."]
    + ["x" * 101, "con", "NUL", "aux.wav", "com1", "<a>", "a|b", '"a"', "\u202ea"],
)
def test_names_that_are_unsafe_somewhere_are_refused(tmp_path, name):
    with pytest.raises(UsageError, match="cannot name a run"):
        check_name(name)
    if "/" not in name and name not in ("", "."):
        with pytest.raises(UsageError):
            Run.open(tmp_path / name, create=True)
    assert not os.listdir(tmp_path)


def test_a_run_is_created_only_when_asked(tmp_path):
    with pytest.raises(CheckpointError, match="no such run"):
        Run.open(tmp_path / "a" / "b", create=False)
    Run.open(tmp_path / "a" / "b", create=True)
    assert Run.open(tmp_path / "a" / "b", create=False).states() == []
    assert os.listdir(tmp_path / "a" / "b") == []


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written to"):
        Run.open(tmp_path / "file" / "name", create=True)


# -- lock ----------------------------------------------------------------------------------------


def test_lock_names_the_process_that_holds_it_and_is_free_after_its_death(run):
    command = [sys.executable, "-c", HOLDER, str(run.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(OutputError, match=f"in use by pid {holder.pid};"):
                with run.lock():
                    pytest.fail("two processes hold one run")
        finally:
            holder.kill()
            holder.wait()
    with run.lock():
        assert (run.folder / ".lock").read_text() == str(os.getpid())


def test_lock_is_let_go_of_after_an_error_and_can_be_taken_again(run):
    with pytest.raises(KeyError):
        with run.lock():
            raise KeyError
    with run.lock():
        with pytest.raises(OutputError, match=f"pid {os.getpid()}"):
            with run.lock():
                pytest.fail("held twice")
    with run.lock():
        pass


def test_lock_that_cannot_be_opened_is_an_output_error(run):
    (run.folder / ".lock").mkdir()
    with pytest.raises(OutputError, match="guitar"):
        with run.lock():
            pytest.fail("held")


def test_leftovers_of_killed_saves_are_removed_with_the_lock_only(run):
    for name in (".model.safetensors.99.tmp", ".log.99.tmp", "log.jsonl", "notes.tmp"):
        (run.folder / name).touch()
    assert len(os.listdir(run.folder)) == 4
    with run.lock():
        assert sorted(os.listdir(run.folder)) == [".lock", "log.jsonl", "notes.tmp"]


# -- states --------------------------------------------------------------------------------------


def test_the_newest_two_states_are_kept(run):
    assert run.load_state() is None
    save(run, 1, 20, 300, 4000)
    assert [path.name for path in run.states()] == [
        "state-00004000.safetensors",
        "state-00000300.safetensors",
    ]
    arrays, facts = run.load_state()
    assert facts == {"step": 4000} and (arrays["w"] == 4000).all() and run.warnings == []


def test_steps_are_compared_as_numbers(run):
    save(run, 99_999_999, 100_000_000)
    assert run.load_state()[1]["step"] == 100_000_000


def test_saving_the_same_step_again_keeps_the_one_before(run):
    save(run, 1, 2, 2, 2)
    assert [int(path.stem[6:]) for path in run.states()] == [2, 1]


def test_other_files_are_no_states_and_stay(run):
    names = ["state-1.safetensors", "state-00000009.safetensors.bak", "state-x.safetensors"]
    for name in names:
        (run.folder / name).touch()
    save(run, 1, 2, 3)
    assert set(names) <= set(os.listdir(run.folder)) and run.load_state()[1]["step"] == 3


def test_a_damaged_newest_state_falls_back_with_a_warning(run):
    save(run, 1, 2)
    damage(run.states()[0])
    assert run.load_state()[1]["step"] == 1
    assert len(run.warnings) == 1 and "state-00000002" in run.warnings[0]
    (run.states()[0]).write_bytes(b"")
    assert run.load_state()[1]["step"] == 1 and len(run.warnings) == 1


def test_going_back_to_an_older_state_keeps_two_that_are_valid(run):
    save(run, 100, 900)
    damage(run.states()[0])
    save(run, run.load_state()[1]["step"] + 50)
    assert [int(path.stem[6:]) for path in run.states()] == [150, 100]
    assert run.load_state()[1]["step"] == 150 and run.warnings == []


def test_nothing_but_damaged_states_is_an_error(run):
    save(run, 1, 2)
    for path in run.states():
        damage(path)
    with pytest.raises(CheckpointError, match="no training state can be read"):
        run.load_state()
    assert len(run.warnings) == 2


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_killed_trainings_take_the_same_steps_bit_for_bit(tmp_path):
    soak = Path(__file__).parent / "soak.py"
    command = [sys.executable, soak, "kills", "--count", "3"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and "bit for bit" in done.stdout, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_process_killed_while_saving_leaves_a_state_that_loads(tmp_path):
    command = [sys.executable, "-c", KILLER, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    last, *names = done.stdout.split()
    assert int(last) >= 20 and names[:2] == [".lock", "log.jsonl"]
    assert all(name.startswith("state-") for name in names[2:]) and 2 <= len(names[2:]) <= 3


# -- log -----------------------------------------------------------------------------------------


def test_log_survives_a_line_that_was_torn(run):
    assert run.rows() == []
    run.log({"step": 1, "loss": np.float32(0.5), "best": float("inf")})
    with open(run.log_path, "ab") as file:
        file.write(b'{"step": 2, "lo')
    assert run.rows() == [{"step": 1, "loss": 0.5, "best": None}]
    run.log({"step": 3})
    assert [row["step"] for row in run.rows()] == [1, 3]
    assert run.log_path.read_bytes().endswith(b'{"step": 3}\n')


def test_lines_that_are_no_rows_are_passed_over(run):
    run.log_path.write_bytes(b'\n[1]\n7\n\xff\xfe\nnull\n{"step": 4}\n{"a"')
    assert run.rows() == [{"step": 4}]


def test_truncating_the_log_drops_later_steps_only(run):
    rows = [{"event": "begin"}, {"step": 1}, {"step": 5}, {"step": 6}, {"step": 2}]
    for row in rows:
        run.log(row)
    run.truncate_log(6)
    assert run.rows() == rows
    run.truncate_log(5)
    assert run.rows() == [rows[0], rows[1], rows[2], rows[4]]
    run.log({"step": 3})
    assert json.loads(run.log_path.read_text().splitlines()[-1]) == {"step": 3}
    assert os.listdir(run.folder) == ["log.jsonl"]


def test_a_full_disk_while_logging_is_an_output_error(run, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    for step in range(3):
        run.log({"step": step})
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OutputError, match="No space left"):
        run.truncate_log(1)
    assert len(run.rows()) == 3 and os.listdir(run.folder) == ["log.jsonl"]
    run.log_path.unlink()
    run.log_path.mkdir()
    with pytest.raises(OutputError, match="log.jsonl"):
        run.log({"step": 3})


# -- finding -------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first(tmp_path):
    assert runs(tmp_path / "missing") == []
    for name, age in (("b", 20), ("c", 10), ("a", 30)):
        model(tmp_path, name, age)
    save(Run.open(tmp_path / "state only", create=True), 1)
    Run.open(tmp_path / "nothing yet", create=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "file").touch()
    assert [run.folder.name for run in runs(tmp_path)] == ["c", "b", "a", "state only"]


def test_a_model_is_found_by_nothing_name_folder_and_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    piano, guitar = model(tmp_path / "runs", "piano", 9), model(tmp_path / "runs", "guitar", 1)
    Run.open(tmp_path / "runs" / "newest, without a model".replace(",", ""), create=True)
    assert find_model().resolve() == find_model(None, tmp_path / "runs") == guitar
    for where in ("piano", "runs/piano", piano.parent, str(piano), piano):
        assert find_model(where).resolve() == piano
    assert read_model(find_model("piano")).extra == {"name": "piano"}
    (tmp_path / "piano").mkdir()  # a folder of that name hides no run
    assert find_model("piano").resolve() == piano


def test_a_model_that_is_not_there_names_the_nearest(tmp_path):
    with pytest.raises(CheckpointError, match="holds no model yet"):
        find_model(None, tmp_path)
    with pytest.raises(CheckpointError, match="runs: none yet"):
        find_model("guitar", tmp_path)
    model(tmp_path, "guitar", 1)
    Run.open(tmp_path / "begun", create=True)
    with pytest.raises(CheckpointError, match=r"guitra: .*\(did you mean guitar\?\); runs: guitar"):
        find_model("guitra", tmp_path)
    with pytest.raises(CheckpointError, match="begun: holds no model;"):
        find_model("begun", tmp_path)
    for where in ("x" * 5000, "a\nb", "a\0b"):
        with pytest.raises(CheckpointError, match="no such run") as error:
            find_model(where, tmp_path)
        assert "\n" not in str(error.value) and len(str(error.value)) < 400
