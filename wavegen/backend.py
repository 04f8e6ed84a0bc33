"""The few verbs that Keras leaves to its backend: compile, differentiate, be deterministic.

Everything else in the package is written in `keras.ops`. TensorFlow is always compiled by XLA
(ten times faster here than its graphs); on JAX there is no other way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import llvmlite.binding as llvm
import numpy as np

from wavegen.errors import UsageError

BACKENDS = ("tensorflow", "jax")
CPU = "the CPU"
AMPERE = (8, 0)  # compute capability of the first GPUs that multiply bfloat16


def name() -> str:
    """Returns the name of the Keras backend in use.

    Raises:
        UsageError: a backend that wavegen does not run on.
    """
    backend = keras.config.backend()
    if backend not in BACKENDS:
        raise UsageError(f"KERAS_BACKEND={backend} is not supported; use tensorflow or jax")
    return backend


def device() -> str:
    """Returns in words what is computed on: a GPU by its name, or the CPU."""
    if name() == "jax":
        import jax

        found = jax.devices()[0]
        return CPU if found.platform == "cpu" else f"{found.device_kind} ({found.platform})"
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return CPU
    return str(tf.config.experimental.get_device_details(devices[0]).get("device_name", "a GPU"))


def multiplies_bfloat16() -> bool:
    """Returns whether matrix products of bfloat16 are faster here than those of float32."""
    if device() == CPU:
        has = llvm.get_host_cpu_features()
        return name() == "tensorflow" and bool(has.get("amx-bf16") or has.get("avx512bf16"))
    if name() == "jax":
        import jax

        capability = str(getattr(jax.devices()[0], "compute_capability", "0.0"))
        return tuple(map(int, capability.split("."))) >= AMPERE
    import tensorflow as tf

    gpu = tf.config.list_physical_devices("GPU")[0]
    known = tf.config.experimental.get_device_details(gpu)
    return known.get("compute_capability", (0, 0)) >= AMPERE


def compiled(function: Callable, *fixed: Any, whole: bool = True) -> Callable:
    """Returns the function compiled by XLA; arguments and results are (nests of) arrays.

    Args:
        function: of `fixed` and further arguments.
        *fixed: its first arguments, known already: on TensorFlow a call then is quicker by
            milliseconds, which it else spends on looking at every array of them.
        whole: if not, TensorFlow compiles only what `mixed.fused` within it is of.
    """
    if name() == "jax":
        import jax

        return functools.partial(jax.jit(function), *fixed)
    import tensorflow as tf

    def rest(*args: Any, **kwargs: Any) -> Any:  # tf.function would take a partial apart
        return function(*fixed, *args, **kwargs)

    tf.get_logger().setLevel("ERROR")  # its advice on retracing is not for our users
    return tf.function(rest if fixed else function, jit_compile=whole or None, autograph=False)


def traced(function: Callable) -> Callable:
    """Returns the function of arrays as one call, also where what calls it is not compiled.

    A loop of hundreds of small operations then takes no longer than they do. The values are the
    same: nothing is compiled for its sake.
    """
    if name() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, autograph=False)


def value_and_gradient(function: Callable) -> Callable:
    """Returns `g(x, *rest) -> ((value, extra), gradient)` of a function with an extra result.

    The function returns (value, extra); the gradient is with respect to its first argument, a
    float array, or a list of them.
    """
    if name() == "jax":
        import jax

        return jax.value_and_grad(function, has_aux=True)
    import tensorflow as tf

    def both(x: Any, *rest: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value, extra = function(x, *rest)
        zero = tf.UnconnectedGradients.ZERO
        return (value, extra), tape.gradient(value, x, unconnected_gradients=zero)

    return both


def to_numpy(nest: Any) -> Any:
    """Returns the same nest with every array as a NumPy array (waits for the computation)."""
    return keras.tree.map_structure(np.asarray, nest)


def out_of_memory(error: BaseException) -> bool:
    """Returns whether an exception of the backend means that memory did not suffice."""
    text = f"{type(error).__name__} {error}".lower()
    marks = ("resourceexhausted", "resource_exhausted", "out of memory", "memoryerror", "oom")
    return any(mark in text for mark in marks)
