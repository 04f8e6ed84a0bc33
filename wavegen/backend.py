"""The few verbs that Keras leaves to its backend: compile, differentiate, be deterministic.

Everything else in the package is written in `keras.ops`. TensorFlow is always compiled by XLA
(ten times faster here than its graphs); on JAX there is no other way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from wavegen.errors import UsageError

BACKENDS = ("tensorflow", "jax")


def name() -> str:
    """Returns the name of the Keras backend in use.

    Raises:
        UsageError: a backend that wavegen does not run on.
    """
    backend = keras.config.backend()
    if backend not in BACKENDS:
        raise UsageError(f"KERAS_BACKEND={backend} is not supported; use tensorflow or jax")
    return backend


def compiled(function: Callable) -> Callable:
    """Returns the function compiled by XLA; arguments and results are (nests of) arrays."""
    if name() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # its advice on retracing is not for our users
    return tf.function(function, jit_compile=True, autograph=False)


def value_and_gradient(function: Callable) -> Callable:
    """Returns `g(x, *rest) -> ((value, extra), gradient)` of a function with an extra result.

    The function returns (value, extra); the gradient is with respect to its first argument, a
    float array.
    """
    if name() == "jax":
        import jax

        return jax.value_and_grad(function, has_aux=True)
    import tensorflow as tf

    def both(x: Any, *rest: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value, extra = function(x, *rest)
        return (value, extra), tape.gradient(value, x)

    return both


def to_numpy(nest: Any) -> Any:
    """Returns the same nest with every array as a NumPy array (waits for the computation)."""
    return keras.tree.map_structure(np.asarray, nest)


def out_of_memory(error: BaseException) -> bool:
    """Returns whether an exception of the backend means that memory did not suffice."""
    text = f"{type(error).__name__} {error}".lower()
    marks = ("resourceexhausted", "resource_exhausted", "out of memory", "memoryerror", "oom")
    return any(mark in text for mark in marks)
