"""An instrument that plays what it is given, and a duet of a composer and such an instrument."""

from __future__ import annotations

import dataclasses
import json
import os

import numpy as np
import pytest
import soundfile
from conftest import make_config, make_frames, make_model, tune

from wavegen import modelfile, models, presets
from wavegen.checkpoint import Run
from wavegen.cli import duet as cli_duet
from wavegen.cli import main, parse
from wavegen.climate import level_db
from wavegen.duet import OWN_CHANCE, Duet, join, sampler_of
from wavegen.duet_config import DUET, PARTS, build_duet
from wavegen.errors import AudioError, CheckpointError, OutputError, UsageError
from wavegen.modelfile import judge_of, part_of_duet, read_model
from wavegen.rendering import Instrument, windows
from wavegen.sampling import Sampler

CONDITIONED = dict(condition_bands=12, condition_hop=32, sample_rate=8000)


@pytest.fixture(scope="module")
def instrument():
    """Returns an untrained instrument: what it is given alone makes its sound."""
    model = models.FAMILIES["wavenet"](make_config("wavenet", **CONDITIONED, predictor_order=64))
    return Instrument(model, "numba", "float32")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Returns the paths of a composer's, a renderer's and their duet's file."""
    folder = tmp_path_factory.mktemp("duet")
    parts = {}
    for part, fields in (("composer", {}), ("renderer", CONDITIONED)):
        family = "spectral_lstm" if part == "composer" else "wavenet"
        parts[part] = folder / f"{part}.safetensors"
        model = make_model(family, **fields)
        models.save(parts[part], model, {}, {"step": 7, "seconds": 2.0, "scores": []})
    join(folder / "duet.safetensors", parts)
    return parts | {"duet": folder / "duet.safetensors"}


def played(instrument, told, past, **options):
    return np.concatenate(list(instrument.play(told, past, **options)), axis=-1)


def test_windows_hold_all_of_a_sound_and_its_neighbours():
    sound = np.arange(1, 38, dtype=np.float32)[None, None]
    past = np.array([[-3.0, -2.0, -1.0]], np.float32)
    for size in (1, 5, 37):
        told = [sound[..., i : i + size] for i in range(0, 37, size)]
        found = list(windows(told, past, 10, 4))
        assert [count for _, count in found] == [10, 10, 10, 7]
        whole = np.concatenate([[0.0], past[0], sound[0, 0], np.zeros(20)])
        for i, (window, _) in enumerate(found):
            assert np.array_equal(window[0, 0], whole[10 * i : 10 * i + 18])
    assert list(windows([], past, 10, 4)) == []


