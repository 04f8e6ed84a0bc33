"""The recipe that a drawn file carries: all it takes to make its sound again, bit for bit.

It stands as one JSON object at the beginning of the file's comment; what a guard had to say may
follow. A recipe read from a file is a stranger's word: every value is checked before it is used.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wavegen import __version__, audio
from wavegen.errors import AudioError, shown

CONTROLS = {
    "temperature": (0.0, 10.0),
    "top_p": (1e-9, 1.0),
    "noisiness": (0.0, 4.0),
    "memory": (0.0, 1.0),
}
SHORTEST, LONGEST = 1e-6, 1e6  # seconds of a take, and of a seed
MOST_CANDIDATES = 1024


@dataclass(frozen=True)
class Recipe:
    """How one sound was drawn.

    Attributes:
        version: of the wavegen that drew it.
        model: SHA-256 of the model file.
        model_path: where that was.
        after: the seed's path; "" is silence.
        heard: SHA-256 of what was heard of the seed, as the model heard it (`fingerprint`).
        position: samples of the seed, at the model's rate, before the continuation begins.
        prime: seconds of the seed's end that were asked for.
        with_prime: whether the file begins with them.
        seed: the user's number; it and the variation decide all chance.
        variation: 0, 1, 2, ...
        controls: of the family, such as temperature.
        engine: that drew.
        precision: of its weights.
        sustain: see `sampling.Sampler`.
        guard: whether the take was chosen, held and watched.
        candidates: of each moment, where it was.
        ends: seconds of continuation at which it ended; a take that was played on has several,
            the last is the length asked for.
    """

    version: str
    model: str
    model_path: str
    after: str
    heard: str
    position: int
    prime: float
    with_prime: bool
    seed: int
    variation: int
    controls: dict[str, float]
    engine: str
    precision: str
    sustain: float
    guard: bool
    candidates: int
    ends: tuple[float, ...]

    def metadata(self) -> dict[str, str]:
        """Returns the texts that a drawn file carries."""
        return texts(self)


@dataclass(frozen=True)
class Rendering:
    """How one sound was rendered.

    Attributes:
        version: of the wavegen that drew it.
        model: SHA-256 of the model file.
        model_path: where that was.
        after: path of the sound that was played.
        played: SHA-256 of that file.
        seed: the user's number, which decides all chance.
        temperature: of the draw.
        follow: share of the sound's own excitation.
        engine: that drew.
        precision: of its weights.
    """

    version: str
    model: str
    model_path: str
    after: str
    played: str
    seed: int
    temperature: float
    follow: float
    engine: str
    precision: str

    def metadata(self) -> dict[str, str]:
        """Returns the texts that a rendered file carries."""
        return texts(self)


def texts(made: Recipe | Rendering) -> dict[str, str]:
    """Returns a recipe as the texts of a file."""
    comment = json.dumps(dataclasses.asdict(made))  # ASCII, whatever the paths are called
    return {"software": f"wavegen {made.version}", "comment": comment}


def read(path: str | Path) -> Recipe:
    """Returns the recipe that a file of sound carries.

    Raises:
        AudioError: it is no sound, carries no recipe, or one that cannot be meant.
    """
    made = read_any(path)
    if isinstance(made, Rendering):
        raise AudioError(f"{shown(path)}: was rendered; it goes on from no seed")
    return made


def read_any(path: str | Path) -> Recipe | Rendering:
    """Returns the recipe that a file of sound carries, drawn or rendered; see `read`."""
    return parse(audio.metadata(path).get("comment", ""), shown(path))


def digest(path: str | Path) -> str:
    """Returns the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse(text: str, name: str) -> Recipe | Rendering:
    """Returns the recipe at the beginning of a comment.

    Args:
        text: the comment.
        name: of the file, for the error.

    Raises:
        AudioError: there is none, or it is damaged or of another version.
    """
    try:
        found, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or "model" not in found:
        raise AudioError(
            f"{name}: carries no recipe; only a file that wavegen drew can be made again"
        )
    rendered = found.keys() == RENDERING.keys()
    if not rendered and found.keys() != CHECKS.keys():
        version = shown(str(found.get("version"))[:20])
        if version == __version__:
            raise AudioError(f"{name}: its recipe is damaged (other fields); use another copy")
        raise AudioError(
            f"{name}: its recipe is that of wavegen {version}, this is {__version__}; "
            "use that version"
        )
    for key, check in (RENDERING if rendered else CHECKS).items():
        if not check(found[key]):
            value = shown(str(found[key])[:60])
            raise AudioError(f"{name}: its recipe is damaged ({key} is {value}); use another copy")
    return Rendering(**found) if rendered else Recipe(**{**found, "ends": tuple(found["ends"])})


def fingerprint(heard: np.ndarray) -> str:
    """Returns the SHA-256 of a sound `(channels, samples)`, float32 at the model's rate."""
    shape = "x".join(map(str, heard.shape)).encode()
    return hashlib.sha256(shape + np.ascontiguousarray(heard, "<f4").tobytes()).hexdigest()


# -- what may stand in a recipe ------------------------------------------------------------------


def _text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value and len(value) < 4096


def _digest(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value))


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _whole(low: int, high: int) -> Any:
    return lambda value: type(value) is int and low <= value <= high


def _real(low: float, high: float) -> Any:
    return lambda value: type(value) in (int, float) and low <= value <= high  # never NaN


def _controls(value: Any) -> bool:
    known = isinstance(value, dict) and value.keys() <= CONTROLS.keys()
    return known and all(_real(*CONTROLS[name])(number) for name, number in value.items())


def _ends(value: Any) -> bool:
    if not isinstance(value, list) or not 1 <= len(value) <= 1000:
        return False
    return all(_real(SHORTEST, LONGEST)(end) for end in value) and value == sorted(set(value))


CHECKS = {
    "version": _text,
    "model": _digest,
    "model_path": _text,
    "after": _text,
    "heard": _digest,
    "position": _whole(0, 2**40),
    "prime": _real(SHORTEST, LONGEST),
    "with_prime": _flag,
    "seed": _whole(0, 2**64 - 1),
    "variation": _whole(0, 10**9),
    "controls": _controls,
    "engine": _text,
    "precision": _text,
    "sustain": _real(0.25, 100.0),
    "guard": _flag,
    "candidates": _whole(1, MOST_CANDIDATES),
    "ends": _ends,
}
RENDERING = {name: CHECKS[name] for name in ("version", "model", "model_path", "after")} | {
    "played": _digest,
    "seed": CHECKS["seed"],
    "temperature": _real(0.0, 10.0),
    "follow": _real(0.0, 1.0),
    "engine": _text,
    "precision": _text,
}
