"""Pictures in a .npy or .npz file of NumPy."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from utils.common.errors import UserError, printable
from utils.preparing.sources.arrays import BLOCK_BYTES, MAX_ARRAYS, Arrays, Form
from utils.preparing.sources.entries import BOMB_BYTES, BOMB_RATIO


class NumPy(Arrays):
    """A .npy or .npz file; nothing pickled is read."""

    def __init__(self, path: Path, shown: str, image_column: str = "") -> None:
        with open(path, "rb") as file:
            self.suffix = "npy" if file.read(6) == b"\x93NUMPY" else "npz"
        super().__init__(path, shown, image_column if self.suffix == "npz" else "")

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """By its signature, and a zip archive by its name as well."""
        return head.startswith(b"\x93NUMPY") or (
            head.startswith(b"PK") and path.suffix.lower() == ".npz"
        )

    def arrays(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Shape and type of each array in the file, by its name."""
        found = {}
        for name in self._members():
            with self._open(name) as file:
                found[name], is_fortran = _header(file)
            shape, dtype = found[name]
            reason = ""
            if dtype.hasobject:
                reason = "Python objects (a pickle), which are not read"
            elif is_fortran and len(shape) > 1:
                reason = "in Fortran's order, which is not read; save np.ascontiguousarray of it"
            if reason:
                found.pop(name)
                self.left_out.append((name, reason))
        if self.left_out and not found:
            raise UserError(f"{self.shown}: {self.left_out[0][1]}")
        return found

    def blocks(self, name: str, form: Form) -> Iterator[np.ndarray]:
        """All rows of an array in order, some at a time."""
        rows = max(1, BLOCK_BYTES // form.row_bytes)
        with self._open(name) as file:
            _header(file)
            for start in range(0, self.count, rows):
                size = min(rows, self.count - start) * form.row_bytes
                data = file.read(size)
                if len(data) != size:
                    raise ValueError("cut short, as after a broken download")
                yield np.frombuffer(data, form.dtype).reshape(-1, *form.shape)

    def column(self, name: str) -> np.ndarray:
        """A small array."""
        with self._open(name) as file:
            (shape, dtype), _ = _header(file)
            return np.frombuffer(file.read(math.prod(shape) * dtype.itemsize), dtype)

    def _members(self) -> list[str]:
        if self.suffix == "npy":
            return [self.path.stem]
        with zipfile.ZipFile(self.path) as archive:
            members = archive.infolist()
            if len(members) > MAX_ARRAYS:
                raise UserError(f"{self.shown}: {len(members):,} arrays, more than {MAX_ARRAYS:,}")
            for each in members:
                if BOMB_BYTES < each.file_size > BOMB_RATIO * each.compress_size:
                    raise UserError(
                        f"{self.shown}: {printable(each.filename)} unpacks from "
                        f"{each.compress_size:,} to {each.file_size:,} bytes: a zip bomb"
                    )
            return [each.filename[:-4] for each in members if each.filename.endswith(".npy")]

    @contextlib.contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        if self.suffix == "npy":
            with open(self.path, "rb") as file:
                yield file
        else:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{name}.npy") as file:
                yield file


def _header(file: IO[bytes]) -> tuple[tuple[tuple[int, ...], np.dtype], bool]:
    """Shape, type and whether in Fortran's order, of an array that begins here."""
    version = np.lib.format.read_magic(file)
    reads = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in reads:
        raise ValueError(f"version {version} of NumPy's format")
    shape, is_fortran, dtype = reads[version](file)
    if any(side < 0 for side in shape):
        raise ValueError(f"an array of shape {shape}")
    return (shape, dtype), is_fortran
