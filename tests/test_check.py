"""`check` says what `train` does, and what a recording is like."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import soundfile
import soxr
from conftest import tune

from wavegen import audio, cli, dataset, survey

SCHEMA = json.loads((Path(__file__).parent.parent / "docs/check.schema.json").read_text())
RATE = 22050


def run(*arguments):
    return cli.main(["check", *map(str, arguments)])


def found(capsys, *arguments, code=0):
    """Returns what `check --json` says, by the names of the files."""
    assert run(*arguments, "--json") == code
    rows = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    jsonschema.validate(rows, SCHEMA)
    return {os.path.basename(row["path"]): row for row in rows}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAVEGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def crowd(place):
    """recordings/ with one of everything that is found."""
    folder = place / "recordings"
    (folder / "more").mkdir(parents=True)
    music = tune(6.0, RATE, 2, seed=1)

    def save(name, sound, rate=RATE, **options):
        soundfile.write(folder / name, np.asarray(sound).T, rate, **options)

    save("good.wav", music)
    save("same.flac", np.round(music * 32767).astype("int16"))
    save("good16.flac", np.round(music * 32767).astype("int16"))
    save("later.wav", soxr.resample(0.5 * tune(6.0, RATE, 2, seed=1).T, RATE, 44100).T, 44100)
    save("opposed.wav", tune(4.0, RATE, 2, seed=2) * [[1], [-1]])
    save("loud.wav", 4 * tune(4.0, RATE, 1, seed=3), subtype="FLOAT")
    save("clipped.wav", np.clip(8 * tune(4.0, RATE, 1, seed=4), -1, 1))
    save("offset.wav", tune(4.0, RATE, 1, seed=5) + 0.25)
    save("pause.wav", np.pad(tune(4.0, RATE, 1, seed=6), ((0, 0), (3 * RATE, 0))))
    noise = 0.1 * np.random.default_rng(0).standard_normal(11025 * 3)
    save("more/dull.wav", soxr.resample(noise, 11025, 44100)[None], 44100)
    save("short.wav", music[:, : RATE // 3])
    save("silent.wav", np.zeros((1, RATE)))
    nan = music.copy()
    nan[0, RATE] = np.nan
    save("nan.wav", nan, subtype="FLOAT")
    (folder / "page.wav").write_text("<!DOCTYPE html>")
    (folder / "empty.wav").write_bytes(b"")
    (folder / "._good.wav").write_bytes(b"\0\x05\x16\x07")
    (folder / "cut.wav").write_bytes((folder / "clipped.wav").read_bytes()[:50000])
    (folder / "new\nline.wav").write_bytes(b"RIFF")
    return folder


def test_it_says_what_train_does(crowd, capsys):
    """The same files with the same reasons, whatever is trained; training's warnings first."""
    for flags, rate, channels in (([], 22050, 2), (["--arch", "wavenet"], 16000, 1)):
        rows = {row["path"]: row for row in found(capsys, crowd, *flags).values()}
        data = dataset.load(crowd, sample_rate=rate, channels=channels)
        assert {path for path, row in rows.items() if row["usable"]} == {
            str(recording.path) for recording in data.recordings
        }
        for path, reason in data.skipped:
            assert rows[str(path)]["reason"] == reason
        for path, twin in data.duplicates:
            assert rows[str(path)]["duplicate_of"] == str(twin)
        for recording in data.recordings:
            said = rows[str(recording.path)]["warnings"]
            assert said[: len(recording.warnings)] == list(recording.warnings)
        assert len(rows) == data.files


