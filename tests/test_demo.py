"""The models that come with wavegen: small enough, better than their baselines, played by name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavegen import cli, demo
from wavegen.checkpoint import find_model, read_model
from wavegen.cli.embed import embed
from wavegen.duet_config import PARTS
from wavegen.errors import CheckpointError
from wavegen.modelfile import part_of_duet, save_model

SHIPPED = Path(__file__).parent.parent / "recordings/shipped"


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture
def seed(tmp_path, monkeypatch):
    """A few seconds of a shipped recording, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    sound, rate = soundfile.read(SHIPPED / "plucked.wav")
    soundfile.write("seed.wav", sound[: 3 * rate], rate)
    return tmp_path / "seed.wav"


def test_they_are_small():
    sizes = [path.stat().st_size for path in demo.DEMOS.values()]
    assert len(sizes) == 2 and sum(sizes) <= 8_000_000


@pytest.mark.parametrize("name", demo.DEMOS)
def test_training_found_them_better_than_their_baselines(name):
    file = read_model(demo.DEMOS[name])
    own, *others = file.extra["scores"]
    assert others and all(own["mean"] < other["mean"] for other in others)
    assert file.extra["climate"]


@pytest.mark.slow
@pytest.mark.parametrize("name", demo.DEMOS)
def test_they_beat_their_baselines_on_what_was_held_out(name, tmp_path, capsys):
    for path in sorted(SHIPPED.glob("*.wav")):
        sound, rate = soundfile.read(path)
        soundfile.write(tmp_path / path.name, sound[-2 * rate :], rate)
    assert run("score", tmp_path, "-m", name, "--engine", "numba", "--json") == 0
    for found in json.loads(capsys.readouterr().out):
        own, *others = found["scores"]
        assert len(others) >= 2 and all(own["mean"] < other["mean"] for other in others)


def test_without_a_run_one_of_them_plays_and_again_finds_it(seed, tmp_path, capsys):
    assert run("sample", seed, "-t", "0.5", "--seed", "3", "-o", "out") == 0
    out, err = capsys.readouterr()
    sound = tmp_path / out.strip()
    assert demo.DEFAULT in sound.name and "train" in err
    picture = sound.with_suffix(".png")
    assert picture.name in err and picture.read_bytes()[:4] == b"\x89PNG"
    assert run("again", sound, "-o", "twin") == 0
    assert (tmp_path / capsys.readouterr().out.strip()).read_bytes() == sound.read_bytes()
    assert run("sample", seed, "-t", "0.5", "--seed", "3", "-o", "out") == 3
    assert run("sample", seed, "-t", "0.5", "--seed", "3", "-o", "out", "--force") == 0
    picture.write_bytes(b"a picture of the user's own")
    assert run("sample", seed, "-t", "0.5", "--seed", "3", "-o", "out", "--force") == 3
    assert run("sample", seed, "-t", "0.5", "--seed", "3", "-o", "bare", "--no-picture") == 0
    assert not list(Path("bare").glob("*.png"))


def test_models_are_embedded_in_half_precision(tmp_path):
    """A duet of what comes with us is made of its own parts again."""
    file, parts = read_model(demo.DEMOS["demo-wavenet"]), []
    for part in PARTS:
        own = part_of_duet(file, part)
        parts.append(str(tmp_path / f"{part}.safetensors"))
        save_model(parts[-1], own.family, own.config, own.tensors, own.extra)
    embed(parts, tmp_path / "duet.safetensors")
    again = read_model(tmp_path / "duet.safetensors")
    assert again.family == "duet" and again.config == file.config and again.extra["parts"]
    assert all(np.array_equal(again.tensors[n], a) for n, a in file.tensors.items())
    size = demo.DEMOS["demo-wavenet"].stat().st_size
    assert abs((tmp_path / "duet.safetensors").stat().st_size - size) < 100
    embed(parts[:1], tmp_path / "alone.safetensors")
    assert read_model(tmp_path / "alone.safetensors").family == "spectral_lstm"


def test_a_run_of_the_same_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_model("demo-wavenet") == demo.DEMOS["demo-wavenet"]
    Path("runs/demo-wavenet").mkdir(parents=True)
    shutil.copy(demo.DEMOS["demo-lstm"], "runs/demo-wavenet/model.safetensors")
    assert find_model("demo-wavenet") == Path("runs/demo-wavenet/model.safetensors")
    with pytest.raises(CheckpointError, match="demo-lstm"):
        find_model("demo-lst")


@pytest.mark.slow
def test_a_page_of_theirs_is_not_written_into_the_package(seed, tmp_path, capsys):
    assert run("sample", seed, "-t", "0.5", "-m", "demo-wavenet", "--no-guard") == 0
    assert run("report", "demo-wavenet") == 0
    page = Path(capsys.readouterr().out.split()[-1])
    assert page == Path("generated/demo-wavenet.html")
    assert b"<audio" in page.read_bytes()
    assert not list(demo.DEMOS["demo-wavenet"].parent.glob("*.html"))


def test_a_model_beside_the_seed_has_its_folders_name(seed, tmp_path, capsys):
    """A run's model, named from within its folder."""
    folder = tmp_path / "quartet"
    folder.mkdir()
    shutil.copy(demo.DEMOS[demo.DEFAULT], folder / "model.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        asked = ("-m", "model.safetensors", "-t", "0.2", "--seed", "3", "-o", tmp_path / "out")
        assert run("sample", seed, *asked) == 0
    assert Path(capsys.readouterr().out.strip()).name == "seed-quartet-3-0.wav"
