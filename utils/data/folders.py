"""Folders of pictures: found, read as squares, and what was left out reported."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from utils.common import pictures
from utils.common.errors import UserError, printable
from utils.common.processes import cores
from utils.data import DEFAULT_IMAGE_SIZE
from utils.data.dataset import Dataset, check_memory


class Folder:
    """A folder of pictures, which is read recursively."""

    def is_named_by(self, data: str) -> bool:
        """Whether there is a folder of that name."""
        return bool(data) and os.path.isdir(os.path.expanduser(data))

    def open(
        self, data: str, image_size: int | None, limit: int | None, seed: int, memory_budget: int
    ) -> Dataset:
        """All its pictures in memory, padded to squares."""
        size = image_size or DEFAULT_IMAGE_SIZE
        return _read_folder(Path(os.path.expanduser(data)), data, size, limit, seed)


def _read_folder(folder: Path, data: str, size: int, limit: int | None, seed: int) -> Dataset:
    found, paths, problems = find_pictures(folder)
    shown = f"--data {printable(data)}"
    wanted = len(paths) if limit is None else min(limit, len(paths))
    check_memory(wanted, size, shown, ", or prepare an .h5 file, which is read as it is needed")
    order = np.arange(len(paths))
    if wanted < len(paths):
        order = np.random.default_rng(seed).permutation(len(paths))
    read: dict[int, np.ndarray] = {}
    with (
        # Each reading sets the warnings of the whole process for a moment, and those of several
        # threads are not undone in order: what stood before them is brought back here.
        warnings.catch_warnings(),
        ThreadPoolExecutor(min(8, cores())) as executor,
        tqdm(total=wanted, desc=f"reading {printable(data)}", unit="pictures") as progress,
    ):
        warnings.simplefilter("ignore")
        # An unreadable picture makes place for the next, so that a limit is reached if it can be.
        while len(read) < wanted and len(order):
            batch, order = np.split(order, [wanted - len(read)])
            results = executor.map(lambda index: _read_square(paths[index], size), batch)
            for index, result in zip(batch, results, strict=True):
                if isinstance(result, str):
                    problems.append((paths[index], result))
                else:
                    read[int(index)] = result
                    progress.update()
    _report(problems)
    if not read:
        raise UserError(
            f"{shown}: found no readable picture among {found} files; wanted a folder of PNG, "
            "JPEG, WebP, GIF or other pictures"
        )
    chosen = sorted(read)
    images = np.empty((len(chosen), size, size, 3), np.uint8)
    for row, index in enumerate(chosen):
        images[row] = read.pop(index)
    return Dataset(
        images=images,
        names=[printable(paths[index].relative_to(folder).as_posix()) for index in chosen],
        source=data,
        made_by=f"{len(chosen)} pictures of a folder, padded to squares and resized to {size} px",
    )


def find_pictures(folder: Path) -> tuple[int, list[Path], list[tuple[Path, str]]]:
    """How many files a folder holds, which promise to be pictures, and which cannot be looked at.

    Hidden files and folders are skipped, and links to folders, which may lead round in circles.
    """
    found = 0
    paths: list[Path] = []
    problems: list[tuple[Path, str]] = []

    def note(error: OSError) -> None:
        problems.append((Path(error.filename), error.strerror or "cannot be opened"))

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            found += 1
            try:
                if pictures.looks_like_picture(Path(parent, name)):
                    paths.append(Path(parent, name))
            except OSError as error:
                note(error)
    return found, paths, problems


def _read_square(path: Path, size: int) -> np.ndarray | str:
    """The picture, uint8 (size, size, 3), or the reason why there is none."""
    try:
        return np.asarray(pictures.fit_square(pictures.read_picture(path), size))
    except pictures.UnreadablePicture as error:
        return str(error)


def _report(problems: Sequence[tuple[Path, str]], shown: int = 10) -> None:
    for path, reason in problems[:shown]:
        print(printable(f"{path}: left out: {reason}"), file=sys.stderr)
    if len(problems) > shown:
        print(f"and {len(problems) - shown} more", file=sys.stderr)