def test_every_finding(crowd, capsys):
    rows = found(capsys, "recordings")
    assert set(next(iter(rows.values()))) == set(SCHEMA["items"]["properties"])
    good = rows["good.wav"]
    assert good["usable"] and good["warnings"] == [] and good["reason"] is None
    assert (good["sample_rate"], good["channels"], good["seconds"]) == (RATE, 2, 6.0)
    assert (good["container"], good["subtype"]) == ("WAV", "PCM_16")
    assert rows["same.flac"]["duplicate_of"] == "recordings/good16.flac"
    assert "counted once" in rows["same.flac"]["reason"]
    near = {name: set(map(os.path.basename, row["near_duplicates"])) for name, row in rows.items()}
    same = {"good.wav", "good16.flac", "later.wav"}
    wanted = {name: same - {name} if name in same else set() for name in rows}
    assert near == wanted | {"cut.wav": {"clipped.wav"}, "clipped.wav": {"cut.wav"}}
    assert rows["opposed.wav"]["out_of_phase"] and rows["opposed.wav"]["correlation"] < -0.5
    assert rows["loud.wav"]["peak_db"] > 0
    assert rows["clipped.wav"]["clipped"] > 0.01
    assert rows["offset.wav"]["dc_offset"] == pytest.approx([0.25], abs=2e-3)
    assert rows["pause.wav"]["silent_start"] == pytest.approx(3.0, abs=0.05)
    assert rows["dull.wav"]["band_limited"]
    assert 5000 < rows["dull.wav"]["bandwidth_hz"] < 5600
    warned = {name: " ".join(row["warnings"]) for name, row in rows.items()}
    assert "same performance as recordings/good.wav and 1 more" in warned["later.wav"]
    assert "cancel" in warned["opposed.wav"] and "beyond full scale" in warned["loud.wav"]
    assert warned["clipped.wav"].count("clipped (") == 1
    assert warned["offset.wav"].count("DC offset") == 1
    assert "begins with 3.0 s of silence" in warned["pause.wav"]
    assert "nothing above 5." in warned["dull.wav"]
    assert "truncated copy" in warned["cut.wav"]
    assert rows["short.wav"]["reason"].startswith("too short (0.3 s") and warned["short.wav"] == ""
    assert rows["silent.wav"]["reason"].startswith("silent") and rows["silent.wav"]["silent"] == 1
    assert "first at 1.000 s" in rows["nan.wav"]["reason"] and warned["nan.wav"] == ""
    assert rows["nan.wav"]["sample_rate"] == RATE and rows["nan.wav"]["seconds"] is None
    assert "looks like an HTML" in rows["page.wav"]["reason"]
    assert rows["empty.wav"]["sample_rate"] is None
    assert "AppleDouble" in rows["._good.wav"]["reason"]


def test_the_report_in_words(crowd, capsys):
    assert run(crowd) == 0
    out = capsys.readouterr().out
    assert "10 of 18 files usable" in out and "7 skipped" in out and "1 duplicate left out" in out
    assert "\ngood.wav " in out and "\nmore/dull.wav " in out  # the table names no folder twice
    assert "dropped: " in out and "page.wav: not a WAV file" in out
    assert "what to expect of so much: the timbre" in out
    assert f"try: python -m wavegen train {crowd} --for 10m" in out
    assert "new\\nline.wav: truncated WAV header" in out
    assert run(crowd, "--arch", "wavenet", "--preset", "tiny") == 0
    assert "--arch wavenet --preset tiny --for" in capsys.readouterr().out


def test_exit_codes(crowd, place, capsys):
    assert run("nowhere") == 2
    assert "no such file or folder" in capsys.readouterr().err
    assert run(crowd, "--preset", "smal") == 2
    assert "did you mean small" in capsys.readouterr().err
    (place / "bad").mkdir()
    assert run("bad") == 2
    assert "no recordings found" in capsys.readouterr().err
    (place / "bad/page.wav").write_text("<!DOCTYPE html>")
    rows = found(capsys, "bad", code=2)
    assert not rows["page.wav"]["usable"]
    assert run("bad") == 2
    said = capsys.readouterr()
    assert "0 of 1 file usable" in said.out and "try:" not in said.out
    assert said.err.startswith("wavegen: error: bad: no usable audio: 1 of 1 file skipped")
    assert run(crowd, "--strict") == 2  # as train --strict
    assert capsys.readouterr().err.count("wavegen: error:") == 1
    assert run(crowd / "good.wav", "--strict") == 0
    os.environ["WAVEGEN_CACHE"] = str(place / "bad/page.wav")  # as train: no room to decode to
    assert run(crowd) == 3


