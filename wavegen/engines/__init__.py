"""Engines draw frames from a model: the reference runs every family, a fast one few.

Every engine has `prime(frames, session)`, `draw(session, noise, **controls)`, `distributions` or
`log_prob` of given frames, and the same sessions: `(last frame, model state)`, values that one
engine can take over from another in the middle of a phrase. A fast engine imports nothing of
wavegen and nothing of Keras: arrays in, arrays out.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

from wavegen.codec import codec_of
from wavegen.config import EMBEDDING, Config, WaveNetConfig, family_of
from wavegen.errors import CheckpointError, UsageError, shown
from wavegen.fields import nearest
from wavegen.modelfile import ModelFile

PRECISIONS = ("float32", "bfloat16", "int8")


def reference(model: Any, config: Config, precision: str | None, fine: int) -> Any:
    """Returns the reference engine of a Keras model, or of the model that a file holds."""
    from wavegen.engines.reference import Reference

    if precision not in (None, "float32"):
        raise UsageError(f"the reference engine has no {precision}; it has float32")
    from wavegen import models

    if isinstance(model, ModelFile):
        own = models.load(dataclasses.replace(model, config=config))
    else:
        own = model if model.config == config and fine == 1 else models.copy(model, config)
    if fine > 1:
        own.fine = fine
    return Reference(own)


def compiled(model: Any, config: Config, precision: str | None, fine: int) -> Any:
    """Returns the compiled engine of a family; of a file's model without importing Keras."""
    if not is_compiled(model.config):
        raise UsageError(
            "the numba engine draws a wavenet, or a spectral_lstm with codes, not "
            f"a {family_of(model.config)} with the head {model.config.head}"
        )
    if isinstance(model, ModelFile):
        named = {k: v for k, v in model.tensors.items() if k.startswith("weights/")}
    else:
        from wavegen.models import named_weights

        named = named_weights(model)
    weights = {name.removeprefix("weights/"): value for name, value in named.items()}
    if family_of(model.config) == "wavenet":
        from wavegen.engines.numba_cpu import NumbaCPU, weight_shapes

        check_shapes(model, weights, weight_shapes(model.config))
        codec = codec_of(model.config)
        tables = codec.values, codec.edges
        return NumbaCPU(config, weights, *tables, precision=precision, fine=fine)
    from wavegen.engines import numba_spectral

    check_shapes(model, weights, numba_spectral.weight_shapes(model.config, EMBEDDING))
    return numba_spectral.NumbaSpectral(config, weights, precision=precision)


def check_shapes(model: Any, weights: dict[str, Any], shapes: dict[str, tuple]) -> None:
    """Raises CheckpointError unless every weight is there and of the right shape."""
    for name, shape in shapes.items():
        here = tuple(weights[name].shape) if name in weights else None
        kind = str(weights[name].dtype) if name in weights else ""
        if here != shape or "float" not in kind:
            found = "missing" if here is None else f"of shape {here} ({kind})"
            where = shown(model.path) if isinstance(model, ModelFile) else "the model"
            raise CheckpointError(
                f"{where}: weights/{name} is {found}, its configuration asks for {shape}; "
                "the file was not written by this version of wavegen"
            )


def is_compiled(config: Config) -> bool:
    """Returns whether the compiled engine draws such a model."""
    return isinstance(config, WaveNetConfig) or config.head == "codes"


ENGINES: dict[str, Callable[..., Any]] = {"reference": reference, "numba": compiled}


def make(
    model: Any,
    engine: str | None = None,
    precision: str | None = None,
    config: Config | None = None,
    fine: int = 1,
) -> Any:
    """Returns an engine with a snapshot of a model's weights.

    Args:
        model: a Keras model of any family, or a `ModelFile`.
        engine: a key of `ENGINES`; None takes the fastest that runs the family here.
        precision: float32, bfloat16 or int8; None is the engine's default.
        config: the model's, or one with the same weights, as `sustained` has it.
        fine: levels of a WaveNet's mixture in a step of 16 bits, of all frames, see `PCM24`.

    Raises:
        UsageError: no such engine or precision, or one that cannot run this family.
    """
    check_names(engine, precision)
    name = engine or best(model.config)
    return ENGINES[name](model, config or model.config, precision, fine)


def check_names(engine: str | None, precision: str | None) -> None:
    """Raises UsageError for an engine or a precision that does not exist; None is allowed."""
    for name, kind, known in (
        (engine, "an engine", tuple(ENGINES)),
        (precision, "a precision", PRECISIONS),
    ):
        if name is not None and name not in known:
            hint = nearest(name, known)
            raise UsageError(f"{name!r} is not {kind}{hint}; there are {', '.join(known)}")


def best(config: Config) -> str:
    """Returns the name of the fastest engine that draws such a model here."""
    if is_compiled(config):
        with contextlib.suppress(ImportError):  # Numba can lag behind a new Python
            import numba  # noqa: F401

            return "numba"
    return "reference"


def warm_up(config: Config) -> None:
    """Compiles the engine that is best for a model, if that takes no model to do."""
    if best(config) != "numba":
        return
    if isinstance(config, WaveNetConfig):
        from wavegen.engines import numba_cpu

        numba_cpu.warm_up()
    else:
        from wavegen.engines import numba_spectral

        numba_spectral.warm_up()
