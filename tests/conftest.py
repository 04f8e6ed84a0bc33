"""What all tests share: small configurations of every family, and models with random weights.

A test that is in the quick suite once for each family and head, and with other sizes in CI only,
takes its variants from `variants()`.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import os
import sys
import tempfile
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

import hypothesis
import numpy as np
import pytest

TRIED = {"tensorflow": "2.21.", "jaxlib": "0.10."}


def version(name):
    """Returns the version of a package that is installed, or nothing."""
    try:
        return installed(name)
    except PackageNotFoundError:
        return ""


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Else every process that a test starts compiles anew what it imports: seconds of TensorFlow.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Tests compile much and compute little: XLA need not make the best of its code.
XLA_FLAGS = ["--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true"]
# Without its fusion emitters XLA compiles in half the time; cut into modules, its code then rounds
# otherwise for another number of frames. It ends the process where it does not know a flag, so that
# these are for versions that have been tried only.
if all(version(name).startswith(known) for name, known in TRIED.items()):
    XLA_FLAGS += ["--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"]
os.environ.setdefault("XLA_FLAGS", " ".join(XLA_FLAGS))
sys.path.insert(0, str(Path(__file__).parent))

SMALL = {
    "wavenet": dict(cycles=2, layers_per_cycle=3, residual_channels=8, gate_channels=8)
    | dict(skip_channels=12, post_channels=12, levels=32, mixtures=3)
    | dict(predictor_order=24, predictor_hop=16, predictor_memory=0.01),
    "spectral_lstm": dict(n_fft=32, hop_length=16, layers=2, units=8)
    | dict(codes=6, bands=8, rise=2.0, renderer_units=8, timbre_seconds=0.1),
}
ONCE = [  # each family and head once
    ("wavenet", {"channels": 2, "scale_memory": 0.01}),
    ("wavenet", {"head": "softmax", "predictor_order": 0}),
    ("spectral_lstm", {"channels": 2}),
    ("spectral_lstm", {"head": "student_t"}),
    ("spectral_lstm", {"head": "mse"}),
]
JOINT = ("wavenet", {"head": "softmax", "channels": 2, "kernel_size": 3, "levels": 64})
VARIANTS = [  # with these every two of head, channels and predictor, together
    *ONCE,
    ("wavenet", {"predictor_order": 0}),
    JOINT,
    ("spectral_lstm", {"rise": 0.0}),
    ("spectral_lstm", {"head": "student_t", "channels": 2}),
]
JAX = os.environ.get("KERAS_BACKEND") == "jax"
SLOW = pytest.mark.slow
QUICK = False  # whether slow tests are left out


def in_ci(test):
    """Marks a test as slow; not where JAX runs, for which CI leaves slow tests out."""
    return test if JAX else SLOW(test)


def by_default(test):
    """Marks a test as slow on JAX, where what is not compiled as a whole takes long."""
    return SLOW(test) if JAX else test


# Files that take longest, which begin first: two processes then end together.
LONGEST = ["memory", "engines", "sine", "reference", "notebooks", "compiling"]


def pytest_configure(config):
    global QUICK
    QUICK = "not slow" in config.option.markexpr
    gc.disable()  # until all is imported: a million objects, none of them garbage
    hypothesis.settings.register_profile("ours", max_examples=examples(100), deadline=None)
    hypothesis.settings.load_profile("ours")  # tests do not time
    config.option.loadscopereorder = False  # else files of few tests, however long, come last


def pytest_collection_modifyitems(items):
    gc.freeze()  # nobody need look through them again
    gc.enable()
    names = [f"test_{name}" for name in LONGEST]
    place = {name: number for number, name in enumerate(names)}
    items.sort(key=lambda item: place.get(item.path.stem, len(names)))


def examples(count):
    """Returns how many examples a property that takes long is tried with: a third in a hurry."""
    return -(-count // 3) if QUICK else count


def variant_name(variant):
    family, fields = variant
    return "-".join([family, *(f"{name}{value}" for name, value in fields.items())])


def variants(family=None, many=tuple(VARIANTS), quick=tuple(ONCE)):
    """Returns parameters, of one family or of all; those that are not `quick` are slow."""
    return [
        pytest.param(each, id=variant_name(each), marks=[SLOW] * (each not in quick))
        for each in many
        if family in (None, each[0])
    ]


def make_config(family, **fields):
    from wavegen.config import CONFIGS, build

    return build(CONFIGS[family], SMALL[family] | {"channels": 1, "sample_rate": 8000} | fields)


def make_model(family, seed=0, **fields):
    """Returns a small model whose every trained weight is random, none of them zero."""
    import keras

    from wavegen.models import FAMILIES

    keras.utils.set_random_seed(seed)
    model = FAMILIES[family](make_config(family, **fields))
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(np.asarray(variable) + 0.1 * rng.standard_normal(variable.shape))
    if getattr(model, "predictor", None):
        if not model.config.condition_bands:
            taps = np.zeros(model.predictor.whitening.shape, "float32")
            taps[:2] = 1.2, -0.4
            model.predictor.whitening.assign(taps)
        model.predictor.bounds.assign([0.6, 1e-3, 0.5])
    if family == "spectral_lstm":
        model.head.start_from(list(learned_frames(model)))
    return model


def learned_frames(model):
    """Returns the frames that the codes of `make_model` are fitted to, enough for all of them."""
    from wavegen.models.book import EXAMPLES

    return make_frames(model, batch=3, time=EXAMPLES * model.config.codes // 3 + 1, seed=2)


def make_frames(model, batch=2, time=24, seed=1):
    """Returns frames a model of either family could hear."""
    from wavegen.codec import codec_of

    rng = np.random.default_rng(seed)
    signal = 0.3 * rng.standard_normal(
        (batch, model.config.channels, time * model.config.frame_samples)
    )
    codec = codec_of(model.config)
    frames, _ = codec.encode_step(signal.astype("float32"), codec.encode_initial((batch,)))
    return frames


def strokes(model, **given):
    """Returns frames as `make_frames` does, each of another loudness: they are remembered."""
    frames = make_frames(model, **given)
    frames[..., :-1] *= 3.0 ** np.random.default_rng(0).normal(size=(*frames.shape[:2], 1))
    return frames


@pytest.fixture(params=variants(quick=(ONCE[1], ONCE[2])))
def model(request):
    """A model of a test's own, which may change it."""
    family, fields = request.param
    return make_model(family, **fields)


