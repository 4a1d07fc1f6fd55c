"""Writing files so that neither a kill nor a full disk leaves half a file under a real name."""

from __future__ import annotations

import glob
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
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def remove_leftovers(folder: Path, stem: str = "") -> None:
    """Remove files and folders that killed processes left, named as `atomic_path` names them.

    Without a stem, everything so named in the folder and below it goes: the caller has locked the
    folder. With a stem, only what stands in the folder itself and belongs to the file of that stem
    goes, and only where nobody is at work on it: the `FolderLock` of a folder is free, and a file
    has not been written for an hour.
    """
    found = folder.glob(f".{glob.escape(stem)}-*.part*") if stem else folder.rglob(".*-*.part*")
    for path in [path for path in found if LEFTOVER.fullmatch(path.name)]:
        with suppress(OSError):
            if path.is_dir():
                lock = FolderLock(path)
                if lock.is_held:
                    shutil.rmtree(path, ignore_errors=True)
                lock.release()
            elif not stem or time.time() - path.stat().st_mtime > 3600:
                path.unlink()


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


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; when the block ends well it becomes ``path``.

    The temporary name starts with a dot, ends in ``.part`` plus the suffix of ``path`` (so that
    libraries that look at the suffix still work) and lies in the same folder, which makes the
    rename atomic. The file is flushed to the disk before the rename. If the block raises, the
    temporary file is removed and whatever stood at ``path`` before is untouched.

    Raises:
        OSError: the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # As LEFTOVER describes it.
    temporary = path.parent / f".{path.stem}-{secrets.token_hex(4)}.part{path.suffix}"
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
