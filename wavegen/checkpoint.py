"""A run folder: the best model, the training state, the log and the listening samples.

    runs/NAME/model.safetensors       the best weights so far: what `sample` plays
    runs/NAME/state-00001234.safetensors   everything needed to go on; the newest two are kept
    runs/NAME/log.jsonl               one line per event
    runs/NAME/samples/                what it played on the way

The latest state is the newest valid one, found by looking; there is no pointer file to lose.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wavegen.demo import DEMOS
from wavegen.errors import CheckpointError, OutputError, UsageError, shown
from wavegen.facts import check_resumed
from wavegen.fields import nearest
from wavegen.modelfile import (
    ModelFile,
    plain,
    read_model,
    read_state,
    save_model,
    save_state,
    sync_folder,
)

__all__ = [
    "ModelFile",
    "Run",
    "find_model",
    "part_of",
    "read_model",
    "runs",
    "save_model",
]

KEPT = 2  # states
STATE = re.compile(r"state-(\d{8,12})\.safetensors")


class Run:
    """One run folder."""

    def __init__(self, folder: Path) -> None:
        """Names the parts of a folder; `open` also checks and creates it."""
        self.folder = folder
        self.model_path = folder / "model.safetensors"
        self.log_path = folder / "log.jsonl"
        self.samples = folder / "samples"
        self.warnings: list[str] = []  # of the last `load_state`

    @classmethod
    def open(cls, folder: str | Path, *, create: bool) -> Run:
        """Returns the run in a folder.

        Args:
            folder: `runs/NAME`; NAME of letters, digits, spaces and . _ -, no dot first.
            create: make the folder if it is not there.

        Raises:
            UsageError: a name that is not safe as a folder everywhere.
            CheckpointError: no such run.
            OutputError: it cannot be created or written to.
        """
        folder = Path(folder)
        check_name(folder.name)
        if create:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                probe = folder / f".{os.getpid()}.tmp"
                probe.touch()
                probe.unlink(missing_ok=True)  # who holds the lock may have cleaned it away
                sync_folder(folder.parent)
            except OSError as error:
                raise OutputError(
                    f"{shown(folder)}: cannot be written to ({error.strerror}); "
                    "choose another folder with --runs"
                ) from error
        elif not folder.is_dir():
            raise CheckpointError(f"{shown(folder)}: there is no such run; see: wavegen runs")
        return cls(folder)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process; the system lets go of it when the process dies.

        Raises:
            OutputError: another process holds it, or the folder cannot be written to.
        """
        try:
            opened = open(self.folder / ".lock", "a+", encoding="ascii")
        except OSError as error:
            raise OutputError(f"{shown(self.folder)}: {error.strerror}; check its owner") from error
        with opened as file:
            try:
                _lock(file)
            except OSError:
                file.seek(0)
                pid = file.read().strip() or "unknown"
                raise OutputError(
                    f"{shown(self.folder)}: is in use by pid {pid}; wait or use another --name"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            for pattern in (".*.tmp", "samples/.*.partial-*"):  # of saves that were killed
                for left in self.folder.glob(pattern):
                    left.unlink(missing_ok=True)
            yield

    # -- training state ------------------------------------------------------------------------

    def states(self) -> list[Path]:
        """Returns the saved states, newest first."""
        found = [path for path in self.folder.iterdir() if STATE.fullmatch(path.name)]
        return sorted(found, key=lambda path: int(path.stem.split("-")[1]), reverse=True)

    def save_state(self, step: int, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        """Writes a state and removes all but the newest two; raises OutputError.

        States of later steps are removed as well: they are damaged, or training went back.
        """
        path = self.folder / f"state-{step:08d}.safetensors"
        save_state(path, arrays, facts)
        states = self.states()
        at = states.index(path)
        for old in states[:at] + states[at + KEPT :]:
            old.unlink(missing_ok=True)

    def load_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Returns (arrays, facts) of the newest valid state, or None where there is none at all.

        Raises:
            CheckpointError: there are states, but none of them is valid.
        """
        self.warnings = []
        for path in self.states():
            try:
                return read_state(path)
            except CheckpointError as error:
                self.warnings.append(f"{error}; looking for an older state")
        if self.warnings:
            raise CheckpointError(
                f"{shown(self.folder)}: no training state can be read; its model may still play, "
                "--fresh begins a new run and keeps this one aside"
            )
        return None

    def resumable(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Returns what `load_state` does, after checking the facts that a training goes on from.

        Raises:
            CheckpointError: there are states, but none of them can be resumed.
        """
        if saved := self.load_state():
            check_resumed(saved[1], shown(self.folder))
        return saved

    # -- log -----------------------------------------------------------------------------------

    def log(self, row: dict[str, Any]) -> None:
        """Appends one line; after a kill in the middle of one, begins on a new line."""
        try:
            with open(self.log_path, "a+b") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":
                        file.write(b"\n")
                file.write(json.dumps(plain(row)).encode() + b"\n")
        except OSError as error:
            raise OutputError(
                f"{shown(self.log_path)}: {error.strerror}; free some space"
            ) from error

    def rows(self) -> list[dict[str, Any]]:
        """Returns the log's lines that are whole."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for line in self.log_path.read_text("utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    if isinstance(row := json.loads(line), dict):
                        found.append(row)
        return found

    def truncate_log(self, step: int) -> None:
        """Drops the lines of steps after `step`: training is about to take them again."""
        kept = [row for row in self.rows() if row.get("step", 0) <= step]
        if len(kept) == len(self.rows()):
            return
        draft = self.folder / f".log.{os.getpid()}.tmp"
        try:
            draft.write_text("".join(json.dumps(row) + "\n" for row in kept), "utf-8")
            os.replace(draft, self.log_path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise OutputError(
                f"{shown(self.log_path)}: {error.strerror}; free some space"
            ) from error


def _lock(file: Any) -> None:
    """Takes an exclusive lock or raises OSError at once."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def check_name(name: str) -> None:
    """Raises UsageError for a name that is not safe as a folder's everywhere."""
    device = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name)  # on Windows
    if device or not re.fullmatch(r"[\w-]([\w. -]{0,98}[\w-])?", name):
        raise UsageError(f"{name!r} cannot name a run; use letters, digits, spaces and . _ -")


def runs(folder: str | Path = "runs") -> list[Run]:
    """Returns the runs in a folder, the one that was trained last first."""

    def age(run: Run) -> float:
        of_parts = run.folder.glob("*/state-*.safetensors")  # of a duet
        files = [run.model_path, *run.states(), *of_parts]
        return max((f.stat().st_mtime for f in files if f.exists()), default=0.0)

    folder = Path(folder)
    if not folder.is_dir():
        return []
    found = [Run(path) for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    return sorted((run for run in found if age(run)), key=age, reverse=True)


def find_model(where: str | Path | None = None, folder: str | Path = "runs") -> Path:
    """Returns the model file that is meant.

    Args:
        where: a model file, a run folder, a run's name or, where no run is called so, that of a
            model that comes with wavegen; None is the newest run with a model.
        folder: of the runs.

    Raises:
        CheckpointError: there is none; what there is and the nearest name are told.
    """
    known = {run.folder.name: run for run in runs(folder) if run.model_path.exists()}
    if where is None:
        if not known:
            raise CheckpointError(f"{folder}: holds no model yet; run: python -m wavegen train")
        return next(iter(known.values())).model_path
    places = (Path(where), Path(folder) / where)
    with contextlib.suppress(OSError):  # a name that is too long is no name
        for path in places:
            file = path / "model.safetensors" if path.is_dir() else path
            if file.exists() or file.is_symlink():
                return file
        for path in places:
            if path.is_dir():
                cure = "let it train a little" if Run(path).log_path.exists() else "name a run"
                raise CheckpointError(f"{shown(path)}: holds no model; {cure}")
    if str(where) in DEMOS:
        return DEMOS[str(where)]
    name, names = shown(where)[:200], ", ".join(known) or "none yet"
    hint = nearest(str(where), [*known, *DEMOS])
    raise CheckpointError(
        f"{name}: no such run or model file{hint}; runs: {names}; "
        f"with wavegen come {' and '.join(DEMOS)}"
    )


def part_of(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Returns the arrays whose names begin with the prefix, without it."""
    return {n[len(prefix) :]: array for n, array in arrays.items() if n.startswith(prefix)}
