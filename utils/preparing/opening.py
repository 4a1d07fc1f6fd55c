"""Opens what ``--data`` names: built in, prepared, or pictures as they are."""

from __future__ import annotations

import os
from typing import Protocol

from utils.common.errors import UserError, printable
from utils.data import ANY_SIZE, IMAGE_SIZES
from utils.data.built_in import BuiltIn
from utils.data.dataset import Dataset, machine_memory
from utils.data.hdf5 import File
from utils.preparing.kept import Pictures


class Source(Protocol):
    """A kind of thing that ``--data`` can name."""

    def is_named_by(self, data: str) -> bool:
        """Whether ``data`` names one of this kind."""

    def open(
        self, data: str, image_size: int | None, limit: int | None, seed: int, memory_budget: int
    ) -> Dataset:
        """The data set; the arguments are those of `open_dataset`, checked."""


# The first that is named opens it: write ``./mechas`` for a folder with the name of a built-in set.
SOURCES: tuple[Source, ...] = (BuiltIn(), File(), Pictures())


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
    """The data set that ``--data`` names.

    Args:
        data: a built-in name, or the path of a prepared .h5 file or of any source of pictures.
        image_size: 32, 64, 128 or 256; by default that of a prepared file, otherwise 64.
        limit: take only this many pictures, chosen by ``seed``.
        seed: of the choice.
        memory_budget: bytes of pictures that may be in memory; of a set with more, they stay on
            disk. By default a quarter of the machine's memory: without a GPU, a set in memory is
            there twice, as it was read and as the backend has it.

    Raises:
        UserError: there is no such data set, or it does not fit what was asked for.
        RunError: what is drawn or decoded cannot be kept because writing fails.
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
