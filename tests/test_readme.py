"""What the README says of the package is true; what all pages have in common is in test_docs."""

import re
import subprocess
from pathlib import Path

import pytest

from wavegen import cli
from wavegen.cli.display import large
from wavegen.counting import parameters
from wavegen.presets import MEASURED, PRESETS, from_preset

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_ci_runs_exactly_the_readmes_test_command():
    tests = blocks("sh")[1].strip()
    assert "pytest" in tests and "\n" not in tests
    awk = re.search(r"command=\$\((awk .*)\)", (ROOT / ".ci/run").read_text())[1]
    found = subprocess.run(["sh", "-c", awk], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == tests


def test_modules_named_are_those_of_the_package():
    rows = re.findall(r"^\| (`.*?) \|", README.split("## How it is built")[1], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    there = {p.stem for p in (ROOT / "wavegen").iterdir() if p.suffix == ".py" or p.is_dir()}
    there -= {"__init__", "__main__", "__pycache__", "errors", "backend", "framing"}
    assert named == there


def test_preset_table_is_that_of_the_package():
    for family, presets in PRESETS.items():
        for preset in presets:
            config, _ = from_preset(family, preset, {})
            cell = r" ([^|]+) \|"
            row = re.search(rf"^\| {family} \| {preset} \|{4 * cell}", README, re.M)
            assert row, (family, preset)
            assert row[1] == large(parameters(config))
            assert row[2] == f"{1000 * config.receptive_field / config.sample_rate:.0f} ms"
            trained, drawn = MEASURED[family][preset]
            assert f", {trained:g} s of sound a second" in row[3]
            assert row[4].startswith(f"{drawn:g} ")


@pytest.mark.slow
def test_first_command_makes_sound_and_the_python_snippet_runs(tmp_path, monkeypatch, capsys):
    """`sample` in a fresh clone plays a model that comes with it, and draws a picture."""
    import shutil

    import soundfile

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAVEGEN_CACHE", str(tmp_path / "cache"))
    shutil.copytree(ROOT / "recordings", tmp_path / "recordings")
    first = blocks("sh")[0].strip().split(" && ")[1]
    assert first.startswith("python -m wavegen sample ")
    assert cli.main(first.split()[3:]) == 0
    said = capsys.readouterr()
    assert "no model of your own yet" in said.err
    sound = Path(said.out.strip().split("\n")[-1])
    signal, rate = soundfile.read(sound)
    assert len(signal) == 14 * rate
    assert signal[4 * rate :].std() > 0.1 * signal[: 4 * rate].std()
    assert sound.with_suffix(".png").stat().st_size > 50_000
    scope: dict = {}
    exec(blocks("python")[0], scope)
    assert scope["continuation"].shape[0] == scope["model"].config.channels
