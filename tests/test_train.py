import dataclasses
import json
import time

import numpy as np
import pytest
from conftest import SLOW, SMALL, make_config

from wavegen import config, dataset, presets, resume, train
from wavegen.checkpoint import Run, read_model
from wavegen.cli import parse
from wavegen.cli import train as cli_train
from wavegen.errors import CheckpointError, DivergedError, OutputError
from wavegen.plan import Clock, Plan
from wavegen.train_settings import TrainSettings

pytestmark = pytest.mark.usefixtures("compiled_once")
PLAIN = {"predictor_order": 0}  # compiled in half the time, where the model does not matter
VARIANTS = [("wavenet", PLAIN), pytest.param("spectral_lstm", {"channels": 1}, marks=SLOW)]
VARIANTS.append(pytest.param("wavenet", {"channels": 2}, marks=SLOW))


def load(folder, model_config):
    return dataset.load(
        folder,
        sample_rate=model_config.sample_rate,
        channels=model_config.channels,
        gap_seconds=0.1,
    )


def settings(family, **fields):
    window = 300 if family == "wavenet" else 12
    common = dict(batch=3, window=window, learning_rate=5e-3, ema=0.9, warmup_steps=5)
    return config.build(TrainSettings, common | fields)


def fit(folder, data, model_config, given, **plan):
    run = Run.open(folder, create=True)
    with run.lock():
        outcome = train.fit(run, data, model_config, given, Plan(**plan))
    return run, outcome


def test_a_run_older_than_a_setting_goes_on_without_it():
    model_config = make_config("spectral_lstm", rise=0.0)
    facts = {"family": "spectral_lstm", "config": dataclasses.asdict(model_config)}
    del facts["config"]["rise"]
    resume.check_same(facts, "spectral_lstm", model_config)
    with pytest.raises(CheckpointError, match="rise is 0.0, not 2.0"):
        resume.check_same(facts, "spectral_lstm", dataclasses.replace(model_config, rise=2.0))


@pytest.mark.parametrize("saved_since", [False, True])
@pytest.mark.parametrize("given", [[], ["--preset", "small"], ["--{}", "2"]])
@pytest.mark.parametrize(
    ("family", "name"), [("spectral_lstm", "rise"), ("wavenet", "scale_memory")]
)
def test_the_command_that_began_an_older_run_goes_on_with_it(family, name, given, saved_since):
    """A preset has what there was not when the run began; whoever asks for it is told."""
    model_config, settings = presets.from_preset(family, "small", {name: 0.0})
    facts = {"config": dataclasses.asdict(model_config), "settings": dataclasses.asdict(settings)}
    if not saved_since:
        del facts["config"][name]
    flags = [each.format(name.replace("_", "-")) for each in given]
    arguments = parse.parser().parse_args(["train", *flags])
    found, _ = cli_train.wanted(arguments, family, (None, facts | {"family": family}))
    asked = 2.0 if "--{}" in given else 0.0
    assert found == dataclasses.replace(model_config, **{name: asked})


