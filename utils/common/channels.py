"""Images of one, three and four channels: grey, RGB, and RGBA with premultiplied colours.

Files have RGBA as a PNG has it, with *straight* colours. Networks and scores see each colour
multiplied by its alpha: what hides under alpha 0 is 0, whatever a file has there, and pixels may be
added and averaged.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from utils.common.pictures import Colour

CHANNELS = {1: "grey", 3: "RGB", 4: "RGBA"}
"""What images of so many channels are called."""
BLACK: Colour = (0, 0, 0)
CHEQUERED: tuple[Colour, Colour] = ((255, 255, 255), (204, 204, 204))
"""Colours of the squares that transparency is drawn as."""
SQUARES = 8
"""Of them along the height of an image."""


def how_to_prepare(channels: int) -> str:
    """What a person can do for images of so many channels, for the end of a message."""
    option = {1: "--grey", 4: "--alpha"}.get(channels)
    return f"; prepare_dataset.py {option} makes them" if option else ""


def premultiplied(images: np.ndarray) -> np.ndarray:
    """Straight RGBA, uint8 (..., H, W, 4), with premultiplied colours; other images as they are."""
    if images.shape[-1] != 4:
        return images
    found = images.copy()
    for image in found.reshape(-1, *images.shape[-3:]):  # one by one, which needs little memory
        image[..., :3] = (image[..., :3] * image[..., 3:].astype(np.uint16) + 127) // 255
    return found


def straight(images: np.ndarray) -> np.ndarray:
    """Premultiplied RGBA, uint8 (..., H, W, 4), with straight colours; other images as they are.

    `premultiplied` takes it back to the same images. Under alpha 0, colours are black. A colour
    above its alpha, which a generator can draw, becomes 255.
    """
    if images.shape[-1] != 4:
        return images
    alpha = images[..., 3:].astype(np.uint16)
    colours = np.minimum(images[..., :3], alpha) * np.uint16(255) + alpha // 2
    return np.concatenate([colours // np.maximum(alpha, 1), alpha], -1).astype(np.uint8)


def as_rgb(images: np.ndarray, background: Colour | None = None) -> np.ndarray:
    """Images in RGB: grey three times, premultiplied RGBA in front of a background.

    Args:
        images: uint8 (..., H, W, C), C of 1, 3 or 4.
        background: a colour; None is a chequered one.

    Returns:
        uint8 (..., H, W, 3).
    """
    if images.shape[-1] != 4:
        return images if images.shape[-1] == 3 else images.repeat(3, -1)
    alpha = images[..., 3:].astype(np.uint16)
    behind = _chequered(*images.shape[-3:-1]) if background is None else background
    colours = np.minimum(images[..., :3], alpha)
    colours += ((255 - alpha) * np.asarray(behind, np.uint16) + 127) // 255
    return colours.astype(np.uint8)


def to_picture(image: np.ndarray) -> Image.Image:
    """An image, uint8 (H, W, C), as a picture: grey, RGB, or RGBA with straight colours."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else straight(image))


def _chequered(height: int, width: int) -> np.ndarray:
    side = max(1, height // SQUARES)
    rows, columns = (np.arange(length) // side for length in (height, width))
    return np.asarray(CHEQUERED)[(rows[:, None] + columns) % 2]
