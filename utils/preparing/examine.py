"""What is done to one picture on its way into a data set, in whichever process has time for it."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from utils.common.channels import as_rgb, straight
from utils.common.pictures import (
    Colour,
    UnreadablePicture,
    background_colour,
    figure_box,
    is_one_coloured,
    place,
    read_picture,
)
from utils.preparing.duplicates import hashes
from utils.preparing.measures import Measures, measure
from utils.preparing.orientation import descriptor
from utils.preparing.overrides import Identity
from utils.preparing.scratch import RowsOnDisk
from utils.preparing.sources.entries import Attribute, Entry

Fit = Literal["pad", "crop", "figure"]
Resampling = Literal["lanczos", "bicubic", "hamming", "box"]

THUMBNAIL_SIDE = 128


@dataclass(frozen=True)
class Instructions:
    """The same for every picture."""

    size: int
    channels: int
    """Of the squares: 1 (grey), 3 (RGB), 4 (RGBA)."""
    fit: Fit
    margin: float
    background: Colour
    """Of what is transparent; of RGBA only while it is measured."""
    resampling: Resampling
    max_pixels: int
    squares: RowsOnDisk
    """Where each picture's square goes, uint8 (size, size, channels), straight colours."""
    descriptors: RowsOnDisk | None = None
    """Where its descriptor for the orientation goes, float16 (orientation.LENGTH,)."""
    hashes: bool = False
    """Whether to make them, to find near duplicates."""
    thumbnails: bool = False
    """Whether to make them, for the review page."""


class Task(NamedTuple):
    """One picture to examine."""

    index: int
    source: int
    """The number of its source."""
    entry: Entry
    instructions: Instructions


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
    transparent: bool = False
    """Whether some of it is."""
    framed: tuple[int, int] = (0, 0)
    """Width and height in pixels of the part that becomes the square."""
    one_coloured: bool = False
    """Whether there is nothing to see; kept nonetheless, and named."""
    measures: Measures | None = None
    hashes: bytes = b""
    thumbnail: bytes = b""
    """A JPEG."""
    problem: str = ""
    """Why it cannot be read."""

    def identity(self) -> Identity:
        """What identifies it to a person."""
        return Identity(self.name, self.file, self.sha256.hex())


def examine(task: Task) -> Examined:
    """Read a picture, measure it and write its square to where the instructions say.

    Raises:
        OSError: the square cannot be written.
    """
    index, source, entry, instructions = task
    examined = Examined(entry.name, entry.file, source, entry.attributes)
    try:
        data = entry.read()
        examined.sha256 = hashlib.sha256(data).digest()
        keeps_alpha = instructions.channels == 4
        background = None if keeps_alpha else instructions.background
        image = read_picture(data, background, instructions.max_pixels)
    except UnreadablePicture as error:
        examined.problem = str(error)
        return examined
    examined.width, examined.height = image.size
    examined.transparent = image.info["transparent"]
    if keeps_alpha:
        image = image.convert("RGBa")  # premultiplied: what is hidden counts for nothing
    digest = hashlib.blake2b(repr(image.size).encode(), digest_size=16)
    digest.update(np.asarray(image))
    examined.pixels = digest.digest()

    background = background_colour(image)
    image, scale = _reduce(image, instructions.size)
    square, sides = _frame(image, background, instructions)
    examined.framed = round(sides[0] * scale), round(sides[1] * scale)
    examined.one_coloured = is_one_coloured(image)
    if instructions.channels == 1:
        square = square.convert("L")
    pixels = np.atleast_3d(np.asarray(square))
    instructions.squares.write(index, straight(pixels))
    if instructions.thumbnails:
        examined.thumbnail = _thumbnail(Image.fromarray(as_rgb(pixels)))
    if keeps_alpha:
        image = Image.fromarray(as_rgb(np.asarray(image), instructions.background))
        background = background_colour(image)
    examined.measures = measure(image, background)
    if instructions.descriptors:
        instructions.descriptors.write(index, descriptor(image))
    if instructions.hashes:
        examined.hashes = hashes(image, background)
    return examined


def died(task: Task) -> Examined:
    """What stands for a picture whose decoder took the whole process down."""
    entry = task.entry
    problem = "the process that decoded it died"
    return Examined(entry.name, entry.file, task.source, entry.attributes, problem=problem)


def _reduce(image: Image.Image, size: int) -> tuple[Image.Image, float]:
    """A huge picture smaller by a whole factor, at least four times ``size``, and that factor."""
    factor = max(image.size) // max(1024, 4 * size)
    if factor < 2:
        return image, 1.0
    reduced = image.reduce(factor)
    return reduced, max(image.size) / max(reduced.size)


def _frame(
    image: Image.Image, background: tuple[int, ...], instructions: Instructions
) -> tuple[Image.Image, tuple[int, int]]:
    """The square, and width and height of the part of the picture that it is made of."""
    box, inner = (0, 0, *image.size), instructions.size
    if instructions.fit == "crop":
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = left, top, left + side, top + side
    elif instructions.fit == "figure":
        box = figure_box(image, background)
        inner = max(1, round(instructions.size * (1 - 2 * instructions.margin)))
    square = place(image, box, instructions.size, inner, background, instructions.resampling)
    return square, (box[2] - box[0], box[3] - box[1])


def _thumbnail(square: Image.Image) -> bytes:
    if square.width > THUMBNAIL_SIDE:
        square = square.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    square.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
