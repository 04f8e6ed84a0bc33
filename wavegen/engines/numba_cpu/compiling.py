"""How the fast engines are compiled: their options in one place, and no more work than there is.

Numba optimises every function together with all that it calls and makes machine code of it, even
where only its callers, which are optimised in turn, will ever run it. Here such a part is handed on
as it comes, and the kernel that calls it, and is kept on disk, is optimised once with all its
parts. Passes over a function that find nothing in this code are left out, and of two kernels
another process compiles one. Where a Numba lacks what this takes, plain options do: the code is
the same, and takes longer to make.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit, typeof

from wavegen.engines.numba_cpu.lanes import cores

# What only compiled code calls needs no way in for Python or C. References of arrays are not
# counted (`_nrt`), else a kernel takes three times as long; so no such function may make an array.
# Unless told otherwise a function is compiled into its callers if they are into theirs.
PART: dict[str, Any] = dict(
    _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=False
)
KERNEL: dict[str, Any] = dict(_nrt=False, nogil=True, error_model="numpy", no_cfunc_wrapper=True)

try:
    from numba import _dynfunc
    from numba.core.codegen import JITCodeLibrary
    from numba.core.compiler import CompilerBase, Flags
    from numba.core.compiler_machinery import PassManager, register_pass
    from numba.core.typed_passes import (
        AnnotateTypes,
        IRLegalization,
        NativeLowering,
        NoPythonBackend,
        NopythonTypeInference,
        PreLowerStripPhis,
    )
    from numba.core.untyped_passes import FixupArgs, IRProcessing, ReconstructSSA, TranslateByteCode

    class Part(JITCodeLibrary):
        """Code that is optimised, and made into machine code, only where it is called from."""

        def add_llvm_module(self, ll_module: Any) -> None:
            """Takes a module as it is."""
            ll_module.data_layout = self._codegen._data_layout
            self._final_module.link_in(ll_module)

        def finalize(self) -> None:
            """Links what this calls, so that whoever calls this has all."""
            for library in dict.fromkeys(self._linking_libraries):
                self._final_module.link_in(library._get_module_for_linking(), preserve=True)
            self._finalized = True

    @register_pass(mutates_CFG=True, analysis_only=False)
    class PartLowering(NativeLowering):
        """Makes LLVM code of a function, and no machine code."""

        _name = "part_lowering"

        def run_pass(self, state: Any) -> bool:
            """Lowers a function into a `Part`, and tells Numba where its callers find it."""
            name = state.func_id.func_qualname
            state.library = Part(state.targetctx.codegen(), name)
            state.flags.no_compile = True
            super().run_pass(state)
            found = state.cr  # what Numba knows it by is a function that Python could not call
            handle = _dynfunc.make_function(
                found.fndesc.lookup_module(), name, "", 0, found.env, (state.library,)
            )
            state.cr = found._replace(cfunc=handle)
            state.targetctx.insert_user_function(handle, found.fndesc, [state.library])
            return True

    NEEDED = (
        TranslateByteCode,
        FixupArgs,
        IRProcessing,
        ReconstructSSA,
        NopythonTypeInference,
        PreLowerStripPhis,
        IRLegalization,
        AnnotateTypes,
    )

    def compiler(lowering: type) -> type:
        """Returns Numba's compiler with the passes that this code needs, and this lowering."""

        class Short(CompilerBase):
            def define_pipelines(self) -> Any:
                passes = PassManager("short")
                for each in (*NEEDED, lowering, NoPythonBackend):
                    passes.add_pass(each, each.__name__)
                passes.finalize()
                return [passes]

        return Short

    if "no_compile" in Flags.options and hasattr(JITCodeLibrary, "_get_module_for_linking"):
        PART["pipeline_class"] = compiler(PartLowering)
        KERNEL["pipeline_class"] = compiler(NativeLowering)
except ImportError:  # another Numba
    pass

INLINED = PART | {"forceinline": True}
BESIDE = """
import importlib, pickle, sys
module, name, kinds = pickle.load(sys.stdin.buffer)
getattr(importlib.import_module(module), name).compile(kinds)
"""


def inlined(function: Callable) -> Any:
    """Compiles a function into its callers."""
    return njit(**INLINED)(function)


def apart(function: Callable) -> Any:
    """Compiles a function once, not into each of its callers: there are many, or it is long."""
    return njit(error_model="numpy", **PART)(function)


def kept(function: Callable) -> Any:
    """Compiles a function once a machine; in every process where there is no place to keep it."""
    try:
        return njit(cache=True, **KERNEL)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written to
        return njit(**KERNEL)(function)


def compiled_beside(kernel: Any, *arguments: Any) -> Callable[[], None]:
    """Has another process compile a kernel for such arguments; returns what waits until it has.

    Where that cannot be, or need not, since it is kept already, or could not be, nothing happens.
    """
    if kernel.signatures or cores() < 2 or not sys.executable:
        return lambda: None
    kinds = tuple(typeof(value) for value in arguments)
    try:
        cache = kernel._cache
        if cache.cache_path is None or cache.load_overload(kinds, kernel.targetctx):
            return lambda: None
        name = kernel.py_func.__module__, kernel.py_func.__name__
        paths = os.pathsep.join([str(Path(__file__).parents[3]), *filter(None, sys.path)])
        other = subprocess.Popen(
            [sys.executable, "-c", BESIDE],
            env=os.environ | {"PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with other.stdin as pipe:  # type: ignore[union-attr]
            pipe.write(pickle.dumps((*name, kinds)))
    except (AttributeError, OSError):  # another Numba; no process to be had
        return lambda: None

    def wait() -> None:
        other.wait()

    return wait
