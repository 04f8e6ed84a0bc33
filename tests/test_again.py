import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import SLOW, make_model, tune

from wavegen import audio, cli, dataset, models, recipe
from wavegen.climate import Climate
from wavegen.draft import Draft

SEED = "my seed é.wav"


def run(*arguments):
    """Returns the exit code of a command."""
    return cli.main([str(argument) for argument in arguments])


def save_model(folder, family="wavenet", seed=0, facts=None):
    spectral = dict(n_fft=256, hop_length=128) if family == "spectral_lstm" else {}
    (folder / "runs/a").mkdir(parents=True, exist_ok=True)
    model = make_model(family, channels=2, seed=seed, **spectral)
    models.save(folder / "runs/a/model.safetensors", model, {}, facts or {})


# A wavenet's takes are made again in the quick suite by `plain` and in test_cli.py.
@pytest.fixture(params=[pytest.param("wavenet", marks=SLOW), "spectral_lstm"])
def drawn(request, recordings, tmp_path, monkeypatch, capsys):
    """Two variations, chosen and watched, of a seed that was converted."""
    monkeypatch.chdir(tmp_path)
    soundfile.write(SEED, tune(1.3, 11025, 1).T, 11025)
    data = dataset.load(recordings, sample_rate=8000, channels=2, heldout=0, gap_seconds=0.1)
    save_model(tmp_path, request.param, 0, {"climate": dataclasses.asdict(Climate.of(data))})
    command = ["sample", SEED, "-t", "1.2", "-n", "2", "--temperature", "0.9:1", "--seed", "7"]
    assert run(*command, "--candidates", "2", "--no-report") == 0
    return capsys.readouterr().out.split("\n")[:-1]


@pytest.fixture
def plain(tmp_path, monkeypatch, capsys):
    """One file of a model of random weights that is left alone."""
    monkeypatch.chdir(tmp_path)
    soundfile.write(SEED, tune(1.0, 8000, 2).T, 8000)
    save_model(tmp_path)
    assert run("sample", SEED, "-t", "0.5", "--seed", "7", "--prime", "0.5", "--no-guard") == 0
    return capsys.readouterr().out.strip()


def test_a_file_is_made_again_to_the_last_byte(drawn, tmp_path, capsys):
    for path in drawn:
        assert run("again", path) == 0
        out, err = capsys.readouterr()
        assert out.strip() == path.replace(".wav", "-again.wav")
        assert "bit for bit: all of it" in err
        assert (tmp_path / out.strip()).read_bytes() == (tmp_path / path).read_bytes()
    assert len({(tmp_path / path).read_bytes() for path in drawn}) == 2


def test_a_take_is_played_on_from_what_it_was(drawn, capsys):
    path, sounds = drawn[1], []
    for seconds in ("1.7", "2.1", "0.5"):
        assert run("again", path, "--seconds", seconds) == 0
        out, err = capsys.readouterr()
        assert "bit for bit" in err
        path = out.strip()
        sounds.append(soundfile.read(path)[0])
    first = soundfile.read(drawn[1])[0]
    prime = round(1.3 * 8000)
    assert [len(sound) for sound in sounds] == [prime + round(s * 8000) for s in (1.7, 2.1, 0.5)]
    for sound in sounds:
        shared = min(len(sound), len(first))
        assert np.array_equal(sound[:shared], first[:shared])
    assert recipe.read(drawn[1].replace(".wav", "-1.7s-2.1s.wav")).ends == (1.2, 1.7, 2.1)


@pytest.mark.slow
def test_an_interrupted_take_is_made_again_as_far_as_it_came(drawn, tmp_path, capsys):
    made = recipe.read(drawn[0])
    sound, rate = audio.read(drawn[0])
    cut = audio.write("cut.wav", sound[:, :-4000], rate, metadata=made.metadata())
    assert run("again", cut) == 0
    assert "bit for bit: all of it" in capsys.readouterr().err
    assert audio.info("generated/cut-again.wav").frames == sound.shape[1] - 4000
    assert run("again", cut, "-t", "1.6", "-o", "longer") == 0  # what was planned stays an end
    assert recipe.read("longer/cut-1.6s.wav").ends == (1.2, 1.6)


@pytest.mark.parametrize("options", [["--no-with-prime"], ["--format", "flac", "--int24"]])
def test_other_shapes_of_file(plain, options, capsys):
    assert run("sample", SEED, "-t", "0.3", "-o", "x", "--filename", "y", *options) == 0
    path = capsys.readouterr().out.strip()
    assert run("again", path, "-o", "x") == 0
    again = capsys.readouterr().out.strip()
    assert np.array_equal(soundfile.read(path)[0], soundfile.read(again)[0])
    assert audio.info(again).subtype == audio.info(path).subtype


def test_what_has_no_seed_comes_again_too(plain, tmp_path, capsys):
    assert run("sample", "-t", "0.3", "--seed", "1") == 0
    path = capsys.readouterr().out.strip()
    assert Path(path).name.startswith("unseeded-")
    assert run("again", path) == 0
    again = capsys.readouterr().out.strip()
    assert (tmp_path / again).read_bytes() == (tmp_path / path).read_bytes()


