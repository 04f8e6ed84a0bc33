import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from wavegen.engines.numba_cpu.compiling import KERNEL, PART, apart, inlined
from wavegen.engines.numba_cpu.lanes import cores

DRAWN = """
import hashlib, sys
import numba, numba.core.compiler
if sys.argv[2] == "plain":
    del numba.core.compiler.CompilerBase  # as if this Numba had none
from wavegen.engines.numba_cpu.compiling import PART
assert ("pipeline_class" in PART) == (sys.argv[2] == "short")
import numpy as np
from conftest import make_frames
from wavegen import checkpoint, engines
from wavegen.bands import bands_of
from wavegen.demo import DEMOS
from wavegen.engines.numba_spectral import engine as spectral
from wavegen.modelfile import judge_of
if sys.argv[2] == "plain":  # nor another process to do it otherwise
    spectral.compiled_beside = lambda *arguments: lambda: None
model = judge_of(checkpoint.read_model(DEMOS[sys.argv[1]]))
engine = engines.make(model, "numba")
rng, bands = np.random.default_rng(3), bands_of(model.config)
noise = rng.random((2, 2 * bands.hop if bands else 60, *model.config.noise_shape), "float32")
given = bands and bands.given(rng.uniform(-2, 0, (2, 3, bands.features)))
heard = make_frames(model, time=1 + bands.hop) if bands else make_frames(model)
heard = engine.prime(heard, given=given[:, :2]) if bands else engine.prime(heard)
frames = engine.open(heard).draw(noise, *([given] if bands else []))
fetched = sum(spectral.kernel.render.stats.cache_hits.values())
print(fetched, hashlib.sha256(np.ascontiguousarray(frames)).hexdigest())
"""


@inlined
def square(x):
    return x * x


@apart
def cube(x):
    return square(x) * x


@njit(**KERNEL)
def together(array):
    for i in range(len(array)):
        array[i] = cube(array[i])


@njit
def stranger(x):  # with Numba's own options
    return cube(x)


def test_parts_of_parts_are_found_by_kernels_and_by_strangers():
    array = np.arange(3.0)
    together(array)
    assert array.tolist() == [0.0, 1.0, 8.0]
    assert stranger(2.0) == 8.0


def test_this_numba_has_what_quick_compiling_takes():
    assert "pipeline_class" in PART and "pipeline_class" in KERNEL


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kinds"),
    [  # the second comes from the cache; plainly compiling takes twice as long, so one must do
        ("demo-wavenet", ("short", "short")),
        ("demo-lstm", ("short", "short", "plain")),
    ],
)
def test_what_is_drawn_hangs_neither_on_how_it_was_compiled_nor_on_the_cache(name, kinds, tmp_path):
    found, fetched = [], []
    for kind in kinds:
        place = {"NUMBA_CACHE_DIR": str(tmp_path / kind)}
        place |= {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
        command = [sys.executable, "-c", DRAWN, name, kind]
        done = subprocess.run(command, env=os.environ | place, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        hits, digest = done.stdout.split()[-2:]
        found.append(digest)
        fetched.append(int(hits))
    assert len(set(found)) == 1
    if name == "demo-lstm":  # the first time it is there because another process has compiled it
        assert fetched == [int(cores() > 1), 1, 0]
