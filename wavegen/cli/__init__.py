"""The command line: `python -m wavegen COMMAND`; the only part that parses and prints.

Each command is a module with `run(arguments, console) -> exit code`. Nothing here imports Keras
before a command needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from typing import Any

from wavegen.cli.display import Console
from wavegen.cli.parse import parser
from wavegen.errors import Error


class Terminated(KeyboardInterrupt):
    """SIGTERM, made to unwind like Ctrl-C, so that it too keeps what has been drawn."""


def terminate(*_: Any) -> None:
    """Raises Terminated: the handler of SIGTERM."""
    raise Terminated


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    0 done, 1 an internal bug or a sound that came out otherwise, 2 bad usage or input, 3 output,
    4 a checkpoint refused, 5 training diverged, 130 interrupted, 143 terminated.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = parser().parse_args(argv)
    console = Console(quiet=arguments.quiet, verbose=arguments.verbose)
    if getattr(arguments, "backend", None):
        os.environ["KERAS_BACKEND"] = arguments.backend
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)
    try:
        command = importlib.import_module(f"wavegen.cli.{arguments.command}")
        return command.run(arguments, console)
    except Error as error:
        console.error(str(error))
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        console.error("interrupted")
        return 143 if isinstance(interrupt, Terminated) else 130
    except BrokenPipeError:  # the reader of our output went away: nothing to say to anyone
        drop_output()
        return 0
    except MemoryError:
        console.error("memory does not suffice; try a smaller --batch, --window or preset")
        return 3
    except OSError as error:  # the disk, the terminal or the network, not wavegen
        drop_output()  # or Python would try to write what is left of it, and fail once more
        where = f"{error.filename}: " if error.filename else ""
        console.error(f"{where}{error.strerror or error}; free some space or check who may write")
        return 3
    except Exception as error:
        if arguments.verbose:
            raise
        console.error(f"internal error: {type(error).__name__}: {error}; see {log_of(error)}")
        return 1


def drop_output() -> None:
    """Sends what is still to be written to stdout nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no stdout at all
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def log_of(error: BaseException) -> str:
    """Returns the path of a fresh file that holds the traceback."""
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="wavegen-", suffix=".log", delete=False, errors="backslashreplace"
        ) as file:
            file.write(text)
    except OSError:  # nowhere to write to
        return "--verbose"
    return file.name
