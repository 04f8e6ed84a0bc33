import importlib.metadata
import json
import shutil
import types

import pytest

from wavegen import cli
from wavegen.cli import doctor
from wavegen.cli.display import Console


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAVEGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path


def asked(capsys, code=0):
    """Returns the findings of a doctor without its self-test, by name."""
    assert cli.main(["doctor", "--no-self-test", "--json"]) == code
    return {each["name"]: each for each in json.loads(capsys.readouterr().out)}


def test_a_sound_machine_is_found_sound(place, capsys):
    found = asked(capsys)
    assert all(each["ok"] for each in found.values())
    assert found["numpy"]["found"] == importlib.metadata.version("numpy")
    assert str(place / "cache") in found["cache"]["found"]
    assert {"wavegen", "python", "cores", "memory", "backend", "sound device"} <= set(found)
    assert cli.main(["doctor", "--no-self-test"]) == 0
    assert "numpy" in capsys.readouterr().out


def test_a_missing_package_is_to_be_installed(place, capsys, monkeypatch):
    known = importlib.metadata.version

    def version(name):
        if name == "soxr":
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = asked(capsys, 2)
    assert not found["soxr"]["ok"] and found["soxr"]["advice"] == "pip install soxr"


def test_a_folder_that_cannot_be_written_is_named(place, capsys, monkeypatch):
    (place / "file").write_text("no folder")
    monkeypatch.setenv("WAVEGEN_CACHE", str(place / "file" / "cache"))
    found = asked(capsys, 2)
    assert not found["cache"]["ok"] and "WAVEGEN_CACHE" in found["cache"]["advice"]


def test_little_room_and_memory_are_said_but_do_not_stop(place, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=2**28))
    monkeypatch.setattr(doctor, "MEMORY", 2**60)
    found = asked(capsys)
    assert found["cache"]["ok"] and "0.2 GB free" in found["cache"]["found"]
    assert "make room" in found["working folder"]["advice"]
    assert "tiny" in found["memory"]["advice"]


def test_a_backend_that_is_not_supported_is_named(place, capsys, monkeypatch):
    import keras

    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    found = asked(capsys, 2)
    assert "use tensorflow or jax" in found["backend"]["advice"]


@pytest.mark.parametrize("family", ["wavenet", "spectral_lstm"])
def test_an_engine_that_does_not_work_is_found(family, monkeypatch):
    def broken(*_, **__):
        raise OSError("no such instruction")

    monkeypatch.setattr(doctor, "Sampler", broken)
    found = doctor.self_test(family, Console(quiet=True))
    assert not found.ok and "no such instruction" in found.found and "numba" in found.advice


@pytest.mark.slow
@pytest.mark.parametrize("family", ["wavenet", "spectral_lstm"])
def test_the_self_test_draws(family, place, monkeypatch):
    monkeypatch.setattr(doctor, "TEST_SECONDS", 0.2)
    found = doctor.self_test(family, Console(quiet=True))
    assert found.ok
    assert float(found.found.split()[1]) > 0.01
