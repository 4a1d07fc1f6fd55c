"""What the discriminator of a run answers, always to the same pictures."""

from __future__ import annotations

import numpy as np

from utils.data.dataset import Dataset
from utils.training.method import discriminator_name
from utils.training.split import spread
from utils.training.trainer import Trainer
from utils.watching.probe import Probe, best_and_worst, number_asked


class RunProbe:
    """Asks about training pictures, held-out ones and generated ones; changes nothing."""

    def __init__(self, trainer: Trainer, held_out: Dataset | None) -> None:
        h, networks = trainer.h, trainer.method.networks
        self._name = discriminator_name(networks)
        self._probe = Probe(
            networks[self._name], networks["generator-current"], h.batch_size, trainer.variables
        )
        number = number_asked(len(trainer.dataset), h.batch_size)
        self._classes = trainer.classes
        chosen = {"training": (trainer.dataset, trainer.first_indices(number))}
        if held_out is not None:
            asked = spread(held_out, number_asked(len(held_out), h.batch_size))
            chosen["held out"] = (held_out, asked)
        self._pictures = {kind: dataset.take(x) for kind, (dataset, x) in chosen.items()}
        self._labels = {kind: self._classes.of(*each) for kind, each in chosen.items()}
        self.latents = np.random.default_rng([h.seed, 3]).standard_normal(
            (number, h.latent_dim), dtype=np.float32
        )

    def ask(self) -> dict[str, np.ndarray]:
        """The answers, (N,) for each kind of picture."""
        weights = {kind: self._classes.weights(x) for kind, x in self._labels.items()}
        answers = {
            kind: self._probe.answers_to_real(x, weights[kind])
            for kind, x in self._pictures.items()
        }
        generated = self._probe.answers_to_generated(self.latents, weights["training"])
        return answers | {"generated": generated}

    def best_and_worst(
        self, images: np.ndarray, labels: np.ndarray | None, most: int
    ) -> np.ndarray:
        """A picture of the images that are the most and the least real to the discriminator.

        Args:
            images: uint8 (N, H, W, C), at least 2.
            labels: of their classes, (N,); None without classes.
            most: images of either kind.
        """
        answers = self._probe.answers_to_real(images, self._classes.weights(labels))
        count = min(most, len(images) // 2)
        picture, _ = best_and_worst(images, answers, count, count, self._name)
        return picture
