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
import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from wavegen import __version__, config
from wavegen.errors import CheckpointError, OutputError, UsageError, shown

FORMAT = 1
MAX_HEADER = 16 << 20  # bytes
MAX_FILE = 64 << 30
BINARY = getattr(os, "O_BINARY", 0)  # Windows would turn line ends otherwise
DTYPES = {f"{k}{8 * n}": np.dtype(f"<{k.lower()}{n}") for k in "FIU" for n in (2, 4, 8)}
DTYPES |= {"I8": np.dtype("i1"), "U8": np.dtype("u1"), "BOOL": np.dtype("?")}
FOREIGN = {
    b"PK\x03\x04": "a zip archive (.keras or PyTorch)",
    b"\x89HDF": "an HDF5 file (.h5)",
    **{bytes([0x80, protocol]): "a Python pickle" for protocol in range(2, 6)},
    b"RIFF": "a WAV file",
}


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
    tensors, facts, digest = _read(path, "model", check=_check_model)
    return ModelFile(
        path, facts["family"], facts["built"], tensors, facts["extra"], facts["version"], digest
    )


def save_state(path: str | Path, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    """Writes a training state, atomically; raises OutputError like `save_model`."""
    _write(Path(path), "state", arrays, {"facts": facts})


def read_state(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns (arrays, facts) of a training state; raises CheckpointError like `read_model`."""
    arrays, facts, _ = _read(Path(path), "state", check=_check_state)
    return arrays, facts["facts"]


def _check_model(facts: dict, name: str) -> None:
    """Validates the configuration before anything is read on its word."""
    family, values = facts.get("family"), facts.get("config")
    if not isinstance(family, str) or family not in config.CONFIGS:
        known = ", ".join(config.CONFIGS)
        raise CheckpointError(f"{name}: holds a {str(family)[:60]!r} model; known are {known}")
    if not isinstance(values, dict) or not isinstance(facts.get("extra"), dict):
        raise CheckpointError(f"{name}: its configuration is not readable; train it again")
    try:
        facts["built"] = config.build(config.CONFIGS[family], values)
    except UsageError as error:
        text = f"{name}: its configuration is out of range: {str(error)[:300]}"
        raise CheckpointError(text) from error


def _check_state(facts: dict, name: str) -> None:
    """Validates that there are facts."""
    if not isinstance(facts.get("facts"), dict):
        raise CheckpointError(f"{name}: holds no facts about its training; it cannot be resumed")


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
            start, layout, facts, text = _header(file, status.st_size, kind, name)
            check(facts, name)
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


def _header(file: Any, size: int, kind: str, name: str) -> tuple[int, dict, dict, str]:
    """Returns (first byte of the data, layout of the tensors, facts, their text), all bounded."""
    head = file.read(8)
    length = int.from_bytes(head, "little")
    for magic, what in FOREIGN.items():
        # a header of 640 bytes begins as a pickle does, but no pickle's length would be plausible
        if head.startswith(magic) and length > MAX_HEADER:
            raise CheckpointError(f"{name}: is {what}, not a wavegen model; nothing was loaded")
    if size < 10 or size > MAX_FILE:
        raise CheckpointError(f"{name}: holds {size} bytes, which no model does; use another copy")
    if length > min(MAX_HEADER, size - 8):
        raise CheckpointError(f"{name}: is not a model file, or cut off; use another copy")
    header = _json(file.read(length), name)
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{name}: was not written by wavegen; nothing was loaded")
    text = metadata.get(f"wavegen_{kind}")
    if not isinstance(text, str):
        what = "was not written by wavegen"
        if any(key.startswith("wavegen_") for key in metadata):
            what = "is a training state" if kind == "model" else "is a model"
        raise CheckpointError(f"{name}: {what}; a {kind} was asked for")
    facts = _json(text, name)
    if not isinstance(facts.get("format"), int) or facts["format"] > FORMAT:
        raise CheckpointError(
            f"{name}: is of format {str(facts.get('format'))[:20]!r}, newer than this wavegen's "
            f"({FORMAT}); pip install --upgrade wavegen"
        )
    facts |= {"version": str(facts.get("version")), "sha256": metadata.get("sha256")}
    return 8 + length, _layout(header, size - 8 - length, name), facts, text


def _layout(header: dict, size: int, name: str) -> dict[str, tuple]:
    """Returns name -> (dtype, shape, begin, end): contiguous, without holes, the whole data."""
    found, spans = {}, []
    for tensor, entry in header.items():
        try:
            dtype = DTYPES[entry["dtype"]]
            shape = tuple(entry["shape"])
            begin, end = entry["data_offsets"]
            fits = len(shape) <= 8  # before anything is multiplied
            fits &= all(type(n) is int and 0 <= n <= MAX_FILE for n in (*shape, begin, end))
            # numpy refuses even an empty array whose other axes are too long
            fits = fits and math.prod(max(n, 1) for n in shape) <= MAX_FILE
            fits = fits and math.prod(shape) * dtype.itemsize == end - begin
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits:
            raise CheckpointError(f"{name}: {tensor[:60]!r} is described wrongly; use another copy")
        found[tensor] = (dtype, shape, begin, end)
        spans.append((begin, end))
    at = 0
    for begin, end in sorted(spans):
        if begin != at:
            raise CheckpointError(f"{name}: its tensors overlap or leave holes; use another copy")
        at = end
    if at != size:
        raise CheckpointError(f"{name}: is cut off or has bytes too many; use another copy")
    return found


def _json(data: bytes | str, name: str) -> dict:
    """Returns an object; no duplicate keys, no NaN, no depth that overflows."""

    def pairs(items: list[tuple[str, Any]]) -> dict:
        if len({key for key, _ in items}) != len(items):
            raise ValueError("duplicate key")
        return dict(items)

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    try:
        found = json.loads(data, object_pairs_hook=pairs, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name}: its header is not readable; use another copy") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{name}: its header is not readable; use another copy")
    return found
