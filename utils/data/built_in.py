"""The built-in data set: drawn once, then kept in a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from utils.common.errors import RunError, UserError
from utils.common.files import remove_leftovers
from utils.data import DEFAULT_IMAGE_SIZE, mechas
from utils.data.dataset import Dataset
from utils.data.hdf5 import read_dataset, write_dataset

CACHE = Path("data")


class BuiltIn:
    """The giant robots of `utils.data.mechas`."""

    def is_named_by(self, data: str) -> bool:
        """Whether it is their name."""
        return data == "mechas"

    def open(
        self, data: str, image_size: int | None, limit: int | None, seed: int, memory_budget: int
    ) -> Dataset:
        """The kept file where it holds what would be drawn; draws and keeps them otherwise."""
        size = image_size or DEFAULT_IMAGE_SIZE
        cache = CACHE / f"mechas-{size}.h5"
        made_by = (
            f"mechas version {mechas.VERSION}, count {mechas.DEFAULT_COUNT}, seed 0, {size} px"
        )
        dataset = _read_cache(cache, made_by, limit, seed, memory_budget)
        if dataset is None:
            _draw_cache(cache, made_by, size)
            dataset = read_dataset(cache, limit, seed, memory_budget)
        dataset.source = data
        return dataset


def _read_cache(
    cache: Path, made_by: str, limit: int | None, seed: int, memory_budget: int
) -> Dataset | None:
    """What the cache holds; None, with a line that says why, if that is not what would be drawn."""
    if not os.path.exists(cache):
        return None
    try:
        dataset = read_dataset(cache, limit, seed, memory_budget)
    except UserError as error:
        print(f"{error}; drawing the mechas again", file=sys.stderr)
        return None
    if dataset.made_by == made_by:
        return dataset
    if dataset.is_streamed:
        dataset.images.close()
    if dataset.made_by and not dataset.made_by.startswith("mechas "):
        raise UserError(
            f"{cache}: made by {dataset.made_by}; expected the drawn robots, which are kept under "
            "this name; rename it"
        )
    print(f"{cache}: of another version; drawing the mechas again", file=sys.stderr)
    return None


def _draw_cache(cache: Path, made_by: str, size: int) -> None:
    folder = cache.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise UserError(
            f"{folder}: cannot be written; expected a folder to keep the drawn data set in"
        )
    remove_leftovers(folder)
    drawn = mechas.draw_dataset(mechas.DEFAULT_COUNT, size, seed=0)
    try:
        write_dataset(cache, *drawn, made_by)
    except OSError as error:
        raise RunError(f"{cache}: cannot be written: {error}") from error
