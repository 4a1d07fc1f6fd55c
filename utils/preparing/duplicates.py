"""Pictures that look alike, found by perceptual hashes."""

from __future__ import annotations

import numpy as np
from PIL import Image

from utils.common.pictures import Colour, figure_box, place

HASHED_SIDE = 128


def hashes(image: Image.Image, background: Colour) -> bytes:
    """Perceptual hashes of a picture, of its figure, and of both mirrored, 32 bytes each.

    That of the picture hardly changes when it is saved or resized again, that of the figure when
    it is given another margin.
    """
    import imagehash  # SciPy takes as long to load as all else; few look for near duplicates

    found = []
    for mirrored in (False, True):
        if mirrored:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for box in ((0, 0, *image.size), figure_box(image, background)):
            small = place(image, box, HASHED_SIDE, HASHED_SIDE - 8, background)
            found.append(imagehash.phash(small, hash_size=16).hash.ravel())
    return np.packbits(np.concatenate(found)).tobytes()


class NearDuplicates:
    """Pictures kept so far, to be compared with the next."""

    def __init__(self, capacity: int, threshold: int) -> None:
        self.threshold = threshold
        self.known = np.empty((2, 4, capacity), np.uint64)  # of a picture and of its figure
        self.indices = np.empty(capacity, np.int64)
        self.count = 0

    def find(self, found: bytes) -> tuple[int, int, bool] | None:
        """The nearest known picture: its index, the bits that differ, whether it is mirrored.

        The lesser of the differences of pictures and figures counts.
        """
        best = None
        for number, words in enumerate(np.frombuffer(found, np.uint64).reshape(4, 4)):
            bits = np.zeros(self.count, np.uint16)
            for known, word in zip(self.known[number % 2, :, : self.count], words, strict=True):
                bits += np.bitwise_count(known ^ word)
            if len(bits) and (best is None or bits.min() < best[1]):
                nearest = int(bits.argmin())
                best = int(self.indices[nearest]), int(bits[nearest]), number >= 2
        return best if best is not None and best[1] <= self.threshold else None

    def add(self, index: int, found: bytes) -> None:
        """Let further pictures be compared with this one."""
        words = np.frombuffer(found, np.uint64).reshape(4, 4)
        self.known[:, :, self.count] = words[:2]
        self.indices[self.count] = index
        self.count += 1
