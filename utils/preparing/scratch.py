"""What waits on disk while a set is prepared, so that memory does not grow with it."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.common.files import remove_leftovers, temporary_folder
from utils.preparing.sources.entries import Attribute


@contextlib.contextmanager
def scratch_folder(output: Path) -> Iterator[Path]:
    """A hidden folder next to ``output``, removed with the block or, after a kill, by the next."""
    remove_leftovers(output.parent)
    with temporary_folder(output) as folder:
        yield folder


def move_all(folder: Path, names: Sequence[str], target: Path) -> None:
    """Move finished files out of the scratch folder, in this order, each over its predecessor.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    for name in names:
        with open(folder / name, "rb+") as file:
            os.fsync(file.fileno())
    for name in names:
        os.replace(folder / name, target / name)


@dataclass(frozen=True)
class RowsOnDisk:
    """Rows of one shape in a file, which any process writes, in any order, and reads."""

    path: Path
    shape: tuple[int, ...]
    dtype: type[np.generic]

    def __post_init__(self) -> None:
        self.path.touch()

    @property
    def _stride(self) -> int:
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)

    def write(self, number: int, row: np.ndarray) -> None:
        """Write the row of that number.

        Raises:
            OSError: the disk is full.
        """
        with open(self.path, "r+b", buffering=0) as file:
            file.seek(number * self._stride)
            if file.write(row.tobytes()) != self._stride:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def row(self, number: int) -> np.ndarray:
        """The row of that number."""
        return self.take([number])[0]

    def take(self, numbers: Iterable[int]) -> np.ndarray:
        """The rows of these numbers, in one array."""
        rows = []
        with open(self.path, "rb") as file:
            for number in numbers:
                file.seek(number * self._stride)
                rows.append(np.frombuffer(file.read(self._stride), self.dtype))
        return np.stack(rows).reshape(-1, *self.shape)


class ChosenRows:
    """Some of the rows, read like an array of them."""

    def __init__(self, rows: RowsOnDisk, numbers: np.ndarray) -> None:
        self.rows, self.numbers = rows, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, chosen: slice) -> np.ndarray:
        return self.rows.take(self.numbers[chosen])


class Heap:
    """Thumbnails and attributes, one after the other in a file, read back by their place."""

    def __init__(self, path: Path) -> None:
        self.file = open(path, "w+b")  # noqa: SIM115
        self.end = 0

    def add(self, thumbnail: bytes, attributes: dict[str, Attribute]) -> int:
        """Keep both; returns their place."""
        described = json.dumps(attributes).encode()
        sizes = len(thumbnail).to_bytes(8, "little") + len(described).to_bytes(8, "little")
        self.file.seek(self.end)
        place = self.end
        self.end += self.file.write(sizes + thumbnail + described)
        return place

    def get(self, place: int) -> tuple[bytes, dict[str, Attribute]]:
        """What was kept at a place."""
        self.file.seek(place)
        sizes = self.file.read(16)
        thumbnail = self.file.read(int.from_bytes(sizes[:8], "little"))
        return thumbnail, json.loads(self.file.read(int.from_bytes(sizes[8:], "little")))

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()
