"""Mixed precision in training: matrix products in bfloat16, everything else in float32.

Half the bits are twice the numbers in an instruction, and what multiplies tiles of them (AMX,
tensor cores) is faster still. Sums are of float32, and so are the weights that are trained
(Micikevicius et al. 2018, arXiv:1710.03740, section 3); bfloat16 has float32's range, so the loss
needs no scaling (Kalamkar et al. 2019, arXiv:1905.12322).

On a CPU XLA has no such products, TensorFlow's own kernels have, but those make a pass through
memory of every addition. So a training step there is not compiled whole but in pieces: products by
TensorFlow, and what lies between two of them (`fused`) by XLA. Outside a training step all of this
is nothing: a product is `ops.matmul`, and what is `fused` a function like any other.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

from keras import Variable, ops, tree

from wavegen import backend


class Mode(NamedTuple):
    """How what is being traced is to be calculated."""

    narrow: bool = False  # products in bfloat16
    pieces: bool = False  # `fused` functions each by itself, on TensorFlow


WHOLE = Mode()  # and in float32
_mode = ContextVar("mode", default=WHOLE)


def best() -> Mode:
    """Returns the mode in which a model whose products are of `product` is trained fastest."""
    narrow = backend.multiplies_bfloat16()
    return Mode(narrow, pieces=narrow and backend.device() == backend.CPU)


@contextlib.contextmanager
def mode(wanted: Mode) -> Iterator[None]:
    """Has everything that is traced within calculated in a mode."""
    before = _mode.set(wanted)
    try:
        yield
    finally:
        _mode.reset(before)


def narrow(x: Any) -> Any:
    """Returns what only products will take: rounded to bfloat16, where they are of that."""
    return ops.cast(x, "bfloat16") if _mode.get().narrow else x


def wide(x: Any) -> Any:
    """Returns float32 of what a product returned."""
    return ops.cast(x, "float32")


def product(x: Any, kernel: Any) -> Any:
    """Returns the matrix product `(..., outputs)`, bfloat16 where products are of that.

    Args:
        x: `(..., features)`, float32 or `narrow`.
        kernel: float32 `(features, outputs)`.
    """
    if _mode.get() == WHOLE:
        return ops.matmul(x, kernel)
    rows = ops.reshape(narrow(x), (-1, kernel.shape[0]))
    return ops.reshape(ops.matmul(rows, narrow(kernel)), (*x.shape[:-1], kernel.shape[1]))


def fused(function: Callable) -> Callable:
    """Returns the function, which in a step of pieces is compiled as one of them.

    It should multiply no matrices. One that is defined once and for all must take all arrays that
    it needs as arguments; numbers among those are constants, each compiled for itself.
    """
    made: dict[Mode, Callable] = {}

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        now = _mode.get()
        if not now.pieces:
            return function(*arguments)

        def within(*arguments: Any) -> Any:
            with mode(now._replace(pieces=False)):
                return function(*arguments)

        if now not in made:
            made[now] = backend.compiled(within)
        return made[now](*tree.map_structure(value, arguments))

    return call


def value(argument: Any) -> Any:
    """Returns a variable's value; what is none as it is."""
    return argument.value if isinstance(argument, Variable) else argument
