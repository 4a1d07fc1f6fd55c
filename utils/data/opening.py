"""Opens what ``--data`` names. A new kind of source is one class, listed in `SOURCES`."""

from __future__ import annotations

import os
from typing import Protocol

from utils.common.errors import UserError, printable
from utils.data import ANY_SIZE, IMAGE_SIZES
from utils.data.built_in import BuiltIn
from utils.data.dataset import Dataset, machine_memory
from utils.data.folders import Folder
from utils.data.hdf5 import File


class Source(Protocol):
    """A kind of thing that ``--data`` can name."""

    def is_named_by(self, data: str) -> bool:
        """Whether ``data`` names one of this kind."""

    def open(
        self, data: str, image_size: int | None, limit: int | None, seed: int, memory_budget: int
    ) -> Dataset:
        """The data set; the arguments are those of `open_dataset`, checked."""


# The first that is named opens it: write ``./mechas`` for a folder with the name of a built-in set.
SOURCES: tuple[Source, ...] = (BuiltIn(), Folder(), File())


def source_of(data: str) -> Source | None:
    """What opens ``data``; None where there is nothing of that name."""
    return next((source for source in SOURCES if source.is_named_by(data)), None)


def open_dataset(
    data: str,
    image_size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    memory_budget: int | None = None,
) -> Dataset:
    """The data set that ``--data`` names: built in, an HDF5 file or a folder of pictures.

    Args:
        data: a built-in name, a path of a file or of a folder.
        image_size: 32, 64, 128 or 256; by default the file's own, otherwise 64.
        limit: take only this many pictures, chosen by ``seed``.
        seed: of the choice.
        memory_budget: bytes of pictures that may be in memory; of a file with more, they stay on
            disk. By default a quarter of the machine's memory: without a GPU, a set in memory is
            there twice, as it was read and as the backend has it. Folders are always read whole.

    Raises:
        UserError: there is no such data set, or it does not fit what was asked for.
        RunError: the drawn data set cannot be kept because writing fails.
    """
    if image_size not in (None, *IMAGE_SIZES):
        raise UserError(f"--image-size {image_size}: expected {ANY_SIZE}")
    if limit is not None and limit < 1:
        raise UserError(f"--limit {limit}: expected at least 1 picture")
    data = os.path.expanduser(data)  # also as an older run's config.json has it
    source = source_of(data)
    if source is None:
        raise UserError(
            f"--data {printable(data)}: no built-in data set (mechas), file or folder of that name"
        )
    budget = memory_budget or (machine_memory() or 16 * 10**9) // 4
    return source.open(data, image_size, limit, seed, budget)
