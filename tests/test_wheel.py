"""The wheel: small, and all that is needed is in it."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_a_wheel_elsewhere_plays_the_demo(tmp_path):
    def run(*command):
        where = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MPLBACKEND")}
        done = subprocess.run(command, cwd=tmp_path, env=where, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(sys.executable, "-m", "pip", "wheel", "-q", ROOT, "--no-deps", "-w", tmp_path / "wheels")
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    assert wheel.stat().st_size <= 15_000_000
    venv.create(tmp_path / "venv", with_pip=False)
    there = tmp_path / "venv" / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", there, wheel)
    (there / "others.pth").write_text(sysconfig.get_path("purelib"))  # all but wavegen
    python = tmp_path / "venv/bin/python"
    assert str(there) in run(python, "-c", "import wavegen; print(wavegen.__file__)")
    sound, rate = soundfile.read(ROOT / "recordings/shipped/bells.wav")
    soundfile.write(tmp_path / "seed.wav", sound[: 3 * rate], rate)
    drawn = tmp_path / run(python, "-m", "wavegen", "sample", "seed.wav", "-t", "1").strip()
    assert soundfile.info(drawn).frames == 4 * soundfile.info(drawn).samplerate
    assert drawn.with_suffix(".png").exists()
