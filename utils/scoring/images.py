"""What every metric does with its images first: checks, order, chunks, a separable filter."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from utils.common.channels import BLACK, as_rgb
from utils.common.pictures import WHITE

IMAGE_BYTES = 4 * 2**20
"""Of the images that are worked on at once."""
THREADED_SIDE = 128
"""From here on, a BLAS takes several threads for the product with a single image."""


def views(images: np.ndarray) -> np.ndarray:
    """What scores see of images, uint8 (N, H, W, C): colours, as if grey were a colour.

    RGBA images, premultiplied, are seen on black and on white at once, uint8 (N, H, W, 6): on one
    of them, a fringe or a hole of its colour would not show.
    """
    if images.shape[-1] == 4:
        return np.concatenate([as_rgb(images, BLACK), as_rgb(images, WHITE)], -1)
    return as_rgb(images) if images.shape[-1] == 1 else images


def check_images(least: int = 1, **images: np.ndarray) -> None:
    """Raise ValueError unless all are uint8 (N, H, W, 3 or 6), as of `views`, of one shape.

    Only N may differ, and is ``least`` or more.
    """
    sizes = set()
    for name, array in images.items():
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] not in (3, 6):
            raise ValueError(
                f"{name}: found {array.dtype} {array.shape}, expected uint8 (N, H, W, 3 or 6)"
            )
        if len(array) < least:
            raise ValueError(f"{name}: found {len(array)} images, expected at least {least}")
        sizes.add(array.shape[1:])
    if len(sizes) > 1:
        found = " and ".join(f"{name} {array.shape[1:]}" for name, array in images.items())
        raise ValueError(f"expected images of one size, found {found}")


def check_counts(fakes: np.ndarray, reals: np.ndarray) -> None:
    """Raise ValueError unless there are as many of both."""
    if len(fakes) != len(reals):
        raise ValueError(
            f"expected as many fakes as reals, found {len(fakes)} and {len(reals)}: scores depend "
            "on the number of images"
        )


def content_order(images: np.ndarray) -> np.ndarray:
    """Indices (N,) that sort images by a hash of their pixels.

    Two sets of the same images, in whatever order, are the same sequence afterwards. The order has
    nothing to do with what the pictures show, so its first half is a fair half.
    """
    digests = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
    return np.array(sorted(range(len(images)), key=digests.__getitem__), dtype=np.int64)


def in_order(images: np.ndarray) -> np.ndarray:
    """The images, sorted by `content_order`."""
    return images[content_order(images)]


def images_at_once(images: np.ndarray, bytes_per_value: int) -> int:
    """How many of the images fit into `IMAGE_BYTES` as numbers of that size, at least one."""
    return max(1, IMAGE_BYTES // (images[0].size * bytes_per_value))


def chunks(images: np.ndarray, bytes_per_value: int = 8) -> Iterator[np.ndarray]:
    """The images in slices of `images_at_once`."""
    rows = images_at_once(images, bytes_per_value)
    for start in range(0, len(images), rows):
        yield images[start : start + rows]


def channels_first(images: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    """uint8 (N, H, W, C) to (N, C, H, W) of that type."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype)


def filtered(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A separable filter as two matrix products: (..., H, W) to (..., len(rows), len(columns))."""
    height, width = images.shape[-2:]
    if max(height, width, len(rows), len(columns)) < THREADED_SIDE:
        return rows @ images @ columns.T
    # NumPy multiplies image by image, and of large ones each would wake all threads for a moment:
    # at 256 px, one product of all images takes a twentieth of the time.
    across = images.reshape(-1, width) @ columns.T
    across = across.reshape(*images.shape[:-1], len(columns)).swapaxes(-1, -2)
    down = across.reshape(-1, height) @ rows.T
    return down.reshape(*across.shape[:-1], len(rows)).swapaxes(-1, -2)
