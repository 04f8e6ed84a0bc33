"""`wavegen doctor`: what this machine has for wavegen, how fast it draws, and what to mend."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wavegen import __version__
from wavegen.cache import Cache, default_folder
from wavegen.cli.compiling import show_compiling
from wavegen.cli.display import Console, hushed
from wavegen.config import EMBEDDING
from wavegen.errors import Error, shown
from wavegen.modelfile import ModelFile
from wavegen.presets import from_preset
from wavegen.sampling import Sampler

NEEDED = ("tensorflow", "keras", "numpy", "scipy", "librosa", "soundfile", "soxr", "numba")
ROOM = 2 * 2**30  # bytes of disk that a few runs and a decoded hour take
MEMORY = 4 * 2**30  # bytes that training `small` is at ease with
TEST_SECONDS = 3.0  # of each family's drawing


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    found: str
    ok: bool = True
    advice: str = ""  # what to do, where something could be better; empty where all is well


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Prints what was found; returns 2 where something has to be mended before wavegen works."""
    found = [*packages(), python(), processor(), memory(), *disks(), backend(), speaker()]
    if arguments.self_test:
        found += [self_test(family, console) for family in ("wavenet", "spectral_lstm")]
    if arguments.json:
        console.result(json.dumps([dataclasses.asdict(each) for each in found], indent=2))
    else:
        for each in found:
            console.result(f"{each.name:22}{each.found}")
            if each.advice:
                console.result(f"{'':22}{'' if each.ok else 'broken: '}{each.advice}")
    wrong = [each.name for each in found if not each.ok]
    if wrong:
        console.warning(f"{', '.join(wrong)}: wavegen cannot work before that is mended")
    return 2 if wrong else 0


def packages() -> list[Finding]:
    """Returns wavegen's version, and every package that it needs."""
    found = [Finding("wavegen", __version__)]
    for name in NEEDED:
        try:
            found.append(Finding(name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append(Finding(name, "not installed", False, f"pip install {name}"))
    return found


def python() -> Finding:
    """Returns Python's version and the system."""
    return Finding("python", f"{platform.python_version()} on {platform.platform()}")


def processor() -> Finding:
    """Returns the cores that this process may use, and the vectors that the engine makes use of."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        from wavegen.engines.numba_cpu.lanes import Lanes

        lanes = Lanes.here()
    except ImportError:
        return Finding("cores", str(own), advice="the compiled engine needs numba")
    kind = f"{own}, vectors of {lanes.width} x float32" + (", dot products" if lanes.dots else "")
    advice = "" if own > 1 else "training uses two cores and more where it has them"
    return Finding("cores", kind, advice=advice)


def memory() -> Finding:
    """Returns the machine's memory."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return Finding("memory", "unknown")
    enough = size >= MEMORY
    return Finding("memory", gigabytes(size), advice="" if enough else "train with --preset tiny")


def disks() -> list[Finding]:
    """Returns the room where recordings are decoded to and where runs and results go."""
    found = []
    for name, folder in (("cache", default_folder()), ("working folder", Path.cwd())):
        try:
            if name == "cache":
                Cache(folder)
            elif not os.access(folder, os.W_OK):
                raise Error(f"{shown(folder)} cannot be written; work in a folder of your own")
            free = shutil.disk_usage(folder).free
        except (Error, OSError) as error:
            found.append(Finding(name, shown(folder), False, str(error)))
            continue
        advice = "" if free >= ROOM else f"make room: less than {gigabytes(ROOM)} are free"
        found.append(Finding(name, f"{shown(folder)}, {gigabytes(free)} free", advice=advice))
    return found


def backend() -> Finding:
    """Returns the Keras backend and the GPUs that it sees."""
    try:
        with hushed():
            from wavegen.backend import name

            backend_name = name()
            if backend_name == "jax":
                import jax

                gpus = [str(each) for each in jax.devices() if each.platform == "gpu"]
            else:
                import tensorflow as tf

                gpus = [each.name for each in tf.config.list_physical_devices("GPU")]
    except Error as error:
        return Finding("backend", os.environ.get("KERAS_BACKEND", ""), False, str(error))
    except Exception as error:  # a broken installation can fail in any way
        advice = "install it anew: pip install --force-reinstall tensorflow"
        return Finding("backend", f"does not load: {error}".split("\n")[0][:200], False, advice)
    if gpus:
        return Finding("backend", f"{backend_name}, {len(gpus)} GPU")
    advice = ""
    if Path("/proc/driver/nvidia/version").exists():
        advice = "there is an NVIDIA GPU that it does not see: pip install 'tensorflow[and-cuda]'"
    elif platform.system() == "Windows":
        advice = "TensorFlow has no GPU on Windows itself; it has one inside WSL2"
    return Finding("backend", f"{backend_name}, no GPU: not needed", advice=advice)


def speaker() -> Finding:
    """Returns the device that `sample --play` would play on."""
    try:
        import sounddevice

        device = sounddevice.query_devices(kind="output")
        return Finding("sound device", str(device["name"]))
    except ImportError:
        return Finding(
            "sound device", "not asked", advice="for --play: pip install 'wavegen[play]'"
        )
    except Exception:  # PortAudio has errors of its own, and none without a device to name them
        advice = "--play needs PortAudio and an output; without it files are written all the same"
        return Finding("sound device", "none", advice=advice)


def self_test(family: str, console: Console) -> Finding:
    """Returns how fast a network of the size of `small` draws, with weights of chance."""
    name = f"{family}, small"
    try:
        sampler = Sampler(untrained(family))
        show_compiling(sampler.engine.warm_up, console)
    except Exception as error:  # what fails here fails in `sample`
        said = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        return Finding(name, said, False, "install numba anew: pip install --force-reinstall numba")
    seed = np.zeros((sampler.config.channels, sampler.config.sample_rate), np.float32)
    stream = sampler.stream(sampler.listen(seed), 3600.0, guard=False)
    rate, drawn, began = sampler.config.sample_rate, 0, time.perf_counter()
    with console.live("drawing") as live:
        for block in stream:
            drawn, taken = drawn + block.shape[-1], time.perf_counter() - began
            live.update(min(taken / TEST_SECONDS, 1.0), name)
            if taken >= TEST_SECONDS:
                break
    speed = drawn / rate / taken
    advice = "" if speed >= 1 else "slower than it sounds: close other programs, or --preset tiny"
    return Finding(name, f"draws {speed:.3g} x real time on one core", advice=advice)


def untrained(family: str) -> ModelFile:
    """Returns a model file of the preset `small`, whose weights are chance."""
    config, _ = from_preset(family, "small", {})
    if family == "wavenet":
        from wavegen.engines.numba_cpu import weight_shapes

        shapes = weight_shapes(config)
    else:
        from wavegen.engines import numba_spectral

        shapes = numba_spectral.weight_shapes(config, EMBEDDING)
    rng = np.random.default_rng(0)
    tensors = {
        f"weights/{name}": 0.05 * rng.standard_normal(shape).astype("float32")
        + name.endswith("deviation")
        for name, shape in shapes.items()
    }
    return ModelFile(Path("self-test"), family, config, tensors, {}, __version__, "")


def gigabytes(size: float) -> str:
    """Returns "1.5 GB" from bytes."""
    return f"{size / 2**30:.1f} GB"
