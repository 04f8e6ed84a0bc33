"""The header of a safetensors file, looked at before a single byte behind it is read.

A model from elsewhere is data that somebody may have made to hurt: every length is bounded before
anything is allocated on its word, and JSON is held to what wavegen itself writes.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from wavegen.errors import CheckpointError

FORMAT = 1
MAX_HEADER = 1 << 18  # bytes: a model of 224 layers takes 100 000, and JSON grows in memory
MAX_FILE = 64 << 30
DTYPES = {f"{k}{8 * n}": np.dtype(f"<{k.lower()}{n}") for k in "FIU" for n in (2, 4, 8)}
DTYPES |= {"I8": np.dtype("i1"), "U8": np.dtype("u1"), "BOOL": np.dtype("?")}
FOREIGN = {
    b"PK\x03\x04": "a zip archive (.keras or PyTorch)",
    b"\x89HDF": "an HDF5 file (.h5)",
    **{bytes([0x80, protocol]): "a Python pickle" for protocol in range(2, 6)},
    b"RIFF": "a WAV file",
}


def look(file: Any, size: int, kind: str, name: str) -> tuple[int, dict, dict, str]:
    """Returns (first byte of the data, layout of the tensors, facts, their text), all bounded.

    Args:
        file: open for reading bytes.
        size: of the file, bytes.
        kind: "model" or "state".
        name: the file's, for messages.

    Raises:
        CheckpointError: the header is not one that wavegen writes; nothing was allocated for it.
    """
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
    """Returns an object; no duplicate keys, no NaN, no infinity, no depth that overflows."""

    def pairs(items: list[tuple[str, Any]]) -> dict:
        if len({key for key, _ in items}) != len(items):
            raise ValueError("duplicate key")
        return dict(items)

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    def finite(text: str) -> float:
        return value if math.isfinite(value := float(text)) else refuse(text)

    def whole(text: str) -> int:
        return int(text) if len(text) <= 20 else refuse(text)  # as long as 64 bits are

    hooks: dict[str, Any] = {"parse_constant": refuse, "parse_float": finite, "parse_int": whole}
    try:
        found = json.loads(data, object_pairs_hook=pairs, **hooks)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name}: its header is not readable; use another copy") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{name}: its header is not readable; use another copy")
    return found
