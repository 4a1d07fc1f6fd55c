"""Scores during the training, and the networks that have the best of them so far."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from utils.data.dataset import Dataset
from utils.scoring.few import FewScorer
from utils.scoring.registry import column, metrics_of, rank, ranking
from utils.scoring.report import cell
from utils.scoring.scorer import Scorer
from utils.training.snapshots import Snapshot, read_best, save_best
from utils.training.split import FEWEST_SCORED, spread
from utils.training.trainer import Trainer
from utils.training.writer import BackgroundWriter
from utils.watching.probe import MOST_ASKED

# isort: split
import keras

MOST_SCORED = 200
"""More would take longer and hardly change the order of two scores: docs/metrics.md."""
MOST_COMPARED = 1000
"""Training pictures in which copies are looked for."""
COMPARED_PAIRS = 150
"""Pairs of generated images that their likeness is measured on."""
HEALTH = ("kid", "coverage", "likeness", "originality")
"""The scores that alarms read."""


class BestNetworks:
    """The networks with the best ``--score`` so far, in ``best/``."""

    def __init__(
        self, folder: Path, score: str, writer: BackgroundWriter, features: str = ""
    ) -> None:
        self._folder, self._score, self._writer = folder, score, writer
        self._columns = {name: column(name, features) for name in ranking(score)}
        self.found: dict[str, float] = {}
        """Their step and their scores; empty where there are none."""

    def consider(
        self, step: int, scores: Mapping[str, float], networks: Mapping[str, keras.Model]
    ) -> None:
        """Keep the networks of a step instead of the best so far, if their scores are better."""
        if self.found and rank(self._score, scores) <= rank(self._score, self.found):
            return
        self.found = {"step": step} | {name: scores[name] for name in self._columns}
        found = {self._columns.get(name, name): value for name, value in self.found.items()}
        snapshot = Snapshot(networks)
        self._writer.submit(lambda: save_best(self._folder, snapshot, found), snapshot.nbytes)

    def resume(self, step: int, pictures_since: int) -> None:
        """Find the best networks so far; those of other pictures or another score count no more.

        They stay in a folder of another name.

        Args:
            step: at which the run is resumed.
            pictures_since: the first step with the pictures of now.

        Raises:
            UserError: what is in the folder is damaged.
        """
        names = {written: name for name, written in self._columns.items()}
        known = read_best(self._folder, names)
        self.found = {names.get(written, written): value for written, value in known.items()}
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
                f"chosen by another score or other features, and stay as {kept}"
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
    """Scores samples of the averaged generator, always of the same latent vectors.

    Where too few pictures are held out for ``--score``, what alarms of collapse and copies read.
    """

    def __init__(self, trainer: Trainer, held_out: Dataset | None) -> None:
        """Choose what is compared with.

        Args:
            trainer: draws the samples.
            held_out: the pictures to score with.

        Raises:
            UserError: the weights of the features are not there.
        """
        self._trainer, h = trainer, trainer.h
        self.column = self.features = ""
        """The name of the score in ``history.csv``, and of the features that it sees; empty where
        nothing is scored."""
        self.pictures = 0
        """How many are compared with."""
        self.shown: dict[str, str] = {}
        """The last score, for the progress bar."""
        self._scorer: Scorer | FewScorer | None = None
        self._metrics = metrics_of((*HEALTH, *ranking(h.score)))
        number = MOST_ASKED
        self.labels = trainer.classes.like_reals(number, [h.seed, 2])
        """Of what is scored: as many of each class as the pictures it is compared with."""
        if h.score != "none":
            chosen = spread(held_out or (), min(len(held_out or ()), MOST_SCORED))
            reals = held_out.take(chosen) if len(chosen) else None
            compared = min(len(trainer.dataset), MOST_COMPARED)
            training = trainer.dataset.take(spread(trainer.dataset, compared))
            if len(chosen) < FEWEST_SCORED:
                self._scorer = FewScorer(training, reals, COMPARED_PAIRS)
            else:
                self._scorer = Scorer(reals, training, h.features, pairs=COMPARED_PAIRS)
                self.pictures = number = len(chosen)
                self.labels = trainer.classes.of(held_out, chosen)
                self.features = self._scorer.features
                self.column = column(h.score, self.features)
        self._latents = np.random.default_rng([h.seed, 2]).standard_normal(
            (number, h.latent_dim), dtype=np.float32
        )

    def score(self) -> tuple[np.ndarray, dict[str, float]]:
        """Score the generator.

        Returns:
            The samples, uint8 (N, H, W, C), and their scores; none of these with ``--score none``.
        """
        images = self._trainer.sample(self._latents, self.labels)
        scores = self._scorer.score(images, self._metrics) if self._scorer else {}
        if self.column:
            self.shown = {self._trainer.h.score: cell(scores, self._trainer.h.score)}
        return images, scores
