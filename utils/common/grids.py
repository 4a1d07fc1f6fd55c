"""Grids of images, with captions, as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils.common.channels import CHANNELS, as_rgb, to_picture
from utils.common.errors import printable
from utils.common.files import atomic_path
from utils.common.pictures import WHITE, Colour

PADDING = 2
"""Pixels around the pictures of a grid."""
ENLARGED_SIDE = 96
"""Pictures of a third of it, 32 px, would be stamps in a grid; see `enlarge`."""


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Float [-1, 1] of any shape -> uint8 [0, 255], rounded and clipped; NaN becomes grey."""
    values = np.nan_to_num(np.asarray(images, dtype=np.float32), nan=0.0)
    return np.rint((np.clip(values, -1, 1) + 1) * 127.5).astype(np.uint8)


def tile(
    images: np.ndarray,
    columns: int,
    padding: int = PADDING,
    colour: Colour = WHITE,
    background: Colour | None = None,
) -> np.ndarray:
    """A grid of pictures, row by row, with ``padding`` pixels around and between them.

    Args:
        images: uint8 (N, H, W, C), N at least 1, C of 1, 3 or 4.
        columns: pictures in a row.
        padding: pixels between two pictures and around the grid.
        colour: of padding and empty cells.
        background: see `as_rgb`.

    Returns:
        uint8 (rows * (H + padding) + padding, columns * (W + padding) + padding, 3).

    Raises:
        ValueError: the array is of another kind, or ``columns`` is below 1.
    """
    is_known = images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] in CHANNELS
    if not is_known or not len(images):
        raise ValueError(f"expected uint8 (N, H, W, C), found {images.dtype} {images.shape}")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, found {columns}")
    count, height, width, _ = images.shape
    rows = -(-count // columns)
    cells = np.empty((rows * columns, height + padding, width + padding, 3), np.uint8)
    cells[...] = colour
    cells[:count, :height, :width] = as_rgb(images, background)
    grid = cells.reshape(rows, columns, height + padding, width + padding, 3).swapaxes(1, 2)
    grid = grid.reshape(rows * (height + padding), columns * (width + padding), 3)
    framed = np.empty((grid.shape[0] + padding, grid.shape[1] + padding, 3), np.uint8)
    framed[...] = colour
    framed[padding:, padding:] = grid
    return framed


def enlarge(picture: np.ndarray, side: int, enlarged: int = ENLARGED_SIDE) -> np.ndarray:
    """A picture made of images of ``side`` pixels, every pixel as often as fits into ``enlarged``.

    Images of more than half of that stay as they are.
    """
    times = max(1, enlarged // side)
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def grid(
    images: np.ndarray,
    columns: int,
    rows: Sequence[str] = (),
    background: Colour | None = None,
) -> np.ndarray:
    """`tile`, enlarged where the images are small; names of its rows, if any, to the left."""
    picture = enlarge(tile(images, columns, background=background), images.shape[1])
    return name_rows(picture, rows) if rows else picture


def save_png(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 (H, W, C) as a PNG of as many channels, whole or not at all.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    with atomic_path(path) as temporary:
        to_picture(image).save(temporary, format="PNG")


def caption(
    image: np.ndarray, texts: Sequence[str], centred: bool = False, size: int = 14
) -> np.ndarray:
    """A picture under a white strip of one line of text.

    Args:
        image: uint8 (H, W, 3).
        texts: each gets an equal share of the strip. Where one is too long for it, all are set
            smaller, down to half the size, and then cut off.
        centred: in the middle of its share, not at the left.
        size: of the letters in pixels.

    Returns:
        uint8 (H + strip, W, 3).
    """
    width = image.shape[1]
    strip = Image.new("RGB", (width, size + 8), WHITE)
    draw = ImageDraw.Draw(strip)
    share = width / len(texts)
    font = next(
        (
            font
            for font in map(ImageFont.load_default, range(size, size // 2, -1))
            if max(map(font.getlength, texts)) <= share - 4
        ),
        ImageFont.load_default(size // 2),
    )
    for number, text in enumerate(texts):
        left = number * share + (share / 2 if centred else 4)
        draw.text((left, strip.height / 2), text, (0, 0, 0), font, "mm" if centred else "lm")
    return np.concatenate([np.asarray(strip), image])


def in_rows(
    images: np.ndarray, columns: int, names: Sequence[str], background: Colour | None = None
) -> np.ndarray:
    """A grid of images that are of one kind after the other, with rows of their own for each.

    Args:
        images: uint8 (N, H, W, C); image i is of kind i modulo the number of kinds.
        columns: of the grid.
        names: of the kinds, to the left of the first of their rows.
        background: see `as_rgb`.
    """
    cells, texts = [], []
    for number, name in enumerate(names[: len(images)]):
        found = images[number :: len(names)]
        rows = -(-len(found) // columns)
        empty = np.full((rows * columns - len(found), *images.shape[1:]), 255, np.uint8)
        cells += [found, empty]
        texts += [name, *[""] * (rows - 1)]
    return grid(np.concatenate(cells), columns, texts, background)


def name_rows(image: np.ndarray, texts: Sequence[str], size: int = 14) -> np.ndarray:
    """A picture to the right of a white strip with a text for each of its rows.

    Args:
        image: uint8 (H, W, 3).
        texts: from top to bottom, each in an equal share of the height; long ones are cut off.
        size: of the letters in pixels.

    Returns:
        uint8 (H, strip + W, 3).
    """
    font = ImageFont.load_default(size)
    texts = [text if len(text) <= 20 else f"{text[:19]}\u2026" for text in map(printable, texts)]
    strip = Image.new("RGB", (int(max(map(font.getlength, texts))) + 12, image.shape[0]), WHITE)
    draw = ImageDraw.Draw(strip)
    for number, text in enumerate(texts):
        height = (number + 0.5) * image.shape[0] / len(texts)
        draw.text((strip.width - 6, height), text, (0, 0, 0), font, "rm")
    return np.concatenate([np.asarray(strip), image], axis=1)


def stack(images: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures uint8 (H, W, 3) below each other, narrower ones padded with white."""
    width = max(image.shape[1] for image in images)
    filled = [
        np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0)), constant_values=255)
        for image in images
    ]
    return np.concatenate(filled)
