"""Folders of pictures: found, read as squares, and what was left out reported."""

from __future__ import annotations

import os
import stat
import sys
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from utils.common import pictures
from utils.common.errors import UserError, printable
from utils.common.kinds import HEAD_BYTES, kind_of
from utils.common.processes import cores
from utils.data import DEFAULT_IMAGE_SIZE
from utils.data.dataset import Dataset, check_memory
from utils.data.elsewhere import to_prepare

MOST_ENLARGED = 3  # times; smaller pictures are left out
PARENT = "folder"  # the attribute: the name of the folder that a picture lies in
AGAIN = "a link to a folder that is read already, or around it"
READ_BY_PREPARING = (".parquet", ".zip")


class Folder:
    """A folder of pictures, which is read recursively."""

    def is_named_by(self, data: str) -> bool:
        """Whether there is a folder of that name."""
        return bool(data) and os.path.isdir(data)

    def open(
        self, data: str, image_size: int | None, limit: int | None, seed: int, memory_budget: int
    ) -> Dataset:
        """Its readable pictures in memory, padded to squares; prints which ones are not."""
        folder, size = Path(data), image_size or DEFAULT_IMAGE_SIZE
        found = find_pictures(folder)
        paths = found.paths
        shown = f"--data {printable(data)}"
        number = len(paths) if limit is None else min(limit, len(paths))
        check_memory(number, size, shown, ", or prepare an .h5 file, which is read as it is needed")
        order = np.arange(len(paths))
        if number < len(paths):
            order = np.random.default_rng(seed).permutation(len(paths))
        squares, unreadable = _read_squares(paths, order, number, size, printable(data))
        left_out = [
            (path.relative_to(folder).as_posix(), reason)
            for path, reason in (*found.problems, *unreadable, *found.others)
        ]
        for reason, names in by_reason(left_out).items():
            line = f"{len(names):,} left out: {reason} ({first_of(names)})"
            print(printable(line), file=sys.stderr)
        if not squares:
            raise UserError(
                f"{shown}: found no readable picture among {len(left_out)} files; "
                + (
                    to_prepare(data, image_size)
                    if any(name.lower().endswith(READ_BY_PREPARING) for name, _ in left_out)
                    else "expected a folder of PNG, JPEG, WebP, GIF or other pictures"
                )
            )
        chosen = sorted(squares)
        count = len(chosen)
        images = np.empty((count, size, size, 3), np.uint8)
        for row, index in enumerate(chosen):
            images[row] = squares.pop(index)
        names = [printable(paths[index].relative_to(folder).as_posix()) for index in chosen]
        holds = parents(names)
        return Dataset(
            images=images,
            names=names,
            attributes={PARENT: np.array(holds)} if holds else {},
            source=data,
            made_by=f"{count} pictures of a folder, padded to squares and resized to {size} px",
        )


def _read_squares(
    paths: list[Path], order: np.ndarray, number: int, size: int, shown: str
) -> tuple[dict[int, np.ndarray], list[tuple[Path, str]]]:
    """The first so many readable pictures in this order by their index, and the unreadable ones."""
    squares: dict[int, np.ndarray] = {}
    unreadable: list[tuple[Path, str]] = []
    with (
        # Each reading sets the warnings of the whole process for a moment, and those of several
        # threads are not undone in order: what stood before them is brought back here.
        warnings.catch_warnings(),
        ThreadPoolExecutor(min(8, cores())) as executor,
        tqdm(total=number, desc=f"reading {shown}", unit="pictures") as progress,
    ):
        warnings.simplefilter("ignore")
        while len(squares) < number and len(order):
            batch, order = np.split(order, [number - len(squares)])
            results = executor.map(lambda index: _read_square(paths[index], size), batch)
            for index, result in zip(batch.tolist(), results, strict=True):
                if isinstance(result, str):
                    unreadable.append((paths[index], result))
                else:
                    squares[index] = result
                    progress.update()
    return squares, unreadable


@dataclass
class Found:
    """What a folder and those in it hold."""

    paths: list[Path] = field(default_factory=list)
    """Files that promise to be pictures."""
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
            if identity(top) in found.folders | around:
                found.others.append((top, AGAIN))
                continue
        except OSError as error:
            note(error)
            continue
        for parent, folders, files in os.walk(top, onerror=note):
            found.folders.add(identity(Path(parent)))
            folders[:] = [name for name in sorted(folders) if is_new(Path(parent, name))]
            for path in (Path(parent, name) for name in sorted(files)):
                try:
                    kind = "hidden" if path.name.startswith(".") else _other_kind(path)
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


def parents(files: Iterable[str]) -> list[str]:
    """The name of the folder that each file lies in; none where all lie in one.

    Args:
        files: paths with slashes.
    """
    found = [file.rpartition("/")[0].rpartition("/")[2] for file in files]
    return found if len(set(found)) > 1 else []


def _read_square(path: Path, size: int) -> np.ndarray | str:
    """The picture, uint8 (size, size, 3), or the reason why there is none."""
    try:
        image = pictures.read_picture(path)
    except pictures.UnreadablePicture as error:
        return str(error)
    if max(image.size) * MOST_ENLARGED < size:
        return f"too small, under {size / MOST_ENLARGED:.0f} pixels each way"
    if pictures.is_elongated(*image.size):
        return "too narrow, over 5 times as long as wide"
    return np.asarray(pictures.fit_square(image, size))
