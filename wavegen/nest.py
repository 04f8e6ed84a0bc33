"""Nests of arrays, which is what a state is: tuples, NamedTuples and dicts; needs no Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def map_nest(function: Callable, *nests: Any) -> Any:
    """Returns a nest of the same structure whose leaves are `function(leaf, ...)` of the nests'."""
    first = nests[0]
    if isinstance(first, dict):
        return {key: map_nest(function, *(nest[key] for nest in nests)) for key in first}
    if isinstance(first, tuple):
        items = [map_nest(function, *parts) for parts in zip(*nests, strict=True)]
        return type(first)(*items) if hasattr(first, "_fields") else tuple(items)
    return function(*nests)