@functools.cache
def shared_model(family, fields=()):
    """Returns a model that several tests look at and none changes."""
    return make_model(family, **dict(fields))


def tune(seconds, sample_rate, channels=1, seed=0):
    """Returns a little tune (channels, samples): decaying tones over a touch of noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    wave = 0.002 * rng.standard_normal((channels, len(t)))
    for start in np.arange(0, seconds, 0.25):
        note = 220 * 2 ** (rng.integers(0, 13) / 12)
        since = np.maximum(t - start, 0)
        tone = 0.3 * np.sin(2 * np.pi * note * since) * np.exp(-6 * since) * (t >= start)
        wave += tone * rng.uniform(0.5, 1, (channels, 1))
    return wave.astype("float32")


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """Returns a folder with two recordings; the cache is a folder of this test's own."""
    import soundfile

    monkeypatch.setenv("WAVEGEN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, seconds, seed in (("one", 6.0, 1), ("two", 3.3, 2)):
        soundfile.write(folder / f"{name}.wav", tune(seconds, 8000, 1, seed).T, 8000)
    return folder


# -- compiling -------------------------------------------------------------------------------------

SHARED = {}


@pytest.fixture(autouse=True)
def no_process_beside(monkeypatch):
    """Lets the processes that run tests, one on each core, do their compiling alone."""
    name = "wavegen.engines.numba_spectral.engine.compiled_beside"
    monkeypatch.setattr(name, lambda *arguments: lambda: None)


@pytest.fixture(autouse=True)
def one_precision(monkeypatch):
    """Lets the quick suite compile one kernel a family, float32's, which CI does for all."""
    if QUICK:
        for family in ("numba_cpu", "numba_spectral"):
            name = f"wavegen.engines.{family}.engine.DEFAULTS"
            monkeypatch.setattr(name, {width: "float32" for width in (1, 2, 4, 8, 16)})


@pytest.fixture
def compiled_once(monkeypatch):
    """Lets trainings of the same model and settings share what they compile, which takes longest.

    What is shared is a pure function of its arguments and of what stands in the key.
    """
    from wavegen import backend, optimizer
    from wavegen.engines.reference import Reference

    real, begin = optimizer.training_step, Reference.__init__

    def training_step(layout, settings):
        fixed = b"".join(np.ascontiguousarray(array).tobytes() for array in layout.fixed)
        # Of the settings a step knows these; the rate is an argument.
        chosen = settings.clip, settings.weight_decay, settings.ema, settings.mixed_precision
        key = layout.model.config, chosen, fixed
        if key not in SHARED:
            SHARED[key] = real(layout, settings)
        return SHARED[key]

    def begun(self, model, together=False):
        begin(self, model, together)
        self._scorer = SHARED.setdefault(model.config, backend.compiled(self.scored))

    monkeypatch.setattr(optimizer, "training_step", training_step)
    monkeypatch.setattr(Reference, "__init__", begun)


def compile_once():
    """Lets one of several processes compile a kernel, kept on disk, while the others wait."""
    import fcntl

    from numba.core.dispatcher import Dispatcher

    real = Dispatcher.compile

    def compile(self, signature):
        if self.py_func.__name__ not in ("run", "compose", "render"):  # what kernels call
            return real(self, signature)
        kernel = f"{__file__} {self.py_func.__module__} {signature}".encode()
        name = f"wavegen-{hashlib.sha256(kernel).hexdigest()}.lock"
        with open(Path(tempfile.gettempdir()) / name, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return real(self, signature)

    Dispatcher.compile = compile


if os.name == "posix":
    compile_once()
