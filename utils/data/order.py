"""The order of the pictures in training, and which ones are held out of it."""

from __future__ import annotations

import functools

import numpy as np

MOST_HELD_OUT = 10_000


class BatchOrder:
    """An endless stream of pictures, one fresh permutation of ``range(count)`` after the other.

    It is a pure function of the seed: a run that resumes needs nothing but its place in it.

    With blocks (pictures that are stored together), the blocks are shuffled and dealt out to
    windows, and each window's pictures are shuffled. So only one window of blocks is needed at a
    time.
    """

    def __init__(
        self, count: int, seed: int, blocks: np.ndarray | None = None, window: int = 0
    ) -> None:
        """Make the order.

        Args:
            count: how many pictures there are, at least 1.
            seed: of the shuffling.
            blocks: the number of each picture's block, (count,).
            window: blocks in a window.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, found {count}")
        self.count = count
        self.seed = seed
        self.blocks = blocks
        self.window = window
        self._permutation = functools.lru_cache(maxsize=2)(self._permutation)

    def indices(self, start: int, length: int) -> np.ndarray:
        """The pictures ``start`` to ``start + length - 1`` of the stream, int32 (length,).

        Every picture comes exactly once an epoch; a batch may straddle epochs.
        """
        result = np.empty(length, np.int32)
        filled = 0
        while filled < length:
            epoch, offset = divmod(start + filled, self.count)
            part = self._permutation(epoch)[offset : offset + length - filled]
            result[filled : filled + len(part)] = part
            filled += len(part)
        return result

    def _permutation(self, epoch: int) -> np.ndarray:
        generator = np.random.default_rng([self.seed, epoch])
        permutation = generator.permutation(self.count).astype(np.int32)
        if self.blocks is None:
            return permutation
        windows = generator.permutation(self.blocks.max() + 1) // self.window
        return permutation[np.argsort(windows[self.blocks[permutation]], kind="stable")]


def held_out(
    count: int, share: float, files: np.ndarray | None = None, least: int = 0
) -> np.ndarray:
    """The pictures of ``count`` that are held out of training to score with, ascending.

    They do not depend on the run or its seed, so that the scores of two runs can be compared.
    Pictures of one file (twice the same, or an image and its mirror image) stay together.

    Args:
        count: pictures in the data set.
        share: how many of them, from 0 to 0.5; never more than MOST_HELD_OUT, since more would not
            make a score better.
        files: a name of the file that each was made of, (count,); "" is not known. None: each
            picture is a file.
        least: so many are held out in any case, where that leaves as many.
    """
    number = min(max(round(share * count), least), MOST_HELD_OUT)
    order = np.random.default_rng(count).permutation(count)
    if files is not None:
        known = np.array([str(name) or str(row) for row, name in enumerate(files)])
        _, first, file_of = np.unique(known[order], return_index=True, return_inverse=True)
        # All pictures of a file come where its first one comes.
        places = first[file_of]
        by_file = np.argsort(places, kind="stable")
        order, places = order[by_file], places[by_file]
        ends = np.flatnonzero(np.diff(places, prepend=-1, append=-1))  # of whole files
        whole = ends[ends <= number][-1]
        larger = ends[ends >= number][0]
        number = larger if whole < least <= count - larger else whole
    return np.sort(order[:number])