@pytest.mark.parametrize(("family", "fields"), VARIANTS)
def test_resumed_is_uninterrupted_to_the_last_bit(family, fields, recordings, tmp_path):
    model_config = make_config(family, **fields)
    data, given = load(recordings, model_config), settings(family)
    straight, outcome = fit(tmp_path / "runs/straight", data, model_config, given, steps=6)
    assert outcome == "finished"
    steps = []
    halves, outcome = fit(
        tmp_path / "runs/halves",
        data,
        model_config,
        given,
        steps=6,
        report=lambda event: steps.append(event) if event["event"] == "step" else None,
        stop=lambda: len(steps) >= 3,
    )
    assert outcome == "stopped"
    assert halves.load_state()[1]["step"] == 3
    _, outcome = fit(halves.folder, data, model_config, given, steps=6)
    assert outcome == "finished"
    (ours, facts), (theirs, others) = straight.load_state(), halves.load_state()
    assert facts["step"] == others["step"] == 6 and facts["best"] == others["best"]
    assert set(ours) == set(theirs)
    assert any(np.any(ours[name]) for name in ours if name.startswith("carry/"))
    for name in ours:
        assert np.array_equal(ours[name], theirs[name]), name
    one, two = read_model(straight.model_path), read_model(halves.model_path)
    for name in one.tensors:
        assert np.array_equal(one.tensors[name], two.tensors[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("family", SMALL)
def test_training_learns_and_keeps_the_best(family, recordings, tmp_path):
    model_config = make_config(family, **(PLAIN if family == "wavenet" else {}))
    data = load(recordings, model_config)
    events = []
    run, _ = fit(
        tmp_path / "runs/a",
        data,
        model_config,
        settings(family),
        steps=60,
        report=events.append,
    )
    scores = [e["scores"][0]["mean"] for e in events if e["event"] == "validation"]
    assert min(scores) < scores[0] - 0.02
    file = read_model(run.model_path)
    slack = 0.1 if family == "spectral_lstm" else 0.0  # what is hardly worse than the best is kept
    good = [s for i, s in enumerate(scores) if s < min([*scores[:i], np.inf]) + slack]
    assert file.extra["scores"][0]["mean"] == good[-1]
    assert file.family == family and file.config == model_config
    kinds = {row["event"] for row in run.rows()}
    assert {"validation", "step"} <= kinds
    assert [row["step"] for row in run.rows()] == sorted(row["step"] for row in run.rows())


@pytest.mark.slow
def test_a_time_box_ends_and_is_not_begun_again(recordings, tmp_path):
    model_config = make_config("wavenet", **PLAIN)
    data, given = load(recordings, model_config), settings("wavenet")
    heard = []
    run, outcome = fit(
        tmp_path / "runs/a",
        data,
        model_config,
        given,
        seconds=3.0,
        listen=lambda model, step, climate: heard.append(step),
    )
    assert outcome == "finished" and heard
    step = run.load_state()[1]["step"]
    assert step > 0 and run.load_state()[1]["seconds"] >= 3.0
    _, outcome = fit(run.folder, data, model_config, given, seconds=3.0)
    assert outcome == "finished" and run.load_state()[1]["step"] == step


@pytest.mark.parametrize("spent", [0.0, 14.0, 30.0])
@pytest.mark.parametrize("started", [0.0, 100.0])
def test_a_slow_start_leaves_half_of_the_rest_of_the_box(spent, started):
    clock = Clock(spent)
    clock.began = began = time.monotonic() - started
    clock.spare(None)  # no time to share
    assert clock.began == began
    clock.spare(20.0)
    counted = time.monotonic() - clock.began
    assert counted == pytest.approx(min(started, max(20.0 - spent, 0.0) / 2), abs=0.5)
    assert clock.spent == spent


@pytest.mark.slow
def test_another_model_is_refused_field_by_field(recordings, tmp_path):
    model_config = make_config("wavenet", **PLAIN)
    data, given = load(recordings, model_config), settings("wavenet")
    run, _ = fit(tmp_path / "runs/a", data, model_config, given, steps=1)
    other = dataclasses.replace(model_config, levels=64, cycles=1)
    with pytest.raises(
        CheckpointError, match="cycles is 2, not 1; levels is 32, not 64|levels is 32"
    ):
        fit(run.folder, data, other, given, steps=2)
    with pytest.raises(CheckpointError, match="trains a wavenet, not a spectral_lstm"):
        fit(run.folder, data, make_config("spectral_lstm"), settings("spectral_lstm"), steps=2)


@pytest.mark.slow
def test_changed_recordings_are_said_and_trained_on(recordings, tmp_path):
    model_config = make_config("wavenet", **PLAIN)
    given = settings("wavenet")
    run, _ = fit(tmp_path / "runs/a", load(recordings, model_config), model_config, given, steps=1)
    (recordings / "two.wav").unlink()
    events, given = [], dataclasses.replace(given, learning_rate=1e-3, batch=2)
    fit(
        run.folder, load(recordings, model_config), model_config, given, steps=2,
        report=events.append,
    )  # fmt: skip
    texts = " ".join(event.get("text", "") for event in events)
    assert "recordings have changed since this run began (0 new, 1 gone)" in texts
    assert "from here on: learning_rate 0.005 -> 0.001" in texts
    assert "the batch stays 3" in texts
    assert run.load_state()[1]["step"] == 2


@pytest.mark.slow
def test_numbers_that_break_lead_back_and_then_to_an_end(recordings, tmp_path, monkeypatch):
    model_config = make_config("wavenet", **PLAIN)
    data, given = load(recordings, model_config), settings("wavenet")
    run, _ = fit(tmp_path / "runs/a", data, model_config, given, steps=2)
    events = []
    real = train.Session.one_step
    rates = []

    def broken(self, feed, rate):
        rates.append(rate)
        loss, _ = real(self, feed, rate)
        return loss, float("nan")

    monkeypatch.setattr(train.Session, "one_step", broken)
    with pytest.raises(DivergedError, match="--learning-rate"):
        fit(run.folder, data, model_config, given, steps=500, report=events.append)
    assert sum("half the learning rate" in event.get("text", "") for event in events) == 3
    assert max(rates[-train.BAD_STEPS :]) <= max(rates) / 7
    assert read_model(run.model_path)


@pytest.mark.slow
def test_too_little_memory_halves_the_batch(recordings, tmp_path, monkeypatch):
    model_config = make_config("wavenet", **PLAIN)
    data, given = load(recordings, model_config), settings("wavenet", batch=12)
    real = train.Session.one_step

    def short(self, feed, rate):
        if self.settings.batch > limit:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating a lot")
        return real(self, feed, rate)

    monkeypatch.setattr(train.Session, "one_step", short)
    limit, events = 3, []
    run, _ = fit(tmp_path / "runs/a", data, model_config, given, steps=2, report=events.append)
    texts = [event.get("text", "") for event in events]
    assert sum("using 6" in text for text in texts) == sum("using 3" in text for text in texts) == 1
    assert run.load_state()[1]["settings"]["batch"] == 3
    limit = 0
    with pytest.raises(OutputError, match="smaller --window"):
        fit(tmp_path / "runs/b", data, model_config, given, steps=2)


@pytest.mark.slow
def test_without_a_held_out_part_the_latest_is_kept(tmp_path, monkeypatch, recordings):
    model_config = make_config("wavenet", **PLAIN)
    data = dataset.load(recordings, sample_rate=8000, channels=1, heldout=0.0)
    run, _ = fit(tmp_path / "runs/a", data, model_config, settings("wavenet"), steps=3)
    assert read_model(run.model_path).extra["step"] == 3
    for line in run.log_path.read_text().splitlines():
        json.loads(line, parse_constant=lambda text: pytest.fail(text))
