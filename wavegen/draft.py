"""A file that is written under a temporary name and gets its own when it is whole."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from pathlib import Path

from wavegen.errors import OutputError, shown


def check_folder(folder: Path) -> None:
    """Looks whether files can be written into a folder, which need not exist yet.

    Raises:
        OutputError: they cannot.
    """
    there = existing(folder)
    if not os.path.isdir(there):
        what = "a file" if os.path.exists(there) else "a broken link"
        raise OutputError(f"{shown(there)}: is {what}, not a folder; choose another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(f"{shown(there)}: cannot be written to; choose another folder")


def existing(folder: Path) -> Path:
    """Returns a path, or the nearest above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))


class Draft:
    """A temporary file beside the final one: `.NAME.partial-PID`, hidden.

    Attributes:
        path: the final name.
        name: the temporary one; None once it is committed or discarded.
        handle: the open file, for reading and writing.
    """

    def __init__(self, path: Path, force: bool) -> None:
        """Creates the temporary file, and the folders that are missing.

        Args:
            path: the final name.
            force: an existing file of that name may be replaced.

        Raises:
            OutputError: the name is taken.
            OSError: the folder cannot be made or written to.
        """
        self.path, self.force = path, force
        self.name: Path | None = None
        self.handle = -1
        self.check_free()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise OutputError(
                f"{shown(path)}: a part of its path is a file, not a folder; choose another folder"
            ) from None
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        for number in itertools.count():  # a crash may have left one of our process number
            more = f"-{number}" if number else ""
            name = path.with_name(f".{path.name[:50]}.partial-{os.getpid()}{more}")
            with contextlib.suppress(FileExistsError):
                self.handle = os.open(name, flags, 0o666)
                self.name = name
                return

    def check_free(self) -> None:
        """Raises OutputError if the final name is taken and may not be replaced."""
        name = shown(self.path)
        try:
            os.lstat(self.path)  # other errors, such as a name that is too long, better come now
        except (FileNotFoundError, NotADirectoryError):
            return
        if os.path.exists(self.path) and not stat.S_ISREG(os.stat(self.path).st_mode):
            raise OutputError(f"{name}: is a folder or device; choose another name")
        if not self.force:
            raise OutputError(f"{name}: exists; add --force to replace it or choose another name")

    def put(self, data: bytes, position: int) -> None:
        """Writes all bytes at a position.

        Raises:
            OSError: the disk is full or gone.
        """
        os.lseek(self.handle, position, os.SEEK_SET)
        view = memoryview(data)
        while view:
            view = view[os.write(self.handle, view) :]

    def commit(self) -> None:
        """Brings the file to the disk and gives it its name, without clobbering unless forced.

        Raises:
            OutputError: another file has taken the name meanwhile.
            OSError: the disk is full or gone.
        """
        assert self.name is not None
        os.fsync(self.handle)
        handle, self.handle = self.handle, -1
        os.close(handle)
        self.check_free()
        if self.force:
            os.replace(self.name, self.path)
        else:
            try:
                os.link(self.name, self.path)  # unlike a rename, it never replaces
            except FileExistsError:
                self.check_free()
                raise
            except (OSError, AttributeError):  # a file system without links
                self.check_free()
                os.replace(self.name, self.path)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(self.name)
        self.name = None
        with contextlib.suppress(OSError):  # the sound is safe; not every system syncs folders
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def discard(self) -> None:
        """Removes the temporary file; does nothing after `commit`."""
        handle, self.handle = self.handle, -1
        name, self.name = self.name, None
        with contextlib.suppress(OSError):
            if handle >= 0:
                os.close(handle)
        with contextlib.suppress(OSError):
            if name:
                name.unlink()
