"""The model families: name -> class. A new family is one file here and one line below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from wavegen.checkpoint import ModelFile, save_model
from wavegen.errors import CheckpointError
from wavegen.models.spectral_lstm import SpectralLSTM
from wavegen.models.wavenet import WaveNet

FAMILIES: dict[str, type] = {family.family: family for family in (WaveNet, SpectralLSTM)}


def tensors(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns the model's variables by name, e.g. "weights/block_0/dilated/kernel"."""
    named = {variable.path.split("/", 1)[-1]: np.asarray(variable) for variable in model.variables}
    assert len(named) == len(model.variables), "two variables share a name"
    return {f"weights/{name}": value for name, value in named.items()}


def save(path: str | Path, model: keras.Model, baselines: dict, facts: dict[str, Any]) -> None:
    """Writes the one file that a model is.

    Args:
        path: of the `.safetensors` file; replaced atomically.
        model: of any family.
        baselines: arrays of the yardsticks it is scored beside.
        facts: free JSON about its training.
    """
    arrays = tensors(model) | {f"baselines/{name}": value for name, value in baselines.items()}
    save_model(path, type(model).family, model.config, arrays, facts)


def load(file: ModelFile) -> keras.Model:
    """Returns the model that a file holds.

    Raises:
        CheckpointError: its tensors do not fit its configuration.
    """
    model = FAMILIES[file.family](file.config)
    for variable in model.variables:
        name = f"weights/{variable.path.split('/', 1)[-1]}"
        value = file.tensors.get(name)
        if value is None or value.shape != tuple(variable.shape):
            found = "missing" if value is None else f"of shape {value.shape}"
            raise CheckpointError(
                f"{file.path}: {name} is {found}, its configuration asks for "
                f"{tuple(variable.shape)}; the file was not written by this version of wavegen"
            )
        variable.assign(value)
    return model
