"""Augmentation that follows the training: more of it while the discriminator's task is too easy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from utils.models.augmentation import Augmentation
from utils.training.options import RunOptions
from utils.watching.answers import overfitting

IMAGES_TO_ADAPT = 4000
"""Generated images from one move of the probability to the next: 250 batches of 16."""


class AugmentationControl:
    """Moves the probability of the augmentation, where the options say so."""

    def __init__(self, augment: Augmentation, h: RunOptions, has_held_out: bool) -> None:
        self._augment, self._h = augment, h
        self._asks = h.augmentation_target > 0 and has_held_out
        self._is_on = h.adapts_augmentation() and (self._asks or h.augmentation_confidence < 1)
        self._interval = max(1, IMAGES_TO_ADAPT // h.batch_size)  # in steps
        self._d_real: list[float] = []  # of the steps since the last move

    def columns(self) -> dict[str, float]:
        """What ``history.csv`` says of it: nothing where the probability stays as it is."""
        if not self._is_on:
            return {}
        return {"augmentation_probability": self._augment.current_probability()}

    def is_due(self, step: int) -> bool:
        """Whether the probability moves after a step."""
        return self._is_on and step % self._interval == 0

    def observe(self, rows: Iterable[Mapping[str, float]]) -> None:
        """Note what the next steps returned."""
        if self._is_on:
            self._d_real += [row["d_real"] for row in rows if "d_real" in row]

    def move(self, ask: Callable[[], dict[str, np.ndarray]]) -> None:
        """Move the probability, by the steps since the last time and by what ``ask`` returns."""
        h = self._h
        excesses = []
        if self._asks:
            excesses.append(overfitting(ask()) - h.augmentation_target)
        # Of few of these steps, if it has only just become an option of the run, nothing follows.
        if h.augmentation_confidence < 1 and 2 * len(self._d_real) >= self._interval:
            confidence = float(np.mean(self._d_real)) / h.most_confident_answer()
            excesses.append(confidence - h.augmentation_confidence)
        self._d_real.clear()
        self._augment.adapt(excesses, self._interval * h.batch_size)

    def saved(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {
            "augmentation_probability": self._augment.current_probability(),
            "augmentation_began": self._augment.least_probability,
            "d_real": list(self._d_real),
        }

    def resume(self, saved: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; an older one has nothing of it."""
        if "augmentation_probability" in saved:
            began = float(saved.get("augmentation_began", self._h.augmentation_probability))
            self._augment.resume(float(saved["augmentation_probability"]), began)
        if self._is_on:
            self._d_real = list(map(float, saved.get("d_real", ())))
