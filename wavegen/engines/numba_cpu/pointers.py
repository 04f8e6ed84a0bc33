"""Flat arrays as bare pointers, which a kernel hands from function to function."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from wavegen.engines.numba_cpu.lanes import begin_of


@intrinsic
def pointer(typingctx: Any, array: Any) -> Any:
    """Returns where a flat array begins."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return begin_of(context, builder, signature.args[0], arguments[0])

    return types.CPointer(array.dtype)(array), code


@intrinsic
def pointers(typingctx: Any, arrays: Any) -> Any:
    """Returns a named tuple of pointers instead of flat arrays.

    An array is seven values to a compiler, a pointer one; of the dozens that are handed from
    function to function a kernel has hundreds, and takes half as long again to compile.
    """

    def bare(kind: Any) -> bool:
        return isinstance(kind, types.Array) and kind.ndim == 1

    kinds = [types.CPointer(kind.dtype) if bare(kind) else kind for kind in arrays]
    found = types.NamedTuple(kinds, arrays.instance_class)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = []
        for at, kind in enumerate(signature.args[0]):
            value = builder.extract_value(arguments[0], at)
            values.append(begin_of(context, builder, kind, value) if bare(kind) else value)
        return context.make_tuple(builder, signature.return_type, values)

    return found(arrays), code
