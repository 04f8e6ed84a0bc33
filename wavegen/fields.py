"""Fields of a configuration: their bounds, and values that are checked before anything is made.

A field says its unit and what it may be; the command line makes a flag of it.
"""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from wavegen.errors import UsageError


def bounded(default: Any, low: float, high: float, help: str, choices: tuple = ()) -> Any:
    """Returns a dataclass field with a default, inclusive bounds and a help text with its unit."""
    metadata = {"low": low, "high": high, "help": help, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


def nearest(name: str, names: Any) -> str:
    """Returns " (did you mean X?)" for the closest of names, or an empty string."""
    close = difflib.get_close_matches(name, list(names), 1, 0.5)
    return f" (did you mean {close[0]}?)" if close else ""


def checked(kind: type, values: dict[str, Any]) -> Any:
    """Returns `kind(**values)` after checking names, types, choices and bounds of every field.

    Args:
        kind: a dataclass whose fields were made by `bounded`.
        values: field name to value; fields left out keep their defaults.

    Raises:
        UsageError: an unknown name (the nearest known one is named), a wrong type, or a value
            outside its bounds.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name, value in values.items():
        if name not in fields:
            raise UsageError(f"{name!r} is not a setting of {kind.__name__}{nearest(name, fields)}")
        check(fields[name], value)
    return kind(**values)


def check(field: dataclasses.Field, value: Any) -> None:
    """Raises UsageError unless the value has the field's type and lies within its bounds."""
    meta, wanted = field.metadata, type(field.default)
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        raise UsageError(f"{field.name}={value!r} must be of type {wanted.__name__}")
    if meta["choices"] and value not in meta["choices"]:
        allowed = ", ".join(map(str, meta["choices"]))
        raise UsageError(f"{field.name}={value!r} must be one of {allowed}")
    if wanted in (int, float) and not meta["low"] <= value <= meta["high"]:
        raise UsageError(f"{field.name}={value} must lie in {meta['low']:g} .. {meta['high']:g}")
