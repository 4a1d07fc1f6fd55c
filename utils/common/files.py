"""Writing files so that neither a kill nor a full disk leaves half a file under a real name."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LEFTOVER = re.compile(r"\..+-\w+\.part(\.\w+)?")


class FolderLock:
    """Keeps other processes out of a folder, until the block ends or the process is gone.

    It leaves no file, and nothing to clear away after a kill. Where the system or the file system
    knows no such locks, it does nothing.
    """

    def __init__(self, folder: Path) -> None:
        """Take it.

        Raises:
            BlockingIOError: another one has it.
        """
        self._descriptor: int | None = None
        if fcntl is None:
            return
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:
            os.close(descriptor)
        else:
            self._descriptor = descriptor

    @property
    def is_held(self) -> bool:
        """Whether it keeps others out: neither released nor without effect here."""
        return self._descriptor is not None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """To pass to processes that are to hold it as well."""
        return () if self._descriptor is None else (self._descriptor,)

    def __enter__(self) -> FolderLock:
        """It is taken already."""
        return self

    def __exit__(self, *error: object) -> None:
        """Let others in."""
        self.release()

    def __del__(self) -> None:
        self.release()

    def release(self) -> None:
        """Let others in; a second time does nothing."""
        # Forgotten first: Ctrl-C between the two must not have it closed twice.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def remove_leftovers(folder: Path, is_locked: bool = False) -> None:
    """Remove what killed processes have left in a folder, named as `temporary_folder` names it.

    What somebody is at work on stays: its `FolderLock` is not free. Where there are no such locks,
    and of files, which older versions left, that is what was written within the last hour.

    Args:
        folder: may be used by others.
        is_locked: the caller keeps others out: the folders below are searched as well, and what has
            no lock goes, however new.
    """
    for path in folder.rglob(".*-*.part*") if is_locked else folder.glob(".*-*.part*"):
        if not LEFTOVER.fullmatch(path.name):
            continue
        with suppress(OSError):
            if not path.is_dir():
                if is_locked or _seconds_old(path) > 3600:
                    path.unlink()
                continue
            with FolderLock(path) as lock:
                if lock.is_held or is_locked or _seconds_old(path) > 3600:
                    shutil.rmtree(path, ignore_errors=True)


def _seconds_old(path: Path) -> float:
    return time.time() - max(each.stat().st_mtime for each in (path, *path.glob("*")))


def files_by_step(folder: Path, suffix: str) -> dict[int, Path]:
    """The files ``step_0000500SUFFIX`` of a folder by their steps, in ascending order.

    Files of other names, such as a person's own copies, are left out.
    """
    found = {}
    for path in folder.glob(f"step_*{suffix}"):
        name = re.fullmatch(r"step_(\d{7,})", path.name.removesuffix(suffix))
        if name:
            found[int(name[1])] = path
    return dict(sorted(found.items()))


_cleared: set[Path] = set()
"""Folders that this process has removed leftovers from."""


@contextmanager
def temporary_folder(path: str | Path) -> Iterator[Path]:
    """Yield a hidden folder next to ``path`` for what is to become of it; it goes with the block.

    After a kill, the next process that writes into the same folder removes it.

    Raises:
        OSError: the folder cannot be made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if (parent := path.parent.absolute()) not in _cleared:
        _cleared.add(parent)
        remove_leftovers(parent)
    lock = None
    while lock is None:
        # As LEFTOVER describes it, and no longer than a name may be.
        folder = path.parent / f".{path.stem[:40]}-{secrets.token_hex(4)}.part"
        folder.mkdir()
        # Before it was locked, another process may have taken it for a leftover.
        with suppress(BlockingIOError, FileNotFoundError):
            lock = FolderLock(folder)
            lock = lock if folder.is_dir() else None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; when the block ends well it becomes ``path``.

    It has the name of ``path``, in a `temporary_folder`. The file is flushed to the disk before it
    is renamed. If the block raises, the temporary file is removed and whatever stood at ``path``
    before is untouched.

    Raises:
        OSError: the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    with temporary_folder(path) as folder:
        temporary = folder / path.name
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
