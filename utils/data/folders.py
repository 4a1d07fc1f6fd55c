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
        """Its readable pictures in memory, padded to squares; prints which ones are not."""
        folder, size = Path(os.path.expanduser(data)), image_size or DEFAULT_IMAGE_SIZE
        found, paths, problems = find_pictures(folder)
        shown = f"--data {printable(data)}"
        number = len(paths) if limit is None else min(limit, len(paths))
        check_memory(number, size, shown, ", or prepare an .h5 file, which is read as it is needed")
        order = np.arange(len(paths))
        if number < len(paths):
            order = np.random.default_rng(seed).permutation(len(paths))
        squares, unreadable = _read_squares(paths, order, number, size, printable(data))
        _report([*problems, *unreadable])
        if not squares:
            raise UserError(
                f"{shown}: found no readable picture among {found} files; expected a folder of "
                "PNG, JPEG, WebP, GIF or other pictures"
            )
        chosen = sorted(squares)
        count = len(chosen)
        images = np.empty((count, size, size, 3), np.uint8)
        for row, index in enumerate(chosen):
            images[row] = squares.pop(index)
        return Dataset(
            images=images,
            names=[printable(paths[index].relative_to(folder).as_posix()) for index in chosen],
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
