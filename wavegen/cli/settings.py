"""Every field of a configuration as a flag of its own, and what was given of them."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from wavegen.config import CONFIGS
from wavegen.errors import UsageError
from wavegen.fields import nearest
from wavegen.train_settings import TrainSettings


def add_fields(command: argparse.ArgumentParser) -> None:
    """Adds one flag for each field of every model family and of the training."""
    groups = {
        "the model": shared_fields(),
        **{name: dataclasses.fields(kind) for name, kind in CONFIGS.items()},
        "training": dataclasses.fields(TrainSettings),
    }
    seen: set[str] = set()
    for title, fields in groups.items():
        group = command.add_argument_group(title)
        for field in fields:
            if field.name not in seen:
                add_field(group, field)
            seen.add(field.name)


def shared_fields() -> tuple[dataclasses.Field, ...]:
    """Returns the fields that every family has."""
    first, *others = [dataclasses.fields(kind) for kind in CONFIGS.values()]
    names = [{field.name for field in fields} for fields in others]
    return tuple(field for field in first if all(field.name in known for known in names))


def add_field(group: Any, field: dataclasses.Field) -> None:
    """Adds the flag of one field; what is not given stays out of the way as None."""
    flag = "--" + field.name.replace("_", "-")
    text = field.metadata["help"].replace("%", "%%")
    if type(field.default) is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
    else:
        kind = type(field.default)
        group.add_argument(flag, type=kind, default=None, metavar=kind.__name__.upper(), help=text)


def overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the configuration fields that were given, by flag or by `--set key=value`.

    Raises:
        UsageError: a `--set` that is no key=value, an unknown key, or a value of another type.
    """
    kinds = {
        f.name: f for kind in (*CONFIGS.values(), TrainSettings) for f in dataclasses.fields(kind)
    }
    given = {n: getattr(arguments, n) for n in kinds if getattr(arguments, n, None) is not None}
    for pair in arguments.set:
        key, equals, text = pair.partition("=")
        name = key.strip().replace("-", "_")
        if not equals:
            raise UsageError(f"--set {pair} must read key=value")
        if name not in kinds:
            raise UsageError(f"{name!r} is not a setting{nearest(name, kinds)}")
        given[name] = parsed(text.strip(), type(kinds[name].default), name)
    return given


def parsed(text: str, kind: type, name: str) -> Any:
    """Returns text as a bool, int, float or str."""
    try:
        if kind is bool:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
                text.lower()
            ]
        return kind(text)
    except (KeyError, ValueError):
        raise UsageError(f"{name}={text} must be of type {kind.__name__}") from None
