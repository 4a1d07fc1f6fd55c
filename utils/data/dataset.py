"""What a data set is: pictures, in memory or on disk, and what is known of them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from utils.common.errors import UserError
from utils.data.order import BatchOrder
from utils.data.streaming import ImagesOnDisk

# The fingerprint of a larger set is that of so many runs of so many neighbouring pictures.
FINGERPRINT_RUNS = 64
FINGERPRINT_RUN = 64


@dataclass
class Dataset:
    """Pictures, in memory or on disk, and what is known of them."""

    images: np.ndarray | ImagesOnDisk
    """uint8 (N, H, W, C), H = W: C is 1 (grey), 3 (RGB), or 4 (RGBA, premultiplied colours)."""
    names: list[str]
    """N names, of files or as drawn."""
    attributes: dict[str, np.ndarray] = field(default_factory=dict)
    """What is known of each picture, by attribute: arrays whose first axis is N."""
    source: str = ""
    """The value of ``--data``: a built-in name, a file or a folder."""
    made_by: str = ""
    """How the pictures were made."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_size(self) -> int:
        """Height and width in pixels."""
        return self.images.shape[1]

    @property
    def channels(self) -> int:
        """1, 3 or 4."""
        return self.images.shape[3]

    @property
    def is_streamed(self) -> bool:
        """Whether the pictures stay on disk."""
        return isinstance(self.images, ImagesOnDisk)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """The pictures at ``indices`` (n,), uint8 (n, H, W, C), wherever they are.

        Raises:
            RunError: they are on disk and cannot be read.
        """
        return self.images.take(indices) if self.is_streamed else self.images[indices]

    def part(self, indices: np.ndarray) -> Dataset:
        """A data set of the pictures at ``indices``, ascending."""
        return Dataset(
            images=self.images.part(indices) if self.is_streamed else self.images[indices],
            names=[self.names[index] for index in indices] if self.names else [],
            attributes={name: values[indices] for name, values in self.attributes.items()},
            source=self.source,
            made_by=self.made_by,
        )

    def files(self) -> np.ndarray | None:
        """A name of the file that each picture was made of, (N,); None if it is not known.

        A prepared set says it: a picture and its mirror image are of one file. Otherwise it is a
        hash of the pixels, unless the pictures are on disk.
        """
        if "sha256" in self.attributes or self.is_streamed:
            return self.attributes.get("sha256")
        return np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in self.images])

    def order(self, mirror: bool, seed: int) -> BatchOrder:
        """The order in which training sees them; with ``mirror``, N + i is picture i mirrored."""
        blocks, window = (self.images.blocks, self.images.window) if self.is_streamed else (None, 0)
        if blocks is not None and mirror:
            blocks = np.concatenate([blocks, blocks + blocks[-1] + 1])
        return BatchOrder(len(self) * (2 if mirror else 1), seed, blocks, window)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the shape and the pictures, so that a resumed run notices changes.

        Of a set of more than 4,096, only as many are read, in runs that are spread evenly: reading
        millions would take longer than many a training.

        Raises:
            RunError: they are on disk and cannot be read.
        """
        count, run = len(self), FINGERPRINT_RUN
        if count <= FINGERPRINT_RUNS * run:
            starts = np.arange(0, count, run)
        else:
            starts = np.linspace(0, count - run, FINGERPRINT_RUNS).astype(int)
        digest = hashlib.sha256(repr(self.images.shape).encode())
        for start in starts:
            digest.update(self.take(np.arange(start, min(start + run, count))).data)
        return digest.hexdigest()


def in_words(value: Any) -> str:
    """A value of an attribute as a text; a whole number has no point, whatever its type."""
    is_whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return (str(int(value)) if is_whole else str(value)).replace("\0", "")


def picture_bytes(count: int, size: int, channels: int = 3) -> int:
    """Bytes that so many pictures take."""
    return count * size * size * channels


def machine_memory() -> int | None:
    """Bytes of memory of this machine; None on a system that does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def check_memory(count: int, size: int, shown: str, remedy: str = "", channels: int = 3) -> None:
    """Raise UserError for pictures that would make the machine swap."""
    memory, needed = machine_memory(), picture_bytes(count, size, channels)
    if memory is not None and needed > 0.7 * memory:
        raise UserError(
            f"{shown}: {count} pictures of {size} px need {needed / 2**30:.1f} GB and this machine "
            f"has {memory / 2**30:.1f} GB; take fewer with --limit{remedy}"
        )
