"""Scores during the training, and the networks that have the best of them so far."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from utils.data.dataset import Dataset
from utils.scoring.registry import metrics_of, rank, ranking
from utils.scoring.scorer import Scorer
from utils.training.snapshots import Snapshot, read_best, save_best
from utils.training.split import spread
from utils.training.trainer import Trainer
from utils.training.writer import BackgroundWriter

# isort: split
import keras

FEWEST_SCORED = 50
"""With fewer pictures held out, a score would be mostly chance."""
MOST_SCORED = 500
"""More would take longer and hardly change the order of two scores."""
MOST_COMPARED = 2000
"""Training pictures in which copies are looked for."""
COMPARED_PAIRS = 150
"""Pairs of generated images that their likeness is measured on."""
HEALTH = ("kid", "likeness", "closeness")
"""The scores that alarms read."""


class BestNetworks:
    """The networks with the best ``--score`` so far, in ``best/``."""

    def __init__(self, folder: Path, score: str, writer: BackgroundWriter) -> None:
        self._folder, self._score, self._writer = folder, score, writer
        self.found: dict[str, float] = {}
        """Their step and their scores; empty where there are none."""

    def is_beaten_by(self, scores: Mapping[str, float]) -> bool:
        """Whether these scores are better than the best so far."""
        return not self.found or rank(self._score, scores) > rank(self._score, self.found)

    def replace(
        self, step: int, scores: Mapping[str, float], networks: Mapping[str, keras.Model]
    ) -> None:
        """Let the networks of a step take the place of the best so far."""
        self.found = found = {"step": step} | {name: scores[name] for name in ranking(self._score)}
        snapshot = Snapshot(networks)
        self._writer.submit(lambda: save_best(self._folder, snapshot, found), snapshot.nbytes)

    def resume(self, step: int, pictures_since: int) -> None:
        """Find the best networks so far; those of other pictures or of another score count no more.

        They stay in a folder of another name.

        Args:
            step: at which the run is resumed.
            pictures_since: the first step with the pictures of now.

        Raises:
            UserError: what is in the folder is damaged.
        """
        self.found = read_best(self._folder, ranking(self._score))
        found_at = read_best(self._folder, ()).get("step", math.inf)
        for leftover in ("new", "old"):  # of a kill in `save_best`
            shutil.rmtree(self._folder.with_suffix(f".{leftover}"), ignore_errors=True)
        if math.isinf(found_at):
            if self._folder.exists():
                kept = self._set_aside(step)
                print(f"{self._folder}: has no score.json; its networks stay as {kept}")
        # Those of a later step were made after the checkpoint, with the pictures of before.
        elif found_at <= pictures_since or 0 < step == pictures_since:
            self._set_aside(pictures_since)
        elif not self.found:
            kept = self._set_aside(step)
            print(
                f"--score {self._score}: the best networks so far, of step {found_at:.0f}, were "
                f"chosen by another score, and stay as {kept}"
            )

    def _set_aside(self, step: int) -> Path:
        """Begin the search anew; returns where the best networks so far are."""
        self.found = {}
        kept = self._folder.with_name(f"{self._folder.name}-before-{step}")
        number = 1
        while kept.exists():  # the run has gone back to an earlier checkpoint since
            number += 1
            kept = self._folder.with_name(f"{self._folder.name}-before-{step}-{number}")
        return self._folder.rename(kept)


class Scoring:
    """Scores samples of the averaged generator, always of the same latent vectors."""

    def __init__(self, trainer: Trainer, held_out: Dataset | None, best: BestNetworks) -> None:
        """Choose what is compared with.

        Args:
            trainer: draws the samples.
            held_out: the pictures to score with; too few or None are not scored with.
            best: takes better networks.
        """
        self._trainer, self._best, h = trainer, best, trainer.h
        self.column = ""
        """The name of the score in ``history.csv``; empty where nothing is scored."""
        if h.score == "none" or held_out is None or len(held_out) < FEWEST_SCORED:
            return
        self.column = h.score
        number = min(len(held_out), MOST_SCORED)
        compared = min(len(trainer.dataset), MOST_COMPARED)
        self._scorer = Scorer(
            spread(held_out, number), spread(trainer.dataset, compared), "random",
            pairs=COMPARED_PAIRS,
        )  # fmt: skip
        self._metrics = metrics_of((*HEALTH, *ranking(h.score)))
        self._latents = np.random.default_rng([h.seed, 2]).standard_normal(
            (number, h.latent_dim), dtype=np.float32
        )

    def score(self) -> tuple[np.ndarray, dict[str, float]]:
        """Score the generator; if it is the best so far, keep the networks.

        Returns:
            The samples, uint8 (N, H, W, 3), and their scores.
        """
        images = self._trainer.sample(self._latents)
        scores = self._scorer.score(images, self._metrics)
        if self._best.is_beaten_by(scores):
            networks = self._trainer.method.networks
            self._best.replace(self._trainer.progress.step, scores, networks)
        return images, scores
