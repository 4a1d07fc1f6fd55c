"""What can be measured where too few pictures are held out for scores: collapse and copies.

Both are what few pictures bring, and neither needs many real ones to compare with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection

import numpy as np

from utils.scoring.copies import copies, known_of
from utils.scoring.images import check_images, views
from utils.scoring.registry import NothingToCompareError
from utils.scoring.similarity import likeness, mean_similarity


class FewScorer:
    """Compares generated images with the training pictures; scores as `Scorer`, but fewer."""

    def __init__(
        self, training: np.ndarray, held_out: np.ndarray | None, pairs: int = 1000, seed: int = 0
    ) -> None:
        """Compute what depends on the pictures alone.

        Args:
            training: uint8 (M, H, H, C), two at least.
            held_out: uint8 (K, H, H, C), one at least; None where there are none.
            pairs: of images, for the likeness.
            seed: of the choice of pairs.

        Raises:
            ValueError: shapes or numbers that do not fit.
        """
        self._training, self._pairs, self._seed = views(training), pairs, seed
        check_images(least=2, training=self._training)
        self._likeness = mean_similarity(self._training, pairs, seed)
        self._held_out = self._known = None
        if held_out is not None:
            self._held_out = views(held_out)
            self._known = known_of(self._held_out, self._training)

    def score(self, fakes: np.ndarray, metrics: Collection[str] | None = None) -> dict[str, float]:
        """Likeness, next to that of training pictures, and copies, if any pictures are held out.

        Args:
            fakes: uint8 (N, H, H, C), two at least.
            metrics: names of those to compute; None for both.
        """
        seen, scores = views(fakes), {}
        if metrics is None or "likeness" in metrics:
            scores |= likeness(seen, self._training, self._likeness, self._pairs, self._seed)
        if self._held_out is not None and (metrics is None or "copies" in metrics):
            with contextlib.suppress(NothingToCompareError):
                scores |= copies(seen, self._held_out, self._known, training=self._training)
        return scores
