"""What is done to one picture on its way into a data set, in whichever process has time for it."""

from __future__ import annotations

import functools
import hashlib
import io
import json
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image

from utils.common.pictures import (
    Colour,
    UnreadablePicture,
    background_colour,
    figure_box,
    place,
    read_picture,
)
from utils.preparing import filters, orientation
from utils.preparing.sources import Attribute, Entry

Fit = Literal["pad", "crop", "figure"]
Resampling = Literal["lanczos", "bicubic", "hamming", "box"]

THUMBNAIL_SIDE = 128


@dataclass(frozen=True)
class Instructions:
    """The same for every picture."""

    size: int
    fit: Fit
    margin: float
    background: Colour
    resampling: Resampling
    max_pixels: int
    squares: str
    """A file that row ``index`` of uint8 (N, size, size, 3) is written to."""
    descriptors: str = ""
    """A file that row ``index`` of float16 (N, orientation.LENGTH) is written to, if wanted."""
    hashes: bool = False
    """Whether near duplicates are looked for."""
    thumbnails: bool = False
    """Whether somebody will look at them."""


@dataclass(slots=True)
class Examined:
    """What is known of a picture once its pixels are gone."""

    name: str
    file: str
    source: int
    attributes: dict[str, Attribute] | None
    sha256: bytes = b""
    """Of the file."""
    pixels: bytes = b""
    """A digest of the upright 8-bit pixels: equal for equal pictures in different files."""
    width: int = 0
    height: int = 0
    side: int = 0
    """How many of its pixels become the ``size`` pixels of the square."""
    measures: filters.Measures | None = None
    hashes: bytes = b""
    thumbnail: bytes = b""
    """A JPEG."""
    problem: str = ""
    """Why it cannot be read."""

    def named(self) -> filters.Named:
        """What identifies it to a person."""
        return filters.Named(self.name, self.file, self.sha256.hex())


def examine(task: tuple[int, int, Entry, Instructions]) -> Examined:
    """Read a picture, measure it and write its square to where the instructions say.

    Args:
        task: its number, that of its source, where to read it, and what to do.

    Raises:
        OSError: the square cannot be written.
    """
    index, source, entry, instructions = task
    examined = Examined(entry.name, entry.file, source, entry.attributes)
    try:
        data = entry.read()
        entry.data = None
        examined.sha256 = hashlib.sha256(data).digest()
        image = read_picture(data, instructions.background, instructions.max_pixels)
    except UnreadablePicture as error:
        examined.problem = str(error)
        return examined
    examined.width, examined.height = image.size
    digest = hashlib.blake2b(repr(image.size).encode(), digest_size=16)
    digest.update(np.asarray(image))
    examined.pixels = digest.digest()

    ground = background_colour(image)
    image, scale = _workable(image, instructions.size)
    square, side = _frame(image, ground, instructions)
    examined.side = round(side * scale)
    examined.measures = filters.measure(image, ground)
    _write_row(instructions.squares, index, np.asarray(square).tobytes())
    if instructions.descriptors:
        _write_row(instructions.descriptors, index, orientation.descriptor(image).tobytes())
    if instructions.hashes:
        examined.hashes = filters.hashes(image, ground)
    if instructions.thumbnails:
        examined.thumbnail = _thumbnail(square)
    return examined


def died(task: tuple[int, int, Entry, Instructions]) -> Examined:
    """What stands for a picture whose decoder took the whole process down."""
    _, source, entry, _ = task
    problem = "the process that decoded it died"
    return Examined(entry.name, entry.file, source, entry.attributes, problem=problem)


def _workable(image: Image.Image, size: int) -> tuple[Image.Image, float]:
    """A huge picture reduced by a whole factor, to four times what is wanted or more, and that."""
    factor = max(image.size) // max(1024, 4 * size)
    if factor < 2:
        return image, 1.0
    reduced = image.reduce(factor)
    return reduced, max(image.size) / max(reduced.size)


def _frame(
    image: Image.Image, ground: Colour, instructions: Instructions
) -> tuple[Image.Image, int]:
    """The square, and how many pixels of the picture its side is made of."""
    box, inner = (0, 0, *image.size), instructions.size
    if instructions.fit == "crop":
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = left, top, left + side, top + side
    elif instructions.fit == "figure":
        box = figure_box(image, ground)
        inner = max(1, round(instructions.size * (1 - 2 * instructions.margin)))
    square = place(image, box, instructions.size, inner, ground, instructions.resampling)
    return square, max(box[2] - box[0], box[3] - box[1])


def _thumbnail(square: Image.Image) -> bytes:
    if square.width > THUMBNAIL_SIDE:
        square = square.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    square.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


@functools.lru_cache(maxsize=4)
def _opened(path: str) -> BinaryIO:
    """Opened once in each process; closed with it."""
    return open(path, "r+b", buffering=0)


def _write_row(path: str, row: int, data: bytes) -> None:
    file = _opened(path)
    file.seek(row * len(data))
    if file.write(data) != len(data):
        raise OSError(28, "no space left on the device")


class RowsOnDisk:
    """Reads rows that :func:`examine` wrote, like an array, without holding them."""

    def __init__(self, path: str, shape: tuple[int, ...], dtype: type, rows: np.ndarray) -> None:
        self.file = open(path, "rb")  # noqa: SIM115
        self.shape, self.dtype, self.rows = shape, np.dtype(dtype), rows
        self.stride = self.dtype.itemsize * int(np.prod(shape))

    def __len__(self) -> int:
        return len(self.rows)

    def row(self, row: int) -> np.ndarray:
        """The row of that number in the file."""
        self.file.seek(row * self.stride)
        return np.frombuffer(self.file.read(self.stride), self.dtype).reshape(self.shape)

    def __getitem__(self, chosen: slice) -> np.ndarray:
        return np.stack([self.row(row) for row in self.rows[chosen]])

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()


class Heap:
    """Thumbnails and attributes, one after the other in a file, read back by their place."""

    def __init__(self, path: str) -> None:
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
