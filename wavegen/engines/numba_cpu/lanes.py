"""What vector code is made for, its type in Numba, and how it is emitted as LLVM.

A kernel takes a `Lanes` as its first argument and is compiled for it: 16 float lanes where there is
AVX-512, 8 or 4 elsewhere, and one lane, which makes plain loops of the same source, where nothing
is known of the processor. LLVM lowers the vectors to whatever it has.
"""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import (
    NativeValue,
    models,
    register_model,
    typeof_impl,
    unbox,
)

F32, F64, I32, I64 = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64)
ROUND = 1.5 * 2**23  # adding it rounds to a whole number, which the lowest bits then hold


def sources() -> str:
    """Returns a digest of all compiled code: Numba's cache looks at a kernel's own file only."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].glob("numba_*/*.py")):
        if path.stem not in ("__init__", "engine"):
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


BUILD = sources()

# The dot products, as LLVM spells them: (name, sums, pairs); of old they took pairs as integers.
DOTS = (
    ("llvm.x86.avx512bf16.dpbf16ps.512", "<16 x float>", "<32 x bfloat>"),
    ("llvm.x86.avx512.vpdpwssd.512", "<16 x i32>", "<32 x i16>"),
)


def known(dot: tuple[str, str, str]) -> bool:
    """Returns whether this LLVM has a dot product under that name and of those types."""
    name, sums, pairs = dot
    text = f"""
        declare {sums} @{name}({sums}, {pairs}, {pairs})
        define {sums} @f({sums} %a, {pairs} %b, {pairs} %c) {{
            %d = call {sums} @{name}({sums} %a, {pairs} %b, {pairs} %c)
            ret {sums} %d
        }}"""
    try:
        llvm.parse_assembly(text).verify()
    except RuntimeError:
        return False
    return True


@dataclass(frozen=True)
class Lanes:
    """What code to make: lanes in a vector, and the instructions that may be used.

    Attributes:
        width: float32 lanes, a power of two.
        fused: there is a fused multiply-add.
        dots: there are dot products of pairs of bfloat16 (AVX512_BF16) and of int16 (VNNI).
    """

    width: int
    fused: bool = True
    dots: bool = False

    @classmethod
    def here(cls) -> Lanes:
        """Returns what this processor does best."""
        machine = platform.machine().lower()
        if machine in ("arm64", "aarch64"):
            return cls(4)
        if machine not in ("x86_64", "amd64"):
            return cls(1, fused=False)
        has = llvm.get_host_cpu_features()
        if has.get("avx512f") and has.get("avx512bw"):
            dots = has.get("avx512bf16") and has.get("avx512vnni") and all(map(known, DOTS))
            return cls(16, dots=bool(dots))
        return cls(8) if has.get("avx2") and has.get("fma") else cls(4, fused=False)


class LanesType(types.Type):
    """Numba's type of a `Lanes`; a kernel is compiled once for each."""

    def __init__(self, width: int, fused: bool, dots: bool) -> None:
        """Names the type by everything that the code depends on."""
        self.width, self.fused, self.dots = width, fused, dots
        super().__init__(name=f"Lanes({width}, {fused}, {dots}, {BUILD})")


class Vec(types.Type):
    """Numba's type of a vector of float32, or of float64 as wide in lanes."""

    def __init__(self, lanes: LanesType, dtype: types.Type = types.float32) -> None:
        """Names the type by its lanes and what is in them."""
        self.lanes, self.dtype = lanes, dtype
        super().__init__(name=f"Vec({lanes.name}, {dtype})")

    @property
    def kind(self) -> ir.VectorType:
        """The LLVM type."""
        return ir.VectorType(F32 if self.dtype == types.float32 else F64, self.lanes.width)


register_model(LanesType)(models.OpaqueModel)


@register_model(Vec)
class VecModel(models.PrimitiveModel):
    """A vector lives in a register."""

    def __init__(self, manager: Any, kind: Vec) -> None:
        """Takes the LLVM type of the vector."""
        super().__init__(manager, kind, kind.kind)


@typeof_impl.register(Lanes)
def _typeof_lanes(value: Lanes, _: Any) -> LanesType:
    return LanesType(value.width, value.fused, value.dots)


@unbox(LanesType)
def _unbox_lanes(kind: LanesType, value: Any, context: Any) -> NativeValue:
    return NativeValue(context.context.get_dummy_value())


# -- emitting LLVM ---------------------------------------------------------------------------------


def floats(lanes: LanesType, times: int = 1) -> ir.VectorType:
    """Returns the LLVM type of a vector of float32."""
    return ir.VectorType(F32, lanes.width * times)


def constant(kind: ir.VectorType, value: float) -> ir.Constant:
    """Returns a vector that holds one number in every lane."""
    return ir.Constant(kind, [value] * kind.count)


def emit(builder: Any, name: str, kind: Any, *arguments: Any) -> Any:
    """Calls an LLVM intrinsic by its full name."""
    signature = ir.FunctionType(kind, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), arguments)


def suffix(kind: Any) -> str:
    """Returns how LLVM spells a vector type in the names of its intrinsics."""
    names = {ir.FloatType: "f32", ir.DoubleType: "f64"}
    element = names.get(type(kind.element)) or f"i{kind.element.width}"
    return f"v{kind.count}{element}"


def fused(builder: Any, lanes: LanesType, a: Any, b: Any, c: Any) -> Any:
    """Emits a * b + c."""
    if lanes.fused:
        return emit(builder, f"llvm.fma.{suffix(a.type)}", a.type, a, b, c)
    return builder.fadd(builder.fmul(a, b), c)


def broadcast(builder: Any, kind: ir.VectorType, scalar: Any) -> Any:
    """Emits a vector with a scalar in every lane."""
    undefined = ir.Constant(kind, ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    mask = ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count)
    return builder.shuffle_vector(one, undefined, mask)


def begin_of(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Emits where a one-dimensional array begins; a pointer says it itself."""
    if isinstance(kind, types.CPointer):
        return array
    return context.make_array(kind)(context, builder, array).data


def place(context: Any, builder: Any, kind: Any, array: Any, index: Any, to: Any) -> Any:
    """Emits the address of an element of a one-dimensional array, as a pointer to `to`."""
    begin = begin_of(context, builder, kind, array)
    return builder.bitcast(builder.gep(begin, [index]), to.as_pointer())


def fetch(builder: Any, pointer: Any) -> Any:
    """Emits a load that needs no alignment beyond four bytes."""
    loaded = builder.load(pointer)
    loaded.align = 2
    return loaded


def keep(builder: Any, value: Any, pointer: Any) -> None:
    """Emits a store that needs no alignment beyond four bytes."""
    builder.store(value, pointer).align = 2


def cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