def digests(folder):
    return {
        path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_fix_writes_copies_and_touches_nothing(crowd, place, capsys):
    soundfile.write(crowd / "more/loud.mp3", np.clip(tune(3.0, RATE, 1, 9) + 0.1, -1, 1).T, RATE)
    before = digests(crowd)
    rows = found(capsys, crowd, "--fix", "fixed")
    assert digests(crowd) == before
    fixed = {name: row["fixed"] for name, row in rows.items() if row["fixed"]}
    assert fixed == {
        "opposed.wav": "fixed/opposed.wav",
        "loud.wav": "fixed/loud.wav",
        "offset.wav": "fixed/offset.wav",
        "pause.wav": "fixed/pause.wav",
        "loud.mp3": "fixed/more/loud.mp3.wav",
    }
    again = found(capsys, "fixed")
    assert len(again) == 5 and all(row["usable"] for row in again.values())
    for row in again.values():
        assert row["warnings"] == [], row["path"]
    assert again["opposed.wav"]["correlation"] > 0.5
    assert again["loud.wav"]["peak_db"] <= 0 and again["loud.wav"]["subtype"] == "FLOAT"
    assert again["offset.wav"]["dc_offset"] == pytest.approx([0], abs=1e-4)
    assert again["pause.wav"]["seconds"] == pytest.approx(4.25, abs=0.05)
    # A second time nothing is written over.
    copies = digests(place / "fixed")
    assert run(crowd, "--fix", "fixed") == 3
    assert "exists" in capsys.readouterr().err and digests(place / "fixed") == copies


def test_fix_keeps_out_of_the_recordings(crowd, place, capsys):
    before = digests(crowd)
    for folder in (crowd, crowd / "new/fixed", crowd / "good.wav"):
        assert run(crowd, "--fix", folder) == 3
        assert "choose another --fix" in capsys.readouterr().err
    assert run(crowd / "good.wav", "--fix", crowd) == 3
    assert digests(crowd) == before
    (place / "one").mkdir()
    soundfile.write(place / "one/a.wav", tune(2.0, RATE, 1).T, RATE)
    assert run("one", "--fix", "fixed") == 0
    assert "no copies written" in capsys.readouterr().err and not (place / "fixed").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no UTF-8")
def test_any_name_works(place, capsys):
    name = os.fsdecode(b"\xff -x\n [red].wav")
    (place / "recordings").mkdir()
    audio.write("recordings/" + name, tune(2.0, RATE, 1) + 0.1, RATE)
    assert run("--fix", "fixed") == 0
    out = capsys.readouterr().out
    assert out.endswith("fixed/\\xff -x\\n [red].wav\n") and (place / "fixed" / name).exists()
    assert list(found(capsys, "recordings")) == [name]


def test_an_interrupted_copy_is_none(crowd, place, capsys, monkeypatch):
    write = audio.Writer.write

    def interrupted(writer, signal):
        if writer.frames:
            raise KeyboardInterrupt
        write(writer, signal)

    monkeypatch.setattr(audio.Writer, "write", interrupted)
    assert run(crowd / "offset.wav", "--fix", "fixed") == 130
    assert not list((place / "fixed").iterdir())


def test_metadata_goes_with_a_copy(place, capsys):
    text = {"title": "Étude", "artist": "me"}
    audio.write("a.wav", tune(2.0, RATE, 1) + 0.1, RATE, subtype="PCM_24", metadata=text)
    assert run("a.wav", "--fix", "fixed") == 0
    assert capsys.readouterr().out.endswith("fixed/a.wav\n")
    assert audio.metadata("fixed/a.wav") == text and audio.info("fixed/a.wav").subtype == "PCM_24"


@pytest.mark.slow
def test_it_needs_no_tensorflow(crowd):
    code = (
        "import sys\nfrom wavegen.cli import main\n"
        "assert main(['check', 'recordings', '--json', '--fix', 'fixed']) == 0\n"
        "names = ('tensorflow', 'keras', 'jax', 'librosa', 'numba')\n"
        "print([m for m in names if m in sys.modules], file=sys.stderr)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert said.stderr.strip().endswith("[]")


def test_an_interrupt_stops_both_threads(crowd, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(survey.gate, "sift", interrupted)
    assert run(crowd) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.slow
def test_findings_of_a_long_recording_take_little_memory():
    """What is held grows by windows, not by samples: those of ten minutes would take 38 MB."""
    import tracemalloc

    from wavegen.findings import examine

    second = tune(1.0, 8000, 2)
    tracemalloc.start()
    examine((second for _ in range(600)), 8000, 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6


def test_values_that_are_no_sound_become_zeros_where_asked(place, capsys):
    """And only there: what was repaired once is refused again without `--repair`."""
    from wavegen.cli import parse, train

    sound = tune(2.0, RATE, 2, seed=7)
    sound[0, 100:103], sound[1, 20_000] = [np.nan, np.inf, -np.inf], 1e30
    Path("in").mkdir()
    soundfile.write("in/holes.wav", sound.T, RATE, subtype="DOUBLE")
    soundfile.write("in/nothing.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    told = "4 values that are no sound (NaN, infinite or beyond 1000) set to zero"
    for repair, zeroed in (([], None), (["--repair"], told), ([], None), (["--repair"], told)):
        rows = found(capsys, "in", *repair, code=0 if repair else 2)
        assert rows["holes.wav"]["usable"] == bool(repair)
        assert (rows["holes.wav"]["warnings"] or [None])[0] == zeroed
        assert not rows["nothing.wav"]["usable"]
    assert rows["nothing.wav"]["reason"] == "holds no value that is sound; export it again"
    arguments = parse.parser().parse_args(["train", "in", "--repair"])
    config, settings = train.wanted(arguments, "spectral_lstm", None)
    data = train.load(arguments, config, settings, train.Console())
    assert f"in/holes.wav: {told}" in capsys.readouterr().err
    whole = data.signal(0, 0, data.recordings[0].samples)
    expected = np.where(np.abs(sound) <= 1, sound, 0)
    assert np.abs(whole - expected).max() < 1e-6
    assert run("in", "--repair", "--fix", "out") == 0
    said = capsys.readouterr()
    assert f"holes.wav: {told}" in said.err and "train in --repair" in said.out
    copy, _ = audio.read("out/holes.wav")
    assert np.array_equal(copy, np.where(np.abs(sound) <= 1, sound, 0).astype("float32"))
