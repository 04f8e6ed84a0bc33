"""One training step as a pure function: loss, gradient, AdamW, weight average.

All trained weights travel as one float32 vector, so that an update is a handful of vector
operations and a training state a handful of arrays. AdamW after Loshchilov & Hutter 2019
(arXiv:1711.05101), clipped by the gradient's global norm; the average of the weights follows
Polyak & Juditsky 1992 with a decay that grows from zero, so early averages are not stale.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from wavegen import backend, mixed
from wavegen.feed import Feed
from wavegen.streaming import pure
from wavegen.train_settings import TrainSettings

BETA_1, BETA_2, EPSILON = 0.9, 0.99, 1e-8


class Learner(NamedTuple):
    """Everything an update changes: float32 vectors of one length and the count of updates."""

    weights: Any
    first: Any  # moment of the gradient
    second: Any  # moment of its square
    average: Any  # of the weights: the one that is validated, kept and played
    updates: Any  # int32 scalar


class Layout:
    """Where each trained variable of a model lies in the vector."""

    def __init__(self, model: keras.Model) -> None:
        """Reads shapes and today's values of the model's variables."""
        self.model = model
        self.trainable = [id(variable) for variable in model.trainable_variables]
        self.shapes = [tuple(variable.shape) for variable in model.trainable_variables]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.fixed = [np.asarray(variable) for variable in model.non_trainable_variables]
        # Kernels and embeddings decay, biases and single numbers do not.
        decays = [np.full(n, len(s) > 1) for n, s in zip(self.sizes, self.shapes, strict=True)]
        self.decay = np.concatenate(decays).astype("float32")

    def vector(self) -> np.ndarray:
        """Returns the model's trained weights as one float32 vector."""
        values = [np.asarray(v).reshape(-1) for v in self.model.trainable_variables]
        return np.concatenate(values).astype("float32")

    def parts(self, vector: Any) -> list[Any]:
        """Returns the trained variables' values, slices of the vector."""
        parts, at = [], 0
        for shape, size in zip(self.shapes, self.sizes, strict=True):
            parts.append(ops.reshape(vector[at : at + size], shape))
            at += size
        return parts

    def parameters(self, vector: Any) -> list[Any]:
        """Returns the list that `streaming.pure` takes: slices of the vector and fixed weights."""
        return self.with_fixed(self.parts(vector))

    def with_fixed(self, parts: list[Any]) -> list[Any]:
        """Returns the list that `streaming.pure` takes, given the trained variables' values."""
        trained, fixed = iter(parts), iter(self.fixed)
        return [
            next(trained) if id(v) in self.trainable else ops.convert_to_tensor(next(fixed))
            for v in self.model.variables
        ]

    def fix(self, values: list[np.ndarray]) -> None:
        """Puts values into the model's weights that are not trained."""
        for variable, value in zip(self.model.non_trainable_variables, values, strict=True):
            variable.assign(value)
        self.fixed = values

    def assign(self, vector: np.ndarray) -> None:
        """Puts a vector's values into the model."""
        at = 0
        for variable, size in zip(self.model.trainable_variables, self.sizes, strict=True):
            variable.assign(np.asarray(vector[at : at + size]).reshape(variable.shape))
            at += size


def begin(layout: Layout) -> Learner:
    """Returns the learner before the first update."""
    weights = layout.vector()
    zeros = np.zeros_like(weights)
    return Learner(weights, zeros, zeros, weights.copy(), np.int32(0))


def update(
    learner: Learner, gradient: Any, rate: Any, decay_mask: Any, settings: TrainSettings
) -> tuple[Learner, Any]:
    """Returns the learner after one AdamW step, and the gradient's norm before clipping.

    A gradient that is not finite changes nothing; the norm tells.
    """
    norm = ops.sqrt(ops.sum(gradient * gradient))
    finite = ops.isfinite(norm)
    gradient = gradient * ops.minimum(1.0, settings.clip / (norm + 1e-12))
    count = learner.updates + 1
    t = ops.cast(count, "float32")
    first = BETA_1 * learner.first + (1 - BETA_1) * gradient
    second = BETA_2 * learner.second + (1 - BETA_2) * gradient * gradient
    size = ops.sqrt(second / (1 - ops.power(BETA_2, t))) + EPSILON
    move = first / (1 - ops.power(BETA_1, t)) / size
    decay = settings.weight_decay * decay_mask * learner.weights
    weights = learner.weights - rate * (move + decay)
    keep = ops.minimum(settings.ema, (1.0 + t) / (10.0 + t))
    average = keep * learner.average + (1 - keep) * weights
    following = Learner(weights, first, second, average, count)
    following = Learner(*[ops.where(finite, n, o) for n, o in zip(following, learner, strict=True)])
    return following, norm


def training_step(layout: Layout, settings: TrainSettings) -> Callable:
    """Returns the compiled `f(learner, rate, given, state)`, `given` a `feed.Feed`.

    It returns (learner, loss, gradient norm, state). The model steps over all frames but the last
    and is judged on all but the first; rows that are reset begin from silence.
    """
    step, loss_of = pure(layout.model, "step"), pure(layout.model, "compute_loss")
    mixes = settings.mixed_precision and layout.model.mixes
    how = mixed.best() if mixes else mixed.WHOLE

    def loss(parts: list[Any], given: Feed, state: Any) -> tuple[Any, Any]:
        params = layout.with_fixed(parts)
        more = {"disturbed": given.disturbed, "given": given.given}
        more = {name: value for name, value in more.items() if value is not None}
        heard = given.frames[:, :-1] if given.heard is None else given.heard
        y, state = step(params, heard, state, **more)
        value = loss_of(params, y=given.frames[:, 1:], y_pred=y, sample_weight=given.valid)
        return value, state

    differentiated = backend.value_and_gradient(loss)

    def learned(learner: Any, gradients: list[Any], rate: Any) -> tuple[Learner, Any]:
        gradient = ops.concatenate([ops.reshape(part, (-1,)) for part in gradients])
        return update(Learner(*learner), gradient, rate, layout.decay, settings)

    def function(learner: Any, rate: Any, given: Feed, state: Any) -> tuple[Learner, Any, Any, Any]:
        learner = Learner(*learner)
        state = renewed(layout.model, state, given.reset)
        with mixed.mode(how):
            (value, state), gradient = differentiated(layout.parts(learner.weights), given, state)
            following, norm = mixed.fused(learned)(learner, gradient, rate)
        return following, value, norm, state

    return backend.compiled(function, whole=not how.pieces)


def renewed(model: keras.Model, state: Any, reset: Any) -> Any:
    """Returns the state with the rows where `reset` (batch,) is true as they are after silence."""

    def choose(fresh: Any, old: Any) -> Any:
        mask = ops.reshape(reset, (-1, *[1] * (len(fresh.shape) - 1)))
        return ops.where(mask, fresh, old)

    return keras.tree.map_structure(choose, model.initial_state(reset.shape[0]), state)


def schedule(settings: TrainSettings, step: int, progress: float) -> float:
    """Returns the learning rate: a linear warm-up, then half a cosine that ends with the box.

    Args:
        settings: peak and warm-up.
        step: updates so far.
        progress: share of the time or steps that is spent, in [0, 1].
    """
    warm = min(1.0, (step + 1) / max(settings.warmup_steps, 1))
    cosine = 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    return settings.learning_rate * warm * (0.02 + 0.98 * cosine)
