"""The smallest method there is: what tests of the loop train, in no time and without a gradient."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from utils import backend  # noqa: F401 - before Keras: it keeps its start quiet

# isort: split
import keras
from keras import layers, ops

from utils.backend.types import Tensor
from utils.common.fields import Amount, Count, CountOrZero, FilePath, Fixed, Several, Share
from utils.models.augmentation import Augmentation
from utils.models.average import AveragedNetwork
from utils.scoring.registry import FeatureKind
from utils.training.folders import Folders
from utils.training.options import Augmentations, RunOptions, ScoreName
from utils.training.run import run


@dataclasses.dataclass
class Hyperparameters(RunOptions):
    """The options that a script declares, small."""

    data: FilePath = "mechas"
    image_size: Fixed[int] = 0
    mirror: bool = False
    epochs: CountOrZero = 2
    latent_dim: Fixed[Count] = 5
    batch_size: Several = 4
    average_half_life: CountOrZero = 100
    augmentation: Augmentations = ()
    augmentation_probability: Share = 0.75
    augmentation_target: Share = 0.2
    augmentation_confidence: Share = 1.0
    color_strength: Share = 0.3
    sample_interval: Count = 200
    sample_rows: Fixed[Count] = 2
    sample_columns: Fixed[Count] = 3
    checkpoint_interval: Count = 1000
    score: ScoreName = "kid"
    features: FeatureKind = "random"
    score_interval: Count = 1000
    holdout: Fixed[Share] = 0.0
    precision: str = "float32"
    batches: Count = 1
    """Batches that a step takes."""
    learning_rate: Amount = 0.1
    METHOD: ClassVar[str] = "stub"

    @property
    def batches_per_step(self) -> int:
        return self.batches


class Stub:
    """A dense generator that moves towards the pictures, and a dense network that answers."""

    def __init__(self, h: RunOptions) -> None:
        self.h, shape = h, (h.image_size, h.image_size, h.channels)
        self.seed_generator = keras.random.SeedGenerator(h.seed)
        latents, images = keras.Input((h.latent_dim,)), keras.Input(shape)
        x = layers.BatchNormalization(momentum=0.5)(latents)
        x = layers.Dense(h.image_size**2 * h.channels, "tanh")(x)
        self.generator = keras.Model(latents, layers.Reshape(shape)(x), name="generator")
        answers = layers.Dense(1)(layers.Flatten()(images))
        self.examiner = keras.Model(images, answers, name="examiner")
        self.updates = keras.Variable(0, dtype="int32", trainable=False, name="updates")
        self.average = AveragedNetwork(self.generator, h.average_half_life)
        self.augment = Augmentation(
            h.augmentation, self.seed_generator, h.color_strength, h.augmentation_probability,
            h.adapts_augmentation(),
        )  # fmt: skip
        self.networks = {
            "generator": self.average.network,
            "generator-current": self.generator,
            "examiner": self.examiner,
        }

    def state(self) -> dict[str, list[keras.Variable]]:
        return {
            "generator": self.generator.variables,
            "average": self.average.network.variables,
            "examiner": self.examiner.variables,
            "random": [self.seed_generator.state],
            "updates": [self.updates],
        }

    def train_step(self, real_batches: Tensor) -> dict[str, Tensor]:
        h, rate = self.h, self.h.learning_rate
        images = ops.cast(real_batches[-1], "float32") / 127.5 - 1.0
        latents = keras.random.normal((h.batch_size, h.latent_dim), seed=self.seed_generator)
        fakes = self.generator(latents, training=True)
        error = ops.reshape(images - fakes, (h.batch_size, -1))
        change = ops.matmul(ops.transpose(latents), error) / h.batch_size  # (latent_dim, H W C)
        kernel, offset = self.generator.trainable_variables[-2:]
        kernel.assign_add(rate * change)
        offset.assign_add(rate * ops.mean(error, axis=0))
        self.examiner.trainable_variables[0].assign_add(rate * ops.mean(error, axis=0)[:, None])
        self.updates.assign_add(1)
        self.average.update(self.updates * h.batch_size, h.batch_size)
        return {
            "d_loss": ops.mean(error),
            "d_real": ops.mean(ops.sigmoid(self.examiner(self.augment(images)))),
            "g_loss": ops.mean(error**2),
            "g_gradient_first": ops.norm(change),
            "g_updates": ops.copy(self.updates.value),
        }


def train(*arguments: object, on_grid: Callable[[Path], None] | None = None) -> Folders | None:
    """What a script's ``main`` does, but for its one-line errors."""
    keras.utils.clear_session()
    return run(Stub, Hyperparameters, "", [*map(str, arguments)], on_grid)
