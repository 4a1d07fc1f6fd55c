"""Pictures that look alike, found by perceptual hashes and colours."""

from __future__ import annotations

import numpy as np
from PIL import Image

from utils.common.pictures import Colour, figure_box, place

HASHED_SIDE = 128
GRID = 8  # colours are compared in so many columns and rows
HASH_BYTES = 4 * 32
OTHER_COLOURS = 0.35
"""From here two pictures of one shape are two; docs/preparing.md says what it was chosen on."""
NOISE = 2.0  # of chroma, of 128 levels: what saving again does to greys


def hashes(image: Image.Image, background: Colour) -> bytes:
    """Perceptual hashes of a picture, of its figure, and of both mirrored, and their colours.

    That of the picture hardly changes when it is saved or resized again, that of the figure when
    it is given another margin. The hashes take 32 bytes each and see no colour, the two grids of
    chroma 128 each.
    """
    import imagehash  # SciPy takes as long to load as all else; few look for near duplicates

    boxes = (0, 0, *image.size), figure_box(image, background)
    smalls = [place(image, box, HASHED_SIDE, HASHED_SIDE - 8, background) for box in boxes]
    grids = [_chroma(small, background) for small in smalls]
    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    boxes = (0, 0, *image.size), figure_box(image, background)
    smalls += [place(image, box, HASHED_SIDE, HASHED_SIDE - 8, background) for box in boxes]
    bits = [imagehash.phash(small, hash_size=16).hash.ravel() for small in smalls]
    return np.packbits(np.concatenate(bits)).tobytes() + np.stack(grids).tobytes()


def _chroma(small: Image.Image, background: Colour) -> np.ndarray:
    """What is not grey, int8 (GRID, GRID, 2), with a light background as white."""
    cells = np.asarray(small.resize((GRID, GRID), Image.Resampling.BOX), np.float32)
    if min(background) >= 160:
        cells = np.minimum(cells * (255 / np.array(background, np.float32)), 255)
    cells = Image.fromarray(np.rint(cells).astype(np.uint8)).convert("YCbCr")
    return (np.asarray(cells)[..., 1:] ^ 128).view(np.int8)


def colour_differences(grid: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How far a grid of chroma is from others: 0 for equal ones, 2 for opposite colours.

    Relative to how colourful the pictures are, so that paler and darker copies stay near.

    Args:
        grid: (GRID, GRID, 2).
        others: (N, GRID, GRID, 2).

    Returns:
        (N,).
    """
    grid, others = grid.reshape(-1).astype(np.float32), others.reshape(len(others), -1)
    cells = np.sqrt(GRID * GRID)
    strength = np.maximum(np.linalg.norm(grid), np.linalg.norm(others.astype(np.float32), axis=1))
    return np.linalg.norm(others - grid, axis=1) / (strength + NOISE * cells)


class NearDuplicates:
    """Pictures kept so far, to be compared with the next."""

    def __init__(self, capacity: int, threshold: int) -> None:
        self.threshold = threshold
        self.known = np.empty((2, 4, capacity), np.uint64)  # of a picture and of its figure
        self.grids = np.empty((2, capacity, GRID, GRID, 2), np.int8)
        self.indices = np.empty(capacity, np.int64)
        self.count = 0

    def find(self, found: bytes) -> tuple[int, int, bool] | None:
        """The nearest known picture: its index, the bits that differ, whether it is mirrored.

        The lesser of the differences of pictures and figures counts. Of other colours is none.
        """
        best = None
        hashed, grids = _unpacked(found)
        for number, words in enumerate(hashed):
            bits = np.zeros(self.count, np.uint16)
            for known, word in zip(self.known[number % 2, :, : self.count], words, strict=True):
                bits += np.bitwise_count(known ^ word)
            near = np.flatnonzero(bits <= self.threshold)
            if not len(near):
                continue
            grid = grids[number % 2]
            grid = grid[:, ::-1] if number >= 2 else grid
            differences = colour_differences(grid, self.grids[number % 2, near])
            near = near[differences < OTHER_COLOURS]
            if len(near) and (best is None or bits[near].min() < best[1]):
                nearest = int(near[bits[near].argmin()])
                best = int(self.indices[nearest]), int(bits[nearest]), number >= 2
        return best

    def add(self, index: int, found: bytes) -> None:
        """Let further pictures be compared with this one."""
        hashed, grids = _unpacked(found)
        self.known[:, :, self.count] = hashed[:2]
        self.grids[:, self.count] = grids
        self.indices[self.count] = index
        self.count += 1


def _unpacked(found: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Four hashes, uint64 (4, 4), and two grids, int8 (2, GRID, GRID, 2)."""
    hashed = np.frombuffer(found, np.uint64, HASH_BYTES // 8).reshape(4, 4)
    return hashed, np.frombuffer(found, np.int8, offset=HASH_BYTES).reshape(2, GRID, GRID, 2)
