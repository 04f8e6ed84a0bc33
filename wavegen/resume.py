"""Going on with a run: what must be as it was, and what may differ and is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wavegen.checkpoint import part_of
from wavegen.config import build
from wavegen.dataset import Dataset
from wavegen.errors import CheckpointError, shown
from wavegen.train_settings import TrainSettings


class Parts(NamedTuple):
    """The arrays of a training state that a step changes or takes."""

    learner: dict[str, Any]  # fields of `optimizer.Learner`
    carry: list[Any]  # state of the streams, leaf after leaf
    fixed: list[Any]  # weights that are not trained

    @property
    def batch(self) -> int:
        """How many streams there are."""
        return self.carry[0].shape[0] if self.carry and self.carry[0].ndim else 1

    def packed(self) -> dict[str, np.ndarray] | None:
        """Returns all of them by name, or None if one of their numbers is none."""
        arrays = {f"learner/{name}": np.asarray(array) for name, array in self.learner.items()}
        arrays |= {f"carry/{i:03d}": leaf for i, leaf in enumerate(self.carry)}
        arrays |= {f"fixed/{i:03d}": value for i, value in enumerate(self.fixed)}
        return arrays if all(np.isfinite(array).all() for array in arrays.values()) else None

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray]) -> Parts:
        """Returns what `packed` gave away."""
        carry, fixed = (sorted(part_of(arrays, prefix).items()) for prefix in ("carry/", "fixed/"))
        learner = part_of(arrays, "learner/")
        return cls(learner, [array for _, array in carry], [array for _, array in fixed])

    def fitted(self, wanted: Parts, folder: Path) -> Parts:
        """Returns what fits the model.

        What its streams remember may have been something else in an older version: then they begin
        anew, as each does now and then.

        Args:
            wanted: the model's parts, at their beginning.
            folder: of the run.

        Raises:
            CheckpointError: shapes or types of the rest are not those of the model's parts.
        """
        weights = [kinds(part.learner) + kinds(part.fixed) for part in (self, wanted)]
        if weights[0] != weights[1] or not self.carry:
            raise CheckpointError(
                f"{shown(folder)}: its training state does not fit its model; use another --name "
                "or --fresh"
            )
        same = kinds(self.carry) == kinds(wanted.carry)
        return self if same else self._replace(carry=wanted.carry)


def kinds(arrays: dict[str, Any] | list[Any]) -> list[tuple]:
    """Returns name or number, shape and type of every array."""
    named = sorted(arrays.items()) if isinstance(arrays, dict) else enumerate(arrays)
    return [(name, tuple(array.shape), np.asarray(array).dtype) for name, array in named]


def check_same(facts: dict, family: str, model_config: Any) -> None:
    """Raises CheckpointError naming every field in which the saved run is another model."""
    if facts["family"] != family:
        raise CheckpointError(
            f"this run trains a {facts['family']}, not a {family}; use another --name or --fresh"
        )
    # A run from before there was a setting has its default: that is what all models had then.
    then = dataclasses.asdict(build(type(model_config), facts["config"]))
    differing = [
        f"{name} is {then[name]!r}, not {value!r}"
        for name, value in dataclasses.asdict(model_config).items()
        if then[name] != value
    ]
    if differing:
        raise CheckpointError(
            f"this run's model is fixed: {'; '.join(differing)}; use another --name or --fresh"
        )


def changes(
    asked: TrainSettings,
    settings: TrainSettings,
    dataset: Dataset,
    arrays: dict[str, np.ndarray],
    facts: dict[str, Any],
) -> list[str]:
    """Returns in sentences what differs from what the run was trained with so far.

    Args:
        asked: the settings that the user wants.
        settings: those that this session will have.
        dataset: the recordings of now.
        arrays: of the saved state.
        facts: of the saved state.
    """
    found, now = [], dataclasses.asdict(settings)
    was = dataclasses.asdict(build(TrainSettings, facts["settings"]))
    changed = [f"{name} {was[name]} -> {now[name]}" for name in now if was[name] != now[name]]
    if changed:
        found.append(f"from here on: {', '.join(changed)}")
    if asked.batch != settings.batch:
        found.append(f"the batch stays {settings.batch}: a run keeps its streams")
    if facts["fingerprint"] != dataset.fingerprint:
        here, then = (
            set(heard(dataset).tolist()),
            set(np.ravel(arrays.get("recordings", [])).tolist()),
        )
        found.append(
            f"the recordings have changed since this run began ({len(here - then)} new, "
            f"{len(then - here)} gone); training goes on with those that are there"
        )
    return found


def heard(dataset: Dataset) -> np.ndarray:
    """Returns uint64 `(recordings,)`: the beginnings of the content hashes, sorted."""
    return np.array(sorted(int(key[:16], 16) for key in dataset.keys), np.uint64)
