"""Pictures in an HDF5 file of another program."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from utils.common.errors import UserError, printable
from utils.data.hdf5 import is_foreign, own, read_column
from utils.preparing.sources.arrays import BLOCK_BYTES, MAX_ARRAYS, Arrays, Form
from utils.preparing.sources.entries import text

MAX_CHUNK_BYTES = 256 * 2**20


class Hdf5(Arrays):
    """An HDF5 file of another program; nothing outside it is read."""

    suffix = "h5"

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """By its signature, if it is no data set that a training reads as it is."""
        return head.startswith(b"\x89HDF") and is_foreign(path)

    def arrays(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Shape and type of each array in the file, by its name."""
        found: dict[str, tuple[tuple[int, ...], np.dtype]] = {}
        with h5py.File(self.path, "r") as file:
            waiting: list[tuple[str, h5py.Group]] = [("", file)]
            for prefix, group in waiting:  # to which the groups in it are added
                for name in group:
                    if len(found) + len(waiting) > MAX_ARRAYS:
                        raise UserError(f"{self.shown}: more than {MAX_ARRAYS:,} arrays")
                    try:
                        held = own(group, name, (h5py.Dataset, h5py.Group), self.shown)
                    except UserError as error:
                        self.left_out.append((text(prefix + name), str(error).rpartition(": ")[2]))
                        continue
                    if isinstance(held, h5py.Group):
                        waiting.append((f"{prefix}{name}/", held))
                    elif held.shape is not None:
                        found[prefix + name] = held.shape, held.dtype
        return found

    def blocks(self, name: str, form: Form) -> Iterator[np.ndarray]:
        """All rows of an array in order, some at a time."""
        with h5py.File(self.path, "r") as file:
            data = file[name]
            # A chunk is unpacked as a whole, and in the order of the file once.
            chunk = data.chunks or (1,)
            size = math.prod(chunk) * data.dtype.itemsize
            if size > MAX_CHUNK_BYTES:
                raise UserError(f"{self.shown}: {printable(name)}: chunks of {size:,} bytes")
            rows = chunk[0] * max(1, BLOCK_BYTES // (chunk[0] * form.row_bytes))
            rows = min(rows, MAX_CHUNK_BYTES // form.row_bytes)
            if self.is_one:
                yield data[...][None]
                return
            for start in range(0, self.count, rows):
                yield data[start : start + rows]

    def column(self, name: str) -> np.ndarray:
        """A small array."""
        with h5py.File(self.path, "r") as file:
            parent, _, last = name.rpartition("/")
            return read_column(file[parent] if parent else file, last, self.shown, self.count)
