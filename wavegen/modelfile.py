"""One safetensors file that can be trusted: whole or refused, never half believed.

Weights, and in the metadata everything else: family, configuration, version, facts, and a SHA-256
of all of it, because safetensors itself has no checksum. Reading looks before it believes: size,
header, configuration, layout, only then the bytes. Writing is atomic: a temporary name in the same
folder, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from wavegen import __version__
from wavegen.duet_config import DUET, PARTS
from wavegen.errors import CheckpointError, OutputError, shown
from wavegen.facts import check_model, check_state
from wavegen.header import FORMAT, MAX_HEADER, look

BINARY = getattr(os, "O_BINARY", 0)  # Windows would turn line ends otherwise


@dataclass(frozen=True)
class ModelFile:
    """What a model file holds."""

    path: Path
    family: str
    config: Any  # the family's Config
    tensors: dict[str, np.ndarray]
    extra: dict[str, Any]  # facts about its training
    version: str  # of the wavegen that wrote it
    sha256: str


def save_model(
    path: str | Path,
    family: str,
    model_config: Any,
    tensors: dict[str, np.ndarray],
    extra: dict[str, Any] | None = None,
) -> None:
    """Writes a model file, atomically.

    Raises:
        OutputError: it cannot be written; an older file of that name is untouched.
    """
    facts = {"family": family, "config": dataclasses.asdict(model_config), "extra": extra or {}}
    _write(Path(path), "model", tensors, facts)


def read_model(path: str | Path) -> ModelFile:
    """Returns the model a file holds, after checking all of it.

    Raises:
        CheckpointError: one line that names the file and what is wrong.
    """
    path = Path(path)
    tensors, facts, digest = _read(path, "model", check=check_model)
    tensors = {n: a.astype("float32") if a.dtype == np.float16 else a for n, a in tensors.items()}
    return ModelFile(
        path, facts["family"], facts["built"], tensors, facts["extra"], facts["version"], digest
    )


def part_of_duet(file: ModelFile, part: str) -> ModelFile:
    """Returns one of a duet's models, "composer" or "renderer", as if it stood alone."""
    own = {n.split("/", 1)[1]: a for n, a in file.tensors.items() if n.startswith(f"{part}/")}
    extra = file.extra.get("parts", {}).get(part, {})
    given = dict(family=PARTS[part], config=getattr(file.config, part))
    return dataclasses.replace(file, **given, tensors=own, extra=extra)


def halved(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns a model's tensors with the weights of its products in half precision, to be shipped.

    They are read as float32 again, each within a 2048th of itself.
    """
    wide = {n for n, a in tensors.items() if "weights/" in n and a.ndim > 1}
    return {n: a.astype("float16") if n in wide else a for n, a in tensors.items()}


def judge_of(file: ModelFile) -> ModelFile:
    """Returns the model whose likelihood a file's is: of a duet the renderer's."""
    return part_of_duet(file, "renderer") if file.family == DUET else file


def save_state(path: str | Path, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    """Writes a training state, atomically; raises OutputError like `save_model`."""
    _write(Path(path), "state", arrays, {"facts": facts})


def read_state(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns (arrays, facts) of a training state; raises CheckpointError like `read_model`."""
    arrays, facts, _ = _read(Path(path), "state", check=check_state)
    return arrays, facts["facts"]


# -- writing -------------------------------------------------------------------------------------


def _digest(tensors: dict[str, np.ndarray], text: str) -> str:
    """Returns the SHA-256 of the facts as text and of the tensors' names, types, shapes, bytes."""
    found = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        found.update(f"{name}|{array.dtype.str}|{tensors[name].shape}|".encode("utf-8", "replace"))
        found.update(array.tobytes())
    return found.hexdigest()


def _write(path: Path, kind: str, tensors: dict[str, np.ndarray], facts: dict) -> None:
    """Writes tensors and facts under the final name only once they are safe on disk."""
    # ascontiguousarray would turn a single number into an array of one
    arrays = {n: np.array(a, a.dtype.newbyteorder("<"), order="C") for n, a in tensors.items()}
    facts = {"format": FORMAT, "version": __version__, **facts}
    text = json.dumps(plain(facts), allow_nan=False)
    data = save(arrays, {f"wavegen_{kind}": text, "sha256": _digest(arrays, text)})
    assert int.from_bytes(data[:8], "little") <= MAX_HEADER, "it could not be read again"
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, 0o644)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(draft, path)
        sync_folder(path.parent)
    except OSError as error:
        raise OutputError(
            f"{shown(path)}: cannot be written ({error.strerror or error}); "
            "free some space or choose another folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def sync_folder(folder: Path) -> None:
    """Makes a rename in the folder survive a power cut, where the system allows it."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def plain(value: Any) -> Any:
    """Returns the value as strict JSON can hold it: numbers that are none become null."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, (np.integer, np.bool_)) else value


# -- reading -------------------------------------------------------------------------------------


def _read(path: Path, kind: str, check: Any) -> tuple[dict[str, np.ndarray], dict, str]:
    """Returns (tensors, facts, digest) of a file that is whole and of that kind."""
    name = shown(path)
    try:
        handle = os.open(path, os.O_RDONLY | BINARY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise CheckpointError(f"{name}: {error.strerror}; name a run or a model file") from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{name}: is not a regular file; name a model file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            start, layout, facts, text = look(file, status.st_size, kind, name)
            check(facts, layout, name)
            data = file.read(status.st_size - start)
    finally:
        os.close(handle)
    if len(data) != status.st_size - start:
        raise CheckpointError(f"{name}: changed while it was read; try again")
    tensors = {}
    for tensor, (dtype, shape, begin, end) in layout.items():
        tensors[tensor] = np.frombuffer(data[begin:end], dtype).reshape(shape)
    if _digest(tensors, text) != facts["sha256"]:
        raise CheckpointError(f"{name}: is damaged (its checksum does not fit); use another copy")
    for tensor, array in tensors.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CheckpointError(
                f"{name}: {tensor[:60]!r} holds NaN or infinity; use an earlier model"
            )
    return tensors, facts, facts["sha256"]
