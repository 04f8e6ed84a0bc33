"""The model families: name -> class. A new family is one file here and one line below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from wavegen.checkpoint import ModelFile, save_model
from wavegen.config import Config
from wavegen.counting import parameters
from wavegen.errors import CheckpointError, shown
from wavegen.models.spectral_lstm import SpectralLSTM
from wavegen.models.wavenet import WaveNet

FAMILIES: dict[str, type] = {family.family: family for family in (WaveNet, SpectralLSTM)}


def named_weights(model: keras.Model) -> dict[str, Any]:
    """Returns the model's variables by name, e.g. "weights/block_0/dilated/kernel"."""
    prefix = f"{model.name}/"
    # Keras gives every LSTM a random seed that nothing uses.
    own = [v for v in model.variables if not v.path.startswith("seed_generator")]
    assert all(variable.path.startswith(prefix) for variable in own), "a weight without a name"
    named = {f"weights/{variable.path.removeprefix(prefix)}": variable for variable in own}
    assert len(named) == len(own), "two variables share a name"
    return named


def save(path: str | Path, model: keras.Model, baselines: dict, facts: dict[str, Any]) -> None:
    """Writes the one file that a model is.

    Args:
        path: of the `.safetensors` file; replaced atomically.
        model: of any family.
        baselines: arrays of the yardsticks it is scored beside.
        facts: free JSON about its training.
    """
    arrays = {name: np.asarray(variable) for name, variable in named_weights(model).items()}
    arrays |= {f"baselines/{name}": value for name, value in baselines.items()}
    save_model(path, type(model).family, model.config, arrays, facts)


def load(file: ModelFile) -> keras.Model:
    """Returns the model that a file holds.

    Raises:
        CheckpointError: its tensors do not fit its configuration; one that asks for more weights
            than the file holds is not even built.
    """
    held = sum(a.size for name, a in file.tensors.items() if name.startswith("weights/"))
    if held < parameters(file.config):
        raise CheckpointError(
            f"{shown(file.path)}: holds {held} weights, but its configuration asks for "
            f"{parameters(file.config)}; the file was not written by this version of wavegen"
        )
    model = FAMILIES[file.family](file.config)
    for name, variable in named_weights(model).items():
        value = file.tensors.get(name)
        if value is None or value.shape != tuple(variable.shape) or value.dtype.kind != "f":
            found = "missing" if value is None else f"of shape {value.shape} ({value.dtype})"
            raise CheckpointError(
                f"{shown(file.path)}: {name} is {found}, its configuration asks for "
                f"{tuple(variable.shape)}; the file was not written by this version of wavegen"
            )
        variable.assign(value)
    return model


def copy(model: keras.Model, config: Config) -> keras.Model:
    """Returns a model with the weights of another, of a configuration that has the same ones."""
    fresh = FAMILIES[type(model).family](config)
    for ours, theirs in zip(fresh.variables, model.variables, strict=True):
        ours.assign(theirs)
    return fresh
