"""The classes of a run: of its pictures, and of what it generates to look at and to score."""

from __future__ import annotations

import numpy as np

from utils.data.classes import labels, one_hot
from utils.data.dataset import Dataset
from utils.models.classes import share_at
from utils.training.options import RunOptions
from utils.training.progress import Progress
from utils.training.split import spread

MOST_ROWS = 24
"""Rows of a sample grid, one a class; of more classes, those with the most pictures."""


class RunClasses:
    """Class weights as the networks take them at the step that the run has reached.

    Without ``--classes`` all labels and weights are None.
    """

    def __init__(self, h: RunOptions, trained_on: Dataset, progress: Progress) -> None:
        self.names = h.class_names
        self._h, self._progress = h, progress
        self._labels = self.of(trained_on)

    @property
    def share(self) -> float:
        """How far classes are let in, from 0 to 1."""
        return share_at(self._progress.step, *self._h.class_steps)

    def of(self, dataset: Dataset, indices: np.ndarray | None = None) -> np.ndarray | None:
        """The labels of pictures, by default of all of them: int32 (N,); None without classes."""
        if not self.names:
            return None
        found = labels(dataset, self._h.classes, self.names)
        return found if indices is None else found[indices]

    def weights(self, labels: np.ndarray | None) -> np.ndarray | None:
        """What networks take of labels (N,) now: float32 (N, K)."""
        return None if labels is None else one_hot(labels, len(self.names), self.share)

    def of_step(self, indices: np.ndarray) -> np.ndarray:
        """Class weights of the training pictures at ``indices`` now: float32 (N, K)."""
        return self.weights(self._labels[indices])

    def like_reals(self, count: int, seed: list[int]) -> np.ndarray | None:
        """Labels of random training pictures, (count,); None without classes."""
        if not self.names:
            return None
        return np.random.default_rng(seed).choice(self._labels, count)

    def of_grid(self) -> np.ndarray | None:
        """The labels of a sample grid with a row a class, (N,); None without classes."""
        if not self.names:
            return None
        return np.repeat(np.arange(min(len(self.names), MOST_ROWS)), self._h.sample_columns)

    def row_names(self) -> tuple[str, ...]:
        """What stands at the rows of a grid; nothing without classes."""
        return self.names[:MOST_ROWS]

    def reals_of_grid(self, trained_on: Dataset) -> np.ndarray:
        """Training pictures of the classes of a grid, uint8 (N, H, W, C), row by row.

        They are spread evenly over a class; the row of a class without any is black.
        """
        rows, columns = len(self.row_names()), self._h.sample_columns
        images = np.zeros((rows, columns, *trained_on.images.shape[1:]), np.uint8)
        for label in range(rows):
            found = np.flatnonzero(self._labels == label)
            if len(found):
                images[label] = trained_on.take(found[spread(found, columns)])
        return images.reshape(-1, *images.shape[2:])
