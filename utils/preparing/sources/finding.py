"""What lies in a folder and those in it: pictures, what stands beside them, and other files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from utils.common import pictures
from utils.common.kinds import HEAD_BYTES, kind_of
from utils.preparing.sources.beside import is_table, stands_beside, stems

AGAIN = "a link to a folder that is read already, or around it"


@dataclass
class Found:
    """What a folder and those in it hold."""

    paths: list[Path] = field(default_factory=list)
    """Files that promise to be pictures."""
    beside: list[Path] = field(default_factory=list)
    """Files that say something of pictures."""
    problems: list[tuple[Path, str]] = field(default_factory=list)
    """What cannot be looked at, and why."""
    others: list[tuple[Path, str]] = field(default_factory=list)
    """What is left out, and what it is."""
    folders: set[tuple[int, int]] = field(default_factory=set)
    """Device and number of each folder read."""


def find_pictures(folder: Path) -> Found:
    """What there is in a folder, in a fixed order.

    Links to folders are followed after all else, unless they lead to what is read already or round
    in circles.
    """
    found = Found()
    around = {identity(each) for each in folder.resolve().parents}
    waiting = [folder]

    def note(error: OSError) -> None:
        found.problems.append((Path(error.filename), error.strerror or "cannot be opened"))

    def is_new(path: Path) -> bool:
        try:
            if path.name.startswith("."):
                found.others.append((path, "hidden"))
            elif path.is_symlink():
                waiting.append(path)
            elif identity(path) in found.folders:
                found.others.append((path, AGAIN))
            else:
                return True
        except OSError as error:
            note(error)
        return False

    for top in waiting:  # to which the links are added
        try:
            if (here := identity(top)) in found.folders or here in around:
                found.others.append((top, AGAIN))
                continue
        except OSError as error:
            note(error)
            continue
        for parent, folders, files in os.walk(top, onerror=note):
            found.folders.add(identity(Path(parent)))
            folders[:] = [name for name in sorted(folders) if is_new(Path(parent, name))]
            pictured = stems(files)
            for path in (Path(parent, name) for name in sorted(files)):
                is_hidden = path.name.startswith(".")
                says = is_table(path.name) or stands_beside(path.name, pictured)
                if says and not is_hidden and os.path.isfile(path):
                    found.beside.append(path)
                    continue
                try:
                    kind = "hidden" if is_hidden else _other_kind(path)
                except OSError as error:
                    note(error)
                    continue
                if kind:
                    found.others.append((path, kind))
                else:
                    found.paths.append(path)
    return found


def identity(folder: Path) -> tuple[int, int]:
    """Device and number of a folder, the same by whatever path one comes."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _other_kind(path: Path) -> str:
    """What a file is that promises no picture; empty if it does, by its suffix or first bytes."""
    if path.suffix.lower() in pictures.SUFFIXES:
        return ""
    if not stat.S_ISREG(path.stat().st_mode):  # opening a named pipe would block
        return "no regular file"
    with open(path, "rb") as file:
        return other_kind(file.read(HEAD_BYTES))


def other_kind(head: bytes) -> str:
    """What a file is that begins with no picture's bytes; empty if it does."""
    return "" if pictures.is_picture_signature(head[:12]) else kind_of(head) or "no picture"


def by_reason(left_out: Iterable[tuple[str, str]], most: int = 10) -> dict[str, list[str]]:
    """The names of each reason, the commonest first, of names that have a reason each.

    Of more reasons than ``most``, the rest goes as ``other reasons``.
    """
    names: dict[str, list[str]] = {}
    for name, reason in left_out:
        names.setdefault(reason, []).append(name)
    ordered = sorted(names, key=lambda reason: -len(names[reason]))
    for reason in ordered[most:]:
        names.setdefault("other reasons", []).extend(names.pop(reason))
    return {reason: names[reason] for reason in (*ordered[:most], *list(names)[most:])}


def first_of(names: Sequence[str], shown: int = 3) -> str:
    """The first names: "a, b, c and 4 more"."""
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