def test_an_untrained_instrument_keeps_level_and_colour(instrument):
    rate = 8000
    music = 0.5 * tune(3.0, rate, seed=5)
    drawn = played(instrument, [music[None, :, rate:]], music[:, :rate])[0]
    assert drawn.shape == music[:, rate:].shape
    seconds = [slice(i, i + rate // 2) for i in range(0, 2 * rate, rate // 2)]
    errors = [level_db(drawn[:, s]) - level_db(music[:, rate:][:, s]) for s in seconds]
    assert max(map(abs, errors)) < 8.0, errors
    given = [
        instrument.bands.along(s)[:, : instrument.bands.features - 1]
        for s in (drawn, music[:, rate:])
    ]
    loud = given[1] > given[1].max() - 1.5  # within 30 dB of the loudest band
    assert abs((given[0] - given[1])[loud].mean()) * 20 < 6.0
    # Softer by 20 dB is played softer by 20 dB; silence is silent.
    softer = played(instrument, [0.1 * music[None, :, rate:]], 0.1 * music[:, :rate])
    assert abs(level_db(softer[0]) - level_db(drawn) + 20.0) < 2.0
    silence = np.zeros((1, 1, rate), np.float32)
    assert level_db(played(instrument, [silence], silence[0])[0]) < -80.0


def bell(seconds, rate=8000):
    """Returns a few decaying partials, `(1, samples)`: filters of them ring for long."""
    time = np.arange(round(seconds * rate)) / rate
    partials = [np.exp(-3 * time) * np.sin(2 * np.pi * f * time) for f in (440, 1130, 2310)]
    return np.sum(partials, axis=0)[None].astype("float32")


def test_what_is_cut_off_at_full_scale_comes_to_rest(instrument):
    """However stable a filter is, what is cut off after it may keep it going for ever."""
    hops = 250
    given = instrument.bands.along(0.1 * bell(1 + hops * 32 / 8000))[None, : hops + 1]
    wild = np.random.default_rng(0).integers(0, 2, (1, 1 + hops * 32, 1)) * (2**24 - 1)
    heard = instrument.engine.prime(wild[:, : 1 + 32], given=given[:, :2])
    noise = np.full((1, (hops - 1) * 32, 1), 0.5)
    drawn = instrument.engine.open(heard).draw(noise, given[:, 1:])
    sound = instrument.codec.decode(drawn[0])
    assert level_db(sound[:, -2000:]) < -40.0


def test_what_tells_may_be_as_loud_as_a_sound_can_be(instrument):
    music = bell(1.0)
    music = np.concatenate([music, music], axis=1) / np.abs(music).max()
    drawn = played(instrument, [music[None]], music[:, :8000], loudest_db=level_db(music[:, :800]))
    for at in (0, 4000, 8000, 12000):
        cut = slice(at, at + 4000)
        assert abs(level_db(drawn[0][:, cut]) - level_db(music[:, cut])) < 8.0
    soft = instrument.listen(0.01 * music)
    assert soft.gain == 1.0 and instrument.listen(music).gain < 0.6
    assert instrument.listen(0.01 * music, loudest_db=-10.0).gain < 0.5


def test_of_more_ways_to_go_on_one_nearer_to_what_is_told_is_kept(instrument):
    music = 0.5 * tune(2.0, 8000, seed=5)[None]
    bands, missed = instrument.bands, []
    told = bands.measured(music)[..., :-1]
    loud = told > told.max() - 2.0  # within 40 dB of the loudest
    for candidates in (1, 8):
        drawn = played(instrument, [music], music[0], candidates=candidates, follow=0.0)
        missed.append(np.std((bands.measured(drawn)[..., :-1] - told)[loud]))
    assert missed[1] < 0.95 * missed[0]
    assert np.array_equal(drawn, played(instrument, [music], music[0], follow=0.0))  # the default
    one = played(instrument, [music], music[0], candidates=1)
    assert np.array_equal(one, played(instrument, [music], music[0]))  # what is led needs no choice


def test_while_it_plays_its_components_stay_around_what_is_expected(instrument):
    told = instrument.bands.along(tune(0.2, 8000, seed=6))[:9]
    frames = make_frames(make_model("wavenet", **CONDITIONED), 1, 1 + 8 * 32)
    found = instrument.engine.distributions(frames, given=told[None])[0]
    _, means, _ = np.split(found, 3, axis=-1)
    assert np.allclose(means, 0.0)


def test_blocks_and_rows_do_not_change_what_is_played(instrument):
    music = tune(0.6, 8000, seed=6)[None]
    whole = played(instrument, [music], music[0], rng_seed=3, first_variation=1)
    parts = [music[..., i : i + 777] for i in range(0, music.shape[-1], 777)]
    assert np.array_equal(played(instrument, parts, music[0], rng_seed=3, first_variation=1), whole)
    both = played(instrument, [np.repeat(music, 2, axis=0)], music[0], rng_seed=3)
    assert np.array_equal(both[1:], whole) and not np.array_equal(both[:1], whole)


def test_a_wavenet_without_bands_is_no_instrument_and_one_with_them_no_sampler():
    with pytest.raises(UsageError, match="--arch duet"):
        Instrument(make_model("wavenet"))
    with pytest.raises(UsageError, match="render"):
        Sampler(make_model("wavenet", **CONDITIONED))


def test_a_file_of_two_models_gives_both_back(files):
    file = read_model(files["duet"])
    assert file.family == DUET and file.config.sample_rate == 8000
    assert file.extra["seconds"] == 4.0 and file.extra["parts"]["composer"]["step"] == 7
    for part in ("composer", "renderer"):
        alone, own = read_model(files[part]), part_of_duet(file, part)
        assert own.config == alone.config and own.family == alone.family
        assert own.tensors.keys() == alone.tensors.keys()
        assert all(np.array_equal(own.tensors[n], alone.tensors[n]) for n in own.tensors)
    assert judge_of(file).family == "wavenet"
    assert judge_of(read_model(files["composer"])).family == "spectral_lstm"


def test_a_duet_draws_the_same_in_any_blocks_and_batch(files):
    duet = sampler_of(read_model(files["duet"]), "numba", "float32")
    assert isinstance(duet, Duet)
    seed = tune(1.0, 8000, seed=7)
    whole = duet.generate(seed, 0.5, count=2, rng_seed=5)
    assert whole.shape == (2, 1, 4000) and np.isfinite(whole).all()
    again = duet.generate(seed, 0.5, rng_seed=5, first_variation=1, block_seconds=0.011)
    assert np.array_equal(again[0], whole[1])
    assert np.array_equal(duet.generate(seed, 0.3, count=2, rng_seed=5), whole[..., :2400])
    assert not np.array_equal(duet.generate(seed, 0.5, count=2, rng_seed=6), whole)
    assert not np.array_equal(duet.generate(seed, 0.5, count=2, rng_seed=5, noisiness=2.0), whole)
    assert duet.generate(seed, 0.0).shape == (1, 1, 0)
    assert OWN_CHANCE > 1 << 48  # attempts of a take lie 2^40 apart


def test_a_duet_is_what_its_halves_do(files):
    file, seed = read_model(files["duet"]), tune(1.0, 8000, seed=8)
    duet = sampler_of(file, "numba", "float32")
    composer = Sampler(part_of_duet(file, "composer"), "numba", "float32")
    renderer = Instrument(part_of_duet(file, "renderer"), "numba", "float32")
    ahead = renderer.ahead / 8000
    told = composer.generate(seed, 0.4 + ahead, rng_seed=9)
    own = dict(rng_seed=9, first_frame=OWN_CHANCE)
    wanted = played(renderer, [told], seed, **own)[..., :3200]
    assert np.array_equal(duet.generate(seed, 0.4, rng_seed=9), wanted)
    wanted = played(renderer, [told], seed, candidates=1, **own)[..., :3200]
    assert np.array_equal(duet.generate(seed, 0.4, rng_seed=9, candidates=1), wanted)


def test_what_is_played_beyond_full_scale_is_turned_down(instrument):
    music = 1.8 * bell(1.0) / np.abs(bell(1.0)).max()
    past = instrument.listen(np.zeros((1, 800), "float32"), loudest_db=level_db(music))
    drawn = played(instrument, [music[None]], past)
    raw = np.concatenate(list(instrument.draw([music[None]], past)), axis=-1)
    assert np.abs(raw).max() > 1.2 and 0.9 < np.abs(drawn).max() <= 1
    quiet = np.abs(raw) < 0.5
    assert np.all(np.abs(drawn[quiet]) <= np.abs(raw[quiet]))
    assert np.count_nonzero(np.abs(drawn) > 0.999) < 0.2 * np.count_nonzero(np.abs(raw) > 0.999)


def test_what_a_duet_played_on_was_is_firm_as_far_as_its_renderer_listened(files, monkeypatch):
    duet = sampler_of(read_model(files["duet"]), "numba", "float32")
    ends = []

    def stream(heard, seconds, stream=duet.composer.stream, **options):
        ends.extend([seconds, *options["ends"]])
        return stream(heard, seconds, **options)

    monkeypatch.setattr(duet.composer, "stream", stream)
    seed = tune(1.0, 8000, seed=7)
    duet.generate(seed, 0.2, rng_seed=5)
    duet.generate(seed, 0.3, rng_seed=5, ends=[0.2])
    assert ends[2] == ends[0] and ends[1] > 0.3


@pytest.mark.parametrize("wrong", ["rate", "bands", "head", "part", "type"])
def test_parts_that_do_not_play_together_are_refused(files, wrong, tmp_path):
    file = read_model(files["duet"])
    values = dataclasses.asdict(file.config)
    if wrong == "rate":
        values["composer"]["sample_rate"] = 16000
    elif wrong == "bands":
        values["renderer"]["condition_bands"] = 0
    elif wrong == "head":
        values["composer"]["head"] = "mse"
    elif wrong == "part":
        del values["composer"]
    else:
        values["renderer"] = 3
    with pytest.raises(UsageError):
        build_duet(values)
    facts = {"family": DUET, "config": values, "extra": {}}
    modelfile._write(tmp_path / "bad.safetensors", "model", file.tensors, facts)
    with pytest.raises(CheckpointError, match="out of range"):
        read_model(tmp_path / "bad.safetensors")


def test_what_a_duet_tells_of_its_training_is_checked(files, tmp_path):
    file = read_model(files["duet"])
    extra = {**file.extra, "parts": {"composer": {"step": "many"}}}
    modelfile.save_model(tmp_path / "bad.safetensors", DUET, file.config, file.tensors, extra)
    with pytest.raises(CheckpointError, match="garbled"):
        read_model(tmp_path / "bad.safetensors")


def test_sample_render_info_on_a_duet(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    soundfile.write("seed.wav", tune(1.5, 8000, seed=9).T, 8000)
    duet = str(files["duet"])
    drawing = ["-m", duet, "--seed", "4", "-q", "--precision", "float32"]
    assert main(["sample", "seed.wav", "-t", "0.5", *drawing]) == 0
    drawn = tmp_path / capsys.readouterr().out.strip()
    assert soundfile.info(drawn).frames == 12000 + 4000
    assert main(["again", str(drawn), "-o", "again", "-q"]) == 0
    twin = tmp_path / capsys.readouterr().out.strip()
    assert np.array_equal(soundfile.read(twin)[0], soundfile.read(drawn)[0])
    assert main(["render", "seed.wav", *drawing]) == 0
    rendered = tmp_path / capsys.readouterr().out.strip()
    assert soundfile.info(rendered).frames == 12000
    assert main(["again", str(rendered), "-o", "again", "-q"]) == 0
    twin = tmp_path / capsys.readouterr().out.strip()
    assert twin.read_bytes() == rendered.read_bytes()
    assert main(["again", str(rendered), "-o", "again", "-q", "--seconds", "9"]) == 2
    os.makedirs("q")
    os.link(rendered, "q/foo-again.wav")
    assert main(["render", "q/foo-again.wav", *drawing, "-o", "q", "--filename", "foo"]) == 0
    assert main(["again", "q/foo.wav", "-o", "q", "-q", "--force"]) == 3
    assert "would overwrite the seed" in capsys.readouterr().err
    os.rename("seed.wav", "other.wav")
    assert main(["again", str(rendered), "-o", "more", "-q"]) == 2
    assert "--after" in capsys.readouterr().err
    assert main(["again", str(rendered), "-o", "more", "-q", "--after", "other.wav"]) == 0
    os.rename("other.wav", "seed.wav")
    capsys.readouterr()
    assert main(["render", "seed.wav", *drawing]) == 3  # it exists
    assert "--force" in capsys.readouterr().err
    assert main(["render", "seed.wav", "-m", str(files["composer"])]) == 2
    assert main(["sample", "seed.wav", "-m", str(files["renderer"])]) == 2
    assert "render" in capsys.readouterr().err
    assert main(["info", duet, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)[0]
    assert facts["renderer condition_bands"] == "12" and facts["composer codes"] == "6"


def goes_on(begun, *flags):
    """Returns what `train` makes of a duet whose parts have begun as `begun` says."""
    saved = dict.fromkeys(PARTS)
    for part, (config, settings) in begun.items():
        facts = {"config": dataclasses.asdict(config), "settings": dataclasses.asdict(settings)}
        saved[part] = None, facts | {"family": PARTS[part]}
    return cli_duet.wanted(parse.parser().parse_args(["train", *flags]), saved)


def test_a_duet_goes_on_as_it_began_whatever_preset_it_was_of():
    asked = {"channels": 2, "heldout": 0.3, "units": 24}
    begun = presets.of_duet("tiny", asked, {})
    assert goes_on(begun) == begun
    louder = goes_on(begun, "--gain-db", "3")
    assert louder["renderer"][0] == begun["renderer"][0] and louder["renderer"][1].gain_db == 3.0
    assert goes_on(begun, "--preset", "tiny")["renderer"][0].channels == 1  # refused then
    later = goes_on({"composer": begun["composer"]})  # stopped before the renderer had begun
    assert later["composer"] == begun["composer"]
    assert later["renderer"] == presets.of_duet("tiny", asked, {})["renderer"]


def test_neither_a_duet_nor_one_model_takes_the_other_ones_place(files, tmp_path, capsys):
    for name, arch in (("one", "duet"), ("two", "lstm")):
        folder = tmp_path / name
        (folder / "composer" if name == "two" else folder).mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(files["composer"].read_bytes())
        train = ["train", str(tmp_path), "--runs", str(tmp_path), "--name", name, "--arch", arch]
        assert main(train) == CheckpointError.exit_code
        assert "use another --name or --fresh" in capsys.readouterr().err
        assert (folder / "model.safetensors").read_bytes() == files["composer"].read_bytes()


@pytest.mark.parametrize("arch", ["duet", "lstm"])
def test_a_run_is_moved_aside_when_all_else_is_right_and_nobody_trains_it(arch, tmp_path, capsys):
    run = Run.open(tmp_path / "busy", create=True)
    train = ["train", str(tmp_path), "--runs", str(tmp_path), "--name", "busy", "--fresh"]
    train += ["--arch", arch]
    with run.lock():
        assert main(train) == OutputError.exit_code
    assert "in use by pid" in capsys.readouterr().err
    assert main([*train, "--preset", "bogus"]) == UsageError.exit_code
    assert main(train) == AudioError.exit_code  # no recordings
    assert [path.name for path in tmp_path.iterdir()] == ["busy"]


def test_a_duet_that_has_only_composed_yet_is_listed(tmp_path, capsys):
    part = Run.open(tmp_path / "half" / "composer", create=True)
    part.save_state(1, {"x": np.zeros(1, np.float32)}, {})
    assert main(["runs", "--runs", str(tmp_path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["run"] == "half" and row["verdict"] == "no model yet"


@pytest.mark.slow
@pytest.mark.parametrize("partials", [[440], [220, 440, 660, 880, 1100, 1320]])
def test_tones_without_any_noise_are_rendered_as_loud(partials, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    time = np.arange(2 * 22050) / 22050
    sound = sum(0.3 / len(partials) * np.sin(2 * np.pi * f * time + f) for f in partials)
    soundfile.write("in.wav", sound, 22050, subtype="FLOAT")
    assert main(["render", "in.wav", "-m", "demo-wavenet", "-o", "out", "--seed", "1", "-q"]) == 0
    played = soundfile.read("out/in-demo-wavenet-1.wav")[0][:, 0]
    quarters = [part.reshape(8, -1) for part in (sound[:44096], played[:44096])]
    levels = [10 * np.log10(np.mean(np.square(part), axis=1)) for part in quarters]
    assert np.abs(levels[1] - levels[0])[1:].max() < 1.5  # +4 dB, and bursts to full scale, without
    assert np.abs(played).max() < 0.45


def test_an_interrupted_rendering_keeps_what_was_rendered(files, tmp_path, monkeypatch, capsys):
    def play(self, *arguments, **options):
        yield np.zeros((1, 1, 800), "float32")
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Instrument, "play", play)
    soundfile.write("seed.wav", tune(1.0, 8000).T, 8000)
    assert main(["render", "seed.wav", "-m", str(files["duet"]), "--precision", "float32"]) == 130
    out, err = capsys.readouterr()
    assert soundfile.info(out.strip()).frames == 800
    assert "what was drawn so far is kept" in err
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    whole = ["render", "seed.wav", "-m", str(files["duet"]), "--seed", "1", "-q", "-o", "whole"]
    assert main([*whole, "--precision", "float32"]) == 0
    path = capsys.readouterr().out.strip()
    monkeypatch.setattr(Instrument, "play", play)
    assert main(["again", path, "-o", "twice", "-q"]) == 130
    assert soundfile.info(capsys.readouterr().out.strip()).frames == 800


@pytest.mark.slow
def test_a_duet_is_trained_goes_on_and_is_scored(recordings, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    smaller = "codes=16 bands=16 layers_per_cycle=3 predictor_order=16 condition_bands=16".split()
    flags = [flag for pair in smaller for flag in ("--set", pair)]
    train = ["train", str(recordings), "--arch", "duet", "--preset", "tiny", "--name", "both"]
    train += ["--sample-seconds", "0.2", "-q", *flags]
    assert main([*train, "--steps", "2"]) == 0
    first = read_model("runs/both/model.safetensors")
    assert first.family == DUET and first.config.renderer.condition_bands == 16
    assert main([*train, "--steps", "4"]) == 0
    assert read_model("runs/both/model.safetensors").extra["parts"]["composer"]["step"] <= 4
    anew = ["train", str(recordings), "--name", "both", "--sample-seconds", "0.2"]
    assert main([*anew, "--steps", "5"]) == 0  # as it began, though nothing says so
    assert read_model("runs/both/model.safetensors").config == first.config
    assert main([*anew, "--steps", "5"]) == 0
    assert "the renderer has had its share of --steps 5 already" in capsys.readouterr().err
    capsys.readouterr()
    assert main(["score", str(recordings / "one.wav"), "-m", "both", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)[0]["scores"]
    assert scores[0]["unit"] == "bits per sample" and scores[0]["mean"] < 16
    assert main(["runs"]) == 0
    assert "both" in capsys.readouterr().out
    one = ["train", str(recordings), "--arch", "lstm", "--name", "both", "--steps", "1"]
    assert main(one) == 4  # it would overwrite the duet's file
    assert "duet" in capsys.readouterr().err


def test_frames_of_a_conditioned_model_are_those_of_any_wavenet():
    assert make_frames(make_model("wavenet", **CONDITIONED)).dtype == np.int32
