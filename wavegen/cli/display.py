"""What the user sees: one console on stderr, results on stdout, one live line for long work."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from rich.console import Console as Rich
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from wavegen.errors import Error, shown

NUMBER = re.compile(r"([-+]?[\d.:]+( \.\. [-+]?[\d.]+)?( ?[%A-Za-z]{1,3})?|-?)$")  # leans right
WIDE = 10_000  # columns where no terminal is: a file has no edge to fold words at


class Console:
    """Prints notes and progress to stderr and results (paths, JSON) to stdout."""

    def __init__(self, quiet: bool = False, verbose: bool = False) -> None:
        """Makes a console; `quiet` keeps all but results, warnings and errors to itself."""
        self.quiet, self.verbose = quiet, verbose
        # It honours NO_COLOR by itself; a name like "[b] :cat:.wav" is to stay what it is.
        self.rich = Rich(stderr=True, highlight=False, markup=False, emoji=False)

    def note(self, text: str) -> None:
        """Says something useful to know."""
        if not self.quiet:
            self.rich.print(shown(text), soft_wrap=True)

    def warning(self, text: str) -> None:
        """Says what is not as it should be, in one line."""
        self.rich.print(f"wavegen: warning: {shown(text)}", soft_wrap=True)

    def error(self, text: str) -> None:
        """Says why the command failed, in one line."""
        self.rich.print(f"wavegen: error: {shown(text)}", soft_wrap=True)

    def leave(self, text: str, code: int) -> None:
        """Says a last thing and ends the process at once, whatever its other threads do."""
        try:
            self.rich.show_cursor(True)  # a live line had hidden it
            self.note(text)
        finally:
            os._exit(code)

    def result(self, text: str) -> None:
        """Prints what other programs may read."""
        if sys.stdout is None:  # closed by who called us
            return
        try:
            sys.stdout.write(text + "\n")
        except UnicodeEncodeError:  # a terminal of few characters, or a name that is not UTF-8
            sys.stdout.write(shown(text).encode("ascii", "backslashreplace").decode() + "\n")
        sys.stdout.flush()

    def table(self, columns: list[str], rows: list[list[str]], *, to_stdout: bool = False) -> None:
        """Prints rows under headings, if there are any; numbers lean right."""
        if self.quiet and not to_stdout:
            return
        table = Table(box=None, pad_edge=False, show_header=any(columns))
        for i, column in enumerate(columns):
            right = i > 0 and all(NUMBER.match(row[i]) for row in rows)
            table.add_column(column, justify="right" if right else "left", overflow="fold")
        for row in rows:
            table.add_row(*map(shown, row))
        target = self.rich
        if to_stdout:
            width = None if sys.stdout and sys.stdout.isatty() else WIDE  # it may be closed
            target = Rich(highlight=False, markup=False, emoji=False, width=width)
        target.print(table)

    def live(self, title: str) -> Live:
        """Returns a live line for long work, as a context manager."""
        return Live(self, title)


class Live:
    """A bar with the state of the work in words; now and then a plain line where no terminal is."""

    EVERY = 15.0  # seconds between plain lines

    def __init__(self, console: Console, title: str) -> None:
        """Prepares the line; nothing is shown before the first update."""
        self.console, self.title = console, title
        self.printed = time.monotonic()
        self.bar: Progress | None = None
        if console.rich.is_terminal and not console.quiet:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(24),
                TextColumn("{task.fields[text]}", markup=False),
            )
            self.bar = Progress(*columns, console=console.rich, transient=True)
            self.task = self.bar.add_task(title, total=1.0, text="")

    def __enter__(self) -> Live:
        """Shows the line."""
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        """Removes the line."""
        if self.bar:
            self.bar.stop()

    def update(self, share: float, text: str) -> None:
        """Shows how far the work is, 0 .. 1, and its state in words."""
        if self.bar:
            self.bar.update(self.task, completed=share, text=text)
        elif time.monotonic() - self.printed >= self.EVERY:
            self.printed = time.monotonic()
            self.console.note(f"{self.title} {share:4.0%}  {text}")


class Pace:
    """Shows on a live line how long work takes yet, given the share that is done."""

    def __init__(self, live: Live) -> None:
        """Begins now."""
        self.live, self.began = live, time.monotonic()

    def __call__(self, share: float) -> None:
        """Shows a share, 0 .. 1."""
        left = (time.monotonic() - self.began) * (1 - share) / share if share else 0.0
        self.live.update(share, f"{clock(left)} left")


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Keeps back what C libraries say to stderr while they are imported, unless it fails.

    TensorFlow announces its build options before any setting of its own can silence it.
    """
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr to keep quiet
        yield
        return
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except Error:  # whose one line says it all
            raise
        except BaseException:
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def clock(seconds: float) -> str:
    """Returns "1:05" or "2:03:04" from seconds."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def large(number: float) -> str:
    """Returns "950", "12.3 k" or "4.56 M"."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"
