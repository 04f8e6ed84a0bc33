"""fit(): the loop that trains a model, within a time box, and continues where it stopped.

A run's whole state is a few arrays and a few facts: weights, moments, their average, the carried
state of the streams, the step's number (which is the place in the data), the seconds spent and the
best score. Resuming is reading them back; nothing else remembers.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import keras
import numpy as np
from keras import ops

from wavegen import backend, config, heldout, optimizer, resume
from wavegen.checkpoint import Run, part_of
from wavegen.climate import Climate
from wavegen.codec import codec_of
from wavegen.dataset import Dataset
from wavegen.errors import DivergedError, OutputError
from wavegen.feed import Feed, Prefetch, feed
from wavegen.models import FAMILIES, save
from wavegen.plan import Clock, Meter, Plan, Stopped
from wavegen.train_settings import TrainSettings

SAVE_SECONDS = 60.0  # at most this much training is lost to a kill -9
UNTRAINED = "not trained yet: this is what it starts from"
BAD_STEPS = 20  # gradients in a row that are not finite before going back to the last saved state
ROLLBACKS = 3
START_SECONDS = 1200.0  # of recordings that a model looks at before it begins, at most


def fit(run: Run, dataset: Dataset, model_config: Any, settings: TrainSettings, plan: Plan) -> str:
    """Trains, or continues, the run's model; the caller holds the run's lock.

    Args:
        run: the run's folder.
        dataset: at the model's sample rate and channels.
        model_config: of the family to train.
        settings: how to train.
        plan: box, reporting and stopping.

    Returns:
        "finished" when the box is full, "stopped" when `plan.stop` said so.

    Raises:
        CheckpointError: the run holds a different model.
        DivergedError: the loss left the numbers' range time and again.
        OutputError: the folder cannot be written, or memory does not suffice for a batch of one.
    """
    session = Session(run, dataset, model_config, settings, plan)
    try:
        return session.train()
    finally:
        session.close()


class Session:
    """One sitting of a run: what `fit` keeps in hand while it loops."""

    def __init__(
        self, run: Run, dataset: Dataset, model_config: Any, settings: Any, plan: Plan
    ) -> None:
        """Builds the model, reads back the run's state or begins it, and tries one step."""
        self.run, self.dataset, self.plan, self.settings = run, dataset, plan, settings
        self.clock = Clock()
        family = config.family_of(model_config)
        keras.utils.set_random_seed(settings.rng_seed % 2**32)
        self.model: Any = FAMILIES[family](model_config)
        saved = run.resumable()
        for warning in run.warnings:
            plan.report({"event": "note", "text": warning})
        if saved:
            resume.check_same(saved[1], family, model_config)
            kept = part_of(saved[0], "baselines/")
            self.yardsticks = heldout.Yardsticks.from_arrays(model_config, kept)
        else:
            plan.report({"event": "note", "text": "measuring the baselines on the recordings"})
            codec = codec_of(model_config)
            self.yardsticks = heldout.Yardsticks.fit(codec, model_config, dataset)
            pieces = heldout.encoded(codec, dataset, "train", START_SECONDS)
            self.model.start_from(self.yardsticks.baselines, pieces)
        self.climate = Climate.of(dataset)
        self.layout = optimizer.Layout(self.model)
        self.judge = heldout.Judge(self.model, self.yardsticks, dataset)
        self.learner = optimizer.begin(self.layout)
        self.step, self.best = 0, np.inf
        self.rate_factor, self.rollbacks = 1.0, 0
        self.bad = 0  # gradients in a row that were not finite
        self.carry: Any = None
        if saved:
            self.restore(*saved)
            for text in resume.changes(self.asked, self.settings, dataset, *saved):
                plan.report({"event": "note", "text": text})
        self.fit_memory()
        self.prefetch = Prefetch(dataset, model_config, self.settings)
        self.last_save = self.last_validation = time.monotonic()
        self.validated = -1  # the step that was scored last

    # -- the loop ------------------------------------------------------------------------------

    def train(self) -> str:
        """Loops until the box is full or the user stops; saves on both ways out."""
        try:
            self.loop()
            outcome = "finished"
        except Stopped:
            outcome = "stopped"
        self.save()
        return outcome

    def loop(self) -> None:
        """Takes steps until the box is full; raises Stopped between two of them."""
        self.clock.spare(self.plan.seconds)
        if self.step == 0:
            self.validate()
            self.save()
            self.clock.spare(self.plan.seconds)
        listened, meter = self.progress(), Meter()
        while self.progress() < 1.0:
            self.plan.check()
            rate = self.rate_factor * optimizer.schedule(self.settings, self.step, self.progress())
            loss, norm = self.one_step(self.prefetch(self.step), rate)
            self.step += 1
            self.bad = 0 if np.isfinite(norm) else self.bad + 1
            if self.bad >= BAD_STEPS:
                self.roll_back()
                self.bad = 0
            meter.add(loss, self.settings.batch * self.settings.window)
            self.report_step(meter, norm, rate)
            if self.plan.is_listening_time(listened, self.progress()):
                listened = self.progress()
                self.validate()
                self.listen()
                meter.pause()
            elif self.plan.is_validation_time(self.last_validation, self.judge.seconds):
                self.validate()
                meter.pause()
            if time.monotonic() - self.last_save > SAVE_SECONDS:
                self.save()
        if self.validated != self.step:
            self.validate()
        self.listen()

    def one_step(self, given: Feed, rate: float) -> tuple[float, float]:
        """Takes one training step; returns the loss and the gradient's norm."""
        learner, loss, norm, carry = self.stepper(self.learner, np.float32(rate), given, self.carry)
        self.learner = optimizer.Learner(*learner)
        self.carry = carry
        return float(loss), float(norm)

    def progress(self) -> float:
        """Returns the share of the box that is full."""
        return self.plan.progress(self.step, self.clock.elapsed())

    # -- what happens between steps ------------------------------------------------------------

    def validate(self) -> None:
        """Scores the averaged weights on the held-out part; keeps them if best, but for slack.

        What has been learned is saved before: then the user need not wait for the end of this.
        """
        if self.step:
            self.save()
        scores, verdict = self.judge(
            self.layout.parameters(ops.convert_to_tensor(self.learner.average)), self.plan.check
        )
        self.last_validation, self.validated = time.monotonic(), self.step
        if not self.step:
            verdict = UNTRAINED
        mean = scores[0].mean if scores else -float(self.step)  # nothing held out: the latest
        row = {"event": "validation", "step": self.step, "seconds": round(self.clock.elapsed(), 2)}
        keep = bool(mean < self.best + self.model.slack)
        row |= {"scores": [dataclasses.asdict(s) for s in scores], "verdict": verdict, "best": keep}
        self.record(row)
        if keep:
            self.best = min(self.best, float(mean))
            self.layout.assign(np.asarray(self.learner.average))
            facts = {"step": self.step, "seconds": self.clock.elapsed(), "scores": row["scores"]}
            facts |= {"climate": dataclasses.asdict(self.climate)}
            facts |= {"recordings": self.dataset.summary(), "verdict": row["verdict"]}
            save(self.run.model_path, self.model, self.yardsticks.to_arrays(), facts)
            self.plan.report({"event": "kept", "step": self.step})

    def listen(self) -> None:
        """Lets the caller draw a listening sample from the averaged weights."""
        self.layout.assign(np.asarray(self.learner.average))
        self.plan.listen(self.model, self.step, self.climate)

    def report_step(self, meter: Meter, norm: float, rate: float) -> None:
        """Reports the step; about one a second goes to the log as well."""
        loss, speed = meter.read()
        row: dict[str, Any] = {"event": "step", "step": self.step, "loss": loss}
        row |= {"seconds": round(self.clock.elapsed(), 2), "rate": rate, "norm": norm}
        row |= {"frames_per_second": round(speed, 1), "progress": self.progress()}
        self.plan.report(row)
        if meter.due():
            self.run.log(row)

    def record(self, row: dict) -> None:
        """Reports and logs one event."""
        self.plan.report(row)
        self.run.log(row)

    # -- the run's state -----------------------------------------------------------------------

    def save(self) -> None:
        """Writes the whole training state, atomically, unless its last step was no number."""
        leaves = keras.tree.flatten(backend.to_numpy(self.carry))
        learner = backend.to_numpy(self.learner)._asdict()
        arrays = resume.Parts(learner, leaves, self.layout.fixed).packed()
        if arrays is None or self.bad:
            return  # what is on disk is the last good state, and stays it
        arrays |= {f"baselines/{name}": a for name, a in self.yardsticks.to_arrays().items()}
        arrays["recordings"] = resume.heard(self.dataset)
        facts = {
            "family": type(self.model).family,
            "config": dataclasses.asdict(self.model.config),
            "settings": dataclasses.asdict(self.settings),
            "step": self.step,
            "seconds": self.clock.elapsed(),
            "best": self.best if np.isfinite(self.best) else None,
            "rate_factor": self.rate_factor,
            "rollbacks": self.rollbacks,
            "fingerprint": self.dataset.fingerprint,
        }
        self.run.save_state(self.step, arrays, facts)
        self.last_save = time.monotonic()
        self.plan.report({"event": "saved", "step": self.step})

    def restore(self, arrays: dict[str, np.ndarray], facts: dict) -> None:
        """Takes a saved state over.

        Raises:
            CheckpointError: its arrays are not those of the model.
        """
        self.asked, parts = self.settings, resume.Parts.of(arrays)
        blank = self.model.initial_state(max(parts.batch, 1))
        wanted = (self.learner._asdict(), keras.tree.flatten(blank), self.layout.fixed)
        parts = parts.fitted(resume.Parts(*wanted), self.run.folder)
        self.learner = optimizer.Learner(**parts.learner)
        self.layout.fix(parts.fixed)
        self.step, self.clock.spent = int(facts["step"]), float(facts["seconds"])
        self.best = np.inf if facts["best"] is None else float(facts["best"])
        self.rate_factor, self.rollbacks = float(facts["rate_factor"]), int(facts["rollbacks"])
        self.run.truncate_log(self.step)
        note = f"continuing at step {self.step} after {self.clock.spent:.0f} s of training"
        self.plan.report({"event": "note", "text": note})
        self.settings = dataclasses.replace(self.settings, batch=parts.batch)
        self.carry = keras.tree.pack_sequence_as(blank, parts.carry)

    def roll_back(self) -> None:
        """Goes back to the last saved state with half the rate, a few times at most."""
        self.rollbacks += 1
        saved = self.run.load_state()
        if self.rollbacks > ROLLBACKS or not saved:
            raise DivergedError(
                f"{self.run.folder}: the loss is not a number any more after {ROLLBACKS} returns "
                "to the last good state; the best model is kept, try --learning-rate "
                f"{self.settings.learning_rate / 4:g}"
            )
        rollbacks, factor, spent = self.rollbacks, self.rate_factor / 2, self.clock.elapsed()
        self.restore(*saved)
        self.rollbacks, self.rate_factor = rollbacks, factor
        self.clock = Clock(spent)
        text = f"the loss was not a number: back at step {self.step} with half the learning rate"
        self.record({"event": "note", "step": self.step, "text": text})

    def fit_memory(self) -> None:
        """Tries one step, whose result is thrown away; halves the batch until it fits."""
        while True:
            try:
                if self.carry is None:
                    self.carry = self.model.initial_state(self.settings.batch)
                self.stepper = optimizer.training_step(self.layout, self.settings)
                given = feed(self.dataset, self.model.config, self.settings, self.step)
                learner, carry = self.learner, self.carry
                self.one_step(given, 0.0)
                self.learner, self.carry = learner, carry
                return
            except Exception as error:
                if not backend.out_of_memory(error):
                    raise
                if self.settings.batch == 1:
                    raise OutputError(
                        f"memory does not suffice for one window of {self.settings.window} frames; "
                        "try a smaller --window or preset"
                    ) from error
                was, batch = self.settings.batch, self.settings.batch // 2
                text = f"memory does not suffice for a batch of {was}; using {batch}"
                self.plan.report({"event": "note", "text": text})
                self.settings, self.carry = dataclasses.replace(self.settings, batch=batch), None

    def close(self) -> None:
        """Ends the prefetching thread."""
        self.prefetch.close()
