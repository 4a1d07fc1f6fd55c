"""Which picture comes when, and which ones are kept from training."""

from __future__ import annotations

import numpy as np

MOST_HELD_OUT = 10_000


class BatchOrder:
    """Which pictures come when: a pure function of the seed and of how many have been seen.

    The stream of pictures is one fresh permutation of ``range(count)`` for each epoch, one after
    the other, without end. Nothing but the place in it needs saving for a run to go on exactly.

    With blocks, pictures that are stored together, a permutation keeps to windows: the blocks are
    shuffled and dealt out to windows, and within each the pictures are shuffled. So no more than a
    window of blocks is needed at a time.
    """

    def __init__(
        self, count: int, seed: int, blocks: np.ndarray | None = None, window: int = 0
    ) -> None:
        """Make the order.

        Args:
            count: how many pictures there are, at least 1.
            seed: of the shuffling.
            blocks: the number of each picture's block, (count,), if they are to stay together.
            window: blocks in a window.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, found {count}")
        self.count = count
        self.seed = seed
        self.blocks = blocks
        self.window = window
        self._permutations: dict[int, np.ndarray] = {}

    def indices(self, start: int, length: int) -> np.ndarray:
        """The pictures number ``start`` to ``start + length - 1`` of the stream, int32 (length,).

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
        if epoch not in self._permutations:
            while len(self._permutations) >= 2:
                del self._permutations[next(iter(self._permutations))]
            generator = np.random.default_rng([self.seed, epoch])
            permutation = generator.permutation(self.count).astype(np.int32)
            if self.blocks is not None:
                windows = generator.permutation(self.blocks.max() + 1) // self.window
                by_window = np.argsort(windows[self.blocks[permutation]], kind="stable")
                permutation = permutation[by_window]
            self._permutations[epoch] = permutation
        return self._permutations[epoch]


def held_out(count: int, share: float, files: np.ndarray | None = None) -> np.ndarray:
    """Which pictures of ``count`` are kept from training to score with, ascending.

    The same ones whatever the run and its seed, so that the scores of two runs can be compared.
    Pictures of one file (twice the same, or an image and its mirror image) are kept or trained on
    together.

    Args:
        count: pictures in the data set.
        share: how many of them, from 0 to 0.5; never more than MOST_HELD_OUT, since more would not
            make a score better.
        files: what names the file that each was made of, (count,); "" is not known. None: each
            picture is a file.
    """
    number = min(round(share * count), MOST_HELD_OUT)
    order = np.random.default_rng(count).permutation(count)
    if files is not None:
        known = np.array([str(name) or str(row) for row, name in enumerate(files)])
        _, first, file_of = np.unique(known[order], return_index=True, return_inverse=True)
        # All pictures of a file come where the first of them was drawn.
        places = first[file_of]
        by_file = np.argsort(places, kind="stable")
        order, places = order[by_file], places[by_file]
        while 0 < number < count and places[number] == places[number - 1]:
            number -= 1
    return np.sort(order[:number])