def test_the_model_is_found_by_what_it_is(plain, tmp_path, capsys):
    shutil.move("runs/a", "runs/renamed")
    assert run("again", plain) == 0
    shutil.move("runs", "elsewhere")
    capsys.readouterr()
    assert run("again", plain, "--force") == 4
    assert "is not here; name a copy of it with -m" in capsys.readouterr().err
    assert run("again", plain, "--force", "-m", "elsewhere/renamed") == 0
    save_model(tmp_path, seed=1)  # training went on
    capsys.readouterr()
    assert run("again", plain, "--force") == 4
    assert "has changed since it drew this" in capsys.readouterr().err
    assert run("again", plain, "--force", "-m", "a") == 4
    assert "not the model" in capsys.readouterr().err


def test_the_seed_is_found_by_what_it_is(plain, tmp_path, capsys):
    stereo = soundfile.read(SEED)[0]
    soundfile.write(SEED, np.concatenate([stereo, stereo]), 8000)  # it has grown since
    assert run("again", plain) == 0
    (tmp_path / "recordings").mkdir()
    soundfile.write(f"recordings/{SEED}", stereo, 8000)
    soundfile.write(SEED, stereo[::-1], 8000)
    assert run("again", plain, "--force") == 0
    shutil.rmtree("recordings")
    # The file itself begins with it, for it was neither converted nor rounded.
    assert run("again", plain, "--force") == 0
    capsys.readouterr()
    assert run("sample", SEED, "-t", "0.3", "--seed", "1", "--no-with-prime") == 0
    other = capsys.readouterr().out.strip()
    soundfile.write(SEED, stereo, 8000)
    assert run("again", other, "--force") == 2
    assert f"{SEED} is not, or no longer, the sound that it follows" in capsys.readouterr().err
    (tmp_path / SEED).unlink()
    assert run("again", other, "--force") == 2
    assert f"{SEED}, is not here; name the sound" in capsys.readouterr().err
    soundfile.write("found.wav", stereo[::-1], 8000)
    assert run("again", other, "--force", "--after", "found.wav") == 0
    assert run("again", other, "--force", "--after", "none.wav") == 2


def test_the_sound_that_it_follows_is_never_overwritten(plain, tmp_path, capsys):
    source = tmp_path / "q/foo-again.wav"
    source.parent.mkdir()
    shutil.copy(plain, source)
    before = source.read_bytes()
    assert run("sample", source, "-t", "0.1", "-o", "q", "--filename", "foo", "--no-picture") == 0
    assert run("again", "q/foo.wav", "-o", "q", "--force") == 3
    assert "foo-again.wav: would overwrite the seed" in capsys.readouterr().err
    assert source.read_bytes() == before


def test_mistakes_get_one_line_and_a_code(plain, tmp_path, capsys):
    sound, rate = soundfile.read(plain)
    made = recipe.read(plain)
    soundfile.write("bare.wav", sound, rate)
    soundfile.write("page.wav", sound, rate)
    (tmp_path / "page.wav").write_text("<!DOCTYPE html>")
    audio.write("half.wav", sound.T[:, ::2], rate // 2, metadata=made.metadata())
    future = json.loads(made.metadata()["comment"]) | {"version": "9.0", "mood": 1}
    audio.write("future.wav", sound.T, rate, metadata={"comment": json.dumps(future)})
    odd = dataclasses.replace(made, engine="cuda").metadata()
    audio.write("engine.wav", sound.T, rate, metadata=odd)
    capsys.readouterr()
    for name, code, words in (
        ("none.wav", 2, "no such file"),
        ("bare.wav", 2, "carries no recipe"),
        ("page.wav", 2, "not a WAV"),
        ("half.wav", 2, "was converted to 4000 Hz"),
        ("future.wav", 2, "that of wavegen 9.0"),
        ("engine.wav", 2, "'cuda' is not an engine"),
    ):
        assert run("again", name) == code
        err = capsys.readouterr().err
        assert words in err and "Traceback" not in err
        assert err.count("wavegen: error:") == 1
    assert run("again", plain) == 0 and run("again", plain) == 3
    assert "exists; add --force" in capsys.readouterr().err
    assert run("again", plain, "-t", "0.00001") == 2
    assert "--seconds 1e-05 is less than a sample of the model's 8000 Hz" in capsys.readouterr().err
    assert run("again", "bare.wav", plain, "--force") == 2  # the others are made all the same
    assert capsys.readouterr().out.strip() == plain.replace(".wav", "-again.wav")


def test_two_files_of_one_name_are_not_made_again_over_each_other(drawn, tmp_path, capsys):
    twin = tmp_path / "b" / Path(drawn[0]).name
    twin.parent.mkdir()
    shutil.copy(drawn[0], twin)
    before = sorted(tmp_path.rglob("*"))
    assert run("again", drawn[0], str(twin), "-o", "new", "--force") == 2
    assert "two results would be called so" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_what_differs_is_told(plain, capsys):
    sound, rate = audio.read(plain)
    sound[0, 6000] = 0.1234
    changed = audio.write("x.wav", sound, rate, metadata=recipe.read(plain).metadata())
    assert run("again", changed) == 1
    said = capsys.readouterr()
    assert "differs from x.wav from 0.750 s on" in said.err
    assert said.out.strip() == "generated/x-again.wav"  # it is there, to compare


def test_nothing_is_left_behind_when_drawing_fails(plain, tmp_path, monkeypatch, capsys):
    def full(self, data, position):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Draft, "put", full)
    assert run("again", plain) == 3
    assert "No space left" in capsys.readouterr().err
    assert {p.stem for p in (tmp_path / "generated").iterdir()} == {Path(plain).stem}
